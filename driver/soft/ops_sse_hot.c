/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/ops_sse.h"

#include "driver/soft/sse_int.h"

/* Each handler holds the very instruction; whatever is out of the ordinary
 * (a TLB miss, MXCSR not live) goes to the stub's handler for the same
 * operands, which does all of it. Assembler rather than intrinsics: compilers
 * take a + b for b + a, and NaNs tell them apart. FP ones are volatile, as
 * their flags in MXCSR are results. */

#define MXCSR_LIVE	(c->fx_live & FX_LIVE_MXCSR)
#define GO(class, form) TAIL sse_stub[class][form](c, op, base, tlb)

#define INSN2(m, a, b)	  __asm__(#m " %1, %0" : "+x"(a) : "x"(b))
#define INSN2_FP(m, a, b) __asm__ volatile(#m " %1, %0" : "+x"(a) : "x"(b))

#define HOT_INT_MEM(name, m, EA) \
	static UOP(name) \
	{ \
		x128 *p = tlb_read_aligned(tlb, EA), a; \
\
		if (unlikely(!p)) \
			GO(SSE_INT, SSE_LD16A); \
		a = XMM(op->reg); \
		INSN2(m, a, *p); \
		XMM(op->reg) = a; \
		NEXT; \
	}

#define HOT_I(m) \
	static UOP(m##_rr) \
	{ \
		x128 a = XMM(op->reg); \
\
		INSN2(m, a, XMM(op->base)); \
		XMM(op->reg) = a; \
		NEXT; \
	} \
	HOT_INT_MEM(m##_b, m, EA_B) \
	HOT_INT_MEM(m##_x, m, EA_X)

#define HOT_FP_RR(name, m) \
	static UOP(name) \
	{ \
		x128 a; \
\
		if (unlikely(!MXCSR_LIVE)) \
			GO(SSE_FP, SSE_RR); \
		a = XMM(op->reg); \
		INSN2_FP(m, a, XMM(op->base)); \
		XMM(op->reg) = a; \
		NEXT; \
	}

#define HOT_FP_MEM(name, m, FORM, FIND, GET) \
	static UOP(name) \
	{ \
		void *p = FIND; \
		x128 a; \
\
		if (unlikely(!p || !MXCSR_LIVE)) \
			GO(SSE_FP, FORM); \
		a = XMM(op->reg); \
		INSN2_FP(m, a, GET); \
		XMM(op->reg) = a; \
		NEXT; \
	}

#define GET16 (*(x128 *)p)
#define GET8  LOW64(*(mem_u64 *)p)
#define GET4  LOW64((u64) * (mem_u32 *)p)

#define HOT_P(m) \
	HOT_FP_RR(m##_rr, m) \
	HOT_FP_MEM(m##_b, m, SSE_LD16A, tlb_read_aligned(tlb, EA_B), GET16) \
	HOT_FP_MEM(m##_x, m, SSE_LD16A, tlb_read_aligned(tlb, EA_X), GET16)
#define HOT_D(m) \
	HOT_FP_RR(m##_rr, m) \
	HOT_FP_MEM(m##_b, m, SSE_LD8, tlb_read(tlb, EA_B, 8), GET8) \
	HOT_FP_MEM(m##_x, m, SSE_LD8, tlb_read(tlb, EA_X, 8), GET8)
#define HOT_S(m) \
	HOT_FP_RR(m##_rr, m) \
	HOT_FP_MEM(m##_b, m, SSE_LD4, tlb_read(tlb, EA_B, 4), GET4) \
	HOT_FP_MEM(m##_x, m, SSE_LD4, tlb_read(tlb, EA_X, 4), GET4)

#define HOT_DEFINE(M, m, kind) HOT_##kind(m)
SSE_HOT(HOT_DEFINE)

#define HOT_ROW(M, m, kind) [SSE_##M] = {m##_rr, m##_b, m##_x},
const struct sse_forms sse_hot[SSE_HOT_COUNT] = {SSE_HOT(HOT_ROW)};

/* --- shifts by an immediate ------------------------------------------- */

#define SHIFT_DEFINE(M, m) \
	static UOP(m##_ri) \
	{ \
		x128 a = XMM(op->reg); \
\
		INSN2(m, a, LOW64((u64)op->disp)); \
		XMM(op->reg) = a; \
		NEXT; \
	}
SSE_SHIFTS(SHIFT_DEFINE)

#define SHIFT_ROW(M, m) [SSE_SHIFT_##M] = m##_ri,
const uop_fn sse_shift[SSE_SHIFT_COUNT] = {SSE_SHIFTS(SHIFT_ROW)};

/* --- comparisons, conversions ----------------------------------------- */

/* OF, SF and AF become 0. */
#define COMPARE(m, b) \
	do { \
		x128 a_ = XMM(op->reg); \
		u64 cf_, zf_, pf_; \
\
		__asm__ volatile(#m " %4, %3" \
				 : "=@ccc"(cf_), "=@ccz"(zf_), "=@ccp"(pf_) \
				 : "x"(a_), "x"(b)); \
		c->cc_op = CC_EFLAGS; \
		c->cc_src = cf_ | pf_ << 2 | zf_ << 6; \
	} while (0)
static_assert(FL_CF == 1 && FL_PF == 1 << 2 && FL_ZF == 1 << 6, "flags");

#define COMPARE_RR(name, m) \
	static UOP(name) \
	{ \
		if (unlikely(!MXCSR_LIVE)) \
			GO(SSE_FP_FLAGS, SSE_RR); \
		COMPARE(m, XMM(op->base)); \
		NEXT; \
	}
#define COMPARE_MEM(name, m, FORM, BYTES, EA, GET) \
	static UOP(name) \
	{ \
		void *p = tlb_read(tlb, EA, BYTES); \
\
		if (unlikely(!p || !MXCSR_LIVE)) \
			GO(SSE_FP_FLAGS, FORM); \
		COMPARE(m, GET); \
		NEXT; \
	}
#define COMPARE_ALL(m, BYTES) \
	COMPARE_RR(m##_rr, m) \
	COMPARE_MEM(m##_b, m, SSE_LD##BYTES, BYTES, EA_B, GET##BYTES) \
	COMPARE_MEM(m##_x, m, SSE_LD##BYTES, BYTES, EA_X, GET##BYTES)
COMPARE_ALL(ucomisd, 8)
COMPARE_ALL(comisd, 8)
COMPARE_ALL(ucomiss, 4)
COMPARE_ALL(comiss, 4)

#define FORMS(m) \
	{ \
		m##_rr, m##_b, m##_x \
	}
const struct sse_forms sse_comisd[2] = {FORMS(ucomisd), FORMS(comisd)};
const struct sse_forms sse_comiss[2] = {FORMS(ucomiss), FORMS(comiss)};

#define FROM_INT(name, m, FORM, FIND, GET) \
	static UOP(name) \
	{ \
		const void *p = FIND; \
		x128 a; \
\
		if (unlikely(!p || !MXCSR_LIVE)) \
			GO(SSE_FP, FORM); \
		a = XMM(op->reg); \
		__asm__ volatile(m " %1, %0" : "+x"(a) : "r"(GET)); \
		XMM(op->reg) = a; \
		NEXT; \
	}
FROM_INT(si2sd_32_rr, "cvtsi2sdl", SSE_RR, c, (u32)c->r[op->base])
FROM_INT(si2sd_32_b, "cvtsi2sdl", SSE_LD4, tlb_read(tlb, EA_B, 4),
	 *(const mem_u32 *)p)
FROM_INT(si2sd_32_x, "cvtsi2sdl", SSE_LD4, tlb_read(tlb, EA_X, 4),
	 *(const mem_u32 *)p)
FROM_INT(si2sd_64_rr, "cvtsi2sdq", SSE_RR, c, c->r[op->base])
FROM_INT(si2sd_64_b, "cvtsi2sdq", SSE_LD8, tlb_read(tlb, EA_B, 8),
	 *(const mem_u64 *)p)
FROM_INT(si2sd_64_x, "cvtsi2sdq", SSE_LD8, tlb_read(tlb, EA_X, 8),
	 *(const mem_u64 *)p)
const struct sse_forms sse_cvtsi2sd[2] = {FORMS(si2sd_32), FORMS(si2sd_64)};

#define TO_INT(name, FORM, T, FIND, GET) \
	static UOP(name) \
	{ \
		const void *p = FIND; \
		T v; \
\
		if (unlikely(!p || !MXCSR_LIVE)) \
			GO(SSE_FP, FORM); \
		__asm__ volatile("cvttsd2si %1, %0" : "=r"(v) : "x"(GET)); \
		c->r[op->reg] = v; \
		NEXT; \
	}
TO_INT(sd2si_32_rr, SSE_RR, u32, c, XMM(op->base))
TO_INT(sd2si_32_b, SSE_LD8, u32, tlb_read(tlb, EA_B, 8),
       LOW64(*(const mem_u64 *)p))
TO_INT(sd2si_32_x, SSE_LD8, u32, tlb_read(tlb, EA_X, 8),
       LOW64(*(const mem_u64 *)p))
TO_INT(sd2si_64_rr, SSE_RR, u64, c, XMM(op->base))
TO_INT(sd2si_64_b, SSE_LD8, u64, tlb_read(tlb, EA_B, 8),
       LOW64(*(const mem_u64 *)p))
TO_INT(sd2si_64_x, SSE_LD8, u64, tlb_read(tlb, EA_X, 8),
       LOW64(*(const mem_u64 *)p))
const struct sse_forms sse_cvttsd2si[2] = {FORMS(sd2si_32), FORMS(sd2si_64)};

UOP(sse_pmovmskb)
{
	u32 v;

	__asm__("pmovmskb %1, %0" : "=r"(v) : "x"(XMM(op->base)));
	c->r[op->reg] = v;
	NEXT;
}
