/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vmm_rig.h"
#include "vmm/i8259.h"

static struct i8259 pic;

static void
out(u16 port, u8 v)
{
	i8259_write(&pic, port, 1, v);
}

static u8
in(u16 port)
{
	return (u8)i8259_read(&pic, port, 1);
}

static void
line(unsigned irq, bool level)
{
	i8259_set(&pic, irq, level);
}

static void
pulse(unsigned irq)
{
	line(irq, true);
	line(irq, false);
}

/* As PC software does: vectors 20h and 28h, cascade on 2, 8086 mode. */
static void
init_with(u8 icw4)
{
	i8259_reset(&pic);
	out(0x20, 0x11);
	out(0x21, 0x20);
	out(0x21, 0x04);
	out(0x21, icw4);
	out(0xa0, 0x11);
	out(0xa1, 0x28);
	out(0xa1, 0x02);
	out(0xa1, icw4);
	out(0x21, 0);
	out(0xa1, 0);
}

static int
setup(void **state)
{
	(void)state;
	init_with(0x01);
	return 0;
}

static void
test_i8259_edge_is_delivered_once(void **state)
{
	(void)state;
	assert_false(i8259_pending(&pic));
	line(4, true);
	assert_true(i8259_pending(&pic));
	assert_int_equal(i8259_ack(&pic), 0x24);
	assert_false(i8259_pending(&pic));
	out(0x20, 0x20);
	assert_false(i8259_pending(&pic)); /* still high, no new edge */
	line(4, true);
	assert_false(i8259_pending(&pic));
	line(4, false);
	line(4, true);
	assert_true(i8259_pending(&pic));
}

static void
test_i8259_level_is_delivered_while_it_lasts(void **state)
{
	(void)state;
	out(0x4d0, 0x20);
	line(5, true);
	assert_int_equal(i8259_ack(&pic), 0x25);
	assert_false(i8259_pending(&pic)); /* in service */
	out(0x20, 0x20);
	assert_true(i8259_pending(&pic)); /* and again */
	line(5, false);
	assert_false(i8259_pending(&pic));
	/* acknowledged too late: the data sheet's spurious input 7 */
	assert_int_equal(i8259_ack(&pic), 0x27);
	out(0x20, 0x0b);
	assert_int_equal(in(0x20), 0); /* which is not in service */
}

static void
test_i8259_higher_priority_interrupts_lower(void **state)
{
	(void)state;
	pulse(6);
	pulse(3);
	assert_int_equal(i8259_ack(&pic), 0x23);
	assert_false(i8259_pending(&pic)); /* 6 waits for 3 */
	pulse(1);
	assert_true(i8259_pending(&pic));
	assert_int_equal(i8259_ack(&pic), 0x21);
	out(0x20, 0x0b);
	assert_int_equal(in(0x20), 0x0a);
	out(0x20, 0x20); /* ends 1, the highest in service */
	assert_int_equal(in(0x20), 0x08);
	out(0x20, 0x63); /* specific: ends 3 */
	assert_int_equal(in(0x20), 0x00);
	assert_int_equal(i8259_ack(&pic), 0x26);
}

static void
test_i8259_mask_hides_and_keeps_requests(void **state)
{
	(void)state;
	out(0x21, 0x10);
	assert_int_equal(in(0x21), 0x10);
	pulse(4);
	assert_false(i8259_pending(&pic));
	out(0x20, 0x0a);
	assert_int_equal(in(0x20), 0x10); /* IRR */
	out(0x21, 0);
	assert_true(i8259_pending(&pic));
}

static void
test_i8259_second_chip_comes_through_input_2(void **state)
{
	(void)state;
	pulse(12);
	pulse(8);
	assert_int_equal(i8259_ack(&pic), 0x28);
	out(0x20, 0x0b);
	out(0xa0, 0x0b);
	assert_int_equal(in(0x20), 0x04);
	assert_int_equal(in(0xa0), 0x01);
	assert_false(i8259_pending(&pic));
	out(0xa0, 0x20);
	assert_false(i8259_pending(&pic)); /* input 2 is still in service */
	out(0x20, 0x20);
	assert_true(i8259_pending(&pic));
	assert_int_equal(i8259_ack(&pic), 0x2c);
}

static void
test_i8259_cascade_masked_hides_the_second_chip(void **state)
{
	(void)state;
	out(0x21, 0x04);
	pulse(9);
	assert_false(i8259_pending(&pic));
	out(0x21, 0);
	assert_int_equal(i8259_ack(&pic), 0x29);
}

static void
test_i8259_masked_between_int_and_inta_is_spurious(void **state)
{
	(void)state;
	out(0x4d1, 0x02);
	line(9, true);
	line(1, true);
	assert_int_equal(i8259_ack(&pic), 0x21);
	out(0x20, 0x20);
	assert_true(i8259_pending(&pic));
	out(0xa1, 0x02); /* masked between INT and INTA */
	assert_false(i8259_pending(&pic));
	assert_int_equal(i8259_ack(&pic), 0x27);
}

static void
test_i8259_auto_eoi_leaves_nothing_in_service(void **state)
{
	(void)state;
	init_with(0x03);
	pulse(3);
	assert_int_equal(i8259_ack(&pic), 0x23);
	out(0x20, 0x0b);
	assert_int_equal(in(0x20), 0);
	pulse(5);
	assert_int_equal(i8259_ack(&pic), 0x25);
}

static void
test_i8259_rotation_moves_the_lowest_priority(void **state)
{
	(void)state;
	pulse(4);
	assert_int_equal(i8259_ack(&pic), 0x24);
	out(0x20, 0xa0); /* rotate on non-specific EOI: 4 is lowest now */
	pulse(4);
	pulse(5);
	assert_int_equal(i8259_ack(&pic), 0x25);
	out(0x20, 0x20);
	assert_int_equal(i8259_ack(&pic), 0x24);
	out(0x20, 0x20);
	out(0x20, 0xc2); /* set priority: 2 lowest, 3 highest */
	pulse(0);
	pulse(3);
	assert_int_equal(i8259_ack(&pic), 0x23);
}

static void
test_i8259_special_mask_lets_lower_priorities_through(void **state)
{
	(void)state;
	pulse(2 + 1);
	assert_int_equal(i8259_ack(&pic), 0x23);
	pulse(6);
	assert_false(i8259_pending(&pic));
	out(0x21, 0x08);
	out(0x20, 0x68); /* special mask mode: 3 is masked, blocks nothing */
	assert_true(i8259_pending(&pic));
	assert_int_equal(i8259_ack(&pic), 0x26);
	out(0x20, 0x48); /* back */
	out(0x21, 0);
	pulse(4);
	assert_false(i8259_pending(&pic));
}

static void
test_i8259_special_fully_nested_lets_the_cascade_nest(void **state)
{
	(void)state;
	init_with(0x11);
	pulse(14);
	assert_int_equal(i8259_ack(&pic), 0x2e);
	pulse(8); /* higher on the second chip */
	assert_true(i8259_pending(&pic));
	assert_int_equal(i8259_ack(&pic), 0x28);
}

static void
test_i8259_poll_acknowledges(void **state)
{
	(void)state;
	out(0x20, 0x0c);
	assert_int_equal(in(0x20), 0x00);
	pulse(6);
	out(0x20, 0x0c);
	assert_int_equal(in(0x20), 0x86);
	assert_false(i8259_pending(&pic));
	out(0x20, 0x0b);
	assert_int_equal(in(0x20), 0x40);
}

static void
test_i8259_icw1_clears_mask_and_edges(void **state)
{
	(void)state;
	out(0x21, 0xff);
	line(4, true);
	line(6, true);
	out(0x4d0, 0x40);
	out(0x20, 0x11);
	out(0x21, 0x60);
	out(0x21, 0x04);
	out(0x21, 0x01);
	assert_int_equal(in(0x21), 0);
	/* the edge is forgotten, the level is there still */
	assert_int_equal(i8259_ack(&pic), 0x66);
}

static void
test_i8259_elcr_keeps_to_its_mask(void **state)
{
	(void)state;
	out(0x4d0, 0xff);
	out(0x4d1, 0xff);
	assert_int_equal(in(0x4d0), 0xf8);
	assert_int_equal(in(0x4d1), 0xde);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_i8259_edge_is_delivered_once),
	    CASE(test_i8259_level_is_delivered_while_it_lasts),
	    CASE(test_i8259_higher_priority_interrupts_lower),
	    CASE(test_i8259_mask_hides_and_keeps_requests),
	    CASE(test_i8259_second_chip_comes_through_input_2),
	    CASE(test_i8259_cascade_masked_hides_the_second_chip),
	    CASE(test_i8259_masked_between_int_and_inta_is_spurious),
	    CASE(test_i8259_auto_eoi_leaves_nothing_in_service),
	    CASE(test_i8259_rotation_moves_the_lowest_priority),
	    CASE(test_i8259_special_mask_lets_lower_priorities_through),
	    CASE(test_i8259_special_fully_nested_lets_the_cascade_nest),
	    CASE(test_i8259_poll_acknowledges),
	    CASE(test_i8259_icw1_clears_mask_and_edges),
	    CASE(test_i8259_elcr_keeps_to_its_mask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
