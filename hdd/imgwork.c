/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine's own thread: checkpoints, cleaning, segments in reserve. */
#include "hdd/image_int.h"

#include <errno.h>
#include <signal.h>

#define PREPARE_AT_ONCE 4U
#define PUNCH_AT_ONCE	64U

/* Two epochs: first the other one gets empty, as it nearly always is (a wait
 * that was given up leaves readers in both), then the readers of now leave
 * while new ones come to the other. */
bool
image_wait_readers(struct image *img)
{
	unsigned old;
	bool waited;

	lock_acquire(&img->lock);
	old = img->epoch;
	while (img->readers[!old] != 0 && img->failed == 0)
		cond_wait(&img->changed, &img->lock);
	if (img->readers[!old] == 0)
		img->epoch = !old;
	while (img->readers[old] != 0 && img->failed == 0)
		cond_wait(&img->changed, &img->lock);
	waited = img->epoch != old && img->readers[old] == 0;
	lock_release(&img->lock);
	return waited;
}

/* --- segments in reserve ----------------------------------------------- */

/* Writes zeros to what the log will use, so that later its flushes have no
 * metadata of the host's file system to write. */
static bool
prepare(struct image *img) REQUIRES(img->work_lock)
{
	u32 seg[PREPARE_AT_ONCE], n = 0;
	u32 seg_bytes = 1U << img->seg_shift;
	int rc = 0;

	lock_acquire(&img->lock);
	img->want_reserve = false;
	while (n < PREPARE_AT_ONCE && img->failed == 0 &&
	       img->segs.free_written + n < img->limits.reserve) {
		seg[n] = segtable_take_hole(&img->segs, img->interval);
		if (seg[n] == SEG_NONE)
			break;
		n++;
	}
	lock_release(&img->lock);
	if (n == 0)
		return false;
	memset(img->cleanbuf, 0, seg_bytes);
	for (u32 i = 0; i < n && rc == 0; i++)
		rc = imgio_write(img->io, seg_off(seg[i], img->seg_shift),
				 img->cleanbuf, seg_bytes);
	if (rc == 0) {
		rc = imgio_flush(img->io);
		if (rc != 0)
			image_fail(img, rc);
	}
	lock_acquire(&img->lock);
	for (u32 i = 0; i < n; i++)
		segtable_give(&img->segs, seg[i], rc == 0);
	if (rc == 0 && img->segs.free_written < img->limits.reserve)
		img->want_reserve = true;
	lock_release(&img->lock);
	return rc == 0;
}

/* A free segment that nobody needs soon is given back to the host: nothing
 * durable names it (disk-rules 20), and nobody gets it meanwhile. */
static bool
punch(struct image *img) REQUIRES(img->work_lock)
{
	u32 seg = SEG_NONE;
	int rc;

	lock_acquire(&img->lock);
	if (img->segs.free_written > 2 * img->limits.reserve + 2 &&
	    img->failed == 0 && img->limits.reserve != 0)
		seg = segtable_take(&img->segs, img->interval);
	lock_release(&img->lock);
	if (seg == SEG_NONE)
		return false;
	rc = img->io->ops->discard(img->io, seg_off(seg, img->seg_shift),
				   1ULL << img->seg_shift);
	lock_acquire(&img->lock);
	segtable_give(&img->segs, seg, rc != 0);
	lock_release(&img->lock);
	return rc == 0;
}

/* --- what is due ------------------------------------------------------- */

static bool
is_due(struct image *img) REQUIRES(img->lock)
{
	return img->failed == 0 &&
	       (img->want_commit || img->want_reserve || img->want_clean);
}

static bool
commit_is_due(struct image *img)
{
	bool due;

	lock_acquire(&img->lock);
	due = img->want_commit && img->failed == 0;
	img->want_commit = false;
	lock_release(&img->lock);
	return due;
}

static bool
work_once(struct image *img) REQUIRES(img->work_lock)
{
	bool did = false, reserve, clean;

	if (commit_is_due(img)) {
		did = image_commit(img, NULL) == 0;
		for (unsigned i = 0; did && i < PUNCH_AT_ONCE; i++)
			if (!punch(img))
				break;
		lock_acquire(&img->lock);
		img->pressure = false;
		img->want_clean = did && image_clean_wanted(img);
		lock_release(&img->lock);
	}
	lock_acquire(&img->lock);
	reserve = img->want_reserve && img->failed == 0;
	clean = img->want_clean && img->failed == 0;
	lock_release(&img->lock);
	if (reserve)
		did |= prepare(img);
	else if (clean)
		did |= image_clean(img);
	return did;
}

bool
image_work(struct image *img)
{
	bool mine, did = false;

	lock_acquire(&img->lock);
	mine = img->limits.thread || (!img->working && is_due(img));
	img->working |= mine;
	lock_release(&img->lock);
	if (!mine)
		return false;
	lock_acquire(&img->work_lock);
	did = work_once(img);
	lock_release(&img->work_lock);
	lock_acquire(&img->lock);
	img->working = false;
	lock_release(&img->lock);
	return did;
}

static void *
worker(void *arg)
{
	struct image *img = arg;
	bool stop;

	for (;;) {
		lock_acquire(&img->lock);
		while (!img->stop && !is_due(img))
			cond_wait(&img->changed, &img->lock);
		stop = img->stop;
		lock_release(&img->lock);
		if (stop)
			return NULL;
		image_work(img);
		image_pump(img); /* there may be room in the delta now */
	}
}

int
image_work_start(struct image *img)
{
	sigset_t all, old;
	int rc;

	if (!img->limits.thread || img->store.read_only)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	img->threaded = true;
	rc = pthread_create(&img->thread, NULL, worker, img);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0)
		img->threaded = false;
	return -rc;
}

void
image_work_stop(struct image *img)
{
	if (!img->threaded)
		return;
	lock_acquire(&img->lock);
	img->stop = true;
	cond_wake_all(&img->changed);
	lock_release(&img->lock);
	pthread_join(img->thread, NULL);
	img->threaded = false;
}
