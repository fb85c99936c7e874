/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/clock.h"
#include "tests/vmm_rig.h"
#include "vmm/mail.h"

#define CALLERS	   4
#define PER_CALLER 2000

/* A loop like the vCPU's: it sleeps, and runs what comes. */
struct loop {
	struct mail mail;
	atomic_bool stop;
	atomic_uint kicks;
	u64 sum; /* only touched by calls: the loop's thread, or under lock */
	pthread_t ran_on;
};

static void
kick(void *ctx)
{
	atomic_fetch_add(&((struct loop *)ctx)->kicks, 1);
}

static void
loop_init(struct loop *l)
{
	memset(l, 0, sizeof(*l));
	mail_init(&l->mail, kick, l);
}

static void *
loop_run(void *arg)
{
	struct loop *l = arg;

	mail_begin(&l->mail);
	while (!atomic_load(&l->stop)) {
		if (mail_woken(&l->mail))
			mail_run(&l->mail);
		else
			mail_sleep(&l->mail, UINT64_MAX);
	}
	mail_end(&l->mail);
	return NULL;
}

static void
add(void *ctx, void *arg)
{
	struct loop *l = ctx;

	l->sum += *(u64 *)arg;
	l->ran_on = pthread_self();
}

static void
add_nested(void *ctx, void *arg)
{
	struct loop *l = ctx;

	mail_call(&l->mail, add, arg);
}

static void *
caller(void *arg)
{
	struct loop *l = arg;
	u64 one = 1;

	for (int i = 0; i < PER_CALLER; i++)
		mail_call(&l->mail, i % 2 ? add : add_nested, &one);
	return NULL;
}

static void
test_mail_call_runs_here_while_no_loop_does(void **state)
{
	struct loop l;
	u64 five = 5;

	(void)state;
	loop_init(&l);
	mail_call(&l.mail, add, &five);
	assert_int_equal(l.sum, 5);
	assert_true(pthread_equal(l.ran_on, pthread_self()));
	assert_int_equal(atomic_load(&l.kicks), 0);
	mail_release(&l.mail);
}

/* Many callers, a loop that would sleep for ever: no call is lost, each runs
 * on the loop's thread, and the end runs what is left. */
static void
test_mail_no_wake_up_is_lost(void **state)
{
	struct loop l;
	pthread_t loop, callers[CALLERS];

	(void)state;
	loop_init(&l);
	assert_int_equal(pthread_create(&loop, NULL, loop_run, &l), 0);
	for (int i = 0; i < CALLERS; i++)
		assert_int_equal(pthread_create(&callers[i], NULL, caller, &l),
				 0);
	for (int i = 0; i < CALLERS; i++)
		pthread_join(callers[i], NULL);
	atomic_store(&l.stop, true);
	mail_wake(&l.mail);
	pthread_join(loop, NULL);
	assert_int_equal(l.sum, CALLERS * PER_CALLER);
	mail_release(&l.mail);
}

/* The loop may end at any moment: callers are answered all the same. */
static void
test_mail_callers_survive_the_end_of_the_loop(void **state)
{
	struct loop l;
	pthread_t loop, callers[CALLERS];

	(void)state;
	for (int round = 0; round < 20; round++) {
		loop_init(&l);
		assert_int_equal(pthread_create(&loop, NULL, loop_run, &l), 0);
		for (int i = 0; i < CALLERS; i++)
			assert_int_equal(pthread_create(&callers[i], NULL,
							caller, &l),
					 0);
		atomic_store(&l.stop, true);
		mail_wake(&l.mail);
		pthread_join(loop, NULL);
		for (int i = 0; i < CALLERS; i++)
			pthread_join(callers[i], NULL);
		assert_int_equal(l.sum, CALLERS * PER_CALLER);
		mail_release(&l.mail);
	}
}

static void
test_mail_sleep_ends_at_its_deadline(void **state)
{
	struct loop l;
	u64 start = clock_now_ns(), end;

	(void)state;
	loop_init(&l);
	/* a signal may end it early, but not this one */
	do
		mail_sleep(&l.mail, start + 2 * NS_PER_MS);
	while (clock_now_ns() < start + 2 * NS_PER_MS);
	end = clock_now_ns();
	assert_true(end - start >= 2 * NS_PER_MS);
	mail_wake(&l.mail); /* woken before: does not sleep at all */
	mail_sleep(&l.mail, UINT64_MAX);
	assert_true(mail_woken(&l.mail));
	assert_false(mail_woken(&l.mail));
	mail_release(&l.mail);
}

/* It sees a wake-up that came before or comes meanwhile, and gives up at the
 * sooner of its budget and the deadline. */
static void
test_mail_spin_ends_when_woken_or_late(void **state)
{
	struct loop l;
	u64 start_ns;

	(void)state;
	loop_init(&l);
	start_ns = clock_now_ns();
	assert_false(mail_spin(&l.mail, UINT64_MAX, NS_PER_MS));
	assert_true(clock_now_ns() - start_ns >= NS_PER_MS);
	start_ns = clock_now_ns();
	assert_false(
	    mail_spin(&l.mail, start_ns + NS_PER_MS, 3600 * NS_PER_SEC));
	assert_false(mail_spin(&l.mail, start_ns, 3600 * NS_PER_SEC));
	mail_wake(&l.mail);
	assert_true(mail_spin(&l.mail, UINT64_MAX, 3600 * NS_PER_SEC));
	assert_true(mail_woken(&l.mail)); /* the spin took nothing away */
	mail_release(&l.mail);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mail_call_runs_here_while_no_loop_does),
	    cmocka_unit_test(test_mail_no_wake_up_is_lost),
	    cmocka_unit_test(test_mail_callers_survive_the_end_of_the_loop),
	    cmocka_unit_test(test_mail_sleep_ends_at_its_deadline),
	    cmocka_unit_test(test_mail_spin_ends_when_woken_or_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
