/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/atapi.h"

#include <stdio.h>

#include "vmm/atapi_int.h"
#include "vmm/vmm_trace.h"

static void
refuse(struct atapi *a, const u8 *cdb)
{
	(void)cdb;
	atapi_check(a, SENSE_ILLEGAL_REQUEST, ASC_BAD_OPCODE);
}

/* In the order of opcodes. MMC-5 clause, or SPC-3 where it says so. */
static const struct atapi_row rows[] = {
    /* SPC-3 6.33 */
    {0x00, ROW_DISC, "TEST UNIT READY", atapi_test_unit_ready, NULL},
    /* SPC-3 6.27; reports what was not told yet */
    {0x03, ROW_ATTENTION, "REQUEST SENSE", atapi_request_sense, NULL},
    /* SPC-3 6.4 */
    {0x12, ROW_ATTENTION, "INQUIRY", atapi_inquiry, NULL},
    /* SPC-3 6.7 */
    {0x15, 0, "MODE SELECT(6)", atapi_mode_select, NULL},
    /* SPC-3 6.9 */
    {0x1a, 0, "MODE SENSE(6)", atapi_mode_sense, NULL},
    /* 6.42 */
    {0x1b, 0, "START STOP UNIT", atapi_start_stop, NULL},
    /* 6.14 */
    {0x1e, 0, "PREVENT ALLOW MEDIUM REMOVAL", atapi_prevent, NULL},
    /* 6.25 */
    {0x25, ROW_DISC, "READ CAPACITY", atapi_capacity, NULL},
    /* 6.17 */
    {0x28, ROW_DISC, "READ(10)", atapi_read_10, atapi_read_moved},
    /* 6.37 */
    {0x2b, ROW_DISC, "SEEK(10)", atapi_seek, NULL},
    /* 6.44: nothing is ever dirty */
    {0x35, 0, "SYNCHRONIZE CACHE", atapi_nothing, NULL},
    /* MMC-3 6.26 */
    {0x42, ROW_DISC, "READ SUB-CHANNEL", atapi_subchannel, NULL},
    /* 6.29 */
    {0x43, ROW_DISC, "READ TOC/PMA/ATIP", atapi_toc, NULL},
    /* MMC-2 9.1.11 */
    {0x44, ROW_DISC, "READ HEADER", atapi_header, NULL},
    /* MMC-3 6.15-6.17 */
    {0x45, ROW_DISC, "PLAY AUDIO(10)", atapi_play, NULL},
    /* 6.6 */
    {0x46, ROW_ATTENTION, "GET CONFIGURATION", atapi_configuration, NULL},
    {0x47, ROW_DISC, "PLAY AUDIO MSF", atapi_play, NULL},
    /* 6.7 */
    {0x4a, ROW_ATTENTION, "GET EVENT STATUS NOTIFICATION", atapi_event_status,
     NULL},
    /* 6.22 */
    {0x51, ROW_DISC, "READ DISC INFORMATION", atapi_disc_information, NULL},
    /* 6.31 */
    {0x52, ROW_DISC, "READ TRACK INFORMATION", atapi_track_information, NULL},
    /* SPC-3 6.8 */
    {0x55, 0, "MODE SELECT(10)", atapi_mode_select, NULL},
    /* SPC-3 6.10 */
    {0x5a, 0, "MODE SENSE(10)", atapi_mode_sense, NULL},
    /* 6.32: no region, no copy protection, so no keys */
    {0xa4, 0, "REPORT KEY", refuse, NULL},
    {0xa5, ROW_DISC, "PLAY AUDIO(12)", atapi_play, NULL},
    /* 6.38: our own read-ahead decides */
    {0xa7, 0, "SET READ AHEAD", atapi_nothing, NULL},
    /* 6.18 */
    {0xa8, ROW_DISC, "READ(12)", atapi_read_12, atapi_read_moved},
    /* 6.23 */
    {0xad, ROW_DISC, "READ DVD STRUCTURE", atapi_dvd_structure, NULL},
    /* 6.21 */
    {0xb9, ROW_DISC, "READ CD MSF", atapi_read_cd_msf, atapi_read_moved},
    /* 6.39 */
    {0xbb, 0, "SET CD SPEED", atapi_nothing, NULL},
    /* 6.10 */
    {0xbd, ROW_ATTENTION, "MECHANISM STATUS", atapi_mechanism, NULL},
    /* 6.20 */
    {0xbe, ROW_DISC, "READ CD", atapi_read_cd, atapi_read_moved},
};

static const struct atapi_row unknown = {0, ROW_ATTENTION, "?", refuse, NULL};

static const struct atapi_row *
find(u8 opcode)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].opcode == opcode)
			return &rows[i];
	return &unknown;
}

/* --- the disc ------------------------------------------------------------ */

bool
atapi_ready(const struct atapi *a)
{
	return a->disc != NULL && !a->s.open;
}

u32
atapi_blocks(const struct atapi *a)
{
	u64 blocks;

	if (!atapi_ready(a))
		return 0;
	blocks = disk_sectors(a->disc) / ATAPI_SECTORS;
	return (u32)MIN(blocks, (u64)UINT32_MAX);
}

u16
atapi_profile(const struct atapi *a)
{
	if (!atapi_ready(a))
		return PROFILE_NONE;
	return atapi_blocks(a) > ATAPI_CD_BLOCKS_MAX ? PROFILE_DVD_ROM
						     : PROFILE_CD_ROM;
}

void
atapi_init(struct atapi *a, const char *serial)
{
	memset(a, 0, sizeof(*a));
	snprintf(a->serial, sizeof(a->serial), "%s", serial);
}

void
atapi_first_medium(struct atapi *a, struct disk *disc)
{
	a->disc = disc;
}

void
atapi_medium(struct atapi *a, struct disk *disc)
{
	atapi_read_gone(a);
	a->disc = disc;
	a->s.open = disc == NULL;
	a->s.change = ATAPI_SAME;
	if (disc != NULL)
		a->s.change = a->s.seen_empty ? ATAPI_CHANGED : ATAPI_NOT_READY;
	a->s.seen_empty = false;
	a->s.event = disc != NULL ? ATAPI_EVENT_NEW_MEDIA : ATAPI_EVENT_REMOVAL;
	if (disc == NULL)
		a->s.locked = false;
}

void
atapi_eject_request(struct atapi *a)
{
	a->s.event = ATAPI_EVENT_EJECT_REQUEST;
}

/* --- how commands end ------------------------------------------------------
 */

void
atapi_good(struct atapi *a)
{
	assert(a->row != NULL);
	a->row = NULL;
	ide_packet_done(a->drive, 0);
}

/* The error register has the key; ABRT where the command was at fault. */
static void
check(struct atapi *a, const struct atapi_sense *sense)
{
	u8 error = (u8)(sense->key << 4);

	assert(a->row != NULL);
	TRACE(atapi_sense, a->drive->channel->job.id, sense->key,
	      sense->asc << 8 | sense->ascq, sense->lba);
	a->row = NULL;
	a->s.sense = *sense;
	if (sense->key == SENSE_ILLEGAL_REQUEST)
		error |= ERROR_ABRT;
	ide_packet_done(a->drive, error);
}

void
atapi_check(struct atapi *a, u8 key, unsigned asc)
{
	struct atapi_sense sense = {.key = key,
				    .asc = (u8)(asc >> 8),
				    .ascq = (u8)asc};

	check(a, &sense);
}

void
atapi_check_lba(struct atapi *a, u8 key, unsigned asc, u32 lba)
{
	struct atapi_sense sense = {.key = key,
				    .asc = (u8)(asc >> 8),
				    .ascq = (u8)asc,
				    .has_lba = true,
				    .lba = lba};

	check(a, &sense);
}

void
atapi_bad_field(struct atapi *a)
{
	atapi_check(a, SENSE_ILLEGAL_REQUEST, ASC_BAD_FIELD);
}

u8 *
atapi_blank(struct atapi *a, u32 size_bytes)
{
	assert(size_bytes <= sizeof(a->reply));
	memset(a->reply, 0, size_bytes);
	return a->reply;
}

void
atapi_reply(struct atapi *a, u32 size_bytes, u32 limit_bytes)
{
	size_bytes = MIN(size_bytes, limit_bytes);
	if (size_bytes == 0)
		atapi_good(a);
	else
		ide_packet_in(a->drive, a->reply, size_bytes);
}

/* --- the channel calls -------------------------------------------------------
 */

static void
attach(void *dev, struct ide_drive *d)
{
	struct atapi *a = dev;

	a->drive = d;
}

/* ATA/ATAPI-7 6.17. Word 0: packet device, CD-ROM, removable, DRQ within 50 us,
 * packets of 12 bytes. */
static void
identify(void *dev, u16 *word)
{
	const struct atapi *a = dev;

	word[0] = 0x85c0;
	ide_identify_text(word + 10, a->serial, 20);
	ide_identify_text(word + 23, "1.0", 8);
	ide_identify_text(word + 27, "SPINDLE DVD-ROM", 40);
	word[82] = word[85] = BIT(14) | BIT(9) | BIT(4);
	word[83] = word[84] = word[87] = BIT(14);
	word[125] = 0xfffe; /* what a byte count limit of 0 stands for */
}

/* What stands between a guest and its command: a change of discs, in two steps,
 * and no disc. True: the command has ended. */
static bool
stopped(struct atapi *a, const struct atapi_row *row)
{
	if (row->flags & ROW_ATTENTION)
		return false;
	if (a->s.change == ATAPI_NOT_READY) {
		a->s.change = ATAPI_CHANGED;
		atapi_check(a, SENSE_NOT_READY, ASC_NO_MEDIUM);
		return true;
	}
	if (a->s.change == ATAPI_CHANGED) {
		a->s.change = ATAPI_SAME;
		atapi_check(a, SENSE_ATTENTION, ASC_CHANGED);
		return true;
	}
	if (!(row->flags & ROW_DISC) || atapi_ready(a))
		return false;
	a->s.seen_empty = true;
	atapi_check(a, SENSE_NOT_READY,
		    a->s.open ? ASC_NO_MEDIUM_OPEN : ASC_NO_MEDIUM_CLOSED);
	return true;
}

static void
packet(void *dev, const u8 *cdb, bool dma)
{
	struct atapi *a = dev;
	const struct atapi_row *row = find(cdb[0]);

	(void)dma;
	assert(a->row == NULL && !a->read.active);
	TRACE(atapi_packet, a->drive->channel->job.id, cdb[0],
	      get_be32(cdb + 2), get_be16(cdb + 7));
	a->row = row;
	/* sense data are of the last command: each one clears them but the one
	 * that reads them, SPC-3 4.5.1 */
	if (row->run != atapi_request_sense)
		a->s.sense = (struct atapi_sense){.key = 0};
	if (!stopped(a, row))
		row->run(a, cdb);
}

static void
moved(void *dev)
{
	struct atapi *a = dev;

	assert(a->row != NULL);
	if (a->row->moved != NULL)
		a->row->moved(a);
	else
		atapi_good(a);
}

/* A disc and the door's position outlive any reset, the lock only those of the
 * channel (MMC-5 6.14: a hard reset allows removal). */
static void
reset(void *dev, bool hard)
{
	struct atapi *a = dev;

	atapi_read_forget(a);
	a->row = NULL;
	a->s.sense = (struct atapi_sense){.key = 0};
	if (hard)
		a->s.locked = false;
}

const struct ide_packet_ops atapi_packet_ops = {
    .attach = attach,
    .identify = identify,
    .packet = packet,
    .moved = moved,
    .reset = reset,
};
