/* SPDX-License-Identifier: BSD-2-Clause */
#include "hdd/segment_int.h"

#include <errno.h>
#include <sys/mman.h>

#define FILLED_WRITTEN BIT(31)
#define FILLED_FREE    BIT(30)

int
segtable_init(struct segtable *t, u32 max)
{
	void *p =
	    mmap(NULL, (size_t)max * sizeof(struct seg), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert(max != 0 && max <= IMG_SEGMENTS_MAX);
	if (p == MAP_FAILED)
		return -ENOMEM;
	*t = (struct segtable){.seg = p, .max = max};
	return 0;
}

void
segtable_release(struct segtable *t)
{
	if (t->seg != NULL)
		munmap(t->seg, (size_t)t->max * sizeof(struct seg));
	t->seg = NULL;
}

static void
count_free(struct segtable *t, const struct seg *s, int by)
{
	if (s->state != SEG_FREE)
		return;
	if (s->written)
		t->free_written += (u32)by;
	else
		t->free_holes += (u32)by;
}

static void
set_state(struct segtable *t, struct seg *s, enum seg_state state)
{
	count_free(t, s, -1);
	s->state = (u8)state;
	count_free(t, s, 1);
}

static void
use(struct segtable *t, u32 i, u64 interval)
{
	struct seg *s = &t->seg[i];

	assert(s->state == SEG_FREE && s->refs == 0); /* [S1] */
	set_state(t, s, SEG_USED);
	s->next_refs = s->filled = 0;
	s->nodes = s->cleaned = false;
	s->birth = s->pin = interval;
}

static u32
find_free(struct segtable *t, bool written)
{
	if ((written ? t->free_written : t->free_holes) == 0)
		return SEG_NONE;
	for (u32 n = 0; n < t->count; n++) {
		u32 i = (t->hint + n) % t->count;

		if (t->seg[i].state == SEG_FREE &&
		    t->seg[i].written == written) {
			t->hint = i + 1;
			return i;
		}
	}
	assert(!"free segments are counted");
	return SEG_NONE;
}

static u32
extend(struct segtable *t)
{
	if (t->count == t->max)
		return SEG_NONE;
	t->seg[t->count] = (struct seg){.state = SEG_FREE};
	t->free_holes++;
	return t->count++;
}

u32
segtable_take(struct segtable *t, u64 interval)
{
	u32 i = find_free(t, true);

	return i != SEG_NONE ? (use(t, i, interval), i)
			     : segtable_take_hole(t, interval);
}

u32
segtable_take_hole(struct segtable *t, u64 interval)
{
	u32 i = find_free(t, false);

	if (i == SEG_NONE)
		i = extend(t);
	if (i != SEG_NONE)
		use(t, i, interval);
	return i;
}

void
segtable_give(struct segtable *t, u32 seg, bool written)
{
	struct seg *s = &t->seg[seg];

	assert(seg < t->count && s->state == SEG_USED && s->refs == 0);
	s->written = written;
	set_state(t, s, SEG_FREE);
}

void
segtable_enter(struct segtable *t, u32 seg, u64 interval)
{
	struct seg *s = &t->seg[seg];

	assert(seg < t->max);
	while (t->count <= seg)
		extend(t);
	if (s->state == SEG_FREE || s->state == SEG_DYING) {
		set_state(t, s, SEG_FREE);
		use(t, seg, interval);
	}
	s->pin = MAX(s->pin, interval);
	s->cleaned = false;
}

void
segtable_retain(struct segtable *t, u32 seg)
{
	assert(seg < t->count && t->seg[seg].state == SEG_USED); /* [S2] */
	t->seg[seg].next_refs++;
}

/* A table that was damaged must not take us below 0. */
void
segtable_drop(struct segtable *t, u32 seg)
{
	assert(seg < t->count);
	if (t->seg[seg].next_refs != 0)
		t->seg[seg].next_refs--;
}

static bool
is_kept(u32 i, const u32 *keep, unsigned keeps)
{
	while (keeps > 0)
		if (keep[--keeps] == i)
			return true;
	return false;
}

void
segtable_commit(struct segtable *t, u64 generation, const u32 *keep,
		unsigned keeps)
{
	for (u32 i = 0; i < t->count; i++) {
		struct seg *s = &t->seg[i];

		s->refs = s->next_refs;
		s->filled = MAX(s->filled, s->refs);
		if (s->state == SEG_DYING && s->pin < generation)
			set_state(t, s, SEG_FREE);
		else if (s->state == SEG_USED && s->refs == 0 &&
			 s->pin <= generation && !is_kept(i, keep, keeps)) {
			set_state(t, s, SEG_DYING);
			s->pin = generation;
		}
	}
}

void
segtable_abort(struct segtable *t)
{
	for (u32 i = 0; i < t->count; i++)
		t->seg[i].next_refs = t->seg[i].refs;
}

/* --- on disk ----------------------------------------------------------- */

void
segtable_encode(const struct segtable *t, u32 i, u64 generation, u8 *buf)
{
	const struct seg *s = &t->seg[i];
	bool is_free = s->state == SEG_FREE ||
		       (s->state == SEG_DYING && s->pin < generation);
	u64 filled = MIN(MAX(s->filled, s->next_refs), (u32)BIT(30) - 1);

	assert(i < t->count);
	put_le32(buf, s->next_refs);
	put_le32(buf + 4, (u32)(filled | (s->written ? FILLED_WRITTEN : 0) |
				(is_free ? FILLED_FREE : 0)));
	put_le64(buf + 8, s->birth);
}

void
segtable_decode(struct segtable *t, u32 i, u64 generation, bool careful,
		const u8 *buf)
{
	struct seg *s = &t->seg[i];
	u32 filled = get_le32(buf + 4);

	assert(i == t->count && i < t->max);
	*s = (struct seg){
	    .refs = get_le32(buf),
	    .next_refs = get_le32(buf),
	    .filled = filled & (u32)BITS(29, 0),
	    .written = (filled & FILLED_WRITTEN) != 0,
	    .birth = get_le64(buf + 8),
	    .pin = generation,
	};
	if (s->refs != 0)
		s->state = SEG_USED;
	else if ((filled & FILLED_FREE) && !careful)
		s->state = SEG_FREE;
	else
		s->state = SEG_DYING;
	count_free(t, s, 1);
	t->count++;
}

void
segtable_usage(const struct segtable *t, struct seg_usage *u)
{
	memset(u, 0, sizeof(*u));
	for (u32 i = 0; i < t->count; i++) {
		const struct seg *s = &t->seg[i];

		u->used += s->state == SEG_USED;
		u->free += s->state == SEG_FREE;
		u->dying += s->state == SEG_DYING;
		u->written += s->written;
		u->refs += s->refs;
	}
}
