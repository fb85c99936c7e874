/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/ide_rig.h"

static struct ide_rig rig;

static int
setup_model(enum ide_model model)
{
	const struct ide_rig_config config = {
	    .model = model,
	    .drive = {[0].present = true, [2].present = true},
	};

	ide_rig_open(&rig, &config);
	return 0;
}

static int
setup(void **state)
{
	(void)state;
	return setup_model(IDE_PIIX4);
}

static int
setup_piix3(void **state)
{
	(void)state;
	return setup_model(IDE_PIIX3);
}

static int
teardown(void **state)
{
	(void)state;
	ide_rig_close(&rig);
	return 0;
}

static bool
answers(unsigned drive)
{
	return ata_in(&rig, drive, ATA_STATUS) == OK &&
	       ata_in(&rig, drive, ATA_ALT) == OK;
}

static void
test_piix_ide_identity(void **state)
{
	(void)state;
	assert_int_equal(pci_in(&rig, 0, 4), 0x71118086);
	assert_int_equal(pci_in(&rig, 9, 1), 0x80);
	assert_int_equal(pci_in(&rig, 10, 2), 0x0101);
	assert_int_equal(pci_in(&rig, 4, 2), 0x0005);
	assert_int_equal(pci_in(&rig, 6, 2), 0x0280);
	assert_int_equal(pci_in(&rig, 0x20, 4), IDE_BM_BASE | 1);
}

static void
test_piix_ide_identity_of_the_piix3(void **state)
{
	(void)state;
	assert_int_equal(pci_in(&rig, 0, 4), 0x70108086);
	pci_out(&rig, 0x48, 4, 0xffffffff); /* no Ultra DMA */
	assert_int_equal(pci_in(&rig, 0x48, 4), 0);
}

/* Linux's ata_piix does not look at a channel that is not enabled. */
static void
test_piix_ide_linux_finds_enable_bits(void **state)
{
	(void)state;
	assert_int_equal(pci_in(&rig, 0x41, 1) & 0x80, 0x80);
	assert_int_equal(pci_in(&rig, 0x43, 1) & 0x80, 0x80);
}

/* ata_piix changes them bit by bit. */
static void
test_piix_ide_timing_registers_store(void **state)
{
	(void)state;
	pci_out(&rig, 0x40, 4, 0xb377a377);
	assert_int_equal(pci_in(&rig, 0x40, 4), 0xb377a377);
	pci_out(&rig, 0x44, 1, 0x9b);
	assert_int_equal(pci_in(&rig, 0x44, 1), 0x9b);
	pci_out(&rig, 0x48, 1, 0xff);
	assert_int_equal(pci_in(&rig, 0x48, 1), 0x0f);
	pci_out(&rig, 0x4a, 2, 0xffff);
	assert_int_equal(pci_in(&rig, 0x4a, 2), 0x3333);
	pci_out(&rig, 0, 4, 0);
	assert_int_equal(pci_in(&rig, 0, 4), 0x71118086);
}

static void
test_piix_ide_decode_bits_switch_channels(void **state)
{
	(void)state;
	assert_true(answers(0));
	assert_true(answers(2));
	pci_out(&rig, 0x41, 1, 0);
	assert_int_equal(ata_in(&rig, 0, ATA_STATUS), 0xff);
	assert_int_equal(ata_in(&rig, 0, ATA_ALT), 0xff);
	assert_true(answers(2));
	pci_out(&rig, 0x43, 1, 0);
	assert_int_equal(ata_in(&rig, 2, ATA_STATUS), 0xff);
	pci_out(&rig, 0x40, 4, 0x80008000); /* as SeaBIOS does */
	assert_true(answers(0));
	assert_true(answers(2));
}

static void
test_piix_ide_io_enable_switches_everything(void **state)
{
	(void)state;
	pci_out(&rig, 4, 2, 0x0004);
	assert_int_equal(ata_in(&rig, 0, ATA_STATUS), 0xff);
	assert_int_equal(pio_read(&rig.pio, IDE_BM_BASE + 2, 1), 0xff);
	pci_out(&rig, 4, 2, 0x0005);
	assert_true(answers(0));
	assert_int_equal(pio_read(&rig.pio, IDE_BM_BASE + 2, 1), 0x60);
}

static void
test_piix_ide_bar4_can_be_sized_and_moved(void **state)
{
	const struct rig_prd prd = {0x100000, 512 | PRD_LAST};

	(void)state;
	pci_out(&rig, 0x20, 4, 0xffffffff);
	assert_int_equal(pci_in(&rig, 0x20, 4), 0xfff1);
	pci_out(&rig, 0x20, 4, 0xd120);
	assert_int_equal(pci_in(&rig, 0x20, 4), 0xd121);
	assert_int_equal(pio_read(&rig.pio, IDE_BM_BASE + 2, 1), 0xff);
	assert_int_equal(pio_read(&rig.pio, 0xd122, 1), 0x60);
	bm_table(&rig, 2, 0x1000, &prd, 1); /* at D128h */
	ata_lba28(&rig, 2, 0xc8, 9, 1);
	bm_start(&rig, 2, true);
	ata_expect(&rig, 2, OK);
	assert_int_equal(ram_at(&rig.ram, 0x100000, 1)[0], rig_byte(9));
}

/* BAR4 over the ports of a channel: whoever was there keeps them, and all is
 * well when it is gone. */
static void
test_piix_ide_bar4_over_a_channel_yields(void **state)
{
	(void)state;
	pci_out(&rig, 0x20, 4, 0x1f0);
	assert_true(answers(0));
	pci_out(&rig, 0x20, 4, 0xc000);
	assert_int_equal(pio_read(&rig.pio, 0xc002, 1), 0x60);
	/* the other way round */
	pci_out(&rig, 0x41, 1, 0);
	pci_out(&rig, 0x20, 4, 0x1f0);
	assert_int_equal(pio_read(&rig.pio, 0x1f2, 1), 0x60);
	pci_out(&rig, 0x41, 1, 0x80);
	assert_int_equal(pio_read(&rig.pio, 0x1f2, 1), 0x60);
	ide_reset(rig.ide);
	assert_true(answers(0));
	assert_int_equal(pio_read(&rig.pio, 0xc002, 1), 0x60);
}

static void
test_piix_ide_reset_restores_everything(void **state)
{
	(void)state;
	pci_out(&rig, 0x20, 4, 0xd000);
	pci_out(&rig, 0x40, 4, 0);
	pci_out(&rig, 4, 2, 0);
	ide_reset(rig.ide);
	assert_int_equal(pci_in(&rig, 0x20, 4), IDE_BM_BASE | 1);
	assert_int_equal(pci_in(&rig, 4, 2), 0x0005);
	assert_true(answers(0));
	assert_true(answers(2));
}

#define WITH(name, s) cmocka_unit_test_setup_teardown(name, s, teardown)
#define CASE(name)    WITH(name, setup)
#define PIIX3(name)   WITH(name, setup_piix3)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_piix_ide_identity),
	    PIIX3(test_piix_ide_identity_of_the_piix3),
	    CASE(test_piix_ide_linux_finds_enable_bits),
	    CASE(test_piix_ide_timing_registers_store),
	    CASE(test_piix_ide_decode_bits_switch_channels),
	    CASE(test_piix_ide_io_enable_switches_everything),
	    CASE(test_piix_ide_bar4_can_be_sized_and_moved),
	    CASE(test_piix_ide_bar4_over_a_channel_yields),
	    CASE(test_piix_ide_reset_restores_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
