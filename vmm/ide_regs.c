/* SPDX-License-Identifier: BSD-2-Clause */
/* ide_regs - what the guest sees at the ports of a channel */
#include "vmm/ide_int.h"
#include "vmm/vmm_trace.h"

/* Offsets in the Command Block, table 9 of volume 2 */
enum reg {
	REG_DATA,
	REG_FEATURES, /* read: Error */
	REG_COUNT,
	REG_LBA_LOW,
	REG_LBA_MID,
	REG_LBA_HIGH,
	REG_DEVICE,
	REG_COMMAND, /* read: Status */
};

#define CONTROL_RESET 0x08 /* reserved bit that drivers set */

static unsigned
position(const struct ide_drive *d)
{
	return d->channel->number * 2 + d->unit;
}

/* --- INTRQ -------------------------------------------------------------- */

/* [I5]. The controller remembers a rising edge in the bus master status,
 * whatever the command was (82371AB 5.2). */
static void
drive_wire(struct ide_channel *c)
{
	struct ide_drive *d = ide_selected(c);
	bool level =
	    ide_present(d) && d->s.intrq && !(c->control & CONTROL_NIEN);

	if (level == c->wire)
		return;
	c->wire = level;
	if (level)
		c->dma.status |= BM_INTR;
	TRACE(ide_intrq, c->job.id, position(d), d->s.intrq, level);
	irqline_set(&c->ide->irq[c->number], level);
}

void
ide_intrq(struct ide_drive *d, bool on)
{
	d->s.intrq = on;
	drive_wire(d->channel);
}

static bool
has_command(const struct ide_channel *c)
{
	return c->phase >= IDE_BUSY && c->phase <= IDE_DELAY;
}

static void
check_channel(const struct ide_channel *c)
{
	const struct ide_drive *d = &c->drive[c->select];
	unsigned live = 0;

	assert((c->row != NULL) == has_command(c)); /* [I1] */
	if (ide_present(d))
		assert(((d->s.status & (STATUS_BSY | STATUS_DRQ)) != 0) ==
		       (c->phase != IDE_IDLE)); /* [I2] */
	for (unsigned i = 0; i < IDE_REQUESTS; i++)
		live += c->req[i].used && !c->req[i].dropped;
	assert(live == (c->phase == IDE_DISK)); /* [I3] */
	if (c->phase == IDE_PIO)
		assert(c->pio.at < c->pio.burst_end &&
		       c->pio.burst_end <= c->pio.size_bytes); /* [I4] */
	assert(c->wire == (ide_present(d) && d->s.intrq &&
			   !(c->control & CONTROL_NIEN))); /* [I5] */
}

void
ide_check(const struct ide *i)
{
	for (unsigned n = 0; n < IDE_CHANNELS; n++)
		check_channel(&i->channel[n]);
}

/* --- reset -------------------------------------------------------------- */

void
ide_signature(struct ide_drive *d, u8 error)
{
	bool packet = d->packet.ops != NULL;

	d->s.features = (struct ide_reg){0, 0};
	d->s.count = (struct ide_reg){1, 0};
	d->s.lba[0] = (struct ide_reg){1, 0};
	d->s.lba[1] = (struct ide_reg){packet ? 0x14 : 0, 0};
	d->s.lba[2] = (struct ide_reg){packet ? 0xeb : 0, 0};
	d->s.device = 0;
	d->s.error = error;
	/* 9.1: a packet device shows DRDY after its first command only */
	d->s.status = packet ? 0 : STATUS_DRDY | STATUS_DSC;
}

/* A slot for the next command, and nothing that still moves data. */
static bool
drained(const struct ide_channel *c)
{
	bool free = false;

	for (unsigned i = 0; i < IDE_REQUESTS; i++) {
		if (c->req[i].used && c->req[i].data)
			return false;
		free |= !c->req[i].used;
	}
	return free;
}

/* A drive that was selected while it was busy stays selected. */
static void
reset_over(struct ide_channel *c)
{
	c->phase = IDE_IDLE;
	for (unsigned i = 0; i < 2; i++) {
		struct ide_drive *d = &c->drive[i];

		if (!ide_present(d))
			continue;
		ide_signature(d, 1);
		d->s.device = c->select != 0 ? DEVICE_DEV : 0;
	}
	drive_wire(c);
}

void
ide_drained(struct ide_channel *c)
{
	if (c->phase == IDE_DRAIN && drained(c))
		reset_over(c);
}

/* Both drives are busy, and what they were doing is forgotten. */
static void
reset_begin(struct ide_channel *c, bool hard)
{
	ide_forget(c);
	c->select = 0;
	for (unsigned i = 0; i < 2; i++) {
		struct ide_drive *d = &c->drive[i];

		d->s.device = 0;
		if (!ide_present(d))
			continue;
		d->s.status = STATUS_BSY;
		d->s.intrq = false;
		d->s.sleep = false;
		ide_defaults(d, hard);
		if (d->packet.ops != NULL)
			d->packet.ops->reset(d->packet.dev, hard);
	}
	drive_wire(c);
}

static void
reset_end(struct ide_channel *c)
{
	c->phase = IDE_DRAIN;
	ide_drained(c);
}

void
ide_channel_reset(struct ide_channel *c)
{
	c->control = 0;
	reset_begin(c, true);
	ide_dma_reset(c);
	reset_end(c);
}

/* SRST works on its edges: set resets both drives, which stay busy until it is
 * cleared (9.2). */
static void
write_control(struct ide_channel *c, u8 v)
{
	u8 old = c->control;

	c->control = v & (u8)~CONTROL_RESET;
	drive_wire(c);
	if (!((old ^ v) & CONTROL_SRST))
		return;
	TRACE(ide_srst, c->job.id, c->number, v & CONTROL_SRST, c->phase);
	if (v & CONTROL_SRST) {
		reset_begin(c, false);
		c->phase = IDE_RESET;
	} else {
		reset_end(c);
	}
}

/* --- reading ------------------------------------------------------------ */

/* What the bus shows of a drive that is not there: device 0 answers with
 * zeros for a missing device 1 (9.16.1); DD7 of a lone device 1 is pulled
 * down; nobody pulls down an empty channel's. */
static u8
absent(const struct ide_channel *c)
{
	if (c->select == 1 && ide_present(&c->drive[0]))
		return 0;
	return ide_present(&c->drive[1]) ? 0x7f : 0xff;
}

static u8
read_reg(struct ide_channel *c, enum reg reg)
{
	struct ide_drive *d = ide_selected(c);
	const struct ide_reg *r;

	if (!ide_present(d))
		return absent(c);
	switch (reg) {
	case REG_DATA:
		return (u8)ide_data_read(c, 1);
	case REG_FEATURES:
		return d->s.error;
	case REG_DEVICE:
		return d->s.device;
	case REG_COMMAND:
		ide_intrq(d, false);
		return d->s.status;
	default:
		r = reg == REG_COUNT ? &d->s.count
				     : &d->s.lba[reg - REG_LBA_LOW];
		return c->control & CONTROL_HOB ? r->hob : r->now;
	}
}

u32
ide_command_read(void *dev, u16 port, unsigned size_bytes)
{
	struct ide_channel *c = dev;
	unsigned reg = port & 7;
	u32 v = 0;

	if (reg == REG_DATA && size_bytes > 1)
		return ide_present(ide_selected(c))
			   ? ide_data_read(c, size_bytes)
			   : absent(c) * 0x01010101U;
	for (unsigned i = 0; i < size_bytes; i++)
		v |= (u32)read_reg(c, (enum reg)(reg + i)) << (i * 8);
	TRACE(ide_reg_read, c->job.id, position(ide_selected(c)), reg, v);
	return v;
}

/* Alternate Status: as Status, but INTRQ stays. */
u32
ide_control_read(void *dev, u16 port, unsigned size_bytes)
{
	struct ide_channel *c = dev;
	struct ide_drive *d = ide_selected(c);

	(void)port;
	(void)size_bytes;
	return ide_present(d) ? d->s.status : absent(c);
}

/* --- writing ------------------------------------------------------------ */

static void
push(struct ide_reg *r, u8 v)
{
	r->hob = r->now;
	r->now = v;
}

static void
write_command(struct ide_channel *c, u8 v)
{
	struct ide_drive *d = ide_selected(c);

	/* DEVICE RESET is heard at any time */
	if (v == 0x08 && d->packet.ops != NULL && c->phase != IDE_RESET &&
	    c->phase != IDE_DRAIN)
		ide_device_reset(d);
	else if (c->phase == IDE_IDLE)
		ide_command(c, v);
}

/* Drivers wait for both drives in turn when they have reset them. */
static bool
may_select(const struct ide_channel *c, enum reg reg)
{
	return reg == REG_DEVICE &&
	       (c->phase == IDE_RESET || c->phase == IDE_DRAIN);
}

/* Both drives hear what is written to the Command Block. */
static void
write_reg(struct ide_channel *c, enum reg reg, u8 v)
{
	c->control &= (u8)~CONTROL_HOB;
	if (reg == REG_DATA) {
		ide_data_write(c, 1, v);
		return;
	}
	if (reg == REG_COMMAND) {
		write_command(c, v);
		return;
	}
	if (c->phase != IDE_IDLE && !may_select(c, reg))
		return;
	for (unsigned i = 0; i < 2; i++) {
		struct ide_drive_state *s = &c->drive[i].s;

		if (reg == REG_FEATURES)
			push(&s->features, v);
		else if (reg == REG_COUNT)
			push(&s->count, v);
		else if (reg == REG_DEVICE)
			s->device = v;
		else
			push(&s->lba[reg - REG_LBA_LOW], v);
	}
	if (reg == REG_DEVICE) {
		c->select = v & DEVICE_DEV ? 1 : 0;
		drive_wire(c);
	}
}

void
ide_command_write(void *dev, u16 port, unsigned size_bytes, u32 v)
{
	struct ide_channel *c = dev;
	unsigned reg = port & 7;

	if (reg == REG_DATA && size_bytes > 1) {
		ide_data_write(c, size_bytes, v);
		return;
	}
	TRACE(ide_reg_write, c->job.id, position(ide_selected(c)), reg, v);
	for (unsigned i = 0; i < size_bytes; i++)
		write_reg(c, (enum reg)(reg + i), (u8)(v >> (i * 8)));
}

void
ide_control_write(void *dev, u16 port, unsigned size_bytes, u32 v)
{
	(void)port;
	(void)size_bytes;
	write_control(dev, (u8)v);
}
