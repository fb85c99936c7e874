/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/cpuid.h"
#include "driver/soft/sys_int.h"

#define APIC_BASE_ENABLE BIT(11)
#define CPUID_APIC	 BIT(9)

/* The table, but for what depends on state: a local APIC that is switched off
 * in APIC_BASE is not announced (APM 2 16.3.1). */
enum helper_result
sys_cpuid(struct soft *c, const struct insn *in)
{
	u32 leaf = (u32)c->r[RAX], out[4];

	(void)in;
	cpuid_get(leaf, (u32)c->r[RCX], out);
	if ((leaf == 1 || leaf == 0x80000001) &&
	    !(c->msr.apic_base & APIC_BASE_ENABLE))
		out[3] &= ~(u32)CPUID_APIC;
	c->r[RAX] = out[0];
	c->r[RBX] = out[1];
	c->r[RCX] = out[2];
	c->r[RDX] = out[3];
	return HELPER_NEXT;
}

enum helper_result
sys_hlt(struct soft *c, const struct insn *in)
{
	(void)in;
	if (c->cpl != 0)
		return sys_gp(c);
	c->halted = true;
	c->x->kind = HV_EXIT_HLT;
	return HELPER_EXIT;
}

/* --- RFLAGS ----------------------------------------------------------- */

static unsigned
iopl(const struct soft *c)
{
	return (unsigned)bits_get(c->rflags, 13, 12);
}

enum helper_result
sys_cli(struct soft *c, const struct insn *in)
{
	(void)in;
	if (c->cpl > iopl(c))
		return sys_gp(c);
	c->rflags &= ~FL_IF;
	return HELPER_NEXT;
}

/* Interrupts are held off until after the next instruction, so that STI; HLT
 * and STI; RET lose none; but only if they were off before. */
enum helper_result
sys_sti(struct soft *c, const struct insn *in)
{
	(void)in;
	if (c->cpl > iopl(c))
		return sys_gp(c);
	if (!(c->rflags & FL_IF))
		c->int_shadow = true;
	c->rflags |= FL_IF;
	/* With nothing waiting, the shadow only has to be seen by whoever
	 * looks at the state next. */
	return c->irq_window || c->irq_pending || c->nmi_pending ? HELPER_JUMP
								 : HELPER_NEXT;
}

enum helper_result
sys_pushf(struct soft *c, const struct insn *in)
{
	u64 fl = flags_get(c) & ~(FL_RF | FL_VM);
	u64 sp = c->r[RSP] - in->opsize;
	enum helper_result res;

	res = stack_write(c, sp, &fl, in->opsize, 0);
	if (res == HELPER_NEXT || res == HELPER_EXIT)
		stack_set(c, sp);
	return res;
}

/* SDM 2B, POPF, table of effects: IOPL changes at CPL 0 only, IF where CPL
 * reaches IOPL; VM, VIF and VIP never, RF becomes 0. No fault: bits that may
 * not change are ignored. */
enum helper_result
sys_popf(struct soft *c, const struct insn *in)
{
	u64 mask = FL_ARITH | FL_TF | FL_DF | FL_NT, fl = 0;
	enum helper_result res;

	res = stack_read(c, c->r[RSP], &fl, in->opsize, 0);
	if (res != HELPER_NEXT)
		return res;
	if (in->opsize > 2)
		mask |= FL_AC | FL_ID;
	if (c->cpl <= iopl(c))
		mask |= FL_IF;
	if (c->cpl == 0)
		mask |= FL_IOPL;
	stack_set(c, c->r[RSP] + in->opsize);
	flags_set(c, (flags_get(c) & ~(mask | FL_RF)) | (fl & mask));
	return HELPER_JUMP;
}
