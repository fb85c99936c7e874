/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <unistd.h>

#include "tests/ide_rig.h"

#define BUFFER 0x100000U

static struct ide_rig rig;

static int
setup(void **state)
{
	static const struct ide_rig_config config = {
	    .drive = {[0].present = true},
	};

	(void)state;
	ide_rig_open(&rig, &config);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ide_rig_close(&rig);
	return 0;
}

static u8
in(enum ata_reg reg)
{
	return ata_in(&rig, 0, reg);
}

static void
reset(void)
{
	ata_out(&rig, 0, ATA_CONTROL, SRST);
	ata_out(&rig, 0, ATA_CONTROL, 0);
	assert_int_equal(ata_wait(&rig, 0), OK);
}

static void
set_feature(u8 feature, u8 count, bool ok)
{
	ata_feature(&rig, 0, 0xef, feature, count);
	ata_expect(&rig, 0, ok ? OK : OK | ERR);
	assert_int_equal(in(ATA_ERROR), ok ? 0 : ABRT);
}

static u16
identify(unsigned at)
{
	u16 word[256];

	ata_select(&rig, 0, 0);
	ata_out(&rig, 0, ATA_COMMAND, 0xec);
	ata_pull(&rig, 0, word, sizeof(word));
	(void)in(ATA_STATUS);
	return word[at];
}

static bool
is_dirty_in_file(u32 lba, u8 byte)
{
	u8 have = 0;
	int fd = open(ide_rig_path(0), O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &have, 1, lba * 512), 1);
	close(fd);
	return have != byte;
}

static void
write_sector(u32 lba, u8 byte)
{
	memset(ram_at(&rig.ram, BUFFER, 512), byte, 512);
	ata_dma(&rig, 0, true, lba, 1, BUFFER);
}

/* --- SET FEATURES ------------------------------------------------------- */

static void
test_ide_set_features_refuses_what_is_not_there(void **state)
{
	static const u8 known[] = {0x02, 0x82, 0x03, 0x05, 0x85, 0x42,
				   0xc2, 0x55, 0xaa, 0x66, 0xcc};

	(void)state;
	for (unsigned f = 0; f < 256; f++)
		if (memchr(known, (int)f, sizeof(known)) == NULL)
			set_feature((u8)f, 1, false);
}

static void
test_ide_set_features_modes(void **state)
{
	(void)state;
	for (unsigned v = 0; v < 256; v++) {
		bool ok = v <= 1 || (v >= 0x08 && v <= 0x0c) ||
			  (v >= 0x20 && v <= 0x22) || (v >= 0x40 && v <= 0x42);

		set_feature(0x03, (u8)v, ok);
	}
}

static void
test_ide_set_features_levels_have_limits(void **state)
{
	(void)state;
	set_feature(0x05, 0, false);
	set_feature(0x05, 0xff, false);
	set_feature(0x05, 1, true);
	set_feature(0x05, 0xfe, true);
	set_feature(0x42, 0x7f, false);
	set_feature(0x42, 0x80, true);
	set_feature(0x42, 0xfe, true);
}

/* OS/2 relies on the feature register after SET FEATURES. */
static void
test_ide_os2_feature_register_is_0_after_set_features(void **state)
{
	(void)state;
	set_feature(0x03, 0x42, true);
	ata_out(&rig, 0, ATA_COMMAND, 0xef); /* feature 00h: refused */
	ata_expect(&rig, 0, OK | ERR);
}

/* disk-rules 15: it drains, and then every write is durable when it is done */
static void
test_ide_cache_off_drains_and_stays_off(void **state)
{
	(void)state;
	write_sector(500, 0xd1);
	set_feature(0x82, 0, true);
	assert_false(disk_cache_is_on(rig.disk[0]));
	assert_false(is_dirty_in_file(500, 0xd1));
	write_sector(501, 0xd2);
	assert_false(is_dirty_in_file(501, 0xd2));
	reset();
	write_sector(502, 0xd3);
	assert_false(is_dirty_in_file(502, 0xd3));
	set_feature(0x02, 0, true);
	assert_true(disk_cache_is_on(rig.disk[0]));
}

static void
test_ide_cache_off_that_fails_leaves_it_on(void **state)
{
	(void)state;
	write_sector(500, 0xd1);
	ide_rig_fault(&rig, 0, "flush:EIO:count=1");
	set_feature(0x82, 0, false);
	assert_true(disk_cache_is_on(rig.disk[0]));
	assert_int_equal(identify(85) & 0x20, 0x20);
}

/* 66h is the default: SRST keeps settings. After CCh it does not. */
static void
test_ide_revert_to_defaults_on_reset(void **state)
{
	(void)state;
	set_feature(0x55, 0, true);
	ata_feature(&rig, 0, 0xc6, 0, 2);
	ata_expect(&rig, 0, OK);
	reset();
	assert_int_equal(identify(59), 0x0102);
	assert_int_equal(identify(85) & 0x40, 0);
	set_feature(0xcc, 0, true);
	reset();
	assert_int_equal(identify(59), 0x0110);
	assert_int_equal(identify(85) & 0x40, 0x40);
	set_feature(0x66, 0, true);
	set_feature(0x55, 0, true);
	reset();
	assert_int_equal(identify(85) & 0x40, 0);
	ide_reset(rig.ide);
	assert_int_equal(identify(85) & 0x40, 0x40);
}

/* --- power -------------------------------------------------------------- */

static u8
power_mode(u8 opcode)
{
	ata_feature(&rig, 0, opcode, 0, 0x5a);
	ata_expect(&rig, 0, OK);
	return in(ATA_COUNT);
}

static void
test_ide_check_power_mode_is_truthful(void **state)
{
	static const u8 standby[] = {0xe0, 0x94, 0xe2, 0x96};
	static const u8 idle[] = {0xe1, 0x95, 0xe3, 0x97};

	(void)state;
	assert_int_equal(power_mode(0xe5), 0xff);
	assert_int_equal(power_mode(0x98), 0xff);
	for (unsigned i = 0; i < 4; i++) {
		ata_feature(&rig, 0, standby[i], 0, 0);
		ata_expect(&rig, 0, OK);
		assert_int_equal(power_mode(0xe5), 0x00);
		assert_int_equal(power_mode(0x98), 0x00);
		ata_feature(&rig, 0, idle[i], 0, 0);
		ata_expect(&rig, 0, OK);
		assert_int_equal(power_mode(0xe5), 0xff);
	}
	ata_feature(&rig, 0, 0xe0, 0, 0);
	ata_expect(&rig, 0, OK);
	ata_lba28(&rig, 0, 0x40, 0, 1); /* the medium wakes it */
	ata_expect(&rig, 0, OK);
	assert_int_equal(power_mode(0xe5), 0xff);
}

/* disk-rules 24 */
static void
test_ide_standby_and_sleep_flush_first(void **state)
{
	static const u8 ops[] = {0xe0, 0x94, 0xe2, 0x96, 0xe6, 0x99};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		write_sector(600 + i, (u8)(0xb0 + i));
		ata_feature(&rig, 0, ops[i], 0, 0);
		ata_expect(&rig, 0, OK);
		assert_false(is_dirty_in_file(600 + i, (u8)(0xb0 + i)));
		reset();
	}
}

static void
test_ide_sleep_wakes_by_reset_only(void **state)
{
	(void)state;
	ata_feature(&rig, 0, 0xe6, 0, 0);
	ata_expect(&rig, 0, OK);
	ata_lba28(&rig, 0, 0xe1, 0, 1);
	assert_false(rig.irq[0].level);
	ata_lba28(&rig, 0, 0x40, 0, 1);
	assert_false(rig.irq[0].level);
	reset();
	assert_int_equal(power_mode(0xe5), 0xff);
}

/* --- SET MAX ------------------------------------------------------------ */

static void
native_max(bool ext)
{
	if (ext)
		ata_lba48(&rig, 0, 0x27, 0, 0);
	else
		ata_lba28(&rig, 0, 0xf8, 0, 0);
	ata_expect(&rig, 0, OK);
}

static void
test_ide_read_native_max_is_the_last_sector(void **state)
{
	(void)state;
	native_max(false);
	assert_int_equal(ata_address28(&rig, 0), IDE_RIG_SECTORS - 1);
	native_max(true);
	assert_true(ata_address48(&rig, 0) == IDE_RIG_SECTORS - 1);
}

static void
set_max(bool ext, u64 last, u8 keep, u8 error)
{
	native_max(ext);
	if (ext)
		ata_lba48(&rig, 0, 0x37, last, keep);
	else
		ata_lba28(&rig, 0, 0xf9, (u32)last, keep);
	ata_expect(&rig, 0, error != 0 ? OK | ERR : OK);
	assert_int_equal(in(ATA_ERROR), error);
}

static void
test_ide_set_max_hides_the_end(void **state)
{
	(void)state;
	for (unsigned ext = 0; ext < 2; ext++) {
		set_max(ext, 999, 0, 0);
		assert_int_equal(identify(60), 1000);
		assert_int_equal(identify(100), 1000);
		ata_lba28(&rig, 0, 0x40, 1000, 1);
		ata_expect(&rig, 0, OK | ERR);
		assert_int_equal(in(ATA_ERROR), IDNF);
		native_max(ext);
		assert_int_equal(ata_address28(&rig, 0) & 0xffffff,
				 IDE_RIG_SECTORS - 1);
		ide_reset(rig.ide); /* volatile */
		assert_int_equal(identify(60) | identify(61) << 16,
				 IDE_RIG_SECTORS);
	}
	set_max(false, IDE_RIG_SECTORS, 0, IDNF);
	set_max(true, 1ULL << 40, 0, IDNF);
}

static void
test_ide_set_max_that_stays_is_set_once(void **state)
{
	(void)state;
	set_max(false, 1999, 1, 0);
	set_max(false, 2999, 1, IDNF);
	set_max(false, 99, 0, 0);
	assert_int_equal(identify(60), 100);
	ide_reset(rig.ide);
	assert_int_equal(identify(60), 2000);
	set_max(false, 2999, 1, 0);
	assert_int_equal(identify(60), 3000);
}

static void
test_ide_set_max_needs_native_max_right_before(void **state)
{
	(void)state;
	ata_lba28(&rig, 0, 0xf9, 999, 0);
	ata_expect(&rig, 0, OK | ERR);
	assert_int_equal(in(ATA_ERROR), ABRT);
	native_max(false);
	assert_int_equal(power_mode(0xe5), 0xff);
	ata_lba28(&rig, 0, 0xf9, 999, 0);
	ata_expect(&rig, 0, OK | ERR);
	/* its passwords do not exist */
	for (u8 f = 1; f <= 4; f++) {
		native_max(false);
		ata_feature(&rig, 0, 0xf9, f, 0);
		ata_expect(&rig, 0, OK | ERR);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_ide_set_features_refuses_what_is_not_there),
	    CASE(test_ide_set_features_modes),
	    CASE(test_ide_set_features_levels_have_limits),
	    CASE(test_ide_os2_feature_register_is_0_after_set_features),
	    CASE(test_ide_cache_off_drains_and_stays_off),
	    CASE(test_ide_cache_off_that_fails_leaves_it_on),
	    CASE(test_ide_revert_to_defaults_on_reset),
	    CASE(test_ide_check_power_mode_is_truthful),
	    CASE(test_ide_standby_and_sleep_flush_first),
	    CASE(test_ide_sleep_wakes_by_reset_only),
	    CASE(test_ide_read_native_max_is_the_last_sector),
	    CASE(test_ide_set_max_hides_the_end),
	    CASE(test_ide_set_max_that_stays_is_set_once),
	    CASE(test_ide_set_max_needs_native_max_right_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
