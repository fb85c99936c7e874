/* SPDX-License-Identifier: BSD-2-Clause */
/* ops_x87 - handlers of the x87 instructions
 *
 * What:    computing instructions run as they are, in the host's x87 registers
 *          (fpu.h, stub.h); control instructions are done here on c->fx.
 *          Every handler but x87_check checks for a pending exception first,
 *          as its instruction does: #MF comes before any fault of the operand.
 *
 *          op->imm of the computing ones: FOP in bits 10..0, the instruction's
 *          offset in the block in 22..11, SEG_* of the operand in 25..23.
 * Model:   Intel SDM 1 chapter 8; AMD APM 1 chapter 6; APM 5.
 * Threads: the vCPU thread.
 */
#ifndef DRIVER_SOFT_OPS_X87_H
#define DRIVER_SOFT_OPS_X87_H

#include "driver/soft/ops.h"

#define X87_IMM(fop, pos, seg) \
	((s32)((u32)(fop) | (u32)(pos) << 11 | (u32)(seg) << 23))

UOP(x87_check); /* #NM by CR0.EM and CR0.TS: once a block */
UOP(x87_wait);	/* FWAIT */

UOP(x87_rr);   /* registers only */
UOP(x87_cmov); /* ... reading flags */
UOP(x87_comi); /* ... setting flags */

/* Memory operands of 2, 4, 8 and 10 bytes at base + index + disp. */
extern const uop_fn x87_load[4], x87_store[4];

/* Whether 8 bytes at base + index + disp could be accessed; imm: ACC_*. */
UOP(x87_probe);

UOP(x87_pending); /* #MF */
UOP(x87_get_cw);  /* TMPB = FCW, FSW: non-waiting */
UOP(x87_get_sw);
UOP(x87_set_cw); /* FCW = TMPB */
UOP(x87_sw_ax);	 /* FNSTSW AX */
UOP(x87_clex);
UOP(x87_init);

/* Insn helpers. */
enum helper_result x87_fnstenv(struct soft *c, const struct insn *in);
enum helper_result x87_fldenv(struct soft *c, const struct insn *in);
enum helper_result x87_fnsave(struct soft *c, const struct insn *in);
enum helper_result x87_frstor(struct soft *c, const struct insn *in);

#endif
