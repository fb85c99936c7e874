/* SPDX-License-Identifier: BSD-2-Clause */
/* The choice of a driver. Drivers of other speeds are made from a real one: it
 * runs, and its loop counter is reported as if it had gone further. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "driver/choose_int.h"

#ifdef SPINDLE_NO_SOFT
#define BASE hv_kvm
#else
#define BASE hv_soft
#endif

static u64 pace; /* how many times faster the fast one claims to be */

static void
fast_state_get(struct hv *hv, struct cpu_state *s)
{
	BASE.state_get(hv, s);
	s->gpr[RCX] = UINT64_MAX - (UINT64_MAX - s->gpr[RCX]) * pace;
}

static int
absent_create(struct hv **out, const struct hv_config *cfg, struct err *e)
{
	(void)out;
	(void)cfg;
	return err_set(e, -ENOENT, "nobody is here");
}

/* An hv's ops are those of the driver that made it: the wrapper's are put in
 * their place. */
static struct hv_ops fast_ops;

static int
fast_create(struct hv **out, const struct hv_config *cfg, struct err *e)
{
	int r = BASE.create(out, cfg, e);

	if (r == 0)
		(*out)->ops = &fast_ops;
	return r;
}

static int
make_ops(void **state)
{
	(void)state;
	fast_ops = BASE;
	fast_ops.name = "fast";
	fast_ops.create = fast_create;
	fast_ops.state_get = fast_state_get;
	pace = 50;
	return 0;
}

static void
test_choose_auto_takes_kvm_when_it_is_faster(void **state)
{
	const struct hv_ops *got = NULL;
	char why[200] = "";
	struct err e = {""};

	(void)state;
	assert_int_equal(hv_choose_auto(&got, &fast_ops, &BASE, why, &e), 0);
	assert_ptr_equal(got, &fast_ops);
	assert_memory_equal(why, "kvm: ", 5);
	assert_string_equal(e.text, "");
}

static void
test_choose_auto_takes_soft_when_kvm_is_slower(void **state)
{
	const struct hv_ops *got = NULL;
	char why[200] = "";
	struct err e = {""};
	double kvm, soft;

	(void)state;
	assert_int_equal(hv_choose_auto(&got, &BASE, &fast_ops, why, &e), 0);
	assert_ptr_equal(got, &fast_ops);
	/* both figures are told, and they are the reason */
	assert_int_equal(sscanf(why,
				"soft: /dev/kvm here runs %lf MIPS, the "
				"software CPU %lf",
				&kvm, &soft),
			 2);
	assert_true(kvm > 0);
	assert_true(soft > kvm);
}

static void
test_choose_auto_says_why_there_is_no_kvm(void **state)
{
	struct hv_ops absent = BASE;
	const struct hv_ops *got = NULL;
	char why[200] = "";
	struct err e = {""};

	(void)state;
	absent.create = absent_create;
	assert_int_equal(hv_choose_auto(&got, &absent, &BASE, why, &e), 0);
	assert_ptr_equal(got, &BASE);
	assert_string_equal(why, "soft: nobody is here");
	/* the other way round, and neither */
	assert_int_equal(hv_choose_auto(&got, &BASE, &absent, why, &e), 0);
	assert_ptr_equal(got, &BASE);
	assert_string_equal(why, "kvm: nobody is here");
	assert_int_equal(hv_choose_auto(&got, &absent, &absent, why, &e),
			 -ENOENT);
	assert_string_equal(e.text, "nobody is here; and nobody is here");
	assert_int_equal(hv_choose_auto(&got, &BASE, NULL, why, &e), 0);
	assert_string_equal(why, "kvm: the software CPU is not built in");
}

static void
broken_run(struct hv *hv, u64 deadline_ns, struct vm_exit *x)
{
	(void)hv;
	(void)deadline_ns;
	x->kind = HV_EXIT_SHUTDOWN;
}

static void
idle_run(struct hv *hv, u64 deadline_ns, struct vm_exit *x)
{
	(void)hv;
	(void)deadline_ns;
	x->kind = HV_EXIT_KICK;
}

/* One that fails in the loop, or returns too early for ever, is not taken and
 * does not hang the choice. */
static void
test_choose_auto_refuses_a_driver_that_cannot_run_the_loop(void **state)
{
	const struct hv_ops *got = NULL;
	char why[200] = "";

	(void)state;
	fast_ops.run = broken_run;
	assert_int_equal(hv_choose_auto(&got, &fast_ops, &BASE, why, NULL), 0);
	assert_ptr_equal(got, &BASE);
	assert_non_null(strstr(why, "fast cannot run a loop"));
	fast_ops.run = idle_run;
	assert_int_equal(hv_choose_auto(&got, &fast_ops, &BASE, why, NULL), 0);
	assert_ptr_equal(got, &BASE);
	assert_int_equal(make_ops(NULL), 0);
}

static void
test_choose_refuses_an_unknown_name(void **state)
{
	static const char *const names[] = {"", "qemu", "KVM", "kvm ", "autos"};
	const struct hv_ops *got = &BASE;
	char why[200] = "untouched";
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		e.text[0] = '\0';
		assert_int_equal(hv_choose(&got, names[i], why, &e), -EINVAL);
		assert_non_null(strstr(e.text, "no driver is called '"));
		assert_non_null(strstr(e.text, names[i]));
		assert_string_equal(why, "untouched");
	}
}

static void
test_choose_takes_each_driver_by_name(void **state)
{
	const struct hv_ops *got = NULL;
	char why[200];
	struct err e;
	int r;

	(void)state;
#ifndef SPINDLE_NO_SOFT
	assert_int_equal(hv_choose(&got, "soft", why, &e), 0);
	assert_ptr_equal(got, &hv_soft);
	assert_string_equal(why, "soft: asked for by name");
#endif
	r = hv_choose(&got, "kvm", why, &e);
	if (r < 0) {
		/* one sentence, and nothing else is chosen silently */
		assert_true(strlen(e.text) > 10);
		print_message("skip: %s\n", e.text);
		return;
	}
	assert_ptr_equal(got, &hv_kvm);
	assert_string_equal(why, "kvm: asked for by name");
}

static void
test_choose_auto_finds_a_driver_on_this_host(void **state)
{
	const struct hv_ops *got = NULL;
	char why[200] = "";
	struct err e = {""};
	u64 before = clock_cpu_ns();

	(void)state;
	assert_int_equal(hv_choose(&got, "auto", why, &e), 0);
	print_message("%s\n", why);
	assert_non_null(got);
	assert_int_equal(strncmp(why, got->name, strlen(got->name)), 0);
	assert_int_equal(why[strlen(got->name)], ':');
	/* two times 15.5 ms at most and the making of two machines, also
	 * where KVM emulates, under sanitizers and on a busy host */
	assert_in_range(clock_cpu_ns() - before, 0, 2000 * NS_PER_MS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_choose_auto_takes_kvm_when_it_is_faster),
	    cmocka_unit_test(test_choose_auto_takes_soft_when_kvm_is_slower),
	    cmocka_unit_test(test_choose_auto_says_why_there_is_no_kvm),
	    cmocka_unit_test(
		test_choose_auto_refuses_a_driver_that_cannot_run_the_loop),
	    cmocka_unit_test(test_choose_refuses_an_unknown_name),
	    cmocka_unit_test(test_choose_takes_each_driver_by_name),
	    cmocka_unit_test(test_choose_auto_finds_a_driver_on_this_host),
	};

	return cmocka_run_group_tests(tests, make_ops, NULL);
}
