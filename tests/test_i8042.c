/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vmm_rig.h"
#include "vmm/i8042.h"

static struct i8042 kbd;
static struct rig_line irq1, irq12;
static unsigned resets;

static void
reset(void *ctx)
{
	(void)ctx;
	resets++;
}

static void
out(u16 port, u8 v)
{
	i8042_write(&kbd, port, 1, v);
}

static u8
in(u16 port)
{
	return (u8)i8042_read(&kbd, port, 1);
}

static int
setup(void **state)
{
	(void)state;
	i8042_init(&kbd, rig_wire(&irq1), rig_wire(&irq12), reset, NULL);
	resets = 0;
	return 0;
}

static void
test_i8042_self_test_passes(void **state)
{
	(void)state;
	assert_int_equal(in(0x64) & 1, 0);
	out(0x64, 0xaa);
	assert_int_equal(in(0x64) & 1, 1);
	assert_int_equal(in(0x60), 0x55);
	assert_int_equal(in(0x64) & 1, 0);
	assert_int_equal(in(0x64) & 4, 4); /* system flag */
}

static void
test_i8042_has_nothing_plugged_in(void **state)
{
	(void)state;
	out(0x64, 0xab);
	assert_int_equal(in(0x60), 0x01);
	out(0x64, 0xa9);
	assert_int_equal(in(0x60), 0x01);
	out(0x60, 0xff); /* reset, to a keyboard: silence */
	assert_int_equal(in(0x64) & 1, 0);
	out(0x64, 0xd4);
	out(0x60, 0xff);
	assert_int_equal(in(0x64) & 1, 0);
}

static void
test_i8042_command_byte_and_ram_are_kept(void **state)
{
	(void)state;
	out(0x64, 0x60);
	out(0x60, 0x47);
	out(0x64, 0x20);
	assert_int_equal(in(0x60), 0x47);
	out(0x64, 0x7f);
	out(0x60, 0x99);
	out(0x64, 0x3f);
	assert_int_equal(in(0x60), 0x99);
	out(0x64, 0xad);
	out(0x64, 0xa7);
	out(0x64, 0x20);
	assert_int_equal(in(0x60), 0x77);
	out(0x64, 0xae);
	out(0x64, 0xa8);
	out(0x64, 0x20);
	assert_int_equal(in(0x60), 0x47);
}

static void
test_i8042_loop_commands_interrupt_when_enabled(void **state)
{
	(void)state;
	out(0x64, 0xd2);
	out(0x60, 0x12);
	assert_false(irq1.level);
	assert_int_equal(in(0x60), 0x12);
	out(0x64, 0x60);
	out(0x60, 0x03);
	out(0x64, 0xd2);
	out(0x60, 0x34);
	assert_true(irq1.level);
	assert_false(irq12.level);
	assert_int_equal(in(0x60), 0x34);
	assert_false(irq1.level);
	out(0x64, 0xd3);
	out(0x60, 0x56);
	assert_true(irq12.level);
	assert_int_equal(in(0x64) & 0x21, 0x21);
	assert_int_equal(in(0x60), 0x56);
	assert_false(irq12.level);
}

static void
test_i8042_resets_by_pulse_and_by_output_port(void **state)
{
	(void)state;
	out(0x64, 0xff); /* pulses nothing */
	assert_int_equal(resets, 0);
	out(0x64, 0xfe);
	assert_int_equal(resets, 1);
	out(0x64, 0xd1);
	out(0x60, 0xcf);
	assert_int_equal(resets, 1);
	out(0x64, 0xd1);
	out(0x60, 0xce);
	assert_int_equal(resets, 2);
	out(0x92, 0x02);
	assert_int_equal(resets, 2);
	out(0x92, 0x03);
	assert_int_equal(resets, 3);
}

static void
test_i8042_a20_is_one_line_with_two_switches(void **state)
{
	(void)state;
	assert_int_equal(in(0x92), 0x02);
	out(0x92, 0x00);
	out(0x64, 0xd0);
	assert_int_equal(in(0x60) & 2, 0);
	out(0x64, 0xd1);
	out(0x60, 0xcf);
	assert_int_equal(in(0x92), 0x02);
}

static void
test_i8042_status_tells_command_from_data(void **state)
{
	(void)state;
	out(0x64, 0xae);
	assert_int_equal(in(0x64) & 8, 8);
	out(0x60, 0x00);
	assert_int_equal(in(0x64) & 8, 0);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_i8042_self_test_passes),
	    CASE(test_i8042_has_nothing_plugged_in),
	    CASE(test_i8042_command_byte_and_ram_are_kept),
	    CASE(test_i8042_loop_commands_interrupt_when_enabled),
	    CASE(test_i8042_resets_by_pulse_and_by_output_port),
	    CASE(test_i8042_a20_is_one_line_with_two_switches),
	    CASE(test_i8042_status_tells_command_from_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
