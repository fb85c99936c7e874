/* SPDX-License-Identifier: BSD-2-Clause */
/* ide_dma - the bus master
 *
 * A PRD table entry (82371AB 5.2.3), of which at most IDE_PIECES_MAX are used:
 *
 *      31                                        1  0
 *      +-----------------------------------------+--+
 *      | address of a region of memory           | 0|
 *      +--+--------------+-----------------------+--+
 *      |EO|  reserved    | bytes, 0 is 64 KiB    | 0|
 *      +--+--------------+-----------------------+--+
 *
 * What Active and Interrupt say after a transfer (5.2.2): 0 and 1, the table
 * was as long as the transfer; 1 and 1, it was longer; 0 and 0, it was
 * shorter, and the drive is still waiting for the rest.
 */
#include "base/iov.h"
#include "vmm/ide_int.h"
#include "vmm/vmm_trace.h"

#define PRD_BYTES 8
#define PRD_END	  BIT(31)

enum bm_reg { BM_COMMAND, BM_STATUS = 2, BM_TABLE = 4 };

/* --- the table ---------------------------------------------------------- */

static bool
may_master(const struct ide_channel *c)
{
	return get_le16(c->ide->pci.s.config + PCI_COMMAND) &
	       PCI_COMMAND_MASTER;
}

/* The next entry becomes what is left; false: not memory. */
static bool
next_entry(struct ide_channel *c)
{
	struct ide_dma *m = &c->dma;
	u32 gpa = (m->table & ~3U) + m->index * PRD_BYTES;
	u8 prd[PRD_BYTES];
	u32 size;

	if (!ram_read(c->ide->ram, gpa, prd, sizeof(prd)))
		return false;
	m->index++;
	size = get_le32(prd + 4);
	m->end = (size & PRD_END) != 0 || m->index == IDE_PIECES_MAX;
	m->left_gpa = get_le32(prd) & ~1U;
	m->left_bytes = size & 0xfffe;
	if (m->left_bytes == 0)
		m->left_bytes = 0x10000;
	return true;
}

/* Adds a piece, to the one before where they touch. */
static void
add_piece(struct ide_dma *m, u32 gpa, u8 *host, u32 size_bytes)
{
	struct iovec *v = &m->iov[m->pieces];

	if (m->pieces != 0 && (u8 *)v[-1].iov_base + v[-1].iov_len == host &&
	    m->gpa[m->pieces - 1] + v[-1].iov_len == gpa) {
		v[-1].iov_len += size_bytes;
	} else {
		assert(m->pieces < IDE_PIECES_MAX);
		*v = (struct iovec){host, size_bytes};
		m->gpa[m->pieces++] = gpa;
	}
	m->bytes += size_bytes;
}

static enum ide_dma_got
gather(struct ide_channel *c, u64 bytes)
{
	struct ide_dma *m = &c->dma;

	while (m->bytes < bytes) {
		u32 n;
		u8 *host;

		if (m->left_bytes == 0 && m->end)
			return IDE_DMA_SHORT;
		if (m->left_bytes == 0 && !next_entry(c))
			return IDE_DMA_ERROR;
		n = (u32)MIN(m->left_bytes, bytes - m->bytes);
		host = ram_at(c->ide->ram, m->left_gpa, n);
		if (host == NULL)
			return IDE_DMA_ERROR;
		add_piece(m, m->left_gpa, host, n);
		m->left_gpa += n;
		m->left_bytes -= n;
	}
	return IDE_DMA_OK;
}

enum ide_dma_got
ide_dma_gather(struct ide_channel *c, u64 bytes)
{
	enum ide_dma_got got = IDE_DMA_OFF;

	c->dma.pieces = 0;
	c->dma.bytes = 0;
	if (may_master(c))
		got = gather(c, bytes);
	TRACE(ide_dma_gather, c->job.id, c->dma.bytes, c->dma.pieces, got);
	return got;
}

void
ide_dma_cut(struct ide_channel *c, u64 bytes)
{
	struct ide_dma *m = &c->dma;

	assert(bytes != 0 && bytes <= m->bytes);
	while (m->bytes - m->iov[m->pieces - 1].iov_len >= bytes)
		m->bytes -= m->iov[--m->pieces].iov_len;
	m->iov[m->pieces - 1].iov_len -= m->bytes - bytes;
	m->bytes = bytes;
}

void
ide_dma_touched(struct ide_channel *c)
{
	struct ide_dma *m = &c->dma;

	for (unsigned i = 0; i < m->pieces; i++)
		ram_touched(c->ide->ram, m->gpa[i], m->iov[i].iov_len);
}

enum ide_dma_got
ide_dma_copy(struct ide_channel *c, u8 *data, u64 size_bytes, bool to_memory)
{
	struct ide_dma *m = &c->dma;
	enum ide_dma_got got = ide_dma_gather(c, size_bytes);

	if (got != IDE_DMA_OK && got != IDE_DMA_SHORT)
		return got;
	if (to_memory) {
		iov_write(m->iov, m->pieces, 0, data, m->bytes);
		ide_dma_touched(c);
	} else {
		iov_read(data, m->iov, m->pieces, 0, m->bytes);
	}
	return got;
}

/* --- transfers ---------------------------------------------------------- */

/* Both sides are ready. */
static void
run(struct ide_channel *c)
{
	assert(c->phase == IDE_DMA);
	c->phase = IDE_BUSY;
	c->row->moved(ide_selected(c));
}

void
ide_dma_wait(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;

	assert(c->phase == IDE_BUSY);
	c->phase = IDE_DMA;
	if (c->dma.status & BM_ACTIVE)
		run(c);
}

void
ide_dma_over(struct ide_channel *c, bool error)
{
	struct ide_dma *m = &c->dma;

	if (error)
		m->status |= BM_ERROR;
	if (error || m->stop || (m->end && m->left_bytes == 0))
		m->status &= (u8)~BM_ACTIVE;
	m->stop = false;
}

/* The drive would wait for the rest until a reset, with DRQ set. It gives up
 * instead, and no interrupt tells so. */
void
ide_dma_short(struct ide_drive *d)
{
	ide_dma_over(d->channel, false);
	d->channel->dma.status &= (u8)~BM_ACTIVE;
	ide_end_moved(d);
}

void
ide_dma_reset(struct ide_channel *c)
{
	struct ide_dma *m = &c->dma;

	m->command = 0;
	m->status = BM_CAPABLE; /* as a BIOS says of drives that can */
	m->table = 0;
	m->index = m->left_gpa = m->left_bytes = 0;
	m->end = m->stop = false;
}

/* --- registers ---------------------------------------------------------- */

/* START begins with the first entry on its rising edge. Cleared while data
 * are in flight, Active stays until they have arrived. */
static void
write_start(struct ide_channel *c, u8 v)
{
	struct ide_dma *m = &c->dma;
	u8 old = m->command;

	m->command = v & (BM_START | BM_TO_MEMORY);
	if (v & ~old & BM_START) {
		m->index = m->left_gpa = m->left_bytes = 0;
		m->end = m->stop = false;
		m->status |= BM_ACTIVE;
		if (c->phase == IDE_DMA)
			run(c);
	} else if (old & ~v & BM_START) {
		if (c->phase == IDE_DISK && (c->row->flags & ROW_DMA))
			m->stop = true;
		else
			m->status &= (u8)~BM_ACTIVE;
	}
}

static u8
read_byte(const struct ide_channel *c, unsigned reg)
{
	switch (reg) {
	case BM_COMMAND:
		return c->dma.command;
	case BM_STATUS:
		return c->dma.status;
	case BM_TABLE ... BM_TABLE + 3:
		return (u8)(c->dma.table >> ((reg - BM_TABLE) * 8));
	default:
		return 0;
	}
}

static void
write_byte(struct ide_channel *c, unsigned reg, u8 v)
{
	struct ide_dma *m = &c->dma;
	unsigned shift;

	switch (reg) {
	case BM_STATUS:
		m->status &= (u8) ~(BM_CAPABLE | (v & (BM_ERROR | BM_INTR)));
		m->status |= v & BM_CAPABLE;
		break;
	case BM_TABLE ... BM_TABLE + 3:
		shift = (reg - BM_TABLE) * 8;
		m->table &= ~(0xffU << shift);
		m->table |= (u32)v << shift;
		m->table &= ~3U;
		break;
	case BM_COMMAND:
		write_start(c, v);
		break;
	}
}

u32
ide_bm_read(void *dev, u16 port, unsigned size_bytes)
{
	struct ide *i = dev;
	const struct ide_channel *c = &i->channel[port >> 3 & 1];
	u32 v = 0;

	for (unsigned n = 0; n < size_bytes; n++)
		v |= (u32)read_byte(c, (port & 7) + n) << (n * 8);
	return v;
}

/* The command comes last: a wide write acknowledges before it starts. */
void
ide_bm_write(void *dev, u16 port, unsigned size_bytes, u32 v)
{
	struct ide *i = dev;
	struct ide_channel *c = &i->channel[port >> 3 & 1];

	TRACE(ide_bm_write, c->job.id, c->number, port & 7, v);
	for (unsigned n = size_bytes; n-- > 0;)
		write_byte(c, (port & 7) + n, (u8)(v >> (n * 8)));
}
