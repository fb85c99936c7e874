/* SPDX-License-Identifier: BSD-2-Clause */
/* atapi_int - what the files of the CD drive share
 *
 * What:    atapi.c speaks with the IDE channel, holds the table of commands
 *          and the sense data; atapi_mmc.c answers about the drive,
 *          atapi_disc.c about the disc, atapi_read.c reads it, atapi_raw.c
 *          makes the sectors of a CD as they lie on the disc.
 * Threads: the vCPU thread only.
 *
 * Invariants:
 *  [I1] row is not NULL exactly while a command runs.
 *  [I2] read.active: row is not NULL and the command waits for the disk: for
 *       its own request (flying, not dropped) or for a dropped one.
 *  [I3] while read.flying, the disk owns req and buffer.
 */
#ifndef VMM_ATAPI_INT_H
#define VMM_ATAPI_INT_H

#include "vmm/atapi.h"
#include "vmm/ide_int.h"

#define ATAPI_SECTORS (ATAPI_BLOCK_BYTES / DISK_SECTOR_BYTES)

#define ATAPI_CD_BLOCKS_MAX 360000U /* 80 minutes; more is a DVD */
#define ATAPI_MSF_LEAD_IN   150U    /* block 0 is at 00:02:00 */

/* Sense keys, SPC-3 4.5.6 */
#define SENSE_NOT_READY	      0x2
#define SENSE_MEDIUM_ERROR    0x3
#define SENSE_ILLEGAL_REQUEST 0x5
#define SENSE_ATTENTION	      0x6

/* Additional sense code and qualifier, SPC-3 4.5.6, as asc << 8 | ascq */
#define ASC_READ_ERROR	       0x1100
#define ASC_LIST_LENGTH	       0x1a00
#define ASC_BAD_OPCODE	       0x2000
#define ASC_BAD_LBA	       0x2100
#define ASC_BAD_FIELD	       0x2400
#define ASC_CHANGED	       0x2800
#define ASC_INCOMPATIBLE       0x3002
#define ASC_NO_SAVING	       0x3900
#define ASC_NO_MEDIUM	       0x3a00
#define ASC_NO_MEDIUM_CLOSED   0x3a01
#define ASC_NO_MEDIUM_OPEN     0x3a02
#define ASC_REMOVAL_PREVENTED  0x5302
#define ASC_ILLEGAL_TRACK_MODE 0x6400

/* Profiles, MMC-5 5.3.1 */
#define PROFILE_NONE	0x0000
#define PROFILE_CD_ROM	0x0008
#define PROFILE_DVD_ROM 0x0010

/* READ CD, byte 9 (MMC-5 6.20.3): which fields of a sector */
#define FIELD_SYNC   0x80
#define FIELD_SUBHDR 0x40
#define FIELD_HEADER 0x20
#define FIELD_DATA   0x10
#define FIELD_ECC    0x08
#define FIELD_C2     0x06

struct atapi_row {
	u8 opcode;
	u8 flags;
	const char *name;
	void (*run)(struct atapi *a, const u8 *cdb);
	void (*moved)(struct atapi *a); /* NULL: data moved end it */
};

#define ROW_ATTENTION BIT(0) /* runs whatever the guest was not told yet */
#define ROW_DISC      BIT(1) /* needs a disc */

/* MMC and SPC are big-endian. */
static inline u16
get_be16(const u8 *p)
{
	return (u16)(p[0] << 8 | p[1]);
}

static inline u32
get_be32(const u8 *p)
{
	return (u32)get_be16(p) << 16 | get_be16(p + 2);
}

static inline void
put_be16(u8 *p, u32 v)
{
	p[0] = (u8)(v >> 8);
	p[1] = (u8)v;
}

static inline void
put_be32(u8 *p, u32 v)
{
	put_be16(p, v >> 16);
	put_be16(p + 2, v);
}

/* --- atapi.c ------------------------------------------------------------ */

/* The command ends. A command ends once, and answers nothing afterwards. */
void atapi_good(struct atapi *a);
void atapi_check(struct atapi *a, u8 key, unsigned asc);
void atapi_check_lba(struct atapi *a, u8 key, unsigned asc, u32 lba);
void atapi_bad_field(struct atapi *a);

/* Bytes of reply[] go to the guest, at most as many as it asked for, and the
 * command ends. */
void atapi_reply(struct atapi *a, u32 size_bytes, u32 limit_bytes);

/* The first size_bytes of reply[], zeroed. */
u8 *atapi_blank(struct atapi *a, u32 size_bytes);

/* Is a disc there that can be read? */
bool atapi_ready(const struct atapi *a);
u32 atapi_blocks(const struct atapi *a); /* 0 without a disc */
u16 atapi_profile(const struct atapi *a);

/* --- atapi_mmc.c -------------------------------------------------------- */

void atapi_test_unit_ready(struct atapi *a, const u8 *cdb);
void atapi_request_sense(struct atapi *a, const u8 *cdb);
void atapi_inquiry(struct atapi *a, const u8 *cdb);
void atapi_mode_sense(struct atapi *a, const u8 *cdb);
void atapi_mode_select(struct atapi *a, const u8 *cdb);
void atapi_start_stop(struct atapi *a, const u8 *cdb);
void atapi_prevent(struct atapi *a, const u8 *cdb);
void atapi_configuration(struct atapi *a, const u8 *cdb);
void atapi_event_status(struct atapi *a, const u8 *cdb);
void atapi_mechanism(struct atapi *a, const u8 *cdb);
void atapi_nothing(struct atapi *a, const u8 *cdb); /* to do; succeeds */

/* --- atapi_disc.c ------------------------------------------------------- */

void atapi_capacity(struct atapi *a, const u8 *cdb);
void atapi_toc(struct atapi *a, const u8 *cdb);
void atapi_subchannel(struct atapi *a, const u8 *cdb);
void atapi_header(struct atapi *a, const u8 *cdb);
void atapi_disc_information(struct atapi *a, const u8 *cdb);
void atapi_track_information(struct atapi *a, const u8 *cdb);
void atapi_dvd_structure(struct atapi *a, const u8 *cdb);
void atapi_play(struct atapi *a, const u8 *cdb); /* there is no audio */

/* --- atapi_read.c ------------------------------------------------------- */

void atapi_read_10(struct atapi *a, const u8 *cdb);
void atapi_read_12(struct atapi *a, const u8 *cdb);
void atapi_read_cd(struct atapi *a, const u8 *cdb);
void atapi_read_cd_msf(struct atapi *a, const u8 *cdb);
void atapi_read_moved(struct atapi *a);
void atapi_seek(struct atapi *a, const u8 *cdb);

/* The command is forgotten, its request dropped. */
void atapi_read_forget(struct atapi *a);

/* The disc is gone, and with it what was at it; the command that waited for
 * it ends. */
void atapi_read_gone(struct atapi *a);

/* --- atapi_raw.c -------------------------------------------------------- */

/* Minutes, seconds, frames of a block. */
void atapi_msf(u8 msf[3], u32 lba);

/* The fields of a mode 1 sector; returns their size, 0 for none. */
u32 atapi_raw_bytes(u8 fields);
void atapi_raw_sector(u8 *out, const u8 data[ATAPI_BLOCK_BYTES], u32 lba,
		      u8 fields);

#endif
