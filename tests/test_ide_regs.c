/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/ide_rig.h"

/* Two drives on the first channel, a lone slave on the second. */
static struct ide_rig rig;
static const struct ide_rig_config config = {
    .drive = {[0].present = true, [1].present = true, [3].present = true},
};

static int
setup(void **state)
{
	(void)state;
	ide_rig_open(&rig, &config);
	return 0;
}

static int
setup_master(void **state)
{
	static const struct ide_rig_config master = {
	    .drive = {[0].present = true, [0].fault = {"flush:delay:ms=20"}},
	};

	(void)state;
	ide_rig_open(&rig, &master);
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
in(unsigned drive, enum ata_reg reg)
{
	return ata_in(&rig, drive, reg);
}

static void
out(unsigned drive, enum ata_reg reg, u8 v)
{
	ata_out(&rig, drive, reg, v);
}

/* The registers as after a reset of an ATA drive. */
static void
expect_signature(unsigned drive)
{
	assert_int_equal(in(drive, ATA_ERROR), 1);
	assert_int_equal(in(drive, ATA_COUNT), 1);
	assert_int_equal(in(drive, ATA_LOW), 1);
	assert_int_equal(in(drive, ATA_MID), 0);
	assert_int_equal(in(drive, ATA_HIGH), 0);
}

static void
test_ide_power_on_shows_signature(void **state)
{
	(void)state;
	assert_int_equal(in(0, ATA_ALT), OK);
	expect_signature(0);
	assert_int_equal(in(0, ATA_DEVICE), 0);
	assert_false(rig.irq[0].level);
	ata_select(&rig, 1, 0);
	assert_int_equal(in(1, ATA_ALT), OK);
	expect_signature(1);
}

/* Linux and SeaBIOS look for drives so. */
static void
test_ide_devchk_reads_back_what_was_written(void **state)
{
	(void)state;
	for (unsigned drive = 0; drive < 2; drive++) {
		ata_select(&rig, drive, 0);
		out(drive, ATA_COUNT, 0x55);
		out(drive, ATA_LOW, 0xaa);
		out(drive, ATA_COUNT, 0xaa);
		out(drive, ATA_LOW, 0x55);
		out(drive, ATA_COUNT, 0x55);
		out(drive, ATA_LOW, 0xaa);
		assert_int_equal(in(drive, ATA_COUNT), 0x55);
		assert_int_equal(in(drive, ATA_LOW), 0xaa);
	}
}

static void
test_ide_seabios_devchk_reads_back_device(void **state)
{
	(void)state;
	for (unsigned v = 0; v < 256; v++) {
		out(0, ATA_DEVICE, (u8)v);
		assert_int_equal(in(0, ATA_DEVICE), v);
	}
	ata_select(&rig, 1, 0);
	assert_int_equal(in(1, ATA_DEVICE), 0xb0);
	ata_select(&rig, 0, 0);
	assert_int_equal(in(0, ATA_DEVICE), 0xa0);
}

static void
test_ide_absent_slave_is_zeros(void **state)
{
	(void)state;
	ata_select(&rig, 1, 0);
	assert_int_equal(in(1, ATA_STATUS), 0);
	assert_int_equal(in(1, ATA_ALT), 0);
	out(1, ATA_COUNT, 0x55);
	out(1, ATA_LOW, 0xaa);
	assert_int_not_equal(in(1, ATA_COUNT), 0x55);
	assert_int_not_equal(in(1, ATA_LOW), 0xaa);
	assert_int_not_equal(in(1, ATA_DEVICE), 0xb0);
	out(1, ATA_COMMAND, 0xec); /* nobody */
	assert_int_equal(in(1, ATA_ALT), 0);
	ata_select(&rig, 0, 0);
	assert_int_equal(in(0, ATA_ALT), OK);
	assert_false(rig.irq[0].level);
}

static void
test_ide_empty_channel_floats_high(void **state)
{
	(void)state;
	for (unsigned unit = 2; unit < 4; unit++) {
		ata_select(&rig, unit, 0);
		for (unsigned reg = ATA_ERROR; reg <= ATA_STATUS; reg++)
			assert_int_equal(in(unit, (enum ata_reg)reg), 0xff);
		assert_int_equal(in(unit, ATA_ALT), 0xff);
		assert_int_equal(ata_in16(&rig, unit), 0xffff);
		out(unit, ATA_COMMAND, 0xe7); /* nobody to flush */
		out(unit, ATA_COMMAND, 0x90);
		out(unit, ATA_CONTROL, SRST);
		out(unit, ATA_CONTROL, 0);
		assert_false(rig.irq[1].level);
	}
}

static void
test_ide_lone_slave_is_found(void **state)
{
	(void)state;
	ata_select(&rig, 2, 0);
	assert_int_equal(in(2, ATA_STATUS), 0x7f); /* DD7 pulled down */
	out(2, ATA_COUNT, 0x55);
	assert_int_not_equal(in(2, ATA_COUNT), 0x55);
	ata_select(&rig, 3, 0);
	assert_int_equal(in(3, ATA_STATUS), OK);
	out(3, ATA_COUNT, 0x55);
	assert_int_equal(in(3, ATA_COUNT), 0x55);
}

static void
test_ide_hob_shows_what_was_written_before(void **state)
{
	static const enum ata_reg regs[] = {ATA_COUNT, ATA_LOW, ATA_MID,
					    ATA_HIGH};

	(void)state;
	ata_select(&rig, 0, 0x40);
	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++) {
		out(0, regs[i], (u8)(0x10 + i));
		out(0, regs[i], (u8)(0x20 + i));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++)
		assert_int_equal(in(0, regs[i]), 0x20 + i);
	out(0, ATA_CONTROL, HOB);
	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++)
		assert_int_equal(in(0, regs[i]), 0x10 + i);
	/* any write to the Command Block clears HOB */
	ata_select(&rig, 0, 0x40);
	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++)
		assert_int_equal(in(0, regs[i]), 0x20 + i);
}

static void
test_ide_srst_signature_and_no_interrupt(void **state)
{
	(void)state;
	ata_lba28(&rig, 1, 0x40, 5, 1);
	ata_expect(&rig, 1, OK);
	out(0, ATA_CONTROL, SRST);
	assert_int_equal(in(0, ATA_ALT), BSY);
	out(0, ATA_COUNT, 0x77); /* ignored */
	out(0, ATA_CONTROL, 0);
	assert_int_equal(in(0, ATA_ALT), OK);
	expect_signature(0);
	assert_int_equal(in(0, ATA_DEVICE) & 0x10, 0);
	ata_select(&rig, 1, 0);
	expect_signature(1);
	assert_false(rig.irq[0].level);
	assert_int_equal(rig.irq[0].rises, 1);
}

/* SRST works on its edges, and drives stay busy while it is held. */
static void
test_ide_srst_held_keeps_both_busy(void **state)
{
	(void)state;
	out(0, ATA_CONTROL, SRST);
	for (int i = 0; i < 3; i++) {
		out(0, ATA_CONTROL, SRST);
		assert_int_equal(in(0, ATA_ALT), BSY);
	}
	out(0, ATA_COMMAND, 0xec);
	assert_int_equal(in(0, ATA_ALT), BSY);
	out(0, ATA_CONTROL, NIEN);
	assert_int_equal(in(0, ATA_ALT), OK);
}

static void
test_ide_status_clears_intrq_alternate_does_not(void **state)
{
	(void)state;
	ata_feature(&rig, 0, 0xe5, 0, 0);
	assert_true(rig.irq[0].level);
	assert_int_equal(in(0, ATA_ALT), OK);
	assert_true(rig.irq[0].level);
	assert_int_equal(in(0, ATA_STATUS), OK);
	assert_false(rig.irq[0].level);
}

static void
test_ide_command_clears_intrq(void **state)
{
	(void)state;
	ata_feature(&rig, 0, 0xe5, 0, 0);
	assert_true(rig.irq[0].level);
	ata_lba28(&rig, 0, 0x30, 0, 1); /* waits for data, without INTRQ */
	assert_false(rig.irq[0].level);
	assert_int_equal(in(0, ATA_ALT), OK | DRQ);
}

/* freeze and thaw of libata: what happened meanwhile is not lost. */
static void
test_ide_nien_holds_an_interrupt_back(void **state)
{
	(void)state;
	out(0, ATA_CONTROL, NIEN);
	ata_feature(&rig, 0, 0xe5, 0, 0);
	assert_int_equal(in(0, ATA_ALT), OK);
	assert_false(rig.irq[0].level);
	assert_int_equal(bm_in(&rig, 0, 2) & 4, 0);
	out(0, ATA_CONTROL, 0);
	assert_true(rig.irq[0].level);
	assert_int_equal(bm_in(&rig, 0, 2) & 4, 4);
	out(0, ATA_CONTROL, NIEN);
	assert_false(rig.irq[0].level);
	assert_int_equal(in(0, ATA_STATUS), OK);
	out(0, ATA_CONTROL, 0);
	assert_false(rig.irq[0].level);
}

/* The wire is the selected drive's. */
static void
test_ide_intrq_is_of_the_selected_drive(void **state)
{
	(void)state;
	ata_feature(&rig, 0, 0xe5, 0, 0);
	assert_true(rig.irq[0].level);
	ata_select(&rig, 1, 0);
	assert_false(rig.irq[0].level);
	assert_int_equal(in(1, ATA_STATUS), OK);
	ata_select(&rig, 0, 0);
	assert_true(rig.irq[0].level);
}

/* A second command while one runs is not heard (Acronis's Linux). */
static void
test_ide_command_while_busy_is_ignored(void **state)
{
	u8 data[512];

	(void)state;
	ata_lba28(&rig, 0, 0x20, 3, 1);
	out(0, ATA_COMMAND, 0x20);
	out(0, ATA_COMMAND, 0xec);
	out(0, ATA_LOW, 99);
	ata_pull(&rig, 0, data, sizeof(data));
	assert_int_equal(data[0], rig_byte(3));
	assert_int_equal(data[511], rig_byte(3));
	assert_int_equal(in(0, ATA_STATUS), OK);
	assert_int_equal(rig.irq[0].rises, 1);
}

/* BSY from the command to the disk's answer. */
static void
test_ide_flush_is_busy_until_the_disk_answers(void **state)
{
	(void)state;
	ata_dma(&rig, 0, true, 1, 1, 0x10000);
	ata_select(&rig, 0, 0);
	out(0, ATA_COMMAND, 0xe7);
	for (int i = 0; i < 10; i++)
		assert_int_equal(in(0, ATA_ALT), BSY | OK);
	assert_false(rig.irq[0].level);
	ata_expect(&rig, 0, OK);
}

/* The reset is over at once for the guest; the flush goes on, and its answer
 * is nobody's. */
static void
test_ide_srst_during_flush_answers_once(void **state)
{
	unsigned rises;

	(void)state;
	ata_dma(&rig, 0, true, 1, 1, 0x10000);
	rises = rig.irq[0].rises;
	ata_select(&rig, 0, 0);
	out(0, ATA_COMMAND, 0xe7);
	assert_int_equal(in(0, ATA_ALT), BSY | OK);
	out(0, ATA_CONTROL, SRST);
	out(0, ATA_CONTROL, 0);
	assert_int_equal(in(0, ATA_ALT), OK);
	expect_signature(0);
	while (disk_in_flight(rig.disk[0]) != 0)
		ide_rig_pump(&rig);
	assert_int_equal(rig.irq[0].rises, rises);
	assert_int_equal(in(0, ATA_ALT), OK);
	assert_int_equal(disk_stats(rig.disk[0])->op[DISK_FLUSH].requests, 1);
	/* nothing was lost */
	ata_select(&rig, 0, 0);
	out(0, ATA_COMMAND, 0xe7);
	ata_expect(&rig, 0, OK);
}

/* As often as it likes: the resets wait when too many are on their way. */
static void
test_ide_srst_storm_during_flushes_is_bounded(void **state)
{
	unsigned most = 0;

	(void)state;
	for (int i = 0; i < 50; i++) {
		ata_dma(&rig, 0, true, 1, 1, 0x10000);
		ata_select(&rig, 0, 0);
		out(0, ATA_COMMAND, 0xe7);
		out(0, ATA_CONTROL, SRST);
		out(0, ATA_CONTROL, 0);
		most = MAX(most, disk_in_flight(rig.disk[0]));
		assert_int_equal(ata_wait(&rig, 0), OK);
	}
	assert_in_range(most, 2, 8);
}

/* No byte moves after a reset has been reported. */
static void
test_ide_srst_during_dma_waits_for_the_data(void **state)
{
	const struct rig_prd prd = {0x20000, 512 | PRD_LAST};
	u8 *ram = ram_at(&rig.ram, 0x20000, 512);

	(void)state;
	memset(ram, 0, 512);
	ide_rig_fault(&rig, 0, "read:delay:ms=20");
	bm_table(&rig, 0, 0x1000, &prd, 1);
	ata_lba28(&rig, 0, 0xc8, 9, 1);
	bm_start(&rig, 0, true);
	assert_int_equal(in(0, ATA_ALT) & BSY, BSY); /* a miss */
	assert_false(ide_idle(rig.ide));
	out(0, ATA_CONTROL, SRST);
	out(0, ATA_CONTROL, 0);
	assert_int_equal(in(0, ATA_ALT), BSY);
	assert_int_equal(ata_wait(&rig, 0), OK);
	assert_true(ide_idle(rig.ide));
	expect_signature(0);
	assert_int_equal(rig.irq[0].rises, 0);
}

/* FreeBSD and SeaBIOS select the drives in turn until neither is busy. */
static void
test_ide_freebsd_polls_both_drives_after_srst(void **state)
{
	const struct rig_prd prd = {0x20000, 512 | PRD_LAST};

	(void)state;
	ide_rig_fault(&rig, 3, "read:delay:ms=20");
	bm_table(&rig, 3, 0x1000, &prd, 1);
	ata_lba28(&rig, 3, 0xc8, 9, 1); /* the lone slave's */
	bm_start(&rig, 3, true);
	out(3, ATA_CONTROL, SRST);
	assert_int_equal(in(2, ATA_ALT), 0x7f); /* device 0 is selected */
	out(3, ATA_CONTROL, 0);
	ata_select(&rig, 3, 0);
	assert_int_equal(in(3, ATA_ALT), BSY);
	assert_int_equal(ata_wait(&rig, 3), OK);
	assert_int_equal(in(3, ATA_DEVICE) & 0x10, 0x10);
	expect_signature(3);
}

static void
test_ide_srst_in_a_pio_transfer_ends_it(void **state)
{
	u8 data[512] = {0};

	(void)state;
	ata_lba28(&rig, 0, 0x30, 7, 2);
	ata_push(&rig, 0, data, 100);
	out(0, ATA_CONTROL, SRST);
	out(0, ATA_CONTROL, 0);
	assert_int_equal(ata_wait(&rig, 0), OK);
	ata_out16(&rig, 0, 0x1234); /* nobody listens */
	ata_lba28(&rig, 0, 0x20, 7, 1);
	ata_pull(&rig, 0, data, sizeof(data));
	assert_int_equal(data[0], rig_byte(7));
}

static void
test_ide_reset_keeps_a_busy_channel_busy(void **state)
{
	const struct rig_prd prd = {0x20000, 512 | PRD_LAST};

	(void)state;
	ide_rig_fault(&rig, 0, "read:delay:ms=20");
	bm_table(&rig, 0, 0x1000, &prd, 1);
	ata_lba28(&rig, 0, 0xc8, 9, 1);
	bm_start(&rig, 0, true);
	assert_false(ide_idle(rig.ide));
	ide_reset(rig.ide);
	assert_int_equal(in(0, ATA_ALT), BSY);
	assert_int_equal(bm_in(&rig, 0, 0), 0);
	ide_rig_pump(&rig);
	assert_true(ide_idle(rig.ide));
	assert_int_equal(in(0, ATA_ALT), OK);
}

static void
test_ide_data_port_without_drq_is_quiet(void **state)
{
	(void)state;
	assert_int_equal(ata_in16(&rig, 0), 0);
	ata_out16(&rig, 0, 0xffff);
	assert_int_equal(in(0, ATA_ALT), OK);
	ata_lba28(&rig, 0, 0x30, 0, 1);
	assert_int_equal(ata_in16(&rig, 0), 0); /* the wrong way */
	assert_int_equal(in(0, ATA_ALT), OK | DRQ);
}

/* 16 and 32 bits at once, as some drivers do it. */
static void
test_ide_wide_access_is_several_registers(void **state)
{
	(void)state;
	pio_write(&rig.pio, 0x1f2, 4, 0x40302010);
	assert_int_equal(in(0, ATA_COUNT), 0x10);
	assert_int_equal(in(0, ATA_HIGH), 0x40);
	assert_int_equal(pio_read(&rig.pio, 0x1f2, 4), 0x40302010);
	assert_int_equal(pio_read(&rig.pio, 0x1f6, 2), OK << 8);
}

#define WITH(name, s) cmocka_unit_test_setup_teardown(name, s, teardown)
#define CASE(name)    WITH(name, setup)
#define MASTER(name)  WITH(name, setup_master)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_ide_power_on_shows_signature),
	    CASE(test_ide_devchk_reads_back_what_was_written),
	    CASE(test_ide_seabios_devchk_reads_back_device),
	    MASTER(test_ide_absent_slave_is_zeros),
	    MASTER(test_ide_empty_channel_floats_high),
	    CASE(test_ide_lone_slave_is_found),
	    CASE(test_ide_hob_shows_what_was_written_before),
	    CASE(test_ide_srst_signature_and_no_interrupt),
	    CASE(test_ide_srst_held_keeps_both_busy),
	    CASE(test_ide_status_clears_intrq_alternate_does_not),
	    CASE(test_ide_command_clears_intrq),
	    CASE(test_ide_nien_holds_an_interrupt_back),
	    CASE(test_ide_intrq_is_of_the_selected_drive),
	    CASE(test_ide_command_while_busy_is_ignored),
	    MASTER(test_ide_flush_is_busy_until_the_disk_answers),
	    MASTER(test_ide_srst_during_flush_answers_once),
	    MASTER(test_ide_srst_storm_during_flushes_is_bounded),
	    CASE(test_ide_srst_during_dma_waits_for_the_data),
	    CASE(test_ide_freebsd_polls_both_drives_after_srst),
	    CASE(test_ide_srst_in_a_pio_transfer_ends_it),
	    CASE(test_ide_reset_keeps_a_busy_channel_busy),
	    CASE(test_ide_data_port_without_drq_is_quiet),
	    CASE(test_ide_wide_access_is_several_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
