/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cache/fault.h"
#include "hdd/image.h"
#include "tests/image_memory.h"
#include "tests/image_rig.h"

#define SECTORS	   1601U
#define FILE_BYTES (12U << 20)
#define FLIPS	   (RIG_SLOW ? 500U : 10000U)

static struct iopool *pool;
static char path[256];
static struct err e;
static u8 buf[64 * 1024], whole_again[SECTORS * 512];

static int
set_up(void **state)
{
	struct iopool_config cfg = {.backend = "auto"};
	const char *tmp = getenv("TEST_TMP");

	(void)state;
	snprintf(path, sizeof(path), "%s/test.hdd", tmp ? tmp : "/tmp");
	unlink(path);
	return iopool_open(&pool, &cfg, &e);
}

static int
tear_down(void **state)
{
	(void)state;
	iopool_close(pool);
	unlink(path);
	return 0;
}

static void
create(u64 sectors)
{
	struct image_create_options o = {.sectors = sectors};

	unlink(path);
	assert_int_equal(image_create(path, &o, pool, &e), 0);
}

static struct image *
open_with(struct fault_set *faults)
{
	struct image_options o = {.faults = faults};
	struct image *img = NULL;

	assert_int_equal(image_open(&img, path, &o, pool, &e), 0);
	return img;
}

static void
put(struct image *img, u64 lba, u32 count, u8 byte)
{
	memset(buf, byte, (size_t)count * 512);
	assert_int_equal(rig_request(image_store(img), STORE_WRITE, lba, count,
				     buf, NULL),
			 0);
}

static void
expect(struct image *img, u64 lba, u32 count, u8 byte)
{
	memset(buf, ~byte, (size_t)count * 512);
	assert_int_equal(rig_request(image_store(img), STORE_READ, lba, count,
				     buf, NULL),
			 0);
	for (u32 i = 0; i < count * 512; i++)
		assert_int_equal(buf[i], byte);
}

static int
flush(struct image *img)
{
	return rig_request(image_store(img), STORE_FLUSH, 0, 0, NULL, NULL);
}

/* --- sizes ------------------------------------------------------------- */

static void
test_image_keeps_the_first_and_last_sector_of_any_size(void **state)
{
	static const u64 sizes[] = {
	    1, 7, 8, 9, 2017, (u64)1 << 31, (u64)1 << 37, IMG_SECTORS_MAX};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct image *img;

		create(sizes[i]);
		img = open_with(NULL);
		assert_int_equal(image_store(img)->sectors, sizes[i]);
		expect(img, sizes[i] - 1, 1, 0);
		put(img, 0, 1, 1);
		put(img, sizes[i] - 1, 1, 2);
		assert_int_equal(image_checkpoint(img), 0);
		put(img, sizes[i] / 2, 1, 3);
		assert_int_equal(image_close(img, &e), 0);
		img = open_with(NULL);
		expect(img, sizes[i] / 2, 1, 3);
		if (sizes[i] > 2) {
			expect(img, 0, 1, 1);
			expect(img, sizes[i] - 1, 1, 2);
		}
		assert_int_equal(image_close(img, &e), 0);
	}
}

static void
test_image_shows_zeros_where_it_was_made_smaller_and_larger(void **state)
{
	struct image *img;

	(void)state;
	create(3000);
	img = open_with(NULL);
	put(img, 1000, 16, 7);
	put(img, 2990, 10, 8);
	assert_int_equal(image_resize(img, 1003, &e), 0);
	assert_int_equal(image_store(img)->sectors, 1003);
	expect(img, 1000, 3, 7);
	assert_int_equal(image_resize(img, (u64)1 << 36, &e), 0);
	expect(img, 1000, 3, 7);
	expect(img, 1003, 13, 0);
	expect(img, 2990, 10, 0);
	put(img, ((u64)1 << 36) - 4, 4, 9);
	assert_int_equal(image_close(img, &e), 0);
	img = open_with(NULL);
	expect(img, ((u64)1 << 36) - 4, 4, 9);
	expect(img, 1000, 3, 7);
	assert_int_equal(image_resize(img, 2000, &e), 0);
	expect(img, 1000, 3, 7);
	expect(img, 1990, 10, 0);
	assert_int_equal(image_close(img, &e), 0);
}

static void
test_image_discards_a_huge_disk_in_one_record(void **state)
{
	struct image_info info;
	struct image *img;

	(void)state;
	create((u64)1 << 37);
	img = open_with(NULL);
	put(img, 12345 * 8, 8, 5);
	assert_int_equal(image_checkpoint(img), 0);
	assert_int_equal(rig_request(image_store(img), STORE_DISCARD, 3,
				     UINT32_MAX, NULL, NULL),
			 0);
	expect(img, 12345 * 8, 8, 0);
	assert_int_equal(image_checkpoint(img), 0);
	image_info(img, &info);
	assert_true(info.live_blocks < 32);
	expect(img, 12345 * 8, 8, 0);
	assert_int_equal(image_close(img, &e), 0);
}

/* --- refusals ---------------------------------------------------------- */

static void
refuse(int rc, const char *words)
{
	struct image_options o = {.read_only = false};
	struct image *img = NULL;

	assert_int_equal(image_open(&img, path, &o, pool, &e), rc);
	assert_null(img);
	assert_non_null(strstr(e.text, words));
}

/* Changes bytes of both superblocks; their checksums fit again. */
static void
change_super(u32 at, u64 value, bool seal)
{
	FILE *f = fopen(path, "r+b");
	u8 page[4096];

	assert_non_null(f);
	for (u64 off = 0; off <= IMG_SUPER_B; off += IMG_SUPER_B) {
		assert_int_equal(fseek(f, (long)off, SEEK_SET), 0);
		assert_int_equal(fread(page, 1, 4096, f), 4096);
		put_le64(page + at, value);
		if (seal) {
			put_le64(page + 8, 0);
			put_le64(page + 8, checksum64(page, 4096, off));
		}
		assert_int_equal(fseek(f, (long)off, SEEK_SET), 0);
		assert_int_equal(fwrite(page, 1, 4096, f), 4096);
	}
	assert_int_equal(fclose(f), 0);
}

static void
test_image_refuses_what_it_does_not_know(void **state)
{
	(void)state;
	create(100);
	change_super(48, 1, true);
	refuse(-ENOTSUP, "newer version");
	create(100);
	change_super(80, IMG_SECTORS_MAX + 1, true);
	refuse(-EUCLEAN, "out of bounds");
	create(100);
	change_super(152, 99, true);
	refuse(-EUCLEAN, "out of bounds");
	create(100);
	change_super(80, 5, false);
	refuse(-EBADMSG, "damaged");
	create(100);
	change_super(0, 0, false);
	refuse(-EUCLEAN, "is no .hdd image");
}

static void
test_image_refuses_a_second_writer_and_a_second_creation(void **state)
{
	struct image_create_options o = {.sectors = 100};
	struct image *img;

	(void)state;
	create(100);
	img = open_with(NULL);
	refuse(-EBUSY, "in use");
	assert_int_equal(image_create(path, &o, pool, &e), -EEXIST);
	assert_int_equal(image_close(img, &e), 0);
	o.sectors = 0;
	assert_int_equal(image_create(path, &o, pool, &e), -EINVAL);
	o = (struct image_create_options){.sectors = 1, .segment_bytes = 5};
	assert_int_equal(image_create(path, &o, pool, &e), -EINVAL);
}

static void
test_image_takes_no_write_when_open_for_reading(void **state)
{
	struct image_options o = {.read_only = true};
	struct image *img;

	(void)state;
	create(100);
	img = open_with(NULL);
	put(img, 0, 8, 3);
	assert_int_equal(image_close(img, &e), 0);
	assert_int_equal(image_open(&img, path, &o, pool, &e), 0);
	expect(img, 0, 8, 3);
	assert_int_equal(rig_request(image_store(img), STORE_WRITE, 0, 8, buf,
				     NULL),
			 -EROFS);
	assert_int_equal(image_snapshot_create(img, "x", &e), -EROFS);
	assert_int_equal(image_close(img, &e), 0);
}

/* --- flushes ----------------------------------------------------------- */

static void
test_image_flushes_with_one_write_and_one_host_flush(void **state)
{
	const struct hostfile_stats *st;
	struct image *img;
	u64 writes, flushes;

	(void)state;
	create((u64)4 << 21);
	img = open_with(NULL);
	st = hostfile_stats(img->io->file);
	writes = st->writes;
	flushes = st->flushes;
	for (u32 i = 0; i < 64; i++) {
		put(img, (u64)i * 7919 * 8, 8, (u8)(i + 1));
		assert_int_equal(flush(img), 0);
	}
	assert_int_equal(flush(img), 0); /* nothing to do: no host flush */
	assert_int_equal(st->writes - writes, 64);
	assert_int_equal(st->flushes - flushes, 64);
	assert_int_equal(image_close(img, &e), 0);
}

static void
test_image_fails_flushes_until_all_is_written_anew(void **state)
{
	struct fault_set *faults;
	struct image *img;

	(void)state;
	create(1000);
	assert_int_equal(fault_set_open(&faults), 0);
	img = open_with(faults);
	put(img, 0, 8, 1);
	assert_int_equal(flush(img), 0);
	put(img, 8, 8, 2);
	assert_int_equal(fault_add(faults, "flush:EIO:count=1", &e), 0);
	assert_int_equal(flush(img), -EIO);
	assert_int_equal(flush(img), -EIO);
	put(img, 8, 8, 2);
	assert_int_equal(flush(img), -EIO);
	assert_int_equal(image_store(img)->ops->recover(image_store(img)), 0);
	put(img, 16, 8, 3);
	assert_int_equal(flush(img), 0);
	image_drop(img);
	fault_set_close(faults);
	img = open_with(NULL);
	expect(img, 0, 8, 1);
	expect(img, 8, 8, 2);
	expect(img, 16, 8, 3);
	assert_int_equal(image_close(img, &e), 0);
}

static void
test_image_goes_on_when_there_is_space_again(void **state)
{
	struct fault_set *faults;
	struct image *img;

	(void)state;
	create(100000);
	assert_int_equal(fault_set_open(&faults), 0);
	img = open_with(faults);
	assert_int_equal(fault_add(faults, "write:ENOSPC:count=1", &e), 0);
	put(img, 80, 8, 4);
	assert_int_equal(flush(img), -ENOSPC);
	put(img, 80, 8, 4);
	assert_int_equal(image_store(img)->ops->recover(image_store(img)), 0);
	assert_int_equal(flush(img), 0);
	assert_int_equal(image_close(img, &e), 0);
	fault_set_close(faults);
	img = open_with(NULL);
	expect(img, 80, 8, 4);
	assert_int_equal(image_close(img, &e), 0);
}

/* --- snapshots --------------------------------------------------------- */

static void
test_image_snapshot_names_are_checked(void **state)
{
	struct image_snapshot list[4];
	struct image *img;
	char name[100];

	(void)state;
	create(1000);
	img = open_with(NULL);
	memset(name, 'n', sizeof(name));
	name[64] = '\0';
	assert_int_equal(image_snapshot_create(img, name, &e), -EINVAL);
	assert_int_equal(image_snapshot_create(img, "", &e), -EINVAL);
	name[63] = '\0';
	assert_int_equal(image_snapshot_create(img, name, &e), 0);
	assert_int_equal(image_snapshot_create(img, name, &e), -EEXIST);
	assert_int_equal(image_snapshot_revert(img, "no", &e), -ENOENT);
	assert_int_equal(image_snapshot_delete(img, "no", &e), -ENOENT);
	assert_int_equal(image_snapshot_create(img, "b", &e), 0);
	assert_int_equal(image_snapshot_revert(img, name, &e), 0);
	/* The disk and "b" both go on from it. */
	assert_int_equal(image_snapshot_delete(img, name, &e), -EBUSY);
	assert_int_equal(image_close(img, &e), 0);
	img = open_with(NULL);
	assert_int_equal(image_snapshots(img, list, 4), 2);
	assert_string_equal(list[0].name, name);
	assert_true(list[0].is_parent);
	assert_int_equal(list[1].parent, list[0].id);
	assert_int_equal(image_snapshot_delete(img, "b", &e), 0);
	assert_int_equal(image_snapshot_delete(img, name, &e), 0);
	assert_int_equal(image_snapshots(img, list, 4), 0);
	assert_int_equal(image_close(img, &e), 0);
}

/* --- rot --------------------------------------------------------------- */

static u8 *
make_in_memory(struct image_memory *m)
{
	struct image_create_options o = {.sectors = SECTORS,
					 .segment_bytes = 1U << 20};
	static const u8 uuid[16] = {9, 8, 7};
	u8 *file = calloc(1, FILE_BYTES);
	struct rig_disk d;
	struct image *img;

	assert_non_null(file);
	image_memory_init(m, file, FILE_BYTES);
	rig_disk_init(&d, SECTORS);
	assert_int_equal(image_create_io(&m->io, &o, uuid, 0, &e), 0);
	assert_int_equal(image_open_io(&img, &m->io, "memory", false,
				       &image_memory_limits, &e),
			 0);
	for (u32 lba = 0; lba + 50 <= SECTORS; lba += 50) {
		rig_write(&d, lba, 50, buf);
		assert_int_equal(rig_request(image_store(img), STORE_WRITE, lba,
					     50, buf, NULL),
				 0);
	}
	assert_int_equal(image_close(img, &e), 0);
	rig_disk_release(&d);
	return file;
}

/* The blocks that do not read, one by one; the others show what was written. */
static u64
bad_blocks(struct image *img, const u8 *whole, u64 *first)
{
	u64 bad = 0;

	*first = UINT64_MAX;
	for (u64 lba = 0; lba < SECTORS; lba += 8) {
		u32 n = (u32)MIN(8, SECTORS - lba);
		u64 where = UINT64_MAX;
		int rc = rig_request(image_store(img), STORE_READ, lba, n, buf,
				     &where);

		if (rc == 0) {
			assert_memory_equal(buf, whole + lba * 512, n * 512);
			continue;
		}
		assert_true(rc == -EBADMSG || rc == -EUCLEAN);
		assert_int_equal(where, lba);
		*first = MIN(*first, lba);
		bad++;
	}
	return bad;
}

/* A flipped bit is harmless, or makes an image refuse to open, or is an error
 * of exactly the blocks that it hits. Nobody sees other bytes than were
 * written. */
static void
test_image_finds_every_flipped_bit(void **state)
{
	struct rig_random rnd = {.state = 20261124};
	struct image_memory m;
	u8 *file = make_in_memory(&m);
	u8 *whole = malloc(SECTORS * 512);
	unsigned harmless = 0, refused = 0, found = 0;
	struct image *img;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)rnd.state);
	assert_int_equal(image_open_io(&img, &m.io, "memory", true,
				       &image_memory_limits, &e),
			 0);
	assert_int_equal(rig_request(image_store(img), STORE_READ, 0, SECTORS,
				     whole, NULL),
			 0);
	image_drop(img);
	for (u32 i = 0; i < FLIPS; i++) {
		u32 at = rig_pick(&rnd, 3U << 20);
		u64 first, where = UINT64_MAX;
		int rc;

		file[at] ^= 0x10;
		if (image_open_io(&img, &m.io, "memory", true,
				  &image_memory_limits, &e) != 0) {
			refused++;
		} else {
			rc = rig_request(image_store(img), STORE_READ, 0,
					 SECTORS, whole_again, &where);
			if (rc == 0) {
				assert_memory_equal(whole_again, whole,
						    SECTORS * 512);
				harmless++;
			} else {
				assert_true(bad_blocks(img, whole, &first) > 0);
				assert_int_equal(where, first);
				found++;
			}
			image_drop(img);
		}
		file[at] ^= 0x10;
	}
	print_message("%u harmless, %u found, %u refused\n", harmless, found,
		      refused);
	assert_true(found > FLIPS / 10);
	free(whole);
	free(file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		test_image_keeps_the_first_and_last_sector_of_any_size),
	    cmocka_unit_test(
		test_image_shows_zeros_where_it_was_made_smaller_and_larger),
	    cmocka_unit_test(test_image_discards_a_huge_disk_in_one_record),
	    cmocka_unit_test(test_image_refuses_what_it_does_not_know),
	    cmocka_unit_test(
		test_image_refuses_a_second_writer_and_a_second_creation),
	    cmocka_unit_test(test_image_takes_no_write_when_open_for_reading),
	    cmocka_unit_test(
		test_image_flushes_with_one_write_and_one_host_flush),
	    cmocka_unit_test(
		test_image_fails_flushes_until_all_is_written_anew),
	    cmocka_unit_test(test_image_goes_on_when_there_is_space_again),
	    cmocka_unit_test(test_image_snapshot_names_are_checked),
	    cmocka_unit_test(test_image_finds_every_flipped_bit),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
