/* SPDX-License-Identifier: BSD-2-Clause */
/* vtimer - deadlines of the devices, in the machine's virtual time
 *
 * What:    every device that will do something by itself later owns a struct
 *          vtimer and arms it for its next event only. The vCPU loop passes
 *          the earliest deadline to the driver's run(); nothing is polled and
 *          no host timer or thread exists.
 * Units:   virtual nanoseconds; VCLOCK_NEVER is disarmed.
 * Threads: the vCPU thread only.
 * Owns:    nothing: timers are embedded in their devices, which outlive the
 *          set.
 */
#ifndef VMM_VTIMER_H
#define VMM_VTIMER_H

#include "base/clock.h"

#define VTIMERS_MAX 32

typedef void (*vtimer_fn)(void *ctx);

struct vtimer {
	u64 deadline_ns;
	vtimer_fn fire;
	void *ctx;
};

struct vtimers {
	struct vclock *clock;
	u64 next_ns; /* the earliest deadline of all */
	unsigned count;
	struct vtimer *timer[VTIMERS_MAX];
};

void vtimers_init(struct vtimers *ts, struct vclock *clock);

/* Adds a disarmed timer. fire(ctx) runs with the timer already disarmed and
 * may arm it, or any other, again. */
void vtimer_add(struct vtimers *ts, struct vtimer *t, vtimer_fn fire,
		void *ctx);

void vtimer_arm(struct vtimers *ts, struct vtimer *t, u64 deadline_ns);
void vtimer_disarm(struct vtimers *ts, struct vtimer *t);

/* Fires each timer that is due, once. */
void vtimers_run(struct vtimers *ts);

static inline u64
vtimers_now(const struct vtimers *ts)
{
	return vclock_now_ns(ts->clock);
}

/* a * b / c without overflow in between; the quotient must fit. */
static inline u64
mul_div(u64 a, u64 b, u64 c)
{
	return (u64)((unsigned __int128)a * b / c);
}

/* A clock of hz ticks a second that has run since virtual time 0: its ticks at
 * now_ns, and the first nanosecond at which it shows tick. They invert each
 * other exactly, so a device that keeps its times in ticks never drifts. */
static inline u64
ticks_at(u64 now_ns, u64 hz)
{
	return mul_div(now_ns, hz, NS_PER_SEC);
}

static inline u64
tick_ns(u64 tick, u64 hz)
{
	unsigned __int128 ns = (unsigned __int128)tick * NS_PER_SEC;

	ns = (ns + hz - 1) / hz;
	return ns >= VCLOCK_NEVER ? VCLOCK_NEVER : (u64)ns;
}

#endif
