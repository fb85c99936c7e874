/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/ops_mov.h"

#define SIZES(M) M(u8) M(u16) M(u32) M(u64)
#define ROW(name) \
	{ \
		name##_u8, name##_u16, name##_u32, name##_u64 \
	}

#define MOVES(T) \
	static UOP(mov_rr_##T) \
	{ \
		PUT_##T(op->reg, GET(T, op->base)); \
		NEXT; \
	} \
	static UOP(mov_ri_##T) \
	{ \
		PUT_##T(op->reg, (u64)(s64)op->imm); \
		NEXT; \
	} \
	UOP_LOAD(load_b_##T, T, EA_B, { PUT_##T(op->reg, *p); }) \
	UOP_LOAD(load_x_##T, T, EA_X, { PUT_##T(op->reg, *p); }) \
	UOP_STORE(store_b_##T, T, EA_B, { *p = GET(T, op->reg); }) \
	UOP_STORE(store_x_##T, T, EA_X, { *p = GET(T, op->reg); }) \
	UOP_STORE(store_imm_##T, T, EA_B, { *p = (T)op->imm; }) \
	static COLD UOP(load_rmw_##T##_cold) \
	{ \
		mem_##T *p = mem_slow(c, EA_B, sizeof(T), ACC_RMW | SS_OF); \
\
		if (!p) \
			return soft_fault(c, op); \
		c->r[op->reg] = *p; \
		NEXT; \
	} \
	static UOP(load_rmw_##T) \
	{ \
		mem_##T *p = tlb_write(tlb, EA_B, sizeof(T)); \
\
		if (unlikely(!p)) \
			TAIL load_rmw_##T##_cold(c, op, base, tlb); \
		c->r[op->reg] = *p; \
		NEXT; \
	}
SIZES(MOVES)

const uop_fn mov_rr[4] = ROW(mov_rr);
const uop_fn mov_ri[4] = ROW(mov_ri);
const uop_fn load_b[4] = ROW(load_b);
const uop_fn load_x[4] = ROW(load_x);
const uop_fn store_b[4] = ROW(store_b);
const uop_fn store_x[4] = ROW(store_x);
const uop_fn store_imm[4] = ROW(store_imm);
const uop_fn load_rmw[4] = ROW(load_rmw);

static inline u64
imm64(const struct uop *op)
{
	return (u32)op->disp | (u64)(u32)op->imm << 32;
}

UOP(mov_ri64)
{
	c->r[op->reg] = imm64(op);
	NEXT;
}

/* --- widening --------------------------------------------------------- */

#define WIDEN(S, D) \
	static UOP(movzx_rr_##S##_##D) \
	{ \
		PUT_##D(op->reg, GET(S, op->base)); \
		NEXT; \
	} \
	static UOP(movsx_rr_##S##_##D) \
	{ \
		PUT_##D(op->reg, SEXT(S, c->r[op->base])); \
		NEXT; \
	} \
	UOP_LOAD(movzx_b_##S##_##D, S, EA_B, { PUT_##D(op->reg, *p); }) \
	UOP_LOAD(movzx_x_##S##_##D, S, EA_X, { PUT_##D(op->reg, *p); }) \
	UOP_LOAD(movsx_b_##S##_##D, S, EA_B, \
		 { PUT_##D(op->reg, SEXT(S, *p)); }) \
	UOP_LOAD(movsx_x_##S##_##D, S, EA_X, { PUT_##D(op->reg, SEXT(S, *p)); })
#define WIDEN_FROM(S) WIDEN(S, u16) WIDEN(S, u32) WIDEN(S, u64)
WIDEN_FROM(u8)
WIDEN_FROM(u16)
WIDEN_FROM(u32)

#define WIDEN_ROW(F, S) \
	{ \
		NULL, F##_##S##_u16, F##_##S##_u32, F##_##S##_u64 \
	}
#define WIDEN_TABLE(F) \
	const uop_fn F[3][4] = {WIDEN_ROW(F, u8), WIDEN_ROW(F, u16), \
				WIDEN_ROW(F, u32)}
WIDEN_TABLE(movzx_rr);
WIDEN_TABLE(movzx_b);
WIDEN_TABLE(movzx_x);
WIDEN_TABLE(movsx_rr);
WIDEN_TABLE(movsx_b);
WIDEN_TABLE(movsx_x);

/* --- addresses -------------------------------------------------------- */

UOP(lea_b64)
{
	c->r[op->reg] = EA_B;
	NEXT;
}

UOP(lea_x64)
{
	c->r[op->reg] = EA_X;
	NEXT;
}

UOP(lea_b32)
{
	c->r[op->reg] = (u32)EA_B;
	NEXT;
}

UOP(lea_x32)
{
	c->r[op->reg] = (u32)EA_X;
	NEXT;
}

UOP(ea_64)
{
	c->r[TMPA] = EA_X + c->r[op->reg];
	c->tmpa_acc = (u8)op->imm;
	NEXT;
}

UOP(ea_32)
{
	c->r[TMPA] = (u32)EA_X + c->r[op->reg];
	c->tmpa_acc = (u8)op->imm;
	NEXT;
}

UOP(ea_32_compat)
{
	c->r[TMPA] = (u32)(EA_X + c->r[op->reg]);
	c->tmpa_acc = (u8)op->imm;
	NEXT;
}

UOP(ea_16_compat)
{
	c->r[TMPA] = (u32)((u16)EA_X + c->r[op->reg]);
	c->tmpa_acc = (u8)op->imm;
	NEXT;
}

UOP(ea_checked)
{
	u64 ea = (op->imm >> 8 & 0xff) == 2 ? (u16)EA_X : (u32)EA_X;
	u64 lin = (u32)(ea + c->r[op->reg]);
	unsigned acc = (u8)op->imm;

	if ((acc & EA_ALIGNED) && lin & 15) {
		soft_raise_error(c, EXC_GP, 0);
		return soft_fault(c, op);
	}
	if (!seg_check(c, op->reg - SEGB, ea, (u32)op->imm >> 16, acc))
		return soft_fault(c, op);
	c->r[TMPA] = lin;
	c->tmpa_acc = (u8)((acc & ACC_SS) | ACC_WRAP);
	NEXT;
}

UOP(ea_rip64)
{
	c->r[TMPA] = c->r[RIPB] + imm64(op);
	c->tmpa_acc = 0;
	NEXT;
}

UOP(bit_address)
{
	u64 bit = c->r[op->reg];
	unsigned lg = (unsigned)op->imm;

	bit = lg == 1 ? SEXT(u16, bit) : lg == 2 ? SEXT(u32, bit) : bit;
	c->tmpa_acc = SS_OF;
	c->r[TMPA] = EA_B + ((u64)((s64)bit >> (3 + lg)) << lg);
	NEXT;
}

UOP(high_get)
{
	c->r[op->reg] = (u8)(c->r[op->base] >> 8);
	NEXT;
}

UOP(high_put)
{
	c->r[op->reg] = (c->r[op->reg] & ~0xff00ULL) | (c->r[op->base] & 0xff)
							   << 8;
	NEXT;
}

/* --- exchanges -------------------------------------------------------- */

#define EXCHANGES(T) \
	static UOP(xchg_rr_##T) \
	{ \
		T v = GET(T, op->reg); \
\
		PUT_##T(op->reg, GET(T, op->base)); \
		PUT_##T(op->base, v); \
		NEXT; \
	} \
	UOP_RMW(xchg_m_##T, T, EA_B, { \
		T v = *p; \
		*p = GET(T, op->reg); \
		PUT_##T(op->reg, v); \
	}) \
	static UOP(xadd_rr_##T) \
	{ \
		T a = GET(T, op->reg), b = GET(T, op->base); \
		T r = (T)(a + b); \
\
		CC3(CC_ADD + LG_##T, SEXT(T, r), b); \
		PUT_##T(op->base, a); \
		PUT_##T(op->reg, r); \
		NEXT; \
	} \
	UOP_RMW(xadd_m_##T, T, EA_B, { \
		T a = *p, b = GET(T, op->reg); \
		T r = (T)(a + b); \
		CC3(CC_ADD + LG_##T, SEXT(T, r), b); \
		PUT_##T(op->reg, a); \
		*p = r; \
	}) \
	static UOP(cmpxchg_rr_##T) \
	{ \
		T a = GET(T, RAX), d = GET(T, op->reg); \
\
		CC3(CC_SUB + LG_##T, SEXT(T, a - d), d); \
		if (a == d) \
			PUT_##T(op->reg, GET(T, op->base)); \
		else \
			PUT_##T(RAX, d); \
		NEXT; \
	} \
	UOP_RMW(cmpxchg_m_##T, T, EA_B, { \
		T a = GET(T, RAX), d = *p; \
		CC3(CC_SUB + LG_##T, SEXT(T, a - d), d); \
		if (a == d) \
			*p = GET(T, op->reg); \
		else \
			PUT_##T(RAX, d); \
	})
SIZES(EXCHANGES)

const uop_fn xchg_rr[4] = ROW(xchg_rr);
const uop_fn xchg_m[4] = ROW(xchg_m);
const uop_fn xadd_rr[4] = ROW(xadd_rr);
const uop_fn xadd_m[4] = ROW(xadd_m);
const uop_fn cmpxchg_rr[4] = ROW(cmpxchg_rr);
const uop_fn cmpxchg_m[4] = ROW(cmpxchg_m);

/* --- the stack, 64-bit mode ------------------------------------------- */

#define PUSHED(value) \
	u64 v = (value), lin = c->r[RSP] - 8; \
	mem_u64 *p = tlb_write(tlb, lin, 8)

static COLD
UOP(push_r_cold)
{
	u64 v = c->r[op->reg], lin = c->r[RSP] - 8;
	mem_u64 *p = mem_slow(c, lin, 8, ACC_WRITE | ACC_SS);

	if (!p)
		return soft_fault(c, op);
	*p = v;
	c->r[RSP] = lin;
	if (!soft_stored(c, op, p))
		return NULL;
	NEXT;
}

UOP(push_r)
{
	PUSHED(c->r[op->reg]);

	if (unlikely(!p))
		TAIL push_r_cold(c, op, base, tlb);
	*p = v;
	c->r[RSP] = lin;
	NEXT;
}

static COLD
UOP(push_i_cold)
{
	u64 lin = c->r[RSP] - 8;
	mem_u64 *p = mem_slow(c, lin, 8, ACC_WRITE | ACC_SS);

	if (!p)
		return soft_fault(c, op);
	*p = (u64)(s64)op->imm;
	c->r[RSP] = lin;
	if (!soft_stored(c, op, p))
		return NULL;
	NEXT;
}

UOP(push_i)
{
	PUSHED((u64)(s64)op->imm);

	if (unlikely(!p))
		TAIL push_i_cold(c, op, base, tlb);
	*p = v;
	c->r[RSP] = lin;
	NEXT;
}

static COLD
UOP(pop_r_cold)
{
	mem_u64 *p = mem_slow(c, c->r[RSP], 8, ACC_READ | ACC_SS);

	if (!p)
		return soft_fault(c, op);
	c->r[RSP] += 8;
	c->r[op->reg] = *p;
	NEXT;
}

UOP(pop_r)
{
	mem_u64 *p = tlb_read(tlb, c->r[RSP], 8);

	if (unlikely(!p))
		TAIL pop_r_cold(c, op, base, tlb);
	c->r[RSP] += 8;
	c->r[op->reg] = *p;
	NEXT;
}

static COLD
UOP(leave_64_cold)
{
	mem_u64 *p = mem_slow(c, c->r[RBP], 8, ACC_READ | ACC_SS);

	if (!p)
		return soft_fault(c, op);
	c->r[RSP] = c->r[RBP] + 8;
	c->r[RBP] = *p;
	NEXT;
}

UOP(leave_64)
{
	mem_u64 *p = tlb_read(tlb, c->r[RBP], 8);

	if (unlikely(!p))
		TAIL leave_64_cold(c, op, base, tlb);
	c->r[RSP] = c->r[RBP] + 8;
	c->r[RBP] = *p;
	NEXT;
}

/* --- conditions ------------------------------------------------------- */

#define COND_ROW(name, suffix) \
	name##_0##suffix, name##_1##suffix, name##_2##suffix, \
	    name##_3##suffix, name##_4##suffix, name##_5##suffix, \
	    name##_6##suffix, name##_7##suffix, name##_8##suffix, \
	    name##_9##suffix, name##_10##suffix, name##_11##suffix, \
	    name##_12##suffix, name##_13##suffix, name##_14##suffix, \
	    name##_15##suffix

#define SETCC(n) \
	static UOP(setcc_r_##n) \
	{ \
		COND(n, yes) \
		PUT_u8(op->reg, yes); \
		NEXT; \
	} \
	UOP_STORE(setcc_b_##n, u8, EA_B, { \
		COND(n, yes) \
		*p = yes; \
	})
CONDS(SETCC)

const uop_fn setcc_r[16] = {COND_ROW(setcc_r, )};
const uop_fn setcc_b[16] = {COND_ROW(setcc_b, )};

/* A 32-bit CMOV clears the upper half whether it moves or not. */
#define CMOV(n) \
	static UOP(cmov_##n##_u16) \
	{ \
		COND(n, yes) \
		if (yes) \
			PUT_u16(op->reg, c->r[op->base]); \
		NEXT; \
	} \
	static UOP(cmov_##n##_u32) \
	{ \
		COND(n, yes) \
		PUT_u32(op->reg, yes ? c->r[op->base] : c->r[op->reg]); \
		NEXT; \
	} \
	static UOP(cmov_##n##_u64) \
	{ \
		COND(n, yes) \
		c->r[op->reg] = yes ? c->r[op->base] : c->r[op->reg]; \
		NEXT; \
	}
CONDS(CMOV)

#define CMOV_ROW(n) {NULL, cmov_##n##_u16, cmov_##n##_u32, cmov_##n##_u64},
const uop_fn cmov_rr[16][4] = {CONDS(CMOV_ROW)};

/* --- conversions in the accumulator ----------------------------------- */

UOP(bswap_32)
{
	c->r[op->reg] = __builtin_bswap32((u32)c->r[op->reg]);
	NEXT;
}

UOP(bswap_64)
{
	c->r[op->reg] = __builtin_bswap64(c->r[op->reg]);
	NEXT;
}

UOP(cbw)
{
	PUT_u16(RAX, SEXT(u8, c->r[RAX]));
	NEXT;
}

UOP(cwde)
{
	PUT_u32(RAX, SEXT(u16, c->r[RAX]));
	NEXT;
}

UOP(cdqe)
{
	c->r[RAX] = SEXT(u32, c->r[RAX]);
	NEXT;
}

UOP(cwd)
{
	PUT_u16(RDX, (s16)c->r[RAX] < 0 ? 0xffff : 0);
	NEXT;
}

UOP(cdq)
{
	PUT_u32(RDX, (s32)c->r[RAX] < 0 ? ~0u : 0);
	NEXT;
}

UOP(cqo)
{
	c->r[RDX] = (s64)c->r[RAX] < 0 ? ~0ULL : 0;
	NEXT;
}

UOP(nop)
{
	NEXT;
}
