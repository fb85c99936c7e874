/* SPDX-License-Identifier: BSD-2-Clause */
/* The write cache, rule by rule (disk-rules); model_wcache tries the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "cache/wcache_int.h"
#include "tests/wcache_store.h"

#define SECTORS 16384U
#define CALLS	600U

static struct mem_store m;
static struct wcache *w;
static u8 buf[2048 * SECTOR_BYTES];

struct call {
	struct wcache_req req;
	struct iovec iov;
	bool done;
};
static struct call calls[CALLS];

static void
call_done(struct wcache_req *r)
{
	struct call *c = CONTAINER_OF(r, struct call, req);

	assert_false(c->done);
	c->done = true;
}

static struct call *
begin(unsigned slot, enum wcache_op op, u32 flags, u64 lba, u32 count, void *p)
{
	struct call *c = &calls[slot];

	*c = (struct call){.req = {.op = op,
				   .flags = flags,
				   .lba = lba,
				   .count = count,
				   .iov_count = 1,
				   .done = call_done},
			   .iov = {p, (u64)count * SECTOR_BYTES}};
	c->req.iov = &c->iov;
	c->done = wcache_submit(w, &c->req);
	return c;
}

/* To its end, whatever the store must do for it. */
static int
whole(enum wcache_op op, u32 flags, u64 lba, u32 count, void *p)
{
	struct call *c = begin(CALLS - 1, op, flags, lba, count, p);

	mem_drain(&m);
	assert_true(c->done);
	wcache_check(w);
	return c->req.rc;
}

static int
write_byte(u64 lba, u32 count, int byte)
{
	memset(buf, byte, count * SECTOR_BYTES);
	return whole(WCACHE_WRITE, 0, lba, count, buf);
}

static void
expect(u64 lba, u32 count, int byte)
{
	memset(buf, 0xee, count * SECTOR_BYTES);
	assert_int_equal(whole(WCACHE_READ, 0, lba, count, buf), 0);
	for (u32 i = 0; i < count * SECTOR_BYTES; i++)
		assert_int_equal(buf[i], byte);
}

static int
flush(void)
{
	return whole(WCACHE_FLUSH, 0, 0, 0, NULL);
}

static void
open_as(const struct wcache_config *cfg, bool recovers)
{
	struct err e;

	mem_open(&m, SECTORS, recovers);
	assert_int_equal(wcache_open(&w, &m.store, cfg, &e), 0);
}

static void
open_mode(enum wcache_mode mode, bool recovers)
{
	struct wcache_config cfg = {.mode = mode,
				    .memory_bytes = 1 << 20,
				    .readahead_bytes = 1};

	open_as(&cfg, recovers);
}

static void
close_all(void)
{
	m.hold = false;
	mem_drain(&m);
	wcache_check(w);
	wcache_close(w);
	mem_close(&m);
}

static bool
durable(u64 lba, int byte)
{
	for (unsigned i = 0; i < SECTOR_BYTES; i++)
		if (m.durable[lba].data[i] != byte)
			return false;
	return true;
}

static void
test_wcache_rule01_write_is_done_in_the_call(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	m.hold = true;
	assert_true(begin(0, WCACHE_WRITE, 0, 3, 8, buf)->done);
	assert_int_equal(m.writes, 0);
	assert_true(wcache_is_dirty(w));
	close_all();
}

static void
test_wcache_merges_linear_small_writes(void **state)
{
	struct wcache_config cfg = {.readahead_bytes = 1};

	(void)state;
	open_as(&cfg, false);
	for (u64 i = 0; i < 256; i++)
		assert_int_equal(write_byte(i * 8, 8, (int)i), 0);
	assert_int_equal(flush(), 0);
	assert_int_equal(m.writes, 1);
	assert_int_equal(m.event[0].count, 2048);
	assert_int_equal(m.event[0].pieces, 1); /* one piece of memory */
	close_all();
}

static void
test_wcache_writes_back_in_lba_order(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	for (u64 i = 0; i < 20; i++)
		write_byte((i * 7 % 20) * 700, 8, 1);
	assert_int_equal(flush(), 0);
	assert_int_equal(m.writes, 20);
	for (unsigned i = 1; i < 20; i++)
		assert_true(m.event[i].lba > m.event[i - 1].lba);
	close_all();
}

static void
test_wcache_rule03_small_write_reads_nothing(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	memset(&m.written[16], 0x11, 8 * SECTOR_BYTES);
	write_byte(18, 1, 0x22);
	assert_int_equal(m.reads, 0);
	expect(16, 2, 0x11);
	expect(18, 1, 0x22);
	expect(19, 5, 0x11);
	assert_int_equal(m.reads, 1);
	close_all();
}

static void
test_wcache_rule03_write_beats_a_fill_in_flight(void **state)
{
	struct call *r;

	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	m.hold = true;
	r = begin(0, WCACHE_READ, 0, 0, 16, buf);
	assert_false(r->done);
	memset(buf + 9000, 0x55, SECTOR_BYTES);
	assert_true(begin(1, WCACHE_WRITE, 0, 4, 1, buf + 9000)->done);
	mem_drain(&m);
	assert_true(r->done);
	expect(4, 1, 0x55);
	expect(5, 3, 0);
	close_all();
}

static void
test_wcache_rule04_overwrite_in_flight_keeps_order(void **state)
{
	struct call *f;

	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	write_byte(0, 8, 1);
	m.hold = true;
	f = begin(0, WCACHE_FLUSH, 0, 0, 0, NULL);
	assert_int_equal(m.nr_pending, 1);
	/* The store asserts: the bytes in flight do not change, no second
	 * write of the sector begins. */
	memset(buf, 2, 4096);
	assert_true(begin(1, WCACHE_WRITE, 0, 0, 8, buf)->done);
	begin(2, WCACHE_FLUSH, 0, 0, 0, NULL);
	assert_int_equal(m.nr_pending, 1);
	mem_do(&m, 0);
	mem_do(&m, 0);
	assert_true(f->done || m.nr_pending != 0);
	mem_drain(&m);
	assert_true(calls[2].done && durable(0, 2));
	close_all();
}

static void
test_wcache_rule05_flush_waits_for_the_store(void **state)
{
	struct call *f;

	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	write_byte(0, 8, 1);
	write_byte(1000, 8, 2);
	m.hold = true;
	f = begin(0, WCACHE_FLUSH, 0, 0, 0, NULL);
	assert_int_equal(m.nr_pending, 2);
	mem_do(&m, 1);
	assert_int_equal(m.flushes, 0); /* not before all is written */
	mem_do(&m, 0);
	assert_int_equal(m.flushes, 1);
	assert_false(f->done);
	mem_do(&m, 0);
	assert_true(f->done && f->req.rc == 0);
	assert_true(durable(0, 1) && durable(1000, 2));
	close_all();
}

static void
test_wcache_rule06_later_writes_stay_dirty(void **state)
{
	struct call *f;

	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	write_byte(0, 8, 1);
	m.hold = true;
	f = begin(0, WCACHE_FLUSH, 0, 0, 0, NULL);
	memset(buf, 9, 4096);
	begin(1, WCACHE_WRITE, 0, 4000, 8, buf);
	mem_drain(&m);
	assert_true(f->done);
	assert_true(wcache_is_dirty(w));
	m.hold = false;
	assert_int_equal(flush(), 0);
	assert_true(durable(4000, 9));
	assert_int_equal(m.flushes, 2);
	close_all();
}

static void
test_wcache_rule07_flush_waits_for_eviction_in_flight(void **state)
{
	struct call *f;
	unsigned n;

	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	m.hold = true;
	for (u64 i = 0; i < 32; i++) /* a quarter: write-back begins */
		begin((unsigned)i, WCACHE_WRITE, 0, i * 16, 8, buf);
	n = m.nr_pending;
	assert_true(n > 0);
	f = begin(100, WCACHE_FLUSH, 0, 0, 0, NULL);
	while (m.nr_pending > 0 && !f->done) {
		assert_true(m.flushes == 0 || m.nr_pending == 1);
		mem_do(&m, 0);
	}
	assert_true(f->done);
	assert_int_equal(m.flushes, 1);
	close_all();
}

static void
test_wcache_rule08_clean_flush_asks_nothing(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	assert_int_equal(flush(), 0);
	assert_int_equal(m.flushes, 0);
	write_byte(0, 8, 1);
	flush();
	assert_int_equal(m.flushes, 1);
	assert_true(begin(0, WCACHE_FLUSH, 0, 0, 0, NULL)->done);
	assert_int_equal(m.flushes, 1);
	assert_false(wcache_is_dirty(w));
	close_all();
}

static void
test_wcache_rule08_evicted_is_not_durable(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	for (u64 i = 0; i < 32; i++)
		write_byte(i * 16, 8, 3);
	assert_true(m.writes >= 32); /* all evicted, nothing dirty */
	assert_int_equal(m.flushes, 0);
	assert_int_equal(flush(), 0);
	assert_int_equal(m.flushes, 1);
	assert_true(durable(31 * 16, 3));
	close_all();
}

static void
test_wcache_rule10_failed_flush_names_the_first_bad_sector(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	for (u64 i = 0; i < 8; i++)
		write_byte(i * 8, 8, 1);
	m.bad[43] = 2;
	m.bad[21] = 2;
	assert_int_equal(flush(), -EIO);
	assert_int_equal(calls[CALLS - 1].req.bad_lba, 21);
	assert_int_equal(flush(), -EIO); /* not by itself any better */
	m.bad[43] = m.bad[21] = 0;
	assert_int_equal(flush(), 0);
	for (u64 i = 0; i < 64; i++)
		assert_true(durable(i, 1));
	close_all();
}

/* The version that fails is already replaced in memory by one that the flush
 * does not cover: it fails all the same. */
static void
test_wcache_rule10_failure_under_an_overwrite_fails_the_flush(void **state)
{
	struct call *f;

	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	write_byte(0, 8, 1);
	m.hold = true;
	f = begin(0, WCACHE_FLUSH, 0, 0, 0, NULL);
	memset(buf, 2, SECTOR_BYTES);
	assert_true(begin(1, WCACHE_WRITE, 0, 3, 1, buf)->done);
	m.write_fail_next = 1;
	mem_drain(&m);
	assert_true(f->done);
	assert_int_equal(f->req.rc, -EIO);
	assert_int_equal(flush(), 0);
	assert_true(durable(0, 1) && durable(3, 2));
	close_all();
}

static void
test_wcache_rule11_failed_store_flush_never_succeeds_by_retry(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	write_byte(80, 8, 1);
	m.flush_fail_next = 1;
	m.revert = true;
	assert_int_equal(flush(), -EIO);
	assert_int_equal(calls[CALLS - 1].req.bad_lba, 80);
	m.failed = false; /* the host would say yes now */
	assert_int_equal(flush(), -EIO);
	assert_int_equal(whole(WCACHE_WRITE, WCACHE_FUA, 0, 8, buf), -EIO);
	assert_int_equal(whole(WCACHE_CACHE_OFF, 0, 0, 0, NULL), -EIO);
	assert_true(wcache_is_on(w));
	expect(80, 8, 1); /* the copy in memory is kept */
	close_all();
}

/* After a failed flush a store may show what was before the discard, which is
 * in no memory: reads under way then must not fall for it. count chooses the
 * way of the read: into the cache, or past it. */
static void
discard_lost(u32 count)
{
	struct call *f, *r;

	open_mode(WCACHE_WRITEBACK, true);
	write_byte(800, 64, 7);
	assert_int_equal(flush(), 0);
	assert_int_equal(whole(WCACHE_DISCARD, 0, 800, 64, NULL), 0);
	m.hold = m.revert = true;
	m.flush_fail_next = 1;
	f = begin(0, WCACHE_FLUSH, 0, 0, 0, NULL);
	r = begin(1, WCACHE_READ, 0, 800, count, buf);
	assert_int_equal(m.nr_pending, 2);
	mem_do(&m, 0);
	assert_int_equal(f->req.rc, -EIO);
	mem_drain(&m);
	m.hold = false;
	assert_true(r->done && r->req.rc == 0);
	for (unsigned i = 0; i < MIN(count, 64) * SECTOR_BYTES; i++)
		assert_int_equal(buf[i], 0);
	expect(800, 16, 0); /* nor was what it saw kept */
	close_all();
}

static void
test_wcache_rule11_read_in_flight_at_a_failed_flush(void **state)
{
	(void)state;
	discard_lost(16);
	discard_lost(512);
}

static void
test_wcache_rule12_recovery_writes_everything_anew(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, true);
	write_byte(80, 8, 1);
	assert_int_equal(whole(WCACHE_DISCARD, 0, 800, 64, NULL), 0);
	m.flush_fail_next = 1;
	m.revert = true;
	assert_int_equal(flush(), -EIO);
	assert_int_equal(m.recovers, 0);
	assert_int_equal(flush(), 0);
	assert_int_equal(m.recovers, 1);
	assert_true(durable(80, 1));
	assert_int_equal(m.discards, 2); /* the zeros, too */
	close_all();
}

static void
test_wcache_rule12_write_in_flight_at_a_failed_flush_is_suspect(void **state)
{
	struct call *f;

	(void)state;
	open_mode(WCACHE_WRITEBACK, true);
	write_byte(0, 8, 1);
	m.hold = true;
	f = begin(0, WCACHE_FLUSH, 0, 0, 0, NULL);
	mem_do(&m, 0); /* its write; its flush is held */
	memset(buf, 2, 4096);
	begin(1, WCACHE_WRITE, WCACHE_FUA, 400, 8, buf);
	assert_int_equal(m.nr_pending, 2);
	m.flush_fail_next = 1;
	mem_do(&m, 0);
	assert_true(f->done && f->req.rc == -EIO);
	m.hold = false;
	mem_drain(&m);
	assert_int_equal(flush(), 0);
	assert_true(durable(0, 1) && durable(400, 2));
	close_all();
}

static void
test_wcache_rule13_background_error_surfaces_at_the_next_flush(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	m.bad[16] = 2;
	for (u64 i = 0; i < 40; i++)
		write_byte(i * 16, 8, 5);
	assert_true(m.writes != 0);
	expect(16, 8, 5); /* never the old data */
	write_byte(9000, 8, 6);
	assert_int_equal(flush(), -EIO);
	assert_int_equal(calls[CALLS - 1].req.bad_lba, 16);
	m.bad[16] = 0;
	assert_int_equal(flush(), 0); /* it has itself written all of it */
	assert_true(durable(16, 5));
	close_all();
}

static void
test_wcache_rule14_no_space_is_told_as_such(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	m.fail_with = ENOSPC;
	write_byte(8, 8, 1);
	m.write_fail_next = 1;
	assert_int_equal(flush(), -ENOSPC);
	assert_int_equal(flush(), 0);
	close_all();
}

static void
test_wcache_rule14_writer_without_room_is_told(void **state)
{
	int rc = 0;

	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	m.write_fail_pct = 100;
	for (u64 i = 0; i < 300 && rc == 0; i++)
		rc = write_byte(i * 16, 8, 1);
	assert_int_equal(rc, -EIO);
	m.write_fail_pct = 0;
	assert_int_equal(flush(), 0);
	assert_int_equal(write_byte(0, 8, 2), 0);
	close_all();
}

static void
test_wcache_rule15_cache_off_drains_then_writes_are_durable(void **state)
{
	struct call *c;

	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	write_byte(0, 8, 1);
	assert_int_equal(whole(WCACHE_CACHE_OFF, 0, 0, 0, NULL), 0);
	assert_true(durable(0, 1));
	assert_false(wcache_is_on(w));
	m.hold = true;
	memset(buf, 2, 4096);
	c = begin(0, WCACHE_WRITE, 0, 8, 8, buf);
	mem_do(&m, 0);
	assert_false(c->done); /* written, not durable */
	mem_do(&m, 0);
	assert_true(c->done && durable(8, 2));
	close_all();
}

static void
test_wcache_rule15_writes_during_cache_off_are_durable(void **state)
{
	struct call *off, *c;

	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	write_byte(0, 8, 1);
	m.hold = true;
	off = begin(0, WCACHE_CACHE_OFF, 0, 0, 0, NULL);
	memset(buf, 2, 4096);
	c = begin(1, WCACHE_WRITE, 0, 800, 8, buf);
	assert_false(c->done);
	mem_drain(&m);
	assert_true(off->done && c->done && durable(800, 2));
	close_all();
}

static void
test_wcache_rule15_failed_cache_off_stays_on(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, true);
	write_byte(0, 8, 1);
	m.flush_fail_next = 1;
	assert_int_equal(whole(WCACHE_CACHE_OFF, 0, 0, 0, NULL), -EIO);
	assert_true(wcache_is_on(w));
	assert_int_equal(whole(WCACHE_CACHE_OFF, 0, 0, 0, NULL), 0);
	assert_false(wcache_is_on(w));
	close_all();
}

static void
test_wcache_rule16_cache_on_again_is_writeback(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITETHROUGH, false);
	assert_false(wcache_is_on(w));
	assert_int_equal(whole(WCACHE_CACHE_ON, 0, 0, 0, NULL), 0);
	assert_true(wcache_is_on(w));
	m.hold = true;
	assert_true(begin(0, WCACHE_WRITE, 0, 0, 8, buf)->done);
	close_all();
}

static void
test_wcache_rule17_fua_is_durable_and_flushes_nothing_else(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	write_byte(0, 8, 1);
	write_byte(4000, 8, 1);
	memset(buf, 2, 4096);
	assert_int_equal(whole(WCACHE_WRITE, WCACHE_FUA, 4000, 8, buf), 0);
	assert_true(durable(4000, 2));
	assert_false(durable(0, 1));
	assert_int_equal(flush(), 0);
	assert_true(durable(4000, 2) && durable(0, 1));
	close_all();
}

/* Its own write is in flight, and the block has a successor with newer data of
 * others: done is done when its own write is. */
static void
test_wcache_rule17_fua_waits_for_its_own_write(void **state)
{
	struct call *c;

	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	m.hold = true;
	memset(buf, 1, SECTOR_BYTES);
	c = begin(0, WCACHE_WRITE, WCACHE_FUA, 0, 1, buf);
	begin(1, WCACHE_WRITE, 0, 5, 1, buf);
	begin(2, WCACHE_READ, 0, 800, 8, buf + 4096);
	assert_int_equal(m.nr_pending, 2);
	mem_do(&m, 1); /* the read: something else is done */
	assert_false(c->done);
	assert_int_equal(m.flushes, 0);
	mem_drain(&m);
	assert_true(c->done && durable(0, 1));
	close_all();
}

static void
test_wcache_rule17_concurrent_durable_writes_share_flushes(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITETHROUGH, false);
	m.hold = true;
	for (unsigned i = 0; i < 10; i++)
		begin(i, WCACHE_WRITE, 0, i * 100, 8, buf);
	mem_drain(&m);
	for (unsigned i = 0; i < 10; i++)
		assert_true(calls[i].done && calls[i].req.rc == 0);
	assert_true(m.flushes <= 10);
	for (unsigned i = 0; i < 10; i++)
		assert_true(durable(i * 100, buf[0]));
	close_all();
}

static void
test_wcache_rule18_verify_makes_dirty_sectors_durable(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	write_byte(64, 8, 4);
	assert_int_equal(whole(WCACHE_VERIFY, 0, 60, 20, NULL), 0);
	assert_true(durable(64, 4));
	assert_true(m.read_sectors >= 20);
	m.bad[70] = 1;
	assert_int_equal(whole(WCACHE_VERIFY, 0, 60, 20, NULL), -EIO);
	assert_int_equal(calls[CALLS - 1].req.bad_lba, 70);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(whole(WCACHE_READ, WCACHE_FUA, 64, 4, buf), 0);
	assert_int_equal(buf[0], 4);
	close_all();
}

static void
test_wcache_rule19_discard_reads_zeros_and_waits_for_a_flush(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	write_byte(0, 64, 7);
	flush();
	assert_int_equal(whole(WCACHE_DISCARD, 0, 3, 40, NULL), 0);
	expect(3, 40, 0);
	expect(0, 3, 7);
	expect(43, 21, 7);
	assert_true(durable(20, 7));
	assert_int_equal(m.discards, 1);
	assert_int_equal(flush(), 0);
	assert_true(durable(3, 0) && durable(42, 0) && durable(43, 7));
	write_byte(20, 1, 9);
	flush();
	assert_true(durable(20, 9) && durable(21, 0));
	close_all();
}

static void
test_wcache_rule19_discard_drops_what_was_dirty(void **state)
{
	u64 before;

	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	write_byte(0, 160, 7);
	before = m.writes;
	assert_int_equal(whole(WCACHE_DISCARD, 0, 0, 160, NULL), 0);
	assert_int_equal(flush(), 0);
	assert_int_equal(m.writes, before);
	assert_true(durable(0, 0) && durable(159, 0));
	close_all();
}

static void
test_wcache_rule18_verify_of_many_sectors_needs_no_memory(void **state)
{
	u64 reads;

	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	write_byte(100, 8, 1);
	reads = m.reads;
	assert_int_equal(whole(WCACHE_VERIFY, 0, 0, 1024, NULL), 0);
	assert_true(m.reads - reads > 1);
	assert_true(durable(100, 1));
	close_all();
}

static void
test_wcache_rule19_discard_of_everything_takes_no_memory(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	for (u64 at = 0; at < SECTORS; at += 8)
		assert_int_equal(whole(WCACHE_DISCARD, 0,
				       at / 16 * 16 + at % 16, 8, NULL),
				 0);
	for (u64 at = 0; at < SECTORS; at += 16)
		assert_int_equal(whole(WCACHE_DISCARD, 0, at, 8, NULL), 0);
	assert_int_equal(wcache_stats(w)->dirty_bytes, 0);
	assert_int_equal(flush(), 0);
	close_all();
}

static void
test_wcache_read_error_names_the_exact_sector(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	m.bad[77] = 1;
	m.bad[79] = 1;
	assert_int_equal(whole(WCACHE_READ, 0, 64, 64, buf), -EIO);
	assert_int_equal(calls[CALLS - 1].req.bad_lba, 77);
	assert_int_equal(whole(WCACHE_READ, 0, 78, 8, buf), -EIO);
	assert_int_equal(calls[CALLS - 1].req.bad_lba, 79);
	expect(64, 13, 0);
	expect(78, 1, 0);
	write_byte(77, 1, 1); /* what is written can be read */
	expect(77, 1, 1);
	close_all();
}

static void
test_wcache_reads_ahead_of_a_stream(void **state)
{
	struct wcache_config cfg = {.memory_bytes = 4 << 20,
				    .readahead_bytes = 512 << 10};
	u64 reads;

	(void)state;
	open_as(&cfg, false);
	for (u64 i = 0; i < 64; i++)
		assert_int_equal(whole(WCACHE_READ, 0, i * 128, 128, buf), 0);
	reads = m.reads;
	assert_true(reads < 24); /* of 64 */
	assert_true(wcache_stats(w)->read_hits > 48);
	assert_true(wcache_stats(w)->readahead_hits > 48 * 16);
	close_all();
}

static void
test_wcache_failed_readahead_is_nobodys_error(void **state)
{
	struct wcache_config cfg = {.memory_bytes = 4 << 20,
				    .readahead_bytes = 512 << 10};

	(void)state;
	open_as(&cfg, false);
	m.bad[1100] = 1;
	for (u64 i = 0; i < 8; i++)
		assert_int_equal(whole(WCACHE_READ, 0, i * 128, 128, buf), 0);
	assert_int_equal(whole(WCACHE_READ, 0, 1024, 128, buf), -EIO);
	assert_int_equal(calls[CALLS - 1].req.bad_lba, 1100);
	close_all();
}

static void
test_wcache_scan_does_not_drive_out_what_is_used(void **state)
{
	u64 reads;

	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	for (unsigned round = 0; round < 4; round++)
		for (u64 i = 0; i < 64; i++)
			whole(WCACHE_READ, 0, i * 16, 8, buf);
	for (u64 i = 0; i < 1500; i++)
		whole(WCACHE_READ, 0, 2048 + i * 8, 8, buf);
	reads = m.reads;
	for (u64 i = 0; i < 64; i++)
		whole(WCACHE_READ, 0, i * 16, 8, buf);
	assert_true(m.reads - reads < 8);
	close_all();
}

/* How many of the first n blocks, 16 sectors apart, are in memory. */
static unsigned
in_memory(u64 n)
{
	unsigned there = 0;

	lock_acquire(&w->lock);
	for (u64 i = 0; i < n; i++)
		there += extent_find(w, i * 16 / BLOCK_SECTORS) != NULL;
	lock_release(&w->lock);
	return there;
}

/* Of what is used again and again a stream takes no place for what it might
 * read, only for what it does. */
static void
test_wcache_readahead_spares_what_is_used(void **state)
{
	struct wcache_config cfg = {.memory_bytes = 1 << 20,
				    .readahead_bytes = 128 << 10};
	unsigned before;

	(void)state;
	open_as(&cfg, false);
	for (unsigned round = 0; round < 4; round++)
		for (u64 i = 0; i < 254; i++)
			whole(WCACHE_READ, 0, i * 16, 8, buf);
	/* two find free memory, the third makes it a stream */
	for (u64 i = 0; i < 2; i++)
		whole(WCACHE_READ, 0, 8192 + i * 8, 8, buf);
	before = in_memory(254);
	assert_int_equal(before, 254);
	whole(WCACHE_READ, 0, 8192, 8, buf);
	whole(WCACHE_READ, 0, 8200, 8, buf);
	whole(WCACHE_READ, 0, 8208, 8, buf);
	/* the demand of one block gives sixteen up */
	assert_in_range(in_memory(254), 254 - 16, 254);
	close_all();
}

static void
test_wcache_writers_wait_in_line_and_all_get_through(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	m.hold = true;
	for (unsigned i = 0; i < 500; i++)
		begin(i, WCACHE_WRITE, 0, i * 16, 8, buf);
	assert_false(calls[499].done);
	assert_true(wcache_stats(w)->stalls > 0);
	/* Not even one for whom there is room. */
	assert_false(begin(500, WCACHE_WRITE, 0, 100 * 16, 8, buf)->done);
	for (unsigned done = 0; m.nr_pending != 0;) {
		mem_step(&m);
		/* First come, first served. */
		while (done < 500 && calls[done].done)
			done++;
		for (unsigned i = done; i < 500; i++)
			assert_false(calls[i].done);
	}
	assert_true(calls[499].done);
	close_all();
}

static void
test_wcache_takes_requests_larger_than_itself(void **state)
{
	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	for (u64 at = 0; at < 8192; at += 2048)
		assert_int_equal(write_byte(at, 2048, 1 + (int)(at / 2048)), 0);
	assert_int_equal(flush(), 0);
	for (u64 at = 0; at < 8192; at += 2048)
		expect(at, 2048, 1 + (int)(at / 2048));
	close_all();
}

static void
test_wcache_mode_none_keeps_nothing(void **state)
{
	struct call *c;

	(void)state;
	open_mode(WCACHE_NONE, false);
	m.hold = true;
	memset(buf, 3, 4096);
	c = begin(0, WCACHE_WRITE, 0, 8, 8, buf);
	assert_false(c->done);
	memset(buf, 4, 4096); /* the guest's page changes */
	mem_do(&m, 0);
	assert_true(c->done);
	assert_int_equal(m.flushes, 0);
	m.hold = false;
	expect(8, 8, 3);
	assert_int_equal(m.reads, 1);
	assert_int_equal(flush(), 0);
	assert_int_equal(m.flushes, 1);
	assert_int_equal(flush(), 0);
	assert_int_equal(m.flushes, 1);
	assert_int_equal(wcache_stats(w)->clean_bytes, 0);
	close_all();
}

static void
test_wcache_mode_unsafe_never_flushes_the_store(void **state)
{
	(void)state;
	open_mode(WCACHE_UNSAFE, false);
	for (u64 i = 0; i < 400; i++)
		assert_int_equal(write_byte(i * 16, 8, 1), 0);
	assert_int_equal(flush(), 0);
	assert_int_equal(m.flushes, 0);
	close_all();
}

static void
test_wcache_refuses_what_the_disk_does_not_have(void **state)
{
	struct wcache_config cfg = {.memory_bytes = 1 << 19};
	struct wcache *none;
	struct err e;

	(void)state;
	open_mode(WCACHE_WRITEBACK, false);
	assert_int_equal(whole(WCACHE_READ, 0, SECTORS - 1, 2, buf), -EINVAL);
	assert_int_equal(whole(WCACHE_WRITE, 0, UINT64_MAX, 2, buf), -EINVAL);
	assert_int_equal(whole(WCACHE_READ, 0, SECTORS, 0, buf), 0);
	assert_int_equal(wcache_open(&none, &m.store, &cfg, &e), -EINVAL);
	assert_non_null(strstr(e.text, "not between"));
	close_all();
}

/* PRD entries may be two bytes long: one sector in more pieces than a request
 * of the store takes. */
static void
test_wcache_reads_into_very_small_pieces(void **state)
{
	static struct iovec v[SECTOR_BYTES];
	struct call *c = &calls[0];

	(void)state;
	open_mode(WCACHE_NONE, false);
	memset(&m.written[5], 0x5a, SECTOR_BYTES);
	for (unsigned i = 0; i < SECTOR_BYTES; i++)
		v[i] = (struct iovec){buf + i * 2, 1};
	memset(buf, 0, sizeof(buf));
	*c = (struct call){.req = {.op = WCACHE_READ,
				   .lba = 5,
				   .count = 1,
				   .iov = v,
				   .iov_count = SECTOR_BYTES,
				   .done = call_done}};
	c->done = wcache_submit(w, &c->req);
	mem_drain(&m);
	assert_true(c->done && c->req.rc == 0);
	for (unsigned i = 0; i < SECTOR_BYTES; i++)
		assert_true(buf[i * 2] == 0x5a && buf[i * 2 + 1] == 0);
	close_all();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_wcache_rule01_write_is_done_in_the_call),
	    cmocka_unit_test(test_wcache_merges_linear_small_writes),
	    cmocka_unit_test(test_wcache_writes_back_in_lba_order),
	    cmocka_unit_test(test_wcache_rule03_small_write_reads_nothing),
	    cmocka_unit_test(test_wcache_rule03_write_beats_a_fill_in_flight),
	    cmocka_unit_test(
		test_wcache_rule04_overwrite_in_flight_keeps_order),
	    cmocka_unit_test(test_wcache_rule05_flush_waits_for_the_store),
	    cmocka_unit_test(test_wcache_rule06_later_writes_stay_dirty),
	    cmocka_unit_test(
		test_wcache_rule07_flush_waits_for_eviction_in_flight),
	    cmocka_unit_test(test_wcache_rule08_clean_flush_asks_nothing),
	    cmocka_unit_test(test_wcache_rule08_evicted_is_not_durable),
	    cmocka_unit_test(
		test_wcache_rule10_failed_flush_names_the_first_bad_sector),
	    cmocka_unit_test(
		test_wcache_rule10_failure_under_an_overwrite_fails_the_flush),
	    cmocka_unit_test(
		test_wcache_rule11_failed_store_flush_never_succeeds_by_retry),
	    cmocka_unit_test(
		test_wcache_rule11_read_in_flight_at_a_failed_flush),
	    cmocka_unit_test(
		test_wcache_rule12_recovery_writes_everything_anew),
	    cmocka_unit_test(
		test_wcache_rule12_write_in_flight_at_a_failed_flush_is_suspect),
	    cmocka_unit_test(
		test_wcache_rule13_background_error_surfaces_at_the_next_flush),
	    cmocka_unit_test(test_wcache_rule14_no_space_is_told_as_such),
	    cmocka_unit_test(test_wcache_rule14_writer_without_room_is_told),
	    cmocka_unit_test(
		test_wcache_rule15_cache_off_drains_then_writes_are_durable),
	    cmocka_unit_test(
		test_wcache_rule15_writes_during_cache_off_are_durable),
	    cmocka_unit_test(test_wcache_rule15_failed_cache_off_stays_on),
	    cmocka_unit_test(test_wcache_rule16_cache_on_again_is_writeback),
	    cmocka_unit_test(
		test_wcache_rule17_fua_is_durable_and_flushes_nothing_else),
	    cmocka_unit_test(test_wcache_rule17_fua_waits_for_its_own_write),
	    cmocka_unit_test(
		test_wcache_rule17_concurrent_durable_writes_share_flushes),
	    cmocka_unit_test(
		test_wcache_rule18_verify_makes_dirty_sectors_durable),
	    cmocka_unit_test(
		test_wcache_rule19_discard_reads_zeros_and_waits_for_a_flush),
	    cmocka_unit_test(test_wcache_rule19_discard_drops_what_was_dirty),
	    cmocka_unit_test(
		test_wcache_rule18_verify_of_many_sectors_needs_no_memory),
	    cmocka_unit_test(
		test_wcache_rule19_discard_of_everything_takes_no_memory),
	    cmocka_unit_test(test_wcache_read_error_names_the_exact_sector),
	    cmocka_unit_test(test_wcache_reads_ahead_of_a_stream),
	    cmocka_unit_test(test_wcache_failed_readahead_is_nobodys_error),
	    cmocka_unit_test(test_wcache_scan_does_not_drive_out_what_is_used),
	    cmocka_unit_test(test_wcache_readahead_spares_what_is_used),
	    cmocka_unit_test(
		test_wcache_writers_wait_in_line_and_all_get_through),
	    cmocka_unit_test(test_wcache_takes_requests_larger_than_itself),
	    cmocka_unit_test(test_wcache_mode_none_keeps_nothing),
	    cmocka_unit_test(test_wcache_mode_unsafe_never_flushes_the_store),
	    cmocka_unit_test(test_wcache_refuses_what_the_disk_does_not_have),
	    cmocka_unit_test(test_wcache_reads_into_very_small_pieces),
	};

	return cmocka_run_group_tests_name("wcache", tests, NULL, NULL);
}
