/* SPDX-License-Identifier: BSD-2-Clause */
/* decode_int - from Zydis instructions to uops
 *
 * What:    the decoder walks a page from one address, and for each instruction
 *          calls the emitters below; each family has one. An emitter that
 *          knows the instruction appends uops and returns true.
 * Model:   Zydis 4.0 mnemonics and operands.
 * Threads: the vCPU thread.
 * Owns:    uops and insns live in the code arena until it is flushed.
 */
#ifndef DRIVER_SOFT_DECODE_INT_H
#define DRIVER_SOFT_DECODE_INT_H

#include <Zydis/Zydis.h>

#include "driver/soft/soft_int.h"

#define BLOCK_MAX_UOPS	192
#define BLOCK_MAX_INSNS 64
/* No instruction needs more slots than this. */
#define INSN_MAX_UOPS 12

struct emitter {
	struct soft *c;
	u64 block_lin; /* of the block */
	u32 mode;
	u16 pos; /* of this instruction, from the block's start */
	const ZydisDecodedInstruction *in;
	const ZydisDecodedOperand *ops; /* visible and hidden */
	const u8 *raw;
	bool end;  /* set by an emitter: the block ends after this */
	bool fall; /* ... and goes on with the next instruction */
	unsigned n_uop, n_insn;
	/* the compare that a following Jcc may fuse with */
	unsigned cmp_end; /* n_uop after it, 0: none */
	u8 cmp_form, cmp_lg;
	bool cmp_test;
	_Alignas(16) struct uop uop[BLOCK_MAX_UOPS]; /* the block as it grows */
	u16 off[BLOCK_MAX_UOPS];
};

/* Appends a uop for this handler, fields zero. */
struct uop *emit(struct emitter *e, uop_fn fn);

/* Appends the link slots of a jump. Returned as struct link. kind is GEN_*;
 * delta the offset of the following instruction. */
void emit_link(struct emitter *e, unsigned kind, u16 delta);
/* The kind for a target at delta from the block's start: links inside its page
 * never go stale by themselves. */
unsigned emit_link_kind(const struct emitter *e, s64 delta);

/* A memory operand: r[base] + disp, plus r[index] << scale for _x users. */
struct memref {
	u8 base, index, scale;
	s32 disp;
	bool indexed;
};

/* Makes the memory operand addressable as r[base] + disp, appending a uop that
 * computes TMPA where the operand is more than that. */
struct memref emit_addr(struct emitter *e, const ZydisDecodedOperand *m);
/* The same for a handler that can also add an index. */
struct memref emit_addr_x(struct emitter *e, const ZydisDecodedOperand *m);
/* Copies a memref into a uop. */
void uop_mem(struct uop *u, struct memref m);

/* Appends a helper call (op_helper) with a filled struct insn, which is
 * returned for further additions. ends: the helper may transfer control, or
 * change what the following instructions were decoded under. */
struct insn *emit_helper(struct emitter *e, helper_fn fn, bool ends);

/* Offset of the next instruction from the block's start. */
static inline u16
emit_next(const struct emitter *e)
{
	return (u16)(e->pos + e->in->length);
}

/* log2 of an operand's bytes. */
static inline unsigned
operand_lg(const ZydisDecodedOperand *o)
{
	return (unsigned)__builtin_ctz(o->size / 8);
}

/* GPR number 0..15 of a Zydis register of any width; *high for AH CH DH BH. */
unsigned decode_gpr(ZydisRegister r, bool *high);
/* SEG_x of a segment register; SEG_DS for none. */
unsigned decode_segment(ZydisRegister r);

bool emit_integer(struct emitter *e); /* decode_integer.c */
bool emit_system(struct emitter *e);  /* decode_sys.c */
bool emit_fpu(struct emitter *e);     /* decode_fpu.c: x87, MMX, SSE */

#endif
