/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/i16550.h"

#define CLOCK_HZ 1843200ULL /* sixteen times the bit rate at divisor 1 */

/* Registers, data sheet table 2 */
enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define IER_RDA	     BIT(0)
#define IER_THRE     BIT(1)
#define IER_RLS	     BIT(2)
#define IER_MS	     BIT(3)
#define IER_MASK     0x0f
#define IIR_MS	     0x00
#define IIR_NONE     0x01
#define IIR_THRE     0x02
#define IIR_RDA	     0x04
#define IIR_RLS	     0x06
#define IIR_TIMEOUT  0x0c
#define IIR_FIFOS    0xc0
#define FCR_ENABLE   BIT(0)
#define FCR_RX_RESET BIT(1)
#define FCR_TRIGGER  0xc0
#define LCR_DLAB     BIT(7)
#define LCR_STOP2    BIT(2)
#define LCR_PARITY   BIT(3)
#define MCR_DTR	     BIT(0)
#define MCR_RTS	     BIT(1)
#define MCR_OUT1     BIT(2)
#define MCR_OUT2     BIT(3)
#define MCR_LOOP     BIT(4)
#define MCR_MASK     0x1f
#define LSR_DR	     BIT(0)
#define LSR_OE	     BIT(1)
#define LSR_THRE     BIT(5)
#define LSR_TEMT     BIT(6)
#define MSR_DCTS     BIT(0)
#define MSR_DDSR     BIT(1)
#define MSR_TERI     BIT(2)
#define MSR_DDCD     BIT(3)
#define MSR_DELTA    0x0f
#define MSR_CTS	     BIT(4)
#define MSR_DSR	     BIT(5)
#define MSR_RI	     BIT(6)
#define MSR_DCD	     BIT(7)

static bool
fifo_mode(const struct i16550 *u)
{
	return u->s.fcr & FCR_ENABLE;
}

static unsigned
capacity(const struct i16550 *u)
{
	return fifo_mode(u) ? I16550_FIFO : 1;
}

static unsigned
trigger(const struct i16550 *u)
{
	static const u8 level[4] = {1, 4, 8, 14};

	return fifo_mode(u) ? level[u->s.fcr >> 6] : 1;
}

/* Data sheet table 4, in order of priority. */
static u8
identify(const struct i16550 *u)
{
	const struct i16550_state *s = &u->s;

	if ((s->ier & IER_RLS) && s->lsr_errors != 0)
		return IIR_RLS;
	if ((s->ier & IER_RDA) && s->count >= trigger(u))
		return IIR_RDA;
	if ((s->ier & IER_RDA) && s->rx_timed_out)
		return IIR_TIMEOUT;
	if ((s->ier & IER_THRE) && s->thr_pending)
		return IIR_THRE;
	if ((s->ier & IER_MS) && (s->msr & MSR_DELTA))
		return IIR_MS;
	return IIR_NONE;
}

/* In loopback the OUT2 pin is inactive, and with it the interrupt. */
static void
update_irq(struct i16550 *u)
{
	bool gate = (u->s.mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

	irqline_set(&u->irq, gate && identify(u) != IIR_NONE);
}

/* Four character times: start bit, data, parity, stop bits. */
static u64
timeout_ns(const struct i16550 *u)
{
	unsigned divisor = (unsigned)u->s.dlm << 8 | u->s.dll;
	unsigned bits = 1 + 5 + (u->s.lcr & 3) + !!(u->s.lcr & LCR_PARITY) +
			(u->s.lcr & LCR_STOP2 ? 2 : 1);

	return 4 * bits * 16 * MAX(divisor, 1U) * NS_PER_SEC / CLOCK_HZ;
}

/* The timeout counts from the last byte that came in or went out. */
static void
restart_timeout(struct i16550 *u)
{
	u->s.rx_timed_out = false;
	if (fifo_mode(u) && u->s.count != 0 && u->s.count < trigger(u) &&
	    (u->s.ier & IER_RDA))
		vtimer_arm(u->timers, &u->rx_timer,
			   vtimers_now(u->timers) + timeout_ns(u));
	else
		vtimer_disarm(u->timers, &u->rx_timer);
}

static void
rx_timeout(void *ctx)
{
	struct i16550 *u = ctx;

	u->s.rx_timed_out = u->s.count != 0;
	update_irq(u);
}

unsigned
i16550_room(const struct i16550 *u)
{
	const struct i16550_state *s = &u->s;

	if ((s->mcr & MCR_LOOP) || !(s->mcr & MCR_RTS))
		return 0;
	return capacity(u) - MIN(s->count, capacity(u));
}

static void
push(struct i16550 *u, u8 byte)
{
	struct i16550_state *s = &u->s;

	if (s->count >= capacity(u)) {
		s->lsr_errors |= LSR_OE;
		if (!fifo_mode(u)) /* the register takes the new byte */
			s->fifo[s->head] = byte;
	} else {
		s->fifo[(s->head + s->count) % I16550_FIFO] = byte;
		s->count++;
	}
	restart_timeout(u);
	update_irq(u);
}

void
i16550_receive(struct i16550 *u, u8 byte)
{
	if (!(u->s.mcr & MCR_LOOP))
		push(u, byte);
}

static u8
pop(struct i16550 *u)
{
	struct i16550_state *s = &u->s;
	u8 byte = s->fifo[s->head];

	if (s->count == 0)
		return 0;
	s->head = (s->head + 1) % I16550_FIFO;
	s->count--;
	restart_timeout(u);
	update_irq(u);
	if (s->count == 0)
		u->drained(u->ctx);
	return byte;
}

static void
clear_rx(struct i16550 *u)
{
	u->s.head = u->s.count = 0;
	restart_timeout(u);
}

/* What the modem status inputs show: the peer's lines, or in loopback our own
 * outputs (data sheet 8.6, bit 4). */
static u8
modem_inputs(const struct i16550 *u)
{
	u8 mcr = u->s.mcr, in = 0;

	if (!(mcr & MCR_LOOP))
		return u->connected ? MSR_CTS | MSR_DSR | MSR_DCD : 0;
	if (mcr & MCR_RTS)
		in |= MSR_CTS;
	if (mcr & MCR_DTR)
		in |= MSR_DSR;
	if (mcr & MCR_OUT1)
		in |= MSR_RI;
	if (mcr & MCR_OUT2)
		in |= MSR_DCD;
	return in;
}

static void
update_modem(struct i16550 *u)
{
	u8 old = u->s.msr, in = modem_inputs(u), change = (old ^ in) & 0xf0;

	u->s.msr = (old & MSR_DELTA) | in;
	if (change & MSR_CTS)
		u->s.msr |= MSR_DCTS;
	if (change & MSR_DSR)
		u->s.msr |= MSR_DDSR;
	if (old & ~in & MSR_RI) /* trailing edge only */
		u->s.msr |= MSR_TERI;
	if (change & MSR_DCD)
		u->s.msr |= MSR_DDCD;
}

static void
write_thr(struct i16550 *u, u8 v)
{
	if (u->s.mcr & MCR_LOOP)
		push(u, v);
	else
		u->tx(u->ctx, v);
	u->s.thr_pending = true; /* sent, and empty again */
	update_irq(u);
}

static void
write_ier(struct i16550 *u, u8 v)
{
	u8 old = u->s.ier;

	u->s.ier = v & IER_MASK;
	/* THR is empty: enabling its interrupt raises it */
	if (u->s.ier & ~old & IER_THRE)
		u->s.thr_pending = true;
	if ((u->s.ier ^ old) & IER_RDA)
		restart_timeout(u);
	update_irq(u);
}

static void
write_fcr(struct i16550 *u, u8 v)
{
	/* changing FIFO mode clears the FIFOs */
	if (((v ^ u->s.fcr) & FCR_ENABLE) ||
	    ((v & FCR_ENABLE) && (v & FCR_RX_RESET)))
		clear_rx(u);
	u->s.fcr = v & FCR_ENABLE ? v & (FCR_ENABLE | FCR_TRIGGER) : 0;
	restart_timeout(u);
	update_irq(u);
	u->drained(u->ctx);
}

static void
write_mcr(struct i16550 *u, u8 v)
{
	unsigned room = i16550_room(u);

	u->s.mcr = v & MCR_MASK;
	update_modem(u);
	update_irq(u);
	if (room == 0 && i16550_room(u) != 0)
		u->drained(u->ctx);
}

void
i16550_write(void *dev, u16 port, unsigned size_bytes, u32 value)
{
	struct i16550 *u = dev;
	u8 v = (u8)value;
	bool dlab = u->s.lcr & LCR_DLAB;

	(void)size_bytes;
	switch (port & 7) {
	case RBR_THR:
		if (dlab)
			u->s.dll = v;
		else
			write_thr(u, v);
		break;
	case IER:
		if (dlab)
			u->s.dlm = v;
		else
			write_ier(u, v);
		break;
	case IIR_FCR:
		write_fcr(u, v);
		break;
	case LCR:
		u->s.lcr = v;
		break;
	case MCR:
		write_mcr(u, v);
		break;
	case SCR:
		u->s.scr = v;
		break;
	default: /* LSR is for factory tests, MSR read only */
		break;
	}
}

/* Reading IIR takes back a THRE interrupt, if that is what it shows. */
static u8
read_iir(struct i16550 *u)
{
	u8 id = identify(u);

	if (id == IIR_THRE) {
		u->s.thr_pending = false;
		update_irq(u);
	}
	return id | (fifo_mode(u) ? IIR_FIFOS : 0);
}

static u8
read_lsr(struct i16550 *u)
{
	u8 v = u->s.lsr_errors | LSR_THRE | LSR_TEMT;

	if (u->s.count != 0)
		v |= LSR_DR;
	if (u->s.lsr_errors != 0) {
		u->s.lsr_errors = 0;
		update_irq(u);
	}
	return v;
}

static u8
read_msr(struct i16550 *u)
{
	u8 v = u->s.msr;

	u->s.msr &= (u8)~MSR_DELTA;
	update_irq(u);
	return v;
}

u32
i16550_read(void *dev, u16 port, unsigned size_bytes)
{
	struct i16550 *u = dev;
	bool dlab = u->s.lcr & LCR_DLAB;

	(void)size_bytes;
	switch (port & 7) {
	case RBR_THR:
		return dlab ? u->s.dll : pop(u);
	case IER:
		return dlab ? u->s.dlm : u->s.ier;
	case IIR_FCR:
		return read_iir(u);
	case LCR:
		return u->s.lcr;
	case MCR:
		return u->s.mcr;
	case LSR:
		return read_lsr(u);
	case MSR:
		return read_msr(u);
	default:
		return u->s.scr;
	}
}

void
i16550_init(struct i16550 *u, struct vtimers *timers, struct irqline irq)
{
	u->timers = timers;
	u->irq = irq;
	vtimer_add(timers, &u->rx_timer, rx_timeout, u);
	i16550_reset(u);
}

/* Data sheet table 1; the divisor is not reset there, 9600 is what a BIOS
 * leaves. */
void
i16550_reset(struct i16550 *u)
{
	memset(&u->s, 0, sizeof(u->s));
	u->s.dll = 12;
	u->s.msr = modem_inputs(u);
	vtimer_disarm(u->timers, &u->rx_timer);
	update_irq(u);
}
