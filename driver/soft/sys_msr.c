/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/sys_int.h"

/* Numbers of AMD APM 2 appendix A. */
enum {
	MSR_TSC = 0x10,
	MSR_APIC_BASE = 0x1b,
	MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP = 0x175,
	MSR_SYSENTER_EIP = 0x176,
	MSR_MISC_ENABLE = 0x1a0,
	MSR_PAT = 0x277,
	MSR_MTRR_DEF_TYPE = 0x2ff,
};
#define MSR_EFER	   0xc0000080u
#define MSR_STAR	   0xc0000081u
#define MSR_LSTAR	   0xc0000082u
#define MSR_CSTAR	   0xc0000083u
#define MSR_FMASK	   0xc0000084u
#define MSR_FS_BASE	   0xc0000100u
#define MSR_GS_BASE	   0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX	   0xc0000103u

#define APIC_BASE_BSP	 BIT(8)
#define APIC_BASE_ENABLE BIT(11)
#define APIC_BASE_ADDR	 BITS(39, 12)
#define MTRR_TYPE	 BITS(7, 0)
#define MTRR_FIX_ENABLE	 BIT(10)
#define MTRR_ENABLE	 BIT(11)

/* Registers of a family 0Fh part without an effect on what a program sees:
 * they read as the value here, and writes are accepted and dropped. */
static const struct {
	u32 index;
	u64 value;
} constant[] = {
    {0x8b, 0x4d}, /* patch level */
    {0x1d9, 0},	  /* DebugCtl */
    {0x1db, 0},	  /* last branch and exception, from and to */
    {0x1dc, 0},
    {0x1dd, 0},
    {0x1de, 0},
    {0xc0010010, 0},	      /* SYSCFG */
    {0xc0010015, 0},	      /* HWCR */
    {0xc001001a, 1ULL << 32}, /* TOP_MEM */
    {0xc001001d, 0},	      /* TOP_MEM2 */
    {0xc001001f, 0},	      /* NB_CFG */
    {0xc0010055, 0},	      /* interrupt pending message */
    {0xc0011020, 0},	      /* LS_CFG */
    {0xc0011021, 0},	      /* IC_CFG */
    {0xc0011022, 0},	      /* DC_CFG */
    {0xc0011023, 0},	      /* BU_CFG */
};

/* --- where values live ------------------------------------------------ */

/* Memory types that PAT and MTRRs know, SDM 3A table 12-10; 7 is PAT's UC-. */
static bool
is_mem_type(unsigned t, bool pat)
{
	return t == 0 || t == 1 || (t >= 4 && t <= 6) || (pat && t == 7);
}

static bool
pat_ok(u64 v)
{
	for (unsigned i = 0; i < 64; i += 8)
		if (!is_mem_type((unsigned)(v >> i) & 0xff, true))
			return false;
	return true;
}

/* A register that is a field of its own, with what may be written to it. */
enum rule { ANY, CANONICAL, LOW32, PAT_TYPES, APIC_BITS, MTRR_BITS };

static u64 *
msr_field(struct soft *c, u32 index, enum rule *rule)
{
	struct cpu_msrs *m = &c->msr;

	*rule = ANY;
	switch (index) {
	case MSR_STAR:
		return &m->star;
	case MSR_SYSENTER_CS:
		return &m->sysenter_cs;
	case MSR_MISC_ENABLE:
		return &m->misc_enable;
	case MSR_FMASK:
		*rule = LOW32;
		return &m->fmask;
	case MSR_TSC_AUX:
		*rule = LOW32;
		return &m->tsc_aux;
	case MSR_PAT:
		*rule = PAT_TYPES;
		return &m->pat;
	case MSR_APIC_BASE:
		*rule = APIC_BITS;
		return &m->apic_base;
	case MSR_MTRR_DEF_TYPE:
		*rule = MTRR_BITS;
		return &m->mtrr_def_type;
	default:
		break;
	}
	*rule = CANONICAL;
	switch (index) {
	case MSR_FS_BASE:
		return &c->seg[SEG_FS].base;
	case MSR_GS_BASE:
		return &c->seg[SEG_GS].base;
	case MSR_KERNEL_GS_BASE:
		return &m->kernel_gs_base;
	case MSR_LSTAR:
		return &m->lstar;
	case MSR_CSTAR:
		return &m->cstar;
	case MSR_SYSENTER_ESP:
		return &m->sysenter_esp;
	case MSR_SYSENTER_EIP:
		return &m->sysenter_eip;
	default:
		return NULL;
	}
}

static bool
rule_ok(enum rule rule, u64 v)
{
	switch (rule) {
	case CANONICAL:
		return is_canonical(v);
	case LOW32:
		return v >> 32 == 0;
	case PAT_TYPES:
		return pat_ok(v);
	case APIC_BITS:
		return !(v &
			 ~(APIC_BASE_BSP | APIC_BASE_ENABLE | APIC_BASE_ADDR));
	case MTRR_BITS:
		return !(v & ~(MTRR_TYPE | MTRR_FIX_ENABLE | MTRR_ENABLE)) &&
		       is_mem_type(v & MTRR_TYPE, false);
	default:
		return true;
	}
}

/* --- RDMSR, WRMSR ----------------------------------------------------- */

enum msr_outcome { MSR_DONE, MSR_FAULT, MSR_UNKNOWN };

static enum msr_outcome
msr_read(struct soft *c, u32 index, u64 *v)
{
	enum rule rule;
	const u64 *field = msr_field(c, index, &rule);

	if (field) {
		*v = *field;
		return MSR_DONE;
	}
	if (index == MSR_EFER) {
		*v = c->efer;
		return MSR_DONE;
	}
	if (index == MSR_TSC) {
		*v = soft_tsc(c);
		return MSR_DONE;
	}
	for (size_t i = 0; i < ARRAY_SIZE(constant); i++)
		if (constant[i].index == index) {
			*v = constant[i].value;
			return MSR_DONE;
		}
	return MSR_UNKNOWN;
}

static enum msr_outcome
msr_write(struct soft *c, u32 index, u64 v)
{
	enum rule rule;
	u64 *field = msr_field(c, index, &rule);

	if (field) {
		if (!rule_ok(rule, v))
			return MSR_FAULT;
		*field = v;
		if (index == MSR_FS_BASE || index == MSR_GS_BASE)
			soft_refresh(c);
		return MSR_DONE;
	}
	if (index == MSR_EFER)
		return sys_set_efer(c, v) ? MSR_DONE : MSR_FAULT;
	if (index == MSR_TSC) {
		c->tsc_offset += (s64)(v - soft_tsc(c));
		return MSR_DONE;
	}
	for (size_t i = 0; i < ARRAY_SIZE(constant); i++)
		if (constant[i].index == index)
			return MSR_DONE;
	return MSR_UNKNOWN;
}

/* An MSR that is not the processor's own: the caller of run() is asked, and
 * the instruction runs again to take the answer. */
static enum helper_result
msr_ask(struct soft *c, bool write, u64 *v)
{
	u64 name = ANSWER_MSR | (u64)write << 32 | (u32)c->r[RCX];
	struct soft_answer *a = &c->answer;

	if (a->valid && a->gpa == name) {
		a->valid = false;
		*v = get_le64(a->data);
		return HELPER_NEXT;
	}
	a->valid = false;
	a->gpa = name;
	c->x->kind = HV_EXIT_MSR;
	c->x->msr.index = (u32)c->r[RCX];
	c->x->msr.write = write;
	c->x->msr.fault = false;
	c->x->msr.value = *v;
	return HELPER_RETRY;
}

static void
set_edx_eax(struct soft *c, u64 v)
{
	c->r[RAX] = (u32)v;
	c->r[RDX] = v >> 32;
}

enum helper_result
sys_rdmsr(struct soft *c, const struct insn *in)
{
	enum helper_result res = HELPER_NEXT;
	u64 v = 0;

	(void)in;
	if (c->cpl != 0)
		return sys_gp(c);
	if (msr_read(c, (u32)c->r[RCX], &v) == MSR_UNKNOWN)
		res = msr_ask(c, false, &v);
	if (res == HELPER_NEXT)
		set_edx_eax(c, v);
	return res;
}

enum helper_result
sys_wrmsr(struct soft *c, const struct insn *in)
{
	u64 v = c->r[RDX] << 32 | (u32)c->r[RAX];
	enum helper_result res;

	(void)in;
	if (c->cpl != 0)
		return sys_gp(c);
	switch (msr_write(c, (u32)c->r[RCX], v)) {
	case MSR_DONE:
		return HELPER_JUMP;
	case MSR_FAULT:
		return sys_gp(c);
	default:
		res = msr_ask(c, true, &v);
		return res == HELPER_NEXT ? HELPER_JUMP : res;
	}
}

/* --- other registers of their own ------------------------------------- */

enum helper_result
sys_rdtsc(struct soft *c, const struct insn *in)
{
	(void)in;
	if (c->cpl != 0 && (c->cr4 & CR4_TSD))
		return sys_gp(c);
	set_edx_eax(c, soft_tsc(c));
	return HELPER_NEXT;
}

enum helper_result
sys_rdtscp(struct soft *c, const struct insn *in)
{
	enum helper_result res = sys_rdtsc(c, in);

	if (res == HELPER_NEXT)
		c->r[RCX] = (u32)c->msr.tsc_aux;
	return res;
}

/* There are no performance counters: every index is beyond the last. */
enum helper_result
sys_rdpmc(struct soft *c, const struct insn *in)
{
	(void)in;
	return sys_gp(c);
}

enum helper_result
sys_swapgs(struct soft *c, const struct insn *in)
{
	u64 base = c->seg[SEG_GS].base;

	(void)in;
	if (c->cpl != 0)
		return sys_gp(c);
	c->seg[SEG_GS].base = c->msr.kernel_gs_base;
	c->msr.kernel_gs_base = base;
	c->seg_base[SEG_GS] = c->seg[SEG_GS].base;
	return HELPER_NEXT;
}
