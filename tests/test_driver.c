/* SPDX-License-Identifier: BSD-2-Clause */
/* Every driver through hv_ops, with the payload of guest/payload/ as guest: on
 * the software CPU always, on KVM where /dev/kvm opens, and from one to the
 * other. TEST_DRIVER=kvm or soft leaves the other out. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "driver/cpuid.h"
#include "tests/driver_rig.h"

extern const u8 _binary_payload_bin_start[], _binary_payload_bin_end[];

static struct rig rig;
static bool rig_is_open;

static const struct hv_ops *
ops_of(void **state)
{
	return *state;
}

/* Opens the rig; without KVM, a test on it is skipped. */
static void
open_rig(const struct hv_ops *ops, bool want_irqchip)
{
	struct err e = {""};
	int r = rig_open(&rig, ops, want_irqchip, _binary_payload_bin_start,
			 (size_t)(_binary_payload_bin_end -
				  _binary_payload_bin_start),
			 &e);

	if (ops == &hv_kvm && (r == -ENOENT || r == -EACCES || r == -ENOTSUP)) {
		print_message("skip: %s\n", e.text);
		skip();
	}
	if (r < 0)
		fail_msg("%s", e.text);
	rig_is_open = true;
}

static int
close_rig(void **state)
{
	(void)state;
	if (rig_is_open)
		rig_close(&rig);
	rig_is_open = false;
	return 0;
}

/* --- the payload's own tests ------------------------------------------- */

/* A test of the payload and what the host has to do with it. */
struct payload_case {
	const char *name;
	enum payload_test test;
	bool hardware; /* not on a KVM that emulates */
	void (*on_note)(struct rig *rig, u32 value);
	void (*after)(void);
};

/* Set when this host's KVM turns out to emulate: see payload.h. */
static bool kvm_emulates;

static bool
out_of_reach(const struct hv_ops *ops)
{
	return ops == &hv_kvm && kvm_emulates;
}

/* INT n is the touchstone: an emulating KVM gives up on it. */
static void
find_out_whether_kvm_emulates(void)
{
	struct vm_exit x = {0};

	kvm_emulates = false;
	if (rig_open(&rig, &hv_kvm, false, _binary_payload_bin_start,
		     (size_t)(_binary_payload_bin_end -
			      _binary_payload_bin_start),
		     NULL) < 0)
		return;
	rig_start(&rig, TEST_SOFT_INT, 0);
	if (rig_serve(&rig, &x) == HV_EXIT_ERROR) {
		kvm_emulates = true;
		print_message("skip: this host's KVM emulates and cannot do "
			      "all (%s)\n",
			      x.error.text);
	}
	rig_close(&rig);
}

static void
run_payload(const struct hv_ops *ops, const struct payload_case *c)
{
	if (c->hardware && out_of_reach(ops))
		skip();
	open_rig(ops, false);
	rig.on_note = c->on_note;
	rig_pass(&rig, c->test, 0);
	if (c->after)
		c->after();
}

static void
after_pio_string(void)
{
	const u8 *log = rig.fifo;

	assert_int_equal(rig.fifo_count, 100 + 600 + 3 + 160);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(*log++, i);
	for (unsigned i = 0; i < 300; i++, log += 2)
		assert_int_equal(get_le16(log), 0x100 + i);
	assert_int_equal(*log++, 2);
	assert_int_equal(*log++, 1);
	assert_int_equal(*log++, 0);
	for (unsigned i = 0; i < 40; i++, log += 4)
		assert_int_equal(get_le32(log), 0xabcd0000 + i);
	assert_int_equal(rig.fifo_next, 200 + 256 + 9);
}

static void
give_irq(struct rig *r, u32 value)
{
	if (value >= NOTE_IRQ) {
		assert_int_equal(r->irq, -1);
		r->irq = value & 0xff;
	}
}

static void
after_irq(void)
{
	/* asked for with IF clear: the driver must have told when to come */
	assert_true(rig.window_exits > 0);
}

static void
after_hlt(void)
{
	assert_in_range(rig.hlt_exits, 1, 10);
}

static void
give_nmi(struct rig *r, u32 value)
{
	if (value == NOTE_NMI)
		r->ops->nmi(r->hv);
}

static void
look_at_state(struct rig *r, u32 value)
{
	struct cpu_state s;

	if (value != NOTE_CHECKPOINT)
		return;
	r->ops->state_get(r->hv, &s);
	assert_true(cpu_state_valid(&s));
	assert_int_equal(r->ops->state_set(r->hv, &s), 0);
}

/* XMM and x87 as fill_fx() of the payload made them. */
static void
look_at_fp(struct rig *r, u32 value)
{
	struct cpu_state s;

	if (value != NOTE_CHECKPOINT)
		return;
	r->ops->state_get(r->hv, &s);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(s.fx[160 + i], (u8)(i * 5 + 1));
	assert_int_equal(get_le32(s.fx + 24), 0x7f80);
	assert_int_equal(get_le16(s.fx), 0x27f);
	assert_int_equal(bits_get(get_le16(s.fx + 2), 13, 11), 6); /* TOP */
	assert_int_equal(s.fx[4], 0xc0);
	assert_true(get_le64(s.fx + 32) == 0xc90fdaa22168c235);
	assert_int_equal(r->ops->state_set(r->hv, &s), 0);
}

/* What the guest saw is the table, or, under KVM, no more than the table. */
static void
after_cpuid(void)
{
	assert_int_equal(rig.note_count % 5, 0);
	for (size_t i = 0; i < rig.note_count; i += 5) {
		const u32 *got = rig.notes + i;
		u32 want[4];
		bool features =
		    got[0] == 1 || got[0] == 0x80000001 || got[0] == 0x80000007;

		cpuid_get(got[0], 0, want);
		if (out_of_reach(rig.ops) && !(want[0] | want[1] | want[3]))
			continue; /* it does not know where the table ends */
		if (rig.ops == &hv_kvm && got[0] == 0x80000021)
			want[0] &= got[1]; /* Automatic IBRS: the host's */
		assert_int_equal(got[1], want[0]);
		assert_int_equal(got[2], want[1]);
		if (rig.ops == &hv_kvm && features) {
			if (out_of_reach(rig.ops))
				continue; /* it adds the host's own */
			assert_int_equal(got[3] & ~want[2], 0);
			assert_int_equal(got[4] & ~want[3], 0);
		} else {
			assert_int_equal(got[3], want[2]);
			assert_int_equal(got[4], want[3]);
		}
	}
}

static void
after_msr(void)
{
	assert_true(rig.msr_sink == MSR_VALUE);
}

static void
after_rom(void)
{
	assert_int_equal(rig.rom_writes, 2);
	for (size_t i = 0; i < PAYLOAD_ROM_BYTES; i++)
		assert_int_equal(rig.rom[i], (u8)(i * 7 + 3));
}

/* The log of the payload's test_dirty(), checkpoint by checkpoint. */
static void
read_dirty(struct rig *r, u32 value)
{
	static const u8 second[] = {0, 3, 7, 20, 21, 64, 100, 255};
	enum { FIRST = PAYLOAD_DIRTY_GPA >> 12, N = PAYLOAD_DIRTY_PAGES };
	static u64 bits[PAYLOAD_RAM_BYTES >> 18];
	bool want[N] = {false};
	static unsigned step;

	if (value != NOTE_CHECKPOINT)
		return;
	if (r->note_count == 1) {
		step = 0;
		assert_int_equal(r->ops->dirty_log(r->hv, RIG_SLOT_RAM, true),
				 0);
	}
	memset(bits, 0, sizeof(bits));
	assert_int_equal(r->ops->dirty_get(r->hv, RIG_SLOT_RAM, bits), 0);
	switch (step++) {
	case 1:
		for (size_t i = 0; i < sizeof(second); i++)
			want[second[i]] = true;
		/* what a device writes belongs to the next look */
		r->ops->ram_written(r->hv, PAYLOAD_DIRTY_GPA + 4096 * 9 + 5, 2);
		r->ops->ram_written(r->hv, PAYLOAD_DIRTY_GPA + 4096 * 31 - 1,
				    2);
		break;
	case 2:
		want[9] = want[30] = want[31] = true;
		break;
	case 3:
		want[3] = true;
		break;
	case 4:
		memset(want, true, sizeof(want));
		break;
	default:
		break;
	}
	for (unsigned i = 0; i < N; i++)
		if (!!(bits[(FIRST + i) / 64] & BIT((FIRST + i) % 64)) !=
		    want[i])
			fail_msg("step %u: page %u is %s", step - 1, i,
				 want[i] ? "not in the log" : "in the log");
}

static void
after_dirty(void)
{
	assert_int_equal(rig.note_count, 5);
	assert_int_equal(rig.ops->dirty_log(rig.hv, RIG_SLOT_RAM, false), 0);
}

#define PAUSE_NS (30 * NS_PER_MS)

static void
pause_machine(struct rig *r, u32 value)
{
	u64 end = clock_now_ns() + PAUSE_NS;

	if (r->note_count > 1 || value != NOTE_PAUSE)
		return;
	vclock_stop(&r->clock);
	while (clock_now_ns() < end)
		;
	vclock_start(&r->clock);
}

/* Between the payload's two reads lay a pause of 30 ms: at least 30 million
 * ticks on any host, had the TSC gone on. */
static void
after_tsc(void)
{
	u64 ticks = rig.notes[1] | (u64)rig.notes[2] << 32;

	assert_int_equal(rig.note_count, 3);
	assert_true(ticks < PAUSE_NS);
}

static const struct payload_case cases[] = {
    {"arithmetic", TEST_ARITH, false, NULL, NULL},
    {"memory", TEST_MEMORY, false, NULL, NULL},
    {"port access in every width", TEST_PIO, false, NULL, NULL},
    {"string port access", TEST_PIO_STRING, false, NULL, after_pio_string},
    {"device memory", TEST_MMIO, false, NULL, NULL},
    {"software interrupts", TEST_SOFT_INT, true, NULL, NULL},
    {"external interrupts", TEST_IRQ, false, give_irq, after_irq},
    {"the interrupt window", TEST_IRQ_WINDOW, true, give_irq, after_irq},
    {"an interrupt wakes HLT", TEST_HLT, false, give_irq, after_hlt},
    {"NMI", TEST_NMI, false, give_nmi, NULL},
    {"NMI masking", TEST_NMI_MASK, true, give_nmi, NULL},
    {"page faults", TEST_PAGE_FAULT, false, NULL, NULL},
    {"page-crossing faults", TEST_PAGE_CROSSING, true, NULL, NULL},
    {"exceptions", TEST_EXCEPTIONS, false, NULL, NULL},
    {"FP exceptions", TEST_FP_EXCEPTIONS, true, NULL, NULL},
    {"FP state", TEST_FP_STATE, false, look_at_fp, NULL},
    {"FP arithmetic", TEST_FP, true, NULL, NULL},
    {"CPUID", TEST_CPUID, false, NULL, after_cpuid},
    {"MSRs", TEST_MSR, false, NULL, after_msr},
    {"self-modifying code", TEST_SMC, false, NULL, NULL},
    {"dirty log", TEST_DIRTY, false, read_dirty, after_dirty},
    {"address spaces", TEST_CR3, false, NULL, NULL},
    {"ring 3", TEST_RING3, false, NULL, NULL},
    {"SYSCALL, INT in ring 3", TEST_SYSCALL, true, NULL, NULL},
    {"32-bit user code", TEST_COMPAT, false, NULL, NULL},
    {"read-only memory", TEST_ROM, false, NULL, after_rom},
    {"TSC stands in a pause", TEST_TSC, true, pause_machine, after_tsc},
    {"debug registers", TEST_DEBUG_REGS, false, look_at_state, NULL},
    {"no XSAVE, no AVX", TEST_NO_XSAVE, true, NULL, NULL},
};

static const struct payload_case *current;

static void
test_driver_payload(void **state)
{
	run_payload(ops_of(state), current++);
}

/* --- ends ---------------------------------------------------------------- */

static void
test_driver_exits_with_shutdown_on_a_triple_fault(void **state)
{
	struct vm_exit x = {0};

	open_rig(ops_of(state), false);
	rig_start(&rig, TEST_TRIPLE, 0);
	assert_int_equal(rig_serve(&rig, &x), HV_EXIT_SHUTDOWN);
	/* and can be reset and used again */
	rig_pass(&rig, TEST_ARITH, 0);
}

/* Executing where nothing is must not take the process down. The software CPU
 * fetches through the exit as any access; KVM cannot. */
static void
test_driver_survives_a_jump_to_nowhere(void **state)
{
	struct vm_exit x = {0};
	enum hv_exit_kind kind;

	open_rig(ops_of(state), false);
	rig_start(&rig, TEST_WILD_JUMP, 0);
	kind = rig_serve(&rig, &x);
	assert_true(kind == HV_EXIT_MMIO || kind == HV_EXIT_ERROR ||
		    kind == HV_EXIT_SHUTDOWN || rig.first_fail);
	if (kind == HV_EXIT_ERROR)
		assert_true(strlen(x.error.text) > 10);
}

static void
test_driver_halts_without_interrupts(void **state)
{
	struct vm_exit x = {0};
	struct cpu_state s;

	open_rig(ops_of(state), false);
	rig_pass(&rig, TEST_ARITH, 0);
	/* after the last report the payload does CLI; HLT */
	rig.done = false;
	assert_int_equal(rig_serve(&rig, &x), HV_EXIT_HLT);
	rig.ops->state_get(rig.hv, &s);
	assert_true(s.halted);
	assert_false(s.rflags & FL_IF);
	/* running on without an interrupt is still a halt; a kick is seen */
	rig.ops->run(rig.hv, VCLOCK_NEVER, &x);
	assert_int_equal(x.kind, HV_EXIT_HLT);
	rig.ops->kick(rig.hv);
	rig.ops->run(rig.hv, VCLOCK_NEVER, &x);
	assert_int_equal(x.kind, HV_EXIT_KICK);
	rig.ops->run(rig.hv, VCLOCK_NEVER, &x);
	assert_int_equal(x.kind, HV_EXIT_HLT);
	/* so does the state: it is loaded halted */
	assert_int_equal(rig.ops->state_set(rig.hv, &s), 0);
	rig.ops->run(rig.hv, VCLOCK_NEVER, &x);
	assert_int_equal(x.kind, HV_EXIT_HLT);
}

/* --- kicks and deadlines -------------------------------------------------- */

static void
test_driver_kick_before_run_returns_at_once(void **state)
{
	struct vm_exit x = {0};

	open_rig(ops_of(state), false);
	rig_start(&rig, TEST_SPIN, 0);
	for (int i = 0; i < 100; i++) {
		rig.ops->kick(rig.hv);
		rig.ops->run(rig.hv, VCLOCK_NEVER, &x);
		assert_int_equal(x.kind, HV_EXIT_KICK);
	}
}

struct kicker {
	atomic_uint seen; /* kicks that arrived; the partner waits for it */
	unsigned count;
};

static void *
kick_many(void *arg)
{
	struct kicker *k = arg;

	for (unsigned i = 0; i < k->count; i++) {
		rig.ops->kick(rig.hv);
		while (atomic_load(&k->seen) <= i)
			;
	}
	return NULL;
}

/* Each kick ends one run() that has no deadline: one that got lost would end
 * in the test's time limit. */
static void
test_driver_kick_from_a_thread_is_never_lost(void **state)
{
	struct kicker k = {.count = 2000};
	struct vm_exit x = {0};
	pthread_t t;

	open_rig(ops_of(state), false);
	rig_start(&rig, TEST_SPIN, 0);
	assert_int_equal(pthread_create(&t, NULL, kick_many, &k), 0);
	while (atomic_load(&k.seen) < k.count) {
		rig.ops->run(rig.hv, VCLOCK_NEVER, &x);
		if (x.kind != HV_EXIT_KICK)
			break;
		atomic_fetch_add(&k.seen, 1);
	}
	assert_int_equal(x.kind, HV_EXIT_KICK);
	pthread_join(t, NULL);
}

static void
test_driver_deadline_ends_run(void **state)
{
	struct cpu_state before, after;
	struct vm_exit x = {0};

	open_rig(ops_of(state), false);
	rig_start(&rig, TEST_SPIN, 0);
	rig.ops->state_get(rig.hv, &before);
	for (unsigned i = 1; i <= 20; i++) {
		u64 deadline = vclock_now_ns(&rig.clock) + i * 100 * NS_PER_US;

		rig.ops->run(rig.hv, deadline, &x);
		assert_int_equal(x.kind, HV_EXIT_KICK);
		assert_true(vclock_now_ns(&rig.clock) >= deadline);
	}
	rig.ops->state_get(rig.hv, &after);
	assert_true(after.gpr[RAX] > 0); /* the guest got somewhere */
	assert_true(after.rip != before.rip);
	/* one that has passed */
	rig.ops->run(rig.hv, 1, &x);
	assert_int_equal(x.kind, HV_EXIT_KICK);
}

/* --- state ---------------------------------------------------------------- */

static void
fill_state(struct cpu_state *s, unsigned seed)
{
	cpu_state_long_mode(s, PAYLOAD_GPA + seed, PAYLOAD_PML4);
	for (u64 i = 0; i < 16; i++)
		s->gpr[i] = (i + 1 + seed) * 0x9e3779b97f4a7c15ULL;
	s->rflags = FL_ONE | (seed & 1 ? FL_CF | FL_IF : FL_ZF | FL_DF);
	s->cr2 = 0xffff800012345678ULL + seed;
	s->cr8 = seed % 16;
	s->efer |= EFER_SCE | EFER_NXE;
	s->cr4 |= CR4_PGE | CR4_DE;
	s->gdt = (struct cpu_table){0xffffffff81000000ULL + seed, 0x7f};
	s->idt = (struct cpu_table){0xfffffe0000000000ULL, 0xfff};
	s->seg[SEG_FS].base = 0x7f0012345000ULL + seed;
	s->seg[SEG_GS].base = 0xffff888000000000ULL + seed;
	s->tr.sel = 0x40;
	s->tr.base = 0xfffffe0000003000ULL;
	s->tr.limit_bytes = 0x206f;
	s->dr[0] = 0x400000 + seed;
	s->dr[3] = 0xffff800000000000ULL;
	s->msr.star = 0x23001000000000ULL;
	s->msr.lstar = 0xffffffff81800000ULL + seed;
	s->msr.cstar = 0xffffffff81900000ULL;
	s->msr.fmask = 0x47700;
	s->msr.kernel_gs_base = 0xffff88807fc00000ULL;
	s->msr.sysenter_cs = 0x10;
	s->msr.sysenter_esp = 0x2200; /* 32 bits on AMD parts */
	s->msr.sysenter_eip = 0x81a00000;
	s->msr.pat = 0x0407050600070106ULL;
	s->msr.tsc_aux = 5 + seed;
	s->tsc = 1000000000000ULL * (seed + 1);
	put_le16(s->fx, 0x37f & ~(seed & 0x3f));
	put_le16(s->fx + 2, 3 << 11);
	s->fx[4] = 0xf8;
	put_le32(s->fx + 24, 0x1f80 | (seed & 3) << 13);
	for (unsigned i = 0; i < 8 * 16; i++)
		if (i % 16 < 10)
			s->fx[32 + i] = (u8)(i * 11 + seed);
	for (unsigned i = 0; i < 256; i++)
		s->fx[160 + i] = (u8)(i * 13 + seed);
	s->int_shadow = seed & 1;
	s->nmi_masked = seed & 2;
}

static void
test_driver_state_comes_back_as_it_was_set(void **state)
{
	struct cpu_state in, out;

	open_rig(ops_of(state), false);
	for (unsigned seed = 0; seed < 8; seed++) {
		fill_state(&in, seed);
		assert_int_equal(rig.ops->state_set(rig.hv, &in), 0);
		rig.ops->state_get(rig.hv, &out);
		rig_same_state(&in, &out);
		/* ten seconds are less than that nowhere */
		if (!out_of_reach(rig.ops))
			assert_in_range(out.tsc - in.tsc, 0, 60000000000ULL);
	}
	/* an accepted, not yet delivered exception */
	in.int_shadow = false;
	in.event_pending = true;
	in.event_vector = EXC_PF;
	in.event_has_error = true;
	in.event_error = 2;
	assert_int_equal(rig.ops->state_set(rig.hv, &in), 0);
	rig.ops->state_get(rig.hv, &out);
	assert_true(out.event_pending && out.event_has_error);
	assert_int_equal(out.event_vector, EXC_PF);
	assert_int_equal(out.event_error, in.event_error);
	/* the reset state is one, too */
	cpu_state_reset(&in);
	assert_int_equal(rig.ops->state_set(rig.hv, &in), 0);
	rig.ops->state_get(rig.hv, &out);
	rig_same_state(&in, &out);
}

static void
test_driver_refuses_impossible_state(void **state)
{
	struct cpu_state good, s;

	open_rig(ops_of(state), false);
	cpu_state_long_mode(&good, PAYLOAD_GPA, PAYLOAD_PML4);
	s = good, s.cr0 &= ~CR0_PE;
	assert_int_equal(rig.ops->state_set(rig.hv, &s), -EINVAL);
	s = good, s.cr4 &= ~CR4_PAE;
	assert_int_equal(rig.ops->state_set(rig.hv, &s), -EINVAL);
	s = good, s.efer &= ~EFER_LMA;
	assert_int_equal(rig.ops->state_set(rig.hv, &s), -EINVAL);
	s = good, s.rflags = 0;
	assert_int_equal(rig.ops->state_set(rig.hv, &s), -EINVAL);
	s = good, s.msr.lstar = 1ULL << 62;
	assert_int_equal(rig.ops->state_set(rig.hv, &s), -EINVAL);
	s = good, put_le32(s.fx + 24, 0xffff0000);
	assert_int_equal(rig.ops->state_set(rig.hv, &s), -EINVAL);
	s = good, s.seg[SEG_CS].attr |= ATTR_DB;
	assert_int_equal(rig.ops->state_set(rig.hv, &s), -EINVAL);
	/* and still works */
	rig_pass(&rig, TEST_ARITH, 0);
}

/* Set while a port read waits for its answer: the old instruction must not
 * finish into the new state. */
static void
test_driver_state_set_replaces_a_half_done_exit(void **state)
{
	struct vm_exit x = {0};

	open_rig(ops_of(state), false);
	for (int i = 0; i < 3; i++) {
		rig_start(&rig, i == 0 ? TEST_PIO : TEST_MMIO, 0);
		do {
			rig.ops->run(rig.hv, VCLOCK_NEVER, &x);
		} while (x.kind == HV_EXIT_KICK);
		assert_true(x.kind == HV_EXIT_IO || x.kind == HV_EXIT_MMIO);
		rig.done = false;
		rig_pass(&rig, TEST_ARITH, 0);
		rig.done = false;
	}
}

/* --- memory ------------------------------------------------------------ */

static void
test_driver_mem_map_refuses_what_cannot_be(void **state)
{
	const struct hv_ops *ops = ops_of(state);
	u8 *page;

	open_rig(ops, false);
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	/* no such slot; unaligned in each way; overlap; beyond all memory */
	assert_int_equal(ops->mem_map(rig.hv, HV_MAX_SLOTS, 0x4000000, 4096,
				      page, 0),
			 -ENOSPC);
	assert_int_equal(ops->mem_map(rig.hv, 2, 0x4000100, 4096, page, 0),
			 -EINVAL);
	assert_int_equal(ops->mem_map(rig.hv, 2, 0x4000000, 100, page, 0),
			 -EINVAL);
	assert_int_equal(ops->mem_map(rig.hv, 2, 0x4000000, 4096, page + 1, 0),
			 -EINVAL);
	assert_int_equal(ops->mem_map(rig.hv, 2, PAYLOAD_RAM_BYTES - 4096, 8192,
				      page, 0),
			 -EINVAL);
	assert_int_equal(ops->mem_map(rig.hv, 2, UINT64_MAX - 4095, 8192, page,
				      0),
			 -EINVAL);
	/* a slot can come, move and go */
	assert_int_equal(ops->mem_map(rig.hv, 2, 0x4000000, 8192, page, 0), 0);
	assert_int_equal(ops->mem_map(rig.hv, 2, 0x5000000, 4096, page, 0), 0);
	assert_int_equal(ops->mem_map(rig.hv, 3, 0x4000000, 4096, page + 4096,
				      0),
			 0);
	assert_int_equal(ops->mem_map(rig.hv, 2, 0, 0, NULL, 0), 0);
	assert_int_equal(ops->mem_map(rig.hv, 3, 0, 0, NULL, 0), 0);
	assert_int_equal(ops->dirty_log(rig.hv, 3, true), -EINVAL);
	assert_int_equal(ops->dirty_log(rig.hv, HV_MAX_SLOTS, true), -EINVAL);
	munmap(page, 8192);
	rig_pass(&rig, TEST_MEMORY, 0);
}

/* --- what only KVM offers ---------------------------------------------- */

static void
test_driver_coalesced_writes_arrive_in_order(void **state)
{
	open_rig(ops_of(state), false);
	if (!rig.ops->coalesce_pio ||
	    rig.ops->coalesce_pio(rig.hv, PORT_FIFO, 1) < 0) {
		print_message("skip: no coalesced port writes here\n");
		skip();
	}
	rig_pass(&rig, TEST_PIO_STRING, 0);
	after_pio_string();
	rig.done = false;
	rig_pass(&rig, TEST_PIO, 0);
}

static void
pulse_line(struct rig *r, u32 value)
{
	if (value == NOTE_LINE) {
		r->ops->irq_line(r->hv, 4, true);
		r->ops->irq_line(r->hv, 4, false);
	}
}

static void
test_driver_irqchip_delivers_a_line(void **state)
{
	const struct hv_ops *ops = ops_of(state);

	open_rig(ops, true);
	if (!ops->has_irqchip || !ops->has_irqchip(rig.hv)) {
		print_message("skip: no in-kernel irqchip here\n");
		skip();
	}
	rig.on_note = pulse_line;
	rig_pass(&rig, TEST_PIC, 0);
}

/* --- from driver to driver --------------------------------------------- */

#define MIGRATE_ROUNDS 600

static u64
migrate_hash(void)
{
	size_t n = rig.note_count;

	return rig.notes[n - 2] | (u64)rig.notes[n - 1] << 32;
}

static u64
hash_without_moves(const struct hv_ops *ops, enum payload_test test)
{
	u64 h;

	open_rig(ops, false);
	rig_pass(&rig, test, MIGRATE_ROUNDS);
	h = migrate_hash();
	close_rig(NULL);
	return h;
}

static unsigned moves;

static void
move_now(struct rig *r)
{
	const struct hv_ops *const *pair = r->arg;

	rig_move(r, r->ops == pair[0] ? pair[1] : pair[0]);
	moves++;
}

static void
move_at_checkpoint(struct rig *r, u32 value)
{
	/* the exit is half done here: the state must include its completion */
	if (value == NOTE_CHECKPOINT)
		move_now(r);
}

static void
move_when_kicked(struct rig *r)
{
	static unsigned turn;

	if (++turn % 3 == 0)
		move_now(r);
}

static void
check_moves(const struct hv_ops *a, const struct hv_ops *b)
{
	const struct hv_ops *pair[2] = {a, b};
	enum payload_test test =
	    out_of_reach(a) || out_of_reach(b) ? TEST_MIGRATE : TEST_MIGRATE_FP;
	u64 want = hash_without_moves(a, test);

	assert_true(want == hash_without_moves(b, test));
	open_rig(a, false);
	rig.arg = pair;
	moves = 0;
	rig.on_note = move_at_checkpoint;
	rig_pass(&rig, test, MIGRATE_ROUNDS);
	assert_true(migrate_hash() == want);
	assert_in_range(moves, MIGRATE_ROUNDS / 64, MIGRATE_ROUNDS);
	close_rig(NULL);
	/* and wherever the guest happens to be */
	open_rig(a, false);
	rig.arg = pair;
	moves = 0;
	rig.on_turn = move_when_kicked;
	rig.slice_ns = 100 * NS_PER_US;
	rig_pass(&rig, test, MIGRATE_ROUNDS);
	assert_true(migrate_hash() == want);
	assert_in_range(moves, 1, 1000000);
}

static void
test_driver_moves_to_another_of_its_kind(void **state)
{
	check_moves(ops_of(state), ops_of(state));
}

/* --- groups ------------------------------------------------------------ */

#define TEST(f) cmocka_unit_test_teardown(f, close_rig)

static const struct CMUnitTest host_tests[] = {
    TEST(test_driver_exits_with_shutdown_on_a_triple_fault),
    TEST(test_driver_survives_a_jump_to_nowhere),
    TEST(test_driver_halts_without_interrupts),
    TEST(test_driver_kick_before_run_returns_at_once),
    TEST(test_driver_kick_from_a_thread_is_never_lost),
    TEST(test_driver_deadline_ends_run),
    TEST(test_driver_state_comes_back_as_it_was_set),
    TEST(test_driver_refuses_impossible_state),
    TEST(test_driver_state_set_replaces_a_half_done_exit),
    TEST(test_driver_mem_map_refuses_what_cannot_be),
    TEST(test_driver_coalesced_writes_arrive_in_order),
    TEST(test_driver_irqchip_delivers_a_line),
    TEST(test_driver_moves_to_another_of_its_kind),
};

static int
use_kvm(void **state)
{
	*state = (void *)(uintptr_t)&hv_kvm;
	current = cases;
	return 0;
}

#ifndef SPINDLE_NO_SOFT
static int
use_soft(void **state)
{
	*state = (void *)(uintptr_t)&hv_soft;
	current = cases;
	return 0;
}

static void
test_driver_moves_between_kvm_and_soft(void **state)
{
	(void)state;
	check_moves(&hv_kvm, &hv_soft);
}

static void
test_driver_moves_between_soft_and_kvm(void **state)
{
	(void)state;
	check_moves(&hv_soft, &hv_kvm);
}

static const struct CMUnitTest move_tests[] = {
    TEST(test_driver_moves_between_kvm_and_soft),
    TEST(test_driver_moves_between_soft_and_kvm),
};
#endif

static int
run_group(const char *name, CMFixtureFunction setup)
{
	enum { CASES = ARRAY_SIZE(cases), HOST = ARRAY_SIZE(host_tests) };
	static char names[CASES][80];
	struct CMUnitTest tests[CASES + HOST];

	for (int i = 0; i < CASES; i++) {
		snprintf(names[i], sizeof(names[i]), "%s: %s", name,
			 cases[i].name);
		tests[i] = (struct CMUnitTest)TEST(test_driver_payload);
		tests[i].name = names[i];
	}
	memcpy(tests + CASES, host_tests, sizeof(host_tests));
	return cmocka_run_group_tests_name(name, tests, setup, NULL);
}

int
main(void)
{
	const char *only = getenv("TEST_DRIVER");
	bool all = !only || !*only;
	int failed = 0;

	if (all || strcmp(only, "kvm") == 0)
		find_out_whether_kvm_emulates();
#ifndef SPINDLE_NO_SOFT
	if (all || strcmp(only, "soft") == 0)
		failed += run_group("soft", use_soft);
	if (all)
		failed += cmocka_run_group_tests_name("moves", move_tests, NULL,
						      NULL);
#endif
	if (all || strcmp(only, "kvm") == 0)
		failed += run_group("kvm", use_kvm);
	return failed != 0;
}
