/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vmm_rig.h"
#include "vmm/i16550.h"

enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static struct vmm_rig rig;
static struct i16550 uart;
static struct rig_line irq;
static u8 sent[64];
static unsigned sent_count, drains;

static void
tx(void *ctx, u8 byte)
{
	(void)ctx;
	sent[sent_count++ % sizeof(sent)] = byte;
}

static void
drained(void *ctx)
{
	(void)ctx;
	drains++;
}

static void
out(u16 reg, u8 v)
{
	i16550_write(&uart, 0x3f8 + reg, 1, v);
}

static u8
in(u16 reg)
{
	return (u8)i16550_read(&uart, 0x3f8 + reg, 1);
}

static void
receive(const char *bytes)
{
	while (*bytes != 0)
		i16550_receive(&uart, (u8)*bytes++);
}

static int
setup(void **state)
{
	(void)state;
	rig_init(&rig);
	uart = (struct i16550){.tx = tx, .drained = drained, .connected = true};
	i16550_init(&uart, &rig.timers, rig_wire(&irq));
	sent_count = drains = 0;
	/* 115200 bit/s, 8 data bits; OUT2, DTR, RTS */
	out(LCR, 0x83);
	out(0, 1);
	out(1, 0);
	out(LCR, 0x03);
	out(MCR, 0x0b);
	(void)in(MSR);
	drains = 0;
	return 0;
}

static void
test_i16550_divisor_hides_behind_dlab(void **state)
{
	(void)state;
	out(LCR, 0x83);
	assert_int_equal(in(0), 1);
	out(1, 0x12);
	assert_int_equal(in(1), 0x12);
	assert_int_equal(sent_count, 0);
	out(LCR, 0x03);
	assert_int_equal(in(IER), 0);
	assert_int_equal(in(LCR), 0x03);
	out(SCR, 0xa5);
	assert_int_equal(in(SCR), 0xa5);
}

static void
test_i16550_sends_at_once(void **state)
{
	(void)state;
	assert_int_equal(in(LSR), 0x60);
	out(0, 'x');
	assert_int_equal(sent_count, 1);
	assert_int_equal(sent[0], 'x');
	assert_int_equal(in(LSR), 0x60);
	assert_false(irq.level);
}

static void
test_i16550_transmitter_empty_interrupts_when_enabled_and_after_each_byte(
    void **state)
{
	(void)state;
	out(IER, 0x02);
	assert_true(irq.level);
	assert_int_equal(in(IIR), 0x02); /* reading takes it back */
	assert_false(irq.level);
	assert_int_equal(in(IIR), 0x01);
	out(0, 'x');
	assert_true(irq.level);
	assert_int_equal(in(IIR), 0x02);
	/* disabling and enabling raises it again: drivers test for that */
	out(IER, 0x00);
	assert_false(irq.level);
	out(IER, 0x02);
	assert_true(irq.level);
}

static void
test_i16550_receives_one_byte_without_fifo(void **state)
{
	(void)state;
	out(IER, 0x01);
	assert_int_equal(i16550_room(&uart), 1);
	receive("a");
	assert_true(irq.level);
	assert_int_equal(in(IIR), 0x04);
	assert_int_equal(i16550_room(&uart), 0);
	assert_int_equal(in(LSR), 0x61);
	receive("b"); /* overrun: the new byte stands */
	assert_int_equal(in(LSR), 0x63);
	assert_int_equal(in(LSR), 0x61);
	assert_int_equal(in(RBR), 'b');
	assert_false(irq.level);
	assert_int_equal(drains, 1);
	assert_int_equal(in(LSR), 0x60);
}

static void
test_i16550_fifo_interrupts_at_its_trigger_level(void **state)
{
	static const u8 level[4] = {1, 4, 8, 14};

	(void)state;
	out(IER, 0x01);
	for (unsigned t = 0; t < 4; t++) {
		out(IIR, (u8)(t << 6 | 0x07));
		assert_int_equal(in(IIR)&0xc0, 0xc0);
		for (unsigned i = 1; i < level[t]; i++) {
			receive("x");
			assert_false(irq.level);
		}
		receive("y");
		assert_true(irq.level);
		assert_int_equal(in(IIR), 0xc4);
		(void)in(RBR); /* below the level again */
		assert_false(irq.level);
	}
}

static void
test_i16550_fifo_times_out_after_four_characters(void **state)
{
	/* 4 characters of 10 bits at 115200 bit/s */
	const u64 timeout_ns = 40 * NS_PER_SEC / 115200;

	(void)state;
	out(IER, 0x01);
	out(IIR, 0xc7);
	receive("ab");
	assert_false(irq.level);
	rig_run(&rig, timeout_ns - 1);
	assert_false(irq.level);
	rig_run(&rig, timeout_ns);
	assert_true(irq.level);
	assert_int_equal(in(IIR), 0xcc);
	assert_int_equal(in(RBR), 'a'); /* a read starts the time anew */
	assert_false(irq.level);
	rig_run(&rig, 2 * timeout_ns);
	assert_true(irq.level);
	assert_int_equal(in(RBR), 'b');
	assert_false(irq.level);
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
}

static void
test_i16550_fifo_keeps_order_and_overruns(void **state)
{
	(void)state;
	out(IIR, 0x07);
	assert_int_equal(i16550_room(&uart), 16);
	receive("0123456789abcdef");
	assert_int_equal(i16550_room(&uart), 0);
	receive("!"); /* lost */
	assert_int_equal(in(LSR), 0x63);
	for (int i = 0; i < 16; i++)
		assert_int_equal(in(RBR), "0123456789abcdef"[i]);
	assert_int_equal(in(LSR), 0x60);
	receive("x");
	out(IIR, 0x03); /* clears the receiver */
	assert_int_equal(in(LSR), 0x60);
	receive("x");
	out(IIR, 0x00); /* so does leaving FIFO mode */
	assert_int_equal(in(LSR), 0x60);
	assert_int_equal(in(IIR)&0xc0, 0);
}

static void
test_i16550_line_status_comes_before_data(void **state)
{
	(void)state;
	out(IER, 0x07);
	receive("a");
	receive("b");
	assert_int_equal(in(IIR), 0x06);
	(void)in(LSR);
	assert_int_equal(in(IIR), 0x04);
	(void)in(RBR);
	assert_int_equal(in(IIR), 0x02);
	assert_int_equal(in(IIR), 0x01);
}

static void
test_i16550_loopback_turns_the_outputs_round(void **state)
{
	(void)state;
	out(MCR, 0x1a); /* loop, OUT2, RTS */
	assert_int_equal(in(MSR)&0xf0, 0x90);
	out(MCR, 0x15); /* loop, OUT1, DTR */
	assert_int_equal(in(MSR), 0x60 | 0x0b);
	out(MCR, 0x11); /* RI fell: trailing edge */
	assert_int_equal(in(MSR), 0x24);
	out(0, 'x');
	assert_int_equal(sent_count, 0);
	assert_int_equal(in(LSR), 0x61);
	assert_int_equal(in(RBR), 'x');
	assert_int_equal(i16550_room(&uart), 0);
	receive("y"); /* the line is cut off */
	assert_int_equal(in(LSR), 0x60);
}

static void
test_i16550_modem_lines_come_from_the_peer(void **state)
{
	(void)state;
	assert_int_equal(in(MSR), 0xb0);
	uart.connected = false;
	i16550_reset(&uart);
	assert_int_equal(in(MSR), 0x00);
}

static void
test_i16550_modem_interrupt(void **state)
{
	(void)state;
	out(IER, 0x08);
	assert_false(irq.level);
	out(MCR, 0x1b);
	out(MCR, 0x19); /* CTS falls */
	out(MCR, 0x0b);
	assert_true(irq.level);
	assert_int_equal(in(IIR), 0x00);
	(void)in(MSR);
	assert_false(irq.level);
}

static void
test_i16550_out2_gates_the_interrupt(void **state)
{
	(void)state;
	out(MCR, 0x03);
	out(IER, 0x02);
	assert_false(irq.level);
	assert_int_equal(in(IIR), 0x02); /* the cause is there */
	out(IER, 0x00);
	out(IER, 0x02);
	out(MCR, 0x0b);
	assert_true(irq.level);
	out(MCR, 0x1b); /* loopback takes the pin away */
	assert_false(irq.level);
}

static void
test_i16550_rts_holds_the_peer_off(void **state)
{
	(void)state;
	out(IIR, 0x07);
	out(MCR, 0x09);
	assert_int_equal(i16550_room(&uart), 0);
	drains = 0;
	out(MCR, 0x0b);
	assert_int_equal(drains, 1);
	assert_int_equal(i16550_room(&uart), 16);
	/* nor is there room before a driver opens the port */
	i16550_reset(&uart);
	assert_int_equal(i16550_room(&uart), 0);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_i16550_divisor_hides_behind_dlab),
	    CASE(test_i16550_sends_at_once),
	    CASE(
		test_i16550_transmitter_empty_interrupts_when_enabled_and_after_each_byte),
	    CASE(test_i16550_receives_one_byte_without_fifo),
	    CASE(test_i16550_fifo_interrupts_at_its_trigger_level),
	    CASE(test_i16550_fifo_times_out_after_four_characters),
	    CASE(test_i16550_fifo_keeps_order_and_overruns),
	    CASE(test_i16550_line_status_comes_before_data),
	    CASE(test_i16550_loopback_turns_the_outputs_round),
	    CASE(test_i16550_modem_lines_come_from_the_peer),
	    CASE(test_i16550_modem_interrupt),
	    CASE(test_i16550_out2_gates_the_interrupt),
	    CASE(test_i16550_rts_holds_the_peer_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
