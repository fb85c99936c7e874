/* SPDX-License-Identifier: BSD-2-Clause */
/* ops_alu - handlers of the arithmetic and logic instructions
 *
 * What:    tables of uop handlers by operation and log2 of the operand size.
 *          rr: reg, base. ri: reg, imm. rm: reg, [base + disp]. mr: the memory
 *          operand first, then reg. mi: memory, imm.
 * Model:   Intel SDM 1 5.1.2, 5.1.4.
 */
#ifndef DRIVER_SOFT_OPS_ALU_H
#define DRIVER_SOFT_OPS_ALU_H

#include "driver/soft/ops.h"

/* In the order of the opcode map. */
enum {
	ALU_ADD,
	ALU_OR,
	ALU_ADC,
	ALU_SBB,
	ALU_AND,
	ALU_SUB,
	ALU_XOR,
	ALU_CMP,
	ALU_TEST,
	ALU_COUNT
};
extern const uop_fn alu_rr[ALU_COUNT][4];
extern const uop_fn alu_ri[ALU_COUNT][4];
extern const uop_fn alu_rm[ALU_COUNT][4];
extern const uop_fn alu_mr[ALU_COUNT][4];
extern const uop_fn alu_mi[ALU_COUNT][4];

/* _nf: the flags are left alone; NULL where there is none. */
extern const uop_fn alu_rr_nf[ALU_COUNT][4];
extern const uop_fn alu_ri_nf[ALU_COUNT][4];

enum { ONE_INC, ONE_DEC, ONE_NEG, ONE_NOT, ONE_COUNT };
extern const uop_fn one_r[ONE_COUNT][4];
extern const uop_fn one_m[ONE_COUNT][4];
extern const uop_fn one_r_nf[ONE_COUNT][4];

#endif
