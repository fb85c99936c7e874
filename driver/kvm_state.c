/* SPDX-License-Identifier: BSD-2-Clause */
/* struct cpu_state and KVM's structures, both ways (api.rst 4.11-4.14, 4.18,
 * 4.22, 4.31, 4.38, 4.42).
 *
 * Events: a software interrupt (INT n, INT3, INTO) whose delivery was
 * interrupted is not carried. RIP still is at the instruction, which will
 * simply run again; how far KVM had come differs between its two vendors. */
#include "driver/kvm_int.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define MSR_TSC	       0x10
#define FX_BYTES       512
#define FX_MXCSR       24
#define FX_MXCSR_MASK  28
#define FX_XMM	       160
#define XSTATE_BV      512 /* SDM 1 13.4.2 */
#define XSTATE_X87_SSE 3ULL
#define MXCSR_MASK     0xffff

static const struct {
	u32 index;
	size_t off;
} msrs[] = {
    {0xc0000081, offsetof(struct cpu_msrs, star)},
    {0xc0000082, offsetof(struct cpu_msrs, lstar)},
    {0xc0000083, offsetof(struct cpu_msrs, cstar)},
    {0xc0000084, offsetof(struct cpu_msrs, fmask)},
    {0xc0000102, offsetof(struct cpu_msrs, kernel_gs_base)},
    {0x174, offsetof(struct cpu_msrs, sysenter_cs)},
    {0x175, offsetof(struct cpu_msrs, sysenter_esp)},
    {0x176, offsetof(struct cpu_msrs, sysenter_eip)},
    {0x277, offsetof(struct cpu_msrs, pat)},
    {0xc0000103, offsetof(struct cpu_msrs, tsc_aux)},
    {0x1a0, offsetof(struct cpu_msrs, misc_enable)},
    {0x2ff, offsetof(struct cpu_msrs, mtrr_def_type)},
};
static_assert(ARRAY_SIZE(msrs) <= KVM_MSRS_MAX, "kvm_int.h must know");

union msr_list {
	struct kvm_msrs head;
	u8 room[sizeof(struct kvm_msrs) +
		KVM_MSRS_MAX * sizeof(struct kvm_msr_entry)];
};

/* --- single MSRs and the TSC ------------------------------------------ */

static bool
msr_read(struct kvm *k, u32 index, u64 *value)
{
	union msr_list l = {.room = {0}};

	l.head.nmsrs = 1;
	l.head.entries[0].index = index;
	/* 4.18: returns how many were read */
	if (ioctl(k->vcpu_fd, KVM_GET_MSRS, &l) != 1)
		return false;
	*value = l.head.entries[0].data;
	return true;
}

static void
msr_write(struct kvm *k, u32 index, u64 value)
{
	union msr_list l = {.room = {0}};

	l.head.nmsrs = 1;
	l.head.entries[0].index = index;
	l.head.entries[0].data = value;
	if (ioctl(k->vcpu_fd, KVM_SET_MSRS, &l) != 1 && !k->broken) {
		k->broken = -EIO;
		k->broken_what = "writing an MSR";
	}
}

/* KVM takes a TSC written within a second of the present one for an attempt
 * to synchronise processors and ignores it. The offset is exact. */
static void
tsc_add(struct kvm *k, u64 ticks)
{
	u64 off = 0, now = 0;
	struct kvm_device_attr attr = {.group = KVM_VCPU_TSC_CTRL,
				       .attr = KVM_VCPU_TSC_OFFSET,
				       .addr = (uintptr_t)&off};

	if (k->has_tsc_offset) {
		kvm_must(k, KVM_GET_DEVICE_ATTR, &attr, "reading the TSC");
		off += ticks;
		kvm_must(k, KVM_SET_DEVICE_ATTR, &attr, "setting the TSC");
	} else if (msr_read(k, MSR_TSC, &now)) {
		msr_write(k, MSR_TSC, now + ticks);
	}
}

void
kvm_tsc_rewind(struct kvm *k, u64 ticks)
{
	tsc_add(k, -ticks);
}

static void
tsc_set(struct kvm *k, u64 value)
{
	u64 now = 0;

	if (msr_read(k, MSR_TSC, &now))
		tsc_add(k, value - now);
	k->exit_tsc = __builtin_ia32_rdtsc();
}

/* --- segments --------------------------------------------------------- */

static struct cpu_seg
seg_from_kvm(const struct kvm_segment *g)
{
	struct cpu_seg seg = {.base = g->base,
			      .limit_bytes = g->limit,
			      .sel = g->selector};

	seg.attr = (g->type & 15U) | (g->s & 1U) << 4 |
		   (g->dpl & 3U) << ATTR_DPL_SHIFT | (g->present & 1U) << 7 |
		   (g->avl & 1U) << 12 | (g->l & 1U) << 13 |
		   (g->db & 1U) << 14 | (g->g & 1U) << 15;
	if (g->unusable)
		seg.attr |= ATTR_UNUSABLE;
	return seg;
}

static struct kvm_segment
seg_to_kvm(const struct cpu_seg *seg)
{
	return (struct kvm_segment){
	    .base = seg->base,
	    .limit = seg->limit_bytes,
	    .selector = seg->sel,
	    .type = bits_get(seg->attr, 3, 0),
	    .s = bits_get(seg->attr, 4, 4),
	    .dpl = bits_get(seg->attr, 6, 5),
	    .present = bits_get(seg->attr, 7, 7),
	    .avl = bits_get(seg->attr, 12, 12),
	    .l = bits_get(seg->attr, 13, 13),
	    .db = bits_get(seg->attr, 14, 14),
	    .g = bits_get(seg->attr, 15, 15),
	    .unusable = !!(seg->attr & ATTR_UNUSABLE),
	};
}

static void
sregs_get(struct kvm *k, struct cpu_state *s)
{
	struct kvm_sregs g = {0};

	kvm_must(k, KVM_GET_SREGS, &g, "reading system registers");
	s->seg[SEG_ES] = seg_from_kvm(&g.es);
	s->seg[SEG_CS] = seg_from_kvm(&g.cs);
	s->seg[SEG_SS] = seg_from_kvm(&g.ss);
	s->seg[SEG_DS] = seg_from_kvm(&g.ds);
	s->seg[SEG_FS] = seg_from_kvm(&g.fs);
	s->seg[SEG_GS] = seg_from_kvm(&g.gs);
	s->ldt = seg_from_kvm(&g.ldt);
	s->tr = seg_from_kvm(&g.tr);
	s->gdt = (struct cpu_table){g.gdt.base, g.gdt.limit};
	s->idt = (struct cpu_table){g.idt.base, g.idt.limit};
	s->cr0 = g.cr0;
	s->cr2 = g.cr2;
	s->cr3 = g.cr3;
	s->cr4 = g.cr4;
	s->cr8 = g.cr8;
	s->efer = g.efer;
	s->msr.apic_base = g.apic_base;
}

static int
sregs_set(struct kvm *k, const struct cpu_state *s)
{
	/* A machine that comes from a processor with Automatic IBRS goes on
	 * without: no instruction can tell. */
	u64 efer = s->efer & ~(k->auto_ibrs ? 0 : EFER_AIBRSE);
	struct kvm_sregs g = {
	    .es = seg_to_kvm(&s->seg[SEG_ES]),
	    .cs = seg_to_kvm(&s->seg[SEG_CS]),
	    .ss = seg_to_kvm(&s->seg[SEG_SS]),
	    .ds = seg_to_kvm(&s->seg[SEG_DS]),
	    .fs = seg_to_kvm(&s->seg[SEG_FS]),
	    .gs = seg_to_kvm(&s->seg[SEG_GS]),
	    .ldt = seg_to_kvm(&s->ldt),
	    .tr = seg_to_kvm(&s->tr),
	    .gdt = {.base = s->gdt.base, .limit = s->gdt.limit_bytes},
	    .idt = {.base = s->idt.base, .limit = s->idt.limit_bytes},
	    .cr0 = s->cr0,
	    .cr2 = s->cr2,
	    .cr3 = s->cr3,
	    .cr4 = s->cr4,
	    .cr8 = s->cr8,
	    .efer = efer,
	    .apic_base = s->msr.apic_base,
	};
	int r = kvm_ioctl(k->vcpu_fd, KVM_SET_SREGS, &g);

	/* without an in-kernel APIC every KVM_RUN loads CR8 from here */
	if (r == 0)
		k->run->cr8 = s->cr8;
	return r;
}

/* --- general registers ------------------------------------------------ */

static void
regs_get(struct kvm *k, struct cpu_state *s)
{
	struct kvm_regs g = {0};

	kvm_must(k, KVM_GET_REGS, &g, "reading registers");
	s->gpr[RAX] = g.rax;
	s->gpr[RCX] = g.rcx;
	s->gpr[RDX] = g.rdx;
	s->gpr[RBX] = g.rbx;
	s->gpr[RSP] = g.rsp;
	s->gpr[RBP] = g.rbp;
	s->gpr[RSI] = g.rsi;
	s->gpr[RDI] = g.rdi;
	s->gpr[R8] = g.r8;
	s->gpr[R9] = g.r9;
	s->gpr[R10] = g.r10;
	s->gpr[R11] = g.r11;
	s->gpr[R12] = g.r12;
	s->gpr[R13] = g.r13;
	s->gpr[R14] = g.r14;
	s->gpr[R15] = g.r15;
	s->rip = g.rip;
	s->rflags = g.rflags;
}

static void
regs_set(struct kvm *k, const struct cpu_state *s)
{
	struct kvm_regs g = {
	    .rax = s->gpr[RAX],
	    .rcx = s->gpr[RCX],
	    .rdx = s->gpr[RDX],
	    .rbx = s->gpr[RBX],
	    .rsp = s->gpr[RSP],
	    .rbp = s->gpr[RBP],
	    .rsi = s->gpr[RSI],
	    .rdi = s->gpr[RDI],
	    .r8 = s->gpr[R8],
	    .r9 = s->gpr[R9],
	    .r10 = s->gpr[R10],
	    .r11 = s->gpr[R11],
	    .r12 = s->gpr[R12],
	    .r13 = s->gpr[R13],
	    .r14 = s->gpr[R14],
	    .r15 = s->gpr[R15],
	    .rip = s->rip,
	    .rflags = s->rflags,
	};

	kvm_must(k, KVM_SET_REGS, &g, "setting registers");
}

/* --- x87, SSE --------------------------------------------------------- */

static void
xsave_read(struct kvm *k)
{
	kvm_must(k,
		 k->xsave_bytes > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2
							   : KVM_GET_XSAVE,
		 k->xsave, "reading the FPU");
}

static void
fx_get(struct kvm *k, struct cpu_state *s)
{
	struct kvm_fpu f = {0};

	if (k->xsave_bytes) {
		xsave_read(k);
		memcpy(s->fx, k->xsave, FX_BYTES);
	} else {
		kvm_must(k, KVM_GET_FPU, &f, "reading the FPU");
		put_le16(s->fx, f.fcw);
		put_le16(s->fx + 2, f.fsw);
		s->fx[4] = f.ftwx;
		put_le16(s->fx + 6, f.last_opcode);
		put_le64(s->fx + 8, f.last_ip);
		put_le64(s->fx + 16, f.last_dp);
		put_le32(s->fx + FX_MXCSR, f.mxcsr);
		memcpy(s->fx + 32, f.fpr, sizeof(f.fpr));
		memcpy(s->fx + FX_XMM, f.xmm, sizeof(f.xmm));
	}
	/* the mask is the host's; the presented part has this one */
	put_le32(s->fx + FX_MXCSR_MASK, MXCSR_MASK);
}

static void
fx_set(struct kvm *k, const struct cpu_state *s)
{
	u8 *to = (u8 *)k->xsave;
	struct kvm_fpu f = {
	    .fcw = get_le16(s->fx),
	    .fsw = get_le16(s->fx + 2),
	    .ftwx = s->fx[4],
	    .last_opcode = get_le16(s->fx + 6),
	    .last_ip = get_le64(s->fx + 8),
	    .last_dp = get_le64(s->fx + 16),
	    .mxcsr = get_le32(s->fx + FX_MXCSR),
	};

	if (k->xsave_bytes) {
		/* what lies beyond SSE stays as it is */
		xsave_read(k);
		memcpy(to, s->fx, FX_BYTES);
		put_le64(to + XSTATE_BV,
			 get_le64(to + XSTATE_BV) | XSTATE_X87_SSE);
		kvm_must(k, KVM_SET_XSAVE, k->xsave, "setting the FPU");
		return;
	}
	memcpy(f.fpr, s->fx + 32, sizeof(f.fpr));
	memcpy(f.xmm, s->fx + FX_XMM, sizeof(f.xmm));
	kvm_must(k, KVM_SET_FPU, &f, "setting the FPU");
}

/* --- MSRs, debug registers -------------------------------------------- */

static u64 *
msr_field(struct cpu_msrs *m, size_t off)
{
	return (u64 *)((char *)m + off);
}

static void
msrs_get(struct kvm *k, struct cpu_state *s)
{
	union msr_list l = {.room = {0}};
	u64 apic_base = s->msr.apic_base;

	l.head.nmsrs = k->n_msr;
	s->msr = k->msr_kept;
	s->msr.apic_base = apic_base;
	for (unsigned i = 0; i < k->n_msr; i++)
		l.head.entries[i].index = k->msr_index[i];
	if (ioctl(k->vcpu_fd, KVM_GET_MSRS, &l) != (int)k->n_msr) {
		k->broken = k->broken ? k->broken : -EIO;
		k->broken_what = "reading the MSRs";
	}
	for (unsigned i = 0; i < k->n_msr; i++)
		*msr_field(&s->msr, k->msr_off[i]) = l.head.entries[i].data;
	msr_read(k, MSR_TSC, &s->tsc);
}

/* The kernel stops at the first value that it refuses (4.19). */
static int
msrs_set(struct kvm *k, const struct cpu_state *s)
{
	struct cpu_msrs copy = s->msr;
	union msr_list l = {.room = {0}};

	l.head.nmsrs = k->n_msr;
	for (unsigned i = 0; i < k->n_msr; i++) {
		l.head.entries[i].index = k->msr_index[i];
		l.head.entries[i].data = *msr_field(&copy, k->msr_off[i]);
	}
	return ioctl(k->vcpu_fd, KVM_SET_MSRS, &l) == (int)k->n_msr ? 0
								    : -EINVAL;
}

static void
debugregs_get(struct kvm *k, struct cpu_state *s)
{
	struct kvm_debugregs d = {0};

	kvm_must(k, KVM_GET_DEBUGREGS, &d, "reading debug registers");
	memcpy(s->dr, d.db, sizeof(d.db));
	s->dr[6] = d.dr6;
	s->dr[7] = d.dr7;
}

static int
debugregs_set(struct kvm *k, const struct cpu_state *s)
{
	struct kvm_debugregs d = {.dr6 = s->dr[6], .dr7 = s->dr[7]};

	memcpy(d.db, s->dr, sizeof(d.db));
	return kvm_ioctl(k->vcpu_fd, KVM_SET_DEBUGREGS, &d);
}

/* --- events ----------------------------------------------------------- */

static void
events_get(struct kvm *k, struct cpu_state *s)
{
	struct kvm_vcpu_events v = {0};
	struct kvm_mp_state mp = {0};

	kvm_must(k, KVM_GET_VCPU_EVENTS, &v, "reading events");
	s->int_shadow = v.interrupt.shadow;
	s->nmi_masked = v.nmi.masked;
	s->nmi_pending = v.nmi.pending;
	if ((v.exception.injected || v.exception.pending) &&
	    v.exception.nr != EXC_BP && v.exception.nr != EXC_OF) {
		s->event_pending = true;
		s->event_vector = v.exception.nr;
		s->event_has_error = v.exception.has_error_code;
		s->event_error = v.exception.error_code;
	} else if (v.interrupt.injected && !v.interrupt.soft) {
		s->event_pending = true;
		s->event_vector = v.interrupt.nr;
	} else if (v.nmi.injected) {
		s->event_pending = true;
		s->event_vector = EXC_NMI;
	}
	s->halted = k->halted;
	if (k->irqchip) {
		kvm_must(k, KVM_GET_MP_STATE, &mp, "reading the run state");
		s->halted = mp.mp_state == KVM_MP_STATE_HALTED;
	}
}

static int
events_set(struct kvm *k, const struct cpu_state *s)
{
	struct kvm_vcpu_events v = {
	    .flags =
		KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
	    .nmi.masked = s->nmi_masked,
	    .nmi.pending = s->nmi_pending,
	    .interrupt.shadow = s->int_shadow ? KVM_X86_SHADOW_INT_STI : 0,
	};
	struct kvm_mp_state mp = {.mp_state = s->halted
						  ? KVM_MP_STATE_HALTED
						  : KVM_MP_STATE_RUNNABLE};

	if (!s->event_pending || s->event_soft) {
		/* nothing, or an instruction that runs again */
	} else if (s->event_vector == EXC_NMI) {
		v.nmi.injected = 1;
	} else if (s->event_vector < 32) {
		v.exception.injected = 1;
		v.exception.nr = s->event_vector;
		v.exception.has_error_code = s->event_has_error;
		v.exception.error_code = s->event_error;
	} else {
		v.interrupt.injected = 1;
		v.interrupt.nr = s->event_vector;
	}
	k->halted = s->halted && !k->irqchip;
	k->irq_ready = s->rflags & FL_IF && !s->int_shadow && !s->event_pending;
	if (k->irqchip)
		kvm_must(k, KVM_SET_MP_STATE, &mp, "setting the run state");
	return kvm_ioctl(k->vcpu_fd, KVM_SET_VCPU_EVENTS, &v);
}

/* --- the whole -------------------------------------------------------- */

void
kvm_state_get(struct hv *hv, struct cpu_state *s)
{
	struct kvm *k = kvm_of(hv);

	kvm_settle(k, false);
	memset(s, 0, sizeof(*s));
	regs_get(k, s);
	sregs_get(k, s);
	fx_get(k, s);
	msrs_get(k, s);
	debugregs_get(k, s);
	events_get(k, s);
}

int
kvm_state_set(struct hv *hv, const struct cpu_state *s)
{
	struct kvm *k = kvm_of(hv);
	int r;

	if (!cpu_state_valid(s))
		return -EINVAL;
	kvm_settle(k, true);
	r = sregs_set(k, s);
	if (r == 0)
		r = debugregs_set(k, s);
	if (r == 0)
		r = msrs_set(k, s);
	if (r < 0)
		return r == -ENOMEM ? r : -EINVAL;
	k->msr_kept = s->msr;
	regs_set(k, s);
	fx_set(k, s);
	r = events_set(k, s);
	tsc_set(k, s->tsc);
	return r < 0 ? -EINVAL : 0;
}

/* Which of cpu_msrs this KVM keeps, and how the FPU travels. After CPUID is
 * set: TSC_AUX depends on it. */
int
kvm_state_init(struct kvm *k, struct err *e)
{
	u64 off = 0, value;
	struct kvm_device_attr attr = {.group = KVM_VCPU_TSC_CTRL,
				       .attr = KVM_VCPU_TSC_OFFSET,
				       .addr = (uintptr_t)&off};
	int xsave2;

	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++) {
		if (!msr_read(k, msrs[i].index, &value))
			continue;
		k->msr_index[k->n_msr] = msrs[i].index;
		k->msr_off[k->n_msr++] = msrs[i].off;
	}
	k->has_tsc_offset =
	    kvm_ioctl(k->vcpu_fd, KVM_HAS_DEVICE_ATTR, &attr) == 0;
	if (ioctl(k->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE) > 0) {
		xsave2 = ioctl(k->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
		k->xsave_bytes =
		    MAX((u32)sizeof(struct kvm_xsave), (u32)MAX(xsave2, 0));
		k->xsave = calloc(1, k->xsave_bytes);
		if (!k->xsave)
			return err_set(e, -ENOMEM, "no memory for FPU state");
	}
	return 0;
}
