/* SPDX-License-Identifier: BSD-2-Clause */
/* test_image_format - a second reader of .hdd images
 *
 * Written by the tables of docs/image.5.md, with numbers where the engine has
 * names, and compared with what the engine shows. The tables themselves are
 * read from the document: a field that moves there and not here, or the other
 * way round, fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "tests/image_memory.h"
#include "tests/image_rig.h"

#define SECTORS	   3001U
#define BLOCKS	   376U
#define FILE_BYTES (9U << 20)

static u8 *file;
static u8 shown[SECTORS * 512], mine[(SECTORS + 8) * 512];

/* --- the document ------------------------------------------------------ */

/* Offset of a field in the table below a heading; -1: not there. */
static int
documented(const char *heading, const char *field)
{
	FILE *doc = fopen("docs/image.5.md", "r");
	char line[400], name[100];
	bool inside = false;
	int at, size, found = -1;

	assert_non_null(doc);
	while (found < 0 && fgets(line, sizeof(line), doc)) {
		if (strstr(line, heading) == line)
			inside = true;
		else if (inside && (line[0] == '#' || line[0] == '*'))
			break;
		if (inside &&
		    sscanf(line, "| %d | %d | %99[a-z_0-9] |", &at, &size,
			   name) == 3 &&
		    strcmp(name, field) == 0)
			found = at;
	}
	fclose(doc);
	return found;
}

static u64
field64(const u8 *p, const char *heading, const char *field)
{
	int at = documented(heading, field);

	assert_true(at >= 0);
	return get_le64(p + at);
}

static u32
field32(const u8 *p, const char *heading, const char *field)
{
	return (u32)field64(p, heading, field);
}

#define SUPER  "## 3. Superblock"
#define NODE   "## 4. Nodes"
#define RECORD "## 5. The log"

static u64
sum_without(const u8 *page, u64 seed)
{
	u8 copy[4096];

	memcpy(copy, page, 4096);
	memset(copy + 8, 0, 8);
	return checksum64(copy, 4096, seed);
}

/* --- reading ----------------------------------------------------------- */

static void
put_block(u64 block, const u8 *data, u64 sum)
{
	assert_true(block < BLOCKS);
	if (data) {
		assert_true(checksum64(data, 4096, block) == sum);
		memcpy(mine + block * 4096, data, 4096);
	} else {
		memset(mine + block * 4096, 0, 4096);
	}
}

static void
unpack(const u8 *from, u8 *to, u32 blocks)
{
	assert_int_equal(LZ4_decompress_safe((const char *)from + 4, (char *)to,
					     (int)get_le32(from),
					     (int)blocks * 4096),
			 blocks * 4096);
}

static void
read_place(u64 block, u64 place, u64 sum)
{
	static u8 plain[65536];
	const u8 *data = file + (place >> 20) * 512;

	switch (place & 3) {
	case 0:
	case 1:
		put_block(block, NULL, sum);
		return;
	case 2:
		put_block(block, data, sum);
		return;
	default:
		unpack(data, plain, (u32)(place >> 14 & 15) + 1);
		put_block(block, plain + (place >> 10 & 15) * 4096, sum);
	}
}

static void
read_map(u64 place, u64 sum, int level, u64 first)
{
	const u8 *node = file + (place >> 20) * 512;
	u64 span = 1;

	if ((place & 3) < 2)
		return;
	for (int i = 0; i < level; i++)
		span *= 252;
	assert_memory_equal(node, "SpnN", 4);
	assert_int_equal(node[4], 1);
	assert_int_equal(node[5], level);
	assert_true(field64(node, NODE, "own_at") == place >> 20);
	assert_true(field64(node, NODE, "first") == first);
	assert_true(field64(node, NODE, "checksum") == sum);
	assert_true(sum_without(node, place >> 20) == sum);
	for (u64 i = 0; i < 252; i++) {
		u64 p = get_le64(node + 64 + 16 * i);
		u64 s = get_le64(node + 72 + 16 * i);

		if (level != 0)
			read_map(p, s, level - 1, first + i * span);
		else if (first + i < BLOCKS)
			read_place(first + i, p, s);
	}
}

static void
read_run(const u8 *run, const u8 *data, const u8 *sums)
{
	u64 block = get_le64(run);
	u32 count = get_le32(run + 8);
	static u8 plain[65536];

	if (run[14] == 3) {
		unpack(data, plain, count);
		data = plain;
	}
	for (u32 i = 0; i < count; i++)
		put_block(block + i, run[14] == 1 ? NULL : data + i * 4096,
			  run[14] == 1 ? 0 : get_le64(sums + 8 * (size_t)i));
}

/* The record at this offset, if it is the next; returns where it ends. */
static u64
read_record(u64 off, u64 seq, u64 *prev, u32 *next)
{
	const u8 *r = file + off, *sums;
	u32 runs = field32(r, RECORD, "runs");
	u64 sector = off / 512 + 8;

	if (memcmp(r, "SpnLog1", 8) != 0 || field64(r, RECORD, "seq") != seq ||
	    field64(r, RECORD, "prev") != *prev)
		return 0;
	assert_true(sum_without(r, off / 512) ==
		    field64(r, RECORD, "checksum"));
	sums = r + 96 + 16 * (size_t)runs;
	for (u32 i = 0; i < runs; i++) {
		const u8 *run = r + 96 + 16 * (size_t)i;

		if (run[14] == 2)
			sector = (sector + 7) & ~7ULL;
		read_run(run, file + sector * 512, sums);
		sector += get_le16(run + 12);
		sums += run[14] == 1 ? 0 : 8 * (size_t)get_le32(run + 8);
	}
	*prev = field64(r, RECORD, "checksum");
	*next = field32(r, RECORD, "next_segment");
	return off + field32(r, RECORD, "batch_bytes");
}

static u64
segment_off(const u8 *s, u32 segment)
{
	return 1048576 + ((u64)segment << field32(s, SUPER, "segment_shift"));
}

static unsigned
read_image(void)
{
	const u8 *a = file, *b = file + 524288;
	const u8 *s =
	    field64(a, SUPER, "generation") > field64(b, SUPER, "generation")
		? a
		: b;
	u64 seq = field64(s, SUPER, "log_seq");
	u64 prev = field64(s, SUPER, "log_prev");
	u32 next = field32(s, SUPER, "log_next");
	u64 off = segment_off(s, field32(s, SUPER, "log_segment")) +
		  field32(s, SUPER, "log_off");
	unsigned records = 0;

	assert_memory_equal(s, "SpnHdd1", 8);
	assert_true(sum_without(s, (u64)(s - file)) ==
		    field64(s, SUPER, "checksum"));
	assert_int_equal(field64(s, SUPER, "sectors"), SECTORS);
	read_map(field64(s, SUPER, "root_place"), field64(s, SUPER, "root_sum"),
		 (int)field32(s, SUPER, "map_levels") - 1, 0);
	for (;; records++, seq++) {
		u64 end = read_record(off, seq, &prev, &next);

		if (end == 0)
			end = read_record(segment_off(s, next), seq, &prev,
					  &next);
		if (end == 0)
			return records;
		off = end;
	}
}

/* --- the test ---------------------------------------------------------- */

static void
write_at_random(struct image *img, struct rig_disk *d, struct rig_random *r)
{
	static u8 buf[64 * 512];
	u32 count = 1 + rig_pick(r, 64);
	u64 lba = rig_pick(r, SECTORS - count);
	enum store_op op = STORE_WRITE;

	if (rig_pick(r, 8) == 0) {
		op = STORE_ZERO;
		rig_zero(d, lba, count);
	} else {
		rig_write(d, lba, count, buf);
	}
	assert_int_equal(rig_request(image_store(img), op, lba, count,
				     op == STORE_ZERO ? NULL : buf, NULL),
			 0);
	assert_int_equal(rig_request(image_store(img), STORE_FLUSH, 0, 0, NULL,
				     NULL),
			 0);
}

static void
test_image_format_is_what_its_page_says(void **state)
{
	struct image_create_options o = {.sectors = SECTORS,
					 .segment_bytes = 1U << 20};
	static const u8 uuid[16] = {4, 2};
	struct rig_random rnd = {.state = 7};
	struct image_memory m;
	struct rig_disk d;
	struct image *img;
	struct err e;

	(void)state;
	file = calloc(1, FILE_BYTES);
	assert_non_null(file);
	image_memory_init(&m, file, FILE_BYTES);
	rig_disk_init(&d, SECTORS);
	assert_int_equal(image_create_io(&m.io, &o, uuid, 0, &e), 0);
	assert_int_equal(image_open_io(&img, &m.io, "memory", false,
				       &image_memory_limits, &e),
			 0);
	for (int i = 0; i < 60; i++)
		write_at_random(img, &d, &rnd);
	assert_int_equal(image_checkpoint(img), 0);
	for (int i = 0; i < 12; i++)
		write_at_random(img, &d, &rnd);
	assert_int_equal(rig_request(image_store(img), STORE_READ, 0, SECTORS,
				     shown, NULL),
			 0);
	image_drop(img);
	assert_int_equal(read_image(), 12);
	assert_memory_equal(mine, shown, sizeof(shown));
	assert_true(rig_is_current(&d, 0, SECTORS, mine));
	rig_disk_release(&d);
	free(file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_image_format_is_what_its_page_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
