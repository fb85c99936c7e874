/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vmm_rig.h"
#include "vmm/acpi_pm.h"

#define BASE 0x600

static struct vmm_rig rig;
static struct acpi_pm pm;
static struct rig_line sci;
static unsigned poweroffs;

static void
poweroff(void *ctx)
{
	(void)ctx;
	poweroffs++;
}

static u32
in(u16 reg, unsigned size_bytes)
{
	return acpi_pm_read(&pm, BASE + reg, size_bytes);
}

static void
out(u16 reg, unsigned size_bytes, u32 v)
{
	acpi_pm_write(&pm, BASE + reg, size_bytes, v);
}

static int
setup(void **state)
{
	(void)state;
	rig_init(&rig);
	acpi_pm_init(&pm, &rig.timers, rig_wire(&sci), poweroff, NULL);
	poweroffs = 0;
	return 0;
}

static void
test_acpi_pm_timer_counts_at_its_frequency(void **state)
{
	(void)state;
	assert_int_equal(in(8, 4), 0);
	rig_run(&rig, NS_PER_SEC);
	assert_int_equal(in(8, 4), 3579545);
	rig_run(&rig, 3600 * NS_PER_SEC);
	assert_int_equal(in(8, 4), (u32)(3600ULL * 3579545));
	assert_int_equal(in(9, 1), (3600ULL * 3579545) >> 8 & 0xff);
	assert_int_equal(in(10, 2), (3600ULL * 3579545) >> 16 & 0xffff);
	out(8, 4, 0); /* read only */
	assert_int_equal(in(8, 4), (u32)(3600ULL * 3579545));
}

static void
test_acpi_pm_timer_carry_is_a_deadline_only_when_enabled(void **state)
{
	const u64 half_ns = tick_ns(1ULL << 31, ACPI_PM_HZ);

	(void)state;
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
	rig_run(&rig, half_ns - 1);
	assert_int_equal(in(0, 2), 0);
	rig_run(&rig, half_ns);
	assert_int_equal(in(0, 2), 1); /* set even though disabled */
	assert_false(sci.level);
	out(0, 2, 1);
	assert_int_equal(in(0, 2), 0);
	out(2, 2, 1);
	assert_int_equal(rig.timers.next_ns, tick_ns(2ULL << 31, ACPI_PM_HZ));
	rig_run(&rig, rig.timers.next_ns);
	assert_true(sci.level);
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
	out(0, 2, 1);
	assert_false(sci.level);
	assert_int_equal(rig.timers.next_ns, tick_ns(3ULL << 31, ACPI_PM_HZ));
}

static void
test_acpi_pm_button_raises_the_sci_until_cleared(void **state)
{
	(void)state;
	acpi_pm_button(&pm);
	assert_false(sci.level);
	assert_int_equal(in(0, 2), 0x100);
	out(2, 2, 0x120);
	assert_true(sci.level);
	assert_int_equal(in(2, 2), 0x120);
	out(0, 2, 0x20); /* another bit: stays */
	assert_true(sci.level);
	out(0, 2, 0x100);
	assert_false(sci.level);
	acpi_pm_button(&pm);
	assert_true(sci.level);
	/* both halves by one 4-byte write */
	out(0, 4, 0x00000100);
	assert_int_equal(in(0, 4), 0);
	assert_false(sci.level);
}

static void
test_acpi_pm_enables_can_be_written_by_bytes(void **state)
{
	(void)state;
	out(3, 1, 0x01);
	assert_int_equal(in(2, 2), 0x100);
	out(2, 1, 0x21);
	assert_int_equal(in(2, 2), 0x121);
	out(2, 2, 0xffff); /* only bits that exist */
	assert_int_equal(in(2, 2), 0x521);
}

static void
test_acpi_pm_is_always_in_acpi_mode(void **state)
{
	(void)state;
	assert_int_equal(in(4, 2), 1);
	out(4, 2, 0);
	assert_int_equal(in(4, 2), 1);
	out(4, 2, 0x1c02);
	assert_int_equal(in(4, 2), 0x1c03);
}

static void
test_acpi_pm_powers_off_by_sleep_type_and_enable(void **state)
{
	(void)state;
	out(4, 2, ACPI_S5_TYPE << 10);
	assert_int_equal(poweroffs, 0);
	out(4, 2, 5 << 10 | 1 << 13); /* a state we do not have */
	assert_int_equal(poweroffs, 0);
	assert_int_equal(in(4, 2) & 0x2000, 0); /* write only */
	out(4, 2, ACPI_S5_TYPE << 10 | 1 << 13);
	assert_int_equal(poweroffs, 1);
	/* the two bytes one by one, as some systems do */
	out(4, 1, 0);
	out(5, 1, 0x20);
	assert_int_equal(poweroffs, 2);
}

static void
test_acpi_pm_unused_registers_read_zero(void **state)
{
	(void)state;
	for (u16 reg = 12; reg < ACPI_PM_PORTS; reg += 4) {
		out(reg, 4, 0xffffffff);
		assert_int_equal(in(reg, 4), 0);
	}
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_acpi_pm_timer_counts_at_its_frequency),
	    CASE(test_acpi_pm_timer_carry_is_a_deadline_only_when_enabled),
	    CASE(test_acpi_pm_button_raises_the_sci_until_cleared),
	    CASE(test_acpi_pm_enables_can_be_written_by_bytes),
	    CASE(test_acpi_pm_is_always_in_acpi_mode),
	    CASE(test_acpi_pm_powers_off_by_sleep_type_and_enable),
	    CASE(test_acpi_pm_unused_registers_read_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
