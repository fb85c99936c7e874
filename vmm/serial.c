/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/serial.h"

void
serial_flush(struct serial *s)
{
	unsigned n = s->out_count;
	u8 bytes[SERIAL_OUT];

	if (n == 0)
		return;
	/* write() may cause input, and with it more output: start afresh */
	memcpy(bytes, s->out, n);
	s->out_count = 0;
	vtimer_disarm(s->timers, &s->out_timer);
	s->cd->write(s->cd, bytes, n);
}

static void
out_fire(void *ctx)
{
	serial_flush(ctx);
}

static void
tx(void *ctx, u8 byte)
{
	struct serial *s = ctx;

	if (s->cd == NULL)
		return;
	if (s->out_count == 0)
		vtimer_arm(s->timers, &s->out_timer,
			   vtimers_now(s->timers) + NS_PER_MS);
	s->out[s->out_count++] = byte;
	if (s->out_count == SERIAL_OUT)
		serial_flush(s);
}

size_t
serial_input(struct serial *s, const u8 *bytes, size_t count)
{
	size_t taken = 0;

	lock_acquire(&s->lock);
	while (taken < count && s->count < SERIAL_RING) {
		s->ring[(s->head + s->count) % SERIAL_RING] = bytes[taken++];
		s->count++;
	}
	s->refused = s->refused || taken < count;
	atomic_store_explicit(&s->ring_count, s->count, memory_order_relaxed);
	lock_release(&s->lock);
	return taken;
}

/* Takes up to room bytes out of the ring. *wanted: somebody was refused and
 * at least half of the ring is free again. */
static unsigned
take(struct serial *s, u8 *bytes, unsigned room, bool *wanted)
{
	unsigned n = 0;

	lock_acquire(&s->lock);
	while (n < room && s->count != 0) {
		bytes[n++] = s->ring[s->head];
		s->head = (s->head + 1) % SERIAL_RING;
		s->count--;
	}
	atomic_store_explicit(&s->ring_count, s->count, memory_order_relaxed);
	*wanted = s->refused && s->count <= SERIAL_RING / 2;
	if (*wanted)
		s->refused = false;
	lock_release(&s->lock);
	return n;
}

void
serial_pump(struct serial *s)
{
	unsigned room = i16550_room(&s->uart), n;
	u8 bytes[I16550_FIFO];
	bool wanted;

	if (room == 0 ||
	    atomic_load_explicit(&s->ring_count, memory_order_relaxed) == 0)
		return;
	if (s->burst >= SERIAL_BURST) {
		if (s->gap_timer.deadline_ns == VCLOCK_NEVER)
			vtimer_arm(s->timers, &s->gap_timer,
				   vtimers_now(s->timers) + SERIAL_GAP_NS);
		return;
	}
	n = take(s, bytes, MIN(room, (unsigned)sizeof(bytes)), &wanted);
	s->burst += n;
	for (unsigned i = 0; i < n; i++)
		i16550_receive(&s->uart, bytes[i]);
	if (wanted && s->cd != NULL && s->cd->ready != NULL)
		s->cd->ready(s->cd);
}

static void
gap_fire(void *ctx)
{
	struct serial *s = ctx;

	s->burst = 0;
	serial_pump(s);
}

static void
drained(void *ctx)
{
	serial_pump(ctx);
}

void
serial_init(struct serial *s, struct vtimers *timers, struct irqline irq,
	    struct chardev *cd)
{
	memset(s, 0, sizeof(*s));
	lock_init(&s->lock);
	atomic_init(&s->ring_count, 0);
	s->cd = cd;
	s->timers = timers;
	vtimer_add(timers, &s->out_timer, out_fire, s);
	vtimer_add(timers, &s->gap_timer, gap_fire, s);
	s->uart.tx = tx;
	s->uart.drained = drained;
	s->uart.ctx = s;
	s->uart.connected = cd != NULL;
	i16550_init(&s->uart, timers, irq);
}

void
serial_release(struct serial *s)
{
	lock_destroy(&s->lock);
}

void
serial_reset(struct serial *s)
{
	serial_flush(s);
	s->burst = 0;
	vtimer_disarm(s->timers, &s->gap_timer);
	i16550_reset(&s->uart);
}
