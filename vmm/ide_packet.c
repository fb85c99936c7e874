/* SPDX-License-Identifier: BSD-2-Clause */
/* ide_packet - the PACKET protocol, for the devices that speak it
 *
 * job.step: 0 the packet itself is on its way, 1 the device has it. By DMA the
 * device is asked for more in a loop and not from inside its own answer, so
 * that a long transfer that is all in memory does not pile up on the stack.
 */
#include "vmm/ide_int.h"

#define PACKET_BYTES 12
#define LIMIT_MAX    0xfffe

static void
forget_device(struct ide_drive *d)
{
	d->packet.ops->reset(d->packet.dev, false);
}

/* --- the packet --------------------------------------------------------- */

/* 6.24: DRQ comes at once and without INTRQ, as word 0 promises. */
void
ide_packet(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;

	if (d->s.features.now & BIT(1)) { /* OVL */
		ide_abort(d);
		return;
	}
	c->job.packet_dma = d->s.features.now & BIT(0);
	c->job.limit = (u16)(d->s.lba[1].now | d->s.lba[2].now << 8);
	c->job.step = 0;
	ide_pio_out(d, c->buffer, PACKET_BYTES, false);
	d->s.count.now = REASON_CD;
}

void
ide_device_reset(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;
	u8 device = d->s.device & DEVICE_DEV;

	ide_forget(c);
	forget_device(d);
	ide_signature(d, 1);
	d->s.device = device;
	d->s.sleep = false;
	c->phase = IDE_IDLE;
	ide_intrq(d, false);
}

/* --- data --------------------------------------------------------------- */

/* The next DRQ block: at most the byte count limit, even but for the end. */
void
ide_packet_burst(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;
	struct ide_pio *p = &c->pio;
	u32 limit = c->job.limit, left = p->size_bytes - p->at;

	if (limit == 0 || limit > LIMIT_MAX)
		limit = LIMIT_MAX;
	if (limit < left)
		limit = MAX(limit & ~1U, 2U);
	limit = MIN(limit, left);
	p->burst_end = p->at + limit;
	d->s.lba[1].now = (u8)limit;
	d->s.lba[2].now = (u8)(limit >> 8);
	d->s.count.now = p->out ? 0 : REASON_IO;
	d->s.status = STATUS_DRDY | STATUS_DSC | STATUS_DRQ;
	c->phase = IDE_PIO;
	ide_intrq(d, true);
}

/* Moves what the device has offered; false: the command is over. */
static bool
dma_step(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;
	struct ide_pio *p = &c->pio;

	switch (ide_dma_copy(c, p->data, p->size_bytes, !p->out)) {
	case IDE_DMA_OK:
		d->packet.ops->moved(d->packet.dev);
		return true;
	case IDE_DMA_SHORT:
		forget_device(d);
		ide_dma_short(d);
		return false;
	case IDE_DMA_OFF:
		if (!p->out) {
			d->packet.ops->moved(d->packet.dev);
			return true;
		}
		break;
	case IDE_DMA_ERROR:
		break;
	}
	forget_device(d);
	ide_dma_over(c, true);
	ide_fail(d, ERROR_ABRT, 0);
	return false;
}

/* Both sides are ready, and as long as they are. */
static void
dma_run(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;

	assert(c->phase == IDE_BUSY && !c->job.moving);
	c->job.moving = true;
	while (dma_step(d) && c->phase == IDE_DMA &&
	       (c->dma.status & BM_ACTIVE))
		c->phase = IDE_BUSY;
	c->job.moving = false;
}

static void
offer(struct ide_drive *d, u8 *data, u32 size_bytes, bool out)
{
	struct ide_channel *c = d->channel;

	assert(c->phase == IDE_BUSY && size_bytes != 0);
	c->pio = (struct ide_pio){.data = data,
				  .size_bytes = size_bytes,
				  .out = out};
	if (!c->job.packet_dma)
		ide_packet_burst(d);
	else if (c->job.moving)
		c->phase = IDE_DMA; /* dma_run() goes on */
	else
		ide_dma_wait(d);
}

void
ide_packet_in(struct ide_drive *d, u8 *data, u32 size_bytes)
{
	offer(d, data, size_bytes, false);
}

void
ide_packet_out(struct ide_drive *d, u8 *data, u32 size_bytes)
{
	offer(d, data, size_bytes, true);
}

/* The row's handler: the packet has come, a PIO transfer is over, or the bus
 * master was started. */
void
ide_packet_moved(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;
	u8 cdb[PACKET_BYTES];

	if (c->job.step == 0) {
		c->job.step = 1;
		memcpy(cdb, c->buffer, sizeof(cdb));
		d->packet.ops->packet(d->packet.dev, cdb, c->job.packet_dma);
	} else if (c->job.packet_dma) {
		dma_run(d);
	} else {
		d->packet.ops->moved(d->packet.dev);
	}
}

void
ide_packet_done(struct ide_drive *d, u8 error)
{
	struct ide_channel *c = d->channel;

	assert(c->phase == IDE_BUSY && c->job.step == 1);
	d->s.count.now = REASON_CD | REASON_IO;
	if (c->job.packet_dma)
		ide_dma_over(c, false);
	if (error != 0)
		ide_fail(d, error, 0);
	else
		ide_end(d);
}

/* --- IDENTIFY PACKET DEVICE --------------------------------------------- */

void
ide_packet_identify(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;
	u16 word[256] = {0};

	d->packet.ops->identify(d->packet.dev, word);
	ide_identify_modes(d, word);
	ide_identify_checksum(word);
	memcpy(c->buffer, word, sizeof(word));
	ide_pio_in(d, c->buffer, sizeof(word), true);
}
