/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/cpu_state.h"

#include <stdarg.h>
#include <stdio.h>

#include "driver/cpuid.h"

/* Offsets in the FXSAVE64 image, SDM 1 table 10-2. */
#define FX_FCW	      0
#define FX_FTW	      4
#define FX_MXCSR      24
#define FX_MXCSR_MASK 28
#define FX_XMM	      160

#define MXCSR_RESET 0x1f80
#define MXCSR_MASK  0xffff
#define FCW_RESET   0x0040
#define FCW_INIT    0x037f

#define PAT_RESET	0x0007040600070406ULL
#define APIC_BASE_RESET 0xfee00900ULL /* enabled, bootstrap processor */
#define DR6_RESET	0xffff0ff0ULL
#define DR7_RESET	0x400ULL

#define ATTR_DATA_RW  (ATTR_P | ATTR_S | 3)  /* read/write, accessed */
#define ATTR_CODE_RX  (ATTR_P | ATTR_S | 11) /* execute/read, accessed */
#define ATTR_LDT      (ATTR_P | 2)
#define ATTR_TSS_BUSY (ATTR_P | 11)

/* SDM 3A table 9-1: what is the same whatever mode the processor starts in. */
static void
reset_common(struct cpu_state *s)
{
	memset(s, 0, sizeof(*s));
	s->rflags = FL_ONE;
	s->ldt.limit_bytes = 0xffff;
	s->ldt.attr = ATTR_LDT;
	s->tr.limit_bytes = 0xffff;
	s->tr.attr = ATTR_TSS_BUSY;
	s->gdt.limit_bytes = 0xffff;
	s->idt.limit_bytes = 0xffff;
	s->dr[6] = DR6_RESET;
	s->dr[7] = DR7_RESET;
	s->msr.pat = PAT_RESET;
	s->msr.apic_base = APIC_BASE_RESET;
	put_le32(s->fx + FX_MXCSR, MXCSR_RESET);
	put_le32(s->fx + FX_MXCSR_MASK, MXCSR_MASK);
}

void
cpu_state_reset(struct cpu_state *s)
{
	u32 leaf1[4];

	reset_common(s);
	cpuid_get(1, 0, leaf1);
	s->gpr[RDX] = leaf1[0];
	s->rip = 0xfff0;
	s->cr0 = CR0_ET | CR0_NW | CR0_CD;
	for (int i = 0; i < SEG_COUNT; i++) {
		s->seg[i].limit_bytes = 0xffff;
		s->seg[i].attr = ATTR_DATA_RW;
	}
	s->seg[SEG_CS].sel = 0xf000;
	s->seg[SEG_CS].base = 0xffff0000;
	s->seg[SEG_CS].attr = ATTR_CODE_RX;
	/* all eight registers valid and zero */
	put_le16(s->fx + FX_FCW, FCW_RESET);
	s->fx[FX_FTW] = 0xff;
}

void
cpu_state_long_mode(struct cpu_state *s, u64 rip, u64 cr3)
{
	reset_common(s);
	s->rip = rip;
	s->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	s->cr3 = cr3;
	s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	s->efer = EFER_LME | EFER_LMA;
	for (int i = 0; i < SEG_COUNT; i++) {
		s->seg[i].sel = 0x18;
		s->seg[i].limit_bytes = 0xffffffff;
		s->seg[i].attr = ATTR_G | ATTR_DB | ATTR_DATA_RW;
	}
	s->seg[SEG_CS].sel = 0x10;
	s->seg[SEG_CS].attr = ATTR_G | ATTR_L | ATTR_CODE_RX;
	s->gdt.limit_bytes = 0;
	s->idt.limit_bytes = 0;
	/* as after FNINIT: every register empty */
	put_le16(s->fx + FX_FCW, FCW_INIT);
}

/* SDM 3A 2.5 (control registers), 2.2.1 (EFER), 9.8.5 (long mode) */
static bool
control_valid(const struct cpu_state *s)
{
	bool paging = s->cr0 & CR0_PG;
	bool lma = s->efer & EFER_LMA;

	if (s->cr0 >> 32 || (paging && !(s->cr0 & CR0_PE)) ||
	    (s->cr0 & CR0_NW && !(s->cr0 & CR0_CD)))
		return false;
	if (s->efer >> 32 || lma != (paging && s->efer & EFER_LME))
		return false;
	if (lma &&
	    (!(s->cr4 & CR4_PAE) ||
	     (s->seg[SEG_CS].attr & (ATTR_L | ATTR_DB)) == (ATTR_L | ATTR_DB)))
		return false;
	return s->cr3 >> 52 == 0 && s->cr4 >> 32 == 0 && s->cr8 < 16;
}

bool
cpu_state_valid(const struct cpu_state *s)
{
	const u64 reserved_fl = BIT(3) | BIT(5) | BIT(15) | BITS(63, 22);

	if (!control_valid(s) || s->rflags & reserved_fl ||
	    !(s->rflags & FL_ONE) || s->dr[6] >> 32 || s->dr[7] >> 32 ||
	    get_le32(s->fx + FX_MXCSR) & ~MXCSR_MASK)
		return false;
	/* RIP may be anything: SYSRET on AMD parts faults at its target */
	return is_canonical(s->seg[SEG_FS].base) &&
	       is_canonical(s->seg[SEG_GS].base) && is_canonical(s->ldt.base) &&
	       is_canonical(s->tr.base) && is_canonical(s->gdt.base) &&
	       is_canonical(s->idt.base) && is_canonical(s->msr.lstar) &&
	       is_canonical(s->msr.cstar) &&
	       is_canonical(s->msr.kernel_gs_base) &&
	       is_canonical(s->msr.sysenter_esp) &&
	       is_canonical(s->msr.sysenter_eip);
}

/* A bounded string that grows; what does not fit is dropped. */
struct out {
	char *buf;
	size_t size_bytes, used;
};

static void PRINTF_LIKE(2, 3) put(struct out *o, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (o->used + 1 >= o->size_bytes)
		return;
	va_start(ap, fmt);
	n = vsnprintf(o->buf + o->used, o->size_bytes - o->used, fmt, ap);
	va_end(ap);
	if (n > 0)
		o->used = MIN(o->used + (size_t)n, o->size_bytes - 1);
}

static void
put_gprs(struct out *o, const struct cpu_state *s)
{
	static const char *const names[16] = {"rax", "rcx", "rdx", "rbx",
					      "rsp", "rbp", "rsi", "rdi",
					      "r8 ", "r9 ", "r10", "r11",
					      "r12", "r13", "r14", "r15"};

	for (int i = 0; i < 16; i++)
		put(o, "%s %016llx%s", names[i], (unsigned long long)s->gpr[i],
		    i % 4 == 3 ? "\n" : "  ");
}

static void
put_rip(struct out *o, const struct cpu_state *s)
{
	static const struct {
		u64 bit;
		const char *name;
	} flags[] = {{FL_CF, "CF"}, {FL_PF, "PF"}, {FL_AF, "AF"}, {FL_ZF, "ZF"},
		     {FL_SF, "SF"}, {FL_TF, "TF"}, {FL_IF, "IF"}, {FL_DF, "DF"},
		     {FL_OF, "OF"}, {FL_NT, "NT"}, {FL_RF, "RF"}, {FL_VM, "VM"},
		     {FL_AC, "AC"}};

	put(o, "rip %016llx  rflags %08llx", (unsigned long long)s->rip,
	    (unsigned long long)s->rflags);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (s->rflags & flags[i].bit)
			put(o, " %s", flags[i].name);
	put(o, "%s%s%s%s\n", s->halted ? ", halted" : "",
	    s->int_shadow ? ", interrupt shadow" : "",
	    s->nmi_masked ? ", nmi masked" : "",
	    s->nmi_pending ? ", nmi pending" : "");
	if (s->event_pending)
		put(o, "pending %s vector %u, error code %08x\n",
		    s->event_soft ? "software interrupt" : "event",
		    s->event_vector, s->event_has_error ? s->event_error : 0);
}

static void
put_seg(struct out *o, const char *name, const struct cpu_seg *seg)
{
	put(o, "%s  %04x base %016llx limit %08x attr %04x%s\n", name, seg->sel,
	    (unsigned long long)seg->base, seg->limit_bytes, seg->attr & 0xffff,
	    seg->attr & ATTR_UNUSABLE ? " unusable" : "");
}

size_t
cpu_state_print(const struct cpu_state *s, char *buf, size_t size_bytes)
{
	static const char *const names[SEG_COUNT] = {"es", "cs", "ss",
						     "ds", "fs", "gs"};
	struct out o = {buf, size_bytes, 0};

	if (size_bytes == 0)
		return 0;
	buf[0] = '\0';
	put_rip(&o, s);
	put_gprs(&o, s);
	for (int i = 0; i < SEG_COUNT; i++)
		put_seg(&o, names[i], &s->seg[i]);
	put_seg(&o, "tr", &s->tr);
	put_seg(&o, "ld", &s->ldt);
	put(&o, "gdt base %016llx limit %04x  idt base %016llx limit %04x\n",
	    (unsigned long long)s->gdt.base, s->gdt.limit_bytes,
	    (unsigned long long)s->idt.base, s->idt.limit_bytes);
	put(&o, "cr0 %08llx  cr2 %016llx  cr3 %016llx\n",
	    (unsigned long long)s->cr0, (unsigned long long)s->cr2,
	    (unsigned long long)s->cr3);
	put(&o, "cr4 %08llx  cr8 %llx  efer %04llx  dr6 %08llx  dr7 %08llx\n",
	    (unsigned long long)s->cr4, (unsigned long long)s->cr8,
	    (unsigned long long)s->efer, (unsigned long long)s->dr[6],
	    (unsigned long long)s->dr[7]);
	put(&o, "fcw %04x  mxcsr %04x  xmm0 %016llx%016llx\n",
	    get_le16(s->fx + FX_FCW), get_le32(s->fx + FX_MXCSR),
	    (unsigned long long)get_le64(s->fx + FX_XMM + 8),
	    (unsigned long long)get_le64(s->fx + FX_XMM));
	put(&o, "kernel gs %016llx  lstar %016llx  tsc %llu\n",
	    (unsigned long long)s->msr.kernel_gs_base,
	    (unsigned long long)s->msr.lstar, (unsigned long long)s->tsc);
	if (s->insn_count)
		put(&o, "%llu instructions retired\n",
		    (unsigned long long)s->insn_count);
	return o.used;
}
