/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/lock.h"

#define THREADS 4
#define ROUNDS	20000

struct shared {
	struct lock lock;
	struct cond turn;
	u64 count;     /* [lock] */
	unsigned next; /* [lock] */
};

static struct shared shared;

static void
add_one_locked(struct shared *s) REQUIRES(s->lock)
{
	s->count++;
}

static void *
add_many(void *arg)
{
	unsigned i;

	(void)arg;
	for (i = 0; i < ROUNDS; i++) {
		lock_acquire(&shared.lock);
		add_one_locked(&shared);
		lock_release(&shared.lock);
	}
	return NULL;
}

static void
run_threads(void *(*body)(void *))
{
	pthread_t threads[THREADS];
	size_t i;

	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, body,
						(void *)i),
				 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void
test_lock_keeps_threads_apart(void **state)
{
	(void)state;
	lock_init(&shared.lock);
	shared.count = 0;
	run_threads(add_many);
	assert_int_equal(shared.count, THREADS * ROUNDS);
	lock_destroy(&shared.lock);
}

/* Threads take turns, so each step needs a wake-up from the one before. */
static void *
take_turns(void *arg)
{
	unsigned me = (unsigned)(size_t)arg, i;

	lock_acquire(&shared.lock);
	for (i = 0; i < 100; i++) {
		while (shared.next != me)
			cond_wait(&shared.turn, &shared.lock);
		add_one_locked(&shared);
		shared.next = (me + 1) % THREADS;
		cond_wake_all(&shared.turn);
	}
	lock_release(&shared.lock);
	return NULL;
}

static void
test_cond_hands_the_turn_on(void **state)
{
	(void)state;
	lock_init(&shared.lock);
	cond_init(&shared.turn);
	shared.count = 0;
	shared.next = 0;
	run_threads(take_turns);
	assert_int_equal(shared.count, THREADS * 100);
	assert_int_equal(shared.next, 0);
	cond_destroy(&shared.turn);
	lock_destroy(&shared.lock);
}

static void
test_lock_recursive_lets_its_holder_in_again(void **state)
{
	struct lock outer;

	(void)state;
	lock_init_recursive(&outer);
	assert_int_equal(pthread_mutex_trylock(&outer.mutex), 0);
	assert_int_equal(pthread_mutex_trylock(&outer.mutex), 0);
	pthread_mutex_unlock(&outer.mutex);
	pthread_mutex_unlock(&outer.mutex);
	lock_destroy(&outer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lock_keeps_threads_apart),
	    cmocka_unit_test(test_cond_hands_the_turn_on),
	    cmocka_unit_test(test_lock_recursive_lets_its_holder_in_again),
	};

	return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
