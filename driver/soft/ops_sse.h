/* SPDX-License-Identifier: BSD-2-Clause */
/* ops_sse - handlers of the SSE..SSE4.2 instructions
 *
 * What:    moves and the instructions that programs spend their time in have
 *          handlers of their own (sse_move, sse_hot); every other one runs in
 *          a stub, through sse_stub. MMX instructions use the rr forms of
 *          sse_stub behind ops_mmx.h.
 *
 *          op->reg and, for register forms, op->base are slot numbers: 0.. are
 *          general registers, SLOT_XMM.. XMM, SLOT_MM.. MMX registers. op->imm
 *          is the instruction's stub, also where it has a handler of its own:
 *          the handler's cold half runs it.
 * Model:   Intel SDM 1 chapters 10 to 12; alignment: SDM 2 2.4 (types 1 to 5).
 * Threads: the vCPU thread.
 */
#ifndef DRIVER_SOFT_OPS_SSE_H
#define DRIVER_SOFT_OPS_SSE_H

#include "driver/soft/fpu.h"
#include "driver/soft/ops.h"

enum { SLOT_XMM = 32, SLOT_MM = 48, SLOT_COUNT = 56 };

/* Forms of an operand: register, or memory as base + disp, or with index. */
struct sse_forms {
	uop_fn rr, b, x;
};

/* #UD or #NM as CR0 and CR4 want it: once at the first SSE instruction of a
 * block, since what changes those registers ends the block. */
UOP(sse_check);

/* --- moves ------------------------------------------------------------ */

enum sse_move {
	SSE_MOVU,    /* reg = 16 bytes of rm */
	SSE_MOVA,    /* ... aligned memory */
	SSE_MOVU_ST, /* memory = reg */
	SSE_MOVA_ST,
	SSE_MOV4,    /* reg = 4 bytes of memory or a GPR, the rest 0 */
	SSE_MOV8,    /* reg = 8 bytes of memory or a GPR, the rest 0 */
	SSE_MOV4_ST, /* memory or GPR = low 4 bytes of reg */
	SSE_MOV8_ST,
	SSE_MOVL,    /* low half of reg = 8 bytes of rm */
	SSE_MOVH,    /* high half of reg = 8 bytes of rm */
	SSE_MOVH_ST, /* memory = high half of reg */
	SSE_MOVQ,    /* rr: reg = low half of rm, the rest 0 */
	SSE_MOVSS,   /* rr: low 4 bytes */
	SSE_MOVHLPS, /* rr: low half = high half of rm */
	SSE_MOVE_COUNT
};
extern const struct sse_forms sse_move[SSE_MOVE_COUNT];

/* --- handlers by instruction ------------------------------------------ */

/* X(MNEMONIC, mnemonic, kind). Kinds: I integer and logic on 16 bytes, no
 * MXCSR; P packed, D double, S single under MXCSR. */
/* clang-format off */
#define SSE_HOT_INT(X) \
	X(PAND, pand, I) X(PANDN, pandn, I) X(POR, por, I) X(PXOR, pxor, I) \
	X(PADDB, paddb, I) X(PADDW, paddw, I) X(PADDD, paddd, I) \
	X(PADDQ, paddq, I) X(PSUBB, psubb, I) X(PSUBW, psubw, I) \
	X(PSUBD, psubd, I) X(PSUBQ, psubq, I) X(PCMPEQB, pcmpeqb, I) \
	X(PCMPEQW, pcmpeqw, I) X(PCMPEQD, pcmpeqd, I) X(PCMPGTB, pcmpgtb, I) \
	X(PCMPGTW, pcmpgtw, I) X(PCMPGTD, pcmpgtd, I) X(PMINUB, pminub, I) \
	X(PMAXUB, pmaxub, I) X(PMINSW, pminsw, I) X(PMAXSW, pmaxsw, I) \
	X(PUNPCKLBW, punpcklbw, I) X(PUNPCKHBW, punpckhbw, I) \
	X(PUNPCKLWD, punpcklwd, I) X(PUNPCKHWD, punpckhwd, I) \
	X(PUNPCKLDQ, punpckldq, I) X(PUNPCKHDQ, punpckhdq, I) \
	X(PUNPCKLQDQ, punpcklqdq, I) X(PUNPCKHQDQ, punpckhqdq, I) \
	X(PACKUSWB, packuswb, I) X(PACKSSWB, packsswb, I) \
	X(PACKSSDW, packssdw, I) X(PMULLW, pmullw, I) X(PMULHW, pmulhw, I) \
	X(PMULHUW, pmulhuw, I) X(PMULUDQ, pmuludq, I) X(PMADDWD, pmaddwd, I) \
	X(PSADBW, psadbw, I) X(PAVGB, pavgb, I) X(PADDUSB, paddusb, I) \
	X(PSUBUSB, psubusb, I) X(PSHUFB, pshufb, I)
#define SSE_HOT_FP(X) \
	X(ADDSD, addsd, D) X(SUBSD, subsd, D) X(MULSD, mulsd, D) \
	X(DIVSD, divsd, D) X(SQRTSD, sqrtsd, D) X(MINSD, minsd, D) \
	X(MAXSD, maxsd, D) X(CVTSD2SS, cvtsd2ss, D) X(ADDSS, addss, S) \
	X(SUBSS, subss, S) X(MULSS, mulss, S) X(DIVSS, divss, S) \
	X(SQRTSS, sqrtss, S) X(MINSS, minss, S) X(MAXSS, maxss, S) \
	X(CVTSS2SD, cvtss2sd, S) X(ADDPD, addpd, P) X(SUBPD, subpd, P) \
	X(MULPD, mulpd, P) X(DIVPD, divpd, P) X(ADDPS, addps, P) \
	X(SUBPS, subps, P) X(MULPS, mulps, P) X(DIVPS, divps, P) \
	X(CVTDQ2PS, cvtdq2ps, P) X(CVTTPS2DQ, cvttps2dq, P)
/* Shifts by an immediate, in disp. */
#define SSE_SHIFTS(X) \
	X(PSLLW, psllw) X(PSLLD, pslld) X(PSLLQ, psllq) X(PSRLW, psrlw) \
	X(PSRLD, psrld) X(PSRLQ, psrlq) X(PSRAW, psraw) X(PSRAD, psrad)
/* clang-format on */

#define SSE_HOT(X) SSE_HOT_INT(X) SSE_HOT_FP(X)

#define SSE_ENUM(M, m, kind) SSE_##M,
enum sse_hot { SSE_HOT(SSE_ENUM) SSE_HOT_COUNT };
extern const struct sse_forms sse_hot[SSE_HOT_COUNT];

#define SSE_SHIFT_ENUM(M, m) SSE_SHIFT_##M,
enum sse_shift { SSE_SHIFTS(SSE_SHIFT_ENUM) SSE_SHIFT_COUNT };
extern const uop_fn sse_shift[SSE_SHIFT_COUNT];

/* (U)COMISD, (U)COMISS: flags only. [ordered] */
extern const struct sse_forms sse_comisd[2], sse_comiss[2];
/* CVTSI2SD from 32 and 64 bits; CVTTSD2SI to 32 and 64 bits. */
extern const struct sse_forms sse_cvtsi2sd[2], sse_cvttsd2si[2];
UOP(sse_pmovmskb); /* GPR reg = signs of rm */

/* --- everything else -------------------------------------------------- */

/* What a stub needs around it. */
enum sse_class {
	SSE_INT,
	SSE_INT_FLAGS,
	SSE_FP,
	SSE_FP_FLAGS,
	SSE_CLASS_COUNT
};
/* Its operand: a slot, or that many bytes of memory (base + index + disp). */
enum sse_form {
	SSE_RR,
	SSE_LD1,
	SSE_LD2,
	SSE_LD4,
	SSE_LD8,
	SSE_LD16,
	SSE_LD16A,
	SSE_FORM_COUNT
};
extern const uop_fn sse_stub[SSE_CLASS_COUNT][SSE_FORM_COUNT];

/* MASKMOVDQU: insn helper. */
enum helper_result sse_maskmovdqu(struct soft *c, const struct insn *in);

/* Byte offset of a slot in struct soft. */
extern const u16 sse_slot[SLOT_COUNT];

static inline void *
slot_at(struct soft *c, unsigned slot)
{
	return (char *)c + sse_slot[slot];
}

#endif
