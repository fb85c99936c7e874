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

struct emitter {
	struct soft *c;
	u64 lin;		/* of this instruction */
	u64 block_lin;		/* of the block */
	u32 mode;
	const ZydisDecodedInstruction *in;
	const ZydisDecodedOperand *ops; /* visible and hidden */
	const u8 *raw;
	bool end;		/* set: the block ends after this */
	bool full;		/* no room: the block ends before this */
	unsigned n_uop, n_insn;
	/* uops collect here, then are copied into the block */
	struct uop *uop;
	u16 *off;		/* per uop: offset of its insn in the block */
};

#define BLOCK_MAX_UOPS 256
#define INSN_MAX_UOPS 12

/* Appends a uop for this handler, fields zero. */
struct uop *emit(struct emitter *e, uop_fn fn);

struct memref {
	u8 base;
	s32 disp;
	bool is_ss;
};

/* Makes the memory operand addressable as r[base] + disp, appending a uop that
 * computes TMPA where the operand is more than that. */
struct memref emit_addr(struct emitter *e, const ZydisDecodedOperand *m);

/* Appends a helper call (op_helper) with a filled struct insn, which is
 * returned for further additions. ends: the helper may transfer control. */
struct insn *emit_helper(struct emitter *e, helper_fn fn, bool ends);

/* GPR number 0..15 of a Zydis register of any width; *high for AH CH DH BH. */
unsigned decode_gpr(ZydisRegister r, bool *high);

bool emit_integer(struct emitter *e); /* decode.c and friends: mine */
bool emit_system(struct emitter *e);  /* decode_sys.c */
bool emit_fpu(struct emitter *e);     /* decode_fpu.c: x87, MMX, SSE */

#endif
