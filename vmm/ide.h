/* SPDX-License-Identifier: BSD-2-Clause */
/* ide - the IDE controller of the southbridge, and the disks on it
 *
 * What:    PCI function 1 of the PIIX4 (or PIIX3): two channels with a master
 *          and a slave each, at the legacy ports, with bus master DMA. A
 *          drive is an ATA disk on a struct disk, or a packet device
 *          (struct ide_packet, vmm/atapi.h).
 *          A request that the disk answers in disk_submit() ends in the
 *          register write that started it: status, INTRQ and all.
 *          What the board does: ide_open() after the interrupt controllers and
 *          the PCI bus are there, with wires to ISA interrupts 14 and 15;
 *          nothing in its port map, the function places its ports itself;
 *          ide_reset() with the other chips; disks_run() after a wake-up.
 *          A reset of the machine must first wait until ide_idle(): until
 *          then a request may write into guest memory.
 * Model:   ATA/ATAPI-7 (T13/1532D); Intel 82371AB data sheet (290562) 5.
 * Units:   lba and count in 512-byte sectors; nanoseconds.
 * Threads: the vCPU thread only.
 * Owns:    one allocation, from ide_open() to ide_close(); its ports. Disks,
 *          packet devices and everything in the configuration are the
 *          caller's and outlive it. Its disks are detached before
 *          ide_close() (disks_release()).
 * Errors:  ide_open: -ENOMEM with a sentence.
 */
#ifndef VMM_IDE_H
#define VMM_IDE_H

#include "base/err.h"
#include "hdd/disk.h"
#include "vmm/irqline.h"
#include "vmm/pci.h"
#include "vmm/pio.h"
#include "vmm/ram.h"
#include "vmm/vtimer.h"

#define IDE_CHANNELS 2
#define IDE_DRIVES   4 /* position: channel * 2 + unit */
#define IDE_IRQ0     14
#define IDE_IRQ1     15
#define IDE_BM_BASE  0xc000 /* where a BIOS would have put BAR4 */

/* Ports of a channel. For coalesced port I/O: writes to features, count and
 * the three LBA registers (1F1h-1F5h, 171h-175h) have no effect that can be
 * seen before the next read of the channel or write of its device, command or
 * device control register, unless the channel is busy. Reads, and writes to
 * 1F0h, 1F6h, 1F7h and 3F6h, must come in order. */
#define IDE_COMMAND0 0x1f0
#define IDE_CONTROL0 0x3f6
#define IDE_COMMAND1 0x170
#define IDE_CONTROL1 0x376

enum ide_model {
	IDE_PIIX4, /* 8086:7111, UDMA modes 0-2 */
	IDE_PIIX3, /* 8086:7010, multiword DMA */
};

struct ide;
struct ide_drive;

/* A packet device. The channel runs the PACKET protocol and calls these; what
 * the device calls is in ide_int.h. */
struct ide_packet_ops {
	/* Once, at ide_open(). */
	void (*attach)(void *dev, struct ide_drive *d);

	/* IDENTIFY PACKET DEVICE, 256 words of zeros to be filled in. The
	 * transfer modes (words 49, 53, 63, 64-68, 88), 80 and 81 are the
	 * channel's and are put in afterwards. */
	void (*identify)(void *dev, u16 *word);

	/* A command packet has come; BSY is set. dma: the guest wants its data
	 * by DMA. The device answers now or later with ide_packet_in(),
	 * ide_packet_out() or ide_packet_done(). */
	void (*packet)(void *dev, const u8 cdb[12], bool dma);

	/* All data of the last ide_packet_in() or ide_packet_out() have been
	 * moved; BSY is set again. */
	void (*moved)(void *dev);

	/* The command, if there is one, is over without an answer: the device
	 * forgets it and must not answer it. hard: power-on or hardware reset,
	 * else SRST, DEVICE RESET or a transfer that failed. */
	void (*reset)(void *dev, bool hard);
};

struct ide_packet {
	const struct ide_packet_ops *ops; /* NULL: none */
	void *dev;
};

struct ide_config {
	enum ide_model model;
	struct disk *disk[IDE_DRIVES]; /* by position, or NULL */
	struct ide_packet packet[IDE_DRIVES];
	const char *firmware; /* revision, at most 8 characters; NULL: ours */
	u64 delay_ns;	      /* each access to the medium takes at least this
				 long: Windows 2000's setup loses itself when
				 writes are done at once */
	struct irqline irq[IDE_CHANNELS];
	struct ram *ram;
	struct vtimers *timers; /* 3 timers are added */
	struct pio *pio;
	struct pci *pci;
};

int ide_open(struct ide **out, const struct ide_config *cfg,
	     struct err *e) MUST_CHECK;

/* Harmless on NULL. */
void ide_close(struct ide *i);

/* Power-on: PCI function, channels and drives as a PC's firmware would have
 * left them. A request still in flight keeps its channel busy. */
void ide_reset(struct ide *i);

/* No request is in flight that reads or writes guest memory. */
bool ide_idle(const struct ide *i);

#endif
