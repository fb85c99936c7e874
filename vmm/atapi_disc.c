/* SPDX-License-Identifier: BSD-2-Clause */
/* atapi_disc - the commands about the disc
 *
 * Every disc has one session with one track of mode 1 sectors, which begins at
 * block 0 and ends with the image.
 */
#include "vmm/atapi_int.h"

#define TRACK	     1
#define LEAD_OUT     0xaa
#define DATA_TRACK   0x14 /* ADR 1; control: data, no copy */
#define DVD_FIRST    0x30000U
#define DVD_PAGE     2048U
#define NO_AUDIO     0x15 /* audio status: nothing to report */
#define UNKNOWN_TIME 0xffffffffU

void
atapi_capacity(struct atapi *a, const u8 *cdb)
{
	u8 *p = atapi_blank(a, 8);

	(void)cdb;
	put_be32(p, atapi_blocks(a) - 1);
	put_be32(p + 4, ATAPI_BLOCK_BYTES);
	atapi_reply(a, 8, 8);
}

/* An address in the form asked for: blocks, or 0 minutes seconds frames. */
static void
put_address(u8 *p, u32 lba, bool msf)
{
	if (!msf) {
		put_be32(p, lba);
		return;
	}
	p[0] = 0;
	atapi_msf(p + 1, lba);
}

/* --- READ TOC/PMA/ATIP, MMC-5 6.29
 * -------------------------------------------- */

static u8 *
put_track(u8 *p, u8 number, u32 lba, bool msf)
{
	p[1] = DATA_TRACK;
	p[2] = number;
	put_address(p + 4, lba, msf);
	return p + 8;
}

/* Format 0: tracks from one on, and the lead-out. 0: there is no such. */
static u32
toc_tracks(struct atapi *a, u8 *p, u8 first, bool msf)
{
	u8 *at = p + 4;

	if (first > TRACK && first != LEAD_OUT)
		return 0;
	p[2] = p[3] = TRACK;
	if (first <= TRACK)
		at = put_track(at, TRACK, 0, msf);
	at = put_track(at, LEAD_OUT, atapi_blocks(a), msf);
	return (u32)(at - p);
}

/* Format 1: the last session and its first track. */
static u32
toc_sessions(u8 *p, bool msf)
{
	p[2] = p[3] = TRACK;
	put_track(p + 4, TRACK, 0, msf);
	return 12;
}

static u8 *
put_point(u8 *p, u8 point, u8 minutes)
{
	p[0] = 1;
	p[1] = DATA_TRACK;
	p[3] = point;
	p[8] = minutes;
	return p + 11;
}

/* Format 2: the lead-in as it lies on a disc; addresses are times. */
static u32
toc_full(struct atapi *a, u8 *p, u8 session)
{
	u8 *at = p + 4;

	if (session > 1)
		return 0;
	p[2] = p[3] = 1;
	at = put_point(at, 0xa0, TRACK);
	at = put_point(at, 0xa1, TRACK);
	at = put_point(at, 0xa2, 0);
	atapi_msf(at - 3, atapi_blocks(a));
	at = put_point(at, TRACK, 0);
	atapi_msf(at - 3, 0);
	return (u32)(at - p);
}

void
atapi_toc(struct atapi *a, const u8 *cdb)
{
	bool msf = cdb[1] & 2;
	u8 format = cdb[2] & 0x0f;
	u8 *p = atapi_blank(a, 64);
	u32 n = 0;

	if (format == 0) /* where SFF-8020i had it, and drivers still put it */
		format = cdb[9] >> 6;
	if (format == 0)
		n = toc_tracks(a, p, cdb[6], msf);
	else if (format == 1)
		n = toc_sessions(p, msf);
	else if (format == 2)
		n = toc_full(a, p, cdb[6]);
	if (n == 0) {
		atapi_bad_field(a);
		return;
	}
	put_be16(p, n - 2);
	atapi_reply(a, n, get_be16(cdb + 7));
}

/* --- what is where
 * --------------------------------------------------------------- */

/* MMC-3 6.26: formats 1 position, 2 catalogue number, 3 ISRC: there is neither
 * of the latter. */
void
atapi_subchannel(struct atapi *a, const u8 *cdb)
{
	bool msf = cdb[1] & 2, subq = cdb[2] & 0x40;
	u8 format = cdb[3];
	u8 *p = atapi_blank(a, 24);
	u32 n = 4;

	if (subq && (format < 1 || format > 3)) {
		atapi_bad_field(a);
		return;
	}
	p[1] = NO_AUDIO;
	if (subq) {
		p[4] = format;
		n = format == 1 ? 16 : 24;
	}
	if (subq && format != 2) {
		p[5] = DATA_TRACK;
		p[6] = TRACK;
	}
	if (subq && format == 1) {
		p[7] = 1; /* index */
		put_address(p + 8, 0, msf);
		put_be32(p + 12, 0); /* relative to the track */
	}
	put_be16(p + 2, n - 4);
	atapi_reply(a, n, get_be16(cdb + 7));
}

void
atapi_header(struct atapi *a, const u8 *cdb)
{
	u32 lba = get_be32(cdb + 2);
	u8 *p = atapi_blank(a, 8);

	if (lba >= atapi_blocks(a)) {
		atapi_check_lba(a, SENSE_ILLEGAL_REQUEST, ASC_BAD_LBA, lba);
		return;
	}
	p[0] = 1; /* mode */
	put_address(p + 4, lba, cdb[1] & 2);
	atapi_reply(a, 8, get_be16(cdb + 7));
}

/* MMC-5 6.22: a complete disc with one complete session. */
void
atapi_disc_information(struct atapi *a, const u8 *cdb)
{
	u8 *p = atapi_blank(a, 34);

	if ((cdb[1] & 7) != 0) {
		atapi_bad_field(a);
		return;
	}
	put_be16(p, 34 - 2);
	p[2] = 3 << 2 | 2;
	p[3] = TRACK; /* first track */
	p[4] = 1;     /* sessions */
	p[5] = p[6] = TRACK;
	p[7] = 0x20; /* unrestricted use */
	put_be32(p + 16, UNKNOWN_TIME);
	put_be32(p + 20, UNKNOWN_TIME);
	atapi_reply(a, 34, get_be16(cdb + 7));
}

/* MMC-5 6.31: the number is a block (type 0), a track (1) or a session (2). */
void
atapi_track_information(struct atapi *a, const u8 *cdb)
{
	u32 number = get_be32(cdb + 2), blocks = atapi_blocks(a);
	u8 type = cdb[1] & 3;
	u8 *p = atapi_blank(a, 36);

	if (type == 3 || (type != 0 && number != TRACK)) {
		atapi_bad_field(a);
		return;
	}
	if (type == 0 && number >= blocks) {
		atapi_check_lba(a, SENSE_ILLEGAL_REQUEST, ASC_BAD_LBA, number);
		return;
	}
	put_be16(p, 36 - 2);
	p[2] = TRACK;
	p[3] = 1;      /* session */
	p[5] = 4;      /* data */
	p[6] = 1;      /* mode 1 */
	p[7] = BIT(1); /* the last recorded address is valid */
	put_be32(p + 24, blocks);
	put_be32(p + 28, blocks - 1);
	atapi_reply(a, 36, get_be16(cdb + 7));
}

void
atapi_play(struct atapi *a, const u8 *cdb)
{
	(void)cdb;
	atapi_check(a, SENSE_ILLEGAL_REQUEST, ASC_ILLEGAL_TRACK_MODE);
}

/* --- READ DVD STRUCTURE, MMC-5 6.23
 * ------------------------------------------------ */

static const struct {
	u8 format;
	u32 size_bytes; /* behind the header of four */
} structures[] = {
    {0x00, DVD_PAGE}, /* physical format */
    {0x01, 4},	      /* copyright */
    {0x04, DVD_PAGE}, /* manufacturer's */
    {0xff, 0},	      /* this list */
};

/* One layer of a 120 mm DVD-ROM, part version 1, any rate; blocks are numbered
 * from 30000h on. */
static u32
put_physical(const struct atapi *a, u8 *p)
{
	p[0] = 0x01;
	p[1] = 0x0f;
	p[2] = 0x01;
	put_be32(p + 4, DVD_FIRST);
	put_be32(p + 8, DVD_FIRST + atapi_blocks(a) - 1);
	return DVD_PAGE;
}

static u32
put_structures(u8 *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(structures); i++, p += 4) {
		p[0] = structures[i].format;
		p[1] = 0x40; /* can be read */
		put_be16(p + 2, structures[i].format == 0xff
				    ? 4 * ARRAY_SIZE(structures) + 4
				    : structures[i].size_bytes + 4);
	}
	return 4 * ARRAY_SIZE(structures);
}

void
atapi_dvd_structure(struct atapi *a, const u8 *cdb)
{
	u8 *p = atapi_blank(a, 4 + DVD_PAGE);
	u32 n;

	if ((cdb[1] & 0x0f) != 0 || cdb[6] != 0) { /* Blu-ray; a layer */
		atapi_bad_field(a);
		return;
	}
	if (atapi_profile(a) != PROFILE_DVD_ROM) {
		atapi_check(a, SENSE_ILLEGAL_REQUEST, ASC_INCOMPATIBLE);
		return;
	}
	switch (cdb[7]) {
	case 0x00:
		n = put_physical(a, p + 4);
		break;
	case 0x01: /* no protection, every region */
		n = 4;
		break;
	case 0x04:
		n = DVD_PAGE;
		break;
	case 0xff:
		n = put_structures(p + 4);
		break;
	default:
		atapi_bad_field(a);
		return;
	}
	put_be16(p, n + 2);
	atapi_reply(a, n + 4, get_be16(cdb + 8));
}
