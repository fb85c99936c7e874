/* SPDX-License-Identifier: BSD-2-Clause */
/* decode_sse - emitters of the SSE, MMX and x87 instructions
 *
 * What:    the families behind emit_fpu(), and what they share.
 * Model:   Zydis 4.0 mnemonics, ISA sets and exception classes.
 * Threads: the vCPU thread.
 */
#ifndef DRIVER_SOFT_DECODE_SSE_H
#define DRIVER_SOFT_DECODE_SSE_H

#include "driver/soft/decode_int.h"
#include "driver/soft/ops_sse.h"
#include "driver/soft/stub.h"

/* The explicit operands by where they are encoded; NULL where absent. */
struct sse_operands {
	const ZydisDecodedOperand *reg, *rm;
};

struct sse_operands sse_operands(const struct emitter *e);
bool sse_is_mem(const ZydisDecodedOperand *o);
/* The slot of a register operand, and what a stub calls its kind. */
u8 sse_slot_of(const ZydisDecodedOperand *o);
enum stub_kind sse_kind_of(const ZydisDecodedOperand *o);
bool sse_writes(const ZydisDecodedOperand *o);
/* Whether a 16-byte memory operand may lie anywhere. */
bool sse_unaligned(ZydisMnemonic m);
/* The instruction in normal form. mem_kind: what a memory operand would be if
 * it were a register. */
struct stub_insn sse_stub_insn(const struct emitter *e,
			       const struct sse_operands *o,
			       enum stub_kind mem_kind);

/* Emits the check uop fn unless the block has it already. */
void emit_check(struct emitter *e, uop_fn fn);

bool emit_sse(struct emitter *e);
bool emit_mmx(struct emitter *e); /* what has an MMX operand, EMMS */
bool emit_x87(struct emitter *e);

#endif
