/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/ioapic.h"

/* Memory-mapped registers, section 3.1, and what they index, 3.2 */
#define IOREGSEL      0x00
#define IOWIN	      0x10
#define REG_ID	      0x00
#define REG_VERSION   0x01
#define REG_ARB	      0x02
#define REG_TABLE     0x10
#define REG_TABLE_END (REG_TABLE + 2 * IOAPIC_PINS)

#define VERSION (0x11 | (IOAPIC_PINS - 1) << 16)
#define ID_MASK 0x0f000000

/* A redirection entry, 3.2.4 */
#define RTE_VECTOR(e)  ((u8)(e))
#define RTE_MODE(e)    ((enum apic_mode)((e) >> 8 & 7))
#define RTE_LOGICAL    BIT(11)
#define RTE_STATUS     BIT(12)
#define RTE_REMOTE_IRR BIT(14)
#define RTE_LEVEL      BIT(15)
#define RTE_MASKED     BIT(16)
#define RTE_DEST(e)    ((u8)((e) >> 56))
#define RTE_READ_ONLY  (RTE_STATUS | RTE_REMOTE_IRR)
#define RTE_RESERVED   BITS(55, 17)

static void
send(struct ioapic *io, unsigned pin)
{
	u64 e = io->s.redirection[pin];

	lapic_message(io->lapic, RTE_DEST(e), e & RTE_LOGICAL, RTE_MODE(e),
		      RTE_VECTOR(e), e & RTE_LEVEL);
}

/* A level input sends once, and again only after the EOI. */
static void
service_level(struct ioapic *io, unsigned pin)
{
	u64 *e = &io->s.redirection[pin];

	if (!(*e & RTE_LEVEL) || (*e & (RTE_MASKED | RTE_REMOTE_IRR)) ||
	    !(io->s.line >> pin & 1))
		return;
	if (RTE_MODE(*e) == APIC_FIXED || RTE_MODE(*e) == APIC_LOWEST)
		*e |= RTE_REMOTE_IRR;
	send(io, pin);
}

void
ioapic_set(struct ioapic *io, unsigned pin, bool level)
{
	bool old;

	assert(pin < IOAPIC_PINS);
	old = io->s.line >> pin & 1;
	if (level == old)
		return;
	io->s.line ^= 1U << pin;
	if (!level)
		return;
	if (io->s.redirection[pin] & RTE_LEVEL)
		service_level(io, pin);
	else if (!(io->s.redirection[pin] & RTE_MASKED))
		send(io, pin);
}

void
ioapic_eoi(struct ioapic *io, u8 vector)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		u64 *e = &io->s.redirection[pin];

		if (!(*e & RTE_REMOTE_IRR) || RTE_VECTOR(*e) != vector)
			continue;
		*e &= ~RTE_REMOTE_IRR;
		service_level(io, pin);
	}
}

static void
write_entry(struct ioapic *io, unsigned reg, u32 v)
{
	unsigned pin = (reg - REG_TABLE) / 2;
	u64 *e = &io->s.redirection[pin], new;

	if (reg & 1)
		new = (*e & 0xffffffff) | (u64)v << 32;
	else
		new = (*e & ~0xffffffffULL) | v;
	new &= ~(RTE_READ_ONLY | RTE_RESERVED);
	new |= *e &RTE_REMOTE_IRR;
	/* Remote IRR has no meaning for edges: software clears a stuck one by
	 * switching to edge and back. */
	if (!(new &RTE_LEVEL))
		new &= ~RTE_REMOTE_IRR;
	*e = new;
	service_level(io, pin);
}

static u32
read_reg(const struct ioapic *io)
{
	unsigned reg = io->s.select;
	u64 e;

	switch (reg) {
	case REG_ID:
	case REG_ARB:
		return io->s.id;
	case REG_VERSION:
		return VERSION;
	case REG_TABLE ... REG_TABLE_END - 1:
		e = io->s.redirection[(reg - REG_TABLE) / 2];
		return (u32)(reg & 1 ? e >> 32 : e);
	default:
		return 0;
	}
}

u64
ioapic_read(void *dev, u64 off, unsigned size_bytes)
{
	struct ioapic *io = dev;

	(void)size_bytes;
	if (off == IOREGSEL)
		return io->s.select;
	return off == IOWIN ? read_reg(io) : 0;
}

void
ioapic_write(void *dev, u64 off, unsigned size_bytes, u64 v)
{
	struct ioapic *io = dev;

	if (off == IOREGSEL) {
		io->s.select = (u8)v;
	} else if (off == IOWIN && size_bytes >= 4) {
		if (io->s.select == REG_ID)
			io->s.id = (u32)v & ID_MASK;
		else if (io->s.select >= REG_TABLE &&
			 io->s.select < REG_TABLE_END)
			write_entry(io, io->s.select, (u32)v);
	}
}

void
ioapic_init(struct ioapic *io, struct lapic *lapic)
{
	memset(io, 0, sizeof(*io));
	io->lapic = lapic;
	ioapic_reset(io);
}

void
ioapic_reset(struct ioapic *io)
{
	u32 line = io->s.line;

	memset(&io->s, 0, sizeof(io->s));
	io->s.line = line;
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		io->s.redirection[i] = RTE_MASKED;
}
