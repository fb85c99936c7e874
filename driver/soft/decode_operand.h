/* SPDX-License-Identifier: BSD-2-Clause */
/* decode_operand - operands of the integer emitters
 *
 * What:    brings the operands that Zydis found into the slots that uops work
 *          on, and what all emitters of integer instructions share.
 * Model:   Zydis 4.0 operands.
 * Threads: the vCPU thread.
 */
#ifndef DRIVER_SOFT_DECODE_OPERAND_H
#define DRIVER_SOFT_DECODE_OPERAND_H

#include "driver/soft/decode_int.h"

#define IS_REG(o) ((o)->type == ZYDIS_OPERAND_TYPE_REGISTER)
#define IS_MEM(o) ((o)->type == ZYDIS_OPERAND_TYPE_MEMORY)
#define IS_IMM(o) ((o)->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)

/* Operands of the compare that a Jcc may fuse with: emitter.cmp_form. */
enum { FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI };

static inline s32
imm32(const ZydisDecodedOperand *o)
{
	return (s32)o->imm.value.u;
}

static inline bool
mode64(const struct emitter *e)
{
	return e->mode & MODE_64;
}

/* A register that holds integers: no segment, control or debug register. */
bool is_gpr(const ZydisDecodedOperand *o);
bool is_high(const ZydisDecodedOperand *o); /* AH CH DH BH */

/* The slot that holds a register operand's value: AH and its like are brought
 * into tmp first. */
u8 reg_slot(struct emitter *e, const ZydisDecodedOperand *o, u8 tmp);
/* After an instruction that wrote tmp for AH and its like. */
void reg_put_high(struct emitter *e, const ZydisDecodedOperand *o, u8 tmp);
/* The slot of a source operand of any kind but immediate; memory is loaded
 * into tmp. */
u8 source_slot(struct emitter *e, const ZydisDecodedOperand *o, u8 tmp);

/* A read-modify-write in three uops: begin gives the slot to work on. */
u8 rmw_begin(struct emitter *e, const ZydisDecodedOperand *o, struct memref *m);
void rmw_end(struct emitter *e, const ZydisDecodedOperand *o, struct memref m);

/* An instruction that is one uop without operands, or a helper. True. */
bool emit_plain(struct emitter *e, uop_fn fn);
bool emit_insn(struct emitter *e, helper_fn fn);

/* The families. */
bool emit_group_arith(struct emitter *e); /* decode_alu.c */
bool emit_group_bits(struct emitter *e);
bool emit_group_move(struct emitter *e); /* decode_move.c: moves, the stack */
bool emit_group_flow(struct emitter *e); /* decode_flow.c: jumps, conditions */

#endif
