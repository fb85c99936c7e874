/* SPDX-License-Identifier: BSD-2-Clause */
/* atapi_rig - what tests of the CD drive share
 *
 * What:    a CD drive as secondary master of an IDE rig, and a host that sends
 *          it packets. Block n of a disc begins with n, little-endian, and is
 *          filled with rig_byte(n).
 * Units:   blocks of 2048 bytes.
 * Threads: one; the disc has an I/O pool behind it.
 * Owns:    the rig and the disc's file, until cd_rig_close().
 */
#ifndef TESTS_ATAPI_RIG_H
#define TESTS_ATAPI_RIG_H

#include "tests/ide_rig.h"
#include "vmm/atapi.h"

#define CD	      2 /* the drive's position */
#define CD_RIG_BLOCKS 600U

struct cd_rig {
	struct ide_rig ide;
	struct atapi atapi;
	u8 data[512 * 1024]; /* of the last command */
	u32 data_bytes;
	unsigned bursts; /* in which they came */
};

/* blocks 0: no disc. fault: a rule for the disc's file, or NULL. */
void cd_rig_open(struct cd_rig *r, u32 blocks, const char *fault);
void cd_rig_close(struct cd_rig *r);

/* Another disc of so many blocks, or none; filled blocks have their pattern
 * plus shift. */
void cd_rig_change(struct cd_rig *r, u32 blocks, u32 shift);

/* Sends a packet with a byte count limit; no data are moved yet. */
void cd_send(struct cd_rig *r, const u8 cdb[12], u16 limit, u8 features);

/* Takes what the drive has to give by PIO and returns the last status. */
u8 cd_take(struct cd_rig *r);

/* A whole command with data in or none. good: data_bytes is its answer's size.
 * bad: it ends in CHECK CONDITION, and REQUEST SENSE says this. */
void cd_good(struct cd_rig *r, const u8 cdb[12]);
void cd_bad(struct cd_rig *r, const u8 cdb[12], u8 key, u16 asc);

/* The next REQUEST SENSE says this. */
void cd_sense(struct cd_rig *r, u8 key, u16 asc);

/* READ(10) */
void cd_read10(u8 cdb[12], u32 lba, u16 count);

/* data holds these blocks. */
void cd_check_blocks(struct cd_rig *r, u32 lba, u32 count, u32 shift);

#endif
