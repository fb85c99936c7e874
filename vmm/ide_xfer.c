/* SPDX-License-Identifier: BSD-2-Clause */
/* ide_xfer - data by PIO, and requests to the disk */
#include "vmm/ide_int.h"
#include "vmm/vmm_trace.h"

/* --- PIO ---------------------------------------------------------------- */

static void
pio_begin(struct ide_drive *d, u8 *data, u32 size_bytes, bool out, bool intrq)
{
	struct ide_channel *c = d->channel;

	assert(c->phase == IDE_BUSY && size_bytes != 0);
	c->pio = (struct ide_pio){.data = data,
				  .size_bytes = size_bytes,
				  .burst_end = size_bytes,
				  .out = out};
	c->phase = IDE_PIO;
	d->s.status = STATUS_DRDY | STATUS_DSC | STATUS_DRQ;
	if (intrq)
		ide_intrq(d, true);
}

void
ide_pio_in(struct ide_drive *d, u8 *data, u32 size_bytes, bool intrq)
{
	pio_begin(d, data, size_bytes, false, intrq);
}

void
ide_pio_out(struct ide_drive *d, u8 *data, u32 size_bytes, bool intrq)
{
	pio_begin(d, data, size_bytes, true, intrq);
}

/* So many bytes of the burst were moved. */
static void
advance(struct ide_channel *c, u32 bytes)
{
	struct ide_drive *d = ide_selected(c);
	struct ide_pio *p = &c->pio;

	p->at += bytes;
	assert(p->at <= p->burst_end);
	if (p->at != p->burst_end)
		return;
	c->phase = IDE_BUSY;
	d->s.status = STATUS_BSY | STATUS_DRDY | STATUS_DSC;
	if (p->at < p->size_bytes)
		ide_packet_burst(d);
	else
		c->row->moved(d);
}

static bool
moving(const struct ide_channel *c, bool out)
{
	return c->phase == IDE_PIO && c->pio.out == out;
}

/* One word; an odd end has one byte. */
static u16
read_word(struct ide_channel *c)
{
	const struct ide_pio *p = &c->pio;
	const u8 *data = p->data + p->at;
	u32 n = MIN(p->burst_end - p->at, 2U);
	u16 v;

	v = n == 2 ? get_le16(data) : *data;
	advance(c, n);
	return v;
}

static void
write_word(struct ide_channel *c, u16 v)
{
	const struct ide_pio *p = &c->pio;
	u8 *data = p->data + p->at;
	u32 n = MIN(p->burst_end - p->at, 2U);

	data[0] = (u8)v;
	if (n == 2)
		data[1] = (u8)(v >> 8);
	advance(c, n);
}

/* Each access of 8 or 16 bits moves a word, of 32 bits two. */
u32
ide_data_read(struct ide_channel *c, unsigned size_bytes)
{
	u32 v = 0;

	if (moving(c, false))
		v = read_word(c);
	if (size_bytes == 4 && moving(c, false))
		v |= (u32)read_word(c) << 16;
	return size_bytes == 1 ? v & 0xff : v;
}

void
ide_data_write(struct ide_channel *c, unsigned size_bytes, u32 v)
{
	if (moving(c, true))
		write_word(c, (u16)v);
	if (size_bytes == 4 && moving(c, true))
		write_word(c, (u16)(v >> 16));
}

/* As many whole items of a string instruction as the burst has room for. */
u32
ide_data_string(void *dev, u16 port, unsigned size_bytes, bool write, u8 *data,
		u32 count)
{
	struct ide_channel *c = dev;
	struct ide_pio *p = &c->pio;
	u32 bytes;

	if ((port & 7) != 0 || size_bytes == 1 || !moving(c, write) ||
	    !ide_present(ide_selected(c)))
		return 0;
	count = MIN(count, (p->burst_end - p->at) / size_bytes);
	bytes = count * size_bytes;
	if (bytes == 0)
		return 0;
	if (write)
		memcpy(p->data + p->at, data, bytes);
	else
		memcpy(data, p->data + p->at, bytes);
	advance(c, bytes);
	return count;
}

/* --- the disk ----------------------------------------------------------- */

static void
answer(struct ide_request *q)
{
	struct ide_channel *c = q->channel;
	struct ide_drive *d = q->r.ctx;
	u64 id = c->job.id;

	assert(q->used);
	q->used = false;
	TRACE(ide_answer, q->dropped ? 0 : id, q->r.id, -q->r.error,
	      q->r.error_lba);
	if (q->dropped) {
		ide_drained(c);
		return;
	}
	assert(c->phase == IDE_DISK && c->row != NULL); /* [I3] */
	c->phase = IDE_BUSY;
	c->row->done(d, q->r.error, q->r.error_lba);
}

static void
disk_done(struct disk_req *r)
{
	answer(CONTAINER_OF(r, struct ide_request, r));
}

/* One is free while a command runs: ide_drained() sees to it. */
static struct ide_request *
free_request(struct ide_channel *c)
{
	unsigned i = 0;

	while (i < IDE_REQUESTS && c->req[i].used)
		i++;
	assert(i < IDE_REQUESTS);
	return &c->req[i];
}

void
ide_submit(struct ide_drive *d, enum disk_op op, u32 flags, u64 lba, u32 count,
	   const struct iovec *iov, unsigned iov_count)
{
	struct ide_channel *c = d->channel;
	struct ide_request *q = free_request(c);
	bool now;

	assert(c->phase == IDE_BUSY && c->row != NULL);
	c->phase = IDE_DISK;
	c->job.op = op;
	q->used = true;
	q->dropped = false;
	q->data = iov != NULL;
	q->channel = c;
	q->r = (struct disk_req){.op = op,
				 .flags = flags,
				 .lba = lba,
				 .count = count,
				 .iov = iov,
				 .iov_count = iov_count,
				 .done = disk_done,
				 .ctx = d};
	now = disk_submit(d->disk, &q->r);
	TRACE(ide_submit, c->job.id, q->r.id, op, count);
	if (now)
		answer(q);
}
