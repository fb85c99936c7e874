/* SPDX-License-Identifier: BSD-2-Clause */
/* ops_flow - handlers that leave a block, and the glue around them
 *
 * What:    jumps, calls and returns of 64-bit mode (and the jumps of
 *          compatibility mode), compare-and-branch pairs, links between
 *          blocks, and the bridge to insn helpers.
 * Model:   Intel SDM 1 5.1.7, 6.4.
 *
 * Layout in a block:
 *   jmp:   op (disp = target), link
 *   jcc:   op (disp = target), link taken, link fall-through (with delta)
 *   call:  op (disp = target), link target, link return (with delta)
 *   others that call: op, link return (with delta)
 * disp and delta count from the block's start.
 */
#ifndef DRIVER_SOFT_OPS_FLOW_H
#define DRIVER_SOFT_OPS_FLOW_H

#include "driver/soft/ops.h"

UOP(jmp);
extern const uop_fn jcc[16];
/* Pairs, [log2 size: 0, 2, 3][cc]; NULL where not fused. */
extern const uop_fn cmp_jcc_rr[4][16], cmp_jcc_ri[4][16];
extern const uop_fn test_jcc_rr[4][16], test_jcc_ri[4][16];
extern const uop_fn
    loop_ops[4]; /* LOOPNE, LOOPE, LOOP, JrCXZ; imm = rCX size */

UOP(call_rel);
UOP(call_r);
UOP(jmp_r);
UOP(ret); /* imm = bytes to release */

/* disp, imm: a pointer to a struct insn. */
UOP(op_helper);

#endif
