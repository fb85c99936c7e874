/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/cpuid.h"
#include "driver/soft/sys_int.h"

#define CR0_DEFINED \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | \
	 CR0_AM | CR0_NW | CR0_CD | CR0_PG)
/* What goes with the features of driver/cpuid.c; any other bit is #GP(0). */
#define CR4_DEFINED \
	(CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE | \
	 CR4_OSFXSR | CR4_OSXMMEXCPT)
#define EFER_DEFINED (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_AIBRSE)

/* Bits that read as one or zero whatever is written, AMD APM 2 13.1.1. */
#define DR6_ONES     0xffff0ff0ULL
#define DR6_WRITABLE 0x0000e00fULL
#define DR6_BD	     BIT(13)
#define DR7_ONES     BIT(10)
#define DR7_WRITABLE 0xffff23ffULL
#define DR7_GD	     BIT(13)

static bool
gp_false(struct soft *c)
{
	soft_raise_error(c, EXC_GP, 0);
	return false;
}

/* APM 2 14.6.1: paging goes on with EFER.LME set and long mode begins; it
 * goes off only from compatibility mode. */
static bool
set_paging(struct soft *c, bool on)
{
	bool code64 = c->seg[SEG_CS].attr & ATTR_L;

	if (on && (c->efer & EFER_LME)) {
		if (!(c->cr4 & CR4_PAE) || code64)
			return gp_false(c);
		c->efer |= EFER_LMA;
	} else if (!on) {
		if (soft_in_long(c) && code64)
			return gp_false(c);
		c->efer &= ~EFER_LMA;
	}
	return true;
}

bool
sys_set_cr0(struct soft *c, u64 v)
{
	u64 changed = (v ^ c->cr0) & CR0_DEFINED;

	if (v >> 32 || ((v & CR0_PG) && !(v & CR0_PE)) ||
	    ((v & CR0_NW) && !(v & CR0_CD)))
		return gp_false(c);
	if ((changed & CR0_PG) && !set_paging(c, v & CR0_PG))
		return false;
	c->cr0 = (v & CR0_DEFINED) | CR0_ET;
	if (changed & (CR0_PG | CR0_WP | CR0_PE))
		tlb_flush(c, true);
	soft_refresh(c);
	return true;
}

/* Bits beyond the physical address width must be zero in long mode. */
bool
sys_set_cr3(struct soft *c, u64 v)
{
	u32 leaf[4];

	if (unlikely(v >> 36)) {
		cpuid_get(0x80000008, 0, leaf);
		if (v >> (leaf[0] & 0x3f))
			return gp_false(c);
	}
	c->cr3 = v;
	tlb_flush(c, false);
	return true;
}

bool
sys_set_cr4(struct soft *c, u64 v)
{
	u64 changed = v ^ c->cr4;

	if ((v & ~CR4_DEFINED) || (!(v & CR4_PAE) && soft_in_long(c)))
		return gp_false(c);
	c->cr4 = v;
	if (changed & (CR4_PGE | CR4_PAE | CR4_PSE))
		tlb_flush(c, true);
	return true;
}

/* LMA is the processor's own: what is written there does not count. */
bool
sys_set_efer(struct soft *c, u64 v)
{
	u64 changed = v ^ c->efer;

	if ((v & ~EFER_DEFINED) || ((changed & EFER_LME) && (c->cr0 & CR0_PG)))
		return gp_false(c);
	c->efer = (v & ~EFER_LMA) | (c->efer & EFER_LMA);
	if (changed & EFER_NXE)
		tlb_flush(c, true);
	return true;
}

/* --- MOV CR ----------------------------------------------------------- */

static u64
gpr_get(const struct soft *c, unsigned reg)
{
	return c->mode & MODE_64 ? c->r[reg] : (u32)c->r[reg];
}

static void
gpr_set(struct soft *c, unsigned reg, u64 v)
{
	c->r[reg] = c->mode & MODE_64 ? v : (u32)v;
}

static bool
set_cr8(struct soft *c, u64 v)
{
	if (v > 15)
		return gp_false(c);
	c->cr8 = v;
	return true;
}

enum helper_result
sys_mov_to_cr(struct soft *c, const struct insn *in)
{
	u64 v = gpr_get(c, in->modrm_rm);
	bool ok = true;

	if (c->cpl != 0)
		return sys_gp(c);
	switch (in->modrm_reg) {
	case 0:
		ok = sys_set_cr0(c, v);
		break;
	case 2:
		c->cr2 = v;
		break;
	case 3:
		ok = sys_set_cr3(c, v);
		break;
	case 4:
		ok = sys_set_cr4(c, v);
		break;
	case 8:
		ok = set_cr8(c, v);
		break;
	default:
		return sys_raise(c, EXC_UD);
	}
	return ok ? HELPER_JUMP : HELPER_FAULT;
}

enum helper_result
sys_mov_from_cr(struct soft *c, const struct insn *in)
{
	u64 v;

	if (c->cpl != 0)
		return sys_gp(c);
	switch (in->modrm_reg) {
	case 0:
		v = c->cr0;
		break;
	case 2:
		v = c->cr2;
		break;
	case 3:
		v = c->cr3;
		break;
	case 4:
		v = c->cr4;
		break;
	case 8:
		v = c->cr8;
		break;
	default:
		return sys_raise(c, EXC_UD);
	}
	gpr_set(c, in->modrm_rm, v);
	return HELPER_NEXT;
}

enum helper_result
sys_clts(struct soft *c, const struct insn *in)
{
	(void)in;
	if (c->cpl != 0)
		return sys_gp(c);
	c->cr0 &= ~CR0_TS;
	return HELPER_JUMP;
}

/* The low four bits of CR0; PE can be set but not cleared. */
enum helper_result
sys_lmsw(struct soft *c, const struct insn *in)
{
	u64 low = CR0_PE | CR0_MP | CR0_EM | CR0_TS, v;
	u16 msw;

	if (c->cpl != 0)
		return sys_gp(c);
	if (in->has_mem) {
		enum helper_result res = insn_read(c, in, 0, &msw, 2, 0);

		if (res != HELPER_NEXT)
			return res;
	} else {
		msw = (u16)c->r[in->modrm_rm];
	}
	v = (c->cr0 & ~low) | (msw & low) | (c->cr0 & CR0_PE);
	return sys_set_cr0(c, v) ? HELPER_JUMP : HELPER_FAULT;
}

/* A register takes as much of CR0 as it holds, memory 16 bits. */
enum helper_result
sys_smsw(struct soft *c, const struct insn *in)
{
	u16 msw = (u16)c->cr0;

	if (in->has_mem)
		return insn_write(c, in, 0, &msw, 2, 0);
	reg_set(c, in->modrm_rm, false, in->opsize, c->cr0);
	return HELPER_NEXT;
}

/* --- MOV DR ----------------------------------------------------------- */

/* Checks common to both directions; *n is the register meant: DR4 and DR5 are
 * other names of DR6 and DR7 unless CR4.DE says they do not exist. */
static enum helper_result
check_dr(struct soft *c, const struct insn *in, unsigned *n)
{
	*n = in->modrm_reg;
	if (*n > 7)
		return sys_raise(c, EXC_UD);
	if (c->cpl != 0)
		return sys_gp(c);
	if ((*n == 4 || *n == 5) && (c->cr4 & CR4_DE))
		return sys_raise(c, EXC_UD);
	if (*n == 4 || *n == 5)
		*n += 2;
	if (c->dr[7] & DR7_GD) {
		c->exc = (struct soft_exc){.valid = true,
					   .vector = EXC_DB,
					   .error = DR6_BD};
		return HELPER_FAULT;
	}
	return HELPER_NEXT;
}

/* What DR7 enables counts from the next instruction on. */
enum helper_result
sys_mov_to_dr(struct soft *c, const struct insn *in)
{
	u64 v = gpr_get(c, in->modrm_rm);
	enum helper_result res;
	unsigned n;

	res = check_dr(c, in, &n);
	if (res != HELPER_NEXT)
		return res;
	if (n >= 6 && v >> 32)
		return sys_gp(c);
	if (n == 6)
		v = (v & DR6_WRITABLE) | DR6_ONES;
	else if (n == 7)
		v = (v & DR7_WRITABLE) | DR7_ONES;
	c->dr[n] = v;
	return HELPER_JUMP;
}

enum helper_result
sys_mov_from_dr(struct soft *c, const struct insn *in)
{
	enum helper_result res;
	unsigned n;

	res = check_dr(c, in, &n);
	if (res != HELPER_NEXT)
		return res;
	gpr_set(c, in->modrm_rm, c->dr[n]);
	return HELPER_NEXT;
}

/* --- caches ----------------------------------------------------------- */

enum helper_result
sys_invlpg(struct soft *c, const struct insn *in)
{
	if (c->cpl != 0)
		return sys_gp(c);
	tlb_flush_page(c, insn_lin(c, in, 0));
	return HELPER_JUMP;
}

/* INVD and WBINVD: guest memory is always coherent. */
enum helper_result
sys_wbinvd(struct soft *c, const struct insn *in)
{
	(void)in;
	return c->cpl == 0 ? HELPER_NEXT : sys_gp(c);
}
