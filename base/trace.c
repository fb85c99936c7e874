/* SPDX-License-Identifier: BSD-2-Clause */
/* Rings and their writer.
 *
 * A ring has one producer, the thread that claimed it, and one consumer, the
 * writer. Rings are made by the first trace_start() and stay until the end of
 * the process, since a thread may be inside trace_emit() at any time; a thread
 * that ends gives its ring to the next that comes.
 *
 * Order of times. A producer sets busy, reads the clock, publishes the event
 * and clears busy. The writer reads the clock first, horizon, and then looks
 * at each ring until it is not busy. An event older than the horizon had set
 * busy before the writer looked, so it is published by then; one that sets
 * busy later reads a later time. So everything before the horizon is there
 * and can be merged, and nothing older will come.
 *
 * Sleep. The writer says that it sleeps, then looks at all rings once more;
 * a producer publishes, then looks whether it sleeps. One of the two sees the
 * other. Awake, the writer works in rounds of ROUND_NS, so a busy trace costs
 * few wake-ups and an idle one none.
 */
#include "base/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"

#define RINGS	    64U
#define RING_EVENTS 8192U /* a power of two */
#define ROUND_NS    (10 * NS_PER_MS)
#define PATTERN_MAX 128

struct event {
	const struct trace_point *tp;
	u64 ns, id, arg[3];
};

struct ring {
	atomic_bool owned;   /* [atomic] acquire/release: a thread has it */
	atomic_bool busy;    /* [atomic] seq_cst, see above */
	_Atomic u64 head;    /* [atomic] producer's; seq_cst with asleep */
	_Atomic u64 tail;    /* [atomic] writer's; release, acquired by head */
	_Atomic u64 dropped; /* [atomic] by itself */
	u64 top;	     /* writer's: events up to here are merged now */
	struct event *events;
} __attribute__((aligned(64)));

static struct trace {
	struct ring *rings;   /* set once, before started */
	atomic_bool started;  /* [atomic] release, acquired by emit */
	atomic_bool asleep;   /* [atomic] seq_cst, see above */
	atomic_bool stop;     /* [atomic] before a sem_post */
	_Atomic u64 homeless; /* [atomic] events of threads without a ring */
	sem_t work;
	pthread_t writer;
	pthread_key_t key; /* gives a thread's ring back when it ends */
	FILE *out;
} trace;

static _Thread_local struct ring *my_ring;
static _Atomic u64 last_id;

/* The section that the points lie in; absent when nobody has any. */
extern struct trace_point __start_trace_points[] __attribute__((weak));
extern struct trace_point __stop_trace_points[] __attribute__((weak));

#define FOR_POINTS(tp) \
	for (struct trace_point *tp = __start_trace_points; \
	     tp < __stop_trace_points; tp++)

u64
trace_new_id(void)
{
	return atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
}

/* --- producers --------------------------------------------------------- */

static void
give_ring_back(void *arg)
{
	struct ring *ring = arg;

	atomic_store_explicit(&ring->owned, false, memory_order_release);
}

static struct ring *
claim_ring(void)
{
	for (unsigned i = 0; i < RINGS; i++) {
		struct ring *ring = &trace.rings[i];

		if (!atomic_load_explicit(&ring->owned, memory_order_relaxed) &&
		    !atomic_exchange_explicit(&ring->owned, true,
					      memory_order_acquire)) {
			pthread_setspecific(trace.key, ring);
			return ring;
		}
	}
	return NULL;
}

static void
publish(struct ring *ring, const struct event *e)
{
	u64 head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	struct event *to = &ring->events[head % RING_EVENTS];

	atomic_store(&ring->busy, true);
	if (head - atomic_load_explicit(&ring->tail, memory_order_acquire) ==
	    RING_EVENTS) {
		atomic_fetch_add_explicit(&ring->dropped, 1,
					  memory_order_relaxed);
	} else {
		*to = *e;
		to->ns = clock_now_ns();
		atomic_store(&ring->head, head + 1);
	}
	atomic_store_explicit(&ring->busy, false, memory_order_release);
}

static void
wake_writer(void)
{
	if (atomic_load(&trace.asleep) && atomic_exchange(&trace.asleep, false))
		sem_post(&trace.work);
}

void
trace_emit(const struct trace_point *tp, u64 id, u64 a, u64 b, u64 c)
{
	struct event e = {.tp = tp, .id = id, .arg = {a, b, c}};

	if (!atomic_load_explicit(&trace.started, memory_order_acquire))
		return;
	if (!my_ring)
		my_ring = claim_ring();
	if (my_ring)
		publish(my_ring, &e);
	else
		atomic_fetch_add_explicit(&trace.homeless, 1,
					  memory_order_relaxed);
	wake_writer();
}

/* --- the writer -------------------------------------------------------- */

static void
print_time(u64 ns)
{
	fprintf(trace.out, "%llu.%09llu ",
		(unsigned long long)(ns / NS_PER_SEC),
		(unsigned long long)(ns % NS_PER_SEC));
}

static void
print_event(const struct event *e)
{
	print_time(e->ns);
	fprintf(trace.out, "%s id=%llu", e->tp->name,
		(unsigned long long)e->id);
	for (unsigned i = 0; i < ARRAY_SIZE(e->arg); i++)
		if (e->tp->arg[i][0] != '\0')
			fprintf(trace.out, " %s=%llu", e->tp->arg[i],
				(unsigned long long)e->arg[i]);
	putc('\n', trace.out);
}

/* Waits until what was begun before is published. */
static void
settle(struct ring *ring)
{
	while (atomic_load(&ring->busy))
		sched_yield();
	ring->top = atomic_load(&ring->head);
}

/* The oldest event before the horizon, or NULL. */
static struct ring *
oldest(u64 horizon_ns, const struct event **event)
{
	struct ring *best = NULL;
	u64 best_ns = horizon_ns;

	for (unsigned i = 0; i < RINGS; i++) {
		struct ring *ring = &trace.rings[i];
		u64 tail =
		    atomic_load_explicit(&ring->tail, memory_order_relaxed);
		const struct event *e = &ring->events[tail % RING_EVENTS];

		if (tail != ring->top && e->ns < best_ns) {
			best = ring;
			best_ns = e->ns;
			*event = e;
		}
	}
	return best;
}

static u64
take_dropped(void)
{
	u64 sum =
	    atomic_exchange_explicit(&trace.homeless, 0, memory_order_relaxed);

	for (unsigned i = 0; i < RINGS; i++)
		sum += atomic_exchange_explicit(&trace.rings[i].dropped, 0,
						memory_order_relaxed);
	return sum;
}

/* Is there a ring that may be full before the next round? */
static bool
rings_fill(void)
{
	for (unsigned i = 0; i < RINGS; i++)
		if (atomic_load(&trace.rings[i].head) -
			atomic_load(&trace.rings[i].tail) >
		    RING_EVENTS / 4)
			return true;
	return false;
}

/* Writes everything that is older than now; returns whether there was any. */
static bool
write_round(void)
{
	u64 horizon_ns = clock_now_ns(), dropped;
	const struct event *e = NULL;
	struct ring *ring;
	bool any = false;

	for (unsigned i = 0; i < RINGS; i++)
		settle(&trace.rings[i]);
	while ((ring = oldest(horizon_ns, &e)) != NULL) {
		print_event(e);
		atomic_store_explicit(
		    &ring->tail,
		    atomic_load_explicit(&ring->tail, memory_order_relaxed) + 1,
		    memory_order_release);
		any = true;
	}
	dropped = take_dropped();
	if (dropped != 0) {
		print_time(horizon_ns);
		fprintf(trace.out, "trace_dropped id=0 events=%llu\n",
			(unsigned long long)dropped);
	}
	if (any || dropped != 0)
		fflush(trace.out);
	return any || dropped != 0;
}

static bool
rings_empty(void)
{
	for (unsigned i = 0; i < RINGS; i++)
		if (atomic_load(&trace.rings[i].head) !=
		    atomic_load(&trace.rings[i].tail))
			return false;
	return true;
}

static void
sleep_until_work(void)
{
	atomic_store(&trace.asleep, true);
	if (!rings_empty() && atomic_exchange(&trace.asleep, false))
		return;
	/* Asleep, or a producer has just posted. */
	while (sem_wait(&trace.work) != 0)
		assert(errno == EINTR);
}

static void *
writer(void *arg)
{
	struct timespec round = {0, ROUND_NS};

	(void)arg;
	while (!atomic_load(&trace.stop)) {
		if (!write_round())
			sleep_until_work();
		else if (!rings_fill())
			nanosleep(&round, NULL);
	}
	while (write_round())
		;
	return NULL;
}

/* --- start and stop ---------------------------------------------------- */

static int
make_rings(void)
{
	struct ring *rings;
	struct event *events;

	if (trace.rings)
		return 0;
	rings = aligned_alloc(64, RINGS * sizeof(*rings));
	/* Untouched, what no thread uses costs address space only. */
	events = calloc((size_t)RINGS * RING_EVENTS, sizeof(*events));
	if (!rings || !events ||
	    pthread_key_create(&trace.key, give_ring_back) != 0) {
		free(rings);
		free(events);
		return -ENOMEM;
	}
	sem_init(&trace.work, 0, 0);
	memset(rings, 0, RINGS * sizeof(*rings));
	for (unsigned i = 0; i < RINGS; i++)
		rings[i].events = events + (size_t)i * RING_EVENTS;
	trace.rings = rings;
	return 0;
}

/* Left by a thread that was inside trace_emit() when the last trace ended. */
static void
skip_old_events(void)
{
	for (unsigned i = 0; i < RINGS; i++)
		atomic_store(&trace.rings[i].tail,
			     atomic_load(&trace.rings[i].head));
	take_dropped();
}

int
trace_start(const char *path, struct err *e)
{
	int fd, rc;

	assert(!trace.out);
	rc = make_rings();
	if (rc != 0)
		return err_set(e, rc, "no memory for the trace");
	fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)
		  : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	trace.out = fd < 0 ? NULL : fdopen(fd, "w");
	if (!trace.out) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return err_errno(e, rc, "cannot write the trace to '%s'",
				 path ? path : "stderr");
	}
	skip_old_events();
	atomic_store(&trace.asleep, false);
	atomic_store(&trace.stop, false);
	rc = pthread_create(&trace.writer, NULL, writer, NULL);
	if (rc != 0) {
		fclose(trace.out);
		trace.out = NULL;
		return err_errno(e, -rc, "cannot start the trace");
	}
	atomic_store_explicit(&trace.started, true, memory_order_release);
	return 0;
}

void
trace_stop(void)
{
	bool bad;

	if (!trace.out)
		return;
	FOR_POINTS(tp)
	atomic_store_explicit(&tp->on, false, memory_order_relaxed);
	atomic_store(&trace.started, false);
	atomic_store(&trace.stop, true);
	sem_post(&trace.work);
	pthread_join(trace.writer, NULL);
	bad = ferror(trace.out) != 0;
	bad |= fclose(trace.out) != 0;
	trace.out = NULL;
	if (bad)
		log_warn("the trace is not complete: it could not be written");
}

/* --- points ------------------------------------------------------------ */

/* Turns the points on that fit, or only counts them. */
static unsigned
apply(const char *pattern, bool on)
{
	unsigned n = 0;

	FOR_POINTS(tp)
	{
		if (fnmatch(pattern, tp->name, 0) != 0)
			continue;
		n++;
		if (on)
			atomic_store_explicit(&tp->on, true,
					      memory_order_relaxed);
	}
	return n;
}

static int
for_patterns(const char *patterns, bool on, struct err *e)
{
	char pattern[PATTERN_MAX];
	size_t n;

	for (const char *p = patterns;; p += n + 1) {
		n = strcspn(p, ",");
		snprintf(pattern, sizeof(pattern), "%.*s",
			 (int)MIN(n, sizeof(pattern)), p);
		if (n >= sizeof(pattern) || apply(pattern, on) == 0)
			return err_set(e, -ENOENT, "no trace point fits '%s'",
				       pattern);
		if (p[n] == '\0')
			return 0;
	}
}

int
trace_enable(const char *patterns, struct err *e)
{
	int rc = for_patterns(patterns, false, e);

	return rc == 0 ? for_patterns(patterns, true, e) : rc;
}

void
trace_list(void)
{
	FOR_POINTS(tp)
	puts(tp->name);
}
