/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/machine_int.h"

/* How long to stay awake for the answer of a disk. */
#define SPIN_NS (200 * NS_PER_US)

static bool ready(struct machine *m);
static void shutdown(struct machine *m);
static void failed(struct machine *m);

/* The vCPU thread: everything the guest does arrives here. */
void
vcpu_loop(struct machine *m)
{
	struct vm_exit *x = &m->exit;

	while (ready(m)) {
		m->ops->run(m->hv, m->timers.next_ns, x);
		m->stats.exits++;
		switch (x->kind) {
		case HV_EXIT_IO:
			m->stats.exits_io++;
			pio_exit(&m->pio, x);
			break;
		case HV_EXIT_MMIO:
			m->stats.exits_mmio++;
			mmio_exit(&m->mmio, x);
			break;
		case HV_EXIT_MSR:
			m->stats.exits_msr++;
			board_msr(m, x);
			break;
		case HV_EXIT_HLT:
			m->stats.exits_hlt++;
			m->halted = true;
			board_flush(m);
			break;
		case HV_EXIT_IRQ_WINDOW:
		case HV_EXIT_KICK:
			break;
		case HV_EXIT_SHUTDOWN:
			shutdown(m);
			break;
		case HV_EXIT_ERROR:
			failed(m);
			break;
		}
	}
}

/* Hands an interrupt over, or asks for the moment when that is possible. */
static void
deliver(struct machine *m)
{
	bool pending;

	if (m->irqchip == IRQCHIP_DRIVER)
		return;
	pending = board_irq_pending(m);
	if (pending && m->ops->irq_ready(m->hv)) {
		m->ops->interrupt(m->hv, board_irq_ack(m));
		m->stats.interrupts++;
		m->halted = false;
		pending = board_irq_pending(m);
	}
	if (pending != m->window) {
		m->window = pending;
		m->ops->request_irq_window(m->hv, pending);
	}
}

/* A disk may still read or write the memory that a reset clears. */
static bool
can_reset(const struct machine *m)
{
	return m->no_reboot || ide_idle(m->ide);
}

static void
reset(struct machine *m)
{
	struct err e = {""};

	if (m->no_reboot) {
		machine_stop(m, MACHINE_REBOOT, 0);
	} else if (machine_reset(m, &e) != 0) {
		machine_stop(m, MACHINE_ERROR, 0);
		memcpy(m->end.text, e.text, sizeof(e.text));
	}
}

/* Sleeps until the next deadline or word from another thread. The machine's
 * clock runs at the host's pace, base_ns behind it. */
static void
sleep_until(struct machine *m, u64 deadline_ns)
{
	u64 base_ns =
	    atomic_load_explicit(&m->clock.base_ns, memory_order_relaxed);

	u64 host_ns =
	    deadline_ns == VCLOCK_NEVER || deadline_ns > UINT64_MAX - base_ns
		? UINT64_MAX
		: deadline_ns + base_ns;

	if (disks_busy(&m->disks) && mail_spin(&m->mail, host_ns, SPIN_NS))
		return;
	mail_sleep(&m->mail, host_ns);
}

/* What is due between two exits: word from other threads, resets, timers,
 * interrupts. Returns when the processor has something to run; false when the
 * machine has ended. */
static bool
ready(struct machine *m)
{
	for (;;) {
		if (unlikely(mail_woken(&m->mail))) {
			if (atomic_load(&m->quit))
				machine_stop(m, MACHINE_QUIT, 0);
			mail_run(&m->mail);
			board_input(m);
			disks_run(&m->disks);
		}
		if (unlikely(m->reset_wanted) && !m->ended && can_reset(m))
			reset(m);
		if (unlikely(m->ended))
			return false;
		if (unlikely(m->paused)) {
			mail_sleep(&m->mail, UINT64_MAX);
			continue;
		}
		vtimers_run(&m->timers);
		if (unlikely(m->reset_wanted)) {
			sleep_until(m, m->timers.next_ns);
			continue;
		}
		if (unlikely(m->device_test)) {
			mail_sleep(&m->mail, UINT64_MAX);
			continue;
		}
		deliver(m);
		if (!m->halted)
			return true;
		sleep_until(m, m->timers.next_ns);
	}
}

/* Triple fault: what the processor looked like. */
static void
shutdown(struct machine *m)
{
	struct cpu_state s;

	m->ops->state_get(m->hv, &s);
	machine_stop(m, MACHINE_TRIPLE_FAULT, 0);
	cpu_state_print(&s, m->end.text, sizeof(m->end.text));
}

static void
failed(struct machine *m)
{
	struct cpu_state s;
	size_t n = strnlen(m->exit.error.text, sizeof(m->exit.error.text));

	static_assert(sizeof(m->exit.error.text) < sizeof(m->end.text) / 2,
		      "both must fit");
	m->ops->state_get(m->hv, &s);
	machine_stop(m, MACHINE_ERROR, m->exit.error.code);
	memcpy(m->end.text, m->exit.error.text, n);
	m->end.text[n++] = '\n';
	cpu_state_print(&s, m->end.text + n, sizeof(m->end.text) - n);
}
