/* SPDX-License-Identifier: BSD-2-Clause */
/* The KVM driver: the way in and out of KVM_RUN.
 *
 * run() in four steps: bring the caller's answer to the run page; hand out
 * exits that are still there (coalesced port writes, then the exit they came
 * before); enter the guest unless a kick or the deadline says no; describe the
 * exit. Leaving the guest from outside takes two things, in this order: the
 * run page's immediate_exit, for a thread that is about to enter, and a signal
 * for one that is inside. The signal's handler sets immediate_exit again, so
 * that one that arrives just before KVM_RUN is not lost either; then no signal
 * mask has to be switched. The deadline is a POSIX timer that sends the same
 * signal to the same thread. */
#include "driver/kvm_int.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KICK_SIGNAL (SIGRTMIN + 3)
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* The most exits that the rest of an abandoned instruction may make. */
#define SETTLE_MAX 64

/* --- ioctls ------------------------------------------------------------ */

int
kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int r;

	do
		r = ioctl(fd, request, arg);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

void
kvm_must(struct kvm *k, unsigned long request, void *arg, const char *what)
{
	int r = kvm_ioctl(k->vcpu_fd, request, arg);

	if (r < 0 && !k->broken) {
		k->broken = r;
		k->broken_what = what;
	}
}

/* --- leaving the guest -------------------------------------------------- */

/* The run page that this thread is in, or about to be in. */
static _Thread_local struct kvm_run *entered;

static void
set_immediate_exit(struct kvm_run *run, u8 value)
{
	__atomic_store_n(&run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

static void
on_kick(int sig)
{
	struct kvm_run *run = entered;

	(void)sig;
	if (run)
		set_immediate_exit(run, 1);
}

void
kvm_kick_init(void)
{
	struct sigaction sa = {.sa_handler = on_kick, .sa_flags = SA_RESTART};

	sigemptyset(&sa.sa_mask);
	sigaction(KICK_SIGNAL, &sa, NULL);
}

/* Any thread. All accesses are sequentially consistent. The vCPU thread
 * clears immediate_exit (V1), says that it is running (V2), then takes kicked
 * (V3). If V3 misses the kick, V2 precedes the look at running_tid below, and
 * V1 the store of immediate_exit: the signal is sent, the store is not lost. */
static void
kvm_kick(struct hv *hv)
{
	struct kvm *k = kvm_of(hv);
	pid_t tid;

	atomic_store(&k->kicked, true);
	set_immediate_exit(k->run, 1);
	tid = atomic_load(&k->running_tid);
	if (tid)
		syscall(SYS_tgkill, getpid(), tid, KICK_SIGNAL);
}

static pid_t
this_thread(void)
{
	static _Thread_local pid_t tid;

	if (!tid)
		tid = (pid_t)syscall(SYS_gettid);
	return tid;
}

/* The timer belongs to the thread that runs the vCPU; it may be another one
 * than last time. */
static int
timer_adopt(struct kvm *k, pid_t tid)
{
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID,
			      .sigev_signo = KICK_SIGNAL};
	sigset_t set;

	if (k->timer_tid)
		timer_delete(k->timer);
	k->timer_tid = 0;
	k->armed_ns = VCLOCK_NEVER;
	sigemptyset(&set);
	sigaddset(&set, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	ev.sigev_notify_thread_id = tid;
	if (timer_create(CLOCK_MONOTONIC, &ev, &k->timer) < 0)
		return -errno;
	k->timer_tid = tid;
	return 0;
}

/* An armed time that lies before the wanted one is left: the signal then only
 * makes enter() look at the clock once. Deadlines mostly move away. */
static void
timer_arm(struct kvm *k, u64 now_ns, u64 host_ns)
{
	struct itimerspec it = {0};

	if (k->armed_ns > now_ns && k->armed_ns <= host_ns)
		return;
	it.it_value.tv_sec = (time_t)(host_ns / NS_PER_SEC);
	it.it_value.tv_nsec = (long)(host_ns % NS_PER_SEC);
	timer_settime(k->timer, TIMER_ABSTIME, &it, NULL);
	k->armed_ns = host_ns;
}

/* True when the deadline has passed; else the timer stands. */
static bool
deadline_passed(struct kvm *k, u64 deadline_ns)
{
	u64 now, host_now;

	if (deadline_ns == VCLOCK_NEVER)
		return false;
	now = vclock_now_ns(k->clock);
	if (now >= deadline_ns)
		return true;
	/* a machine whose clock stands has all the time */
	if (!atomic_load(&k->clock->running))
		return false;
	host_now = clock_now_ns();
	if (deadline_ns - now < VCLOCK_NEVER - host_now)
		timer_arm(k, host_now, host_now + (deadline_ns - now));
	return false;
}

/* The machine's clock was stopped and went on: so does the TSC, from where it
 * was when the guest last ran. */
static void
follow_clock(struct kvm *k)
{
	u64 base =
	    atomic_load_explicit(&k->clock->base_ns, memory_order_relaxed);

	if (likely(base == k->clock_base_ns))
		return;
	k->clock_base_ns = base;
	kvm_tsc_rewind(k, __builtin_ia32_rdtsc() - k->exit_tsc);
}

/* One KVM_RUN that takes the pending instruction with it. */
static int
enter_once(struct kvm *k)
{
	int r = ioctl(k->vcpu_fd, KVM_RUN, NULL);

	r = r < 0 ? -errno : 0;
	k->pending = PENDING_NONE;
	k->irq_ready = k->run->ready_for_interrupt_injection;
	return r;
}

/* Runs the guest until there is an exit to describe (0), a kick or the
 * deadline (-EINTR), or the kernel fails. */
static int
enter(struct kvm *k, u64 deadline_ns)
{
	int r;

	k->run->request_interrupt_window = k->irq_window;
	entered = k->run;
	do {
		set_immediate_exit(k->run, 0);		     /* V1 */
		atomic_store(&k->running_tid, k->timer_tid); /* V2 */
		if (atomic_load(&k->kicked) ||		     /* V3 */
		    deadline_passed(k, deadline_ns)) {
			r = -EINTR;
			break;
		}
		r = enter_once(k);
		if (r == 0 && k->run->exit_reason == KVM_EXIT_INTR)
			r = -EINTR;
		/* -EINTR: a kick, the deadline, or some other signal */
	} while (r == -EINTR && !(k->ring && k->ring->first != k->ring->last));
	atomic_store(&k->running_tid, 0);
	entered = NULL;
	k->exit_tsc = __builtin_ia32_rdtsc();
	return r;
}

/* --- exits -------------------------------------------------------------- */

static void PRINTF_LIKE(3, 4)
    fail(struct vm_exit *x, int code, const char *fmt, ...)
{
	va_list ap;

	x->kind = HV_EXIT_ERROR;
	x->error.code = code;
	va_start(ap, fmt);
	vsnprintf(x->error.text, sizeof(x->error.text), fmt, ap);
	va_end(ap);
}

static void
exit_io(struct kvm *k, struct vm_exit *x)
{
	struct kvm_run *run = k->run;

	x->kind = HV_EXIT_IO;
	x->io.port = run->io.port;
	x->io.size_bytes = run->io.size;
	x->io.write = run->io.direction == KVM_EXIT_IO_OUT;
	x->io.count = run->io.count;
	x->io.data = (u8 *)run + run->io.data_offset;
	k->pending = PENDING_COMPLETION;
}

static void
exit_mmio(struct kvm *k, struct vm_exit *x)
{
	struct kvm_run *run = k->run;

	x->kind = HV_EXIT_MMIO;
	x->mmio.gpa = run->mmio.phys_addr;
	x->mmio.size_bytes = (u8)MIN(run->mmio.len, sizeof(run->mmio.data));
	x->mmio.write = run->mmio.is_write;
	memset(x->mmio.data, 0, sizeof(x->mmio.data));
	if (x->mmio.write)
		memcpy(x->mmio.data, run->mmio.data, sizeof(run->mmio.data));
	k->pending = x->mmio.write ? PENDING_COMPLETION : PENDING_MMIO_READ;
}

static void
exit_msr(struct kvm *k, struct vm_exit *x)
{
	struct kvm_run *run = k->run;

	x->kind = HV_EXIT_MSR;
	x->msr.index = run->msr.index;
	x->msr.write = run->exit_reason == KVM_EXIT_X86_WRMSR;
	x->msr.value = x->msr.write ? run->msr.data : 0;
	x->msr.fault = false;
	k->pending = PENDING_MSR;
}

static void
exit_internal_error(struct kvm *k, struct vm_exit *x)
{
	struct kvm_run *run = k->run;
	char bytes[15 * 3 + 1] = "";
	struct kvm_regs regs = {0};
	unsigned n = 0;

	kvm_ioctl(k->vcpu_fd, KVM_GET_REGS, &regs);
	if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION) {
		fail(x, -EIO, "KVM internal error %u at rip %#llx",
		     run->internal.suberror, (unsigned long long)regs.rip);
		return;
	}
	if (run->emulation_failure.ndata >= 3 &&
	    run->emulation_failure.flags &
		KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)
		n = MIN(run->emulation_failure.insn_size, 15U);
	for (unsigned i = 0; i < n; i++)
		snprintf(bytes + 3 * i, 4, " %02x",
			 run->emulation_failure.insn_bytes[i]);
	fail(x, -EIO, "KVM cannot emulate the instruction at rip %#llx%s%s",
	     (unsigned long long)regs.rip, n ? ", bytes" : "", bytes);
}

static void
describe(struct kvm *k, struct vm_exit *x)
{
	struct kvm_run *run = k->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		exit_io(k, x);
		break;
	case KVM_EXIT_MMIO:
		exit_mmio(k, x);
		break;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		exit_msr(k, x);
		break;
	case KVM_EXIT_HLT:
		k->halted = true;
		x->kind = HV_EXIT_HLT;
		break;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		x->kind = HV_EXIT_IRQ_WINDOW;
		break;
	case KVM_EXIT_SHUTDOWN:
		x->kind = HV_EXIT_SHUTDOWN;
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		exit_internal_error(k, x);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		fail(x, -EIO,
		     "KVM cannot enter the guest: hardware reason %#llx",
		     (unsigned long long)
			 run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		fail(x, -EIO, "KVM left the guest for the unknown reason %u",
		     run->exit_reason);
		break;
	}
}

/* Brings the answer to the run page [K1]. */
static void
kvm_answer(struct kvm *k)
{
	struct kvm_run *run = k->run;

	if (k->pending == PENDING_MMIO_READ) {
		memcpy(run->mmio.data, k->x->mmio.data, sizeof(run->mmio.data));
		k->pending = PENDING_COMPLETION;
	} else if (k->pending == PENDING_MSR) {
		run->msr.error = k->x->msr.fault;
		run->msr.data = k->x->msr.value;
		k->pending = PENDING_COMPLETION;
	}
}

/* Hands out the oldest port write that the kernel collected (4.116). */
static bool
take_coalesced(struct kvm *k, struct vm_exit *x)
{
	struct kvm_coalesced_mmio_ring *ring = k->ring;
	const struct kvm_coalesced_mmio *e;
	u32 first;

	if (!ring)
		return false;
	first = ring->first;
	if (first == __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE))
		return false;
	e = &ring->coalesced_mmio[first % k->ring_max];
	x->kind = HV_EXIT_IO;
	x->io.port = (u16)e->phys_addr;
	x->io.size_bytes = (u8)MIN(e->len, 4U);
	x->io.write = true;
	x->io.count = 1;
	x->io.data = k->ring_data;
	memcpy(k->ring_data, e->data, sizeof(k->ring_data));
	__atomic_store_n(&ring->first, (first + 1) % k->ring_max,
			 __ATOMIC_RELEASE);
	return true;
}

/* What can be returned without entering the guest. */
static bool
take_waiting(struct kvm *k, struct vm_exit *x)
{
	if (take_coalesced(k, x))
		return true;
	if (k->exit_queued) {
		k->exit_queued = false;
		describe(k, x);
		return true;
	}
	if (unlikely(k->broken)) {
		fail(x, k->broken, "KVM failed %s: %s", k->broken_what,
		     strerror(-k->broken));
		return true;
	}
	return false;
}

/* HLT was the last exit and nothing has woken the processor since. */
static void
still_halted(struct kvm *k, u64 deadline_ns, struct vm_exit *x)
{
	if (atomic_exchange(&k->kicked, false) ||
	    (deadline_ns != VCLOCK_NEVER &&
	     vclock_now_ns(k->clock) >= deadline_ns))
		x->kind = HV_EXIT_KICK;
	else if (k->irq_window && k->irq_ready)
		x->kind = HV_EXIT_IRQ_WINDOW;
	else
		x->kind = HV_EXIT_HLT;
}

static void
kvm_run(struct hv *hv, u64 deadline_ns, struct vm_exit *x)
{
	struct kvm *k = kvm_of(hv);
	pid_t tid = this_thread();
	int r;

	k->st.exits++;
	kvm_answer(k);
	k->x = x;
	if (take_waiting(k, x))
		return;
	if (k->halted) {
		still_halted(k, deadline_ns, x);
		return;
	}
	if (unlikely(tid != k->timer_tid)) {
		r = timer_adopt(k, tid);
		if (r < 0) {
			fail(x, r, "no timer for the vCPU: %s", strerror(-r));
			return;
		}
	}
	follow_clock(k);
	r = enter(k, deadline_ns);
	if (r < 0 && r != -EINTR) {
		fail(x, r, "KVM_RUN failed: %s", strerror(-r));
		return;
	}
	k->exit_queued = r == 0;
	if (take_waiting(k, x))
		return;
	atomic_store(&k->kicked, false);
	x->kind = HV_EXIT_KICK;
}

void
kvm_settle(struct kvm *k, bool discard)
{
	kvm_answer(k);
	/* an exit that nobody has seen belongs to an instruction, too */
	if (discard && k->exit_queued)
		k->pending = PENDING_COMPLETION;
	for (int i = 0; k->pending != PENDING_NONE && i < SETTLE_MAX; i++) {
		set_immediate_exit(k->run, 1);
		if (enter_once(k) < 0)
			break;
		/* the instruction wants more: another fragment or item */
		k->exit_queued = true;
		if (!discard)
			break;
		k->pending = PENDING_COMPLETION;
	}
	if (discard) {
		k->exit_queued = false;
		k->pending = PENDING_NONE;
		if (k->ring)
			k->ring->first = k->ring->last;
	}
}

/* --- interrupts --------------------------------------------------------- */

static bool
kvm_irq_ready(struct hv *hv)
{
	struct kvm *k = kvm_of(hv);

	return k->irq_ready && !k->exit_queued;
}

static void
kvm_interrupt(struct hv *hv, u8 vector)
{
	struct kvm *k = kvm_of(hv);
	struct kvm_interrupt irq = {.irq = vector};

	assert(!k->irqchip && k->irq_ready);
	kvm_must(k, KVM_INTERRUPT, &irq, "injecting an interrupt");
	k->irq_ready = false;
	k->halted = false;
}

static void
kvm_request_irq_window(struct hv *hv, bool on)
{
	kvm_of(hv)->irq_window = on;
}

static void
kvm_nmi(struct hv *hv)
{
	struct kvm *k = kvm_of(hv);

	kvm_must(k, KVM_NMI, NULL, "injecting an NMI");
	k->halted = false;
}

static bool
kvm_has_irqchip(struct hv *hv)
{
	return kvm_of(hv)->irqchip;
}

static void
kvm_irq_line(struct hv *hv, unsigned gsi, bool level)
{
	struct kvm_irq_level line = {.irq = gsi, .level = level};

	kvm_ioctl(kvm_of(hv)->vm_fd, KVM_IRQ_LINE, &line);
}

static int
kvm_coalesce_pio(struct hv *hv, u16 port, u16 count)
{
	struct kvm *k = kvm_of(hv);
	struct kvm_coalesced_mmio_zone z = {.addr = port,
					    .size = count,
					    .pio = 1};

	if (!k->has_coalesced_pio || !k->ring)
		return -ENOTSUP;
	return kvm_ioctl(k->vm_fd, KVM_REGISTER_COALESCED_MMIO, &z);
}

static void
kvm_stats(struct hv *hv, struct hv_stats *st)
{
	*st = kvm_of(hv)->st;
}

const struct hv_ops hv_kvm = {
    .name = "kvm",
    .create = kvm_create,
    .destroy = kvm_destroy,
    .mem_map = kvm_mem_map,
    .dirty_log = kvm_dirty_log,
    .dirty_get = kvm_dirty_get,
    .ram_written = kvm_ram_written,
    .state_get = kvm_state_get,
    .state_set = kvm_state_set,
    .run = kvm_run,
    .kick = kvm_kick,
    .irq_ready = kvm_irq_ready,
    .interrupt = kvm_interrupt,
    .request_irq_window = kvm_request_irq_window,
    .nmi = kvm_nmi,
    .has_irqchip = kvm_has_irqchip,
    .irq_line = kvm_irq_line,
    .coalesce_pio = kvm_coalesce_pio,
    .stats = kvm_stats,
};
