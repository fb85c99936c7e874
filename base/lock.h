/* SPDX-License-Identifier: BSD-2-Clause */
/* lock - a mutex whose use clang can check
 *
 * What:    struct lock is a mutex. A function that expects it held says
 *          REQUIRES(x->lock), one that must be called without it
 *          EXCLUDES(x->lock); `make tsa` proves every call, and that no path
 *          leaves with a lock it did not come with. (C cannot name a field's
 *          guard to the checker: a comment on the field does.)
 *          struct cond waits for what another thread will say under a lock.
 * Threads: any. Only a recursive lock may be taken again by its holder.
 * Owns:    lock_init/lock_destroy and cond_init/cond_destroy pair up; the
 *          storage is the caller's.
 * Errors:  none: a failing pthread call is a bug of ours and asserts.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>

#include "base/bits.h"

#ifdef __clang__
#define LOCK_ATTR(x) __attribute__((x))
#else
#define LOCK_ATTR(x)
#endif
#define REQUIRES(...) LOCK_ATTR(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) LOCK_ATTR(locks_excluded(__VA_ARGS__))

struct LOCK_ATTR(capability("mutex")) lock {
	pthread_mutex_t mutex;
};

struct cond {
	pthread_cond_t cond;
};

/* A static lock begins so. */
#define LOCK_INIT \
	{ \
		.mutex = PTHREAD_MUTEX_INITIALIZER \
	}

static inline void
lock_init(struct lock *l)
{
	int rc = pthread_mutex_init(&l->mutex, NULL);

	assert(rc == 0);
}

/* For code that calls out with the lock held and may be called back. */
static inline void
lock_init_recursive(struct lock *l)
{
	pthread_mutexattr_t attr;
	int rc = pthread_mutexattr_init(&attr);

	assert(rc == 0);
	rc = pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	assert(rc == 0);
	rc = pthread_mutex_init(&l->mutex, &attr);
	assert(rc == 0);
	pthread_mutexattr_destroy(&attr);
}

static inline void
lock_destroy(struct lock *l)
{
	int rc = pthread_mutex_destroy(&l->mutex);

	assert(rc == 0);
}

static inline void
lock_acquire(struct lock *l) LOCK_ATTR(acquire_capability(*l))
    LOCK_ATTR(no_thread_safety_analysis)
{
	int rc = pthread_mutex_lock(&l->mutex);

	assert(rc == 0);
}

static inline void
lock_release(struct lock *l) LOCK_ATTR(release_capability(*l))
    LOCK_ATTR(no_thread_safety_analysis)
{
	int rc = pthread_mutex_unlock(&l->mutex);

	assert(rc == 0);
}

static inline void
cond_init(struct cond *c)
{
	int rc = pthread_cond_init(&c->cond, NULL);

	assert(rc == 0);
}

static inline void
cond_destroy(struct cond *c)
{
	int rc = pthread_cond_destroy(&c->cond);

	assert(rc == 0);
}

/* Waits with the lock given up meanwhile; may wake for no reason. */
static inline void
cond_wait(struct cond *c, struct lock *l) REQUIRES(*l)
{
	int rc = pthread_cond_wait(&c->cond, &l->mutex);

	assert(rc == 0);
}

static inline void
cond_wake_one(struct cond *c)
{
	int rc = pthread_cond_signal(&c->cond);

	assert(rc == 0);
}

static inline void
cond_wake_all(struct cond *c)
{
	int rc = pthread_cond_broadcast(&c->cond);

	assert(rc == 0);
}

#endif
