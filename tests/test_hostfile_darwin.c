/* SPDX-License-Identifier: BSD-2-Clause */
/* Never run on macOS: cache/hostfile_darwin.c is compiled into this program
 * against tests/darwin_shim.h, which records the calls that it makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "tests/darwin_shim.h"

#include "cache/hostfile_darwin.c"

static int
set_up(void **state)
{
	(void)state;
	shim_calls[0] = '\0';
	shim_errno = 0;
	return 0;
}

static void
test_hostfile_darwin_rule9_flush_is_f_fullfsync(void **state)
{
	(void)state;
	assert_int_equal(hostfile_os_flush(7), 0);
	assert_string_equal(shim_calls, "F_FULLFSYNC fd 7;");
	assert_int_equal(hostfile_os_flush_dir(8), 0);
	assert_string_equal(shim_calls, "F_FULLFSYNC fd 7;F_FULLFSYNC fd 8;");
}

/* A file system without it is an error, not an fsync(). */
static void
test_hostfile_darwin_rule9_flush_has_no_substitute(void **state)
{
	(void)state;
	shim_errno = ENOTSUP;
	assert_int_equal(hostfile_os_flush(7), -ENOTSUP);
	assert_string_equal(shim_calls, "F_FULLFSYNC fd 7;");
}

static void
test_hostfile_darwin_opens_with_f_nocache(void **state)
{
	char path[300];
	u32 align_bytes = 0;
	const char *dir = getenv("TEST_TMP");
	int cached, other, fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/darwin.%d", dir ? dir : "/tmp",
		 (int)getpid());
	cached = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	other = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(cached >= 0 && other >= 0);
	fd = hostfile_os_open_direct(path, cached, false, &align_bytes);
	assert_true(fd >= 0 && fd != cached);
	assert_int_equal(align_bytes, 512);
	assert_string_equal(shim_calls, "F_NOCACHE 1;");
	close(fd);
	assert_int_equal(hostfile_os_open_direct(path, other, false,
						 &align_bytes),
			 -ESTALE);
	shim_errno = EINVAL;
	assert_int_equal(hostfile_os_open_direct(path, cached, true,
						 &align_bytes),
			 -ENOTSUP);
	unlink(path);
	shim_errno = 0;
	assert_int_equal(hostfile_os_open_direct(path, cached, true,
						 &align_bytes),
			 -ENOENT);
	close(cached);
	close(other);
}

static void
test_hostfile_darwin_punches_and_leaves_zeroing_to_writes(void **state)
{
	(void)state;
	assert_int_equal(hostfile_os_punch(7, 8192, 4096), 0);
	assert_string_equal(shim_calls, "F_PUNCHHOLE 8192+4096;");
	shim_errno = EINVAL;
	assert_int_equal(hostfile_os_punch(7, 8192, 4096), -EINVAL);
	assert_int_equal(hostfile_os_zero(7, 0, 4096), -EOPNOTSUPP);
}

static void
test_hostfile_darwin_locks_with_flock(void **state)
{
	char who[64];

	(void)state;
	assert_int_equal(hostfile_os_lock(7, false), 0);
	assert_int_equal(hostfile_os_lock(7, true), 0);
	hostfile_os_unlock(7);
	assert_string_equal(shim_calls, "flock EX|NB;flock SH|NB;flock UN;");
	shim_errno = EWOULDBLOCK;
	assert_int_equal(hostfile_os_lock(7, false), -EBUSY);
	hostfile_os_holder(7, who, sizeof(who));
	assert_string_equal(who, "another process");
}

static void
test_hostfile_darwin_asks_for_the_size_of_a_device(void **state)
{
	u64 size_bytes = 0;

	(void)state;
	assert_int_equal(hostfile_os_device_size(7, &size_bytes), 0);
	assert_int_equal(size_bytes, 4096 * 1000);
	assert_string_equal(shim_calls, "BLOCKSIZE;BLOCKCOUNT;");
	shim_errno = ENOTTY;
	assert_int_equal(hostfile_os_device_size(7, &size_bytes), -ENOTTY);
}

static void
test_hostfile_darwin_moves_data_by_position(void **state)
{
	struct iovec iov[2] = {{(char[]){"ab"}, 2}, {(char[]){"cd"}, 2}};
	char path[300], back[5] = "";
	const char *dir = getenv("TEST_TMP");
	struct iovec in = {back, 4};
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/darwin.%d", dir ? dir : "/tmp",
		 (int)getpid());
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(hostfile_os_writev(fd, iov, 2, 1), 4);
	assert_int_equal(hostfile_os_readv(fd, &in, 1, 1), 4);
	assert_string_equal(back, "abcd");
	close(fd);
	assert_int_equal(hostfile_os_readv(-1, &in, 1, 1), -EBADF);
	assert_int_equal(hostfile_os_writev(-1, &in, 1, 1), -EBADF);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, NULL)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_hostfile_darwin_rule9_flush_is_f_fullfsync),
	    CASE(test_hostfile_darwin_rule9_flush_has_no_substitute),
	    CASE(test_hostfile_darwin_opens_with_f_nocache),
	    CASE(test_hostfile_darwin_punches_and_leaves_zeroing_to_writes),
	    CASE(test_hostfile_darwin_locks_with_flock),
	    CASE(test_hostfile_darwin_asks_for_the_size_of_a_device),
	    CASE(test_hostfile_darwin_moves_data_by_position),
	};

	return cmocka_run_group_tests_name("hostfile_darwin", tests, NULL,
					   NULL);
}
