/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/soft_int.h"

#include <errno.h>
#include <stdlib.h>

#include "base/lock.h"
#include "base/range.h"
#include "driver/soft/code_int.h"
#include "driver/soft/fpu.h"
#include "driver/soft/ops.h"
#include "driver/soft/stub.h"
#include "driver/soft/sys_int.h"

/* The clock is looked at after this many instructions: few enough that a
 * deadline is met within some microseconds, many enough to cost nothing. */
#define SLICE_MIN 4000ULL
#define SLICE_MAX 4000000ULL
/* Pages that devices wrote while the vCPU was elsewhere; beyond this many the
 * whole code cache is dropped instead. */
#define TOUCHED_MAX 64

/* Bits of exit_req. */
#define REQ_KICK    1 /* leave run() */
#define REQ_TOUCHED 2 /* drop code that a device wrote over, then go on */
#define REQ_ALONE   4 /* the running instruction is the only one */

struct touched {
	u64 gpa, size_bytes;
};

struct soft_vm {
	struct soft c; /* must be first: a struct hv is one */

	struct lock lock;
	struct touched touched[TOUCHED_MAX]; /* [lock] */
	unsigned n_touched;		     /* [lock] */
	bool touched_all;		     /* [lock] */

	u64 insns_per_us;      /* measured, for the next slice */
	u64 slice_start_ns;    /* 0: no slice is running */
	bool answer_due;       /* the last exit must be answered */
	bool shadow_step;      /* the next instruction runs alone */
	struct vm_exit *asked; /* where the answer is */
};

static struct soft_vm *
soft_of(struct hv *hv)
{
	return CONTAINER_OF(hv, struct soft_vm, c.hv);
}

/* --- exceptions -------------------------------------------------------- */

void
soft_raise(struct soft *c, u8 vector)
{
	if (c->exc.valid)
		return;
	c->exc = (struct soft_exc){.valid = true, .vector = vector};
}

void
soft_raise_error(struct soft *c, u8 vector, u32 error)
{
	if (c->exc.valid)
		return;
	soft_raise(c, vector);
	c->exc.has_error = true;
	c->exc.error = error;
}

/* --- time and budgets -------------------------------------------------- */

u64
soft_tsc(struct soft *c)
{
	return vclock_now_ns(c->clock) + (u64)c->tsc_offset;
}

u64
soft_insns_now(const struct soft *c)
{
	return c->insn_count + (u64)(c->budget_given - c->budget);
}

static void
budget_settle(struct soft_vm *v)
{
	struct soft *c = &v->c;

	c->insn_count += (u64)(c->budget_given - c->budget);
	c->st.insns += (u64)(c->budget_given - c->budget);
	c->budget = c->budget_given = 0;
}

/* Gives the next slice of instructions: up to the deadline, as far as the
 * speed of the last slices tells. False: the deadline is here. Integers only:
 * the floating-point unit is the guest's (fpu.h). */
static bool
budget_give(struct soft_vm *v)
{
	struct soft *c = &v->c;
	u64 now = vclock_now_ns(c->clock), left, want;
	u64 ran = (u64)(c->budget_given - c->budget);

	if (v->slice_start_ns && now > v->slice_start_ns + NS_PER_US &&
	    ran > 1000) {
		u64 speed = ran * 1000 / (now - v->slice_start_ns);

		v->insns_per_us = (3 * v->insns_per_us + speed) / 4;
	}
	budget_settle(v);
	v->slice_start_ns = now;
	if (now >= c->deadline_ns)
		return false;
	left = MIN(c->deadline_ns - now, NS_PER_SEC);
	want = left * v->insns_per_us / 1000;
	c->budget = (s64)MAX(MIN(want, SLICE_MAX), SLICE_MIN);
	c->budget_given = c->budget;
	return true;
}

/* --- running ----------------------------------------------------------- */

/* Drops code under what devices wrote. Called with the vCPU stopped. */
static void
touched_apply(struct soft_vm *v)
{
	struct soft *c = &v->c;

	lock_acquire(&v->lock);
	if (v->touched_all)
		code_flush(c);
	for (unsigned i = 0; i < v->n_touched; i++)
		code_written(c, v->touched[i].gpa, v->touched[i].size_bytes);
	v->n_touched = 0;
	v->touched_all = false;
	lock_release(&v->lock);
}

static u64
ip_to_lin(const struct soft *c, u64 ip)
{
	return c->mode & MODE_64 ? ip : (u32)(ip + c->cs_base);
}

/* Runs from c->ip until a handler leaves. */
static void
dispatch(struct soft *c, u64 lin)
{
	const char *base = (const char *)(void *)soft_base;
	struct jump_entry *je = jump_slot(c, lin);
	struct block *b = je->blk;
	struct uop *op;

	if (je->lin != lin || je->mode != c->mode ||
	    je->gen != c->code_gen[lin >> 63])
		b = jump_fill(c, lin);

	if (!b) {
		c->leave = LEAVE_FAULT;
		return;
	}
	c->r[RIPB] = lin;
	c->blk = b;
	c->smc_hit = false;
	c->budget -= b->n_insn;
	op = b->uop;
	while (op)
		op = ((uop_fn)(void *)(base + op->fn))(c, op, base, c->tlb);
	assert(c->leave != LEAVE_NONE);
}

/* One instruction by itself, then whatever is due after it. */
static void
dispatch_one(struct soft *c)
{
	c->mode |= MODE_STEP;
	/* Its fall-through must leave the loop, not enter the next block. */
	atomic_fetch_or(&c->exit_req, REQ_ALONE);
	dispatch(c, ip_to_lin(c, c->ip));
	atomic_fetch_and(&c->exit_req, ~REQ_ALONE);
	c->mode &= ~MODE_STEP;
}

static bool
can_interrupt(const struct soft *c)
{
	return (c->rflags & FL_IF) && !c->int_shadow;
}

static void
exit_with(struct soft *c, enum hv_exit_kind kind)
{
	c->x->kind = kind;
}

static bool
shutdown(struct soft *c)
{
	exit_with(c, HV_EXIT_SHUTDOWN);
	return false;
}

/* Takes c->exc through the IDT. False: triple fault. */
static bool
deliver(struct soft *c)
{
	c->int_shadow = false;
	return sys_deliver(c) || shutdown(c);
}

/* Events that may come between two instructions. False: leave run(). */
static bool
between(struct soft_vm *v)
{
	struct soft *c = &v->c;

	if (c->exc.valid) /* state_set() brought it */
		return deliver(c);
	if (c->nmi_pending && !c->nmi_masked && !c->int_shadow) {
		c->nmi_pending = false;
		c->nmi_masked = true;
		c->halted = false;
		c->exc = (struct soft_exc){.valid = true,
					   .vector = EXC_NMI,
					   .is_external = true};
		return deliver(c);
	}
	if (c->irq_pending && can_interrupt(c)) {
		c->irq_pending = false;
		c->halted = false;
		c->exc = (struct soft_exc){.valid = true,
					   .vector = c->irq_vector,
					   .is_external = true};
		return deliver(c);
	}
	if (c->irq_window && !c->irq_pending && can_interrupt(c)) {
		exit_with(c, HV_EXIT_IRQ_WINDOW);
		return false;
	}
	if (c->halted) {
		exit_with(c, HV_EXIT_HLT);
		return false;
	}
	return true;
}

static bool
wants_step(const struct soft *c)
{
	return (c->rflags & FL_TF) || (c->dr[7] & DR7_ENABLES) ||
	       (c->int_shadow &&
		(c->irq_pending || c->irq_window || c->nmi_pending));
}

/* #DB with these bits for DR6. */
static bool
debug_event(struct soft *c, u32 bits)
{
	c->exc =
	    (struct soft_exc){.valid = true, .vector = EXC_DB, .error = bits};
	return deliver(c);
}

/* The trap that is due after an instruction. trap: it was to be stepped. */
static u32
trap_bits(struct soft *c, bool trap)
{
	u32 bits = c->watch_hit;

	if (c->trap_rule == TRAP_HELD)
		return 0;
	c->watch_hit = 0;
	if (c->trap_rule == TRAP_BY_NEW_TF)
		trap = c->rflags & FL_TF;
	return bits | (trap ? DR6_BS : 0);
}

/* Time that no instruction count tells of. */
static void
spend(struct soft *c)
{
	c->budget -= 1000;
	c->budget_given -= 1000;
}

/* False: the deadline is here. */
static bool
in_time(struct soft_vm *v)
{
	if (v->c.budget > 0 || budget_give(v))
		return true;
	exit_with(&v->c, HV_EXIT_KICK);
	return false;
}

/* What happened, once the handlers have left. False: leave run(). */
static bool
left(struct soft_vm *v, u32 trap)
{
	struct soft *c = &v->c;
	enum leave why = c->leave;

	c->leave = LEAVE_NONE;
	switch (why) {
	case LEAVE_JUMP:
		c->ip = c->next_ip;
		return trap ? debug_event(c, trap) : true;
	case LEAVE_FAULT:
		return deliver(c);
	case LEAVE_REPEAT:
		/* The clock matters to a long REP, too. */
		spend(c);
		return trap ? debug_event(c, trap) : true;
	case LEAVE_RETRY:
		v->answer_due = true;
		v->asked = c->x;
		return false;
	case LEAVE_DONE:
		c->ip = c->next_ip;
		/* Not STI: HLT, a port, MMIO. An older shadow is over. */
		c->int_shadow = false;
		if (trap)
			debug_event(c, trap);
		return false;
	default:
		assert(!"a handler left without a reason");
		return false;
	}
}

/* The caller has answered the last exit: keep what it said for the second run
 * of the instruction, or refuse the MSR. False: triple fault. */
static bool
take_answer(struct soft_vm *v)
{
	struct soft *c = &v->c;
	const struct vm_exit *x = v->asked;

	v->answer_due = false;
	c->answer.valid = true;
	switch (x->kind) {
	case HV_EXIT_MMIO:
		memcpy(c->answer.data, x->mmio.data, sizeof(c->answer.data));
		return true;
	case HV_EXIT_MSR:
		memcpy(c->answer.data, &x->msr.value, 8);
		if (!x->msr.fault)
			return true;
		c->answer.valid = false;
		soft_raise_error(c, EXC_GP, 0);
		return deliver(c);
	default: /* port data is where the instruction looks for it */
		return true;
	}
}

/* A request from outside, between two instructions. */
static bool
kicked(struct soft_vm *v)
{
	struct soft *c = &v->c;

	int req;

	if (!atomic_load_explicit(&c->exit_req, memory_order_relaxed))
		return false;
	req = atomic_exchange(&c->exit_req, 0);
	if (req & REQ_TOUCHED)
		touched_apply(v);
	return req & REQ_KICK;
}

/* One turn: events, then instructions until something happens. False: leave
 * run(), *c->x says why. */
static bool
turn(struct soft_vm *v, bool answered)
{
	struct soft *c = &v->c;
	bool watch = c->dr[7] & DR7_ENABLES, trap = c->rflags & FL_TF, alone;
	u32 bits;

	/* An answered instruction runs before anything else. */
	if (!answered) {
		if (kicked(v)) {
			exit_with(c, HV_EXIT_KICK);
			return false;
		}
		if (!between(v))
			return false;
		trap = c->rflags & FL_TF;
		if (unlikely(watch) && !(c->rflags & FL_RF)) {
			bits = sys_breaks_at(c, ip_to_lin(c, c->ip));
			if (bits) {
				spend(c);
				return debug_event(c, bits) && in_time(v);
			}
		}
	}
	alone = wants_step(c);
	c->tlb = (c->rflags & FL_AC) && (c->cr0 & CR0_AM) && c->cpl == 3
		     ? c->tlb_none
		 : unlikely(watch) ? c->tlb_watch
				   : c->tlbs[c->cpl == 3];
	c->int_shadow = false;
	c->rflags &= ~FL_RF;
	if (alone)
		dispatch_one(c);
	else
		dispatch(c, ip_to_lin(c, c->ip));
	bits = trap_bits(c, trap);
	c->trap_rule = TRAP_BY_OLD_TF;
	return left(v, bits) && in_time(v);
}

static void
soft_run(struct hv *hv, u64 deadline_ns, struct vm_exit *x)
{
	struct soft_vm *v = soft_of(hv);
	struct soft *c = &v->c;
	bool answered = v->answer_due;

	c->x = x;
	c->st.exits++;
	c->deadline_ns = deadline_ns;
	if (answered && !take_answer(v))
		return;
	v->slice_start_ns = 0;
	if (budget_give(v) || answered) {
		while (turn(v, answered))
			answered = false;
	} else {
		exit_with(c, HV_EXIT_KICK);
	}
	budget_settle(v);
	fpu_leave(c);
}

static void
soft_kick(struct hv *hv)
{
	atomic_fetch_or(&soft_of(hv)->c.exit_req, REQ_KICK);
}

/* --- interrupts -------------------------------------------------------- */

static bool
soft_irq_ready(struct hv *hv)
{
	struct soft *c = &soft_of(hv)->c;

	return can_interrupt(c) && !c->irq_pending && !soft_of(hv)->answer_due;
}

static void
soft_interrupt(struct hv *hv, u8 vector)
{
	struct soft *c = &soft_of(hv)->c;

	assert(!c->irq_pending);
	c->irq_pending = true;
	c->irq_vector = vector;
	c->halted = false;
}

static void
soft_request_irq_window(struct hv *hv, bool on)
{
	soft_of(hv)->c.irq_window = on;
}

static void
soft_nmi(struct hv *hv)
{
	soft_of(hv)->c.nmi_pending = true;
}

static bool
soft_has_irqchip(struct hv *hv)
{
	(void)hv;
	return false;
}

/* --- memory ------------------------------------------------------------ */

static void
slot_release(struct soft *c, struct soft_slot *s)
{
	if (!s->size_bytes)
		return;
	code_flush(c);
	tlb_flush(c, true);
	free(s->page);
	free((void *)s->dirty);
	memset(s, 0, sizeof(*s));
}

static int
soft_mem_map(struct hv *hv, unsigned slot, u64 gpa, u64 size_bytes, void *host,
	     u64 flags)
{
	struct soft *c = &soft_of(hv)->c;
	u64 pages = size_bytes >> PAGE_SHIFT;
	struct soft_slot *s;

	if (slot >= HV_MAX_SLOTS)
		return -ENOSPC;
	if ((gpa | size_bytes | (u64)(uintptr_t)host) & ~PAGE_MASK ||
	    !range_inside(gpa, size_bytes, BIT(52)) || flags & ~HV_MEM_READONLY)
		return -EINVAL;
	for (unsigned i = 0; i < HV_MAX_SLOTS; i++)
		if (i != slot && range_overlap(gpa, size_bytes, c->slot[i].gpa,
					       c->slot[i].size_bytes))
			return -EINVAL;
	s = &c->slot[slot];
	slot_release(c, s);
	if (!size_bytes)
		return 0;
	s->page = calloc(pages, 1);
	s->dirty = calloc((pages + 63) / 64, 8);
	if (!s->page || !s->dirty) {
		free(s->page);
		free((void *)s->dirty);
		memset(s, 0, sizeof(*s));
		return -ENOMEM;
	}
	s->gpa = gpa;
	s->size_bytes = size_bytes;
	s->host = host;
	s->readonly = flags & HV_MEM_READONLY;
	tlb_flush(c, true);
	return 0;
}

static void
slot_clean(struct soft *c, struct soft_slot *s)
{
	u64 pages = s->size_bytes >> PAGE_SHIFT;

	for (u64 i = 0; i < pages; i++)
		page_bits_set(s, i, PAGE_CLEAN);
	tlb_drop_writable(c);
}

static int
soft_dirty_log(struct hv *hv, unsigned slot, bool on)
{
	struct soft *c = &soft_of(hv)->c;
	struct soft_slot *s;

	if (slot >= HV_MAX_SLOTS || !c->slot[slot].size_bytes)
		return -EINVAL;
	s = &c->slot[slot];
	s->logging = on;
	for (u64 i = 0; i < (s->size_bytes / PAGE_SIZE + 63) / 64; i++)
		atomic_store_explicit(&s->dirty[i], 0, memory_order_relaxed);
	if (on) {
		slot_clean(c, s);
		return 0;
	}
	for (u64 i = 0; i < s->size_bytes >> PAGE_SHIFT; i++)
		page_bits_clear(s, i, PAGE_CLEAN);
	return 0;
}

static int
soft_dirty_get(struct hv *hv, unsigned slot, u64 *bitmap)
{
	struct soft *c = &soft_of(hv)->c;
	struct soft_slot *s;
	u64 words;

	if (slot >= HV_MAX_SLOTS || !c->slot[slot].logging)
		return -EINVAL;
	s = &c->slot[slot];
	words = (s->size_bytes / PAGE_SIZE + 63) / 64;
	for (u64 i = 0; i < words; i++) {
		u64 w = atomic_exchange(&s->dirty[i], 0);

		bitmap[i] |= w;
		for (; w; w &= w - 1)
			page_bits_set(s, i * 64 + (u64)__builtin_ctzll(w),
				      PAGE_CLEAN);
	}
	tlb_drop_writable(c);
	return 0;
}

static void
soft_ram_written(struct hv *hv, u64 gpa, u64 size_bytes)
{
	struct soft_vm *v = soft_of(hv);
	struct soft *c = &v->c;
	bool code = false;

	/* A barrier between the device's bytes and the look at the pages' bits:
	 * either the bits of code_guard() are seen here, or the bytes there. */
	atomic_fetch_or(&c->exit_req, 0);
	for (unsigned i = 0; i < HV_MAX_SLOTS; i++) {
		struct soft_slot *s = &c->slot[i];
		u64 first, last;

		if (gpa - s->gpa >= s->size_bytes || !size_bytes)
			continue;
		first = (gpa - s->gpa) >> PAGE_SHIFT;
		last = (MIN(gpa + size_bytes, s->gpa + s->size_bytes) - 1 -
			s->gpa) >>
		       PAGE_SHIFT;
		for (u64 p = first; p <= last; p++) {
			if (s->logging)
				atomic_fetch_or(&s->dirty[p / 64], BIT(p % 64));
			code |= __atomic_load_n(&s->page[p], __ATOMIC_SEQ_CST) &
				PAGE_CODE;
		}
	}
	if (!code)
		return;
	lock_acquire(&v->lock);
	if (v->n_touched < TOUCHED_MAX)
		v->touched[v->n_touched++] = (struct touched){gpa, size_bytes};
	else
		v->touched_all = true;
	lock_release(&v->lock);
	atomic_fetch_or(&c->exit_req, REQ_TOUCHED);
}

/* --- state ------------------------------------------------------------- */

static void
soft_state_get(struct hv *hv, struct cpu_state *s)
{
	struct soft *c = &soft_of(hv)->c;

	memset(s, 0, sizeof(*s));
	memcpy(s->gpr, c->r, sizeof(s->gpr));
	s->rip = c->ip;
	s->rflags = flags_get(c);
	memcpy(s->seg, c->seg, sizeof(s->seg));
	s->ldt = c->ldt;
	s->tr = c->tr;
	s->gdt = c->gdt;
	s->idt = c->idt;
	s->cr0 = c->cr0;
	s->cr2 = c->cr2;
	s->cr3 = c->cr3;
	s->cr4 = c->cr4;
	s->cr8 = c->cr8;
	s->efer = c->efer;
	memcpy(s->dr, c->dr, sizeof(s->dr));
	s->msr = c->msr;
	s->tsc = soft_tsc(c);
	s->insn_count = soft_insns_now(c);
	s->halted = c->halted;
	s->int_shadow = c->int_shadow;
	s->nmi_masked = c->nmi_masked;
	s->nmi_pending = c->nmi_pending;
	s->event_pending = c->irq_pending || c->exc.valid;
	s->event_vector = c->exc.valid ? c->exc.vector : c->irq_vector;
	s->event_has_error = c->exc.valid && c->exc.has_error;
	s->event_error = s->event_has_error ? c->exc.error : 0;
	memcpy(s->fx, c->fx, sizeof(s->fx));
}

/* An event that was accepted elsewhere and not delivered. INT n and its kind
 * are not taken: RIP is at the instruction, which runs again. */
static void
take_event(struct soft *c, const struct cpu_state *s)
{
	bool pending = s->event_pending && !s->event_soft;
	bool external = s->event_vector == EXC_NMI || s->event_vector >= 32;

	c->irq_pending = pending && s->event_vector >= 32;
	c->irq_vector = s->event_vector;
	c->exc = (struct soft_exc){
	    .valid = pending && !c->irq_pending,
	    .vector = s->event_vector,
	    .has_error = s->event_has_error,
	    .error = s->event_error,
	    .cr2 = s->cr2,
	    .is_external = external,
	};
}

static int
soft_state_set(struct hv *hv, const struct cpu_state *s)
{
	struct soft_vm *v = soft_of(hv);
	struct soft *c = &v->c;

	if (!cpu_state_valid(s))
		return -EINVAL;
	memcpy(c->r, s->gpr, sizeof(s->gpr));
	c->r[ZERO] = 0;
	c->ip = s->rip;
	flags_set(c, s->rflags);
	memcpy(c->seg, s->seg, sizeof(c->seg));
	c->ldt = s->ldt;
	c->tr = s->tr;
	c->gdt = s->gdt;
	c->idt = s->idt;
	c->cr0 = s->cr0;
	c->cr2 = s->cr2;
	c->cr3 = s->cr3;
	c->cr4 = s->cr4;
	c->cr8 = s->cr8;
	c->efer = s->efer;
	memcpy(c->dr, s->dr, sizeof(c->dr));
	c->msr = s->msr;
	c->tsc_offset = (s64)(s->tsc - vclock_now_ns(c->clock));
	c->insn_count = s->insn_count;
	c->budget = c->budget_given = 0;
	c->halted = s->halted;
	c->int_shadow = s->int_shadow;
	c->nmi_masked = s->nmi_masked;
	c->nmi_pending = s->nmi_pending;
	c->watch_hit = 0;
	take_event(c, s);
	memcpy(c->fx, s->fx, sizeof(c->fx));
	fpu_load(c);
	c->answer.valid = false;
	v->answer_due = false;
	soft_refresh(c);
	tlb_flush(c, true);
	return 0;
}

static void
soft_stats(struct hv *hv, struct hv_stats *st)
{
	struct soft *c = &soft_of(hv)->c;

	*st = c->st;
}

/* --- life -------------------------------------------------------------- */

static void
soft_destroy(struct hv *hv)
{
	struct soft_vm *v = soft_of(hv);
	struct soft *c = &v->c;

	for (unsigned i = 0; i < HV_MAX_SLOTS; i++) {
		free(c->slot[i].page);
		free((void *)c->slot[i].dirty);
	}
	code_close(c);
	tlb_close(c);
	lock_destroy(&v->lock);
	free(v);
}

static int
soft_create(struct hv **out, const struct hv_config *cfg, struct err *e)
{
	struct soft_vm *v = aligned_alloc(64, ALIGN_UP(sizeof(*v), 64));
	struct cpu_state s;
	int rc;

	if (!v)
		return err_set(e, -ENOMEM, "no memory for the software CPU");
	memset(v, 0, sizeof(*v));
	v->c.hv.ops = &hv_soft;
	v->c.clock = cfg->clock;
	v->insns_per_us = 200;
	lock_init(&v->lock);
	rc = tlb_open(&v->c);
	if (!rc)
		rc = code_open(&v->c);
	if (!rc)
		rc = stub_open();
	if (rc) {
		soft_destroy(&v->c.hv);
		return err_errno(e, rc, "cannot set up the software CPU");
	}
	memset(v->c.ras, 0xff, sizeof(v->c.ras));
	v->c.tlb = v->c.tlbs[0];
	v->c.ras_now = v->c.ras[0];
	cpu_state_reset(&s);
	soft_state_set(&v->c.hv, &s);
	*out = &v->c.hv;
	return 0;
}

const struct hv_ops hv_soft = {
    .name = "soft",
    .create = soft_create,
    .destroy = soft_destroy,
    .mem_map = soft_mem_map,
    .dirty_log = soft_dirty_log,
    .dirty_get = soft_dirty_get,
    .ram_written = soft_ram_written,
    .state_get = soft_state_get,
    .state_set = soft_state_set,
    .run = soft_run,
    .kick = soft_kick,
    .irq_ready = soft_irq_ready,
    .interrupt = soft_interrupt,
    .request_irq_window = soft_request_irq_window,
    .nmi = soft_nmi,
    .has_irqchip = soft_has_irqchip,
    .stats = soft_stats,
};
