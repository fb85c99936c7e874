/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/ide_rig.h"

#define BUFFER 0x100000U
#define BAD    2060U /* the sector that "read:EIO:off=" names */
#define FAULT  "read:EIO:off=1054720-1055232"

static struct ide_rig rig;
static u8 data[512];

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

/* The registers of SMART; low is a log or a test. */
static void
smart(u8 feature, u8 low, u8 count)
{
	ata_select(&rig, 0, 0);
	ata_out(&rig, 0, ATA_FEATURES, feature);
	ata_out(&rig, 0, ATA_COUNT, count);
	ata_out(&rig, 0, ATA_LOW, low);
	ata_out(&rig, 0, ATA_MID, 0x4f);
	ata_out(&rig, 0, ATA_HIGH, 0xc2);
	ata_out(&rig, 0, ATA_COMMAND, 0xb0);
}

static void
smart_ok(u8 feature, u8 low, u8 count)
{
	smart(feature, low, count);
	ata_expect(&rig, 0, OK);
}

static void
smart_refused(u8 feature, u8 low, u8 count)
{
	smart(feature, low, count);
	ata_expect(&rig, 0, OK | ERR);
	assert_int_equal(in(ATA_ERROR), ABRT);
}

static void
expect_checksum(void)
{
	u8 sum = 0;

	for (unsigned i = 0; i < 512; i++)
		sum = (u8)(sum + data[i]);
	assert_int_equal(sum, 0);
}

static void
smart_data(u8 feature, u8 low)
{
	smart(feature, low, 1);
	ata_pull(&rig, 0, data, 512);
	assert_int_equal(in(ATA_STATUS), OK);
}

static u64
raw(u8 id)
{
	smart_data(0xd0, 0);
	expect_checksum();
	for (unsigned i = 0; i < 30; i++) {
		const u8 *a = data + 2 + i * 12;

		if (a[0] == id)
			return get_le32(a + 5) | (u64)get_le16(a + 9) << 32;
	}
	fail_msg("no attribute %u", id);
	return 0;
}

static void
read_bad_sector(void)
{
	ide_rig_fault(&rig, 0, FAULT);
	ata_lba28(&rig, 0, 0x20, BAD, 1);
	ata_expect(&rig, 0, OK | ERR);
	ide_rig_fault(&rig, 0, NULL);
}

/* --- subcommands -------------------------------------------------------- */

static void
test_ide_smart_needs_its_key(void **state)
{
	(void)state;
	ata_feature(&rig, 0, 0xb0, 0xda, 0);
	ata_expect(&rig, 0, OK | ERR);
	assert_int_equal(in(ATA_ERROR), ABRT);
}

static void
test_ide_smart_can_be_disabled(void **state)
{
	(void)state;
	smart_ok(0xd9, 0, 0);
	smart_refused(0xd0, 0, 1);
	smart_refused(0xda, 0, 0);
	smart_ok(0xd8, 0, 0);
	smart_data(0xd0, 0);
	for (unsigned f = 0; f < 256; f++)
		if (f < 0xd0 || f == 0xd6 || f == 0xd7 || f > 0xdb)
			smart_refused((u8)f, 0, 1);
	smart_ok(0xd2, 0, 0xf1);
	smart_ok(0xd2, 0, 0);
	smart_ok(0xd3, 0, 0);
	smart_ok(0xdb, 0, 0xf8);
}

static void
test_ide_smart_return_status_is_good(void **state)
{
	(void)state;
	smart_ok(0xda, 0, 0);
	assert_int_equal(in(ATA_MID), 0x4f);
	assert_int_equal(in(ATA_HIGH), 0xc2);
}

/* So many unreadable sectors that the disk says it fails. */
static void
test_ide_smart_return_status_is_bad_after_many_errors(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 95; i++)
		read_bad_sector();
	smart_ok(0xda, 0, 0);
	assert_int_equal(in(ATA_MID), 0xf4);
	assert_int_equal(in(ATA_HIGH), 0x2c);
}

static void
test_ide_smart_attributes_are_the_disks_counters(void **state)
{
	static const u8 ids[] = {1, 5, 9, 12, 187, 197, 198, 241, 242};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
		assert_int_equal(raw(ids[i]), ids[i] == 12);
	ata_dma(&rig, 0, true, 100, 7, BUFFER);
	ata_dma(&rig, 0, false, 100, 3, BUFFER);
	assert_int_equal(raw(241), 7);
	assert_int_equal(raw(242), 3);
	read_bad_sector();
	assert_int_equal(raw(1), 1);
	assert_int_equal(raw(187), 1);
	assert_int_equal(raw(197), 1);
	rig_skip(&rig.vmm, 5 * 3600 * NS_PER_SEC);
	assert_int_equal(raw(9), 5);
}

static void
test_ide_smart_thresholds_name_each_attribute(void **state)
{
	u8 values[512];

	(void)state;
	smart_data(0xd0, 0);
	memcpy(values, data, 512);
	smart_data(0xd1, 0);
	expect_checksum();
	for (unsigned i = 0; i < 9; i++) {
		assert_int_equal(data[2 + i * 12], values[2 + i * 12]);
		assert_true(data[3 + i * 12] < values[5 + i * 12]);
	}
}

/* --- logs --------------------------------------------------------------- */

static void
test_ide_smart_log_directory_names_what_is_there(void **state)
{
	unsigned found = 0;

	(void)state;
	smart_data(0xd5, 0);
	assert_int_equal(get_le16(data), 1);
	for (unsigned log = 1; log < 256; log++) {
		u8 dir[512];

		memcpy(dir, data, 512);
		if (get_le16(dir + log * 2) == 0) {
			smart_refused(0xd5, (u8)log, 1);
			continue;
		}
		smart(0xd5, (u8)log, 1);
		ata_pull(&rig, 0, data, 512);
		expect_checksum();
		memcpy(data, dir, 512);
		found++;
	}
	assert_int_equal(found, 2);
	smart_refused(0xd5, 0, 0);
}

/* More sectors than a log has: those that are there, then an error. */
static void
test_ide_smart_log_ends_where_it_ends(void **state)
{
	(void)state;
	smart(0xd5, 1, 2);
	ata_pull(&rig, 0, data, 512);
	ata_expect(&rig, 0, OK | ERR);
	assert_int_equal(in(ATA_ERROR), ABRT);
}

static void
test_ide_smart_error_log_has_the_error(void **state)
{
	const u8 *entry;

	(void)state;
	smart_data(0xd5, 1);
	assert_int_equal(data[1], 0);
	assert_int_equal(get_le16(data + 452), 0);
	rig_skip(&rig.vmm, 3 * 3600 * NS_PER_SEC + 2 * NS_PER_MS);
	for (unsigned i = 0; i < 7; i++)
		read_bad_sector();
	smart_data(0xd5, 1);
	expect_checksum();
	assert_int_equal(get_le16(data + 452), 7);
	assert_int_equal(data[1], 2); /* the seventh is in the second place */
	entry = data + 2 + 90;
	assert_int_equal(entry[48 + 7], 0x20); /* the command */
	assert_int_equal(get_le32(entry + 48 + 8), 3 * 3600 * 1000 + 2);
	assert_int_equal(entry[60 + 1], UNC);
	assert_int_equal(entry[60 + 7], OK | ERR);
	assert_int_equal(entry[60 + 3] | entry[60 + 4] << 8, BAD);
	assert_int_equal(get_le16(entry + 60 + 28), 3);
}

static void
read_log(u8 log, u8 page, u16 count)
{
	ata_lba48(&rig, 0, 0x2f, log | page << 8, count);
}

static void
test_ide_read_log_ext_has_directory_errors_and_tests(void **state)
{
	(void)state;
	read_bad_sector();
	read_log(0, 0, 1);
	ata_pull(&rig, 0, data, 512);
	assert_int_equal(get_le16(data), 1);
	assert_int_equal(get_le16(data + 3 * 2), 1);
	assert_int_equal(get_le16(data + 7 * 2), 1);
	read_log(3, 0, 1);
	ata_pull(&rig, 0, data, 512);
	expect_checksum();
	assert_int_equal(get_le16(data + 2), 1);
	assert_int_equal(get_le16(data + 500), 1);
	assert_int_equal(data[4 + 90 + 1], UNC);
	assert_int_equal(data[4 + 90 + 4] | data[4 + 90 + 6] << 8, BAD);
	read_log(7, 0, 1);
	ata_pull(&rig, 0, data, 512);
	expect_checksum();
	assert_int_equal(in(ATA_STATUS), OK);
	for (unsigned log = 0x80; log < 0xa0; log++) {
		read_log((u8)log, 0, 1);
		ata_expect(&rig, 0, OK | ERR);
	}
	read_log(3, 1, 1);
	ata_expect(&rig, 0, OK | ERR);
	read_log(3, 0, 0);
	ata_expect(&rig, 0, OK | ERR);
}

/* --- self-tests --------------------------------------------------------- */

static u8
test_status(void)
{
	smart_data(0xd0, 0);
	return data[363];
}

/* Lets a test go on until it has ended. */
static void
finish_test(void)
{
	while (test_status() >= 0xf0) {
		if (disk_in_flight(rig.disk[0]) != 0)
			ide_rig_pump(&rig);
		else
			rig_run(&rig.vmm, rig.vmm.timers.next_ns);
	}
}

static void
expect_last(u8 number, u8 status)
{
	const u8 *entry;

	smart_data(0xd5, 6);
	expect_checksum();
	assert_in_range(data[508], 1, 21);
	entry = data + 2 + (data[508] - 1) * 24;
	assert_int_equal(entry[0], number);
	assert_int_equal(entry[1], status);
}

/* It verifies the medium, 64 MiB or all of it. */
static void
test_ide_smart_self_tests_read_the_medium(void **state)
{
	const struct disk_stats *st = disk_stats(rig.disk[0]);

	(void)state;
	for (u8 number = 1; number <= 2; number++) {
		u64 before = st->op[DISK_VERIFY].sectors;

		smart_ok(0xd4, number, 0);
		assert_int_equal(test_status() & 0xf0, 0xf0);
		finish_test();
		assert_int_equal(test_status(), 0);
		assert_int_equal(st->op[DISK_VERIFY].sectors - before,
				 IDE_RIG_SECTORS);
		expect_last(number, 0);
	}
	rig_run(&rig.vmm, rig_now(&rig.vmm) + NS_PER_SEC);
	assert_true(rig.vmm.timers.next_ns == VCLOCK_NEVER);
}

static void
test_ide_smart_self_test_finds_a_bad_sector(void **state)
{
	const u8 *entry;

	(void)state;
	ide_rig_fault(&rig, 0, FAULT);
	smart_ok(0xd4, 1, 0);
	finish_test();
	assert_int_equal(test_status(), 0x70);
	expect_last(1, 0x70);
	entry = data + 2 + (data[508] - 1) * 24;
	assert_int_equal(get_le32(entry + 5), BAD);
	assert_int_equal(raw(198), 1);
}

static void
test_ide_smart_captive_test_keeps_bsy(void **state)
{
	(void)state;
	smart(0xd4, 0x81, 0);
	assert_int_equal(in(ATA_ALT)&BSY, BSY);
	ata_expect(&rig, 0, OK);
	expect_last(0x81, 0);
	ide_rig_fault(&rig, 0, FAULT);
	smart(0xd4, 0x82, 0);
	ata_expect(&rig, 0, OK | ERR);
	assert_int_equal(in(ATA_MID), 0xf4);
	assert_int_equal(in(ATA_HIGH), 0x2c);
}

static void
test_ide_smart_self_test_is_aborted(void **state)
{
	(void)state;
	smart_ok(0xd4, 2, 0);
	rig_run(&rig.vmm, rig.vmm.timers.next_ns);
	smart_ok(0xd4, 0x7f, 0);
	assert_int_equal(test_status(), 0x10);
	expect_last(2, 0x10);
	smart_ok(0xd4, 1, 0);
	ata_out(&rig, 0, ATA_CONTROL, SRST);
	ata_out(&rig, 0, ATA_CONTROL, 0);
	assert_int_equal(ata_wait(&rig, 0), OK);
	expect_last(1, 0x20);
	/* a captive one, too */
	smart(0xd4, 0x82, 0);
	ata_out(&rig, 0, ATA_CONTROL, SRST);
	ata_out(&rig, 0, ATA_CONTROL, 0);
	assert_int_equal(ata_wait(&rig, 0), OK);
	rig_run(&rig.vmm, rig_now(&rig.vmm) + NS_PER_SEC);
	assert_false(rig.irq[0].level);
	expect_last(0x82, 0x20);
	smart_refused(0xd4, 0x03, 0);
	smart_refused(0xd4, 0x80, 0);
	smart_ok(0xd4, 0x00, 0);
}

/* The guest's own requests go on beside a test. */
static void
test_ide_smart_self_test_lets_others_work(void **state)
{
	(void)state;
	smart_ok(0xd4, 2, 0);
	for (unsigned i = 0; i < 20; i++) {
		rig_run(&rig.vmm, rig_now(&rig.vmm) + NS_PER_MS);
		ata_dma(&rig, 0, true, 1000 + i, 1, BUFFER);
	}
	finish_test();
	expect_last(2, 0);
}

/* More tests than the log has places. */
static void
test_ide_smart_self_test_log_is_a_ring(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 25; i++) {
		smart_ok(0xd4, i % 2 == 0 ? 1 : 2, 0);
		smart_ok(0xd4, 0x7f, 0);
	}
	expect_last(1, 0x10);
	assert_int_equal(data[508], 4);
	read_log(7, 0, 1);
	ata_pull(&rig, 0, data, 512);
	expect_checksum();
	assert_int_equal(get_le16(data + 2), 6); /* of 19 places */
	assert_int_equal(data[4 + 5 * 26], 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_ide_smart_needs_its_key),
	    CASE(test_ide_smart_can_be_disabled),
	    CASE(test_ide_smart_return_status_is_good),
	    CASE(test_ide_smart_return_status_is_bad_after_many_errors),
	    CASE(test_ide_smart_attributes_are_the_disks_counters),
	    CASE(test_ide_smart_thresholds_name_each_attribute),
	    CASE(test_ide_smart_log_directory_names_what_is_there),
	    CASE(test_ide_smart_log_ends_where_it_ends),
	    CASE(test_ide_smart_error_log_has_the_error),
	    CASE(test_ide_read_log_ext_has_directory_errors_and_tests),
	    CASE(test_ide_smart_self_tests_read_the_medium),
	    CASE(test_ide_smart_self_test_finds_a_bad_sector),
	    CASE(test_ide_smart_captive_test_keeps_bsy),
	    CASE(test_ide_smart_self_test_is_aborted),
	    CASE(test_ide_smart_self_test_lets_others_work),
	    CASE(test_ide_smart_self_test_log_is_a_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
