/* SPDX-License-Identifier: BSD-2-Clause */
/* Each sentence that KVM's absence can be told in. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/kvm_int.h"

static void
test_kvm_open_says_that_there_is_none(void **state)
{
	struct err e = {""};

	(void)state;
	assert_int_equal(kvm_open_dev("/nonexistent/kvm", &e), -ENOENT);
	assert_string_equal(e.text,
			    "no KVM on this host: '/nonexistent/kvm' does not "
			    "exist or has no module behind it");
}

static void
test_kvm_open_says_that_it_is_something_else(void **state)
{
	struct err e = {""};

	(void)state;
	assert_int_equal(kvm_open_dev("/dev/null", &e), -ENOTSUP);
	assert_string_equal(e.text, "'/dev/null' is not a KVM device");
}

static void
test_kvm_open_says_other_errors_by_name(void **state)
{
	struct err e = {""};

	(void)state;
	assert_int_equal(kvm_open_dev("/dev", &e), -EISDIR);
	assert_non_null(strstr(e.text, "cannot open '/dev': "));
}

/* As another user, where this one is root; root may open everything. */
static void
test_kvm_open_says_that_permission_is_missing(void **state)
{
	const char *dir = getenv("TEST_TMP");
	char path[300];
	struct err e = {""};
	int status;
	pid_t pid;

	(void)state;
	snprintf(path, sizeof(path), "%s/kvm-locked.%d", dir ? dir : "/tmp",
		 (int)getpid());
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int r;

		if (geteuid() == 0 && setuid(65534) < 0)
			_exit(1);
		r = kvm_open_dev(path, &e);
		/* the directory itself may be closed to others: the same */
		_exit(r == -EACCES &&
			      strstr(e.text, "no permission to use '") &&
			      strstr(e.text, path)
			  ? 0
			  : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	unlink(path);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Nothing stays open, whatever happens. */
static void
test_kvm_open_leaves_no_descriptor(void **state)
{
	struct vclock clock;
	struct hv_config cfg = {.clock = &clock};
	struct err e = {""};
	struct hv *hv;
	int before, after, r = 0;

	(void)state;
	vclock_init(&clock, 0);
	before = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(before);
	for (int i = 0; i < 5; i++) {
		(void)kvm_open_dev("/dev/null", NULL);
		(void)kvm_open_dev("/nonexistent", NULL);
		cfg.want_irqchip = i & 1;
		cfg.host_cpuid = i & 2;
		r = hv_kvm.create(&hv, &cfg, &e);
		if (r == 0)
			hv_kvm.destroy(hv);
	}
	after = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(after);
	assert_int_equal(before, after);
	if (r < 0)
		print_message("skip: %s\n", e.text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kvm_open_says_that_there_is_none),
	    cmocka_unit_test(test_kvm_open_says_that_it_is_something_else),
	    cmocka_unit_test(test_kvm_open_says_other_errors_by_name),
	    cmocka_unit_test(test_kvm_open_says_that_permission_is_missing),
	    cmocka_unit_test(test_kvm_open_leaves_no_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
