/* SPDX-License-Identifier: BSD-2-Clause */
/* ide_trim - DATA SET MANAGEMENT with TRIM
 *
 * ACS-2 7.10. The data are up to IDE_TRIM_BLOCKS sectors of entries: 48 bits
 * of LBA below 16 bits of count, where a count of 0 is no entry. All of them
 * are checked before the first takes effect. job.step is the entry that comes
 * next.
 */
#include "base/range.h"
#include "vmm/ide_int.h"

#define ENTRY_BYTES 8
#define TRIM	    BIT(0)

static u64
entry_lba(const u8 *e)
{
	return get_le64(e) & BITS(47, 0);
}

static u32
entry_count(const u8 *e)
{
	return get_le16(e + 6);
}

static u32
data_bytes(const struct ide_channel *c)
{
	return c->job.block * DISK_SECTOR_BYTES;
}

void
ide_trim(struct ide_drive *d)
{
	struct ide_job *j = &d->channel->job;
	u32 blocks = d->s.count.now | (u32)d->s.count.hob << 8;

	/* 28-bit drivers leave junk in the older byte */
	if (blocks > IDE_TRIM_BLOCKS)
		blocks = d->s.count.now;
	if (!(d->s.features.now & TRIM) || blocks == 0 ||
	    blocks > IDE_TRIM_BLOCKS || !disk_can_discard(d->disk) ||
	    disk_read_only(d->disk)) {
		ide_abort(d);
		return;
	}
	j->block = blocks;
	ide_dma_wait(d);
}

static bool
entries_fit(const struct ide_drive *d)
{
	const struct ide_channel *c = d->channel;

	for (u32 at = 0; at < data_bytes(c); at += ENTRY_BYTES) {
		const u8 *e = c->buffer + at;

		if (entry_count(e) != 0 &&
		    !range_inside(entry_lba(e), entry_count(e),
				  d->s.max_sectors))
			return false;
	}
	return true;
}

/* The next range, of entries that go on where the one before ended: the LBA
 * goes to the job. Returns its count, 0: that was all. */
static u32
next_range(struct ide_channel *c)
{
	struct ide_job *j = &c->job;
	u32 end = data_bytes(c) / ENTRY_BYTES, count = 0;

	for (; j->step < end; j->step++) {
		const u8 *e = c->buffer + j->step * ENTRY_BYTES;

		if (entry_count(e) == 0)
			continue;
		if (count == 0)
			j->lba = entry_lba(e);
		else if (j->lba + count != entry_lba(e))
			break;
		count += entry_count(e);
	}
	return count;
}

/* One range after the other. What the disk does in the call comes back to
 * ide_trim_done() before ide_submit() returns; the loop goes on then. */
static void
go_on(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;

	c->job.moving = true;
	while (c->phase == IDE_BUSY && c->job.moving) {
		u32 count = next_range(c);

		if (count == 0) {
			ide_end(d);
			return;
		}
		c->job.count = count;
		ide_submit(d, DISK_DISCARD, 0, c->job.lba, count, NULL, 0);
	}
	c->job.moving = false;
}

void
ide_trim_moved(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;
	enum ide_dma_got got = ide_dma_copy(c, c->buffer, data_bytes(c), false);

	if (got == IDE_DMA_SHORT) {
		ide_dma_short(d);
		return;
	}
	ide_dma_over(c, got != IDE_DMA_OK);
	if (got != IDE_DMA_OK || !entries_fit(d))
		ide_abort(d);
	else
		go_on(d);
}

void
ide_trim_done(struct ide_drive *d, int error, u64 error_lba)
{
	struct ide_channel *c = d->channel;

	if (error != 0) {
		c->job.moving = false;
		ide_fail_errno(d, error, error_lba);
	} else if (!c->job.moving) {
		go_on(d);
	}
}
