/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vmm_rig.h"
#include "vmm/serial.h"

struct host {
	struct chardev cd; /* must be first */
	struct serial *serial;
	u8 bytes[4096];
	size_t count;
	unsigned writes, readies;
	bool echo; /* what is written comes back at once */
};

static struct vmm_rig rig;
static struct serial port;
static struct rig_line irq;
static struct host host;

static void
host_write(struct chardev *cd, const u8 *bytes, size_t count)
{
	struct host *h = (struct host *)cd;

	assert_true(h->count + count <= sizeof(h->bytes));
	memcpy(h->bytes + h->count, bytes, count);
	h->count += count;
	h->writes++;
	if (h->echo)
		assert_int_equal(serial_input(h->serial, bytes, count), count);
}

static void
host_ready(struct chardev *cd)
{
	((struct host *)cd)->readies++;
}

static void
out(u16 reg, u8 v)
{
	i16550_write(&port.uart, 0x3f8 + reg, 1, v);
}

static u8
in(u16 reg)
{
	return (u8)i16550_read(&port.uart, 0x3f8 + reg, 1);
}

static int
setup(void **state)
{
	(void)state;
	rig_init(&rig);
	host = (struct host){.cd = {.write = host_write, .ready = host_ready},
			     .serial = &port};
	serial_init(&port, &rig.timers, rig_wire(&irq), &host.cd);
	out(2, 0xc7);
	out(4, 0x0b);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	serial_release(&port);
	return 0;
}

static void
test_serial_gathers_output_for_a_millisecond(void **state)
{
	(void)state;
	for (const char *s = "hello"; *s != 0; s++)
		out(0, (u8)*s);
	assert_int_equal(host.writes, 0);
	rig_run(&rig, NS_PER_MS - 1);
	assert_int_equal(host.writes, 0);
	rig_run(&rig, NS_PER_MS);
	assert_int_equal(host.writes, 1);
	assert_int_equal(host.count, 5);
	assert_memory_equal(host.bytes, "hello", 5);
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
}

static void
test_serial_flushes_when_full_or_asked(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SERIAL_OUT + 1; i++)
		out(0, (u8)i);
	assert_int_equal(host.writes, 1);
	assert_int_equal(host.count, SERIAL_OUT);
	serial_flush(&port);
	assert_int_equal(host.writes, 2);
	assert_int_equal(host.bytes[SERIAL_OUT], (u8)SERIAL_OUT);
	serial_flush(&port);
	assert_int_equal(host.writes, 2);
}

static void
test_serial_without_a_host_end_drops_output(void **state)
{
	struct serial lone;
	struct rig_line l;

	(void)state;
	serial_init(&lone, &rig.timers, rig_wire(&l), NULL);
	for (unsigned i = 0; i < 2 * SERIAL_OUT; i++)
		i16550_write(&lone.uart, 0x2f8, 1, 'x');
	assert_int_equal(i16550_read(&lone.uart, 0x2fe, 1), 0);
	serial_flush(&lone);
	serial_release(&lone);
}

static void
test_serial_host_may_answer_from_within_write(void **state)
{
	(void)state;
	host.echo = true;
	out(0, 'a');
	serial_flush(&port);
	serial_pump(&port);
	assert_int_equal(in(5) & 1, 1);
	assert_int_equal(in(0), 'a');
}

static void
test_serial_input_passes_in_order_through_ring_and_fifo(void **state)
{
	u8 bytes[200];
	unsigned got = 0;

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (u8)i;
	assert_int_equal(serial_input(&port, bytes, sizeof(bytes)),
			 sizeof(bytes));
	assert_int_equal(in(5) & 1, 0);
	serial_pump(&port);
	while (in(5) & 1)
		assert_int_equal(in(0), got++);
	assert_int_equal(got, sizeof(bytes));
}

static void
test_serial_full_ring_says_so_and_asks_again(void **state)
{
	static u8 bytes[SERIAL_RING + 100];
	unsigned got = 0;

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (u8)(i * 7);
	assert_int_equal(serial_input(&port, bytes, sizeof(bytes)),
			 SERIAL_RING);
	assert_int_equal(serial_input(&port, bytes, 1), 0);
	serial_pump(&port);
	while (got < SERIAL_RING) {
		while (in(5) & 1)
			assert_int_equal(in(0), bytes[got++]);
		/* asked once, when half of it is free */
		assert_int_equal(host.readies, got >= SERIAL_RING / 2);
		rig_run(&rig, rig_now(&rig) + SERIAL_GAP_NS);
	}
	assert_int_equal(host.readies, 1);
}

/* A guest that reads as long as there is data comes to an end. */
static void
test_serial_pauses_after_a_burst(void **state)
{
	static u8 bytes[1000];
	unsigned got = 0;

	(void)state;
	assert_int_equal(serial_input(&port, bytes, sizeof(bytes)),
			 sizeof(bytes));
	serial_pump(&port);
	while (in(5) & 1) {
		(void)in(0);
		got++;
	}
	assert_int_equal(got, SERIAL_BURST);
	assert_int_equal(rig.timers.next_ns, SERIAL_GAP_NS);
	rig_run(&rig, SERIAL_GAP_NS);
	assert_int_equal(in(5) & 1, 1);
}

static void
test_serial_waits_for_rts(void **state)
{
	(void)state;
	out(4, 0x09);
	assert_int_equal(serial_input(&port, (const u8 *)"x", 1), 1);
	serial_pump(&port);
	assert_int_equal(in(5) & 1, 0);
	out(4, 0x0b);
	assert_int_equal(in(5) & 1, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_serial_gathers_output_for_a_millisecond),
	    CASE(test_serial_flushes_when_full_or_asked),
	    CASE(test_serial_without_a_host_end_drops_output),
	    CASE(test_serial_host_may_answer_from_within_write),
	    CASE(test_serial_input_passes_in_order_through_ring_and_fifo),
	    CASE(test_serial_full_ring_says_so_and_asks_again),
	    CASE(test_serial_pauses_after_a_burst),
	    CASE(test_serial_waits_for_rts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
