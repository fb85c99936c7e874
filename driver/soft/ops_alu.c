/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/ops_alu.h"

/* CARRY in a cold variant may run the instruction again after its memory was
 * looked at: a device is then read twice. To read-modify-write a device
 * register with ADC, SBB, INC or DEC makes no sense, and the outcome is right.
 */

/* The eight classic operations and TEST, each over register and immediate
 * (rr, ri), register and memory (rm), memory and register or immediate (mr,
 * mi). DO_x computes r from a and b and leaves the lazy flags. */

#define FLAGS_(T, OPC, b) CC3((OPC) + LG_##T, SEXT(T, r), (T)(b))
#define FLAGS_LOGIC_(T) \
	do { \
		c->cc_dst = SEXT(T, r); \
		c->cc_op = CC_LOGIC; \
	} while (0)

#define DO_ADD(T, a, b) \
	T r = (T)((a) + (b)); \
	FLAGS_(T, CC_ADD, b);
#define DO_SUB(T, a, b) \
	T r = (T)((a) - (b)); \
	FLAGS_(T, CC_SUB, b);
#define DO_CMP DO_SUB
#define DO_AND(T, a, b) \
	T r = (T)((a) & (b)); \
	FLAGS_LOGIC_(T);
#define DO_TEST DO_AND
#define DO_OR(T, a, b) \
	T r = (T)((a) | (b)); \
	FLAGS_LOGIC_(T);
#define DO_XOR(T, a, b) \
	T r = (T)((a) ^ (b)); \
	FLAGS_LOGIC_(T);
#define DO_ADC(T, a, b) \
	CARRY(cy) \
	T r = (T)((a) + (b) + cy); \
	FLAGS_(T, cy ? CC_ADC : CC_ADD, b);
#define DO_SBB(T, a, b) \
	CARRY(cy) \
	T r = (T)((a) - (b)-cy); \
	FLAGS_(T, cy ? CC_SBB : CC_SUB, b);

/* Operations that write their result, and the two that do not. */
#define ALU_WRITES(OP, T) \
	static UOP(alu_##OP##_rr_##T) \
	{ \
		T a = GET(T, op->reg), b = GET(T, op->base); \
		DO_##OP(T, a, b) PUT_##T(op->reg, r); \
		NEXT; \
	} \
	static UOP(alu_##OP##_ri_##T) \
	{ \
		T a = GET(T, op->reg), b = (T)op->imm; \
		DO_##OP(T, a, b) PUT_##T(op->reg, r); \
		NEXT; \
	} \
	UOP_LOAD(alu_##OP##_rm_##T, T, EA_B, { \
		T a = GET(T, op->reg), b = *p; \
		DO_##OP(T, a, b) PUT_##T(op->reg, r); \
	}) \
	UOP_RMW(alu_##OP##_mr_##T, T, EA_B, { \
		T a = *p, b = GET(T, op->reg); \
		DO_##OP(T, a, b) *p = r; \
	}) \
	UOP_RMW(alu_##OP##_mi_##T, T, EA_B, { \
		T a = *p, b = (T)op->imm; \
		DO_##OP(T, a, b) *p = r; \
	})

#define ALU_READS(OP, T) \
	static UOP(alu_##OP##_rr_##T) \
	{ \
		T a = GET(T, op->reg), b = GET(T, op->base); \
		DO_##OP(T, a, b) NEXT; \
	} \
	static UOP(alu_##OP##_ri_##T) \
	{ \
		T a = GET(T, op->reg), b = (T)op->imm; \
		DO_##OP(T, a, b) NEXT; \
	} \
	UOP_LOAD(alu_##OP##_rm_##T, T, EA_B, { \
		T a = GET(T, op->reg), b = *p; \
		DO_##OP(T, a, b) \
	}) \
	UOP_LOAD(alu_##OP##_mr_##T, T, EA_B, { \
		T a = *p, b = GET(T, op->reg); \
		DO_##OP(T, a, b) \
	}) \
	UOP_LOAD(alu_##OP##_mi_##T, T, EA_B, { \
		T a = *p, b = (T)op->imm; \
		DO_##OP(T, a, b) \
	})

#define ALU_SIZES(M, OP) M(OP, u8) M(OP, u16) M(OP, u32) M(OP, u64)

ALU_SIZES(ALU_WRITES, ADD)
ALU_SIZES(ALU_WRITES, OR)
ALU_SIZES(ALU_WRITES, ADC)
ALU_SIZES(ALU_WRITES, SBB)
ALU_SIZES(ALU_WRITES, AND)
ALU_SIZES(ALU_WRITES, SUB)
ALU_SIZES(ALU_WRITES, XOR)
ALU_SIZES(ALU_READS, CMP)
ALU_SIZES(ALU_READS, TEST)

#define ROW(OP, F) \
	{ \
		alu_##OP##_##F##_u8, alu_##OP##_##F##_u16, \
		    alu_##OP##_##F##_u32, alu_##OP##_##F##_u64 \
	}
#define TABLE(F) \
	const uop_fn alu_##F[ALU_COUNT][4] = { \
	    ROW(ADD, F), ROW(OR, F),  ROW(ADC, F), ROW(SBB, F),	 ROW(AND, F), \
	    ROW(SUB, F), ROW(XOR, F), ROW(CMP, F), ROW(TEST, F), \
	}

TABLE(rr);
TABLE(ri);
TABLE(rm);
TABLE(mr);
TABLE(mi);

/* The same without flags, where elide.c has found that nobody reads them. */
#define ALU_NF(OP, T, expr) \
	static UOP(nf_##OP##_rr_##T) \
	{ \
		T a = GET(T, op->reg), b = GET(T, op->base); \
\
		PUT_##T(op->reg, (T)(expr)); \
		NEXT; \
	} \
	static UOP(nf_##OP##_ri_##T) \
	{ \
		T a = GET(T, op->reg), b = (T)op->imm; \
\
		PUT_##T(op->reg, (T)(expr)); \
		NEXT; \
	}
#define ALU_NF_SIZES(OP, expr) ALU_NF(OP, u32, expr) ALU_NF(OP, u64, expr)
ALU_NF_SIZES(ADD, a + b)
ALU_NF_SIZES(OR, a | b)
ALU_NF_SIZES(AND, a &b)
ALU_NF_SIZES(SUB, a - b)
ALU_NF_SIZES(XOR, a ^ b)

#define ROW_NF(OP, F) \
	{ \
		NULL, NULL, nf_##OP##_##F##_u32, nf_##OP##_##F##_u64 \
	}
#define TABLE_NF(F) \
	const uop_fn alu_##F##_nf[ALU_COUNT][4] = { \
	    [ALU_ADD] = ROW_NF(ADD, F), [ALU_OR] = ROW_NF(OR, F), \
	    [ALU_AND] = ROW_NF(AND, F), [ALU_SUB] = ROW_NF(SUB, F), \
	    [ALU_XOR] = ROW_NF(XOR, F), \
	}
TABLE_NF(rr);
TABLE_NF(ri);

/* INC, DEC, NEG, NOT: one operand, register or memory. */

#define DO_INC(T, a) \
	CARRY(cy) \
	T r = (T)((a) + 1); \
	CC3(CC_INC + LG_##T, SEXT(T, r), cy);
#define DO_DEC(T, a) \
	CARRY(cy) \
	T r = (T)((a)-1); \
	CC3(CC_DEC + LG_##T, SEXT(T, r), cy);
#define DO_NEG(T, a) \
	T r = (T)(0 - (a)); \
	CC3(CC_SUB + LG_##T, SEXT(T, r), (a));
#define DO_NOT(T, a) T r = (T) ~(a);

#define ALU_ONE(OP, T) \
	static UOP(one_##OP##_r_##T) \
	{ \
		T a = GET(T, op->reg); \
		DO_##OP(T, a) PUT_##T(op->reg, r); \
		NEXT; \
	} \
	UOP_RMW(one_##OP##_m_##T, T, EA_B, { \
		T a = *p; \
		DO_##OP(T, a) *p = r; \
	})

ALU_SIZES(ALU_ONE, INC)
ALU_SIZES(ALU_ONE, DEC)
ALU_SIZES(ALU_ONE, NEG)
ALU_SIZES(ALU_ONE, NOT)

#define ROW1(OP, F) \
	{ \
		one_##OP##_##F##_u8, one_##OP##_##F##_u16, \
		    one_##OP##_##F##_u32, one_##OP##_##F##_u64 \
	}
#define TABLE1(F) \
	const uop_fn one_##F[ONE_COUNT][4] = {ROW1(INC, F), ROW1(DEC, F), \
					      ROW1(NEG, F), ROW1(NOT, F)}

TABLE1(r);
TABLE1(m);

#define ONE_NF(OP, T, expr) \
	static UOP(nf_##OP##_r_##T) \
	{ \
		T a = GET(T, op->reg); \
\
		PUT_##T(op->reg, (T)(expr)); \
		NEXT; \
	}
ONE_NF(INC, u32, a + 1)
ONE_NF(INC, u64, a + 1)
ONE_NF(DEC, u32, a - 1)
ONE_NF(DEC, u64, a - 1)
ONE_NF(NEG, u32, 0 - a)
ONE_NF(NEG, u64, 0 - a)

const uop_fn one_r_nf[ONE_COUNT][4] = {
    [ONE_INC] = {NULL, NULL, nf_INC_r_u32, nf_INC_r_u64},
    [ONE_DEC] = {NULL, NULL, nf_DEC_r_u32, nf_DEC_r_u64},
    [ONE_NEG] = {NULL, NULL, nf_NEG_r_u32, nf_NEG_r_u64},
};
