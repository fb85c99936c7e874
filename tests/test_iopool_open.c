/* SPDX-License-Identifier: BSD-2-Clause */
/* test_iopool_open - which backend an I/O pool gets, and why */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/iopool.h"

static void
test_iopool_open_refuses_what_there_is_not(void **state)
{
	struct iopool_config cfg = {.backend = "aio"};
	struct iopool *p;
	struct err e;

	(void)state;
	assert_int_equal(iopool_open(&p, &cfg, &e), -EINVAL);
	assert_string_equal(e.text,
			    "an I/O pool is auto, uring or threads, not 'aio'");
	cfg = (struct iopool_config){.backend = "auto", .depth = 5000};
	assert_int_equal(iopool_open(&p, &cfg, &e), -EINVAL);
	assert_string_equal(
	    e.text, "an I/O pool has at most 4096 requests and 256 threads");
	iopool_close(NULL);
}

/* As containers do: the call exists and is refused. */
static bool
forbid_io_uring(int error)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		     offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {ARRAY_SIZE(code), code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) == 0;
}

/* In a child: 77 cannot forbid, else 0 when all is as it should be. */
static int
without_io_uring(int error, const char *named)
{
	struct iopool_config cfg = {.backend = "auto"};
	struct iopool *p;
	struct err e;
	int bad = 0;

	if (!forbid_io_uring(error))
		return 77;
	if (iopool_open(&p, &cfg, &e) != 0)
		return 1;
	bad |= strcmp(iopool_backend(p), "threads") != 0;
	bad |= strcmp(iopool_why(p), named) != 0;
	iopool_close(p);
	cfg.backend = "uring";
	bad |= iopool_open(&p, &cfg, &e) != -error;
	bad |= strcmp(e.text, named) != 0;
	return bad;
}

static void
test_iopool_auto_takes_threads_where_io_uring_is_forbidden(void **state)
{
	static const struct {
		int error;
		const char *named;
	} ways[] = {{EPERM, "io_uring is not to be had on this host: "
			    "Operation not permitted"},
		    {ENOSYS, "io_uring is not to be had on this host: "
			     "Function not implemented"}};
	int status;
	pid_t pid;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
		fflush(stdout);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			_exit(without_io_uring(ways[i].error, ways[i].named));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
			printf("skip: no seccomp filter can be set here\n");
			skip();
		}
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_iopool_open_refuses_what_there_is_not),
	    cmocka_unit_test(
		test_iopool_auto_takes_threads_where_io_uring_is_forbidden),
	};

	return cmocka_run_group_tests_name("iopool_open", tests, NULL, NULL);
}
