/* SPDX-License-Identifier: BSD-2-Clause */
/* Read-ahead: streams of reads that go on where the last one ended.
 *
 * A few streams are remembered by where they would go on. From its third read
 * on a stream is read ahead of, by a window that doubles up to the configured
 * limit; the next piece is fetched when it is as large as a request to the
 * store may be, or half of the window. */
#include "cache/wcache_int.h"

#define WINDOW_MIN 128U /* sectors */

static struct stream *
stream_of(struct wcache *w, u64 lba) REQUIRES(w->lock)
{
	struct stream *oldest = &w->streams[0];

	for (unsigned i = 0; i < STREAMS; i++) {
		struct stream *s = &w->streams[i];

		if (s->used != 0 && s->next == lba)
			return s;
		if (s->used < oldest->used)
			oldest = s;
	}
	*oldest = (struct stream){.next = lba};
	return oldest;
}

u64
stream_note(struct wcache *w, u64 lba, u64 end, u64 *from)
{
	struct stream *s;
	u64 to;

	assert(lba < end);
	if (w->ahead_max == 0)
		return 0;
	s = stream_of(w, lba);
	s->next = end;
	s->used = ++w->stream_clock;
	if (++s->hits < 3)
		return 0;
	s->window = MIN(MAX(s->window * 2, WINDOW_MIN), w->ahead_max);
	s->ahead = MAX(s->ahead, end);
	to = MIN(end + s->window, w->store->sectors);
	if (to <= s->ahead ||
	    (to - s->ahead < MIN(s->window / 2, w->write_max) &&
	     to != w->store->sectors))
		return 0;
	*from = s->ahead;
	s->ahead = to;
	STAT_ADD(w->stats.readahead_sectors, to - *from);
	return to;
}
