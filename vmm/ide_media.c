/* SPDX-License-Identifier: BSD-2-Clause */
/* ide_media - commands that reach the medium */
#include <errno.h>

#include "base/range.h"
#include "vmm/ide_int.h"

/* --- addresses ---------------------------------------------------------- */

/* 6.2 of volume 1: 48 bits in two layers of registers, 28 bits, or CHS in the
 * geometry of INITIALIZE DEVICE PARAMETERS. */
bool
ide_address(const struct ide_drive *d, bool ext, u64 *lba)
{
	const struct ide_drive_state *s = &d->s;
	const struct ide_reg *r = s->lba;
	u32 low = r[0].now | (u32)r[1].now << 8 | (u32)r[2].now << 16;
	u32 head = s->device & DEVICE_HEAD;

	if (ext) {
		*lba = low | (u64)r[0].hob << 24 | (u64)r[1].hob << 32 |
		       (u64)r[2].hob << 40;
		return true;
	}
	if (s->device & DEVICE_LBA) {
		*lba = low | (u64)head << 24;
		return true;
	}
	if (r[0].now == 0 || r[0].now > s->sectors || head >= s->heads)
		return false;
	*lba = ((u64)(low >> 8) * s->heads + head) * s->sectors + r[0].now - 1;
	return true;
}

void
ide_put_address(struct ide_drive *d, bool ext, u64 lba)
{
	struct ide_drive_state *s = &d->s;
	u8 head = s->device & DEVICE_HEAD;
	u64 low = lba;

	if (!ext && (s->device & DEVICE_LBA)) {
		head = lba >> 24 & DEVICE_HEAD;
	} else if (!ext && s->sectors != 0 && s->heads != 0) {
		u64 track = lba / s->sectors;

		head = (u8)(track % s->heads);
		low = (track / s->heads) << 8 | (lba % s->sectors + 1);
	}
	for (unsigned i = 0; i < 3; i++) {
		s->lba[i].now = (u8)(low >> (i * 8));
		if (ext)
			s->lba[i].hob = (u8)(lba >> (24 + i * 8));
	}
	s->device = (u8)((s->device & ~DEVICE_HEAD) | head);
}

/* 0 stands for the largest count. */
u32
ide_count(const struct ide_drive *d, bool ext)
{
	u32 n = d->s.count.now;

	if (ext)
		n |= (u32)d->s.count.hob << 8;
	return n != 0 ? n : ext ? 65536 : 256;
}

void
ide_put_count(struct ide_drive *d, bool ext, u32 count)
{
	d->s.count.now = (u8)count;
	if (ext)
		d->s.count.hob = (u8)(count >> 8);
}

/* Address and count into the job; false: the command ended, since not all of
 * the range is on the disk, and nothing of it was moved. */
static bool
take_range(struct ide_drive *d)
{
	struct ide_job *j = &d->channel->job;
	u64 max = d->s.max_sectors;

	j->count = ide_count(d, j->ext);
	if (!ide_address(d, j->ext, &j->lba)) {
		ide_fail(d, ERROR_IDNF, 0);
		return false;
	}
	if (range_inside(j->lba, j->count, max))
		return true;
	if (j->lba < max)
		ide_put_address(d, j->ext, max);
	ide_fail(d, ERROR_IDNF, 0);
	return false;
}

/* A block of the command was moved. */
static void
take_block(struct ide_job *j)
{
	j->lba += j->block;
	j->count -= j->block;
}

/* The registers of a command that moved everything (ATA-3 7.2.8). */
static void
put_end(struct ide_drive *d)
{
	struct ide_job *j = &d->channel->job;

	ide_put_address(d, j->ext, j->lba - 1);
	ide_put_count(d, j->ext, 0);
}

static u32
disk_flags(const struct ide_channel *c)
{
	return c->row->flags & ROW_FUA ? DISK_FUA : 0;
}

/* --- PIO ---------------------------------------------------------------- */

/* READ and WRITE MULTIPLE move several sectors with one DRQ. */
static bool
take_pio(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;

	if ((c->row->flags & ROW_MULTI) && d->s.multiple == 0) {
		ide_abort(d);
		return false;
	}
	return take_range(d);
}

static u32
next_block(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;
	struct ide_job *j = &c->job;
	u32 most = c->row->flags & ROW_MULTI ? d->s.multiple : 1;

	j->block = MIN(j->count, most);
	c->buffer_iov.iov_base = c->buffer;
	c->buffer_iov.iov_len = j->block * DISK_SECTOR_BYTES;
	return (u32)c->buffer_iov.iov_len;
}

static void
read_block(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;

	next_block(d);
	ide_submit(d, DISK_READ, 0, c->job.lba, c->job.block, &c->buffer_iov,
		   1);
}

void
ide_read(struct ide_drive *d)
{
	if (take_pio(d))
		read_block(d);
}

void
ide_read_done(struct ide_drive *d, int error, u64 error_lba)
{
	struct ide_channel *c = d->channel;

	if (error != 0)
		ide_fail_errno(d, error, error_lba);
	else
		ide_pio_in(d, c->buffer, c->job.block * DISK_SECTOR_BYTES,
			   true);
}

void
ide_read_moved(struct ide_drive *d)
{
	struct ide_job *j = &d->channel->job;

	take_block(j);
	if (j->count != 0) {
		read_block(d);
		return;
	}
	put_end(d);
	ide_end_moved(d);
}

void
ide_write(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;

	if (!take_pio(d))
		return;
	if (disk_read_only(d->disk))
		ide_abort(d);
	else
		ide_pio_out(d, c->buffer, next_block(d), false);
}

void
ide_write_moved(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;

	ide_submit(d, DISK_WRITE, disk_flags(c), c->job.lba, c->job.block,
		   &c->buffer_iov, 1);
}

/* WRITE VERIFY reads each block again before it goes on. */
void
ide_write_done(struct ide_drive *d, int error, u64 error_lba)
{
	struct ide_channel *c = d->channel;
	struct ide_job *j = &c->job;

	if (error != 0) {
		ide_fail_errno(d, error, error_lba);
		return;
	}
	if (j->opcode == 0x3c && j->op == DISK_WRITE) {
		ide_submit(d, DISK_VERIFY, 0, j->lba, j->block, NULL, 0);
		return;
	}
	take_block(j);
	if (j->count != 0) {
		ide_pio_out(d, c->buffer, next_block(d), true);
		return;
	}
	put_end(d);
	ide_end(d);
}

/* --- DMA ---------------------------------------------------------------- */

void
ide_dma_rw(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;

	if (!take_range(d))
		return;
	if ((c->row->flags & ROW_WRITE) && disk_read_only(d->disk))
		ide_abort(d);
	else
		ide_dma_wait(d);
}

/* The bus master has no memory to offer: what is read is lost, and what would
 * be written is not there. */
static void
dma_off(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;

	if (c->row->flags & ROW_WRITE) {
		ide_dma_over(c, true);
		ide_abort(d);
	} else {
		ide_dma_over(c, false);
		ide_end(d);
	}
}

/* The memory is known: straight from the guest's to the disk and back. With
 * too short a table whole sectors are moved, as far as it goes. */
void
ide_dma_rw_go(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;
	struct ide_job *j = &c->job;
	bool write = (c->row->flags & ROW_WRITE) != 0;

	j->block = j->count;
	switch (ide_dma_gather(c, (u64)j->count * DISK_SECTOR_BYTES)) {
	case IDE_DMA_OK:
		break;
	case IDE_DMA_SHORT:
		j->block = (u32)(c->dma.bytes / DISK_SECTOR_BYTES);
		if (j->block == 0) {
			ide_dma_short(d);
			return;
		}
		ide_dma_cut(c, (u64)j->block * DISK_SECTOR_BYTES);
		break;
	case IDE_DMA_ERROR:
		ide_dma_over(c, true);
		ide_abort(d);
		return;
	case IDE_DMA_OFF:
		dma_off(d);
		return;
	}
	ide_submit(d, write ? DISK_WRITE : DISK_READ, disk_flags(c), j->lba,
		   j->block, c->dma.iov, c->dma.pieces);
}

/* Memory, then bus master, then status. */
void
ide_dma_rw_done(struct ide_drive *d, int error, u64 error_lba)
{
	struct ide_channel *c = d->channel;
	struct ide_job *j = &c->job;

	if (!(c->row->flags & ROW_WRITE))
		ide_dma_touched(c);
	if (error != 0) {
		ide_dma_over(c, true);
		ide_fail_errno(d, error, error_lba);
	} else if (j->block < j->count) {
		ide_dma_short(d);
	} else {
		take_block(j);
		put_end(d);
		ide_dma_over(c, false);
		ide_end(d);
	}
}

/* --- without data ------------------------------------------------------- */

void
ide_verify(struct ide_drive *d)
{
	struct ide_job *j = &d->channel->job;

	if (take_range(d))
		ide_submit(d, DISK_VERIFY, 0, j->lba, j->count, NULL, 0);
}

/* BSY until the disk says that everything is durable (disk-rules 5, 7). A
 * packet device has nothing to flush. */
void
ide_flush(struct ide_drive *d)
{
	if (d->disk == NULL)
		ide_end(d);
	else
		ide_submit(d, DISK_FLUSH, 0, 0, 0, NULL, 0);
}

/* Any address will do: BIOSes seek with whatever is in the registers. */
void
ide_seek(struct ide_drive *d)
{
	ide_end(d);
}
