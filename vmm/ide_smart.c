/* SPDX-License-Identifier: BSD-2-Clause */
/* ide_smart - SMART: attributes from the disk's own counters, self-tests
 *
 * ATA/ATAPI-7 volume 1 6.55. The 12 bytes of an attribute are the vendors'
 * custom (flags, value, worst, six bytes of raw count), as every tool reads
 * them. Nothing is kept from one run of the machine to the next.
 *
 * A self-test verifies the medium, the short one its first part only. It goes
 * on step by step from a timer, beside the guest's own requests; a captive
 * one is such a test whose command ends when it does.
 *
 *      (none) --begin()--> running --last step--> passed
 *                             |----error--------> failed, LBA in the log
 *                             |----abort, reset-> aborted
 */
#include "vmm/ide_int.h"
#include "vmm/vmm_trace.h"

/* Features of the command */
#define READ_DATA	0xd0
#define READ_THRESHOLDS 0xd1
#define AUTOSAVE	0xd2
#define SAVE		0xd3
#define EXECUTE		0xd4
#define READ_LOG	0xd5
#define WRITE_LOG	0xd6
#define ENABLE		0xd8
#define DISABLE		0xd9
#define RETURN_STATUS	0xda
#define AUTO_OFFLINE	0xdb

#define KEY_MID	 0x4f /* what the LBA registers must say */
#define KEY_HIGH 0xc2

#define ATTRIBUTES    9
#define STEP_SECTORS  2048U
#define SHORT_SECTORS 131072ULL /* 64 MiB */
#define STEP_NS	      NS_PER_MS

#define CAPTIVE 0x80

/* --- attributes --------------------------------------------------------- */

/* Flags: 0001h pre-failure, 0002h online */
static const struct attribute {
	u8 id, threshold;
	u16 flags;
} attributes[ATTRIBUTES] = {
    {1, 6, 0x000f},   /* read error rate */
    {5, 10, 0x0033},  /* reallocated sectors */
    {9, 0, 0x0032},   /* power-on hours */
    {12, 0, 0x0032},  /* power cycles */
    {187, 0, 0x0032}, /* errors reported to the host */
    {197, 0, 0x0012}, /* sectors that could not be read */
    {198, 0, 0x0010}, /* ... as self-tests found them */
    {241, 0, 0x0032}, /* sectors written */
    {242, 0, 0x0032}, /* sectors read */
};

static u64
raw_value(const struct ide_drive *d, u8 id)
{
	const struct disk_stats *st = disk_stats(d->disk);

	switch (id) {
	case 1:
	case 197:
		return st->bad_sectors;
	case 9:
		return vtimers_now(d->channel->ide->timers) /
		       (3600 * NS_PER_SEC);
	case 12:
		return 1;
	case 187:
		return d->s.error_count;
	case 198:
		return d->s.test_bad;
	case 241:
		return st->op[DISK_WRITE].sectors;
	case 242:
		return st->op[DISK_READ].sectors;
	default:
		return 0; /* nothing is ever moved elsewhere */
	}
}

/* 100 is as good as new. Only what counts errors gets worse. */
static u8
value_of(u8 id, u64 raw)
{
	switch (id) {
	case 1:
	case 187:
	case 197:
	case 198:
		return (u8)(100 - MIN(raw, 99ULL));
	default:
		return 100;
	}
}

/* Attributes whose value has reached its threshold */
static bool
failing(const struct ide_drive *d)
{
	for (unsigned i = 0; i < ATTRIBUTES; i++) {
		const struct attribute *a = &attributes[i];

		if (a->threshold != 0 &&
		    value_of(a->id, raw_value(d, a->id)) <= a->threshold)
			return true;
	}
	return false;
}

void
ide_checksum_sector(u8 *data)
{
	u8 sum = 0;

	for (unsigned i = 0; i < DISK_SECTOR_BYTES - 1; i++)
		sum = (u8)(sum + data[i]);
	data[DISK_SECTOR_BYTES - 1] = (u8)-sum;
}

/* Table 45 of 6.55.8.2 */
static void
put_data(const struct ide_drive *d, u8 *data)
{
	u64 size = d->s.max_sectors;

	memset(data, 0, DISK_SECTOR_BYTES);
	put_le16(data, 16); /* structure revision */
	for (unsigned i = 0; i < ATTRIBUTES; i++) {
		const struct attribute *a = &attributes[i];
		u64 raw = raw_value(d, a->id);
		u8 *p = data + 2 + i * 12;

		p[0] = a->id;
		put_le16(p + 1, a->flags);
		p[3] = p[4] = value_of(a->id, raw);
		put_le32(p + 5, (u32)raw);
		put_le16(p + 9, (u16)(raw >> 32));
	}
	data[362] = 0x00; /* no off-line collection was started */
	data[363] = d->s.test_status;
	put_le16(data + 364, 1);
	data[367] = 0x11; /* EXECUTE OFF-LINE IMMEDIATE, self-tests */
	put_le16(data + 368, 0x0003); /* attributes are saved */
	data[370] = 0x01;	      /* error logging */
	data[372] = 1;		      /* minutes: short test, */
	data[373] = (u8)MIN(1 + size / (60 * 1000 * STEP_SECTORS), 254ULL);
	ide_checksum_sector(data);
}

static void
put_thresholds(u8 *data)
{
	memset(data, 0, DISK_SECTOR_BYTES);
	put_le16(data, 16);
	for (unsigned i = 0; i < ATTRIBUTES; i++) {
		data[2 + i * 12] = attributes[i].id;
		data[3 + i * 12] = attributes[i].threshold;
	}
	ide_checksum_sector(data);
}

/* --- self-tests, 6.55.4 ------------------------------------------------- */

/* Status in the upper half of the byte, tenths to go in the lower */
enum { PASSED = 0x00, ABORTED = 0x10, BY_RESET = 0x20, FAILED = 0x70 };

static bool
is_running(const struct ide_drive *d)
{
	return (d->s.test_status & 0xf0) == 0xf0;
}

static void
test_over(struct ide_drive *d, u8 status, u64 lba)
{
	struct ide_drive_state *s = &d->s;
	struct ide_test_entry *t = &s->test_log[s->test_count % IDE_TESTS_MAX];
	u64 now = vtimers_now(d->channel->ide->timers);

	s->test_count++;
	s->test_status = status;
	*t = (struct ide_test_entry){.number = s->test_number,
				     .status = status,
				     .life_hours =
					 (u16)(now / (3600 * NS_PER_SEC)),
				     .lba = lba};
	if (status == FAILED)
		s->test_bad++;
}

/* The captive command ends with its test. */
static void
tell_captive(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;
	u8 status = d->s.test_status;

	if (!d->s.test_captive)
		return;
	d->s.test_captive = false;
	assert(c->phase == IDE_BUSY && c->row != NULL);
	if (status == FAILED) {
		d->s.lba[1].now = 0xf4;
		d->s.lba[2].now = 0x2c;
		ide_abort(d);
	} else {
		ide_end(d);
	}
}

void
ide_smart_test_done(struct disk_req *r)
{
	struct ide_drive *d = r->ctx;
	struct ide_drive_state *s = &d->s;
	u64 left;

	d->testing = false;
	if (!is_running(d) || d->test_stale) {
		d->test_stale = false;
		return;
	}
	if (r->error != 0) {
		test_over(d, FAILED, r->error_lba);
		tell_captive(d);
		return;
	}
	s->test_lba = r->lba + r->count;
	if (s->test_lba >= s->test_end) {
		test_over(d, PASSED, 0);
		tell_captive(d);
		return;
	}
	left = (s->test_end - s->test_lba) * 10 / s->test_end;
	s->test_status = (u8)(0xf0 | MIN(left, 9ULL));
}

static void
step(struct ide_drive *d)
{
	struct disk_req *r = &d->test;
	u64 left = d->s.test_end - d->s.test_lba;

	if (d->testing)
		return;
	d->testing = true;
	*r = (struct disk_req){.op = DISK_VERIFY,
			       .lba = d->s.test_lba,
			       .count = (u32)MIN(left, (u64)STEP_SECTORS),
			       .done = ide_smart_test_done,
			       .ctx = d};
	if (disk_submit(d->disk, r))
		ide_smart_test_done(r);
}

static void
arm(struct ide *i)
{
	vtimer_arm(i->timers, &i->test_timer, vtimers_now(i->timers) + STEP_NS);
}

void
ide_smart_step(void *ide)
{
	struct ide *i = ide;
	bool more = false;

	for (unsigned n = 0; n < IDE_DRIVES; n++) {
		struct ide_drive *d = &i->channel[n / 2].drive[n % 2];

		if (d->disk == NULL || !is_running(d))
			continue;
		step(d);
		more |= is_running(d);
	}
	if (more)
		arm(i);
}

/* A step that is still at the disk is of no interest when it comes back. */
static void
test_stop(struct ide_drive *d, u8 status)
{
	if (!is_running(d))
		return;
	d->test_stale = d->testing;
	d->s.test_captive = false;
	test_over(d, status, 0);
}

void
ide_smart_reset(struct ide_drive *d, bool hard)
{
	test_stop(d, BY_RESET);
	if (!hard)
		return;
	d->s.smart = true;
	d->s.autosave = true;
}

/* Off-line collection has nothing to collect that is not there already. */
static void
execute(struct ide_drive *d)
{
	struct ide_drive_state *s = &d->s;
	u8 number = s->lba[0].now;

	switch (number & ~CAPTIVE) {
	case 0x00:
		if (number & CAPTIVE)
			break;
		ide_end(d);
		return;
	case 0x7f:
		test_stop(d, ABORTED);
		ide_end(d);
		return;
	case 0x01:
	case 0x02:
		test_stop(d, ABORTED);
		s->test_number = number;
		s->test_lba = 0;
		s->test_end = s->max_sectors;
		if ((number & ~CAPTIVE) == 0x01)
			s->test_end = MIN(s->test_end, SHORT_SECTORS);
		s->test_status = 0xf9;
		s->test_captive = (number & CAPTIVE) != 0;
		arm(d->channel->ide);
		if (!s->test_captive)
			ide_end(d);
		return;
	}
	ide_abort(d);
}

/* --- the command -------------------------------------------------------- */

static void
return_status(struct ide_drive *d)
{
	bool bad = failing(d);

	d->s.lba[1].now = bad ? 0xf4 : KEY_MID;
	d->s.lba[2].now = bad ? 0x2c : KEY_HIGH;
	ide_end(d);
}

/* job.step is the page, job.count how many are still to come. */
static void
log_page(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;

	if (!ide_log_page(d, d->s.lba[0].now, c->job.step, false, c->buffer))
		ide_abort(d);
	else
		ide_pio_in(d, c->buffer, DISK_SECTOR_BYTES, true);
}

static void
read_log(struct ide_drive *d)
{
	struct ide_job *j = &d->channel->job;

	j->count = d->s.count.now;
	j->step = 0;
	if (j->count == 0)
		ide_abort(d);
	else
		log_page(d);
}

static void
send(struct ide_drive *d)
{
	ide_pio_in(d, d->channel->buffer, DISK_SECTOR_BYTES, true);
}

void
ide_smart_moved(struct ide_drive *d)
{
	struct ide_job *j = &d->channel->job;

	if (d->s.features.now != READ_LOG || --j->count == 0) {
		ide_end_moved(d);
		return;
	}
	j->step++;
	log_page(d);
}

static void
enabled(struct ide_drive *d)
{
	struct ide_drive_state *s = &d->s;

	switch (s->features.now) {
	case READ_DATA:
		put_data(d, d->channel->buffer);
		send(d);
		break;
	case READ_THRESHOLDS:
		put_thresholds(d->channel->buffer);
		send(d);
		break;
	case AUTOSAVE:
		s->autosave = s->count.now != 0;
		ide_end(d);
		break;
	case SAVE:
	case AUTO_OFFLINE:
		ide_end(d);
		break;
	case EXECUTE:
		execute(d);
		break;
	case READ_LOG:
		read_log(d);
		break;
	case DISABLE:
		s->smart = false;
		ide_end(d);
		break;
	case RETURN_STATUS:
		return_status(d);
		break;
	default: /* WRITE LOG, too: no log can be written */
		ide_abort(d);
	}
}

void
ide_smart(struct ide_drive *d)
{
	struct ide_drive_state *s = &d->s;

	if (s->lba[1].now != KEY_MID || s->lba[2].now != KEY_HIGH) {
		ide_abort(d);
	} else if (s->features.now == ENABLE) {
		s->smart = true;
		ide_end(d);
	} else if (!s->smart) {
		ide_abort(d);
	} else {
		enabled(d);
	}
}
