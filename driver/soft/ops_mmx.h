/* SPDX-License-Identifier: BSD-2-Clause */
/* ops_mmx - handlers of the MMX instructions
 *
 * What:    the registers are the low 8 bytes of the x87 registers in c->fx, by
 *          physical number; an MMX instruction first checks for a pending x87
 *          exception, then makes TOP 0 and every register valid. One
 *          instruction is mmx_begin (which also brings the x87 registers
 *          home), a load of its memory operand to TMPB, and one of the others.
 *          On AMD parts CVTPI2PS and CVTPI2PD from memory touch no MMX state.
 * Model:   Intel SDM 1 chapter 9; AMD APM 1 5.11.
 * Threads: the vCPU thread.
 */
#ifndef DRIVER_SOFT_OPS_MMX_H
#define DRIVER_SOFT_OPS_MMX_H

#include "driver/soft/ops_sse.h"

/* op->scale: which operands are MMX registers that get a new value. */
#define MMX_OUT_REG 1u
#define MMX_OUT_RM  2u

UOP(mmx_check); /* #UD, #NM by CR0: once a block */
UOP(mmx_begin);
UOP(x87_home);	 /* brings the x87 registers home, no more */
UOP(mmx_load16); /* 16 aligned bytes at r[TMPB] = memory */
UOP(mmx_probe8); /* #PF if 8 bytes of memory cannot be written */
UOP(mmx_probe4);

UOP(mmx_int); /* the stub, over slots */
UOP(mmx_fp);  /* ... under MXCSR */
UOP(mmx_emms);

/* MASKMOVQ: insn helper. */
enum helper_result mmx_maskmovq(struct soft *c, const struct insn *in);

#endif
