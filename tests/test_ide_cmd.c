/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/ide_rig.h"
#include "vmm/ide_int.h"

#define BUFFER 0x100000U

static struct ide_rig rig;

static int
setup(void **state)
{
	static const struct ide_rig_config config = {
	    .drive = {[0].present = true, [1].present = true},
	};

	(void)state;
	ide_rig_open(&rig, &config);
	return 0;
}

static int
setup_slave(void **state)
{
	static const struct ide_rig_config config = {
	    .drive = {[1].present = true},
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
out(enum ata_reg reg, u8 v)
{
	ata_out(&rig, 0, reg, v);
}

/* Moves a command's data, whatever they are, until it is over. */
static void
finish(u8 opcode)
{
	const struct rig_prd prd = {BUFFER, 0 | PRD_LAST};
	u8 flags = ide_row(opcode)->flags;

	if (flags & ROW_DMA) {
		bm_table(&rig, 0, 0x1000, &prd, 1);
		bm_start(&rig, 0, !(flags & ROW_WRITE));
	}
	for (unsigned i = 0; i < 65536 && (ata_wait(&rig, 0) & DRQ); i++) {
		if (flags & ROW_WRITE)
			ata_out16(&rig, 0, 0);
		else
			(void)ata_in16(&rig, 0);
	}
	bm_stop(&rig, 0);
}

/* --- the table ---------------------------------------------------------- */

/* The commands of ATA disks, as the standard has them. */
static const u8 known[] = {
    0x00, 0x06, 0x20, 0x21, 0x24, 0x25, 0x27, 0x29, 0x2f, 0x30, 0x31,
    0x34, 0x35, 0x37, 0x39, 0x3c, 0x3d, 0x40, 0x41, 0x42, 0x90, 0x91,
    0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0xb0, 0xc4, 0xc5, 0xc6, 0xc8,
    0xc9, 0xca, 0xcb, 0xce, 0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6,
    0xe7, 0xe8, 0xea, 0xec, 0xef, 0xf5, 0xf8, 0xf9,
};

static bool
is_known(unsigned opcode)
{
	if ((opcode >= 0x10 && opcode < 0x20) ||
	    (opcode >= 0x70 && opcode < 0x80))
		return true;
	return memchr(known, (int)opcode, sizeof(known)) != NULL;
}

static void
test_ide_command_table_is_the_standards(void **state)
{
	(void)state;
	for (unsigned op = 0; op < 256; op++)
		assert_int_equal((ide_row((u8)op)->flags & ROW_DISK) != 0,
				 is_known(op));
}

static void
test_ide_command_without_a_row_is_aborted(void **state)
{
	(void)state;
	for (unsigned op = 0; op < 256; op++) {
		if (is_known(op))
			continue;
		ata_lba28(&rig, 0, (u8)op, 0, 1);
		ata_expect(&rig, 0, OK | ERR);
		assert_int_equal(in(ATA_ERROR), ABRT);
	}
}

/* Whatever a command does, it ends, and the next finds the error register
 * cleared (Windows looks at it). */
static void
test_ide_every_command_ends(void **state)
{
	(void)state;
	for (unsigned op = 0; op < 256; op++) {
		/* sleeps */
		if (op == 0xe6 || op == 0x99)
			continue;
		ata_lba48(&rig, 0, (u8)op, 3, 1);
		finish((u8)op);
		assert_int_equal(ata_wait(&rig, 0) & (BSY | DRQ | DRDY), DRDY);
		(void)in(ATA_STATUS);
		assert_false(rig.irq[0].level);
		ide_check(rig.ide);
		ata_feature(&rig, 0, 0xe5, 0, 0);
		ata_expect(&rig, 0, OK);
		assert_int_equal(in(ATA_ERROR), 0);
	}
}

/* In any state of the command, SRST brings the drive back. */
static void
test_ide_every_command_can_be_reset(void **state)
{
	(void)state;
	for (unsigned op = 0; op < 256; op++)
		for (unsigned words = 0; words < 2; words++) {
			ata_lba48(&rig, 0, (u8)op, 3, 1);
			for (unsigned i = 0; i < words * 17; i++) {
				(void)ata_in16(&rig, 0);
				ata_out16(&rig, 0, 0);
			}
			out(ATA_CONTROL, SRST);
			out(ATA_CONTROL, 0);
			ide_check(rig.ide);
			assert_int_equal(ata_wait(&rig, 0), OK);
			assert_int_equal(in(ATA_ERROR), 1);
			assert_false(rig.irq[0].level);
		}
}

/* --- small commands ----------------------------------------------------- */

static void
test_ide_nop_is_aborted(void **state)
{
	(void)state;
	ata_feature(&rig, 0, 0x00, 0, 0);
	ata_expect(&rig, 0, OK | ERR);
	assert_int_equal(in(ATA_ERROR), ABRT);
}

static void
test_ide_diagnostic_selects_device_0(void **state)
{
	(void)state;
	ata_select(&rig, 1, 0);
	out(ATA_COMMAND, 0x90);
	assert_true(rig.irq[0].level);
	assert_int_equal(in(ATA_DEVICE)&0x10, 0);
	ata_expect(&rig, 0, OK);
	for (unsigned drive = 0; drive < 2; drive++) {
		ata_select(&rig, drive, 0);
		assert_int_equal(in(ATA_ERROR), 1);
		assert_int_equal(in(ATA_COUNT), 1);
		assert_int_equal(in(ATA_LOW), 1);
		assert_int_equal(in(ATA_MID), 0);
		assert_int_equal(in(ATA_HIGH), 0);
	}
}

static void
test_ide_diagnostic_is_heard_by_a_lone_slave(void **state)
{
	(void)state;
	ata_select(&rig, 0, 0);
	out(ATA_COMMAND, 0x90);
	ata_select(&rig, 1, 0);
	assert_int_equal(in(ATA_ALT), OK);
	assert_int_equal(in(ATA_ERROR), 1);
	ide_check(rig.ide);
}

static void
test_ide_buffer_keeps_what_is_written(void **state)
{
	u8 data[512], back[512];

	(void)state;
	for (unsigned i = 0; i < 512; i++)
		data[i] = (u8)(i * 11);
	ata_lba28(&rig, 0, 0xe8, 0, 1);
	ata_push(&rig, 0, data, 512);
	ata_expect(&rig, 0, OK);
	ata_lba28(&rig, 0, 0xe4, 0, 1);
	ata_pull(&rig, 0, back, 512);
	assert_int_equal(in(ATA_STATUS), OK);
	assert_memory_equal(data, back, 512);
}

static void
test_ide_security_freeze_lock_works_others_abort(void **state)
{
	(void)state;
	for (unsigned op = 0xf1; op <= 0xf6; op++) {
		ata_feature(&rig, 0, (u8)op, 0, 0);
		ata_expect(&rig, 0, op == 0xf5 ? OK : OK | ERR);
	}
}

/* SeaBIOS tries a disk as a CD first. */
static void
test_ide_seabios_identify_packet_is_aborted_with_signature(void **state)
{
	(void)state;
	ata_select(&rig, 0, 0);
	out(ATA_MID, 0x12);
	out(ATA_HIGH, 0x34);
	out(ATA_COMMAND, 0xa1);
	ata_expect(&rig, 0, OK | ERR);
	assert_int_equal(in(ATA_ERROR), ABRT);
	assert_int_equal(in(ATA_COUNT), 1);
	assert_int_equal(in(ATA_LOW), 1);
	assert_int_equal(in(ATA_MID), 0);
	assert_int_equal(in(ATA_HIGH), 0);
	out(ATA_COMMAND, 0xec);
	assert_int_equal(in(ATA_STATUS), OK | DRQ);
	/* DEVICE RESET and PACKET are a packet device's */
	out(ATA_CONTROL, SRST);
	out(ATA_CONTROL, 0);
	out(ATA_COMMAND, 0x08);
	ata_expect(&rig, 0, OK | ERR);
	out(ATA_COMMAND, 0xa0);
	ata_expect(&rig, 0, OK | ERR);
}

#define WITH(name, s) cmocka_unit_test_setup_teardown(name, s, teardown)
#define CASE(name)    WITH(name, setup)
#define SLAVE(name)   WITH(name, setup_slave)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_ide_command_table_is_the_standards),
	    CASE(test_ide_command_without_a_row_is_aborted),
	    CASE(test_ide_every_command_ends),
	    CASE(test_ide_every_command_can_be_reset),
	    CASE(test_ide_nop_is_aborted),
	    CASE(test_ide_diagnostic_selects_device_0),
	    SLAVE(test_ide_diagnostic_is_heard_by_a_lone_slave),
	    CASE(test_ide_buffer_keeps_what_is_written),
	    CASE(test_ide_security_freeze_lock_works_others_abort),
	    CASE(test_ide_seabios_identify_packet_is_aborted_with_signature),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
