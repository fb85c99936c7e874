/* SPDX-License-Identifier: BSD-2-Clause */
/* struct disk over real files, on both backends of the pool. */
#include "hdd/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cache/iopool.h"

#define SECTORS 4096U /* of the test's file: 2 MiB */
#define SEC	DISK_SECTOR_BYTES

struct rig {
	char path[200];
	struct iopool *pool;
	struct disk *disk;
	int wake_fd;
	u64 timer_ns; /* deadline, 0: none */
	unsigned stops;
	char stop_text[500];
};

static const char *backend;

static void
wake(void *ctx)
{
	struct rig *r = ctx;
	u64 one = 1;

	assert_int_equal(write(r->wake_fd, &one, 8), 8);
}

static void
timer(void *ctx, u64 delay_ns)
{
	struct rig *r = ctx;

	r->timer_ns = clock_now_ns() + delay_ns;
}

static void
stop(void *ctx, const char *text)
{
	struct rig *r = ctx;

	r->stops++;
	snprintf(r->stop_text, sizeof(r->stop_text), "%s", text);
}

static void
make_file(struct rig *r, u64 size_bytes)
{
	const char *dir = getenv("TEST_TMP");
	int fd;

	snprintf(r->path, sizeof(r->path), "%s/disk.XXXXXX",
		 dir != NULL ? dir : "/tmp");
	fd = mkstemp(r->path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size_bytes), 0);
	close(fd);
}

static void
rig_open(struct rig *r, struct disk_config cfg)
{
	struct iopool_config pc = {.backend = backend};
	struct disk_host host = {wake, timer, stop, r};
	struct err e = {""};

	memset(r, 0, sizeof(*r));
	make_file(r, (u64)SECTORS * SEC);
	r->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (iopool_open(&r->pool, &pc, &e) != 0)
		fail_msg("%s", e.text);
	cfg.path = r->path;
	cfg.pool = r->pool;
	if (disk_open(&r->disk, &cfg, &e) != 0)
		fail_msg("%s", e.text);
	disk_attach(r->disk, &host);
}

static int
rig_close(struct rig *r)
{
	struct err e = {""};
	int rc;

	disk_attach(r->disk, NULL);
	rc = disk_close(r->disk, &e);
	assert_true((rc == 0) == (e.text[0] == '\0'));
	iopool_close(r->pool);
	close(r->wake_fd);
	unlink(r->path);
	return rc;
}

static void
req_done(struct disk_req *r)
{
	*(bool *)r->ctx = true;
}

/* Runs the disk until *done, or for ms. */
static void
run_until(struct rig *r, const bool *done, int ms)
{
	u64 end_ns = clock_now_ns() + (u64)ms * NS_PER_MS;

	while (!*done && clock_now_ns() < end_ns) {
		struct pollfd p = {r->wake_fd, POLLIN, 0};
		u64 now = clock_now_ns(), n;
		u64 until =
		    r->timer_ns != 0 ? MIN(end_ns, r->timer_ns) : end_ns;

		if (poll(&p, 1,
			 until > now ? (int)((until - now) / NS_PER_MS) + 1
				     : 0) > 0)
			assert_int_equal(read(r->wake_fd, &n, 8), 8);
		if (r->timer_ns != 0 && clock_now_ns() >= r->timer_ns)
			r->timer_ns = 0;
		disk_run(r->disk);
	}
}

/* Runs the disk until a policy has stopped it. */
static void
wait_for_stop(struct rig *r)
{
	bool never = false;

	for (int i = 0; i < 100 && r->stops == 0; i++)
		run_until(r, &never, 20);
	assert_int_equal(r->stops, 1);
}

/* One request; waits for its end. */
static int
io(struct rig *r, enum disk_op op, u64 lba, u32 count, void *buf)
{
	struct iovec iov = {buf, (size_t)count * SEC};
	bool done = false;
	struct disk_req q = {
	    .op = op,
	    .lba = lba,
	    .count = count,
	    .iov = &iov,
	    .iov_count = buf != NULL,
	    .done = req_done,
	    .ctx = &done,
	};

	if (!disk_submit(r->disk, &q)) {
		run_until(r, &done, 20000);
		assert_true(done);
	}
	return q.error;
}

static void
fill(u8 *buf, u32 count, u8 seed)
{
	for (u32 i = 0; i < count * SEC; i++)
		buf[i] = (u8)(i * 7 + i / SEC + seed);
}

static void
read_file(struct rig *r, u64 lba, u32 count, u8 *buf)
{
	int fd = open(r->path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, buf, (size_t)count * SEC,
			       (off_t)(lba * SEC)),
			 count * SEC);
	close(fd);
}

static u8 out[256 * SEC], in[256 * SEC];

/* --- the way there and back -------------------------------------------- */

static const enum disk_cache modes[] = {DISK_WRITEBACK, DISK_WRITETHROUGH,
					DISK_NONE};

static void
test_disk_reads_what_was_written_in_every_mode(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct rig r;

		rig_open(&r, (struct disk_config){.cache = modes[i]});
		for (u32 n = 1; n <= 256; n = n * 3 + 1) {
			fill(out, n, (u8)(n + i));
			assert_int_equal(io(&r, DISK_WRITE, 100 + n, n, out),
					 0);
			memset(in, 0xee, sizeof(in));
			assert_int_equal(io(&r, DISK_READ, 100 + n, n, in), 0);
			assert_memory_equal(in, out, n * SEC);
		}
		assert_int_equal(io(&r, DISK_FLUSH, 0, 0, NULL), 0);
		assert_int_equal(rig_close(&r), 0);
	}
}

static void
test_disk_rule05_flush_brings_data_to_the_file(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, (struct disk_config){.cache = DISK_WRITEBACK});
	fill(out, 8, 3);
	assert_int_equal(io(&r, DISK_WRITE, 4000, 8, out), 0);
	assert_int_equal(io(&r, DISK_FLUSH, 0, 0, NULL), 0);
	read_file(&r, 4000, 8, in);
	assert_memory_equal(in, out, 8 * SEC);
	assert_int_equal(rig_close(&r), 0);
}

static void
test_disk_rule24_close_flushes(void **state)
{
	struct rig r;
	struct err e;

	(void)state;
	rig_open(&r, (struct disk_config){.cache = DISK_WRITEBACK});
	fill(out, 8, 5);
	assert_int_equal(io(&r, DISK_WRITE, 8, 8, out), 0);
	disk_attach(r.disk, NULL);
	assert_int_equal(disk_close(r.disk, &e), 0);
	read_file(&r, 8, 8, in);
	assert_memory_equal(in, out, 8 * SEC);
	iopool_close(r.pool);
	close(r.wake_fd);
	unlink(r.path);
}

static void
test_disk_rule24_close_says_when_the_last_flush_fails(void **state)
{
	const char *rules[] = {"flush:EIO:after=1"};
	struct rig r;

	(void)state;
	/* the first flush is that of opening (disk-rules 23) */
	rig_open(&r, (struct disk_config){.faults = rules, .fault_count = 1});
	assert_int_equal(io(&r, DISK_WRITE, 8, 8, out), 0);
	assert_int_equal(rig_close(&r), -EIO);
}

static void
test_disk_rule15_cache_off_makes_writes_durable(void **state)
{
	struct rig r;
	const struct disk_stats *st;

	(void)state;
	rig_open(&r, (struct disk_config){.cache = DISK_WRITEBACK});
	st = disk_stats(r.disk);
	assert_true(disk_cache_is_on(r.disk));
	assert_int_equal(io(&r, DISK_CACHE_OFF, 0, 0, NULL), 0);
	assert_false(disk_cache_is_on(r.disk));
	fill(out, 4, 9);
	assert_int_equal(io(&r, DISK_WRITE, 77, 4, out), 0);
	read_file(&r, 77, 4, in);
	assert_memory_equal(in, out, 4 * SEC);
	assert_int_equal(io(&r, DISK_CACHE_ON, 0, 0, NULL), 0);
	assert_true(disk_cache_is_on(r.disk));
	assert_int_equal(st->op[DISK_WRITE].requests, 1);
	assert_int_equal(rig_close(&r), 0);
}

static void
test_disk_rule15_cache_stays_on_when_off_fails(void **state)
{
	const char *rules[] = {"flush:EIO:after=1:count=1"};
	struct rig r;

	(void)state;
	rig_open(&r, (struct disk_config){.faults = rules, .fault_count = 1});
	assert_int_equal(io(&r, DISK_WRITE, 8, 8, out), 0);
	assert_int_equal(io(&r, DISK_CACHE_OFF, 0, 0, NULL), -EIO);
	assert_true(disk_cache_is_on(r.disk));
	/* and it stays failed (disk-rules 12) */
	assert_int_equal(io(&r, DISK_FLUSH, 0, 0, NULL), -EIO);
	assert_int_equal(rig_close(&r), -EIO);
}

static void
test_disk_discard_reads_as_zeros(void **state)
{
	static const u8 zeros[64 * SEC];
	struct rig r;

	(void)state;
	rig_open(&r, (struct disk_config){.cache = DISK_WRITEBACK});
	fill(out, 64, 1);
	assert_int_equal(io(&r, DISK_WRITE, 0, 64, out), 0);
	assert_int_equal(io(&r, DISK_DISCARD, 8, 32, NULL), 0);
	assert_int_equal(io(&r, DISK_READ, 0, 64, in), 0);
	assert_memory_equal(in, out, 8 * SEC);
	assert_memory_equal(in + 8 * SEC, zeros, 32 * SEC);
	assert_memory_equal(in + 40 * SEC, out + 40 * SEC, 24 * SEC);
	assert_int_equal(io(&r, DISK_FLUSH, 0, 0, NULL), 0);
	read_file(&r, 8, 32, in);
	assert_memory_equal(in, zeros, 32 * SEC);
	assert_int_equal(rig_close(&r), 0);
}

/* --- what is refused --------------------------------------------------- */

static void
test_disk_refuses_ranges_outside(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, (struct disk_config){0});
	assert_int_equal(io(&r, DISK_READ, SECTORS, 1, in), -ERANGE);
	assert_int_equal(io(&r, DISK_READ, SECTORS - 1, 2, in), -ERANGE);
	assert_int_equal(io(&r, DISK_WRITE, UINT64_MAX, 2, in), -ERANGE);
	assert_int_equal(io(&r, DISK_READ, 0, 0, in), -ERANGE);
	assert_int_equal(io(&r, DISK_READ, SECTORS - 1, 1, in), 0);
	assert_int_equal(rig_close(&r), 0);
}

static void
test_disk_refuses_writes_when_read_only(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, (struct disk_config){.read_only = true});
	assert_int_equal(io(&r, DISK_WRITE, 0, 1, in), -EROFS);
	assert_int_equal(io(&r, DISK_DISCARD, 0, 1, NULL), -EROFS);
	assert_int_equal(io(&r, DISK_READ, 0, 1, in), 0);
	assert_int_equal(io(&r, DISK_FLUSH, 0, 0, NULL), 0);
	assert_int_equal(rig_close(&r), 0);
}

/* Opens path and expects the sentence. */
static void
expect_refusal(const char *path, const char *text)
{
	struct iopool_config pc = {.backend = backend};
	struct disk_config cfg = {.path = path};
	struct iopool *pool;
	struct disk *d = NULL;
	struct err e = {""};

	assert_int_equal(iopool_open(&pool, &pc, &e), 0);
	cfg.pool = pool;
	assert_true(disk_open(&d, &cfg, &e) < 0);
	assert_null(d);
	if (strstr(e.text, text) == NULL)
		fail_msg("'%s' lacks '%s'", e.text, text);
	assert_non_null(strstr(e.text, path));
	iopool_close(pool);
}

static void
test_disk_open_says_what_is_wrong_with_a_file(void **state)
{
	struct rig r = {0};

	(void)state;
	expect_refusal("/nonexistent/disk", "No such file");
	expect_refusal("/tmp", "directory");
	make_file(&r, 0);
	expect_refusal(r.path, "empty");
	assert_int_equal(truncate(r.path, 513), 0);
	expect_refusal(r.path, "multiple of 512");
	unlink(r.path);
}

static void
test_disk_open_names_a_disk_in_use(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, (struct disk_config){0});
	expect_refusal(r.path, "in use");
	assert_int_equal(rig_close(&r), 0);
}

/* --- errors and policies ----------------------------------------------- */

static void
test_disk_read_error_names_the_sector(void **state)
{
	/* bytes of sector 50 */
	const char *rules[] = {"read:EIO:off=25600-26112"};
	bool done = false;
	struct iovec iov = {in, 16 * SEC};
	struct disk_req q = {.op = DISK_READ,
			     .lba = 40,
			     .count = 16,
			     .iov = &iov,
			     .iov_count = 1,
			     .done = req_done,
			     .ctx = &done};
	struct rig r;

	(void)state;
	rig_open(&r, (struct disk_config){.faults = rules, .fault_count = 1});
	if (!disk_submit(r.disk, &q))
		run_until(&r, &done, 20000);
	assert_int_equal(q.error, -EIO);
	assert_int_equal(q.error_lba, 50);
	assert_int_equal(io(&r, DISK_READ, 40, 10, in), 0);
	assert_int_equal(io(&r, DISK_READ, 51, 10, in), 0);
	assert_int_equal(disk_stats(r.disk)->bad_sectors, 1);
	assert_int_equal(rig_close(&r), 0);
}

static void
test_disk_policy_stop_holds_the_error_until_retry(void **state)
{
	const char *rules[] = {"read:EIO:count=1000000"};
	struct iovec iov = {in, SEC};
	bool done = false;
	struct disk_req q = {.op = DISK_READ,
			     .lba = 5,
			     .count = 1,
			     .iov = &iov,
			     .iov_count = 1,
			     .done = req_done,
			     .ctx = &done};
	struct rig r;
	struct err e;

	(void)state;
	rig_open(&r, (struct disk_config){.rerror = DISK_STOP,
					  .faults = rules,
					  .fault_count = 1});
	assert_false(disk_submit(r.disk, &q));
	wait_for_stop(&r);
	assert_non_null(strstr(r.stop_text, "sector 5"));
	assert_false(done);
	assert_int_equal(disk_in_flight(r.disk), 1);
	assert_int_equal(disk_fault(r.disk, NULL, &e), 0);
	disk_retry(r.disk);
	run_until(&r, &done, 20000);
	assert_true(done);
	assert_int_equal(q.error, 0);
	assert_int_equal(disk_in_flight(r.disk), 0);
	assert_int_equal(rig_close(&r), 0);
}

static void
test_disk_policy_enospc_stops_for_lack_of_space_only(void **state)
{
	const char *rules[] = {"write:ENOSPC:count=1000000"};
	bool done = false;
	struct disk_req q = {.op = DISK_FLUSH, .done = req_done, .ctx = &done};
	struct rig r;
	struct err e;

	(void)state;
	rig_open(&r, (struct disk_config){.werror = DISK_ENOSPC,
					  .faults = rules,
					  .fault_count = 1});
	fill(out, 8, 1);
	assert_int_equal(io(&r, DISK_WRITE, 8, 8, out), 0);
	assert_false(disk_submit(r.disk, &q));
	wait_for_stop(&r);
	assert_false(done);
	/* space returns: nothing was lost */
	assert_int_equal(disk_fault(r.disk, NULL, &e), 0);
	disk_retry(r.disk);
	run_until(&r, &done, 20000);
	assert_true(done);
	assert_int_equal(q.error, 0);
	read_file(&r, 8, 8, in);
	assert_memory_equal(in, out, 8 * SEC);
	/* another error is reported */
	assert_int_equal(disk_fault(r.disk, "write:EIO", &e), 0);
	assert_int_equal(io(&r, DISK_WRITE, 8, 8, out), 0);
	assert_int_equal(io(&r, DISK_FLUSH, 0, 0, NULL), -EIO);
	assert_int_equal(r.stops, 1);
	assert_int_equal(disk_fault(r.disk, NULL, &e), 0);
	assert_int_equal(rig_close(&r), 0);
}

/* The guest never hears of the failed flush, so it may succeed later: when
 * somebody says so, and after everything was written again. */
static void
test_disk_rule12_a_stopped_flush_succeeds_when_told_to_go_on(void **state)
{
	const char *rules[] = {"flush:EIO:after=1:count=1"};
	bool done = false;
	struct disk_req q = {.op = DISK_FLUSH, .done = req_done, .ctx = &done};
	struct rig r;
	json_t *o;
	char *text;

	(void)state;
	rig_open(&r, (struct disk_config){.werror = DISK_STOP,
					  .faults = rules,
					  .fault_count = 1});
	fill(out, 8, 1);
	assert_int_equal(io(&r, DISK_WRITE, 8, 8, out), 0);
	assert_false(disk_submit(r.disk, &q));
	wait_for_stop(&r);
	assert_false(done);
	disk_retry(r.disk);
	run_until(&r, &done, 20000);
	assert_true(done);
	assert_int_equal(q.error, 0);
	text = disk_stats_json(r.disk);
	o = json_loads(text, 0, NULL);
	/* the data went to the host twice: before and after the failure */
	assert_int_equal(json_integer_value(
			     json_object_get(json_object_get(o, "host"),
					     "writes")),
			 2);
	json_decref(o);
	free(text);
	assert_int_equal(rig_close(&r), 0);
}

/* --- limits ------------------------------------------------------------ */

static void
test_disk_limit_of_requests_is_kept(void **state)
{
	struct rig r;
	u64 start_ns, ns;

	(void)state;
	rig_open(&r, (struct disk_config){.ops = {.per_s = 200, .burst = 10}});
	start_ns = clock_now_ns();
	for (int i = 0; i < 50; i++)
		assert_int_equal(io(&r, DISK_WRITE, 8, 8, out), 0);
	ns = clock_now_ns() - start_ns;
	/* 10 at once, 40 at 5 ms each */
	assert_in_range(ns, 195 * NS_PER_MS, 2000 * NS_PER_MS);
	assert_true(disk_stats(r.disk)->throttled >= 30);
	assert_int_equal(rig_close(&r), 0);
}

static void
test_disk_limit_lets_a_request_above_the_burst_through(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, (struct disk_config){
			 .bytes = {.per_s = 10 << 20, .burst = 4096}});
	assert_int_equal(io(&r, DISK_WRITE, 0, 256, out), 0);
	assert_int_equal(io(&r, DISK_WRITE, 0, 256, out), 0);
	assert_int_equal(rig_close(&r), 0);
}

/* --- counting ---------------------------------------------------------- */

static void
test_disk_stats_are_json_and_true(void **state)
{
	struct rig r;
	json_t *o, *w;
	char *text;

	(void)state;
	rig_open(&r, (struct disk_config){.cache = DISK_WRITEBACK});
	for (int i = 0; i < 5; i++)
		assert_int_equal(io(&r, DISK_WRITE, 8, 8, out), 0);
	assert_int_equal(io(&r, DISK_FLUSH, 0, 0, NULL), 0);
	text = disk_stats_json(r.disk);
	o = json_loads(text, 0, NULL);
	assert_non_null(o);
	w = json_object_get(json_object_get(o, "device"), "write");
	assert_int_equal(json_integer_value(json_object_get(w, "requests")), 5);
	assert_int_equal(json_integer_value(json_object_get(w, "sectors")), 40);
	w = json_object_get(o, "host");
	/* one of opening, one of the guest */
	assert_int_equal(json_integer_value(json_object_get(w, "flushes")), 2);
	assert_int_equal(json_integer_value(json_object_get(w, "writes")), 1);
	json_decref(o);
	free(text);
	assert_int_equal(rig_close(&r), 0);
}

static void
test_disk_serial_is_the_same_each_time(void **state)
{
	struct rig r;
	char first[21];

	(void)state;
	rig_open(&r, (struct disk_config){0});
	snprintf(first, sizeof(first), "%s", disk_serial(r.disk));
	assert_int_equal(strlen(first), 18);
	assert_int_equal(rig_close(&r), 0);
	rig_open(&r, (struct disk_config){.serial = "MY-DISK"});
	assert_string_equal(disk_serial(r.disk), "MY-DISK");
	assert_int_equal(rig_close(&r), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_disk_reads_what_was_written_in_every_mode),
	    cmocka_unit_test(test_disk_rule05_flush_brings_data_to_the_file),
	    cmocka_unit_test(test_disk_rule24_close_flushes),
	    cmocka_unit_test(
		test_disk_rule24_close_says_when_the_last_flush_fails),
	    cmocka_unit_test(test_disk_rule15_cache_off_makes_writes_durable),
	    cmocka_unit_test(test_disk_rule15_cache_stays_on_when_off_fails),
	    cmocka_unit_test(test_disk_discard_reads_as_zeros),
	    cmocka_unit_test(test_disk_refuses_ranges_outside),
	    cmocka_unit_test(test_disk_refuses_writes_when_read_only),
	    cmocka_unit_test(test_disk_open_says_what_is_wrong_with_a_file),
	    cmocka_unit_test(test_disk_open_names_a_disk_in_use),
	    cmocka_unit_test(test_disk_read_error_names_the_sector),
	    cmocka_unit_test(test_disk_policy_stop_holds_the_error_until_retry),
	    cmocka_unit_test(
		test_disk_policy_enospc_stops_for_lack_of_space_only),
	    cmocka_unit_test(
		test_disk_rule12_a_stopped_flush_succeeds_when_told_to_go_on),
	    cmocka_unit_test(test_disk_limit_of_requests_is_kept),
	    cmocka_unit_test(
		test_disk_limit_lets_a_request_above_the_burst_through),
	    cmocka_unit_test(test_disk_stats_are_json_and_true),
	    cmocka_unit_test(test_disk_serial_is_the_same_each_time),
	};
	static const char *const backends[] = {"threads", "uring"};
	int failed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		struct iopool_config pc = {.backend = backends[i]};
		struct iopool *pool;
		struct err e;

		if (iopool_open(&pool, &pc, &e) != 0) {
			printf("skip: %s\n", e.text);
			continue;
		}
		iopool_close(pool);
		backend = backends[i];
		failed +=
		    cmocka_run_group_tests_name(backend, tests, NULL, NULL);
	}
	return failed;
}
