/* SPDX-License-Identifier: BSD-2-Clause */
/* atapi - CD/DVD-ROM drive
 *
 * What:    a packet device for the IDE controller, with a door, a lock and at
 *          most one disc: a struct disk opened read-only, of which four
 *          sectors are a block. An image of more than 80 minutes is a DVD.
 *          Everything but the data of the disc is answered in the register
 *          write that completed the packet; data that the disk has to fetch
 *          arrive later, and the vCPU thread goes on meanwhile.
 *          After a change of discs the guest is told "not ready" once, then
 *          "medium may have changed" once: Windows XP believes a change only
 *          so. A guest that found the drive empty before, or that has polled
 *          the event of the new disc, knows the first already: Linux, which
 *          does, gives up a mount when it hears of both (docs/quirks.md).
 * Model:   MMC-5 (T10/1675D), SPC-3 (T10/1416D), ATA/ATAPI-7 6.24 (PACKET);
 *          the old forms of SFF-8020i that drivers still use.
 * Units:   lba and count in blocks of 2048 bytes, except in struct disk_req.
 * Threads: the vCPU thread only.
 * Owns:    nothing: the disc is the caller's until atapi_medium() takes it
 *          away.
 * Errors:  a guest's mistakes end in CHECK CONDITION with the sense data that
 *          the standards name.
 */
#ifndef VMM_ATAPI_H
#define VMM_ATAPI_H

#include "hdd/disk.h"
#include "vmm/ide.h"

#define ATAPI_BLOCK_BYTES  2048U
#define ATAPI_BUFFER_BYTES 65536U
#define ATAPI_REPLY_BYTES  4096U

struct atapi_sense {
	u8 key, asc, ascq;
	bool has_lba;
	u32 lba;
};

/* What a guest was not told yet about a new disc. */
enum atapi_change {
	ATAPI_SAME,
	ATAPI_NOT_READY, /* the next command finds no disc */
	ATAPI_CHANGED,	 /* the one after it a unit attention */
};

/* Media events, MMC-5 6.7.3.4 */
enum atapi_event {
	ATAPI_EVENT_NONE = 0,
	ATAPI_EVENT_EJECT_REQUEST = 1,
	ATAPI_EVENT_NEW_MEDIA = 2,
	ATAPI_EVENT_REMOVAL = 3,
};

struct atapi_state {
	struct atapi_sense sense;
	enum atapi_change change;
	enum atapi_event event;
	bool seen_empty; /* the guest was told that there is no disc */
	bool open;	 /* the door */
	bool locked;	 /* PREVENT ALLOW MEDIUM REMOVAL */
};

struct atapi_row;

/* The READ that runs. */
struct atapi_read {
	u32 lba, count; /* what is still to be fetched */
	u32 chunk;	/* of these, by the request that runs or ran last */
	u8 fields;	/* of a sector, as in READ CD; 10h: its data alone */
	bool active;	/* the command waits for the disk */
	bool flying;	/* req is at the disk */
	bool dropped;	/* its command is gone */
	bool gone;	/* the disc that is read is not there any more */
};

struct atapi {
	struct atapi_state s;
	struct ide_drive *drive;
	struct disk *disc; /* NULL: none */
	char serial[21];
	const struct atapi_row *row; /* the command that runs, or NULL */
	struct atapi_read read;
	struct disk_req req;
	struct iovec iov;
	u8 reply[ATAPI_REPLY_BYTES]; /* what is no data of the disc */
	u8 buffer[ATAPI_BUFFER_BYTES];
};

extern const struct ide_packet_ops atapi_packet_ops;

void atapi_init(struct atapi *a, const char *serial);

/* Another disc, or NULL: the one there is is out of the drive when this
 * returns, and the door is open without a disc and closed with one. Requests
 * at the old disc are over (disk_attach(disc, NULL)) before this is called:
 * their command ends here. The lock is the caller's to respect. */
void atapi_medium(struct atapi *a, struct disk *disc);

/* At the machine's start: a disc that was always there. */
void atapi_first_medium(struct atapi *a, struct disk *disc);

/* Somebody pressed the eject button of a locked door: the guest is asked. */
void atapi_eject_request(struct atapi *a);

static inline bool
atapi_locked(const struct atapi *a)
{
	return a->s.locked;
}

#endif
