/* SPDX-License-Identifier: BSD-2-Clause */
/* ops_mov - handlers that move data: MOV, MOVZX, MOVSX, LEA, XCHG, stack
 *
 * What:    tables of uop handlers by log2 of the operand size. _b addresses
 *          memory as base + disp, _x as base + (index << scale) + disp.
 * Model:   Intel SDM 1 5.1.1.
 */
#ifndef DRIVER_SOFT_OPS_MOV_H
#define DRIVER_SOFT_OPS_MOV_H

#include "driver/soft/ops.h"

extern const uop_fn mov_rr[4];		    /* reg = base */
extern const uop_fn mov_ri[4];		    /* reg = imm, sign-extended */
UOP(mov_ri64);				    /* reg = the 64 bits at disp, imm */
extern const uop_fn load_b[4], load_x[4];   /* reg = memory */
extern const uop_fn store_b[4], store_x[4]; /* memory = reg */
extern const uop_fn store_imm[4];	    /* memory = imm */
/* A load that has checked that a store will work: the first of the three uops
 * of a rare read-modify-write (load_rmw, operation, store_b). */
extern const uop_fn load_rmw[4];

/* Widening, by the size of the source (u8 u16 u32) and of the result. */
extern const uop_fn movzx_rr[3][4], movzx_b[3][4], movzx_x[3][4];
extern const uop_fn movsx_rr[3][4], movsx_b[3][4], movsx_x[3][4];

UOP(lea_b64);
UOP(lea_x64);
UOP(lea_b32);
UOP(lea_x32);

/* TMPA = an address that other handlers cannot form. reg: a slot whose value
 * (a segment base) is added. imm: ACC_SS or 0. */
UOP(ea_64);
UOP(ea_32); /* 32-bit sum; in compatibility mode the total wraps, too */
UOP(ea_32_compat);
UOP(ea_16_compat);
/* The segment of reg (SEGB + SEG_x) is asked first. imm: ACC_* and EA_ALIGNED,
 * address bytes << 8, operand bytes << 16. */
UOP(ea_checked);
#define EA_ALIGNED 0x80u /* to 16 bytes, or #GP(0) before all else */
UOP(ea_rip64);		 /* TMPA = RIPB + the 64 bits at disp, imm */

/* TMPA = base + disp + the bytes that bit number reg lies away; imm = log2 of
 * the operand size. */
UOP(bit_address);

UOP(high_get); /* reg = bits 15..8 of base */
UOP(high_put); /* bits 15..8 of reg = base */

extern const uop_fn xchg_rr[4], xchg_m[4]; /* m: also LOCK by nature */
extern const uop_fn xadd_rr[4], xadd_m[4];
extern const uop_fn cmpxchg_rr[4], cmpxchg_m[4];

UOP(push_r); /* 64-bit mode, 8 bytes */
UOP(push_i);
UOP(pop_r);
UOP(leave_64);

extern const uop_fn setcc_r[16];    /* low byte of reg */
extern const uop_fn setcc_b[16];    /* byte at base + disp */
extern const uop_fn cmov_rr[16][4]; /* [][0] is NULL */

UOP(bswap_32);
UOP(bswap_64);
UOP(cbw);
UOP(cwde);
UOP(cdqe);
UOP(cwd);
UOP(cdq);
UOP(cqo);
UOP(nop);

#endif
