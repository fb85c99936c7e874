/* SPDX-License-Identifier: BSD-2-Clause */
/* ide_rig - what tests of the IDE controller share
 *
 * What:    the controller on a port space, a PCI bus and RAM of its own, with
 *          real disks over temporary files of which sector n is filled with
 *          rig_byte(n). Answers of the disks arrive only when the test waits
 *          for them: what is not done in the call stays in flight as long as
 *          the test likes. (A rule "read:delay" sees to it that a miss is not
 *          done in the call.)
 * Units:   a drive is a position, channel * 2 + unit; reg one of the ATA_
 *          names; sectors of 512 bytes; virtual nanoseconds.
 * Threads: one; the disks have an I/O pool behind them.
 * Owns:    everything it opens, until ide_rig_close().
 */
#ifndef TESTS_IDE_RIG_H
#define TESTS_IDE_RIG_H

#include <semaphore.h>

#include "cache/iopool.h"
#include "hdd/disk.h"
#include "tests/vmm_rig.h"
#include "vmm/ide.h"

#define IDE_RIG_RAM	(16U << 20)
#define IDE_RIG_SECTORS 131072U /* by default */
#define IDE_RIG_FILLED	4096U	/* sectors with a pattern; others are zeros */
#define IDE_RIG_FAULTS	4

enum ata_reg {
	ATA_DATA,
	ATA_ERROR,
	ATA_FEATURES = 1,
	ATA_COUNT,
	ATA_LOW,
	ATA_MID,
	ATA_HIGH,
	ATA_DEVICE,
	ATA_STATUS,
	ATA_COMMAND = 7,
	ATA_ALT = 0x206,
	ATA_CONTROL = 0x206,
};

#define BSY  0x80
#define DRDY 0x40
#define DF   0x20
#define DSC  0x10
#define DRQ  0x08
#define ERR  0x01
#define UNC  0x40
#define IDNF 0x10
#define ABRT 0x04
#define NIEN 0x02
#define SRST 0x04
#define HOB  0x80
#define OK   (DRDY | DSC)

#define PRD_LAST 0x80000000U

struct ide_rig_drive {
	bool present, read_only;
	u32 sectors; /* 0: IDE_RIG_SECTORS */
	enum disk_cache cache;
	const char *fault[IDE_RIG_FAULTS];
	const char *serial;
	enum disk_policy policy;
};

struct ide_rig_config {
	enum ide_model model;
	u64 delay_ns;
	struct ide_rig_drive drive[IDE_DRIVES];
	struct ide_packet packet[IDE_DRIVES];
};

struct ide_rig {
	struct vmm_rig vmm;
	struct pio pio;
	struct pci pci;
	struct ram ram;
	struct rig_line irq[IDE_CHANNELS];
	struct iopool *pool;
	struct disk *disk[IDE_DRIVES];
	struct disk_host host;
	struct ide *ide;
	sem_t woken;
	unsigned stops; /* a policy asked for a pause */
};

void ide_rig_open(struct ide_rig *r, const struct ide_rig_config *cfg);
void ide_rig_close(struct ide_rig *r);

/* The file of a drive, to look at from outside. */
const char *ide_rig_path(unsigned drive);

/* Opens a file as one more disk for the rig to run: that of a packet device.
 * It is closed with the others. */
struct disk *ide_rig_disk(struct ide_rig *r, unsigned drive,
			  const struct disk_config *cfg);

/* One more rule (cache/fault.h); NULL: none any more. */
void ide_rig_fault(struct ide_rig *r, unsigned drive, const char *rule);

static inline u8
rig_byte(u64 lba)
{
	return (u8)(lba * 7 + (lba >> 8) + 1);
}

/* --- ports -------------------------------------------------------------- */

u8 ata_in(struct ide_rig *r, unsigned drive, enum ata_reg reg);
void ata_out(struct ide_rig *r, unsigned drive, enum ata_reg reg, u8 v);
u16 ata_in16(struct ide_rig *r, unsigned drive);
void ata_out16(struct ide_rig *r, unsigned drive, u16 v);

/* Device register: the drive's unit and bits of one's own. */
void ata_select(struct ide_rig *r, unsigned drive, u8 bits);

/* The registers of a command, then the command. */
void ata_lba28(struct ide_rig *r, unsigned drive, u8 opcode, u32 lba, u8 count);
void ata_lba48(struct ide_rig *r, unsigned drive, u8 opcode, u64 lba,
	       u16 count);
void ata_feature(struct ide_rig *r, unsigned drive, u8 opcode, u8 feature,
		 u8 count);

/* Address registers as a command has left them. */
u64 ata_address28(struct ide_rig *r, unsigned drive);
u64 ata_address48(struct ide_rig *r, unsigned drive);

/* Lets answers of disks arrive until BSY is clear. Returns Alternate Status.
 * Time stands still unless a timer is all that is left to wait for. */
u8 ata_wait(struct ide_rig *r, unsigned drive);

/* One answer arrives, or more; fails the test when none does. */
void ide_rig_pump(struct ide_rig *r);

/* Waits, then checks that the command is over with this status; reads Status,
 * so that INTRQ falls, and checks that it was set. */
void ata_expect(struct ide_rig *r, unsigned drive, u8 status);

/* Waits for DRQ and moves so many bytes through the data register. */
void ata_pull(struct ide_rig *r, unsigned drive, void *to, unsigned bytes);
void ata_push(struct ide_rig *r, unsigned drive, const void *from,
	      unsigned bytes);

/* --- bus master --------------------------------------------------------- */

u8 bm_in(struct ide_rig *r, unsigned drive, unsigned reg);
void bm_out(struct ide_rig *r, unsigned drive, unsigned reg, u8 v);

struct rig_prd {
	u32 gpa, size; /* PRD_LAST ends the table */
};

/* Writes the table to RAM at gpa and points the bus master to it; clears its
 * status. */
void bm_table(struct ide_rig *r, unsigned drive, u32 gpa,
	      const struct rig_prd *prd, unsigned count);
void bm_start(struct ide_rig *r, unsigned drive, bool to_memory);
void bm_stop(struct ide_rig *r, unsigned drive);

/* READ or WRITE DMA (28 bits) of sectors at gpa, with one PRD, to its end. */
void ata_dma(struct ide_rig *r, unsigned drive, bool write, u32 lba, u8 count,
	     u32 gpa);

u32 pci_in(struct ide_rig *r, u8 reg, unsigned size_bytes);
void pci_out(struct ide_rig *r, u8 reg, unsigned size_bytes, u32 v);

#endif
