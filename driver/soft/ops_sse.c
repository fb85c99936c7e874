/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/ops_sse.h"

#include "driver/soft/sse_int.h"

#define OFF_R(n)   (offsetof(struct soft, r) + 8 * (n))
#define OFF_X(n)   (offsetof(struct soft, fx) + FX_XMM(n))
#define OFF_M(n)   (offsetof(struct soft, fx) + FX_ST(n))
#define FOUR(M, n) M(n), M((n) + 1), M((n) + 2), M((n) + 3)
static_assert((int)REG_SLOTS <= (int)SLOT_XMM, "general slots come first");

const u16 sse_slot[SLOT_COUNT] = {FOUR(OFF_R, 0),  FOUR(OFF_R, 4),
				  FOUR(OFF_R, 8),  FOUR(OFF_R, 12),
				  FOUR(OFF_R, 16), [SLOT_XMM] = FOUR(OFF_X, 0),
				  FOUR(OFF_X, 4),  FOUR(OFF_X, 8),
				  FOUR(OFF_X, 12), FOUR(OFF_M, 0),
				  FOUR(OFF_M, 4)};

UOP(sse_check)
{
	if (unlikely((c->cr0 & CR0_EM) || !(c->cr4 & CR4_OSFXSR))) {
		soft_raise(c, EXC_UD);
		return soft_fault(c, op);
	}
	if (unlikely(c->cr0 & CR0_TS)) {
		soft_raise(c, EXC_NM);
		return soft_fault(c, op);
	}
	NEXT;
}

void *
sse_slow_aligned(struct soft *c, u64 lin, unsigned acc)
{
	if (lin & 15) {
		soft_raise_error(c, EXC_GP, 0);
		return NULL;
	}
	return mem_slow(c, lin, 16, acc);
}

/* --- moves ------------------------------------------------------------ */

#define ALIGNED_LOAD(name, EA, ...) \
	static COLD UOP(name##_cold) \
	{ \
		mem_x128 *p = sse_slow_aligned(c, EA, ACC_READ | SS_OF); \
\
		if (!p) \
			return soft_fault(c, op); \
		__VA_ARGS__ NEXT; \
	} \
	static UOP(name) \
	{ \
		mem_x128 *p = tlb_read_aligned(tlb, EA); \
\
		if (unlikely(!p)) \
			TAIL name##_cold(c, op, base, tlb); \
		__VA_ARGS__ NEXT; \
	}

#define ALIGNED_STORE(name, EA, ...) \
	static COLD UOP(name##_cold) \
	{ \
		mem_x128 *p = sse_slow_aligned(c, EA, ACC_WRITE | SS_OF); \
\
		if (!p) \
			return soft_fault(c, op); \
		__VA_ARGS__ if (soft_stored(c, op, p)) NEXT; \
		return NULL; \
	} \
	static UOP(name) \
	{ \
		mem_x128 *p = tlb_write_aligned(tlb, EA); \
\
		if (unlikely(!p)) \
			TAIL name##_cold(c, op, base, tlb); \
		__VA_ARGS__ NEXT; \
	}

#define RR(name, ...) \
	static UOP(name) \
	{ \
		__VA_ARGS__ NEXT; \
	}
#define LOAD_ALIGNED(name, ...) \
	ALIGNED_LOAD(name##_b, EA_B, __VA_ARGS__) \
	ALIGNED_LOAD(name##_x, EA_X, __VA_ARGS__)
#define STORE_ALIGNED(name, ...) \
	ALIGNED_STORE(name##_b, EA_B, __VA_ARGS__) \
	ALIGNED_STORE(name##_x, EA_X, __VA_ARGS__)
#define LOAD(name, T, ...) \
	UOP_LOAD(name##_b, T, EA_B, __VA_ARGS__) \
	UOP_LOAD(name##_x, T, EA_X, __VA_ARGS__)
#define STORE(name, T, ...) \
	UOP_STORE(name##_b, T, EA_B, __VA_ARGS__) \
	UOP_STORE(name##_x, T, EA_X, __VA_ARGS__)

RR(mov16_rr, { XMM(op->reg) = XMM(op->base); })
LOAD(movu, x128, { XMM(op->reg) = *p; })
STORE(movu_st, x128, { *p = XMM(op->reg); })
LOAD_ALIGNED(mova, { XMM(op->reg) = *p; })
STORE_ALIGNED(mova_st, { *p = XMM(op->reg); })

RR(mov4_rr, { XMM(op->reg) = LOW64((u32)c->r[op->base]); })
LOAD(mov4, u32, { XMM(op->reg) = LOW64(*p); })
RR(mov4_st_rr, { c->r[op->base] = XMM_U32(op->reg, 0); })
STORE(mov4_st, u32, { *p = XMM_U32(op->reg, 0); })

RR(mov8_rr, { XMM(op->reg) = LOW64(c->r[op->base]); })
LOAD(mov8, u64, { XMM(op->reg) = LOW64(*p); })
RR(mov8_st_rr, { c->r[op->base] = XMM_U64(op->reg, 0); })
STORE(mov8_st, u64, { *p = XMM_U64(op->reg, 0); })

RR(movl_rr, { XMM_U64(op->reg, 0) = XMM_U64(op->base, 0); })
LOAD(movl, u64, { XMM_U64(op->reg, 0) = *p; })
RR(movh_rr, { XMM_U64(op->reg, 1) = XMM_U64(op->base, 0); })
LOAD(movh, u64, { XMM_U64(op->reg, 1) = *p; })
STORE(movh_st, u64, { *p = XMM_U64(op->reg, 1); })

RR(movq_rr, { XMM(op->reg) = LOW64(XMM_U64(op->base, 0)); })
RR(movss_rr, { XMM_U32(op->reg, 0) = XMM_U32(op->base, 0); })
RR(movhlps_rr, { XMM_U64(op->reg, 0) = XMM_U64(op->base, 1); })

#define MEM(name) .b = name##_b, .x = name##_x
#define ALL(name) .rr = name##_rr, MEM(name)

const struct sse_forms sse_move[SSE_MOVE_COUNT] = {
    [SSE_MOVU] = {.rr = mov16_rr, MEM(movu)},
    [SSE_MOVA] = {.rr = mov16_rr, MEM(mova)},
    [SSE_MOVU_ST] = {MEM(movu_st)},
    [SSE_MOVA_ST] = {MEM(mova_st)},
    [SSE_MOV4] = {ALL(mov4)},
    [SSE_MOV8] = {ALL(mov8)},
    [SSE_MOV4_ST] = {ALL(mov4_st)},
    [SSE_MOV8_ST] = {ALL(mov8_st)},
    [SSE_MOVL] = {ALL(movl)},
    [SSE_MOVH] = {ALL(movh)},
    [SSE_MOVH_ST] = {MEM(movh_st)},
    [SSE_MOVQ] = {.rr = movq_rr},
    [SSE_MOVSS] = {.rr = movss_rr},
    [SSE_MOVHLPS] = {.rr = movhlps_rr},
};

/* --- through a stub --------------------------------------------------- */

static unsigned
slot_bytes(unsigned slot)
{
	return slot >= SLOT_XMM && slot < SLOT_MM ? 16 : 8;
}

/* One body for each class, over an operand at rm. Handlers have no local
 * whose address is taken: a tail call could not follow. */
#define RUN_INT(rm) stub_call(op->imm, slot_at(c, op->reg), (rm), c);
#define RUN_INT_FLAGS(rm) \
	flags_set_arith(c, stub_call(op->imm, slot_at(c, op->reg), (rm), c));

/* Under MXCSR: directly while it is live, else with all the care it takes. */
#define RUN_FP(rm) \
	void *reg_ = slot_at(c, op->reg); \
\
	if (likely(c->fx_live & FX_LIVE_MXCSR)) \
		stub_call(op->imm, reg_, (rm), c); \
	else if (!fpu_simd(c, op->imm, reg_, slot_bytes(op->reg), (rm), \
			   false)) \
		return soft_fault(c, op);
#define RUN_FP_FLAGS(rm) \
	void *reg_ = slot_at(c, op->reg); \
\
	if (likely(c->fx_live & FX_LIVE_MXCSR)) \
		flags_set_arith(c, stub_call(op->imm, reg_, (rm), c)); \
	else if (!fpu_simd(c, op->imm, reg_, 16, (rm), true)) \
		return soft_fault(c, op);

/* A stub takes 16 bytes at rm where its operand is an XMM register. Memory
 * operands of fewer are copied; what follows them means nothing. */
#define SCRATCH (*(x128 *)(void *)&c->r[TMPB])
static_assert(TMPC == TMPB + 1, "16 bytes at r[TMPB]");
static_assert((offsetof(struct soft, r) + 8 * TMPB) % 16 == 0, "aligned");

#define STUB_LOAD(name, T, RUN) \
	UOP_LOAD(name, T, EA_X, { \
		SCRATCH = LOW64(*p); \
		RUN(&SCRATCH) \
	})
#define STUB_LOAD16(name, RUN) \
	UOP_LOAD(name##16, x128, EA_X, {RUN((void *)p)}) \
	ALIGNED_LOAD(name##16a, EA_X, {RUN((void *)p)})

RR(stub_int_rr, {RUN_INT(slot_at(c, op->base))})
STUB_LOAD(stub_int1, u8, RUN_INT)
STUB_LOAD(stub_int2, u16, RUN_INT)
STUB_LOAD(stub_int4, u32, RUN_INT)
STUB_LOAD(stub_int8, u64, RUN_INT)
STUB_LOAD16(stub_int, RUN_INT)

RR(stub_int_flags_rr, {RUN_INT_FLAGS(slot_at(c, op->base))})
STUB_LOAD16(stub_int_flags, RUN_INT_FLAGS)

RR(stub_fp_rr, {RUN_FP(slot_at(c, op->base))})
STUB_LOAD(stub_fp4, u32, RUN_FP)
STUB_LOAD(stub_fp8, u64, RUN_FP)
STUB_LOAD16(stub_fp, RUN_FP)

RR(stub_fp_flags_rr, {RUN_FP_FLAGS(slot_at(c, op->base))})
STUB_LOAD(stub_fp_flags4, u32, RUN_FP_FLAGS)
STUB_LOAD(stub_fp_flags8, u64, RUN_FP_FLAGS)

const uop_fn sse_stub[SSE_CLASS_COUNT][SSE_FORM_COUNT] = {
    [SSE_INT] = {stub_int_rr, stub_int1, stub_int2, stub_int4, stub_int8,
		 stub_int16, stub_int16a},
    [SSE_INT_FLAGS] = {[SSE_RR] = stub_int_flags_rr,
		       [SSE_LD16] = stub_int_flags16,
		       [SSE_LD16A] = stub_int_flags16a},
    [SSE_FP] = {[SSE_RR] = stub_fp_rr,
		[SSE_LD4] = stub_fp4,
		[SSE_LD8] = stub_fp8,
		[SSE_LD16] = stub_fp16,
		[SSE_LD16A] = stub_fp16a},
    [SSE_FP_FLAGS] = {[SSE_RR] = stub_fp_flags_rr,
		      [SSE_LD4] = stub_fp_flags4,
		      [SSE_LD8] = stub_fp_flags8},
};

/* --- MASKMOVDQU ------------------------------------------------------- */

/* The whole destination must be writable, whatever the mask says; bytes that
 * it leaves alone are not written. */
enum helper_result
sse_maskmovdqu(struct soft *c, const struct insn *in)
{
	u64 lin = insn_lin(c, in, 0);
	const u8 *data = c->fx + FX_XMM(in->modrm_reg);
	const u8 *mask = c->fx + FX_XMM(in->modrm_rm);
	unsigned acc = insn_acc(c, in);
	u8 *p;

	/* The halves are written one after the other. */
	if (!insn_check(c, in, 0, 16, ACC_RMW) || fpu_misaligned(c, lin, 8) ||
	    mem_probe(c, lin, 8, ACC_WRITE | acc) != HELPER_NEXT)
		return HELPER_FAULT;
	p = mem_slow(c, lin, 16, ACC_RMW | ACC_ANY | acc);
	if (!p)
		return c->exc.valid ? HELPER_FAULT : HELPER_RETRY;
	for (unsigned i = 0; i < 16; i++)
		if (mask[i] & 0x80)
			p[i] = data[i];
	if (p == c->bounce.data && !mem_commit(c))
		return HELPER_EXIT;
	return HELPER_NEXT;
}
