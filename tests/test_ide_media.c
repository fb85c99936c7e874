/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <unistd.h>

#include "tests/ide_rig.h"

#define BUFFER	 0x100000U
#define READONLY 1

static struct ide_rig rig;
static u8 data[65536 * 4];

static int
setup(void **state)
{
	static const struct ide_rig_config config = {
	    .drive = {[0].present = true,
		      [READONLY] = {.present = true, .read_only = true}},
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

static void
expect_pattern(const u8 *p, u64 lba, u32 count)
{
	for (u32 i = 0; i < count; i++)
		for (u32 k = 0; k < 512; k += 73)
			assert_int_equal(p[i * 512 + k], rig_byte(lba + i));
}

/* Sectors as the disk itself has them. */
static void
expect_on_disk(u64 lba, u32 count, u8 first)
{
	u8 *ram = ram_at(&rig.ram, BUFFER + 0x80000, count * 512);

	memset(ram, 0, count * 512);
	ata_dma(&rig, 0, false, (u32)lba, (u8)count, BUFFER + 0x80000);
	for (u32 i = 0; i < count; i++) {
		assert_int_equal(ram[i * 512], (u8)(first + i));
		assert_int_equal(ram[i * 512 + 511], (u8)(first + i));
	}
}

static void
fill(u32 count, u8 first)
{
	for (u32 i = 0; i < count; i++)
		memset(data + i * 512, (u8)(first + i), 512);
}

/* --- PIO ---------------------------------------------------------------- */

/* One DRQ and one INTRQ a sector; none after the last word. */
static void
test_ide_read_sectors_interrupts_once_a_sector(void **state)
{
	(void)state;
	for (unsigned op = 0x20; op <= 0x21; op++) {
		rig.irq[0].rises = 0;
		ata_lba28(&rig, 0, (u8)op, 100, 5);
		for (u32 i = 0; i < 5; i++) {
			assert_int_equal(ata_wait(&rig, 0), OK | DRQ);
			assert_int_equal(rig.irq[0].rises, i + 1);
			assert_int_equal(in(ATA_STATUS), OK | DRQ);
			assert_false(rig.irq[0].level);
			ata_pull(&rig, 0, data, 512);
			expect_pattern(data, 100 + i, 1);
		}
		assert_int_equal(in(ATA_STATUS), OK);
		assert_int_equal(rig.irq[0].rises, 5);
		assert_int_equal(ata_address28(&rig, 0), 104);
		assert_int_equal(in(ATA_COUNT), 0);
	}
}

static void
test_ide_read_ext_takes_48_bits(void **state)
{
	(void)state;
	ata_lba48(&rig, 0, 0x24, 300, 2);
	for (u32 i = 0; i < 2; i++) {
		ata_pull(&rig, 0, data, 512);
		expect_pattern(data, 300 + i, 1);
	}
	assert_int_equal(in(ATA_STATUS), OK);
	assert_int_equal(ata_address48(&rig, 0), 301);
}

static void
test_ide_read_count_of_0_is_256(void **state)
{
	(void)state;
	ata_lba28(&rig, 0, 0x20, 0, 0);
	for (u32 i = 0; i < 256; i++) {
		ata_pull(&rig, 0, data, 512);
		expect_pattern(data, i, 1);
	}
	assert_int_equal(in(ATA_STATUS), OK);
}

static void
test_ide_read_multiple_interrupts_once_a_block(void **state)
{
	(void)state;
	ata_feature(&rig, 0, 0xc6, 0, 8);
	ata_expect(&rig, 0, OK);
	for (unsigned ext = 0; ext < 2; ext++) {
		rig.irq[0].rises = 0;
		if (ext)
			ata_lba48(&rig, 0, 0x29, 40, 20);
		else
			ata_lba28(&rig, 0, 0xc4, 40, 20);
		ata_pull(&rig, 0, data, 8 * 512);
		ata_pull(&rig, 0, data + 8 * 512, 8 * 512);
		ata_pull(&rig, 0, data + 16 * 512, 4 * 512);
		expect_pattern(data, 40, 20);
		assert_int_equal(in(ATA_ALT), OK);
		assert_int_equal(in(ATA_STATUS), OK);
	}
}

static void
test_ide_multiple_is_refused_when_it_is_off(void **state)
{
	static const u8 ops[] = {0xc4, 0xc5, 0x29, 0x39, 0xce};

	(void)state;
	ata_feature(&rig, 0, 0xc6, 0, 0);
	ata_expect(&rig, 0, OK);
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		ata_lba48(&rig, 0, ops[i], 40, 1);
		ata_expect(&rig, 0, OK | ERR);
		assert_int_equal(in(ATA_ERROR), ABRT);
	}
}

static void
test_ide_set_multiple_takes_powers_of_two(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 16; n *= 2) {
		ata_feature(&rig, 0, 0xc6, 0, (u8)n);
		ata_expect(&rig, 0, OK);
	}
	ata_feature(&rig, 0, 0xc6, 0, 3);
	ata_expect(&rig, 0, OK | ERR);
	ata_feature(&rig, 0, 0xc6, 0, 32);
	ata_expect(&rig, 0, OK | ERR);
}

/* The first DRQ comes without INTRQ; one each when the drive wants more, and
 * one in the end. FreeBSD waits for DSC beside DRQ. */
static void
test_ide_write_sectors_interrupts_after_each(void **state)
{
	(void)state;
	for (unsigned op = 0x30; op <= 0x31; op++) {
		rig.irq[0].rises = 0;
		fill(3, (u8)op);
		ata_lba28(&rig, 0, (u8)op, 5000, 3);
		assert_int_equal(in(ATA_ALT), OK | DRQ);
		assert_int_equal(rig.irq[0].rises, 0);
		for (u32 i = 0; i < 3; i++) {
			ata_push(&rig, 0, data + i * 512, 512);
			(void)ata_wait(&rig, 0);
			assert_int_equal(rig.irq[0].rises, i + 1);
			assert_int_equal(in(ATA_STATUS), i < 2 ? OK | DRQ : OK);
		}
		expect_on_disk(5000, 3, (u8)op);
	}
}

static void
test_ide_write_ext_multiple_and_fua(void **state)
{
	static const u8 ops[] = {0x34, 0x39, 0xc5, 0xce};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		u32 block = ops[i] == 0x34 ? 1 : 16, at = 0;

		fill(20, (u8)(i * 32));
		if (ops[i] == 0xc5)
			ata_lba28(&rig, 0, ops[i], 6000, 20);
		else
			ata_lba48(&rig, 0, ops[i], 6000, 20);
		while (at < 20) {
			u32 n = MIN(block, 20 - at);

			ata_push(&rig, 0, data + at * 512, n * 512);
			at += n;
		}
		ata_expect(&rig, 0, OK);
		expect_on_disk(6000, 20, (u8)(i * 32));
	}
}

/* Bytes in the host's file when the status is there (disk-rules 17). */
static void
test_ide_fua_is_in_the_file_when_it_is_done(void **state)
{
	u8 byte = 0;
	int fd = open(ide_rig_path(0), O_RDONLY);
	const struct rig_prd prd = {BUFFER, 512 | PRD_LAST};

	(void)state;
	assert_true(fd >= 0);
	memset(ram_at(&rig.ram, BUFFER, 512), 0xe1, 512);
	bm_table(&rig, 0, 0x1000, &prd, 1);
	ata_lba48(&rig, 0, 0x3d, 7000, 1);
	bm_start(&rig, 0, false);
	ata_expect(&rig, 0, OK);
	assert_int_equal(pread(fd, &byte, 1, 7000 * 512), 1);
	assert_int_equal(byte, 0xe1);
	fill(1, 0xe2);
	ata_lba48(&rig, 0, 0xce, 7001, 1);
	ata_push(&rig, 0, data, 512);
	ata_expect(&rig, 0, OK);
	assert_int_equal(pread(fd, &byte, 1, 7001 * 512), 1);
	assert_int_equal(byte, 0xe2);
	close(fd);
}

static void
test_ide_write_verify_reads_back(void **state)
{
	(void)state;
	fill(2, 0x51);
	ata_lba28(&rig, 0, 0x3c, 8000, 2);
	ata_push(&rig, 0, data, 512);
	ata_push(&rig, 0, data + 512, 512);
	ata_expect(&rig, 0, OK);
	assert_int_equal(disk_stats(rig.disk[0])->op[DISK_VERIFY].requests, 2);
	expect_on_disk(8000, 2, 0x51);
}

/* Solaris's boot loader reads the data port by bytes, others by 32 bits. */
static void
test_ide_data_port_moves_words_at_any_width(void **state)
{
	(void)state;
	fill(1, 0);
	for (u32 i = 0; i < 512; i++)
		data[i] = (u8)(i * 3);
	ata_lba28(&rig, 0, 0x30, 9000, 1);
	assert_int_equal(ata_wait(&rig, 0), OK | DRQ);
	for (u32 i = 0; i < 512; i += 4)
		pio_write(&rig.pio, 0x1f0, 4, get_le32(data + i));
	ata_expect(&rig, 0, OK);
	ata_lba28(&rig, 0, 0x20, 9000, 1);
	assert_int_equal(ata_wait(&rig, 0), OK | DRQ);
	for (u32 i = 0; i < 256; i += 4)
		assert_int_equal(pio_read(&rig.pio, 0x1f0, 4),
				 get_le32(data + i));
	for (u32 i = 256; i < 512; i += 2)
		assert_int_equal(ata_in(&rig, 0, ATA_DATA), data[i]);
	assert_int_equal(in(ATA_STATUS), OK);
}

/* REP INSW and OUTSW, in whatever portions the driver's exits have. */
static void
test_ide_string_instructions_move_blocks(void **state)
{
	static u8 items[512 * 3];
	struct vm_exit x = {.kind = HV_EXIT_IO};

	(void)state;
	for (u32 i = 0; i < 512; i++)
		items[i] = (u8)(i * 5);
	x.io.port = 0x1f0;
	x.io.size_bytes = 2;
	x.io.write = true;
	x.io.data = items;
	ata_lba28(&rig, 0, 0x30, 9001, 1);
	(void)ata_wait(&rig, 0);
	x.io.count = 100;
	pio_exit(&rig.pio, &x);
	assert_int_equal(in(ATA_ALT), OK | DRQ);
	x.io.data = items + 200;
	x.io.count = 156;
	pio_exit(&rig.pio, &x);
	ata_expect(&rig, 0, OK);

	/* more than there is: the rest is not written to */
	x.io.write = false;
	x.io.data = data;
	x.io.size_bytes = 4;
	x.io.count = 130;
	memset(data, 0xee, sizeof(data));
	ata_lba28(&rig, 0, 0x20, 9001, 1);
	(void)ata_wait(&rig, 0);
	pio_exit(&rig.pio, &x);
	assert_memory_equal(data, items, 512);
	assert_int_equal(get_le64(data + 512), 0);
	assert_int_equal(in(ATA_STATUS), OK);
}

/* --- addresses ---------------------------------------------------------- */

/* CHS in the default geometry, 16 heads of 63 sectors. */
static void
test_ide_chs_follows_the_geometry(void **state)
{
	(void)state;
	ata_select(&rig, 0, 3); /* head 3, no LBA */
	out(ATA_COUNT, 1);
	out(ATA_LOW, 7);
	out(ATA_MID, 2);
	out(ATA_HIGH, 0);
	out(ATA_COMMAND, 0x20);
	ata_pull(&rig, 0, data, 512);
	expect_pattern(data, (2 * 16 + 3) * 63 + 6, 1);
	assert_int_equal(in(ATA_LOW), 7);
	assert_int_equal(in(ATA_MID), 2);
	assert_int_equal(in(ATA_DEVICE)&0x0f, 3);
}

static void
test_ide_initialize_parameters_changes_the_geometry(void **state)
{
	(void)state;
	ata_select(&rig, 0, 7); /* 8 heads */
	out(ATA_COUNT, 17);
	out(ATA_COMMAND, 0x91);
	ata_expect(&rig, 0, OK);
	ata_select(&rig, 0, 5);
	out(ATA_COUNT, 1);
	out(ATA_LOW, 17);
	out(ATA_MID, 1);
	out(ATA_HIGH, 0);
	out(ATA_COMMAND, 0x20);
	ata_pull(&rig, 0, data, 512);
	expect_pattern(data, (1 * 8 + 5) * 17 + 16, 1);
	/* a sector beyond the track, sector 0, a head too many */
	for (unsigned i = 0; i < 3; i++) {
		ata_select(&rig, 0, i == 2 ? 8 : 0);
		out(ATA_COUNT, 1);
		out(ATA_LOW, i == 0 ? 18 : i == 1 ? 0 : 1);
		out(ATA_MID, 0);
		out(ATA_COMMAND, 0x20);
		ata_expect(&rig, 0, OK | ERR);
		assert_int_equal(in(ATA_ERROR), IDNF);
	}
	out(ATA_COUNT, 0);
	out(ATA_COMMAND, 0x91);
	ata_expect(&rig, 0, OK | ERR);
}

/* None of a range is moved when not all of it is there. */
static void
test_ide_range_outside_is_idnf(void **state)
{
	static const u8 ops[] = {0x20, 0x30, 0xc4, 0xc5, 0xc8, 0xca, 0x40};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		ata_lba28(&rig, 0, ops[i], IDE_RIG_SECTORS - 1, 2);
		ata_expect(&rig, 0, OK | ERR);
		assert_int_equal(in(ATA_ERROR), IDNF);
		assert_int_equal(ata_address28(&rig, 0), IDE_RIG_SECTORS);
	}
	ata_lba28(&rig, 0, 0x40, IDE_RIG_SECTORS - 1, 1);
	ata_expect(&rig, 0, OK);
}

/* 48 bits are compared, not 32 of them, and sums do not wrap. */
static void
test_ide_range_check_is_48_bits_wide(void **state)
{
	static const u64 lbas[] = {1ULL << 32, (1ULL << 48) - 1, (1ULL << 47),
				   IDE_RIG_SECTORS};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(lbas); i++) {
		ata_lba48(&rig, 0, 0x25, lbas[i], 0);
		ata_expect(&rig, 0, OK | ERR);
		assert_int_equal(in(ATA_ERROR), IDNF);
		assert_true(ata_address48(&rig, 0) == lbas[i]);
	}
}

static void
test_ide_read_only_disk_refuses_writes(void **state)
{
	static const u8 ops[] = {0x30, 0xc5, 0xca, 0x3d, 0x34, 0x35, 0x39};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		ata_lba48(&rig, READONLY, ops[i], 10, 1);
		ata_expect(&rig, READONLY, OK | ERR);
		assert_int_equal(ata_in(&rig, READONLY, ATA_ERROR), ABRT);
	}
	ata_lba28(&rig, READONLY, 0x20, 10, 1);
	ata_pull(&rig, READONLY, data, 512);
	expect_pattern(data, 10, 1);
}

/* --- verify, seek, flush ------------------------------------------------ */

static void
test_ide_verify_reads_the_medium(void **state)
{
	static const u8 ops[] = {0x40, 0x41};
	const struct disk_stats *st = disk_stats(rig.disk[0]);

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		ata_lba28(&rig, 0, ops[i], 0, 0);
		ata_expect(&rig, 0, OK);
		assert_int_equal(st->op[DISK_VERIFY].sectors, 256 * (i + 1));
	}
	ata_lba48(&rig, 0, 0x42, 0, 0);
	ata_expect(&rig, 0, OK);
	assert_int_equal(st->op[DISK_VERIFY].sectors, 512 + 65536);
}

/* sd's START STOP UNIT spins up by verifying sector 1, or 0. */
static void
test_ide_linux_spins_up_by_verify(void **state)
{
	(void)state;
	ata_lba28(&rig, 0, 0x40, 1, 1);
	ata_expect(&rig, 0, OK);
	ata_lba28(&rig, 0, 0x40, 0, 1);
	ata_expect(&rig, 0, OK);
}

static void
test_ide_phoenix_bios_seeks_with_junk(void **state)
{
	(void)state;
	for (unsigned op = 0x10; op <= 0x7f; op++) {
		if (op >= 0x20 && op < 0x70)
			continue;
		ata_select(&rig, 0, 0x0f);
		out(ATA_LOW, 0);
		out(ATA_MID, 0xff);
		out(ATA_HIGH, 0xff);
		out(ATA_COMMAND, (u8)op);
		ata_expect(&rig, 0, OK);
	}
}

static void
test_ide_flush_makes_writes_durable(void **state)
{
	static const u8 ops[] = {0xe7, 0xea};
	u8 byte = 0;
	int fd = open(ide_rig_path(0), O_RDONLY);

	(void)state;
	assert_true(fd >= 0);
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		memset(ram_at(&rig.ram, BUFFER, 512), 0xa0 + (int)i, 512);
		ata_dma(&rig, 0, true, 10000 + i, 1, BUFFER);
		ata_lba28(&rig, 0, ops[i], 0, 0);
		ata_expect(&rig, 0, OK);
		assert_int_equal(pread(fd, &byte, 1, (10000 + i) * 512), 1);
		assert_int_equal(byte, 0xa0 + i);
	}
	close(fd);
}

/* --- errors of the host ------------------------------------------------- */

/* "res 51/40": UNC, and the first bad sector in the task file. */
static void
test_ide_read_error_is_unc_with_its_lba(void **state)
{
	(void)state;
	ide_rig_fault(&rig, 0, "read:EIO:off=1054720-1055232"); /* 2060 */
	ata_lba28(&rig, 0, 0xc4, 2056, 8);
	ata_expect(&rig, 0, OK | ERR);
	assert_int_equal(in(ATA_ERROR), UNC);
	assert_int_equal(ata_address28(&rig, 0), 2060);
	assert_int_equal(in(ATA_COUNT), 4);
	ata_lba48(&rig, 0, 0x42, 2056, 100);
	ata_expect(&rig, 0, OK | ERR);
	assert_int_equal(in(ATA_ERROR), UNC);
	assert_int_equal(ata_address48(&rig, 0), 2060);
	/* its neighbours are fine */
	ata_lba28(&rig, 0, 0x20, 2059, 1);
	ata_pull(&rig, 0, data, 512);
	expect_pattern(data, 2059, 1);
}

static void
test_ide_dma_read_error_sets_bus_master_error(void **state)
{
	const struct rig_prd prd = {BUFFER, 4096 | PRD_LAST};

	(void)state;
	ide_rig_fault(&rig, 0, "read:EIO:off=1054720-1055232");
	bm_table(&rig, 0, 0x1000, &prd, 1);
	ata_lba48(&rig, 0, 0x25, 2056, 8);
	bm_start(&rig, 0, true);
	ata_expect(&rig, 0, OK | ERR);
	assert_int_equal(in(ATA_ERROR), UNC);
	assert_int_equal(ata_address48(&rig, 0), 2060);
	assert_int_equal(bm_in(&rig, 0, 2), 0x66);
	bm_out(&rig, 0, 2, 0x66);
	assert_int_equal(bm_in(&rig, 0, 2), 0x60);
}

/* Never success, and not twice the same lie (disk-rules 10-12). */
static void
test_ide_flush_error_is_abrt(void **state)
{
	(void)state;
	ata_dma(&rig, 0, true, 1234, 1, BUFFER);
	ide_rig_fault(&rig, 0, "flush:EIO");
	for (int i = 0; i < 3; i++) {
		ata_lba28(&rig, 0, 0xe7, 0, 0);
		ata_expect(&rig, 0, OK | ERR);
		assert_int_equal(in(ATA_ERROR), ABRT);
	}
}

static void
test_ide_write_back_error_surfaces_at_flush(void **state)
{
	(void)state;
	ide_rig_fault(&rig, 0, "write:ENOSPC");
	ata_dma(&rig, 0, true, 1234, 1, BUFFER); /* cached */
	ata_lba28(&rig, 0, 0xea, 0, 0);
	ata_expect(&rig, 0, OK | ERR);
	assert_int_equal(in(ATA_ERROR), ABRT);
	assert_int_equal(ata_address28(&rig, 0), 1234);
}

static void
test_ide_standby_error_is_told(void **state)
{
	static const u8 ops[] = {0xe0, 0x94, 0xe2, 0x96, 0xe6, 0x99};

	(void)state;
	ide_rig_fault(&rig, 0, "write:EIO");
	ata_dma(&rig, 0, true, 1234, 1, BUFFER);
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		ata_feature(&rig, 0, ops[i], 0, 0);
		ata_expect(&rig, 0, OK | ERR);
		assert_int_equal(in(ATA_ERROR), ABRT);
		ata_feature(&rig, 0, 0xe5, 0, 0);
		ata_expect(&rig, 0, OK);
		assert_int_equal(in(ATA_COUNT), 0xff);
	}
}

static void
test_ide_write_error_is_abrt_when_the_cache_is_off(void **state)
{
	(void)state;
	ata_feature(&rig, 0, 0xef, 0x82, 0);
	ata_expect(&rig, 0, OK);
	ide_rig_fault(&rig, 0, "write:EIO");
	fill(1, 1);
	ata_lba28(&rig, 0, 0x30, 4321, 1);
	ata_push(&rig, 0, data, 512);
	ata_expect(&rig, 0, OK | ERR);
	assert_int_equal(in(ATA_ERROR), ABRT);
	assert_int_equal(ata_address28(&rig, 0), 4321);
}

/* --- the least time of an access ---------------------------------------- */

static int
setup_delay(void **state)
{
	static const struct ide_rig_config config = {
	    .delay_ns = 100 * NS_PER_US,
	    .drive = {[0].present = true},
	};

	(void)state;
	ide_rig_open(&rig, &config);
	return 0;
}

/* Windows 2000's setup is confused by writes that are done at once. */
static void
test_ide_win2k_delay_holds_the_interrupt_back(void **state)
{
	const struct rig_prd prd = {BUFFER, 512 | PRD_LAST};
	u64 start = rig_now(&rig.vmm);

	(void)state;
	bm_table(&rig, 0, 0x1000, &prd, 1);
	ata_lba28(&rig, 0, 0xca, 1, 1);
	bm_start(&rig, 0, false);
	assert_int_equal(in(ATA_ALT)&BSY, BSY);
	rig_run(&rig.vmm, start + 100 * NS_PER_US - 1);
	assert_int_equal(in(ATA_ALT)&BSY, BSY);
	assert_false(rig.irq[0].level);
	assert_int_equal(bm_in(&rig, 0, 2) & 4, 0);
	rig_run(&rig.vmm, start + 100 * NS_PER_US);
	ata_expect(&rig, 0, OK);
	/* what does not reach the medium is done at once */
	ata_feature(&rig, 0, 0xe5, 0, 0);
	assert_int_equal(in(ATA_ALT), OK);
}

static void
test_ide_srst_in_the_delay_forgets_it(void **state)
{
	(void)state;
	ata_lba28(&rig, 0, 0x70, 1, 1);
	assert_int_equal(in(ATA_ALT)&BSY, BSY);
	out(ATA_CONTROL, SRST);
	out(ATA_CONTROL, 0);
	assert_int_equal(in(ATA_ALT), OK);
	rig_run(&rig.vmm, rig_now(&rig.vmm) + NS_PER_SEC);
	assert_int_equal(rig.irq[0].rises, 0);
}

#define WITH(name, s) cmocka_unit_test_setup_teardown(name, s, teardown)
#define CASE(name)    WITH(name, setup)
#define DELAY(name)   WITH(name, setup_delay)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_ide_read_sectors_interrupts_once_a_sector),
	    CASE(test_ide_read_ext_takes_48_bits),
	    CASE(test_ide_read_count_of_0_is_256),
	    CASE(test_ide_read_multiple_interrupts_once_a_block),
	    CASE(test_ide_multiple_is_refused_when_it_is_off),
	    CASE(test_ide_set_multiple_takes_powers_of_two),
	    CASE(test_ide_write_sectors_interrupts_after_each),
	    CASE(test_ide_write_ext_multiple_and_fua),
	    CASE(test_ide_fua_is_in_the_file_when_it_is_done),
	    CASE(test_ide_write_verify_reads_back),
	    CASE(test_ide_data_port_moves_words_at_any_width),
	    CASE(test_ide_string_instructions_move_blocks),
	    CASE(test_ide_chs_follows_the_geometry),
	    CASE(test_ide_initialize_parameters_changes_the_geometry),
	    CASE(test_ide_range_outside_is_idnf),
	    CASE(test_ide_range_check_is_48_bits_wide),
	    CASE(test_ide_read_only_disk_refuses_writes),
	    CASE(test_ide_verify_reads_the_medium),
	    CASE(test_ide_linux_spins_up_by_verify),
	    CASE(test_ide_phoenix_bios_seeks_with_junk),
	    CASE(test_ide_flush_makes_writes_durable),
	    CASE(test_ide_read_error_is_unc_with_its_lba),
	    CASE(test_ide_dma_read_error_sets_bus_master_error),
	    CASE(test_ide_flush_error_is_abrt),
	    CASE(test_ide_write_back_error_surfaces_at_flush),
	    CASE(test_ide_standby_error_is_told),
	    CASE(test_ide_write_error_is_abrt_when_the_cache_is_off),
	    DELAY(test_ide_win2k_delay_holds_the_interrupt_back),
	    DELAY(test_ide_srst_in_the_delay_forgets_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
