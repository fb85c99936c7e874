/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vmm_rig.h"
#include "vmm/lapic.h"

enum {
	ID = 0x20,
	VERSION = 0x30,
	TPR = 0x80,
	PPR = 0xa0,
	EOI = 0xb0,
	LDR = 0xd0,
	DFR = 0xe0,
	SVR = 0xf0,
	ISR = 0x100,
	TMR = 0x180,
	IRR = 0x200,
	ESR = 0x280,
	ICR = 0x300,
	ICR_HIGH = 0x310,
	LVT_T = 0x320,
	LINT0 = 0x350,
	LVT_E = 0x370,
	INITIAL = 0x380,
	CURRENT = 0x390,
	DIVIDE = 0x3e0
};

#define PERIODIC 0x20000
#define DEADLINE 0x40000
#define MASKED	 0x10000

static struct vmm_rig rig;
static struct lapic apic;
static unsigned eois, nmis;
static u8 eoi_vector;
static u64 tsc_ahead; /* of virtual time */

static void
on_eoi(void *ctx, u8 vector)
{
	(void)ctx;
	eois++;
	eoi_vector = vector;
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
	return rig_now(&rig) + tsc_ahead;
}

static u32
get(u64 off)
{
	return (u32)lapic_read(&apic, off, 4);
}

static void
put(u64 off, u32 v)
{
	lapic_write(&apic, off, 4, v);
}

static void
message(u8 vector, bool level)
{
	lapic_message(&apic, 0, false, APIC_FIXED, vector, level);
}

static int
setup(void **state)
{
	struct lapic_wiring w = {.eoi = on_eoi, .nmi = on_nmi, .tsc = tsc};

	(void)state;
	rig_init(&rig);
	lapic_init(&apic, &rig.timers, &w);
	rig_skip(&rig, 1000);
	eois = nmis = 0;
	tsc_ahead = 0;
	return 0;
}

static void
test_lapic_starts_as_firmware_leaves_it(void **state)
{
	u64 base;

	(void)state;
	assert_int_equal(get(VERSION), 0x00050014);
	assert_int_equal(get(ID), 0);
	assert_int_equal(get(SVR), 0x10f);
	assert_int_equal(get(DFR), 0xffffffff);
	assert_int_equal(get(LVT_T), MASKED);
	assert_true(lapic_passes_extint(&apic));
	assert_true(lapic_msr_read(&apic, MSR_IA32_APIC_BASE, &base));
	assert_true(base == 0xfee00900);
}

static void
test_lapic_serves_by_priority_class(void **state)
{
	(void)state;
	assert_int_equal(lapic_vector(&apic), -1);
	message(0x31, false);
	message(0x45, false);
	message(0x41, false);
	assert_int_equal(lapic_vector(&apic), 0x45);
	lapic_ack(&apic, 0x45);
	assert_int_equal(get(PPR), 0x40);
	/* 41h is in the same class, 31h below */
	assert_int_equal(lapic_vector(&apic), -1);
	message(0x50, false);
	assert_int_equal(lapic_vector(&apic), 0x50);
	lapic_ack(&apic, 0x50);
	assert_int_equal(get(ISR + 0x20), 1 << 5 | 1 << 16);
	put(EOI, 0);
	assert_int_equal(get(ISR + 0x20), 1 << 5);
	put(EOI, 0);
	assert_int_equal(lapic_vector(&apic), 0x41);
	assert_int_equal(get(IRR + 0x10), 1 << 17);
	assert_int_equal(eois, 0); /* edges: nobody else is told */
}

static void
test_lapic_task_priority_holds_classes_back(void **state)
{
	(void)state;
	message(0x45, false);
	put(TPR, 0x40);
	assert_int_equal(lapic_vector(&apic), -1);
	put(TPR, 0x3f);
	assert_int_equal(lapic_vector(&apic), 0x45);
	assert_int_equal(get(PPR), 0x3f);
}

static void
test_lapic_eoi_of_a_level_interrupt_is_passed_on(void **state)
{
	(void)state;
	message(0x61, true);
	assert_int_equal(get(TMR + 0x30), 2);
	lapic_ack(&apic, 0x61);
	put(EOI, 0);
	assert_int_equal(eois, 1);
	assert_int_equal(eoi_vector, 0x61);
	put(EOI, 0); /* nothing in service */
	assert_int_equal(eois, 1);
}

static void
test_lapic_takes_only_what_is_addressed_to_it(void **state)
{
	static const struct {
		u32 ldr, dfr;
		u8 dest;
		bool logical, taken;
	} cases[] = {
	    {0, 0xffffffff, 0, false, true},
	    {0, 0xffffffff, 1, false, false},
	    {0, 0xffffffff, 0xff, false, true},
	    {0x01000000, 0xffffffff, 0x01, true, true},
	    {0x01000000, 0xffffffff, 0x03, true, true},
	    {0x01000000, 0xffffffff, 0x02, true, false},
	    {0x01000000, 0xffffffff, 0xff, true, true},
	    {0x21000000, 0x0fffffff, 0x21, true, true},
	    {0x21000000, 0x0fffffff, 0x23, true, true},
	    {0x21000000, 0x0fffffff, 0x22, true, false},
	    {0x21000000, 0x0fffffff, 0x11, true, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put(LDR, cases[i].ldr);
		put(DFR, cases[i].dfr);
		lapic_message(&apic, cases[i].dest, cases[i].logical,
			      APIC_FIXED, 0x70, false);
		assert_int_equal(lapic_vector(&apic),
				 cases[i].taken ? 0x70 : -1);
		if (cases[i].taken) {
			lapic_ack(&apic, 0x70);
			put(EOI, 0);
		}
	}
}

static void
test_lapic_interrupts_itself(void **state)
{
	(void)state;
	put(ICR, 0x00040080); /* shorthand: self */
	assert_int_equal(lapic_vector(&apic), 0x80);
	lapic_ack(&apic, 0x80);
	put(EOI, 0);
	put(ICR, 0x000c0080); /* all but self */
	assert_int_equal(lapic_vector(&apic), -1);
	put(ICR_HIGH, 0x01000000);
	put(ICR, 0x00000080); /* somebody else */
	assert_int_equal(lapic_vector(&apic), -1);
	put(ICR_HIGH, 0x00000000);
	put(ICR, 0x00000081);
	assert_int_equal(lapic_vector(&apic), 0x81);
	put(ICR, 0x00040400);
	assert_int_equal(nmis, 1);
	assert_int_equal(get(ICR) & 0x1000, 0); /* delivered */
}

static void
test_lapic_errors_are_collected_until_esr_is_written(void **state)
{
	(void)state;
	put(LVT_E, 0xee);
	put(ICR, 0x00040005); /* illegal vector to send */
	assert_int_equal(lapic_vector(&apic), 0xee);
	message(0x03, false); /* and to receive */
	(void)get(0x3c0);     /* no register there */
	assert_int_equal(get(ESR), 0);
	put(ESR, 0);
	assert_int_equal(get(ESR), 0xe0);
	put(ESR, 0);
	assert_int_equal(get(ESR), 0);
}

/* An illegal vector in the error entry must not call for itself. */
static void
test_lapic_error_entry_with_illegal_vector_ends(void **state)
{
	(void)state;
	put(LVT_E, 0x02);
	message(0x03, false);
	put(ESR, 0);
	assert_int_equal(get(ESR), 0x40);
}

static void
test_lapic_disabled_takes_nothing_and_masks_its_entries(void **state)
{
	(void)state;
	put(LVT_T, 0x50);
	put(SVR, 0x0ff);
	assert_int_equal(get(LVT_T), MASKED | 0x50);
	assert_int_equal(get(LINT0), MASKED | 0x700);
	assert_false(lapic_passes_extint(&apic));
	put(LVT_T, 0x50); /* the mask cannot be taken off */
	assert_int_equal(get(LVT_T), MASKED | 0x50);
	message(0x70, false);
	put(SVR, 0x1ff);
	assert_int_equal(lapic_vector(&apic), -1);
	put(LINT0, 0x700);
	assert_true(lapic_passes_extint(&apic));
	put(LINT0, MASKED | 0x700);
	assert_false(lapic_passes_extint(&apic));
	put(LINT0, 0x050); /* not ExtINT */
	assert_false(lapic_passes_extint(&apic));
}

static void
test_lapic_switched_off_leaves_the_8259_alone(void **state)
{
	u64 base;

	(void)state;
	assert_true(lapic_msr_write(&apic, MSR_IA32_APIC_BASE, 0xfee00100));
	assert_true(lapic_passes_extint(&apic));
	assert_true(lapic_read(&apic, VERSION, 4) == UINT64_MAX);
	message(0x70, false);
	assert_int_equal(lapic_vector(&apic), -1);
	assert_true(lapic_msr_write(&apic, MSR_IA32_APIC_BASE, 0xfee00800));
	assert_true(lapic_msr_read(&apic, MSR_IA32_APIC_BASE, &base));
	assert_true(base == 0xfee00900); /* the bootstrap bit stays */
	/* x2APIC and reserved bits */
	assert_false(lapic_msr_write(&apic, MSR_IA32_APIC_BASE, 0xfee00d00));
	assert_false(lapic_msr_write(&apic, MSR_IA32_APIC_BASE, 1ULL << 60));
	assert_false(lapic_msr_write(&apic, 0x123, 0));
	assert_false(lapic_msr_read(&apic, 0x123, &base));
}

static void
test_lapic_one_shot_counts_down_once(void **state)
{
	(void)state;
	put(DIVIDE, 0x0b); /* by 1 */
	put(LVT_T, 0x60);
	put(INITIAL, 5000);
	assert_int_equal(get(CURRENT), 5000);
	rig_run(&rig, 1000 + 4999);
	assert_int_equal(get(CURRENT), 1);
	assert_int_equal(lapic_vector(&apic), -1);
	rig_run(&rig, 1000 + 5000);
	assert_int_equal(lapic_vector(&apic), 0x60);
	assert_int_equal(get(CURRENT), 0);
	assert_int_equal(get(INITIAL), 5000);
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
	put(INITIAL, 100);
	put(INITIAL, 0); /* stopped */
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
	assert_int_equal(get(CURRENT), 0);
}

static void
test_lapic_divider_divides(void **state)
{
	static const struct {
		u32 value;
		u64 by;
	} d[] = {{0x0, 2},  {0x1, 4},  {0x2, 8},   {0x3, 16},
		 {0x8, 32}, {0x9, 64}, {0xa, 128}, {0xb, 1}};

	(void)state;
	put(LVT_T, 0x60);
	for (size_t i = 0; i < ARRAY_SIZE(d); i++) {
		put(DIVIDE, d[i].value);
		put(INITIAL, 1000);
		assert_int_equal(rig.timers.next_ns,
				 rig_now(&rig) + 1000 * d[i].by);
		rig_run(&rig, rig_now(&rig) + 250 * d[i].by);
		assert_int_equal(get(CURRENT), 750);
	}
	/* changed on the way: the count goes on at the new rate */
	put(DIVIDE, 0x0);
	assert_int_equal(get(CURRENT), 750);
	assert_int_equal(rig.timers.next_ns, rig_now(&rig) + 2 * 750);
}

static void
test_lapic_periodic_does_not_drift(void **state)
{
	u64 start = rig_now(&rig);

	(void)state;
	put(DIVIDE, 0x0b);
	put(LVT_T, PERIODIC | 0x60);
	put(INITIAL, 100000);
	for (int i = 1; i <= 100; i++) {
		rig_skip(&rig, rig.timers.next_ns + 777); /* always late */
		vtimers_run(&rig.timers);
		assert_int_equal(lapic_vector(&apic), 0x60);
		lapic_ack(&apic, 0x60);
		put(EOI, 0);
		assert_int_equal(rig.timers.next_ns,
				 start + (u64)(i + 1) * 100000);
	}
	rig_run(&rig, start + 101 * 100000 + 30000);
	assert_int_equal(get(CURRENT), 70000);
}

static void
test_lapic_periodic_storm_is_held_to_its_limit(void **state)
{
	unsigned stops;

	(void)state;
	put(DIVIDE, 0x0b);
	put(LVT_T, PERIODIC | 0x60);
	put(INITIAL, 1);
	stops = rig_run(&rig, rig_now(&rig) + NS_PER_MS);
	assert_in_range(stops, 90, 101);
	/* late by some, it does not ask for every missed one */
	rig_skip(&rig, rig_now(&rig) + NS_PER_SEC);
	vtimers_run(&rig.timers);
	assert_true(rig.timers.next_ns > rig_now(&rig));
}

static void
test_lapic_masked_timer_has_no_deadline_and_no_late_interrupt(void **state)
{
	(void)state;
	put(DIVIDE, 0x0b);
	put(LVT_T, MASKED | 0x60);
	put(INITIAL, 1000);
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
	rig_run(&rig, rig_now(&rig) + 400);
	assert_int_equal(get(CURRENT), 600);
	rig_run(&rig, rig_now(&rig) + 1000);
	put(LVT_T, 0x60); /* it has expired unseen */
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
	assert_int_equal(get(CURRENT), 0);
}

static void
test_lapic_tsc_deadline(void **state)
{
	u64 v;

	(void)state;
	tsc_ahead = 1000000;
	assert_true(lapic_msr_write(&apic, MSR_IA32_TSC_DEADLINE, 5));
	assert_true(rig.timers.next_ns == VCLOCK_NEVER); /* not that mode */
	put(LVT_T, DEADLINE | 0x60);
	put(INITIAL, 100); /* ignored in this mode */
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
	assert_true(lapic_msr_write(&apic, MSR_IA32_TSC_DEADLINE,
				    1000000 + 1000 + 500));
	assert_int_equal(rig.timers.next_ns, 1500);
	assert_true(lapic_msr_read(&apic, MSR_IA32_TSC_DEADLINE, &v));
	assert_int_equal(v, 1001500);
	rig_run(&rig, 1500);
	assert_int_equal(lapic_vector(&apic), 0x60);
	assert_true(lapic_msr_read(&apic, MSR_IA32_TSC_DEADLINE, &v));
	assert_int_equal(v, 0);
	lapic_ack(&apic, 0x60);
	put(EOI, 0);
	/* in the past: at once */
	assert_true(lapic_msr_write(&apic, MSR_IA32_TSC_DEADLINE, 7));
	rig_run(&rig, 1500);
	assert_int_equal(lapic_vector(&apic), 0x60);
	/* disarmed by zero, and by leaving the mode */
	assert_true(lapic_msr_write(&apic, MSR_IA32_TSC_DEADLINE, UINT64_MAX));
	assert_true(lapic_msr_write(&apic, MSR_IA32_TSC_DEADLINE, 0));
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
	assert_true(
	    lapic_msr_write(&apic, MSR_IA32_TSC_DEADLINE, 1000000 + 9000));
	put(LVT_T, 0x60);
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
}

static void
test_lapic_odd_accesses_do_no_harm(void **state)
{
	(void)state;
	put(TPR, 0x20);
	lapic_write(&apic, TPR + 4, 4, 0xff);
	lapic_write(&apic, TPR, 1, 0xff);
	assert_int_equal(get(TPR), 0x20);
	assert_int_equal(lapic_read(&apic, VERSION + 2, 1), 0x05);
	assert_int_equal(lapic_read(&apic, VERSION + 4, 4), 0);
	put(VERSION, 0);
	put(PPR, 0xff);
	put(ISR, 0xffffffff);
	put(CURRENT, 5);
	assert_int_equal(get(VERSION), 0x00050014);
	put(ESR, 0);
	assert_int_equal(get(ESR), 0);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_lapic_starts_as_firmware_leaves_it),
	    CASE(test_lapic_serves_by_priority_class),
	    CASE(test_lapic_task_priority_holds_classes_back),
	    CASE(test_lapic_eoi_of_a_level_interrupt_is_passed_on),
	    CASE(test_lapic_takes_only_what_is_addressed_to_it),
	    CASE(test_lapic_interrupts_itself),
	    CASE(test_lapic_errors_are_collected_until_esr_is_written),
	    CASE(test_lapic_error_entry_with_illegal_vector_ends),
	    CASE(test_lapic_disabled_takes_nothing_and_masks_its_entries),
	    CASE(test_lapic_switched_off_leaves_the_8259_alone),
	    CASE(test_lapic_one_shot_counts_down_once),
	    CASE(test_lapic_divider_divides),
	    CASE(test_lapic_periodic_does_not_drift),
	    CASE(test_lapic_periodic_storm_is_held_to_its_limit),
	    CASE(test_lapic_masked_timer_has_no_deadline_and_no_late_interrupt),
	    CASE(test_lapic_tsc_deadline),
	    CASE(test_lapic_odd_accesses_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
