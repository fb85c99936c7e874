/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tests/boot_rig.h"
#include "tests/fake_hv.h"
#include "tests/vmm_rig.h"
#include "vmm/machine_int.h"

static u8 image[RIG_IMAGE_MAX];
static char kernel[512];
static struct machine *m;
static struct machine_end end;
static struct machine_config cfg;

static u8 sent[64];
static size_t sent_count;

static void
sink(struct chardev *cd, const u8 *bytes, size_t count)
{
	(void)cd;
	assert_true(sent_count + count <= sizeof(sent));
	memcpy(sent + sent_count, bytes, count);
	sent_count += count;
}

static struct chardev console = {.write = sink};

static int
setup(void **state)
{
	(void)state;
	snprintf(kernel, sizeof(kernel), "%s",
		 rig_file("vcpu-kernel", image,
			  rig_bzimage(image, (const u8 *)"\xf4", 1)));
	cfg = (struct machine_config){
	    .memory_bytes = 32 << 20,
	    .kernel = kernel,
	    .append = "quiet",
	    .serial = {&console},
	};
	sent_count = 0;
	m = NULL;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	machine_close(m);
	unlink(kernel);
	return 0;
}

static void
open_machine(const struct fake_step *steps, unsigned count, bool irqchip)
{
	struct err e = {""};

	fake_hv_script(steps, count);
	fake_hv.has_irqchip = irqchip;
	assert_int_equal(machine_open_ops(&m, &cfg,
					  irqchip ? &fake_hv_ops_irqchip
						  : &fake_hv_ops,
					  &e),
			 0);
}

#define PLAY(steps) \
	do { \
		open_machine(steps, ARRAY_SIZE(steps), false); \
		machine_run(m, &end); \
	} while (0)

/* The 8259 pair as an operating system sets it up: vectors 20h and 28h. */
#define PIC_SETUP \
	FAKE_OUT(0x20, 0x11), FAKE_OUT(0x21, 0x20), FAKE_OUT(0x21, 0x04), \
	    FAKE_OUT(0x21, 0x01), FAKE_OUT(0xa0, 0x11), FAKE_OUT(0xa1, 0x28), \
	    FAKE_OUT(0xa1, 0x02), FAKE_OUT(0xa1, 0x01), FAKE_OUT(0x21, 0x00), \
	    FAKE_OUT(0xa1, 0x00)
#define PIC_STEPS 10

static void
make_ready(void)
{
	fake_hv.ready = true;
}

static void
test_vcpu_routes_port_accesses(void **state)
{
	static const struct fake_step steps[] = {
	    FAKE_OUT(0x3f8, 'h'),
	    FAKE_OUT(0x3f8, 'i'),
	    FAKE_IN(0x3fd),
	    FAKE_IN(0x1234),
	};

	(void)state;
	PLAY(steps);
	assert_int_equal(end.kind, MACHINE_DEBUG_EXIT);
	assert_int_equal(sent_count, 2);
	assert_memory_equal(sent, "hi", 2);
	assert_int_equal(fake_hv.answer[2], 0x60);
	assert_int_equal(fake_hv.answer[3], 0xff);
}

static void
test_vcpu_debug_exit_carries_its_byte(void **state)
{
	static const struct fake_step steps[] = {
	    FAKE_OUT(MACHINE_DEBUG_EXIT_PORT, 42), FAKE_OUT(0x3f8, 'x')};

	(void)state;
	PLAY(steps);
	assert_int_equal(end.kind, MACHINE_DEBUG_EXIT);
	assert_int_equal(end.code, 42);
	assert_int_equal(fake_hv.at, 1); /* nothing ran after it */
}

static void
test_vcpu_triple_fault_ends_with_a_register_dump(void **state)
{
	static const struct fake_step steps[] = {{.kind = HV_EXIT_SHUTDOWN}};

	(void)state;
	PLAY(steps);
	assert_int_equal(end.kind, MACHINE_TRIPLE_FAULT);
	assert_non_null(strstr(end.text, "rip 0000000001000200"));
}

static void
test_vcpu_driver_failure_ends_with_its_words(void **state)
{
	static const struct fake_step steps[] = {{.kind = HV_EXIT_ERROR}};

	(void)state;
	PLAY(steps);
	assert_int_equal(end.kind, MACHINE_ERROR);
	assert_memory_equal(end.text, "fake trouble\n", 13);
	assert_non_null(strstr(end.text, "rip 0000000001000200"));
}

static void
test_vcpu_powers_off(void **state)
{
	static const struct fake_step steps[] = {FAKE_OUT(0x604, 0),
						 FAKE_OUT(0x605, 0x20)};

	(void)state;
	PLAY(steps);
	assert_int_equal(end.kind, MACHINE_POWEROFF);
}

static void
test_vcpu_reset_ends_where_reboot_is_not_wanted(void **state)
{
	static const struct fake_step steps[] = {FAKE_OUT(0x64, 0xfe)};

	(void)state;
	cfg.no_reboot = true;
	PLAY(steps);
	assert_int_equal(end.kind, MACHINE_REBOOT);
	assert_int_equal(fake_hv.state_sets, 1);
}

static void
spoil_memory(void)
{
	static const u8 junk[16] = {0xcc};

	assert_true(ram_write(&m->ram, RIG_LOAD_GPA + 0x200, junk, 16));
	assert_true(ram_write(&m->ram, 0x1800000, junk, 16));
	fake_hv.state.rip = 0xdead;
}

static void
test_vcpu_reset_starts_afresh(void **state)
{
	static const struct fake_step steps[] = {FAKE_OUT(0x3fb, 0x1b),
						 FAKE_OUT(0x21, 0x5a),
						 {.kind = HV_EXIT_KICK,
						  .before = spoil_memory},
						 FAKE_OUT(0xcf9, 0x06),
						 FAKE_IN(0x3fb),
						 FAKE_IN(0x21)};
	u8 b[1];

	(void)state;
	PLAY(steps);
	assert_int_equal(end.kind, MACHINE_DEBUG_EXIT);
	assert_int_equal(fake_hv.state_sets, 2);
	assert_int_equal(fake_hv.state.rip, RIG_LOAD_GPA + 0x200);
	assert_true(ram_read(&m->ram, RIG_LOAD_GPA + 0x200, b, 1));
	assert_int_equal(b[0], 0xf4);
	assert_true(ram_read(&m->ram, 0x1800000, b, 1));
	assert_int_equal(b[0], 0);
	assert_int_equal(fake_hv.answer[4], 0);
	assert_int_equal(fake_hv.answer[5], 0xff);
}

/* HLT sleeps until the timer's deadline; the interrupt is there then, and run()
 * was not called in between. */
static void
test_vcpu_halt_lasts_until_the_timer(void **state)
{
	static const struct fake_step steps[] = {
	    PIC_SETUP,
	    FAKE_OUT(0x43, 0x30),
	    FAKE_OUT(0x40, 0x60),
	    FAKE_OUT(0x40, 0x09), /* 2400: 2 ms */
	    {.kind = HV_EXIT_HLT, .before = make_ready}};
	struct machine_stats st;

	(void)state;
	PLAY(steps);
	assert_int_equal(fake_hv.interrupts, 1);
	assert_int_equal(fake_hv.vector[0], 0x20);
	assert_int_equal(fake_hv.runs, ARRAY_SIZE(steps) + 1);
	machine_stats(m, &st);
	assert_true(st.run_ns >= 2011 * NS_PER_US);
	assert_int_equal(st.exits_hlt, 1);
	assert_int_equal(st.interrupts, 1);
	assert_int_equal(st.insns, 4711);
}

/* run() is told the next deadline, and "none" when there is none. */
static void
test_vcpu_passes_the_next_deadline(void **state)
{
	static const struct fake_step steps[] = {FAKE_OUT(0x43, 0x30),
						 FAKE_OUT(0x40, 0xff),
						 FAKE_OUT(0x40, 0xff)};

	(void)state;
	PLAY(steps);
	assert_true(fake_hv.deadline[0] == VCLOCK_NEVER);
	assert_in_range(fake_hv.deadline[3], 54924 * NS_PER_US,
			56 * NS_PER_SEC);
	assert_true(fake_hv.deadline[3] == m->pit.timer.deadline_ns);
}

static void
test_vcpu_waits_for_the_window(void **state)
{
	/* an unmasked interrupt from the RTC's update, flagged by hand: the
	 * keyboard controller's loop command raises IRQ 1 at once */
	static const struct fake_step steps[] = {PIC_SETUP,
						 FAKE_OUT(0x64, 0x60),
						 FAKE_OUT(0x60, 0x01),
						 FAKE_OUT(0x64, 0xd2),
						 FAKE_OUT(0x60, 0x55),
						 {.kind = HV_EXIT_IRQ_WINDOW,
						  .before = make_ready},
						 {.kind = HV_EXIT_KICK}};

	(void)state;
	PLAY(steps);
	assert_int_equal(fake_hv.interrupts, 1);
	assert_int_equal(fake_hv.vector[0], 0x21);
	/* power-on, asked for, taken back */
	assert_int_equal(fake_hv.windows, 3);
	assert_false(fake_hv.window);
}

static void
test_vcpu_msr_reaches_the_local_apic_or_faults(void **state)
{
	static const struct fake_step steps[] = {
	    {.kind = HV_EXIT_MSR,
	     .value = MSR_IA32_TSC_DEADLINE,
	     .write = true,
	     .msr_value = 5},
	    {.kind = HV_EXIT_MSR, .value = MSR_IA32_TSC_DEADLINE},
	    {.kind = HV_EXIT_MSR, .value = 0x12345},
	};

	(void)state;
	PLAY(steps);
	assert_false(fake_hv.fault[0]);
	assert_false(fake_hv.fault[1]);
	assert_true(fake_hv.fault[2]);
}

static const char *
command_line(void)
{
	return (const char *)ram_at(&m->ram, BOOT_CMDLINE_GPA, 1);
}

static void
test_vcpu_machine_without_lapic_says_so(void **state)
{
	static const struct fake_step steps[] = {
	    {.kind = HV_EXIT_MSR, .value = MSR_IA32_TSC_DEADLINE}};

	(void)state;
	PLAY(steps);
	assert_int_equal(m->irqchip, IRQCHIP_APIC);
	assert_string_equal(command_line(), "quiet");
	machine_close(m);
	cfg.no_lapic = true;
	PLAY(steps);
	assert_int_equal(m->irqchip, IRQCHIP_PIC);
	assert_string_equal(command_line(), "quiet nolapic");
	assert_true(fake_hv.fault[0]);
}

/* With the interrupt controllers in the driver, lines go there, and ours are
 * not in the port space. */
static void
test_vcpu_leaves_interrupts_to_a_driver_that_has_them(void **state)
{
	static const struct fake_step steps[] = {
	    FAKE_OUT(0x21, 0x00), FAKE_IN(0x21),	FAKE_OUT(0x64, 0x60),
	    FAKE_OUT(0x60, 0x01), FAKE_OUT(0x64, 0xd2), FAKE_OUT(0x60, 0x55)};

	(void)state;
	open_machine(steps, ARRAY_SIZE(steps), true);
	machine_run(m, &end);
	assert_int_equal(m->irqchip, IRQCHIP_DRIVER);
	assert_int_equal(fake_hv.answer[1], 0xff);
	assert_int_equal(fake_hv.line_level, 1 << 1);
	assert_int_equal(fake_hv.interrupts, 0);
	assert_int_equal(fake_hv.windows, 0);
}

/* A driver that could have an irqchip and has none: PIC only. */
static void
test_vcpu_without_the_drivers_irqchip_has_no_lapic(void **state)
{
	(void)state;
	struct err e = {""};

	fake_hv_script(NULL, 0);
	assert_int_equal(machine_open_ops(&m, &cfg, &fake_hv_ops_irqchip, &e),
			 0);
	assert_int_equal(m->irqchip, IRQCHIP_PIC);
	assert_string_equal(command_line(), "quiet nolapic");
	machine_run(m, &end);
	assert_int_equal(end.kind, MACHINE_DEBUG_EXIT);
}

/* --- other threads ------------------------------------------------------ */

static pthread_t helper;

static void *
do_quit(void *arg)
{
	(void)arg;
	machine_quit(m);
	return NULL;
}

static void
start_quit(void)
{
	assert_int_equal(pthread_create(&helper, NULL, do_quit, NULL), 0);
}

static void
test_vcpu_quit_wakes_a_processor_that_halts_for_ever(void **state)
{
	static const struct fake_step steps[] = {
	    {.kind = HV_EXIT_HLT, .before = start_quit}};

	(void)state;
	PLAY(steps);
	pthread_join(helper, NULL);
	assert_int_equal(end.kind, MACHINE_QUIT);
}

static void
test_vcpu_quit_before_run_is_remembered(void **state)
{
	static const struct fake_step steps[] = {FAKE_HLT};

	(void)state;
	open_machine(steps, ARRAY_SIZE(steps), false);
	machine_quit(m);
	machine_run(m, &end);
	assert_int_equal(end.kind, MACHINE_QUIT);
	assert_int_equal(fake_hv.runs, 0);
}

static struct timespec alarm_time = {.tv_nsec = 1};

static void
on_alarm(int sig)
{
	int saved = errno;

	(void)sig;
	errno = 4711;
	machine_quit(m);
	if (errno != 4711)
		_exit(3);
	errno = saved;
}

static timer_t alarm_timer;

static void
start_alarm(void)
{
	struct itimerspec once = {.it_value = alarm_time};

	assert_int_equal(timer_settime(alarm_timer, 0, &once, NULL), 0);
}

/* The signal comes while the thread that handles it is the vCPU's own. */
static void
test_vcpu_quit_from_a_signal_handler(void **state)
{
	static const struct fake_step steps[] = {
	    {.kind = HV_EXIT_HLT, .before = start_alarm}};
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL,
			      .sigev_signo = SIGUSR1};

	(void)state;
	signal(SIGUSR1, on_alarm);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &ev, &alarm_timer), 0);
	PLAY(steps);
	timer_delete(alarm_timer);
	signal(SIGUSR1, SIG_DFL);
	assert_int_equal(end.kind, MACHINE_QUIT);
}

static struct machine_stats paused_a, paused_b;
static struct machine_info info_paused, info_running;

static void *
do_pause(void *arg)
{
	u64 start = clock_now_ns();

	(void)arg;
	machine_pause(m);
	machine_query(m, &info_paused);
	machine_stats(m, &paused_a);
	while (clock_now_ns() < start + 2 * NS_PER_MS)
		sched_yield();
	machine_stats(m, &paused_b);
	machine_continue(m);
	machine_query(m, &info_running);
	machine_quit(m);
	return NULL;
}

static void
start_pause(void)
{
	assert_int_equal(pthread_create(&helper, NULL, do_pause, NULL), 0);
}

static void
test_vcpu_pause_stops_the_machines_clock(void **state)
{
	static const struct fake_step steps[] = {
	    {.kind = HV_EXIT_HLT, .before = start_pause}};

	(void)state;
	PLAY(steps);
	pthread_join(helper, NULL);
	assert_int_equal(end.kind, MACHINE_QUIT);
	assert_int_equal(paused_a.run_ns, paused_b.run_ns);
	assert_true(info_paused.paused);
	assert_string_equal(info_paused.driver, "fake");
	assert_string_equal(info_paused.name, "spindle");
	assert_false(info_running.paused);
}

static void *
do_button(void *arg)
{
	(void)arg;
	machine_powerdown(m);
	return NULL;
}

static void
start_button(void)
{
	fake_hv.ready = true;
	assert_int_equal(pthread_create(&helper, NULL, do_button, NULL), 0);
}

static void
test_vcpu_powerdown_interrupts_by_the_sci(void **state)
{
	static const struct fake_step steps[] = {
	    PIC_SETUP,
	    FAKE_OUT(0x603, 0x01), /* power button enable */
	    {.kind = HV_EXIT_HLT, .before = start_button}};

	(void)state;
	PLAY(steps);
	pthread_join(helper, NULL);
	assert_int_equal(fake_hv.interrupts, 1);
	assert_int_equal(fake_hv.vector[0], 0x29);
}

static void *
do_type(void *arg)
{
	(void)arg;
	assert_int_equal(machine_serial_input(m, 0, (const u8 *)"k", 1), 1);
	return NULL;
}

static void
start_type(void)
{
	fake_hv.ready = true;
	assert_int_equal(pthread_create(&helper, NULL, do_type, NULL), 0);
}

static void
test_vcpu_serial_input_wakes_and_interrupts(void **state)
{
	static const struct fake_step steps[] = {PIC_SETUP,
						 FAKE_OUT(0x3fc, 0x0b),
						 FAKE_OUT(0x3f9, 0x01),
						 {.kind = HV_EXIT_HLT,
						  .before = start_type},
						 FAKE_IN(0x3f8)};

	(void)state;
	PLAY(steps);
	pthread_join(helper, NULL);
	assert_int_equal(fake_hv.interrupts, 1);
	assert_int_equal(fake_hv.vector[0], 0x24);
	assert_int_equal(fake_hv.answer[PIC_STEPS + 3], 'k');
}

/* --- opening ------------------------------------------------------------ */

static void
refused(int rc, const char *part)
{
	struct err e = {""};

	assert_int_equal(machine_open_ops(&m, &cfg, &fake_hv_ops, &e), rc);
	assert_non_null(strstr(e.text, part));
	assert_null(m);
	assert_false(fake_hv.alive); /* nothing is left behind */
}

static void
test_vcpu_machine_that_cannot_open_leaves_nothing(void **state)
{
	(void)state;
	fake_hv_script(NULL, 0);
	cfg.memory_bytes = 1;
	refused(-22, "guest memory must be");
	cfg.memory_bytes = 32 << 20;
	cfg.kernel = NULL;
	refused(-22, "no kernel was given");
	cfg.kernel = "/nonexistent";
	refused(-2, "cannot open kernel '/nonexistent'");
	cfg.kernel = kernel;
	cfg.memory_bytes = 16 << 20;
	refused(-12, "needs 17 MiB of memory to start");
	cfg.memory_bytes = 32 << 20;
	fake_hv.fail_create = true;
	refused(-13, "the fake driver may not");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_vcpu_routes_port_accesses),
	    CASE(test_vcpu_debug_exit_carries_its_byte),
	    CASE(test_vcpu_triple_fault_ends_with_a_register_dump),
	    CASE(test_vcpu_driver_failure_ends_with_its_words),
	    CASE(test_vcpu_powers_off),
	    CASE(test_vcpu_reset_ends_where_reboot_is_not_wanted),
	    CASE(test_vcpu_reset_starts_afresh),
	    CASE(test_vcpu_halt_lasts_until_the_timer),
	    CASE(test_vcpu_passes_the_next_deadline),
	    CASE(test_vcpu_waits_for_the_window),
	    CASE(test_vcpu_msr_reaches_the_local_apic_or_faults),
	    CASE(test_vcpu_machine_without_lapic_says_so),
	    CASE(test_vcpu_leaves_interrupts_to_a_driver_that_has_them),
	    CASE(test_vcpu_without_the_drivers_irqchip_has_no_lapic),
	    CASE(test_vcpu_quit_wakes_a_processor_that_halts_for_ever),
	    CASE(test_vcpu_quit_before_run_is_remembered),
	    CASE(test_vcpu_quit_from_a_signal_handler),
	    CASE(test_vcpu_pause_stops_the_machines_clock),
	    CASE(test_vcpu_powerdown_interrupts_by_the_sci),
	    CASE(test_vcpu_serial_input_wakes_and_interrupts),
	    CASE(test_vcpu_machine_that_cannot_open_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
