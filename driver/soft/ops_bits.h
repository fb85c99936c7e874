/* SPDX-License-Identifier: BSD-2-Clause */
/* ops_bits - shifts, rotates, multiplication, division, bit instructions
 *
 * What:    tables of uop handlers by log2 of the operand size. The host runs
 *          the very instruction, so the flags that the manuals leave undefined
 *          are the ones this part has.
 * Model:   Intel SDM 1 5.1.2, 5.1.5, 5.1.6.
 */
#ifndef DRIVER_SOFT_OPS_BITS_H
#define DRIVER_SOFT_OPS_BITS_H

#include "driver/soft/ops.h"

/* In the order of the opcode map (group 2); 6 is SHL again. */
enum {
	SH_ROL,
	SH_ROR,
	SH_RCL,
	SH_RCR,
	SH_SHL,
	SH_SHR,
	SH_SAL,
	SH_SAR,
	SH_COUNT
};

/* r: reg; m: [base + disp]. Count: _i in imm (masked, may be 0), _c in CL. */
extern const uop_fn shift_ri[SH_COUNT][4], shift_rc[SH_COUNT][4];
extern const uop_fn shift_mi[SH_COUNT][4], shift_mc[SH_COUNT][4];

/* _nf: the flags are left alone; NULL where there is none. */
extern const uop_fn shift_ri_nf[SH_COUNT][4];

/* SHLD, SHRD: reg by bits of base; count imm or CL. [size], 16 32 64. */
extern const uop_fn shld_i[4], shld_c[4], shrd_i[4], shrd_c[4];

/* One operand: slot base with the accumulator. DIV and IDIV may raise #DE. */
extern const uop_fn mul_r[4], imul_r[4], div_r[4], idiv_r[4];
extern const uop_fn imul_rr[4];	 /* reg *= base */
extern const uop_fn imul_rri[4]; /* reg = base * imm */

extern const uop_fn imul_rr_nf[4], imul_rri_nf[4];

/* reg = index of a bit of base; base = 0 leaves reg. [size], 16 32 64. */
extern const uop_fn bsf[4], bsr[4], popcnt[4];

/* Bit base of reg (slot; imm when base is ZERO) copied to CF. In the order of
 * the opcode map. */
enum { BT_BT, BT_BTS, BT_BTR, BT_BTC, BT_COUNT };
extern const uop_fn bt_rr[BT_COUNT][4], bt_ri[BT_COUNT][4];
/* Immediate bit of memory. */
extern const uop_fn bt_mi[BT_COUNT][4];

/* CRC32C of reg with base, source size by index. */
extern const uop_fn crc32_rr[4];

UOP(clc);
UOP(stc);
UOP(cmc);
UOP(cld);
UOP(std_);
UOP(lahf);
UOP(sahf);

#endif
