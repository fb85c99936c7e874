/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/ide_rig.h"

#define TABLE  0x1000U
#define BUFFER 0x100000U

#define ACTIVE	1
#define ERROR	2
#define INTR	4
#define CAPABLE 0x60

static struct ide_rig rig;

static int
setup(void **state)
{
	static const struct ide_rig_config config = {
	    .drive = {[0].present = true, [2].present = true},
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
status(void)
{
	return bm_in(&rig, 0, 2) & (ACTIVE | ERROR | INTR);
}

static u8 *
ram(u32 gpa, u32 size_bytes)
{
	u8 *p = ram_at(&rig.ram, gpa, size_bytes);

	assert_non_null(p);
	return p;
}

static void
table(const struct rig_prd *prd, unsigned count)
{
	bm_table(&rig, 0, TABLE, prd, count);
}

static void
expect_sector(const u8 *p, u64 lba)
{
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(p[i], rig_byte(lba));
}

/* --- registers ---------------------------------------------------------- */

static void
test_ide_bm_power_on_is_what_a_bios_leaves(void **state)
{
	(void)state;
	assert_int_equal(bm_in(&rig, 0, 0), 0);
	assert_int_equal(bm_in(&rig, 0, 2), CAPABLE);
	assert_int_equal(bm_in(&rig, 2, 2), CAPABLE);
}

static void
test_ide_bm_status_bits_clear_and_keep(void **state)
{
	(void)state;
	ata_feature(&rig, 0, 0xe5, 0, 0); /* any INTRQ sets Interrupt */
	assert_int_equal(bm_in(&rig, 0, 2), CAPABLE | INTR);
	bm_out(&rig, 0, 2, 0x20);
	assert_int_equal(bm_in(&rig, 0, 2), 0x20 | INTR);
	bm_out(&rig, 0, 2, 0x40 | INTR);
	assert_int_equal(bm_in(&rig, 0, 2), 0x40);
	bm_out(&rig, 0, 2, 0xff);
	assert_int_equal(bm_in(&rig, 0, 2), CAPABLE);
}

static void
test_ide_bm_registers_at_any_width(void **state)
{
	u16 base = (u16)(pci_in(&rig, 0x20, 4) & 0xfff0);

	(void)state;
	pio_write(&rig.pio, (u16)(base + 4), 4, 0x12345677);
	assert_int_equal(pio_read(&rig.pio, (u16)(base + 4), 4), 0x12345674);
	pio_write(&rig.pio, (u16)(base + 5), 1, 0xaa);
	pio_write(&rig.pio, (u16)(base + 6), 2, 0xbbcc);
	assert_int_equal(pio_read(&rig.pio, (u16)(base + 4), 4), 0xbbccaa74);
	assert_int_equal(pio_read(&rig.pio, (u16)(base + 12), 4), 0);
	/* SCO OpenServer reads command and status as one */
	bm_out(&rig, 0, 0, 8);
	assert_int_equal(pio_read(&rig.pio, base, 4), CAPABLE << 16 | 8);
}

/* --- transfers ---------------------------------------------------------- */

static void
test_ide_dma_reads_and_writes(void **state)
{
	(void)state;
	for (u32 i = 0; i < 256; i++)
		memset(ram(BUFFER + i * 512, 512), (int)(i ^ 0x5a), 512);
	ata_dma(&rig, 0, true, 20000, 0, BUFFER);
	memset(ram(BUFFER, 256 * 512), 0, 256 * 512);
	ata_dma(&rig, 0, false, 20000, 0, BUFFER);
	for (u32 i = 0; i < 256; i++)
		for (u32 k = 0; k < 512; k += 511)
			assert_int_equal(ram(BUFFER + i * 512, 512)[k],
					 (i ^ 0x5a) & 0xff);
}

static void
test_ide_dma_every_opcode(void **state)
{
	static const u8 reads[] = {0xc8, 0xc9, 0x25},
			writes[] = {0xca, 0xcb, 0x35, 0x3d};
	const struct rig_prd prd = {BUFFER, 1024 | PRD_LAST};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(reads); i++) {
		memset(ram(BUFFER, 1024), 0, 1024);
		table(&prd, 1);
		ata_lba48(&rig, 0, reads[i], 77, 2);
		bm_start(&rig, 0, true);
		ata_expect(&rig, 0, OK);
		assert_int_equal(status(), INTR);
		expect_sector(ram(BUFFER, 512), 77);
		expect_sector(ram(BUFFER + 512, 512), 78);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(writes); i++) {
		memset(ram(BUFFER, 1024), 0x40 + (int)i, 1024);
		table(&prd, 1);
		ata_lba48(&rig, 0, writes[i], 30000, 2);
		bm_start(&rig, 0, false);
		ata_expect(&rig, 0, OK);
		assert_int_equal(status(), INTR);
		memset(ram(BUFFER, 1024), 0, 1024);
		ata_dma(&rig, 0, false, 30000, 2, BUFFER);
		assert_int_equal(ram(BUFFER, 1024)[0], 0x40 + i);
		assert_int_equal(ram(BUFFER, 1024)[1023], 0x40 + i);
	}
}

/* The whole of what 48 bits can name: 32 MiB in 512 regions of 64 KiB. */
static void
test_ide_dma_count_of_0_is_65536(void **state)
{
	static struct rig_prd prd[512];

	(void)state;
	for (unsigned i = 0; i < 512; i++)
		prd[i] = (struct rig_prd){BUFFER + (i % 16) * 65536, 0};
	prd[511].size = PRD_LAST;
	table(prd, 512);
	ata_lba48(&rig, 0, 0x25, 0, 0);
	bm_start(&rig, 0, true);
	ata_expect(&rig, 0, OK);
	assert_int_equal(status(), INTR);
	/* the last 64 KiB are zeros of the file's hole */
	assert_int_equal(ram(BUFFER + 15 * 65536, 1)[0], 0);
	assert_int_equal(disk_stats(rig.disk[0])->op[DISK_READ].requests, 1);
}

/* Regions need not be sectors, nor lie in order. */
static void
test_ide_dma_regions_of_any_size(void **state)
{
	const struct rig_prd prd[] = {
	    {BUFFER + 0x900, 2},
	    {BUFFER, 0x1fe},
	    {BUFFER + 0x1fe, 2},
	    {BUFFER + 0x3000, 510},
	    {BUFFER + 0x5000, 512 | PRD_LAST},
	};

	(void)state;
	table(prd, ARRAY_SIZE(prd));
	ata_lba28(&rig, 0, 0xc8, 50, 3);
	bm_start(&rig, 0, true);
	assert_int_equal(ata_wait(&rig, 0), OK);
	assert_int_equal(status(), INTR);
	assert_int_equal(ram(BUFFER + 0x900, 2)[1], rig_byte(50));
	assert_int_equal(ram(BUFFER, 1)[0], rig_byte(50));
	assert_int_equal(ram(BUFFER + 0x1fd, 1)[0], rig_byte(50));
	assert_int_equal(ram(BUFFER + 0x1fe, 1)[0], rig_byte(51));
	assert_int_equal(ram(BUFFER + 0x31fd, 1)[0], rig_byte(51));
	expect_sector(ram(BUFFER + 0x5000, 512), 52);
}

static void
test_ide_dma_writes_from_regions_of_any_size(void **state)
{
	const struct rig_prd prd[] = {{BUFFER, 100},
				      {BUFFER + 0x1000, 412 | PRD_LAST}};
	u8 *back = ram(BUFFER + 0x8000, 512);

	(void)state;
	memset(ram(BUFFER, 100), 0x11, 100);
	memset(ram(BUFFER + 0x1000, 412), 0x22, 412);
	table(prd, 2);
	ata_lba28(&rig, 0, 0xca, 40000, 1);
	bm_start(&rig, 0, false);
	ata_expect(&rig, 0, OK);
	ata_dma(&rig, 0, false, 40000, 1, BUFFER + 0x8000);
	assert_int_equal(back[0], 0x11);
	assert_int_equal(back[99], 0x11);
	assert_int_equal(back[100], 0x22);
	assert_int_equal(back[511], 0x22);
}

/* Some drivers start the bus master first. */
static void
test_ide_dma_may_be_started_before_the_command(void **state)
{
	const struct rig_prd prd = {BUFFER, 512 | PRD_LAST};

	(void)state;
	table(&prd, 1);
	bm_start(&rig, 0, true);
	assert_int_equal(status(), ACTIVE);
	ata_lba28(&rig, 0, 0xc8, 60, 1);
	ata_expect(&rig, 0, OK);
	assert_int_equal(status(), INTR);
	expect_sector(ram(BUFFER, 512), 60);
}

static void
test_ide_bm_start_without_a_command_stays_active(void **state)
{
	const struct rig_prd prd = {BUFFER, 512 | PRD_LAST};

	(void)state;
	table(&prd, 1);
	bm_start(&rig, 0, true);
	assert_int_equal(status(), ACTIVE);
	assert_false(rig.irq[0].level);
	bm_stop(&rig, 0);
	assert_int_equal(status(), 0);
}

/* UIDE of FreeDOS looks at the bus master's status only. */
static void
test_ide_freedos_polls_bus_master_status(void **state)
{
	const struct rig_prd prd = {BUFFER, 512 | PRD_LAST};

	(void)state;
	ide_rig_fault(&rig, 0, "read:delay:ms=5");
	table(&prd, 1);
	ata_lba28(&rig, 0, 0xc8, 61, 1);
	bm_start(&rig, 0, true);
	while ((status() & (INTR | ACTIVE)) != INTR) {
		assert_int_equal(status(), ACTIVE);
		ide_rig_pump(&rig);
	}
	assert_int_equal(ata_in(&rig, 0, ATA_STATUS), OK);
	expect_sector(ram(BUFFER, 512), 61);
}

/* --- tables that do not fit --------------------------------------------- */

/* Every size from 256 bytes to 64 KiB against transfers of 1 to 256 sectors:
 * shorter 0 0, equal 1 0, longer 1 1 (Interrupt, Active). */
static void
test_ide_dma_various_tables(void **state)
{
	(void)state;
	for (unsigned sectors = 1; sectors <= 256; sectors *= 2)
		for (u32 size = 0; size < 65536; size += 256) {
			const struct rig_prd prd = {BUFFER, size | PRD_LAST};
			u32 have = size != 0 ? size : 65536;
			u32 want = sectors * 512;
			u8 expect = have < want	   ? 0
				    : have == want ? INTR
						   : INTR | ACTIVE;

			table(&prd, 1);
			ata_lba28(&rig, 0, 0xc8, 0, (u8)sectors);
			bm_start(&rig, 0, true);
			while ((status() & (ACTIVE | INTR)) == ACTIVE)
				ide_rig_pump(&rig);
			(void)ata_wait(&rig, 0);
			assert_int_equal(status(), expect);
			assert_int_equal(rig.irq[0].level,
					 (expect & INTR) != 0);
			assert_int_equal(ata_in(&rig, 0, ATA_STATUS), OK);
			bm_stop(&rig, 0);
			assert_int_equal(status() & ACTIVE, 0);
		}
}

/* What a short table has room for was moved, in whole sectors. */
static void
test_ide_dma_short_table_moves_what_fits(void **state)
{
	const struct rig_prd prd = {BUFFER, 1300 | PRD_LAST};

	(void)state;
	memset(ram(BUFFER, 2048), 0, 2048);
	table(&prd, 1);
	ata_lba28(&rig, 0, 0xc8, 10, 4);
	bm_start(&rig, 0, true);
	assert_int_equal(ata_wait(&rig, 0), OK);
	assert_false(rig.irq[0].level);
	expect_sector(ram(BUFFER, 512), 10);
	expect_sector(ram(BUFFER + 512, 512), 11);
	assert_int_equal(ram(BUFFER + 1300, 1)[0], 0);
}

/* Stopped while data are in flight: they arrive, then it is idle. */
static void
test_ide_bm_stop_in_flight_drains(void **state)
{
	const struct rig_prd prd = {BUFFER, 0 | PRD_LAST};

	(void)state;
	ide_rig_fault(&rig, 0, "read:delay:ms=20");
	table(&prd, 1);
	ata_lba28(&rig, 0, 0xc8, 70, 1);
	bm_start(&rig, 0, true);
	assert_int_equal(status(), ACTIVE);
	bm_stop(&rig, 0);
	assert_int_equal(status(), ACTIVE);
	ata_expect(&rig, 0, OK);
	assert_int_equal(status(), INTR);
	expect_sector(ram(BUFFER, 512), 70);
}

static void
test_ide_bm_stop_before_data_leaves_the_drive_waiting(void **state)
{
	const struct rig_prd prd = {BUFFER, 512 | PRD_LAST};

	(void)state;
	table(&prd, 1);
	ata_lba28(&rig, 0, 0xc8, 71, 1);
	assert_int_equal(ata_in(&rig, 0, ATA_ALT) & (BSY | ERR), BSY);
	bm_start(&rig, 2, true); /* the other channel's */
	assert_int_equal(ata_in(&rig, 0, ATA_ALT) & BSY, BSY);
	ata_out(&rig, 0, ATA_CONTROL, SRST);
	ata_out(&rig, 0, ATA_CONTROL, 0);
	assert_int_equal(ata_in(&rig, 0, ATA_ALT), OK);
}

/* --- memory that is none ------------------------------------------------ */

static void
expect_bus_error(void)
{
	ata_expect(&rig, 0, OK | ERR);
	assert_int_equal(ata_in(&rig, 0, ATA_ERROR), ABRT);
	assert_int_equal(status(), ERROR | INTR);
}

static void
test_ide_dma_to_no_memory_is_a_bus_error(void **state)
{
	static const u32 gpas[] = {IDE_RIG_RAM, IDE_RIG_RAM - 256, 0xa0000,
				   0x9ff00,	0xfee00000,	   0xfffffe00};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(gpas); i++)
		for (unsigned write = 0; write < 2; write++) {
			const struct rig_prd prd = {gpas[i], 512 | PRD_LAST};

			table(&prd, 1);
			ata_lba28(&rig, 0, write ? 0xca : 0xc8, 0, 1);
			bm_start(&rig, 0, !write);
			expect_bus_error();
			bm_stop(&rig, 0);
		}
	assert_int_equal(disk_stats(rig.disk[0])->op[DISK_WRITE].requests, 0);
}

static void
test_ide_dma_table_in_no_memory_is_a_bus_error(void **state)
{
	static const u32 gpas[] = {IDE_RIG_RAM, 0xa0000, 0xfffffffc,
				   0xfee00000};
	u16 base = (u16)(pci_in(&rig, 0x20, 4) & 0xfff0);

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(gpas); i++) {
		bm_out(&rig, 0, 2, 0x66);
		pio_write(&rig.pio, (u16)(base + 4), 4, gpas[i]);
		ata_lba28(&rig, 0, 0xc8, 0, 1);
		bm_start(&rig, 0, true);
		expect_bus_error();
		bm_stop(&rig, 0);
	}
}

/* A table that the transfer writes over: read before, so nothing happens. */
static void
test_ide_dma_over_its_own_table(void **state)
{
	const struct rig_prd prd = {TABLE, 512 | PRD_LAST};

	(void)state;
	table(&prd, 1);
	ata_lba28(&rig, 0, 0xc8, 3, 1);
	bm_start(&rig, 0, true);
	ata_expect(&rig, 0, OK);
	expect_sector(ram(TABLE, 512), 3);
}

/* 64 KiB of entries without an end, of the smallest size. */
static void
test_ide_dma_table_without_end_is_bounded(void **state)
{
	u8 prd[8];

	(void)state;
	put_le32(prd, BUFFER);
	put_le32(prd + 4, 2);
	for (u32 i = 0; i < 9000; i++)
		memcpy(ram(0x200000 + i * 8, 8), prd, 8);
	bm_table(&rig, 0, 0x200000, NULL, 0);
	ata_lba28(&rig, 0, 0xc8, 0, 0); /* 128 KiB, the table has 16 */
	bm_start(&rig, 0, true);
	assert_int_equal(ata_wait(&rig, 0), OK);
	assert_int_equal(status(), 0);
	assert_false(rig.irq[0].level);
}

/* Without leave to master the bus no byte of memory is touched. */
static void
test_ide_dma_without_bus_master_enable(void **state)
{
	const struct rig_prd prd = {BUFFER, 0};

	(void)state;
	memset(ram(BUFFER, 65536), 0x77, 65536);
	pci_out(&rig, 4, 2, 0x0001);
	table(&prd, 1);
	ata_lba28(&rig, 0, 0xc8, 0, 1);
	bm_start(&rig, 0, true);
	ata_expect(&rig, 0, OK);
	assert_int_equal(status(), ACTIVE | INTR);
	for (unsigned i = 0; i < 65536; i++)
		assert_int_equal(ram(BUFFER, 65536)[i], 0x77);
	bm_stop(&rig, 0);
	table(&prd, 1);
	ata_lba28(&rig, 0, 0xca, 0, 1);
	bm_start(&rig, 0, false);
	expect_bus_error();
	bm_stop(&rig, 0);
	pci_out(&rig, 4, 2, 0x0005);
	ata_dma(&rig, 0, false, 0, 1, BUFFER);
	expect_sector(ram(BUFFER, 512), 0);
}

static void
test_ide_dma_channels_are_independent(void **state)
{
	const struct rig_prd a = {BUFFER, 512 | PRD_LAST},
			     b = {BUFFER + 0x1000, 512 | PRD_LAST};

	(void)state;
	ide_rig_fault(&rig, 0, "read:delay:ms=5");
	ide_rig_fault(&rig, 2, "read:delay:ms=5");
	table(&a, 1);
	bm_table(&rig, 2, TABLE + 64, &b, 1);
	ata_lba28(&rig, 0, 0xc8, 80, 1);
	ata_lba28(&rig, 2, 0xc8, 81, 1);
	bm_start(&rig, 2, true);
	bm_start(&rig, 0, true);
	ata_expect(&rig, 2, OK);
	ata_expect(&rig, 0, OK);
	expect_sector(ram(BUFFER, 512), 80);
	expect_sector(ram(BUFFER + 0x1000, 512), 81);
}

/* --- a policy that stops ------------------------------------------------ */

static int
setup_stop(void **state)
{
	static const struct ide_rig_config config = {
	    .drive = {[0] = {.present = true, .policy = DISK_STOP}},
	};

	(void)state;
	ide_rig_open(&rig, &config);
	return 0;
}

static void
test_ide_held_error_is_retried_on_continue(void **state)
{
	const struct rig_prd prd = {BUFFER, 512 | PRD_LAST};

	(void)state;
	ide_rig_fault(&rig, 0, "read:EIO");
	table(&prd, 1);
	ata_lba28(&rig, 0, 0xc8, 5, 1);
	bm_start(&rig, 0, true);
	while (rig.stops == 0)
		ide_rig_pump(&rig);
	assert_int_equal(ata_in(&rig, 0, ATA_ALT) & BSY, BSY);
	ide_rig_fault(&rig, 0, NULL);
	disk_retry(rig.disk[0]);
	ata_expect(&rig, 0, OK);
	expect_sector(ram(BUFFER, 512), 5);
}

#define WITH(name, s) cmocka_unit_test_setup_teardown(name, s, teardown)
#define CASE(name)    WITH(name, setup)
#define STOP(name)    WITH(name, setup_stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_ide_bm_power_on_is_what_a_bios_leaves),
	    CASE(test_ide_bm_status_bits_clear_and_keep),
	    CASE(test_ide_bm_registers_at_any_width),
	    CASE(test_ide_dma_reads_and_writes),
	    CASE(test_ide_dma_every_opcode),
	    CASE(test_ide_dma_count_of_0_is_65536),
	    CASE(test_ide_dma_regions_of_any_size),
	    CASE(test_ide_dma_writes_from_regions_of_any_size),
	    CASE(test_ide_dma_may_be_started_before_the_command),
	    CASE(test_ide_bm_start_without_a_command_stays_active),
	    CASE(test_ide_freedos_polls_bus_master_status),
	    CASE(test_ide_dma_various_tables),
	    CASE(test_ide_dma_short_table_moves_what_fits),
	    CASE(test_ide_bm_stop_in_flight_drains),
	    CASE(test_ide_bm_stop_before_data_leaves_the_drive_waiting),
	    CASE(test_ide_dma_to_no_memory_is_a_bus_error),
	    CASE(test_ide_dma_table_in_no_memory_is_a_bus_error),
	    CASE(test_ide_dma_over_its_own_table),
	    CASE(test_ide_dma_table_without_end_is_bounded),
	    CASE(test_ide_dma_without_bus_master_enable),
	    CASE(test_ide_dma_channels_are_independent),
	    STOP(test_ide_held_error_is_retried_on_continue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
