/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/i8259.h"

#define CASCADE	  2
#define ELCR_PORT 0x4d0

/* 82371AB 4.2.5: the timer, keyboard, cascade, RTC and FPU inputs are always
 * edge triggered. */
static const u8 elcr_mask[2] = {0xf8, 0xde};

#define ICW1	  BIT(4)
#define ICW1_IC4  BIT(0)
#define ICW1_SNGL BIT(1)
#define ICW4_AEOI BIT(1)
#define ICW4_SFNM BIT(4)
#define OCW3	  BIT(3)
#define OCW3_RIS  BIT(0)
#define OCW3_RR	  BIT(1)
#define OCW3_P	  BIT(2)
#define OCW3_SMM  BIT(5)
#define OCW3_ESMM BIT(6)

/* OCW2 bits 7..5: R, SL, EOI */
enum {
	OCW2_ROTATE_AEOI_CLEAR,
	OCW2_EOI,
	OCW2_NOP,
	OCW2_EOI_SPECIFIC,
	OCW2_ROTATE_AEOI_SET,
	OCW2_ROTATE_EOI,
	OCW2_SET_PRIORITY,
	OCW2_ROTATE_EOI_SPECIFIC
};

void
i8259_reset(struct i8259 *p)
{
	for (int i = 0; i < 2; i++)
		p->chip[i] = (struct i8259_chip){.lowest = 7, .imr = 0xff};
}

/* How far input n is from the highest priority, 0..7. */
static unsigned
rank(const struct i8259_chip *c, unsigned n)
{
	return (n - c->lowest - 1) & 7;
}

/* The set bit of highest priority, or 8. */
static unsigned
highest(const struct i8259_chip *c, u8 set)
{
	for (unsigned i = 0; i < 8; i++) {
		unsigned n = (c->lowest + 1 + i) & 7;

		if (set & BIT(n))
			return n;
	}
	return 8;
}

/* The input that INT stands for now, or 8. An input in service blocks itself
 * and all below it; in special mask mode only inputs in service and unmasked
 * block; in special fully nested mode the cascade does not block itself. */
static unsigned
request(const struct i8259_chip *c, bool is_master)
{
	unsigned n = highest(c, c->irr & ~c->imr), served;
	u8 isr = c->isr;

	if (n == 8)
		return 8;
	if (c->special_mask)
		isr &= (u8)~c->imr;
	if (is_master && c->nested && n == CASCADE)
		isr &= (u8)~BIT(CASCADE);
	if (isr == 0)
		return n;
	if (c->special_mask)
		return isr & BIT(n) ? 8 : n;
	served = highest(c, isr);
	return rank(c, n) < rank(c, served) ? n : 8;
}

static void
set_input(struct i8259_chip *c, unsigned n, bool level)
{
	u8 bit = (u8)BIT(n);

	if (level && ((c->elcr & bit) || !(c->line & bit)))
		c->irr |= bit;
	else if (!level && (c->elcr & bit))
		c->irr &= (u8)~bit;
	c->line = level ? c->line | bit : c->line & (u8)~bit;
}

/* Carries the second chip's INT to the first. A request that is still there
 * after one was acknowledged is a new edge on the cascade. */
static void
cascade(struct i8259 *p)
{
	bool level = request(&p->chip[1], false) != 8;
	struct i8259_chip *m = &p->chip[0];

	set_input(m, CASCADE, level);
	if (level)
		m->irr |= BIT(CASCADE);
	else
		m->irr &= (u8)~BIT(CASCADE);
}

void
i8259_set(void *ctx, unsigned irq, bool level)
{
	struct i8259 *p = ctx;

	assert(irq < 16 && irq != CASCADE);
	set_input(&p->chip[irq >> 3], irq & 7, level);
	if (irq >= 8)
		cascade(p);
}

bool
i8259_pending(const struct i8259 *p)
{
	return request(&p->chip[0], true) != 8;
}

/* INTA (or a poll) for one chip: the input, which enters service. */
static void
serve(struct i8259_chip *c, unsigned n)
{
	if (c->auto_eoi) {
		if (c->rotate_aeoi)
			c->lowest = (u8)n;
	} else {
		c->isr |= (u8)BIT(n);
	}
	if (!(c->elcr & BIT(n)))
		c->irr &= (u8)~BIT(n);
}

u8
i8259_ack(struct i8259 *p)
{
	struct i8259_chip *m = &p->chip[0], *s = &p->chip[1];
	unsigned n = request(m, true);

	if (n == 8)
		return m->base | 7;
	serve(m, n);
	if (n != CASCADE)
		return m->base | (u8)n;
	n = request(s, false);
	if (n == 8) {
		cascade(p);
		return s->base | 7;
	}
	serve(s, n);
	cascade(p);
	return s->base | (u8)n;
}

static void
end_of_interrupt(struct i8259_chip *c, unsigned n, bool rotate)
{
	if (n == 8)
		return;
	c->isr &= (u8)~BIT(n);
	if (rotate)
		c->lowest = (u8)n;
}

static void
write_ocw2(struct i8259_chip *c, u8 v)
{
	/* a non-specific EOI passes over inputs that special mask mode hides */
	u8 served = c->special_mask ? c->isr & ~c->imr : c->isr;

	switch (v >> 5) {
	case OCW2_ROTATE_AEOI_CLEAR:
	case OCW2_ROTATE_AEOI_SET:
		c->rotate_aeoi = v >> 5 == OCW2_ROTATE_AEOI_SET;
		break;
	case OCW2_EOI:
	case OCW2_ROTATE_EOI:
		end_of_interrupt(c, highest(c, served),
				 v >> 5 == OCW2_ROTATE_EOI);
		break;
	case OCW2_EOI_SPECIFIC:
	case OCW2_ROTATE_EOI_SPECIFIC:
		end_of_interrupt(c, v & 7, v >> 5 == OCW2_ROTATE_EOI_SPECIFIC);
		break;
	case OCW2_SET_PRIORITY:
		c->lowest = v & 7;
		break;
	case OCW2_NOP:
		break;
	}
}

static void
write_ocw3(struct i8259_chip *c, u8 v)
{
	if (v & OCW3_ESMM)
		c->special_mask = v & OCW3_SMM;
	if (v & OCW3_P)
		c->poll = true;
	else if (v & OCW3_RR)
		c->read_isr = v & OCW3_RIS;
}

/* ICW1 clears the mask, the edge latches and the service bits. ELCR and the
 * levels of the lines are not the chip's to forget. */
static void
write_icw1(struct i8259_chip *c, u8 v)
{
	*c = (struct i8259_chip){
	    .line = c->line,
	    .elcr = c->elcr,
	    .irr = c->line & c->elcr,
	    .base = c->base,
	    .lowest = 7,
	    .icw_next = 2,
	    .icw4_wanted = v & ICW1_IC4,
	    .single = v & ICW1_SNGL,
	};
}

static void
write_data(struct i8259_chip *c, u8 v)
{
	switch (c->icw_next) {
	case 2:
		c->base = v & 0xf8;
		c->icw_next = c->single ? (c->icw4_wanted ? 4 : 0) : 3;
		break;
	case 3: /* the cascade is wired, whatever ICW3 says */
		c->icw_next = c->icw4_wanted ? 4 : 0;
		break;
	case 4:
		c->auto_eoi = v & ICW4_AEOI;
		c->nested = v & ICW4_SFNM;
		c->icw_next = 0;
		break;
	default:
		c->imr = v;
	}
}

void
i8259_write(void *dev, u16 port, unsigned size_bytes, u32 value)
{
	struct i8259 *p = dev;
	struct i8259_chip *c = &p->chip[(port & 0x80) != 0];
	u8 v = (u8)value;

	(void)size_bytes;
	if ((port & ~1) == ELCR_PORT) {
		c = &p->chip[port & 1];
		c->elcr = v & elcr_mask[port & 1];
		/* what became a level input follows its line from now on */
		c->irr = (c->irr & ~c->elcr) | (c->line & c->elcr);
	} else if (port & 1) {
		write_data(c, v);
	} else if (v & ICW1) {
		write_icw1(c, v);
	} else if (v & OCW3) {
		write_ocw3(c, v);
	} else {
		write_ocw2(c, v);
	}
	cascade(p);
}

/* OCW3 poll: acknowledges like INTA; bit 7 says whether there was a request. */
static u8
poll(struct i8259 *p, struct i8259_chip *c)
{
	unsigned n = request(c, c == &p->chip[0]);

	c->poll = false;
	if (n == 8)
		return 0;
	serve(c, n);
	cascade(p);
	return 0x80 | (u8)n;
}

u32
i8259_read(void *dev, u16 port, unsigned size_bytes)
{
	struct i8259 *p = dev;
	struct i8259_chip *c = &p->chip[(port & 0x80) != 0];

	(void)size_bytes;
	if ((port & ~1) == ELCR_PORT)
		return p->chip[port & 1].elcr;
	if (c->poll)
		return poll(p, c);
	if (port & 1)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}
