/* SPDX-License-Identifier: BSD-2-Clause */
#include <time.h>

#include "tests/vmm_rig.h"
#include "vmm/mc146818.h"

static struct vmm_rig rig;
static struct mc146818 rtc;
static struct rig_line irq;

#define BCD(v) ((u8)((v) / 10 << 4 | (v) % 10))

static void
put(u8 reg, u8 v)
{
	mc146818_write(&rtc, 0x70, 1, reg);
	mc146818_write(&rtc, 0x71, 1, v);
}

static u8
get(u8 reg)
{
	mc146818_write(&rtc, 0x70, 1, reg);
	return (u8)mc146818_read(&rtc, 0x71, 1);
}

/* 2006-11-15 23:59:50.25 UTC, a Wednesday */
#define WALL_NS (1163635190ULL * NS_PER_SEC + 250 * NS_PER_MS)

static int
setup(void **state)
{
	(void)state;
	rig_init(&rig);
	mc146818_init(&rtc, &rig.timers, rig_wire(&irq), WALL_NS);
	return 0;
}

static void
assert_time(int century, int year, int month, int day, int weekday, int hour,
	    int minute, int second)
{
	assert_int_equal(get(0x32), BCD(century));
	assert_int_equal(get(9), BCD(year));
	assert_int_equal(get(8), BCD(month));
	assert_int_equal(get(7), BCD(day));
	assert_int_equal(get(6), weekday);
	assert_int_equal(get(4), BCD(hour));
	assert_int_equal(get(2), BCD(minute));
	assert_int_equal(get(0), BCD(second));
}

static void
test_mc146818_shows_wall_time_and_carries(void **state)
{
	(void)state;
	assert_time(20, 6, 11, 15, 4, 23, 59, 50);
	rig_run(&rig, 9749 * NS_PER_MS);
	assert_time(20, 6, 11, 15, 4, 23, 59, 59);
	rig_run(&rig, 9750 * NS_PER_MS);
	assert_time(20, 6, 11, 16, 5, 0, 0, 0);
	assert_int_equal(get(0x0d), 0x80);
}

/* Every day of 400 years against the C library. */
static void
test_mc146818_calendar_agrees_with_gmtime(void **state)
{
	(void)state;
	for (s64 day = 0; day < 146097 + 366; day += 1) {
		time_t t = (time_t)(day * 86400 + day % 86400);
		struct tm tm;

		rtc.s.wall_secs = t;
		rtc.s.wall_part_ns = 0;
		gmtime_r(&t, &tm);
		assert_int_equal(get(7), BCD(tm.tm_mday));
		assert_int_equal(get(8), BCD(tm.tm_mon + 1));
		assert_int_equal(get(9), BCD(tm.tm_year % 100));
		assert_int_equal(get(0x32), BCD((tm.tm_year + 1900) / 100));
		assert_int_equal(get(6), tm.tm_wday + 1);
	}
}

static void
test_mc146818_set_takes_the_new_time(void **state)
{
	(void)state;
	put(0x0b, 0x82);
	put(0x32, 0x19);
	put(9, 0x99);
	put(8, 0x12);
	put(7, 0x31);
	put(4, 0x23);
	put(2, 0x59);
	put(0, 0x58);
	rig_run(&rig, 5 * NS_PER_SEC);
	assert_int_equal(get(0), 0x58); /* stands still */
	put(0x0b, 0x02);
	assert_time(19, 99, 12, 31, 6, 23, 59, 58);
	rig_run(&rig, 7 * NS_PER_SEC);
	assert_time(20, 0, 1, 1, 7, 0, 0, 0);
}

static void
test_mc146818_one_register_can_be_set_while_it_runs(void **state)
{
	(void)state;
	put(2, 0x30);
	assert_time(20, 6, 11, 15, 4, 23, 30, 50);
	rig_run(&rig, 749 * NS_PER_MS);
	assert_int_equal(get(0), 0x50);
	rig_run(&rig, 750 * NS_PER_MS); /* the second did not move */
	assert_int_equal(get(0), 0x51);
}

static void
test_mc146818_binary_and_12_hour_modes(void **state)
{
	(void)state;
	put(0x0b, 0x04); /* binary, 12 hours */
	assert_int_equal(get(4), 0x80 | 11);
	assert_int_equal(get(2), 59);
	put(4, 12); /* midnight */
	put(0x0b, 0x06);
	assert_int_equal(get(4), 0);
	put(0x0b, 0x00);
	put(4, 0x92); /* noon */
	put(0x0b, 0x02);
	assert_int_equal(get(4), 0x12);
}

static void
test_mc146818_divider_reset_starts_half_a_second_before(void **state)
{
	(void)state;
	put(0x0a, 0x76);
	put(0, 0x10);
	rig_run(&rig, 3 * NS_PER_SEC);
	put(0x0a, 0x26);
	rig_run(&rig, 3 * NS_PER_SEC + 499 * NS_PER_MS);
	assert_int_equal(get(0), 0x10);
	rig_run(&rig, 3 * NS_PER_SEC + 500 * NS_PER_MS);
	assert_int_equal(get(0), 0x11);
}

static void
test_mc146818_update_in_progress_warns_244_us_before(void **state)
{
	(void)state;
	assert_int_equal(get(0x0a), 0x26);
	rig_run(&rig, 750 * NS_PER_MS - 245 * NS_PER_US);
	assert_int_equal(get(0x0a), 0x26);
	rig_run(&rig, 750 * NS_PER_MS - 244 * NS_PER_US);
	assert_int_equal(get(0x0a), 0xa6);
	rig_run(&rig, 750 * NS_PER_MS);
	assert_int_equal(get(0x0a), 0x26);
	put(0x0b, 0x82);
	rig_run(&rig, 1750 * NS_PER_MS - 1);
	assert_int_equal(get(0x0a), 0x26); /* SET: no updates */
}

static void
test_mc146818_idle_clock_has_no_deadline(void **state)
{
	(void)state;
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
	rig_run(&rig, 5 * NS_PER_SEC);
	assert_false(irq.level);
	/* flags are set nevertheless */
	assert_int_equal(get(0x0c), 0x50);
	assert_int_equal(get(0x0c), 0x00);
	/* the alarm, too: it stands at midnight */
	rig_run(&rig, 10 * NS_PER_SEC);
	assert_int_equal(get(0x0c), 0x70);
}

static void
test_mc146818_update_ended_interrupt(void **state)
{
	(void)state;
	put(0x0b, 0x12);
	assert_int_equal(rig.timers.next_ns, 750 * NS_PER_MS);
	rig_run(&rig, 750 * NS_PER_MS);
	assert_true(irq.level);
	/* asserted until C is read: no further deadline before */
	assert_int_equal(rig_run(&rig, 20 * NS_PER_SEC), 0);
	assert_int_equal(get(0x0c) & 0x90, 0x90);
	assert_false(irq.level);
	assert_int_equal(rig.timers.next_ns, 20750 * NS_PER_MS);
	put(0x0b, 0x92); /* SET clears UIE */
	assert_int_equal(get(0x0b), 0x82);
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
}

static void
test_mc146818_periodic_interrupt_has_the_selected_rate(void **state)
{
	static const struct {
		u8 rs;
		unsigned hz;
	} rates[] = {{1, 256}, {2, 128}, {3, 8192}, {6, 1024}, {15, 2}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		u64 end = rig_now(&rig) + 4 * NS_PER_SEC;
		unsigned n = 0;

		put(0x0a, 0x20 | rates[i].rs);
		put(0x0b, 0x42);
		while (rig.timers.next_ns <= end) {
			rig_run(&rig, rig.timers.next_ns);
			assert_true(irq.level);
			assert_int_equal(get(0x0c) & 0xc0, 0xc0);
			assert_false(irq.level);
			n++;
		}
		rig_run(&rig, end);
		assert_in_range(n, 4 * rates[i].hz - 1, 4 * rates[i].hz + 1);
		put(0x0b, 0x02);
	}
	put(0x0a, 0x20);
	put(0x0b, 0x42); /* rate 0: none */
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
}

static void
test_mc146818_alarm_at_a_time_of_day(void **state)
{
	(void)state;
	put(5, 0x07);
	put(3, 0x30);
	put(1, 0x15);
	put(0x0b, 0x22);
	/* from 23:59:50.25 to 07:30:15 */
	assert_int_equal(rig.timers.next_ns,
			 (7 * 3600 + 30 * 60 + 15 + 10) * NS_PER_SEC -
			     250 * NS_PER_MS);
	rig_run(&rig, rig.timers.next_ns);
	assert_true(irq.level);
	assert_int_equal(get(4), 0x07);
	assert_int_equal(get(2), 0x30);
	assert_int_equal(get(0), 0x15);
	assert_int_equal(get(0x0c) & 0xa0, 0xa0);
	/* and again a day later */
	assert_int_equal(rig.timers.next_ns - rig_now(&rig),
			 86400 * NS_PER_SEC);
}

static void
test_mc146818_alarm_ignores_fields_that_say_any(void **state)
{
	(void)state;
	put(5, 0xff);
	put(3, 0xc0);
	put(1, 0x55);
	put(0x0b, 0x22);
	assert_int_equal(rig.timers.next_ns, 4750 * NS_PER_MS);
	rig_run(&rig, rig.timers.next_ns);
	assert_int_equal(get(0x0c) & 0x20, 0x20);
	assert_int_equal(rig.timers.next_ns, 64750 * NS_PER_MS);
	put(1, 0xff); /* every second */
	assert_int_equal(rig.timers.next_ns, 5750 * NS_PER_MS);
	put(5, 0x25); /* never */
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
}

/* Whatever a guest writes into the time, it must not hurt. */
static void
test_mc146818_nonsense_time_is_survived(void **state)
{
	(void)state;
	for (unsigned v = 0; v < 256; v++) {
		put(0x0b, v & 1 ? 0x86 : 0x82);
		for (u8 reg = 0; reg < 10; reg++)
			put(reg, (u8)v);
		put(0x32, (u8)v);
		put(0x0b, v & 1 ? 0x26 : 0x22);
		rig_skip(&rig, rig_now(&rig) + NS_PER_SEC / 3);
		(void)get(0x0c);
		(void)get(9);
	}
}

static void
test_mc146818_reset_keeps_time_and_memory(void **state)
{
	(void)state;
	put(0x40, 0x5a);
	put(0x0b, 0x72);
	rig_run(&rig, NS_PER_SEC);
	assert_true(irq.level);
	mc146818_reset(&rtc);
	assert_false(irq.level);
	assert_true(rig.timers.next_ns == VCLOCK_NEVER);
	assert_int_equal(get(0x0b), 0x02);
	assert_int_equal(get(0x40), 0x5a);
	assert_time(20, 6, 11, 15, 4, 23, 59, 51);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_mc146818_shows_wall_time_and_carries),
	    CASE(test_mc146818_calendar_agrees_with_gmtime),
	    CASE(test_mc146818_set_takes_the_new_time),
	    CASE(test_mc146818_one_register_can_be_set_while_it_runs),
	    CASE(test_mc146818_binary_and_12_hour_modes),
	    CASE(test_mc146818_divider_reset_starts_half_a_second_before),
	    CASE(test_mc146818_update_in_progress_warns_244_us_before),
	    CASE(test_mc146818_idle_clock_has_no_deadline),
	    CASE(test_mc146818_update_ended_interrupt),
	    CASE(test_mc146818_periodic_interrupt_has_the_selected_rate),
	    CASE(test_mc146818_alarm_at_a_time_of_day),
	    CASE(test_mc146818_alarm_ignores_fields_that_say_any),
	    CASE(test_mc146818_nonsense_time_is_survived),
	    CASE(test_mc146818_reset_keeps_time_and_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
