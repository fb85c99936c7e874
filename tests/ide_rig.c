/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/ide_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "vmm/piix4.h"

#define PATIENCE_S 30

/* --- opening ------------------------------------------------------------ */

const char *
ide_rig_path(unsigned drive)
{
	static char path[IDE_DRIVES][200];
	const char *dir = getenv("TEST_TMP");

	snprintf(path[drive], sizeof(path[drive]), "%s/ide-%d-%u",
		 dir != NULL ? dir : "/tmp", (int)getpid(), drive);
	return path[drive];
}

static void
make_file(unsigned drive, u32 sectors)
{
	static u8 data[IDE_RIG_FILLED * DISK_SECTOR_BYTES];
	u32 filled = MIN(sectors, IDE_RIG_FILLED);
	size_t bytes = (size_t)filled * DISK_SECTOR_BYTES;
	int fd = open(ide_rig_path(drive), O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	for (u32 i = 0; i < filled; i++)
		memset(data + i * DISK_SECTOR_BYTES, rig_byte(i),
		       DISK_SECTOR_BYTES);
	assert_int_equal(write(fd, data, bytes), bytes);
	assert_int_equal(ftruncate(fd,
				   (off_t)sectors * (off_t)DISK_SECTOR_BYTES),
			 0);
	close(fd);
}

static void
wake(void *ctx)
{
	struct ide_rig *r = ctx;

	sem_post(&r->woken);
}

static void
no_timer(void *ctx, u64 delay_ns)
{
	(void)ctx;
	(void)delay_ns;
	fail_msg("a disk without a limit asks for a timer");
}

static void
stop(void *ctx, const char *text)
{
	struct ide_rig *r = ctx;

	assert_non_null(text);
	r->stops++;
}

struct disk *
ide_rig_disk(struct ide_rig *r, unsigned drive, const struct disk_config *cfg)
{
	struct disk_config c = *cfg;
	struct err e = {""};

	assert_null(r->disk[drive]);
	c.pool = r->pool;
	if (disk_open(&r->disk[drive], &c, &e) != 0)
		fail_msg("%s", e.text);
	disk_attach(r->disk[drive], &r->host);
	return r->disk[drive];
}

void
ide_rig_fault(struct ide_rig *r, unsigned drive, const char *rule)
{
	struct err e = {""};

	if (disk_fault(r->disk[drive], rule, &e) != 0)
		fail_msg("%s", e.text);
}

static void
open_drive(struct ide_rig *r, unsigned n, const struct ide_rig_drive *d)
{
	struct disk_config c = {.path = ide_rig_path(n),
				.cache = d->cache,
				.read_only = d->read_only,
				.cache_bytes = 4 << 20,
				.readahead_bytes = 1,
				.buffered = true,
				.serial = d->serial,
				.rerror = d->policy,
				.werror = d->policy,
				.faults = d->fault};

	while (c.fault_count < IDE_RIG_FAULTS &&
	       d->fault[c.fault_count] != NULL)
		c.fault_count++;
	make_file(n, d->sectors != 0 ? d->sectors : IDE_RIG_SECTORS);
	ide_rig_disk(r, n, &c);
}

void
ide_rig_open(struct ide_rig *r, const struct ide_rig_config *cfg)
{
	struct iopool_config pool = {.backend = "threads", .threads = 2};
	struct ide_config c = {.model = cfg->model,
			       .delay_ns = cfg->delay_ns,
			       .ram = &r->ram,
			       .timers = &r->vmm.timers,
			       .pio = &r->pio,
			       .pci = &r->pci};
	struct err e = {""};

	memset(r, 0, sizeof(*r));
	rig_init(&r->vmm);
	pio_init(&r->pio);
	pci_init(&r->pci);
	sem_init(&r->woken, 0, 0);
	r->host = (struct disk_host){.wake = wake,
				     .timer = no_timer,
				     .stop = stop,
				     .ctx = r};
	if (ram_init(&r->ram, IDE_RIG_RAM, &e) != 0 ||
	    iopool_open(&r->pool, &pool, &e) != 0)
		fail_msg("%s", e.text);
	for (unsigned i = 0; i < IDE_DRIVES; i++) {
		if (cfg->drive[i].present)
			open_drive(r, i, &cfg->drive[i]);
		c.disk[i] = r->disk[i];
		c.packet[i] = cfg->packet[i];
	}
	for (unsigned i = 0; i < IDE_CHANNELS; i++)
		c.irq[i] = rig_wire(&r->irq[i]);
	if (ide_open(&r->ide, &c, &e) != 0)
		fail_msg("%s", e.text);
}

void
ide_rig_close(struct ide_rig *r)
{
	for (unsigned i = 0; i < IDE_DRIVES; i++)
		if (r->disk[i] != NULL)
			disk_attach(r->disk[i], NULL);
	ide_close(r->ide);
	for (unsigned i = 0; i < IDE_DRIVES; i++) {
		(void)disk_close(r->disk[i], NULL);
		unlink(ide_rig_path(i));
	}
	iopool_close(r->pool);
	ram_release(&r->ram);
	sem_destroy(&r->woken);
}

/* --- ports -------------------------------------------------------------- */

static u16
port(unsigned drive, enum ata_reg reg)
{
	return (u16)((drive < 2 ? IDE_COMMAND0 : IDE_COMMAND1) + reg);
}

u8
ata_in(struct ide_rig *r, unsigned drive, enum ata_reg reg)
{
	return (u8)pio_read(&r->pio, port(drive, reg), 1);
}

void
ata_out(struct ide_rig *r, unsigned drive, enum ata_reg reg, u8 v)
{
	pio_write(&r->pio, port(drive, reg), 1, v);
}

u16
ata_in16(struct ide_rig *r, unsigned drive)
{
	return (u16)pio_read(&r->pio, port(drive, ATA_DATA), 2);
}

void
ata_out16(struct ide_rig *r, unsigned drive, u16 v)
{
	pio_write(&r->pio, port(drive, ATA_DATA), 2, v);
}

void
ata_select(struct ide_rig *r, unsigned drive, u8 bits)
{
	ata_out(r, drive, ATA_DEVICE,
		(u8)(0xa0 | (drive & 1 ? 0x10 : 0) | bits));
}

void
ata_lba28(struct ide_rig *r, unsigned drive, u8 opcode, u32 lba, u8 count)
{
	ata_select(r, drive, (u8)(0x40 | (lba >> 24 & 0x0f)));
	ata_out(r, drive, ATA_FEATURES, 0);
	ata_out(r, drive, ATA_COUNT, count);
	ata_out(r, drive, ATA_LOW, (u8)lba);
	ata_out(r, drive, ATA_MID, (u8)(lba >> 8));
	ata_out(r, drive, ATA_HIGH, (u8)(lba >> 16));
	ata_out(r, drive, ATA_COMMAND, opcode);
}

void
ata_lba48(struct ide_rig *r, unsigned drive, u8 opcode, u64 lba, u16 count)
{
	ata_select(r, drive, 0x40);
	ata_out(r, drive, ATA_FEATURES, 0);
	ata_out(r, drive, ATA_COUNT, (u8)(count >> 8));
	ata_out(r, drive, ATA_LOW, (u8)(lba >> 24));
	ata_out(r, drive, ATA_MID, (u8)(lba >> 32));
	ata_out(r, drive, ATA_HIGH, (u8)(lba >> 40));
	ata_out(r, drive, ATA_COUNT, (u8)count);
	ata_out(r, drive, ATA_LOW, (u8)lba);
	ata_out(r, drive, ATA_MID, (u8)(lba >> 8));
	ata_out(r, drive, ATA_HIGH, (u8)(lba >> 16));
	ata_out(r, drive, ATA_COMMAND, opcode);
}

void
ata_feature(struct ide_rig *r, unsigned drive, u8 opcode, u8 feature, u8 count)
{
	ata_select(r, drive, 0);
	ata_out(r, drive, ATA_FEATURES, feature);
	ata_out(r, drive, ATA_COUNT, count);
	ata_out(r, drive, ATA_COMMAND, opcode);
}

u64
ata_address28(struct ide_rig *r, unsigned drive)
{
	return ata_in(r, drive, ATA_LOW) | (u64)ata_in(r, drive, ATA_MID) << 8 |
	       (u64)ata_in(r, drive, ATA_HIGH) << 16 |
	       (u64)(ata_in(r, drive, ATA_DEVICE) & 0x0f) << 24;
}

u64
ata_address48(struct ide_rig *r, unsigned drive)
{
	u64 lba = ata_in(r, drive, ATA_LOW) |
		  (u64)ata_in(r, drive, ATA_MID) << 8 |
		  (u64)ata_in(r, drive, ATA_HIGH) << 16;

	ata_out(r, drive, ATA_CONTROL, HOB);
	lba |= (u64)ata_in(r, drive, ATA_LOW) << 24 |
	       (u64)ata_in(r, drive, ATA_MID) << 32 |
	       (u64)ata_in(r, drive, ATA_HIGH) << 40;
	ata_out(r, drive, ATA_CONTROL, 0);
	return lba;
}

/* --- waiting ------------------------------------------------------------ */

static bool
run_disks(struct ide_rig *r)
{
	struct timespec end;
	bool came;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += PATIENCE_S;
	came = sem_timedwait(&r->woken, &end) == 0;
	for (unsigned i = 0; i < IDE_DRIVES; i++)
		if (r->disk[i] != NULL)
			disk_run(r->disk[i]);
	return came;
}

void
ide_rig_pump(struct ide_rig *r)
{
	if (!run_disks(r))
		fail_msg("no disk answered within %d s", PATIENCE_S);
}

static unsigned
in_flight(const struct ide_rig *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < IDE_DRIVES; i++)
		if (r->disk[i] != NULL)
			n += disk_in_flight(r->disk[i]);
	return n;
}

u8
ata_wait(struct ide_rig *r, unsigned drive)
{
	u8 status;

	while ((status = ata_in(r, drive, ATA_ALT)) & BSY) {
		if (in_flight(r) != 0)
			ide_rig_pump(r);
		else if (r->vmm.timers.next_ns != VCLOCK_NEVER)
			rig_run(&r->vmm, r->vmm.timers.next_ns);
		else
			fail_msg("drive %u is busy for ever", drive);
	}
	return status;
}

void
ata_expect(struct ide_rig *r, unsigned drive, u8 status)
{
	assert_int_equal(ata_wait(r, drive), status);
	assert_true(r->irq[drive / 2].level);
	assert_int_equal(ata_in(r, drive, ATA_STATUS), status);
	assert_false(r->irq[drive / 2].level);
}

void
ata_pull(struct ide_rig *r, unsigned drive, void *to, unsigned bytes)
{
	u8 *p = to;

	assert_int_equal(ata_wait(r, drive), OK | DRQ);
	for (unsigned i = 0; i < bytes; i += 2)
		put_le16(p + i, ata_in16(r, drive));
}

void
ata_push(struct ide_rig *r, unsigned drive, const void *from, unsigned bytes)
{
	const u8 *p = from;

	assert_int_equal(ata_wait(r, drive), OK | DRQ);
	for (unsigned i = 0; i < bytes; i += 2)
		ata_out16(r, drive, get_le16(p + i));
}

/* --- bus master --------------------------------------------------------- */

static u16
bm_port(struct ide_rig *r, unsigned drive, unsigned reg)
{
	u16 base = (u16)(pci_in(r, 0x20, 4) & 0xfff0);

	return (u16)(base + (drive / 2) * 8 + reg);
}

u8
bm_in(struct ide_rig *r, unsigned drive, unsigned reg)
{
	return (u8)pio_read(&r->pio, bm_port(r, drive, reg), 1);
}

void
bm_out(struct ide_rig *r, unsigned drive, unsigned reg, u8 v)
{
	pio_write(&r->pio, bm_port(r, drive, reg), 1, v);
}

void
bm_table(struct ide_rig *r, unsigned drive, u32 gpa, const struct rig_prd *prd,
	 unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		u8 e[8];

		put_le32(e, prd[i].gpa);
		put_le32(e + 4, prd[i].size);
		assert_true(ram_write(&r->ram, gpa + i * 8, e, sizeof(e)));
	}
	pio_write(&r->pio, bm_port(r, drive, 4), 4, gpa);
	bm_out(r, drive, 2, 0x66);
}

void
bm_start(struct ide_rig *r, unsigned drive, bool to_memory)
{
	bm_out(r, drive, 0, to_memory ? 8 : 0);
	bm_out(r, drive, 0, to_memory ? 9 : 1);
}

void
bm_stop(struct ide_rig *r, unsigned drive)
{
	bm_out(r, drive, 0, 0);
}

void
ata_dma(struct ide_rig *r, unsigned drive, bool write, u32 lba, u8 count,
	u32 gpa)
{
	u32 bytes = (count != 0 ? count : 256U) * DISK_SECTOR_BYTES;
	struct rig_prd prd[2] = {{gpa, bytes | PRD_LAST}};

	if (bytes > 65536) {
		prd[0].size = 0;
		prd[1] = (struct rig_prd){gpa + 65536,
					  (bytes - 65536) % 65536 | PRD_LAST};
	}
	bm_table(r, drive, 0x1000, prd, 2);
	ata_lba28(r, drive, write ? 0xca : 0xc8, lba, count);
	bm_start(r, drive, !write);
	ata_expect(r, drive, OK);
	assert_int_equal(bm_in(r, drive, 2), 0x64);
	bm_stop(r, drive);
}

/* --- PCI ---------------------------------------------------------------- */

static void
pci_address(struct ide_rig *r, u8 reg)
{
	pci_address_write(&r->pci, 0xcf8, 4,
			  0x80000000U | PCI_DEVFN(PIIX4_DEVICE, 1) << 8 |
			      (reg & 0xfc));
}

u32
pci_in(struct ide_rig *r, u8 reg, unsigned size_bytes)
{
	pci_address(r, reg);
	return pci_data_read(&r->pci, (u16)(0xcfc + (reg & 3)), size_bytes);
}

void
pci_out(struct ide_rig *r, u8 reg, unsigned size_bytes, u32 v)
{
	pci_address(r, reg);
	pci_data_write(&r->pci, (u16)(0xcfc + (reg & 3)), size_bytes, v);
}
