/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cache/fault.h"
#include "cache/hostfile.h"
#include "tests/pool_rig.h"

#define SIZE_BYTES (256U << 10)

static char path[300];
static u8 *mem; /* SIZE_BYTES, aligned */

static int
set_up(void **state)
{
	(void)state;
	pool_rig_path(path, sizeof(path), "hostfile");
	unlink(path);
	mem = aligned_alloc(4096, SIZE_BYTES);
	return mem ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	unlink(path);
	free(mem);
	return 0;
}

static struct hostfile *
open_with(struct hostfile_options o)
{
	struct hostfile *f = NULL;
	struct err e = {""};

	if (hostfile_open(&f, path, &o, &e) != 0)
		fail_msg("%s", e.text);
	return f;
}

static struct hostfile *
open_new(void)
{
	return open_with((struct hostfile_options){.create = true,
						   .size_bytes = SIZE_BYTES});
}

static void
assert_refused(const char *name, struct hostfile_options o, int rc,
	       const char *sentence)
{
	struct hostfile *f = NULL;
	struct err e = {""};

	assert_int_equal(hostfile_open(&f, name, &o, &e), rc);
	assert_string_equal(e.text, sentence);
	assert_null(f);
}

/* --- opening ----------------------------------------------------------- */

static void
test_hostfile_makes_a_file_and_truncates_none(void **state)
{
	struct hostfile *f = open_new();
	u8 byte = 0x5a;

	(void)state;
	assert_int_equal(hostfile_size_bytes(f), SIZE_BYTES);
	assert_string_equal(hostfile_path(f), path);
	assert_false(hostfile_read_only(f));
	assert_int_equal(hostfile_write(f, 1000, &byte, 1), 0);
	hostfile_close(f);
	f = open_with(
	    (struct hostfile_options){.create = true, .size_bytes = 1});
	assert_int_equal(hostfile_size_bytes(f), SIZE_BYTES);
	assert_int_equal(hostfile_read(f, 1000, mem, 1), 0);
	assert_int_equal(mem[0], 0x5a);
	hostfile_close(f);
	hostfile_close(NULL);
}

static void
test_hostfile_open_says_why_not(void **state)
{
	struct hostfile_options rw = {0}, ro = {.read_only = true};
	struct hostfile_options make = {.create = true, .exclusive = true};
	char text[700];

	(void)state;
	assert_refused("/nonexistent/d.img", rw, -ENOENT,
		       "cannot open '/nonexistent/d.img' for writing: No such "
		       "file or directory");
	assert_refused("/nonexistent/d.img", ro, -ENOENT,
		       "cannot open '/nonexistent/d.img': No such file or "
		       "directory");
	assert_refused("/nonexistent/d.img", make, -ENOENT,
		       "cannot create '/nonexistent/d.img': No such file or "
		       "directory");
	assert_refused("/", ro, -EISDIR, "'/' is a directory");
	assert_refused("/dev/null", rw, -EINVAL,
		       "'/dev/null' is neither a file nor a block device");
	hostfile_close(open_new());
	snprintf(text, sizeof(text), "cannot create '%s': File exists", path);
	assert_refused(path, make, -EEXIST, text);
}

/* Opening a FIFO would wait for somebody at its other end. */
static void
test_hostfile_open_refuses_a_fifo_at_once(void **state)
{
	char text[700];

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(text, sizeof(text),
		 "'%s' is neither a file nor a block device", path);
	assert_refused(path, (struct hostfile_options){0}, -EINVAL, text);
	assert_refused(path, (struct hostfile_options){.read_only = true},
		       -EINVAL, text);
}

static void
test_hostfile_leaves_nothing_when_it_cannot_make_it(void **state)
{
	struct hostfile_options o = {.create = true, .size_bytes = UINT64_MAX};
	char text[700];

	(void)state;
	snprintf(text, sizeof(text),
		 "cannot make '%s' of 18446744073709551615 bytes: File too "
		 "large",
		 path);
	assert_refused(path, o, -EFBIG, text);
	assert_int_equal(access(path, F_OK), -1);
}

/* --- locks ------------------------------------------------------------- */

static void
test_hostfile_in_use_is_refused_and_named(void **state)
{
	struct hostfile *f = open_new();
	struct hostfile_options rw = {0}, ro = {.read_only = true};
	struct hostfile *a, *b;
	char text[700];

	(void)state;
	snprintf(text, sizeof(text), "'%s' is in use by this process", path);
	assert_refused(path, rw, -EBUSY, text);
	assert_refused(path, ro, -EBUSY, text);
	ro.shared = true;
	hostfile_close(open_with(ro));
	hostfile_close(f);
	ro.shared = false;
	a = open_with(ro);
	b = open_with(ro); /* readers get along */
	assert_refused(path, rw, -EBUSY, text);
	hostfile_close(a);
	hostfile_close(b);
	hostfile_close(open_with(rw));
}

/* The lock is in a child's hands, and gone with it. */
static void
test_hostfile_lock_dies_with_its_holder(void **state)
{
	int ready[2], status;
	char text[700], byte, name[64] = "";
	struct hostfile *f;
	FILE *comm;
	pid_t pid;

	(void)state;
	hostfile_close(open_new());
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct hostfile_options o = {0};
		struct err e;

		if (hostfile_open(&f, path, &o, &e) != 0 ||
		    write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	comm = fopen("/proc/self/comm", "r");
	assert_non_null(comm);
	assert_non_null(fgets(name, sizeof(name), comm));
	fclose(comm);
	name[strcspn(name, "\n")] = '\0';
	snprintf(text, sizeof(text), "'%s' is in use by process %d (%s)", path,
		 (int)pid, name);
	assert_refused(path, (struct hostfile_options){0}, -EBUSY, text);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	hostfile_close(open_with((struct hostfile_options){0}));
	close(ready[0]);
	close(ready[1]);
}

/* --- access ------------------------------------------------------------ */

static void
test_hostfile_buffered_needs_no_alignment(void **state)
{
	struct hostfile *f =
	    open_with((struct hostfile_options){.create = true,
						.buffered = true,
						.size_bytes = SIZE_BYTES});

	(void)state;
	assert_false(hostfile_direct(f));
	assert_int_equal(hostfile_align_bytes(f), 1);
	memset(mem, 0x31, 1000);
	assert_int_equal(hostfile_write(f, 77, mem, 1000), 0);
	assert_int_equal(hostfile_read(f, 77, mem + 3001, 1000), 0);
	assert_memory_equal(mem + 3001, mem, 1000);
	hostfile_close(f);
}

/* What goes past the page cache and what goes through it is one file. */
static void
test_hostfile_mixes_aligned_and_odd_access(void **state)
{
	struct hostfile *f = open_new();
	u32 align_bytes = hostfile_align_bytes(f);

	(void)state;
	if (!hostfile_direct(f)) {
		hostfile_close(f);
		printf("skip: this file system has no uncached access\n");
		skip();
	}
	assert_true(align_bytes >= 512 &&
		    (align_bytes & (align_bytes - 1)) == 0);
	memset(mem, 0x11, 16384);
	assert_int_equal(hostfile_write(f, 0, mem, 16384), 0);
	memset(mem, 0x22, 100);
	assert_int_equal(hostfile_write(f, 5000, mem, 100), 0);
	memset(mem + 32768, 0, 16384);
	assert_int_equal(hostfile_read(f, 0, mem + 32768, 16384), 0);
	for (unsigned i = 0; i < 16384; i++)
		assert_int_equal(mem[32768 + i],
				 i >= 5000 && i < 5100 ? 0x22 : 0x11);
	memset(mem, 0x33, 4096);
	assert_int_equal(hostfile_write(f, 4096, mem, 4096), 0);
	assert_int_equal(hostfile_read(f, 5000, mem + 1, 100), 0);
	assert_memory_equal(mem + 1, mem + 200, 100);
	assert_int_equal(hostfile_flush(f), 0);
	hostfile_close(f);
}

static void
test_hostfile_read_past_the_end_is_enodata(void **state)
{
	struct hostfile *f = open_new();
	struct iovec iov[2] = {{mem, 512}, {mem + 4096, 512}};

	(void)state;
	assert_int_equal(hostfile_read(f, SIZE_BYTES, mem, 1), -ENODATA);
	assert_int_equal(hostfile_readv(f, SIZE_BYTES - 512, iov, 2), -ENODATA);
	assert_int_equal(hostfile_readv(f, SIZE_BYTES - 1024, iov, 2), 0);
	assert_int_equal(hostfile_writev(f, SIZE_BYTES - 512, iov, 2), 0);
	assert_int_equal(hostfile_size_bytes(f), SIZE_BYTES + 512);
	hostfile_close(f);
}

static void
test_hostfile_discards_zeroes_and_finds_data(void **state)
{
	struct hostfile *f = open_new();
	u64 off = 0, bytes = 0;

	(void)state;
	memset(mem, 0x44, SIZE_BYTES);
	assert_int_equal(hostfile_write(f, 0, mem, SIZE_BYTES), 0);
	assert_int_equal(hostfile_discard(f, 65536, 65536), 0);
	assert_int_equal(hostfile_zero(f, 10, 20), 0);
	assert_int_equal(hostfile_read(f, 0, mem, SIZE_BYTES), 0);
	for (unsigned i = 0; i < SIZE_BYTES; i++)
		assert_int_equal(mem[i], (i >= 65536 && i < 131072) ||
						 (i >= 10 && i < 30)
					     ? 0
					     : 0x44);
	assert_int_equal(hostfile_next_data(f, 65536, &off, &bytes), 0);
	assert_true(off + bytes == SIZE_BYTES);
	assert_true(off == 131072 || off == 65536); /* knows holes, or not */
	assert_int_equal(hostfile_next_data(f, SIZE_BYTES, &off, &bytes),
			 -ENXIO);
	assert_int_equal(hostfile_resize(f, 4096), 0);
	assert_int_equal(hostfile_size_bytes(f), 4096);
	assert_int_equal(hostfile_read(f, 4096, mem, 1), -ENODATA);
	hostfile_close(f);
}

static void
test_hostfile_read_only_changes_nothing(void **state)
{
	struct hostfile *f;

	(void)state;
	hostfile_close(open_new());
	f = open_with((struct hostfile_options){.read_only = true});
	assert_true(hostfile_read_only(f));
	assert_int_equal(hostfile_write(f, 0, mem, 512), -EROFS);
	assert_int_equal(hostfile_zero(f, 0, 512), -EROFS);
	assert_int_equal(hostfile_discard(f, 0, 512), -EROFS);
	assert_int_equal(hostfile_resize(f, 0), -EROFS);
	assert_int_equal(hostfile_read(f, 0, mem, 512), 0);
	hostfile_close(f);
}

static void
test_hostfile_flush_dir_takes_any_path(void **state)
{
	(void)state;
	hostfile_close(open_new());
	assert_int_equal(hostfile_flush_dir(path), 0);
	assert_int_equal(hostfile_flush_dir("name"), 0);
	assert_int_equal(hostfile_flush_dir("/name"), 0);
	assert_int_equal(hostfile_flush_dir("/nonexistent/x"), -ENOENT);
}

/* --- faults and flushes ------------------------------------------------ */

static struct fault_set *
with_fault(struct hostfile *f, const char *rule)
{
	struct fault_set *s;
	struct err e;

	assert_int_equal(fault_set_open(&s), 0);
	assert_int_equal(fault_add(s, rule, &e), 0);
	hostfile_set_faults(f, s);
	return s;
}

static void
test_hostfile_blocking_access_meets_faults(void **state)
{
	struct hostfile *f = open_new();
	struct fault_set *s = with_fault(f, "write:EIO:count=1");
	u64 start_ns;
	struct err e;

	(void)state;
	assert_int_equal(hostfile_write(f, 0, mem, 512), -EIO);
	assert_int_equal(hostfile_write(f, 0, mem, 512), 0);
	assert_int_equal(fault_add(s, "read:delay:ms=20:count=1", &e), 0);
	start_ns = clock_now_ns();
	assert_int_equal(hostfile_read(f, 0, mem, 512), 0);
	assert_true(clock_now_ns() - start_ns >= 20 * NS_PER_MS);
	assert_int_equal(fault_add(s, "discard:ENOTSUP", &e), 0);
	assert_int_equal(hostfile_discard(f, 0, 4096), -ENOTSUP);
	hostfile_set_faults(f, NULL);
	assert_int_equal(hostfile_discard(f, 0, 4096), 0);
	hostfile_close(f);
	fault_set_close(s);
}

static void
test_hostfile_rule12_reopening_leads_out(void **state)
{
	struct hostfile *f = open_new();
	struct fault_set *s = with_fault(f, "flush:ENOSPC:count=1");

	(void)state;
	assert_int_equal(hostfile_flush_error(f), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(hostfile_flush(f), -ENOSPC);
	assert_int_equal(hostfile_flush_error(f), -ENOSPC);
	/* the host was not asked even once: the fault came before */
	assert_int_equal(atomic_load(&hostfile_stats(f)->flushes), 0);
	hostfile_close(f);
	fault_set_close(s);
	f = open_with((struct hostfile_options){0});
	assert_int_equal(hostfile_flush(f), 0);
	assert_int_equal(atomic_load(&hostfile_stats(f)->flushes), 1);
	hostfile_close(f);
}

static void
test_hostfile_rule12_the_first_error_stays(void **state)
{
	struct hostfile *f = open_new();
	struct fault_set *s = with_fault(f, "flush:EIO:count=1");
	struct err e;

	(void)state;
	assert_int_equal(hostfile_flush(f), -EIO);
	assert_int_equal(fault_add(s, "flush:ENOSPC", &e), 0);
	assert_int_equal(hostfile_flush(f), -EIO);
	hostfile_forgive(f);
	assert_int_equal(hostfile_flush(f), -ENOSPC);
	hostfile_close(f);
	fault_set_close(s);
}

static void *
flush_once(void *arg)
{
	return (void *)(intptr_t)hostfile_flush(arg);
}

/* The first is at the host for a while and then fails: those that came
 * meanwhile fail with it. */
static void
test_hostfile_rule11_overlapping_flushes_fail_together(void **state)
{
	struct hostfile *f = open_new();
	struct fault_set *s = with_fault(f, "flush:EIO:done=1:count=1");
	pthread_t ids[4];
	void *rc;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
		assert_int_equal(pthread_create(&ids[i], NULL, flush_once, f),
				 0);
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
		pthread_join(ids[i], &rc);
		assert_int_equal((intptr_t)rc, -EIO);
	}
	assert_int_equal(atomic_load(&hostfile_stats(f)->flushes), 1);
	hostfile_close(f);
	fault_set_close(s);
}

/* --- a block device ---------------------------------------------------- */

static void
test_hostfile_block_device_reads_writes_and_zeroes(void **state)
{
	struct hostfile_options o = {0};
	char device[64];
	struct hostfile *f = open_new();
	struct err e = {""};
	int rc;

	(void)state;
	hostfile_close(f);
	if (!pool_rig_make_loop(path, device, sizeof(device))) {
		printf("skip: no loop device can be made here\n");
		skip();
	}
	rc = hostfile_open(&f, device, &o, &e);
	if (rc == 0) {
		assert_int_equal(hostfile_size_bytes(f), SIZE_BYTES);
		assert_int_equal(hostfile_resize(f, 1), -ENOTSUP);
		memset(mem, 0x66, SIZE_BYTES);
		assert_int_equal(hostfile_write(f, 0, mem, SIZE_BYTES), 0);
		assert_int_equal(hostfile_zero(f, 4096, 4096), 0);
		assert_int_equal(hostfile_zero(f, 65536 + 5, 10), 0);
		assert_int_equal(hostfile_discard(f, 131072, 65536), 0);
		assert_int_equal(hostfile_flush(f), 0);
		assert_int_equal(hostfile_read(f, SIZE_BYTES, mem, 1),
				 -ENODATA);
		assert_int_equal(hostfile_read(f, 0, mem, SIZE_BYTES), 0);
		hostfile_close(f);
	}
	pool_rig_remove_loop(device);
	if (rc != 0)
		fail_msg("%s", e.text);
	for (unsigned i = 0; i < SIZE_BYTES; i++)
		assert_int_equal(mem[i], (i >= 4096 && i < 8192) ||
						 (i >= 65541 && i < 65551) ||
						 (i >= 131072 && i < 196608)
					     ? 0
					     : 0x66);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_hostfile_makes_a_file_and_truncates_none),
	    CASE(test_hostfile_open_says_why_not),
	    CASE(test_hostfile_open_refuses_a_fifo_at_once),
	    CASE(test_hostfile_leaves_nothing_when_it_cannot_make_it),
	    CASE(test_hostfile_in_use_is_refused_and_named),
	    CASE(test_hostfile_lock_dies_with_its_holder),
	    CASE(test_hostfile_buffered_needs_no_alignment),
	    CASE(test_hostfile_mixes_aligned_and_odd_access),
	    CASE(test_hostfile_read_past_the_end_is_enodata),
	    CASE(test_hostfile_discards_zeroes_and_finds_data),
	    CASE(test_hostfile_read_only_changes_nothing),
	    CASE(test_hostfile_flush_dir_takes_any_path),
	    CASE(test_hostfile_blocking_access_meets_faults),
	    CASE(test_hostfile_rule12_reopening_leads_out),
	    CASE(test_hostfile_rule12_the_first_error_stays),
	    CASE(test_hostfile_rule11_overlapping_flushes_fail_together),
	    CASE(test_hostfile_block_device_reads_writes_and_zeroes),
	};

	return cmocka_run_group_tests_name("hostfile", tests, NULL, NULL);
}
