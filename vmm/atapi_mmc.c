/* SPDX-License-Identifier: BSD-2-Clause */
/* atapi_mmc - the commands about the drive itself */
#include "vmm/atapi_int.h"

#define VENDOR	 "SPINDLE "
#define PRODUCT	 "DVD-ROM         "
#define REVISION "1.0 "

void
atapi_nothing(struct atapi *a, const u8 *cdb)
{
	(void)cdb;
	atapi_good(a);
}

/* A disc is there, or the command would not have come to us. */
void
atapi_test_unit_ready(struct atapi *a, const u8 *cdb)
{
	(void)cdb;
	atapi_good(a);
}

/* SPC-3 4.5.3, fixed format. Without sense data of a command, a change of discs
 * is what there is to tell. */
void
atapi_request_sense(struct atapi *a, const u8 *cdb)
{
	struct atapi_sense s = a->s.sense;
	u8 *p = atapi_blank(a, 18);

	if (s.key == 0 && a->s.change == ATAPI_CHANGED) {
		s.key = SENSE_ATTENTION;
		s.asc = ASC_CHANGED >> 8;
		a->s.change = ATAPI_SAME;
	}
	p[0] = s.has_lba ? 0xf0 : 0x70; /* information is valid */
	p[2] = s.key;
	if (s.has_lba)
		put_be32(p + 3, s.lba);
	p[7] = 10;
	p[12] = s.asc;
	p[13] = s.ascq;
	a->s.sense = (struct atapi_sense){.key = 0};
	atapi_reply(a, 18, cdb[4]);
}

/* --- INQUIRY, SPC-3 6.4 and 7.6 ----------------------------------------------
 */

/* Vital product data. Returns the size of the page, 0 for none. */
static u32
product_page(struct atapi *a, u8 page)
{
	u8 *p = atapi_blank(a, 64);
	u32 n = (u32)strlen(a->serial);

	p[0] = 5;
	p[1] = page;
	switch (page) {
	case 0x00: /* which pages there are */
		p[3] = 3;
		p[4] = 0x00;
		p[5] = 0x80;
		p[6] = 0x83;
		return 7;
	case 0x80: /* the serial number */
		p[3] = (u8)n;
		memcpy(p + 4, a->serial, n);
		return 4 + n;
	case 0x83: /* one name: vendor and serial number, in ASCII */
		p[3] = (u8)(4 + 8 + n);
		p[4] = 2;
		p[5] = 1;
		p[7] = (u8)(8 + n);
		memcpy(p + 8, VENDOR, 8);
		memcpy(p + 16, a->serial, n);
		return 16 + n;
	default:
		return 0;
	}
}

void
atapi_inquiry(struct atapi *a, const u8 *cdb)
{
	u32 limit_bytes = get_be16(cdb + 3), size_bytes;
	u8 *p;

	if (cdb[1] & 1) {
		size_bytes = product_page(a, cdb[2]);
		if (size_bytes != 0)
			atapi_reply(a, size_bytes, limit_bytes);
		else
			atapi_bad_field(a);
		return;
	}
	if (cdb[2] != 0) {
		atapi_bad_field(a);
		return;
	}
	p = atapi_blank(a, 36);
	p[0] = 5;    /* CD/DVD device */
	p[1] = 0x80; /* removable medium */
	p[2] = 5;    /* SPC-3 */
	p[3] = 0x32; /* ATAPI; this format */
	p[4] = 36 - 5;
	memcpy(p + 8, VENDOR, 8);
	memcpy(p + 16, PRODUCT, 16);
	memcpy(p + 32, REVISION, 4);
	atapi_reply(a, 36, limit_bytes);
}

/* --- MODE SENSE and MODE SELECT, SPC-3 6.7-6.10
 * ------------------------------- */

/* Pages by their size behind the first two bytes; MMC-5 7. Nothing in them can
 * be changed. */
static const struct mode_page {
	u8 code, size_bytes;
	u8 bytes[24];
} mode_pages[] = {
    /* read error recovery, 7.3: five retries */
    {0x01, 0x0a, {0, 5}},
    /* CD device parameters, MMC-2 8.3.3: 60 seconds, 75 frames */
    {0x0d, 0x06, {0, 0x0d, 0, 60, 0, 75}},
    /* CD audio, 7.5: nothing is played */
    {0x0e, 0x0e, {4}},
    /* power condition, SPC-3 7.4.12: no timers */
    {0x1a, 0x0a, {0}},
    /* timeout and protect, 7.8 */
    {0x1c, 0x0a, {0}},
    /* capabilities, MMC-3 6.3.11: reads CD-R, CD-RW, DVD-ROM; mode 2,
     * multi-session; a tray with eject button and lock. Bytes 4 and 6 to 15
     * are filled in. */
    {0x2a, 0x14, {0x0b, 0x00, 0x70, 0x00, 0x29, 0x00}},
};

#define CAPABILITIES	 0x2a
#define SPEED_KB_PER_S	 8467 /* 48x */
#define CHANGEABLE	 1
#define SAVED		 3
#define ALL_PAGES	 0x3f
#define MEDIUM_DATA_DISC 0x01
#define MEDIUM_NONE	 0x70
#define MEDIUM_OPEN	 0x71

static u32
put_page(const struct atapi *a, u8 *p, const struct mode_page *page,
	 bool changeable)
{
	p[0] = page->code;
	p[1] = page->size_bytes;
	if (changeable)
		return 2U + page->size_bytes;
	memcpy(p + 2, page->bytes, page->size_bytes);
	if (page->code == CAPABILITIES) {
		if (a->s.locked)
			p[6] |= BIT(1);
		put_be16(p + 8, SPEED_KB_PER_S);
		put_be16(p + 12, ATAPI_BUFFER_BYTES / 1024);
		put_be16(p + 14, SPEED_KB_PER_S);
	}
	return 2U + page->size_bytes;
}

/* What SFF-8020i calls the medium type. */
static u8
medium_type(const struct atapi *a)
{
	if (a->s.open)
		return MEDIUM_OPEN;
	return a->disc != NULL ? MEDIUM_DATA_DISC : MEDIUM_NONE;
}

/* Both forms: a header of 4 or 8 bytes, no block descriptors, pages. */
void
atapi_mode_sense(struct atapi *a, const u8 *cdb)
{
	bool ten = cdb[0] == 0x5a;
	u8 control = cdb[2] >> 6, code = cdb[2] & 0x3f;
	u32 n = ten ? 8 : 4, header_bytes = n;
	u8 *p = atapi_blank(a, 256);

	if (control == SAVED) {
		atapi_check(a, SENSE_ILLEGAL_REQUEST, ASC_NO_SAVING);
		return;
	}
	if (cdb[3] != 0 && cdb[3] != 0xff) { /* no subpages */
		atapi_bad_field(a);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(mode_pages); i++)
		if (code == mode_pages[i].code || code == ALL_PAGES)
			n += put_page(a, p + n, &mode_pages[i],
				      control == CHANGEABLE);
	if (n == header_bytes) {
		atapi_bad_field(a);
		return;
	}
	if (ten) {
		put_be16(p, n - 2);
		p[2] = medium_type(a);
	} else {
		p[0] = (u8)(n - 1);
		p[1] = medium_type(a);
	}
	atapi_reply(a, n, ten ? get_be16(cdb + 7) : cdb[4]);
}

/* Drivers set the error recovery they would like. It is taken and has no
 * effect: a sector that the host cannot read is not tried again. */
void
atapi_mode_select(struct atapi *a, const u8 *cdb)
{
	u32 size_bytes = cdb[0] == 0x55 ? get_be16(cdb + 7) : cdb[4];

	if (size_bytes == 0)
		atapi_good(a);
	else if (size_bytes > sizeof(a->reply))
		atapi_check(a, SENSE_ILLEGAL_REQUEST, ASC_LIST_LENGTH);
	else
		ide_packet_out(a->drive, a->reply, size_bytes);
}

/* --- the door
 * ------------------------------------------------------------------ */

/* MMC-5 6.42. The disc stays on the tray; closing it brings it back. */
void
atapi_start_stop(struct atapi *a, const u8 *cdb)
{
	bool start = cdb[4] & 1, door = cdb[4] & 2;

	if ((cdb[4] & 0xf0) != 0 || !door) { /* power, spinning up or down */
		atapi_good(a);
		return;
	}
	if (!start && !a->s.open) {
		if (a->s.locked) {
			atapi_check(a, SENSE_ILLEGAL_REQUEST,
				    ASC_REMOVAL_PREVENTED);
			return;
		}
		a->s.open = true;
		a->s.change = ATAPI_SAME;
		a->s.event = ATAPI_EVENT_REMOVAL;
	} else if (start && a->s.open) {
		a->s.open = false;
		if (a->disc != NULL) {
			a->s.change =
			    a->s.seen_empty ? ATAPI_CHANGED : ATAPI_NOT_READY;
			a->s.event = ATAPI_EVENT_NEW_MEDIA;
		}
		a->s.seen_empty = false;
	}
	atapi_good(a);
}

void
atapi_prevent(struct atapi *a, const u8 *cdb)
{
	a->s.locked = cdb[4] & 1;
	atapi_good(a);
}

/* MMC-5 6.7: of the event classes we have media (4). An event is told once. */
void
atapi_event_status(struct atapi *a, const u8 *cdb)
{
	u32 limit_bytes = get_be16(cdb + 7);
	u8 *p = atapi_blank(a, 8);

	if (!(cdb[1] & 1)) { /* not polled: that would be queued commands */
		atapi_bad_field(a);
		return;
	}
	p[3] = BIT(4);
	if (!(cdb[4] & BIT(4))) {
		p[1] = 2;
		p[2] = 0x80; /* no event available */
		atapi_reply(a, 4, limit_bytes);
		return;
	}
	p[1] = 6;
	p[2] = 4;
	p[4] = (u8)a->s.event;
	p[5] = (u8)((a->s.open ? 1 : 0) | (a->disc != NULL ? 2 : 0));
	if (limit_bytes > 4) {
		if (a->s.event == ATAPI_EVENT_NEW_MEDIA &&
		    a->s.change == ATAPI_NOT_READY)
			a->s.change = ATAPI_CHANGED;
		a->s.event = ATAPI_EVENT_NONE;
	}
	atapi_reply(a, 8, limit_bytes);
}

/* MMC-5 6.10: one slot, no changer. */
void
atapi_mechanism(struct atapi *a, const u8 *cdb)
{
	u8 *p = atapi_blank(a, 8);

	p[1] = a->s.open ? 0x10 : 0;
	p[5] = 1;
	atapi_reply(a, 8, get_be16(cdb + 8));
}

/* --- GET CONFIGURATION, MMC-5 6.6 and 5.3
 * ----------------------------------------- */

#define FEATURE_PERSISTENT 0x02
#define FEATURE_CURRENT	   0x01

enum current { ALWAYS, WITH_DISC, WITH_CD, WITH_DVD };

static const struct feature {
	u16 code;
	u8 version; /* shifted; with the persistent bit */
	u8 size_bytes;
	enum current current;
	u8 bytes[8];
} features[] = {
    /* 5.3.1 the profiles; which is current is filled in */
    {0x0000, FEATURE_PERSISTENT, 8, ALWAYS, {0, 0x10, 0, 0, 0, 0x08, 0, 0}},
    /* 5.3.2 core: ATAPI; device busy events and INQUIRY 2 */
    {0x0001, 2 << 2 | FEATURE_PERSISTENT, 8, ALWAYS, {0, 0, 0, 2, 1}},
    /* 5.3.4 removable medium: tray, eject, lock */
    {0x0003, 2 << 2 | FEATURE_PERSISTENT, 4, ALWAYS, {0x29}},
    /* 5.3.7 random readable: blocks of 2048, one at a time */
    {0x0010, 0, 8, WITH_DISC, {0, 0, 8, 0, 0, 1, 1, 0}},
    /* 5.3.12 CD read */
    {0x001e, 2 << 2, 4, WITH_CD, {0}},
    /* 5.3.13 DVD read */
    {0x001f, 1 << 2, 4, WITH_DVD, {0}},
    /* 5.3.34 power management */
    {0x0100, FEATURE_PERSISTENT, 0, ALWAYS, {0}},
    /* 5.3.39 timeout */
    {0x0105, 1 << 2 | FEATURE_PERSISTENT, 4, ALWAYS, {0}},
};

static bool
is_current(const struct feature *f, u16 profile)
{
	switch (f->current) {
	case ALWAYS:
		return true;
	case WITH_DISC:
		return profile != PROFILE_NONE;
	case WITH_CD:
		return profile == PROFILE_CD_ROM;
	case WITH_DVD:
		return profile == PROFILE_DVD_ROM;
	}
	return false;
}

static u32
put_feature(u8 *p, const struct feature *f, u16 profile)
{
	put_be16(p, f->code);
	p[2] = f->version | (is_current(f, profile) ? FEATURE_CURRENT : 0);
	p[3] = f->size_bytes;
	memcpy(p + 4, f->bytes, f->size_bytes);
	if (f->code == 0) { /* profile descriptors of 4 bytes */
		p[6] = profile == PROFILE_DVD_ROM;
		p[10] = profile == PROFILE_CD_ROM;
	}
	return 4U + f->size_bytes;
}

/* The type asked for (RT): 0 all from the first on, 1 the current of these, 2
 * that one alone. */
void
atapi_configuration(struct atapi *a, const u8 *cdb)
{
	u8 type = cdb[1] & 3;
	u16 first = get_be16(cdb + 2), profile = atapi_profile(a);
	u8 *p = atapi_blank(a, 256);
	u32 n = 8;

	if (type == 3) {
		atapi_bad_field(a);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		const struct feature *f = &features[i];

		if (type == 2 ? f->code == first
			      : f->code >= first &&
				    (type == 0 || is_current(f, profile)))
			n += put_feature(p + n, f, profile);
	}
	put_be32(p, n - 4);
	put_be16(p + 6, profile);
	atapi_reply(a, n, get_be16(cdb + 7));
}
