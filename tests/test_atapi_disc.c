/* SPDX-License-Identifier: BSD-2-Clause */
/* test_atapi_disc - reading the disc, and what the drive says about it */
#include "tests/atapi_rig.h"

static struct cd_rig rig;

static int
setup(void **state)
{
	(void)state;
	cd_rig_open(&rig, CD_RIG_BLOCKS, NULL);
	return 0;
}

static int
setup_dvd(void **state)
{
	(void)state;
	cd_rig_open(&rig, 360001, NULL); /* a hole, mostly */
	return 0;
}

static int
setup_bad(void **state)
{
	(void)state;
	/* block 100: sectors 400 to 403 */
	cd_rig_open(&rig, CD_RIG_BLOCKS, "read:EIO:off=204800-206848");
	return 0;
}

static int
setup_slow(void **state)
{
	(void)state;
	cd_rig_open(&rig, CD_RIG_BLOCKS, "read:delay:ms=20");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	cd_rig_close(&rig);
	return 0;
}

#define CDB(...) ((const u8[12]){__VA_ARGS__})

/* --- READ -------------------------------------------------------------------
 */

static void
test_atapi_read10_by_pio(void **state)
{
	u8 cdb[12];

	(void)state;
	cd_read10(cdb, 17, 3);
	cd_good(&rig, cdb);
	cd_check_blocks(&rig, 17, 3, 0);
	cd_read10(cdb, CD_RIG_BLOCKS - 1, 1);
	cd_good(&rig, cdb);
	cd_check_blocks(&rig, CD_RIG_BLOCKS - 1, 1, 0);
}

static void
test_atapi_read10_of_more_than_the_buffer(void **state)
{
	u8 cdb[12];

	(void)state;
	cd_read10(cdb, 5, 200);
	cd_good(&rig, cdb);
	cd_check_blocks(&rig, 5, 200, 0);
}

static void
test_atapi_read10_of_nothing(void **state)
{
	u8 cdb[12];

	(void)state;
	cd_read10(cdb, 5, 0);
	cd_good(&rig, cdb);
	assert_int_equal(rig.data_bytes, 0);
}

static void
test_atapi_read12(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0xa8, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 2));
	cd_check_blocks(&rig, 0x102, 2, 0);
}

static void
test_atapi_read_outside_the_disc(void **state)
{
	u8 cdb[12];

	(void)state;
	cd_read10(cdb, CD_RIG_BLOCKS, 1);
	cd_bad(&rig, cdb, 5, 0x2100);
	cd_read10(cdb, CD_RIG_BLOCKS - 1, 2);
	cd_bad(&rig, cdb, 5, 0x2100);
	cd_read10(cdb, 0xffffffff, 0xffff);
	cd_bad(&rig, cdb, 5, 0x2100);
	cd_bad(&rig,
	       CDB(0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), 5,
	       0x2100);
	cd_bad(&rig, CDB(0x2b, 0, 0, 0, 0x02, 0x58), 5, 0x2100); /* SEEK */
	cd_good(&rig, CDB(0x2b, 0, 0, 0, 0x02, 0x57));
}

static void
test_atapi_byte_count_limit_makes_bursts(void **state)
{
	static const struct {
		u16 limit;
		unsigned bursts;
	} rows[] = {{2048, 4}, {4096, 2},   {8192, 1}, {1024, 8},
		    {1023, 9}, {0xffff, 1}, {0, 1}};
	u8 cdb[12];

	(void)state;
	cd_read10(cdb, 40, 4);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cd_send(&rig, cdb, rows[i].limit, 0);
		assert_int_equal(cd_take(&rig), OK);
		cd_check_blocks(&rig, 40, 4, 0);
		assert_int_equal(rig.bursts, rows[i].bursts);
	}
}

static void
read_dma(const struct rig_prd *prd, unsigned prds, const u8 cdb[12])
{
	bm_table(&rig.ide, CD, 0x1000, prd, prds);
	cd_send(&rig, cdb, 0, 1);
	bm_start(&rig.ide, CD, true);
	(void)ata_wait(&rig.ide, CD);
}

static void
test_atapi_read10_by_dma(void **state)
{
	static const struct rig_prd prd[] = {{0x100000, 0},
					     {0x200000, 0x2002},
					     {0x300000, 0xe7fe | PRD_LAST}};
	u8 cdb[12];

	(void)state;
	cd_read10(cdb, 300, 65); /* 133,120 bytes */
	read_dma(prd, 3, cdb);
	ata_expect(&rig.ide, CD, OK);
	assert_int_equal(bm_in(&rig.ide, CD, 2) & 7, 4);
	bm_stop(&rig.ide, CD);
	assert_true(ram_read(&rig.ide.ram, 0x100000, rig.data, 0x10000));
	assert_true(
	    ram_read(&rig.ide.ram, 0x200000, rig.data + 0x10000, 0x2002));
	assert_true(
	    ram_read(&rig.ide.ram, 0x300000, rig.data + 0x12002, 0xe7fe));
	rig.data_bytes = 65 * ATAPI_BLOCK_BYTES;
	cd_check_blocks(&rig, 300, 65, 0);
}

static void
test_atapi_dma_carries_answers(void **state)
{
	static const struct rig_prd prd[] = {{0x100000, 36 | PRD_LAST}};
	u8 data[36];

	(void)state;
	read_dma(prd, 1, CDB(0x12, 0, 0, 0, 36));
	ata_expect(&rig.ide, CD, OK);
	assert_true(ram_read(&rig.ide.ram, 0x100000, data, sizeof(data)));
	assert_memory_equal(data + 8, "SPINDLE ", 8);
}

static void
test_atapi_dma_that_fails_leaves_no_command(void **state)
{
	static const struct rig_prd hole[] = {{0xfff00000, 2048 | PRD_LAST}};
	u8 cdb[12];

	(void)state;
	cd_read10(cdb, 0, 1);
	read_dma(hole, 1, cdb);
	assert_int_equal(bm_in(&rig.ide, CD, 2) & 3, 2); /* error, idle */
	bm_stop(&rig.ide, CD);
	cd_good(&rig, cdb);
	cd_check_blocks(&rig, 0, 1, 0);
}

/* The bus master is started after the packet, which has failed by then. */
static void
test_atapi_dma_after_a_refused_command(void **state)
{
	static const struct rig_prd prd[] = {{0x100000, 2048 | PRD_LAST}};
	u8 cdb[12];

	(void)state;
	cd_rig_change(&rig, 400, 7);
	for (int i = 0; i < 2; i++) {
		cd_read10(cdb, 16, 1);
		read_dma(prd, 1, cdb);
		ata_expect(&rig.ide, CD, OK | ERR);
		bm_stop(&rig.ide, CD);
	}
	read_dma(prd, 1, cdb);
	ata_expect(&rig.ide, CD, OK);
	assert_int_equal(bm_in(&rig.ide, CD, 2) & 7, 4);
	bm_stop(&rig.ide, CD);
	assert_true(ram_read(&rig.ide.ram, 0x100000, rig.data, 2048));
	rig.data_bytes = 2048;
	cd_check_blocks(&rig, 16, 1, 7);
}

static void
test_atapi_unreadable_block_is_a_medium_error(void **state)
{
	u8 cdb[12];

	(void)state;
	cd_read10(cdb, 100, 1);
	cd_send(&rig, cdb, 0xfffe, 0);
	assert_int_equal(cd_take(&rig), OK | ERR);
	assert_int_equal(ata_in(&rig.ide, CD, ATA_ERROR), 0x30);
	cd_sense(&rig, 3, 0x1100);
	assert_int_equal(rig.data[0], 0xf0); /* with its address */
	assert_memory_equal(rig.data + 3, "\0\0\0\x64", 4);
	/* what lies before it arrives in whole chunks */
	cd_read10(cdb, 60, 60);
	cd_send(&rig, cdb, 0xfffe, 0);
	assert_int_equal(cd_take(&rig), OK | ERR);
	cd_check_blocks(&rig, 60, 32, 0);
	cd_sense(&rig, 3, 0x1100);
	assert_memory_equal(rig.data + 3, "\0\0\0\x64", 4);
	cd_read10(cdb, 101, 10);
	cd_good(&rig, cdb);
	cd_check_blocks(&rig, 101, 10, 0);
}

/* The answer of the first read comes into a buffer that is not the second's
 * yet. */
static void
test_atapi_reset_while_the_disk_reads(void **state)
{
	static const u8 inquiry[12] = {0x12, 0, 0, 0, 36};
	u8 cdb[12];

	(void)state;
	cd_read10(cdb, 200, 2);
	cd_send(&rig, cdb, 0xfffe, 0);
	assert_true(ata_in(&rig.ide, CD, ATA_ALT) & BSY);
	ata_out(&rig.ide, CD, ATA_CONTROL, SRST);
	ata_out(&rig.ide, CD, ATA_CONTROL, 0);
	assert_int_equal(rig.atapi.read.dropped, true);
	cd_good(&rig, inquiry); /* needs no disc, waits for none */
	cd_read10(cdb, 300, 2);
	cd_good(&rig, cdb);
	cd_check_blocks(&rig, 300, 2, 0);
}

static void
test_atapi_reset_while_a_read_waits_for_a_dropped_one(void **state)
{
	u8 cdb[12];

	(void)state;
	for (u32 lba = 200; lba < 203; lba++) {
		cd_read10(cdb, lba, 1);
		cd_send(&rig, cdb, 0xfffe, 0);
		ata_out(&rig.ide, CD, ATA_COMMAND, 0x08);
	}
	cd_read10(cdb, 203, 1);
	cd_good(&rig, cdb);
	cd_check_blocks(&rig, 203, 1, 0);
}

static void
test_atapi_disc_goes_while_it_is_read(void **state)
{
	u8 cdb[12];

	(void)state;
	cd_read10(cdb, 200, 2);
	cd_send(&rig, cdb, 0xfffe, 0);
	assert_true(ata_in(&rig.ide, CD, ATA_ALT) & BSY);
	cd_rig_change(&rig, 400, 7);
	ata_expect(&rig.ide, CD, OK | ERR);
	cd_sense(&rig, 2, 0x3a00);
	cd_bad(&rig, CDB(0x00), 2, 0x3a00);
	cd_bad(&rig, CDB(0x00), 6, 0x2800);
	cd_good(&rig, cdb);
	cd_check_blocks(&rig, 200, 2, 7);
}

/* What is in the buffer arrives, the rest does not: not from no disc, nor from
 * another one. */
static void
test_atapi_disc_goes_between_two_chunks(void **state)
{
	u8 cdb[12];

	(void)state;
	for (u32 blocks = 0; blocks <= 400; blocks += 400) {
		cd_read10(cdb, 0, 64);
		cd_send(&rig, cdb, 0xfffe, 0);
		assert_int_equal(ata_wait(&rig.ide, CD), OK | DRQ);
		cd_rig_change(&rig, blocks, 7);
		assert_int_equal(cd_take(&rig), OK | ERR);
		cd_check_blocks(&rig, 0, 32, 0);
		cd_sense(&rig, 2, 0x3a00);
		cd_rig_change(&rig, 400, 0);
		cd_bad(&rig, CDB(0x00), 2, 0x3a00);
		cd_bad(&rig, CDB(0x00), 6, 0x2800);
	}
}

/* --- READ CD
 * ------------------------------------------------------------------ */

static void
test_atapi_read_cd_data_alone(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0xbe, 0, 0, 0, 0, 9, 0, 0, 3, 0x10));
	cd_check_blocks(&rig, 9, 3, 0);
	cd_good(&rig, CDB(0xbe, 2 << 2, 0, 0, 0, 9, 0, 0, 3, 0x10));
	cd_check_blocks(&rig, 9, 3, 0);
	cd_good(&rig, CDB(0xbe, 0, 0, 0, 0, 9, 0, 0, 3, 0));
	assert_int_equal(rig.data_bytes, 0);
}

/* A sector of zeros at 00:02:00, as ECMA-130 makes it: its EDC, and the parity
 * by its defining property rather than by how it was made. */
static u8
times(u8 a, u8 b)
{
	u8 v = 0;

	for (int i = 0; i < 8; i++) {
		if (b >> i & 1)
			v ^= a;
		a = (u8)(a << 1 ^ (a & 0x80 ? 0x1d : 0));
	}
	return v;
}

/* Both checks of a code word of n bytes: their sum, and with powers of 2. */
static void
check_word(const u8 *word, unsigned n)
{
	u8 sum = 0, weighted = 0, power = 1;

	for (unsigned i = n; i-- > 0; power = times(power, 2)) {
		sum ^= word[i];
		weighted ^= times(word[i], power);
	}
	assert_int_equal(sum, 0);
	assert_int_equal(weighted, 0);
}

static void
check_parity(const u8 *sector)
{
	const u8 *p = sector + 12;
	u8 word[45];

	for (unsigned i = 0; i < 86; i++) {
		for (unsigned k = 0; k < 26; k++)
			word[k] = p[i + 86 * k];
		check_word(word, 26);
	}
	for (unsigned i = 0; i < 52; i++) {
		for (unsigned k = 0; k < 43; k++)
			word[k] = p[(i / 2 * 86 + i % 2 + 88 * k) % 2236];
		word[43] = p[2236 + i];
		word[44] = p[2236 + 52 + i];
		check_word(word, 45);
	}
}

static void
test_atapi_read_cd_whole_sectors(void **state)
{
	u8 *s = rig.data;
	u32 crc = 0;

	(void)state;
	cd_good(&rig, CDB(0xbe, 0, 0, 0, 0x01, 0x2c, 0, 0, 2, 0xf8));
	assert_int_equal(rig.data_bytes, 2 * 2352);
	assert_memory_equal(s, "\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0",
			    12);
	assert_memory_equal(s + 12, "\x00\x06\x00\x01", 4); /* block 300 */
	assert_memory_equal(s + 2352 + 12, "\x00\x06\x01\x01", 4);
	assert_int_equal(get_le32(s + 16), 300);
	assert_int_equal(s[16 + 2047], rig_byte(300));
	/* the EDC of a text with its EDC is 0 */
	for (unsigned i = 0; i < 2068; i++) {
		crc ^= s[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xd8018001U : crc >> 1;
	}
	assert_int_equal(crc, 0);
	check_parity(s);
	check_parity(s + 2352);
}

static void
test_atapi_read_cd_by_times(void **state)
{
	(void)state;
	/* 00:02:10 to 00:02:12 */
	cd_good(&rig, CDB(0xb9, 0, 0, 0, 2, 10, 0, 2, 12, 0x10));
	cd_check_blocks(&rig, 10, 2, 0);
	cd_bad(&rig, CDB(0xb9, 0, 0, 0, 1, 74, 0, 2, 12, 0x10), 5, 0x2400);
	cd_bad(&rig, CDB(0xb9, 0, 0, 0, 2, 12, 0, 2, 10, 0x10), 5, 0x2400);
	cd_bad(&rig, CDB(0xb9, 0, 0, 0, 60, 0, 0, 61, 0, 0x10), 5, 0x2400);
}

static void
test_atapi_read_cd_refuses_what_the_disc_has_not(void **state)
{
	(void)state;
	cd_bad(&rig, CDB(0xbe, 1 << 2, 0, 0, 0, 9, 0, 0, 1, 0xf8), 5, 0x6400);
	cd_bad(&rig, CDB(0xbe, 4 << 2, 0, 0, 0, 9, 0, 0, 1, 0xf8), 5, 0x6400);
	cd_bad(&rig, CDB(0xbe, 0, 0, 0, 0, 9, 0, 0, 1, 0xfa), 5, 0x2400);
	cd_bad(&rig, CDB(0xbe, 0, 0, 0, 0, 9, 0, 0, 1, 0xf8, 1), 5, 0x2400);
	cd_bad(&rig, CDB(0xbe, 0, 0, 0, 0x02, 0x58, 0, 0, 1, 0x10), 5, 0x2100);
	cd_bad(&rig, CDB(0x47), 5, 0x6400); /* no audio to play */
}

/* --- about the disc
 * -------------------------------------------------------------- */

static void
test_atapi_capacity(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0x25));
	assert_int_equal(rig.data_bytes, 8);
	assert_memory_equal(rig.data, "\0\0\x02\x57\0\0\x08\0", 8);
}

static void
test_atapi_toc_in_blocks_and_times(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0x43, 0, 0, 0, 0, 0, 0, 0, 100));
	assert_int_equal(rig.data_bytes, 20);
	assert_memory_equal(rig.data, "\0\x12\1\1\0\x14\1\0\0\0\0\0", 12);
	assert_memory_equal(rig.data + 12, "\0\x14\xaa\0\0\0\x02\x58", 8);
	cd_good(&rig, CDB(0x43, 2, 0, 0, 0, 0, 1, 0, 100));
	assert_memory_equal(rig.data + 8, "\0\0\2\0", 4);
	assert_memory_equal(rig.data + 16, "\0\0\x0a\0", 4); /* 750 frames */
	cd_good(&rig, CDB(0x43, 0, 0, 0, 0, 0, 0xaa, 0, 100));
	assert_int_equal(rig.data_bytes, 12);
	assert_int_equal(rig.data[6], 0xaa);
	cd_bad(&rig, CDB(0x43, 0, 0, 0, 0, 0, 2, 0, 100), 5, 0x2400);
	cd_good(&rig, CDB(0x43, 0, 0, 0, 0, 0, 0, 0, 4)); /* the header */
	assert_int_equal(rig.data_bytes, 4);
}

static void
test_atapi_toc_sessions_in_both_places_of_the_format(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0x43, 0, 1, 0, 0, 0, 0, 0, 12));
	assert_memory_equal(rig.data, "\0\x0a\1\1\0\x14\1\0\0\0\0\0", 12);
	cd_good(&rig, CDB(0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0x40));
	assert_memory_equal(rig.data, "\0\x0a\1\1\0\x14\1\0\0\0\0\0", 12);
}

static void
test_atapi_toc_full(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0x43, 2, 2, 0, 0, 0, 1, 0, 100));
	assert_int_equal(rig.data_bytes, 4 + 4 * 11);
	assert_memory_equal(rig.data, "\0\x2e\1\1", 4);
	assert_memory_equal(rig.data + 4, "\1\x14\0\xa0\0\0\0\0\1\0\0", 11);
	assert_memory_equal(rig.data + 26, "\1\x14\0\xa2\0\0\0\0\0\x0a\0", 11);
	assert_memory_equal(rig.data + 37, "\1\x14\0\1\0\0\0\0\0\2\0", 11);
	cd_bad(&rig, CDB(0x43, 2, 2, 0, 0, 0, 2, 0, 100), 5, 0x2400);
	cd_bad(&rig, CDB(0x43, 2, 4, 0, 0, 0, 0, 0, 100), 5, 0x2400); /* ATIP */
}

static void
test_atapi_subchannel(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0x42, 2, 0x40, 1, 0, 0, 0, 0, 16));
	assert_memory_equal(rig.data, "\0\x15\0\x0c\1\x14\1\1\0\0\2\0", 12);
	cd_good(&rig, CDB(0x42, 2, 0x40, 2, 0, 0, 0, 0, 24));
	assert_int_equal(rig.data_bytes, 24);
	assert_int_equal(rig.data[8], 0); /* no catalogue number */
	cd_good(&rig, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 24));
	assert_int_equal(rig.data_bytes, 4);
	cd_bad(&rig, CDB(0x42, 0, 0x40, 4, 0, 0, 0, 0, 24), 5, 0x2400);
}

static void
test_atapi_header_names_mode_1(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0x44, 2, 0, 0, 0x01, 0x2c, 0, 0, 8));
	assert_memory_equal(rig.data, "\1\0\0\0\0\0\6\0", 8);
	cd_bad(&rig, CDB(0x44, 2, 0, 0, 0x02, 0x58, 0, 0, 8), 5, 0x2100);
}

static void
test_atapi_disc_and_track_information(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0x51, 0, 0, 0, 0, 0, 0, 0, 64));
	assert_int_equal(rig.data_bytes, 34);
	assert_memory_equal(rig.data, "\0\x20\x0e\1\1\1\1\x20", 8);
	cd_bad(&rig, CDB(0x51, 1, 0, 0, 0, 0, 0, 0, 64), 5, 0x2400);
	cd_good(&rig, CDB(0x52, 1, 0, 0, 0, 1, 0, 0, 64));
	assert_int_equal(rig.data_bytes, 36);
	assert_memory_equal(rig.data, "\0\x22\1\1\0\4\1\2", 8);
	assert_memory_equal(rig.data + 24, "\0\0\x02\x58\0\0\x02\x57", 8);
	cd_good(&rig, CDB(0x52, 0, 0, 0, 0x02, 0x57, 0, 0, 64));
	cd_bad(&rig, CDB(0x52, 0, 0, 0, 0x02, 0x58, 0, 0, 64), 5, 0x2100);
	cd_bad(&rig, CDB(0x52, 1, 0, 0, 0, 2, 0, 0, 64), 5, 0x2400);
}

static void
test_atapi_dvd_structure_of_a_cd_is_refused(void **state)
{
	(void)state;
	cd_bad(&rig, CDB(0xad, [8] = 8, [9] = 4), 5, 0x3002);
}

static void
test_atapi_long_image_is_a_dvd(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0x46, 0, 0, 0, 0, 0, 0, 0, 8));
	assert_memory_equal(rig.data + 6, "\0\x10", 2);
	cd_good(&rig, CDB(0xad, [8] = 8, [9] = 4));
	assert_int_equal(rig.data_bytes, 2052);
	assert_memory_equal(rig.data, "\x08\x02\0\0\x01\x0f\x01", 7);
	assert_memory_equal(rig.data + 8, "\0\x03\0\0", 4);
	assert_memory_equal(rig.data + 12, "\0\x08\x7e\x40", 4);
	cd_good(&rig, CDB(0xad, [7] = 1, [9] = 8));
	assert_memory_equal(rig.data, "\0\6\0\0\0\0\0\0", 8);
	cd_good(&rig, CDB(0xad, [7] = 0xff, [9] = 64));
	assert_int_equal(rig.data_bytes, 20);
	cd_bad(&rig, CDB(0xad, [7] = 3, [9] = 64), 5, 0x2400);
	cd_bad(&rig, CDB(0xad, 1, [9] = 64), 5, 0x2400); /* Blu-ray */
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define SLOW(f) cmocka_unit_test_setup_teardown(f, setup_slow, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_atapi_read10_by_pio),
	    CASE(test_atapi_read10_of_more_than_the_buffer),
	    CASE(test_atapi_read10_of_nothing),
	    CASE(test_atapi_read12),
	    CASE(test_atapi_read_outside_the_disc),
	    CASE(test_atapi_byte_count_limit_makes_bursts),
	    CASE(test_atapi_read10_by_dma),
	    CASE(test_atapi_dma_carries_answers),
	    CASE(test_atapi_dma_that_fails_leaves_no_command),
	    CASE(test_atapi_dma_after_a_refused_command),
	    cmocka_unit_test_setup_teardown(
		test_atapi_unreadable_block_is_a_medium_error, setup_bad,
		teardown),
	    SLOW(test_atapi_reset_while_the_disk_reads),
	    SLOW(test_atapi_reset_while_a_read_waits_for_a_dropped_one),
	    SLOW(test_atapi_disc_goes_while_it_is_read),
	    CASE(test_atapi_disc_goes_between_two_chunks),
	    CASE(test_atapi_read_cd_data_alone),
	    CASE(test_atapi_read_cd_whole_sectors),
	    CASE(test_atapi_read_cd_by_times),
	    CASE(test_atapi_read_cd_refuses_what_the_disc_has_not),
	    CASE(test_atapi_capacity),
	    CASE(test_atapi_toc_in_blocks_and_times),
	    CASE(test_atapi_toc_sessions_in_both_places_of_the_format),
	    CASE(test_atapi_toc_full),
	    CASE(test_atapi_subchannel),
	    CASE(test_atapi_header_names_mode_1),
	    CASE(test_atapi_disc_and_track_information),
	    CASE(test_atapi_dvd_structure_of_a_cd_is_refused),
	    cmocka_unit_test_setup_teardown(test_atapi_long_image_is_a_dvd,
					    setup_dvd, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
