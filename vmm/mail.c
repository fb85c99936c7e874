/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/mail.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define SPIN_LOOKS 16 /* between two looks at the clock */

struct mail_call {
	struct mail_call *next;
	mail_fn fn;
	void *arg;
	bool done; /* [lock] */
};

void
mail_init(struct mail *m, void (*kick)(void *ctx), void *ctx)
{
	memset(m, 0, sizeof(*m));
	lock_init_recursive(&m->lock);
	cond_init(&m->done);
	atomic_init(&m->wake, 0);
	atomic_init(&m->asleep, false);
	m->kick = kick;
	m->ctx = ctx;
}

void
mail_release(struct mail *m)
{
	assert(m->first == NULL);
	cond_destroy(&m->done);
	lock_destroy(&m->lock);
}

void
mail_wake(struct mail *m)
{
	atomic_store(&m->wake, 1);
	if (atomic_load(&m->asleep))
		syscall(SYS_futex, &m->wake, FUTEX_WAKE_PRIVATE, 1, NULL, NULL,
			0);
	m->kick(m->ctx);
}

static void
post(struct mail *m, struct mail_call *call) REQUIRES(m->lock)
{
	struct mail_call **p = &m->first;

	while (*p != NULL)
		p = &(*p)->next;
	*p = call;
}

void
mail_call(struct mail *m, mail_fn fn, void *arg)
{
	struct mail_call call = {.fn = fn, .arg = arg};

	lock_acquire(&m->lock);
	if (!m->open) {
		fn(m->ctx, arg);
		lock_release(&m->lock);
		return;
	}
	if (pthread_equal(m->thread, pthread_self())) {
		lock_release(&m->lock);
		fn(m->ctx, arg);
		return;
	}
	post(m, &call);
	mail_wake(m);
	while (!call.done)
		cond_wait(&m->done, &m->lock);
	lock_release(&m->lock);
}

void
mail_run(struct mail *m)
{
	struct mail_call *call;

	lock_acquire(&m->lock);
	while ((call = m->first) != NULL) {
		m->first = call->next;
		lock_release(&m->lock);
		call->fn(m->ctx, call->arg);
		lock_acquire(&m->lock);
		call->done = true;
		cond_wake_all(&m->done);
	}
	lock_release(&m->lock);
}

void
mail_begin(struct mail *m)
{
	lock_acquire(&m->lock);
	assert(!m->open);
	m->open = true;
	m->thread = pthread_self();
	lock_release(&m->lock);
}

/* The lock is held from the last look at the list until open is false, so
 * nothing can be posted in between. */
void
mail_end(struct mail *m)
{
	struct mail_call *call;

	lock_acquire(&m->lock);
	while ((call = m->first) != NULL) {
		m->first = call->next;
		call->fn(m->ctx, call->arg);
		call->done = true;
	}
	cond_wake_all(&m->done);
	m->open = false;
	lock_release(&m->lock);
}

bool
mail_spin(struct mail *m, u64 deadline_ns, u64 spin_ns)
{
	u64 now = clock_now_ns(), end_ns = MIN(deadline_ns, now + spin_ns);

	while (now < end_ns) {
		for (unsigned i = 0; i < SPIN_LOOKS; i++) {
			if (atomic_load_explicit(&m->wake,
						 memory_order_relaxed) != 0)
				return true;
			__builtin_ia32_pause();
		}
		now = clock_now_ns();
	}
	return false;
}

void
mail_sleep(struct mail *m, u64 deadline_ns)
{
	struct timespec ts = {
	    .tv_sec = (time_t)(deadline_ns / NS_PER_SEC),
	    .tv_nsec = (long)(deadline_ns % NS_PER_SEC),
	};

	atomic_store(&m->asleep, true);
	/* any outcome but success means: look again; so does success */
	syscall(SYS_futex, &m->wake, FUTEX_WAIT_BITSET_PRIVATE, 0,
		deadline_ns == UINT64_MAX ? NULL : &ts, NULL,
		FUTEX_BITSET_MATCH_ANY);
	atomic_store(&m->asleep, false);
}
