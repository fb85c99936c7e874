/* SPDX-License-Identifier: BSD-2-Clause */
/* ut_threads - threads, futexes and atomic instructions */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "guest/tests/ut.h"

#define THREADS 6
#define ROUNDS	20000

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static u64 plain_count;
static atomic_ullong atomic_count;
static unsigned turn;
static __thread u64 own_count;
static u64 results[THREADS];

struct wide {
	u64 low, high;
} __attribute__((aligned(16)));
static struct wide wide;

/* Adds 1 to low and 3 to high in one step. */
static void
add_wide(void)
{
#if UT_64
	struct wide seen = wide;
	u8 done;

	do {
		u64 low = seen.low + 1, high = seen.high + 3;

		__asm__ volatile("lock cmpxchg16b %1; sete %0"
				 : "=q"(done), "+m"(wide), "+a"(seen.low),
				   "+d"(seen.high)
				 : "b"(low), "c"(high)
				 : "memory", "cc");
	} while (!done);
#else
	u64 seen = wide.low, want;

	do
		want = seen + 1;
	while (!__atomic_compare_exchange_n(&wide.low, &seen, want, 0,
					    __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST));
	pthread_mutex_lock(&mutex);
	wide.high += 3;
	pthread_mutex_unlock(&mutex);
#endif
}

static void *
count_up(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		atomic_fetch_add(&atomic_count, me + 1);
		own_count += i ^ me;
		add_wide();
		if (i % 16 == 0) {
			pthread_mutex_lock(&mutex);
			plain_count += me;
			pthread_mutex_unlock(&mutex);
		}
		if (i % 1024 == me)
			sched_yield();
	}
	pthread_barrier_wait(&barrier);
	results[me] = own_count;
	return NULL;
}

/* One turn after the other, handed on under a condition variable. */
static void *
take_turns(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < 200; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % THREADS != me)
			pthread_cond_wait(&turn_changed, &mutex);
		results[me] = results[me] * 31 + turn;
		turn++;
		pthread_cond_broadcast(&turn_changed);
		pthread_mutex_unlock(&mutex);
	}
	return (void *)(uintptr_t)(me * 7);
}

static void
run(void *(*fn)(void *), const char *name)
{
	pthread_t thread[THREADS];
	uintptr_t sum = 0;

	for (uintptr_t i = 0; i < THREADS; i++)
		UT_CHECK(pthread_create(&thread[i], NULL, fn, (void *)i) == 0);
	for (unsigned i = 0; i < THREADS; i++) {
		void *value;

		pthread_join(thread[i], &value);
		sum += (uintptr_t)value;
	}
	printf("%s: returned %lu, hash %016llx\n", name, (unsigned long)sum,
	       (unsigned long long)ut_hash(UT_HASH, results, sizeof(results)));
}

void
ut_threads(void)
{
	pthread_barrier_init(&barrier, NULL, THREADS);
	run(count_up, "count");
	printf("atomic %llu plain %llu wide %llu %llu\n",
	       (unsigned long long)atomic_count,
	       (unsigned long long)plain_count, (unsigned long long)wide.low,
	       (unsigned long long)wide.high);
	memset(results, 0, sizeof(results));
	run(take_turns, "turns");
	pthread_barrier_destroy(&barrier);
}
