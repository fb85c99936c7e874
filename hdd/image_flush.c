/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest flushes: the pending batch and its record in one write, then one host
 * flush for all who wait. And what happens when one fails (disk-rules 10-13).
 */
#include "hdd/image_int.h"

#include <errno.h>

/* Everything up to here is at the host. */
static u64
written_seq_locked(struct image *img) REQUIRES(img->lock)
{
	u64 seq = img->sealed_seq;

	for (u32 i = 0; i < img->limits.batches; i++) {
		const struct batch *b = &img->batch[i];

		if (b->state == BATCH_SEALED || b->state == BATCH_WRITING)
			seq = MIN(seq, b->seq - 1);
	}
	return seq;
}

/* Who waits for no more than seq, or, with an error, everybody. */
static void
take_ready_locked(struct image *img, struct list *fin, u64 seq, int rc)
    REQUIRES(img->lock)
{
	struct list *l = img->flush_wait.next;

	while (l != &img->flush_wait) {
		struct store_req *r = LIST_ENTRY(l, struct store_req, io.link);

		l = l->next;
		if (rc == 0 && r->io.off > seq)
			continue;
		r->rc = rc;
		r->bad_lba = 0;
		list_remove(&r->io.link);
		list_add_tail(fin, &r->io.link);
	}
}

static void
finish(struct list *fin)
{
	while (!list_empty(fin)) {
		struct store_req *r =
		    LIST_ENTRY(list_pop(fin), struct store_req, io.link);

		r->done(r);
	}
}

static void
flush_done(struct ioreq *io)
{
	struct image *img = CONTAINER_OF(io, struct image, flush_io);
	int rc = io->rc; /* io may be used again below */

	if (rc != 0)
		image_fail(img, rc);
	lock_acquire(&img->lock);
	assert(img->flushing);
	img->flushing = false;
	img->stats.host_flushes++;
	if (rc == 0 && img->failed == 0)
		img->durable_seq = MAX(img->durable_seq, img->flush_covers);
	cond_wake_all(&img->changed);
	lock_release(&img->lock);
	flush_try(img);
	if (rc != 0)
		image_pump(img); /* nothing is held back any more */
}

/* Finishes what can be, and begins a host flush when somebody needs one that
 * could cover him. */
void
flush_try(struct image *img)
{
	struct ioreq *io = &img->flush_io;
	struct list fin;
	bool begin = false;
	u64 written;

	list_init(&fin);
	lock_acquire(&img->lock);
	/* Whoever hears of an error may recover(): not beside a host flush. */
	if (img->failed == 0 || !img->flushing)
		take_ready_locked(img, &fin, img->durable_seq, img->failed);
	written = written_seq_locked(img);
	if (!img->flushing && !img->holding && written > img->durable_seq)
		LIST_FOR(l, &img->flush_wait)
	begin |= LIST_ENTRY(l, struct store_req, io.link)->io.off <= written;
	if (begin) {
		img->flushing = true;
		img->flush_covers = written;
		*io = (struct ioreq){.op = IO_FLUSH, .done = flush_done};
	}
	lock_release(&img->lock);
	finish(&fin);
	if (begin)
		imgio_submit(img->io, &io, 1);
}

void
image_flush_req(struct image *img, struct store_req *r)
{
	lock_acquire(&img->wlock);
	log_seal(img);
	lock_acquire(&img->lock);
	r->io.off = img->sealed_seq;
	list_add_tail(&img->flush_wait, &r->io.link);
	lock_release(&img->lock);
	lock_release(&img->wlock);
	image_kick(img);
	flush_try(img);
}

/* --- failing ----------------------------------------------------------- */

/* What is unknown now is never added to: the log goes on elsewhere, in a chain
 * that nothing on disk leads to before recover() has made it so. Without room
 * for another segment it goes on where it is: recover() tries again. */
void
image_fail_locked(struct image *img, int rc)
{
	bool first;

	assert(rc < 0);
	lock_acquire(&img->lock);
	first = img->failed == 0;
	if (first)
		img->failed = rc;
	cond_wake_all(&img->changed);
	lock_release(&img->lock);
	image_undo(img);
	if (first || !img->relogged)
		img->relogged = log_move(img, true) == 0;
}

void
image_fail(struct image *img, int rc)
{
	lock_acquire(&img->wlock);
	image_fail_locked(img, rc);
	lock_release(&img->wlock);
}

/* Runs on a thread of the pool, perhaps the only one: waits for no request.
 * A checkpoint under way sees img->failed and ends by itself. */
int
image_recover(struct store *s)
{
	struct image *img = image_of(s);
	struct commit c = {.twice = true, .recovering = true};
	int rc = 0;

	lock_acquire(&img->work_lock);
	lock_acquire(&img->wlock);
	lock_acquire(&img->lock);
	rc = img->dead;
	if (img->failed == 0 || rc != 0) {
		lock_release(&img->lock);
		goto out;
	}
	lock_release(&img->lock);
	img->io->ops->forgive(img->io);
	rc = img->relogged ? 0 : log_move(img, true);
	img->relogged = rc == 0;
	if (rc == 0)
		rc = image_commit_stopped(img, &c);
	if (rc == 0) {
		img->relogged = false;
		lock_acquire(&img->lock);
		img->failed = 0;
		lock_release(&img->lock);
	}
out:
	lock_release(&img->wlock);
	lock_release(&img->work_lock);
	flush_try(img);
	image_pump(img); /* batches may be free that nobody waited for */
	return rc;
}
