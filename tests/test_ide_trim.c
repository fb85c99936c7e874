/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/ide_rig.h"

#define BUFFER 0x100000U
#define LIST   0x200000U

static struct ide_rig rig;

static int
setup(void **state)
{
	static const struct ide_rig_config config = {
	    .drive = {[0].present = true,
		      [1] = {.present = true, .read_only = true}},
	};

	(void)state;
	ide_rig_open(&rig, &config);
	if (!disk_can_discard(rig.disk[0])) {
		print_message("skip: the file system cannot punch holes\n");
		ide_rig_close(&rig);
		skip();
	}
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ide_rig_close(&rig);
	return 0;
}

static void
entry(unsigned at, u64 lba, u16 count)
{
	u8 *p = ram_at(&rig.ram, LIST + at * 8, 8);

	put_le64(p, lba | (u64)count << 48);
}

static void
clear(void)
{
	memset(ram_at(&rig.ram, LIST, 65536), 0, 65536);
}

static void
trim(unsigned drive, u8 blocks, u32 bytes, u8 status)
{
	const struct rig_prd prd = {LIST, bytes | PRD_LAST};

	bm_table(&rig, drive, 0x1000, &prd, 1);
	ata_select(&rig, drive, 0x40);
	ata_out(&rig, drive, ATA_FEATURES, 1);
	ata_out(&rig, drive, ATA_COUNT, 0);
	ata_out(&rig, drive, ATA_COUNT, blocks);
	ata_out(&rig, drive, ATA_COMMAND, 0x06);
	bm_start(&rig, drive, false);
	ata_expect(&rig, drive, status);
	bm_stop(&rig, drive);
}

static bool
is_zero(u32 lba)
{
	u8 *p = ram_at(&rig.ram, BUFFER, 512);

	ata_dma(&rig, 0, false, lba, 1, BUFFER);
	for (unsigned i = 0; i < 512; i++) {
		if (p[i] == 0)
			continue;
		assert_int_equal(p[i], rig_byte(lba));
		return false;
	}
	return true;
}

/* IDENTIFY words 69.14 and 69.5: zeros, at once and for ever. */
static void
test_ide_trim_reads_as_zeros(void **state)
{
	(void)state;
	clear();
	entry(0, 10, 3);
	entry(1, 0, 0); /* none */
	entry(2, 20, 1);
	entry(63, 40, 2);
	trim(0, 1, 512, OK);
	assert_int_equal(bm_in(&rig, 0, 2) & 7, 4);
	for (u32 lba = 8; lba < 45; lba++)
		assert_int_equal(is_zero(lba), (lba >= 10 && lba < 13) ||
						   lba == 20 || lba == 40 ||
						   lba == 41);
	ata_lba28(&rig, 0, 0xe7, 0, 0);
	ata_expect(&rig, 0, OK);
	assert_true(is_zero(10));
	assert_false(is_zero(13));
}

/* Entries that go on where the last ended are one request to the disk. */
static void
test_ide_trim_merges_what_is_adjacent(void **state)
{
	const struct disk_stats *st = disk_stats(rig.disk[0]);

	(void)state;
	clear();
	for (unsigned i = 0; i < 512; i++)
		entry(i, i * 100, 100);
	trim(0, 8, 4096, OK);
	assert_int_equal(st->op[DISK_DISCARD].requests, 1);
	assert_int_equal(st->op[DISK_DISCARD].sectors, 51200);
	assert_true(is_zero(0));
	clear();
	for (unsigned i = 0; i < 512; i++)
		entry(i, i * 101, 100);
	trim(0, 8, 4096, OK);
	assert_int_equal(st->op[DISK_DISCARD].requests, 513);
}

/* Nothing happens when one range is outside. */
static void
test_ide_trim_checks_all_ranges_first(void **state)
{
	static const struct {
		u64 lba;
		u16 count;
	} bad[] = {
	    {IDE_RIG_SECTORS - 1, 2},
	    {IDE_RIG_SECTORS, 1},
	    {(1ULL << 48) - 1, 0xffff},
	    {0x1000000000ULL, 1},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		clear();
		entry(0, 10, 1);
		entry(5, bad[i].lba, bad[i].count);
		trim(0, 1, 512, OK | ERR);
		assert_int_equal(ata_in(&rig, 0, ATA_ERROR), ABRT);
		assert_false(is_zero(10));
	}
	clear();
	entry(0, IDE_RIG_SECTORS - 1, 1);
	trim(0, 1, 512, OK);
}

static void
refused(unsigned drive, u8 feature, u16 blocks)
{
	ata_select(&rig, drive, 0x40);
	ata_out(&rig, drive, ATA_FEATURES, feature);
	ata_out(&rig, drive, ATA_COUNT, (u8)(blocks >> 8));
	ata_out(&rig, drive, ATA_COUNT, (u8)blocks);
	ata_out(&rig, drive, ATA_COMMAND, 0x06);
	ata_expect(&rig, drive, OK | ERR);
	assert_int_equal(ata_in(&rig, drive, ATA_ERROR), ABRT);
}

static void
test_ide_trim_refuses_what_it_does_not_know(void **state)
{
	(void)state;
	refused(0, 0, 1);
	refused(0, 2, 1);
	refused(0, 1, 0);
	refused(0, 1, 9);
	refused(0, 1, 0xffff);
	refused(1, 1, 1); /* read-only */
}

/* A 28-bit driver leaves an old count in the second layer. */
static void
test_ide_trim_takes_the_count_of_a_28_bit_driver(void **state)
{
	const struct rig_prd prd = {LIST, 512 | PRD_LAST};

	(void)state;
	clear();
	entry(0, 10, 1);
	bm_table(&rig, 0, 0x1000, &prd, 1);
	ata_select(&rig, 0, 0x40);
	ata_out(&rig, 0, ATA_FEATURES, 1);
	ata_out(&rig, 0, ATA_COUNT, 0x77);
	ata_out(&rig, 0, ATA_COUNT, 1);
	ata_out(&rig, 0, ATA_COMMAND, 0x06);
	bm_start(&rig, 0, false);
	ata_expect(&rig, 0, OK);
	bm_stop(&rig, 0);
	assert_true(is_zero(10));
}

static void
test_ide_trim_with_a_short_table_does_nothing(void **state)
{
	const struct rig_prd prd = {LIST, 256 | PRD_LAST};

	(void)state;
	clear();
	entry(0, 10, 1);
	bm_table(&rig, 0, 0x1000, &prd, 1);
	ata_select(&rig, 0, 0x40);
	ata_out(&rig, 0, ATA_FEATURES, 1);
	ata_out(&rig, 0, ATA_COUNT, 0);
	ata_out(&rig, 0, ATA_COUNT, 1);
	ata_out(&rig, 0, ATA_COMMAND, 0x06);
	bm_start(&rig, 0, false);
	assert_int_equal(ata_wait(&rig, 0), OK);
	assert_false(rig.irq[0].level);
	assert_int_equal(bm_in(&rig, 0, 2) & 7, 0);
	bm_stop(&rig, 0);
	assert_false(is_zero(10));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_ide_trim_reads_as_zeros),
	    CASE(test_ide_trim_merges_what_is_adjacent),
	    CASE(test_ide_trim_checks_all_ranges_first),
	    CASE(test_ide_trim_refuses_what_it_does_not_know),
	    CASE(test_ide_trim_takes_the_count_of_a_28_bit_driver),
	    CASE(test_ide_trim_with_a_short_table_does_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
