/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/decode_int.h"

#include "driver/soft/insn_int.h"
#include "driver/soft/sys_int.h"

/* How an instruction is handled, by mnemonic. ends: it may jump, or change
 * what the following ones were decoded under (mode, privilege, translation,
 * interrupt shadow, TF). Whatever privilege, CR4 and EFER have to say is asked
 * when the instruction runs, since a block does not belong to one CPL. */
struct row {
	helper_fn fn;
	bool ends;
};

#define ROW(mnemonic, fn, ends) [ZYDIS_MNEMONIC_##mnemonic] = {fn, ends}

static const struct row rows[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
    /* events and returns from them */
    ROW(INT, sys_int, true),
    ROW(INT1, sys_int1, true),
    ROW(INT3, sys_int3, true),
    ROW(INTO, sys_into, true),
    ROW(IRET, sys_iret, true),
    ROW(IRETD, sys_iret, true),
    ROW(IRETQ, sys_iret, true),
    ROW(SYSCALL, sys_syscall, true),
    ROW(SYSRET, sys_sysret, true),
    ROW(HLT, sys_hlt, true),

    /* tables and selectors */
    ROW(LGDT, sys_lgdt, false),
    ROW(LIDT, sys_lidt, false),
    ROW(SGDT, sys_sgdt, false),
    ROW(SIDT, sys_sidt, false),
    ROW(LLDT, sys_lldt, false),
    ROW(LTR, sys_ltr, false),
    ROW(SLDT, sys_sldt, false),
    ROW(STR, sys_str, false),
    ROW(LAR, sys_lar, false),
    ROW(LSL, sys_lsl, false),
    ROW(VERR, sys_verr, false),
    ROW(VERW, sys_verw, false),
    ROW(ARPL, sys_arpl, false),

    /* control registers, caches, MSRs */
    ROW(CLTS, sys_clts, true),
    ROW(LMSW, sys_lmsw, true),
    ROW(SMSW, sys_smsw, false),
    ROW(INVLPG, sys_invlpg, true),
    ROW(INVD, sys_wbinvd, false),
    ROW(WBINVD, sys_wbinvd, false),
    ROW(RDMSR, sys_rdmsr, false),
    ROW(WRMSR, sys_wrmsr, true),
    ROW(RDTSC, sys_rdtsc, false),
    ROW(RDTSCP, sys_rdtscp, false),
    ROW(RDPMC, sys_rdpmc, false),
    ROW(SWAPGS, sys_swapgs, false),
    ROW(CPUID, sys_cpuid, false),

    /* RFLAGS */
    ROW(CLI, sys_cli, false),
    ROW(STI, sys_sti, true),
    ROW(PUSHF, sys_pushf, false),
    ROW(PUSHFD, sys_pushf, false),
    ROW(PUSHFQ, sys_pushf, false),
    ROW(POPF, sys_popf, true),
    ROW(POPFD, sys_popf, true),
    ROW(POPFQ, sys_popf, true),

    /* ports */
    ROW(IN, sys_in, false),
    ROW(OUT, sys_out, false),
    ROW(INSB, sys_ins, false),
    ROW(INSW, sys_ins, false),
    ROW(INSD, sys_ins, false),
    ROW(OUTSB, sys_outs, false),
    ROW(OUTSW, sys_outs, false),
    ROW(OUTSD, sys_outs, false),

    /* not on this part, though programs ask (AMD APM 3: SYSENTER and SYSEXIT
     * are undefined in long mode) */
    ROW(SYSENTER, insn_ud, true),
    ROW(SYSEXIT, insn_ud, true),
    ROW(MONITOR, insn_ud, true),
    ROW(MWAIT, insn_ud, true),
    ROW(RDRAND, insn_ud, true),
    ROW(RDSEED, insn_ud, true),
    ROW(RDPID, insn_ud, true),
    ROW(XGETBV, insn_ud, true),
    ROW(XSETBV, insn_ud, true),
    ROW(STAC, insn_ud, true),
    ROW(CLAC, insn_ud, true),
    ROW(VMCALL, insn_ud, true),
    ROW(VMMCALL, insn_ud, true),
    ROW(RSM, insn_ud, true),
    ROW(INVPCID, insn_ud, true),
    ROW(RDFSBASE, insn_ud, true),
    ROW(RDGSBASE, insn_ud, true),
    ROW(WRFSBASE, insn_ud, true),
    ROW(WRGSBASE, insn_ud, true),
};

static bool
is_class(const ZydisDecodedOperand *o, ZydisRegisterClass k)
{
	return o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       ZydisRegisterGetClass(o->reg.value) == k;
}

/* ES..GS in the order of their encoding. */
static u8
seg_of(const ZydisDecodedOperand *o)
{
	return (u8)(o->reg.value - ZYDIS_REGISTER_ES);
}

/* MOV to and from segment, control and debug registers. Loading SS begins an
 * interrupt shadow. */
static bool
emit_mov_special(struct emitter *e)
{
	const ZydisDecodedOperand *d = &e->ops[0], *s = &e->ops[1];
	u8 seg;

	if (is_class(d, ZYDIS_REGCLASS_SEGMENT)) {
		seg = seg_of(d);
		emit_helper(e, sys_mov_to_seg, seg == SEG_SS)->modrm_reg = seg;
	} else if (is_class(s, ZYDIS_REGCLASS_SEGMENT)) {
		seg = seg_of(s);
		emit_helper(e, sys_mov_from_seg, false)->modrm_reg = seg;
	} else if (is_class(d, ZYDIS_REGCLASS_CONTROL)) {
		emit_helper(e, sys_mov_to_cr, true);
	} else if (is_class(s, ZYDIS_REGCLASS_CONTROL)) {
		emit_helper(e, sys_mov_from_cr, false);
	} else if (is_class(d, ZYDIS_REGCLASS_DEBUG)) {
		emit_helper(e, sys_mov_to_dr, true);
	} else if (is_class(s, ZYDIS_REGCLASS_DEBUG)) {
		emit_helper(e, sys_mov_from_dr, false);
	} else {
		return false;
	}
	return true;
}

static bool
emit_stack_seg(struct emitter *e, bool pop)
{
	const ZydisDecodedOperand *o = &e->ops[0];
	u8 seg;

	if (!is_class(o, ZYDIS_REGCLASS_SEGMENT))
		return false;
	seg = seg_of(o);
	emit_helper(e, pop ? sys_pop_seg : sys_push_seg, pop && seg == SEG_SS)
	    ->modrm_reg = seg;
	return true;
}

static bool
emit_far(struct emitter *e, helper_fn fn)
{
	struct insn *in;

	if (e->in->meta.branch_type != ZYDIS_BRANCH_TYPE_FAR)
		return false;
	in = emit_helper(e, fn, true);
	/* the stack is no operand of a direct call */
	in->has_mem = e->ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
	return true;
}

static bool
emit_load_pointer(struct emitter *e, unsigned seg)
{
	emit_helper(e, sys_load_far_pointer, seg == SEG_SS)->imm = seg;
	return true;
}

/* The string forms ignore REX.W: the widest port access has 4 bytes. */
static void
emit_row(struct emitter *e, const struct row *row)
{
	struct insn *in = emit_helper(e, row->fn, row->ends);

	if (row->fn == sys_ins || row->fn == sys_outs || row->fn == sys_in ||
	    row->fn == sys_out)
		in->opsize = (u8)MIN(in->opsize, 4);
}

bool
emit_system(struct emitter *e)
{
	const struct row *row = &rows[e->in->mnemonic];

	switch (e->in->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return emit_mov_special(e);
	case ZYDIS_MNEMONIC_PUSH:
		return emit_stack_seg(e, false);
	case ZYDIS_MNEMONIC_POP:
		return emit_stack_seg(e, true);
	case ZYDIS_MNEMONIC_JMP:
		return emit_far(e, sys_jmp_far);
	case ZYDIS_MNEMONIC_CALL:
		return emit_far(e, sys_call_far);
	case ZYDIS_MNEMONIC_RET:
		return emit_far(e, sys_ret_far);
	case ZYDIS_MNEMONIC_LDS:
		return emit_load_pointer(e, SEG_DS);
	case ZYDIS_MNEMONIC_LES:
		return emit_load_pointer(e, SEG_ES);
	case ZYDIS_MNEMONIC_LFS:
		return emit_load_pointer(e, SEG_FS);
	case ZYDIS_MNEMONIC_LGS:
		return emit_load_pointer(e, SEG_GS);
	case ZYDIS_MNEMONIC_LSS:
		return emit_load_pointer(e, SEG_SS);
	default:
		break;
	}
	if (!row->fn)
		return false;
	emit_row(e, row);
	return true;
}
