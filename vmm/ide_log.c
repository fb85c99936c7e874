/* SPDX-License-Identifier: BSD-2-Clause */
/* ide_log - the logs of SMART READ LOG and READ LOG EXT
 *
 * ATA/ATAPI-7 volume 1 6.55.6 and 6.29, annex A:
 *
 *      00h  directory                  both commands
 *      01h  summary error log          SMART READ LOG
 *      03h  extended error log         READ LOG EXT
 *      06h  self-test log              SMART READ LOG
 *      07h  extended self-test log     READ LOG EXT
 *      80h-9Fh, and others             not there
 *
 * Errors are those that the medium gave; a command that is refused is none.
 */
#include "vmm/ide_int.h"

#define SUMMARY_ENTRIES	 5
#define SUMMARY_BYTES	 90
#define EXT_ENTRIES	 4
#define EXT_BYTES	 124
#define TEST_ENTRIES	 21
#define TEST_BYTES	 24
#define TEST_EXT_ENTRIES 19
#define TEST_EXT_BYTES	 26

#define STATE_ACTIVE 0x03 /* executing a command */

void
ide_log_error(struct ide_drive *d, u64 lba)
{
	struct ide_drive_state *s = &d->s;
	struct ide_job *j = &d->channel->job;
	u64 now = vtimers_now(d->channel->ide->timers);
	struct ide_error_entry *e =
	    &s->error_log[s->error_count % IDE_ERRORS_MAX];

	s->error_count++;
	*e = (struct ide_error_entry){
	    .command = j->opcode,
	    .features = s->features.now,
	    .count = s->count.now,
	    .device = s->device,
	    .error = s->error,
	    .status = STATUS_DRDY | STATUS_DSC | STATUS_ERR,
	    .lba = lba,
	    .life_ms = (u32)(now / NS_PER_MS),
	    .life_hours = (u16)(now / (3600 * NS_PER_SEC)),
	};
}

static void
put_lba48(u8 *p, u64 lba)
{
	put_le32(p, (u32)lba);
	put_le16(p + 4, (u16)(lba >> 32));
}

/* Where in a table of so many entries number count is, from 1; 0: none. */
static u8
index_of(u32 count, u32 entries)
{
	return count == 0 ? 0 : (u8)((count - 1) % entries + 1);
}

/* 6.29.6: pages of each log. SMART's list and READ LOG EXT's differ. */
static void
put_directory(u8 *data, bool ext)
{
	put_le16(data, 1);
	if (ext) {
		put_le16(data + 0x03 * 2, 1);
		put_le16(data + 0x07 * 2, 1);
	} else {
		put_le16(data + 0x01 * 2, 1);
		put_le16(data + 0x06 * 2, 1);
	}
}

/* 6.55.6.4: a command that failed is told with itself as the only one of the
 * five that lead to it. */
static void
put_summary(const struct ide_drive *d, u8 *data)
{
	const struct ide_drive_state *s = &d->s;

	data[0] = 1;
	data[1] = index_of(s->error_count, SUMMARY_ENTRIES);
	for (u32 i = 0; i < MIN(s->error_count, (u32)SUMMARY_ENTRIES); i++) {
		const struct ide_error_entry *e = &s->error_log[i];
		u8 *cmd = data + 2 + i * SUMMARY_BYTES + 4 * 12;
		u8 *err = cmd + 12;

		cmd[1] = e->features;
		cmd[2] = e->count;
		cmd[3] = (u8)e->lba;
		cmd[4] = (u8)(e->lba >> 8);
		cmd[5] = (u8)(e->lba >> 16);
		cmd[6] = e->device;
		cmd[7] = e->command;
		put_le32(cmd + 8, e->life_ms);
		err[1] = e->error;
		memcpy(err + 2, cmd + 2, 5);
		err[7] = e->status;
		err[27] = STATE_ACTIVE;
		put_le16(err + 28, e->life_hours);
	}
	put_le16(data + 452, (u16)MIN(s->error_count, 65535U));
	ide_checksum_sector(data);
}

/* Extended comprehensive log: 48-bit addresses, in the order of the register
 * pairs. */
static void
put_pairs(u8 *p, u64 lba)
{
	for (unsigned i = 0; i < 3; i++) {
		p[i * 2] = (u8)(lba >> (i * 8));
		p[i * 2 + 1] = (u8)(lba >> (24 + i * 8));
	}
}

static void
put_ext_errors(const struct ide_drive *d, u8 *data)
{
	const struct ide_drive_state *s = &d->s;
	u32 shown = MIN(s->error_count, (u32)EXT_ENTRIES);

	data[0] = 1;
	put_le16(data + 2, index_of(s->error_count, EXT_ENTRIES));
	for (u32 i = 0; i < shown; i++) {
		u32 number = s->error_count - 1 - i; /* from the newest back */
		const struct ide_error_entry *e =
		    &s->error_log[number % IDE_ERRORS_MAX];
		u8 *cmd = data + 4 + number % EXT_ENTRIES * EXT_BYTES + 4 * 18;
		u8 *err = cmd + 18;

		cmd[1] = e->features;
		cmd[3] = e->count;
		put_pairs(cmd + 5, e->lba);
		cmd[11] = e->device;
		cmd[12] = e->command;
		put_le32(cmd + 14, e->life_ms);
		err[1] = e->error;
		err[2] = e->count;
		put_pairs(err + 4, e->lba);
		err[10] = e->device;
		err[11] = e->status;
		err[31] = STATE_ACTIVE;
		put_le16(err + 32, e->life_hours);
	}
	put_le16(data + 500, (u16)MIN(s->error_count, 65535U));
	ide_checksum_sector(data);
}

/* 6.55.6.8.2; as many entries as are kept, at their places in the ring. */
static void
put_tests(const struct ide_drive *d, u8 *data)
{
	const struct ide_drive_state *s = &d->s;

	put_le16(data, 1);
	for (u32 i = 0; i < MIN(s->test_count, (u32)TEST_ENTRIES); i++) {
		const struct ide_test_entry *t = &s->test_log[i];
		u8 *p = data + 2 + i * TEST_BYTES;

		p[0] = t->number;
		p[1] = t->status;
		put_le16(p + 2, t->life_hours);
		put_le32(p + 5, t->status >= 0x30
				    ? (u32)MIN(t->lba, (u64)UINT32_MAX)
				    : UINT32_MAX);
	}
	data[508] = index_of(s->test_count, TEST_ENTRIES);
	ide_checksum_sector(data);
}

static void
put_ext_tests(const struct ide_drive *d, u8 *data)
{
	const struct ide_drive_state *s = &d->s;
	u32 shown = MIN(s->test_count, (u32)TEST_EXT_ENTRIES);

	data[0] = 1;
	put_le16(data + 2, index_of(s->test_count, TEST_EXT_ENTRIES));
	for (u32 i = 0; i < shown; i++) {
		u32 number = s->test_count - 1 - i;
		const struct ide_test_entry *t =
		    &s->test_log[number % IDE_TESTS_MAX];
		u8 *p = data + 4 + number % TEST_EXT_ENTRIES * TEST_EXT_BYTES;

		p[0] = t->number;
		p[1] = t->status;
		put_le16(p + 2, t->life_hours);
		put_lba48(p + 5, t->status >= 0x30 ? t->lba : BITS(47, 0));
	}
	ide_checksum_sector(data);
}

bool
ide_log_page(const struct ide_drive *d, u8 log, u32 page, bool ext, u8 *data)
{
	if (page != 0)
		return false;
	memset(data, 0, DISK_SECTOR_BYTES);
	if (log == 0x00)
		put_directory(data, ext);
	else if (log == 0x01 && !ext)
		put_summary(d, data);
	else if (log == 0x03 && ext)
		put_ext_errors(d, data);
	else if (log == 0x06 && !ext)
		put_tests(d, data);
	else if (log == 0x07 && ext)
		put_ext_tests(d, data);
	else
		return false;
	return true;
}

/* --- READ LOG EXT, 6.29 ------------------------------------------------- */

/* The log is in LBA bits 7:0, its first page in 15:8 and 39:32. */
static void
page(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;

	if (!ide_log_page(d, d->s.lba[0].now, c->job.step, true, c->buffer))
		ide_abort(d);
	else
		ide_pio_in(d, c->buffer, DISK_SECTOR_BYTES, true);
}

void
ide_read_log(struct ide_drive *d)
{
	struct ide_job *j = &d->channel->job;

	j->count = d->s.count.now | (u32)d->s.count.hob << 8;
	j->step = d->s.lba[1].now | (u32)d->s.lba[1].hob << 8;
	if (j->count == 0)
		ide_abort(d);
	else
		page(d);
}

void
ide_read_log_moved(struct ide_drive *d)
{
	struct ide_job *j = &d->channel->job;

	if (--j->count == 0) {
		ide_end_moved(d);
		return;
	}
	j->step++;
	page(d);
}
