/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vmm_rig.h"
#include "vmm/ioapic.h"

#define LEVEL  (1U << 15)
#define MASKED (1U << 16)
#define REMOTE (1U << 14)

static struct vmm_rig rig;
static struct lapic lapic;
static struct ioapic io;
static unsigned nmis;

static void
on_eoi(void *ctx, u8 vector)
{
	ioapic_eoi(ctx, vector);
}

static void
on_nmi(void *ctx)
{
	(void)ctx;
	nmis++;
}

static u64
tsc(void *ctx)
{
	(void)ctx;
	return 0;
}

static u32
get(u8 reg)
{
	ioapic_write(&io, 0, 4, reg);
	return (u32)ioapic_read(&io, 0x10, 4);
}

static void
put(u8 reg, u32 v)
{
	ioapic_write(&io, 0, 4, reg);
	ioapic_write(&io, 0x10, 4, v);
}

static void
program(unsigned pin, u32 low)
{
	put((u8)(0x10 + 2 * pin), low);
}

/* The processor takes the interrupt and ends it. */
static void
serve(u8 vector)
{
	assert_int_equal(lapic_vector(&lapic), vector);
	lapic_ack(&lapic, vector);
	lapic_write(&lapic, 0xb0, 4, 0);
}

static int
setup(void **state)
{
	struct lapic_wiring w = {.ctx = &io,
				 .eoi = on_eoi,
				 .nmi = on_nmi,
				 .tsc = tsc};

	(void)state;
	rig_init(&rig);
	lapic_init(&lapic, &rig.timers, &w);
	ioapic_init(&io, &lapic);
	nmis = 0;
	return 0;
}

static void
test_ioapic_has_24_masked_inputs(void **state)
{
	(void)state;
	assert_int_equal(get(1), 0x00170011);
	for (u8 pin = 0; pin < 24; pin++)
		assert_int_equal(get((u8)(0x10 + 2 * pin)), MASKED);
	assert_int_equal(get(0x40), 0);
	put(0, 0xffffffff);
	assert_int_equal(get(0), 0x0f000000);
	put(0x11, 0xffffffff); /* destination */
	assert_int_equal(get(0x11), 0xff000000);
	put(0x10, 0xffffffff); /* status bits are read only */
	assert_int_equal(get(0x10), 0x0001afff);
}

static void
test_ioapic_edge_sends_once(void **state)
{
	(void)state;
	program(4, 0x34);
	ioapic_set(&io, 4, true);
	serve(0x34);
	ioapic_set(&io, 4, true);
	assert_int_equal(lapic_vector(&lapic), -1);
	ioapic_set(&io, 4, false);
	assert_int_equal(lapic_vector(&lapic), -1);
	ioapic_set(&io, 4, true);
	serve(0x34);
}

static void
test_ioapic_edge_at_a_masked_input_is_lost(void **state)
{
	(void)state;
	program(4, MASKED | 0x34);
	ioapic_set(&io, 4, true);
	program(4, 0x34);
	assert_int_equal(lapic_vector(&lapic), -1);
}

static void
test_ioapic_level_sends_again_after_eoi_while_asserted(void **state)
{
	(void)state;
	program(9, LEVEL | 0x39);
	ioapic_set(&io, 9, true);
	assert_int_equal(get(0x22), LEVEL | REMOTE | 0x39);
	lapic_ack(&lapic, 0x39);
	assert_int_equal(lapic_vector(&lapic), -1);
	lapic_write(&lapic, 0xb0, 4, 0);
	assert_int_equal(lapic_vector(&lapic), 0x39);
	ioapic_set(&io, 9, false);
	serve(0x39); /* it had been sent */
	assert_int_equal(lapic_vector(&lapic), -1);
	assert_int_equal(get(0x22), LEVEL | 0x39);
}

static void
test_ioapic_level_at_a_masked_input_waits(void **state)
{
	(void)state;
	program(9, LEVEL | MASKED | 0x39);
	ioapic_set(&io, 9, true);
	assert_int_equal(lapic_vector(&lapic), -1);
	program(9, LEVEL | 0x39);
	serve(0x39);
}

static void
test_ioapic_eoi_of_another_vector_changes_nothing(void **state)
{
	(void)state;
	program(9, LEVEL | 0x39);
	ioapic_set(&io, 9, true);
	ioapic_eoi(&io, 0x38);
	assert_int_equal(get(0x22) & REMOTE, REMOTE);
}

static void
test_ioapic_switching_to_edge_clears_remote_irr(void **state)
{
	(void)state;
	program(9, LEVEL | 0x39);
	ioapic_set(&io, 9, true);
	ioapic_set(&io, 9, false);
	program(9, MASKED | 0x39);
	assert_int_equal(get(0x22), MASKED | 0x39);
	program(9, LEVEL | MASKED | 0x39);
	assert_int_equal(get(0x22), LEVEL | MASKED | 0x39);
}

static void
test_ioapic_writing_the_other_half_keeps_remote_irr(void **state)
{
	(void)state;
	program(9, LEVEL | 0x39);
	ioapic_set(&io, 9, true);
	put(0x23, 0);
	program(9, LEVEL | 0x39);
	assert_int_equal(get(0x22), LEVEL | REMOTE | 0x39);
}

static void
test_ioapic_nmi_mode(void **state)
{
	(void)state;
	program(3, 0x400);
	ioapic_set(&io, 3, true);
	assert_int_equal(nmis, 1);
	program(5, LEVEL | 0x400); /* needs no EOI */
	ioapic_set(&io, 5, true);
	assert_int_equal(nmis, 2);
	assert_int_equal(get(0x1a) & REMOTE, 0);
}

static void
test_ioapic_reset_keeps_the_lines(void **state)
{
	(void)state;
	ioapic_set(&io, 9, true);
	ioapic_reset(&io);
	program(9, LEVEL | 0x39);
	serve(0x39);
}

static void
test_ioapic_odd_accesses_do_no_harm(void **state)
{
	(void)state;
	ioapic_write(&io, 0, 1, 0x10);
	assert_int_equal(ioapic_read(&io, 0, 1), 0x10);
	ioapic_write(&io, 0x10, 1, 0);
	assert_int_equal(get(0x10), MASKED);
	assert_int_equal(ioapic_read(&io, 0x20, 4), 0);
	ioapic_write(&io, 0x20, 4, 0xffffffff);
	ioapic_write(&io, 0, 4, 0xff);
	ioapic_write(&io, 0x10, 4, 0xffffffff);
	assert_int_equal(ioapic_read(&io, 0x10, 4), 0);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_ioapic_has_24_masked_inputs),
	    CASE(test_ioapic_edge_sends_once),
	    CASE(test_ioapic_edge_at_a_masked_input_is_lost),
	    CASE(test_ioapic_level_sends_again_after_eoi_while_asserted),
	    CASE(test_ioapic_level_at_a_masked_input_waits),
	    CASE(test_ioapic_eoi_of_another_vector_changes_nothing),
	    CASE(test_ioapic_switching_to_edge_clears_remote_irr),
	    CASE(test_ioapic_writing_the_other_half_keeps_remote_irr),
	    CASE(test_ioapic_nmi_mode),
	    CASE(test_ioapic_reset_keeps_the_lines),
	    CASE(test_ioapic_odd_accesses_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
