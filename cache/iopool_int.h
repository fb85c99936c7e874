/* SPDX-License-Identifier: BSD-2-Clause */
/* iopool_int - what the two backends of the I/O pool share
 *
 * What:    a request's way through the pool:
 *
 *              submit -> line -> taken -> (waits at a gate of its file)
 *                  |       |                 |
 *                  |       cancel            hostop steps -> finish -> done()
 *                  |       v
 *                  +-> cancelled -> taken -> finish(-ECANCELED)
 *
 *          iopool.c owns the lists and the counts, cache/hostop_int.h what
 *          happens to one request at the host; a backend only takes requests
 *          and makes the calls.
 *
 *          Drain. A request belongs to one of two epochs. Draining turns to
 *          the other epoch and waits until the old one is empty; requests
 *          that come meanwhile are not waited for, so it ends.
 * Units:   bytes.
 * Threads: see each function. Locks: iopool.lock is taken with no other held.
 * Owns:    a backend embeds struct iopool as its first member.
 * Errors:  none.
 */
#ifndef CACHE_IOPOOL_INT_H
#define CACHE_IOPOOL_INT_H

#include "base/lock.h"
#include "cache/hostop_int.h"
#include "cache/iopool.h"

#define IOPOOL_FILES_MAX 64

/* ioreq.state */
enum ioreq_state {
	IOREQ_IDLE,  /* the caller's */
	IOREQ_LINE,  /* can be cancelled */
	IOREQ_TAKEN, /* goes on to its end */
};
#define IOREQ_STATE 3U
#define IOREQ_EPOCH 4U	/* which of the two */
#define IOREQ_ENDED 8U	/* cancelled: rc is the answer */
#define IOREQ_TURN  16U /* has the turn of its file */

struct iopool_ops {
	const char *name;
	/* count requests more can be taken. True: wake() must be called with
	 * the lock given up. */
	bool (*more_locked)(struct iopool *p, unsigned count);
	void (*wake)(struct iopool *p);
	void (*close)(struct iopool *p);
	void (*register_memory)(struct iopool *p, void *base, u64 size_bytes);
	void (*forget_memory)(struct iopool *p, void *base);
	void (*file_changed)(struct iopool *p, unsigned slot);
};

struct iopool {
	struct lock lock;
	struct cond drained; /* an epoch is empty, or draining ended */

	struct list first; /* [lock] taken before those in line: cancelled, or
			      inside the gate of their file */
	struct list line;  /* [lock] */
	unsigned width;	   /* [const] requests at the host at once */
	unsigned present;  /* [lock] submitted and not finished */
	unsigned epoch;	   /* [lock] of new requests, 0 or 1 */
	u64 in_epoch[2];   /* [lock] not finished */
	bool draining;	   /* [lock] */
	struct iopool_stats stats; /* [lock] but for host_calls */
	_Atomic u64 host_calls;	   /* [atomic] by itself */

	struct hostfile *files[IOPOOL_FILES_MAX]; /* [lock] */

	/* [const] */
	const struct iopool_ops *ops;
	char why[200];
};

void iopool_init(struct iopool *p, const struct iopool_ops *ops,
		 unsigned width);
void iopool_release(struct iopool *p);

/* The next request, or NULL. */
struct ioreq *iopool_take_locked(struct iopool *p) REQUIRES(p->lock);

/* Makes o of a request that was taken. True: run its steps, then
 * iopool_finish(). False: it waits at a gate of its file and will be taken
 * again, or is finished already; o is free. */
bool iopool_begin(struct ioreq *r, struct hostop *o,
		  struct iovec *scratch) MUST_CHECK;

/* Calls done(). No lock may be held. */
void iopool_finish(struct ioreq *r, int rc, u64 moved_bytes);

void iopool_count_call(struct iopool *p);

/* A thread that no signal is delivered to. 0 or -errno. */
int iopool_start_thread(pthread_t *id, void *(*body)(void *),
			void *arg) MUST_CHECK;

/* Around the call of each step. */
void iopool_step_begin(const struct ioreq *r, struct hostop *o);
void iopool_step_done(const struct ioreq *r, struct hostop *o, s64 res);

int iopool_threads_open(struct iopool **out, const struct iopool_config *cfg,
			struct err *e) MUST_CHECK;

/* -ENOTSUP with a sentence: this host has no io_uring for us. */
int iopool_uring_open(struct iopool **out, const struct iopool_config *cfg,
		      struct err *e) MUST_CHECK;

#endif
