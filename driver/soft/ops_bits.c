/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/ops_bits.h"

#define SIZES(M)  M(u8) M(u16) M(u32) M(u64)
#define SIZES3(M) M(u16) M(u32) M(u64)
#define ROW(name) \
	{ \
		name##_u8, name##_u16, name##_u32, name##_u64 \
	}
#define ROW3(name) \
	{ \
		NULL, name##_u16, name##_u32, name##_u64 \
	}

#define SUF_u8	"b"
#define SUF_u16 "w"
#define SUF_u32 "l"
#define SUF_u64 "q"

/* --- shifts ----------------------------------------------------------- */

/* SHL, SHR, SAR by a count that is not 0: every flag is new. LAHF and SETO
 * collect them in AX, which CC_SHIFT knows how to read. */
#define HOST_SHIFT(T, insn, v, count, ax) \
	__asm__(insn SUF_##T " %%cl, %[val]\n\tlahf\n\tseto %%al" \
		: [val] "+r"(v), "=a"(ax) \
		: "c"((u8)(count)) \
		: "cc")

#define DO_SHIFT(T, insn, v, count) \
	if ((count) != 0) { \
		u32 ax_; \
\
		HOST_SHIFT(T, insn, v, count, ax_); \
		CC3(CC_SHIFT, SEXT(T, v), ax_); \
	}

/* ROL, ROR, RCL, RCR change CF and OF alone. RCx by a count that the operand
 * size makes 0 (CL = 9, 8 bits) still leaves both as the host has them. */
#define HOST_ROTATE(T, insn, v, count, fl) \
	__asm__("btl $0, %k[f]\n\t" insn SUF_##T " %%cl, %[val]\n\t" \
						 "setc %b[f]\n\tseto %h[f]" \
		: [val] "+r"(v), [f] "+Q"(fl) \
		: "c"((u8)(count)) \
		: "cc")

#define DO_ROTATE(T, insn, v, count) \
	if ((count) != 0) { \
		u64 fl_ = flags_arith(c); \
		u32 cf_ = fl_ & FL_CF; \
\
		HOST_ROTATE(T, insn, v, count, cf_); \
		flags_set_arith(c, (fl_ & ~(FL_CF | FL_OF)) | \
				       (cf_ & 0xff ? FL_CF : 0) | \
				       (cf_ & 0xff00 ? FL_OF : 0)); \
	}

#define MASK_u8	 31
#define MASK_u16 31
#define MASK_u32 31
#define MASK_u64 63

#define SHIFT_FORMS(K, DO, insn, T) \
	static UOP(sh_##K##_ri_##T) \
	{ \
		T v = GET(T, op->reg); \
		u8 n = (u8)op->imm; \
\
		DO(T, insn, v, n) \
		PUT_##T(op->reg, v); \
		NEXT; \
	} \
	static UOP(sh_##K##_rc_##T) \
	{ \
		T v = GET(T, op->reg); \
		u8 n = (u8)c->r[RCX] & MASK_##T; \
\
		DO(T, insn, v, n) \
		PUT_##T(op->reg, v); \
		NEXT; \
	} \
	UOP_RMW(sh_##K##_mi_##T, T, EA_B, { \
		T v = *p; \
		u8 n = (u8)op->imm; \
		DO(T, insn, v, n) \
		*p = v; \
	}) \
	UOP_RMW(sh_##K##_mc_##T, T, EA_B, { \
		T v = *p; \
		u8 n = (u8)c->r[RCX] & MASK_##T; \
		DO(T, insn, v, n) \
		*p = v; \
	})

#define SHIFT_ALL(T) \
	SHIFT_FORMS(ROL, DO_ROTATE, "rol", T) \
	SHIFT_FORMS(ROR, DO_ROTATE, "ror", T) \
	SHIFT_FORMS(RCL, DO_ROTATE, "rcl", T) \
	SHIFT_FORMS(RCR, DO_ROTATE, "rcr", T) \
	SHIFT_FORMS(SHL, DO_SHIFT, "shl", T) \
	SHIFT_FORMS(SHR, DO_SHIFT, "shr", T) \
	SHIFT_FORMS(SAR, DO_SHIFT, "sar", T)
SIZES(SHIFT_ALL)

#define SHIFT_TABLE(F) \
	const uop_fn shift_##F[SH_COUNT] \
			      [4] = {ROW(sh_ROL_##F), ROW(sh_ROR_##F), \
				     ROW(sh_RCL_##F), ROW(sh_RCR_##F), \
				     ROW(sh_SHL_##F), ROW(sh_SHR_##F), \
				     ROW(sh_SHL_##F), ROW(sh_SAR_##F)}
SHIFT_TABLE(ri);
SHIFT_TABLE(rc);
SHIFT_TABLE(mi);
SHIFT_TABLE(mc);

/* Constant counts without flags. */
#define SHIFT_NF(K, T, expr) \
	static UOP(nf_##K##_ri_##T) \
	{ \
		T v = GET(T, op->reg); \
		unsigned n = (u8)op->imm; \
\
		PUT_##T(op->reg, (T)(expr)); \
		NEXT; \
	}
#define SHIFT_NF_SIZES(T) \
	SHIFT_NF(ROL, T, v << n | v >> (-n & MASK_##T)) \
	SHIFT_NF(ROR, T, v >> n | v << (-n & MASK_##T)) \
	SHIFT_NF(SHL, T, v << n) \
	SHIFT_NF(SHR, T, v >> n) \
	SHIFT_NF(SAR, T, (S_##T)v >> n)
SHIFT_NF_SIZES(u32)
SHIFT_NF_SIZES(u64)

#define ROW_NF(K) \
	{ \
		NULL, NULL, nf_##K##_ri_u32, nf_##K##_ri_u64 \
	}
const uop_fn shift_ri_nf[SH_COUNT][4] = {
    [SH_ROL] = ROW_NF(ROL), [SH_ROR] = ROW_NF(ROR), [SH_SHL] = ROW_NF(SHL),
    [SH_SHR] = ROW_NF(SHR), [SH_SAL] = ROW_NF(SHL), [SH_SAR] = ROW_NF(SAR)};

/* SHLD and SHRD, all flags new. A 16-bit count beyond 16 is undefined in the
 * manuals and whatever the host does. */
#define HOST_SHIFT2(T, insn, v, w, count, ax) \
	__asm__(insn SUF_##T " %%cl, %[src], %[val]\n\tlahf\n\tseto %%al" \
		: [val] "+r"(v), "=a"(ax) \
		: [src] "r"(w), "c"((u8)(count)) \
		: "cc")

#define SHIFT2(K, insn, T) \
	static UOP(K##_i_##T) \
	{ \
		T v = GET(T, op->reg), w = GET(T, op->base); \
		u32 ax; \
\
		HOST_SHIFT2(T, insn, v, w, op->imm, ax); \
		CC3(CC_SHIFT, SEXT(T, v), ax); \
		PUT_##T(op->reg, v); \
		NEXT; \
	} \
	static UOP(K##_c_##T) \
	{ \
		T v = GET(T, op->reg), w = GET(T, op->base); \
		u8 n = (u8)c->r[RCX] & MASK_##T; \
		u32 ax; \
\
		if (n != 0) { \
			HOST_SHIFT2(T, insn, v, w, n, ax); \
			CC3(CC_SHIFT, SEXT(T, v), ax); \
		} \
		PUT_##T(op->reg, v); \
		NEXT; \
	}
#define SHIFT2_BOTH(T) SHIFT2(shld, "shld", T) SHIFT2(shrd, "shrd", T)
SIZES3(SHIFT2_BOTH)

const uop_fn shld_i[4] = ROW3(shld_i);
const uop_fn shld_c[4] = ROW3(shld_c);
const uop_fn shrd_i[4] = ROW3(shrd_i);
const uop_fn shrd_c[4] = ROW3(shrd_c);

/* --- multiplication and division -------------------------------------- */

/* A product sets CF = OF = "the upper half matters" and leaves the rest. */
static void
product_flags(struct soft *c, bool over)
{
	u64 fl = flags_arith(c) & ~(FL_CF | FL_OF);

	flags_set_arith(c, fl | (over ? FL_CF | FL_OF : 0));
}

static UOP(mul_r_u8)
{
	u16 r = (u16)(GET(u8, RAX) * GET(u8, op->base));

	product_flags(c, r >> 8);
	PUT_u16(RAX, r);
	NEXT;
}

static UOP(imul_r_u8)
{
	s16 r = (s16)((s8)c->r[RAX] * (s8)c->r[op->base]);

	product_flags(c, r != (s8)r);
	PUT_u16(RAX, (u16)r);
	NEXT;
}

#define W_u16	 u32
#define W_u32	 u64
#define W_u64	 unsigned __int128
#define SW_u16	 s32
#define SW_u32	 s64
#define SW_u64	 __int128
#define BITS_u16 16
#define BITS_u32 32
#define BITS_u64 64

#define MULTIPLY(T) \
	static UOP(mul_r_##T) \
	{ \
		W_##T r = (W_##T)GET(T, RAX) * GET(T, op->base); \
		T hi = (T)(r >> BITS_##T); \
\
		product_flags(c, hi != 0); \
		PUT_##T(RAX, (T)r); \
		PUT_##T(RDX, hi); \
		NEXT; \
	} \
	static UOP(imul_r_##T) \
	{ \
		SW_##T r = (SW_##T)(S_##T)c->r[RAX] * (S_##T)c->r[op->base]; \
\
		product_flags(c, r != (S_##T)r); \
		PUT_##T(RAX, (T)r); \
		PUT_##T(RDX, (T)(r >> BITS_##T)); \
		NEXT; \
	} \
	static UOP(imul_rr_##T) \
	{ \
		S_##T r; \
		bool over = __builtin_mul_overflow((S_##T)c->r[op->reg], \
						   (S_##T)c->r[op->base], &r); \
\
		product_flags(c, over); \
		PUT_##T(op->reg, (T)r); \
		NEXT; \
	} \
	static UOP(imul_rri_##T) \
	{ \
		S_##T r; \
		bool over = __builtin_mul_overflow((S_##T)c->r[op->base], \
						   (S_##T)op->imm, &r); \
\
		product_flags(c, over); \
		PUT_##T(op->reg, (T)r); \
		NEXT; \
	}
SIZES3(MULTIPLY)

const uop_fn mul_r[4] = ROW(mul_r);
const uop_fn imul_r[4] = ROW(imul_r);
const uop_fn imul_rr[4] = ROW3(imul_rr);
const uop_fn imul_rri[4] = ROW3(imul_rri);

#define PRODUCT_NF(T) \
	static UOP(nf_imul_rr_##T) \
	{ \
		PUT_##T(op->reg, GET(T, op->reg) * GET(T, op->base)); \
		NEXT; \
	} \
	static UOP(nf_imul_rri_##T) \
	{ \
		PUT_##T(op->reg, GET(T, op->base) * (T)op->imm); \
		NEXT; \
	}
PRODUCT_NF(u32)
PRODUCT_NF(u64)

const uop_fn imul_rr_nf[4] = {NULL, NULL, nf_imul_rr_u32, nf_imul_rr_u64};
const uop_fn imul_rri_nf[4] = {NULL, NULL, nf_imul_rri_u32, nf_imul_rri_u64};

/* #DE is recorded before anything changed. */
static struct uop *
divide_error(struct soft *c, struct uop *op)
{
	soft_raise(c, EXC_DE);
	return soft_fault(c, op);
}

/* A quotient: CF and OF stay, AF is set, the others cleared. */
static void
quotient_flags(struct soft *c)
{
	flags_set_arith(c, (flags_arith(c) & (FL_CF | FL_OF)) | FL_AF);
}

static UOP(div_r_u8)
{
	u16 n = GET(u16, RAX);
	u8 d = GET(u8, op->base);

	if (d == 0 || n / d > 0xff)
		return divide_error(c, op);
	quotient_flags(c);
	PUT_u16(RAX, (u16)((n % d) << 8 | n / d));
	NEXT;
}

static UOP(idiv_r_u8)
{
	int n = (s16)c->r[RAX], d = (s8)c->r[op->base];

	if (d == 0 || n / d != (s8)(n / d))
		return divide_error(c, op);
	quotient_flags(c);
	PUT_u16(RAX, (u16)((u8)(n % d) << 8 | (u8)(n / d)));
	NEXT;
}

#define DIVIDE_SMALL(T) \
	static UOP(div_r_##T) \
	{ \
		W_##T n = (W_##T)GET(T, RDX) << BITS_##T | GET(T, RAX); \
		T d = GET(T, op->base); \
\
		if (GET(T, RDX) >= d) \
			return divide_error(c, op); \
		quotient_flags(c); \
		PUT_##T(RAX, (T)(n / d)); \
		PUT_##T(RDX, (T)(n % d)); \
		NEXT; \
	} \
	static UOP(idiv_r_##T) \
	{ \
		SW_##T n = \
		    (SW_##T)((W_##T)GET(T, RDX) << BITS_##T | GET(T, RAX)); \
		SW_##T d = (S_##T)c->r[op->base], q; \
\
		if (d == 0 || (d == -1 && -(W_##T)n == (W_##T)n && n != 0)) \
			return divide_error(c, op); \
		q = n / d; \
		if (q != (S_##T)q) \
			return divide_error(c, op); \
		quotient_flags(c); \
		PUT_##T(RAX, (T)q); \
		PUT_##T(RDX, (T)(n % d)); \
		NEXT; \
	}
DIVIDE_SMALL(u16)
DIVIDE_SMALL(u32)

static UOP(div_r_u64)
{
	u64 lo = c->r[RAX], hi = c->r[RDX], d = c->r[op->base];

	if (hi >= d)
		return divide_error(c, op);
	__asm__("divq %[d]" : "+a"(lo), "+d"(hi) : [d] "r"(d) : "cc");
	quotient_flags(c);
	c->r[RAX] = lo;
	c->r[RDX] = hi;
	NEXT;
}

/* True when the signed quotient of hi:lo by d does not fit. */
static bool
idiv_overflows(u64 lo, u64 hi, u64 d)
{
	bool neg_n = (s64)hi < 0, neg_d = (s64)d < 0;
	unsigned __int128 n = (unsigned __int128)hi << 64 | lo;
	u64 q, r, limit = neg_n != neg_d ? BIT(63) : BIT(63) - 1;

	if (neg_n)
		n = -n;
	if (neg_d)
		d = -d;
	hi = (u64)(n >> 64);
	if (hi >= d)
		return true;
	q = (u64)n;
	r = hi;
	__asm__("divq %[d]" : "+a"(q), "+d"(r) : [d] "r"(d) : "cc");
	return q > limit;
}

static UOP(idiv_r_u64)
{
	u64 lo = c->r[RAX], hi = c->r[RDX], d = c->r[op->base];

	if (d == 0 || idiv_overflows(lo, hi, d))
		return divide_error(c, op);
	__asm__("idivq %[d]" : "+a"(lo), "+d"(hi) : [d] "r"(d) : "cc");
	quotient_flags(c);
	c->r[RAX] = lo;
	c->r[RDX] = hi;
	NEXT;
}

const uop_fn div_r[4] = ROW(div_r);
const uop_fn idiv_r[4] = ROW(idiv_r);

/* --- bits ------------------------------------------------------------- */

static void
zero_flag(struct soft *c, bool zero)
{
	u64 fl = flags_arith(c) & ~FL_ZF;

	flags_set_arith(c, fl | (zero ? FL_ZF : 0));
}

/* A source of 0 leaves the destination as it was, upper half included. */
#define SCAN(T) \
	static UOP(bsf_##T) \
	{ \
		T v = GET(T, op->base); \
\
		zero_flag(c, v == 0); \
		if (v != 0) \
			PUT_##T(op->reg, (T)__builtin_ctzll(v)); \
		NEXT; \
	} \
	static UOP(bsr_##T) \
	{ \
		T v = GET(T, op->base); \
\
		zero_flag(c, v == 0); \
		if (v != 0) \
			PUT_##T(op->reg, (T)(63 - __builtin_clzll(v))); \
		NEXT; \
	} \
	static UOP(popcnt_##T) \
	{ \
		T v = GET(T, op->base); \
\
		flags_set_arith(c, v == 0 ? FL_ZF : 0); \
		PUT_##T(op->reg, (T)__builtin_popcountll(v)); \
		NEXT; \
	}
SIZES3(SCAN)

const uop_fn bsf[4] = ROW3(bsf);
const uop_fn bsr[4] = ROW3(bsr);
const uop_fn popcnt[4] = ROW3(popcnt);

static void
carry_flag(struct soft *c, bool carry)
{
	u64 fl = flags_arith(c) & ~FL_CF;

	flags_set_arith(c, fl | carry);
}

#define BT_BT_(T, v, bit)  (v)
#define BT_BTS_(T, v, bit) ((T)((v) | (T)1 << (bit)))
#define BT_BTR_(T, v, bit) ((T)((v) & ~((T)1 << (bit))))
#define BT_BTC_(T, v, bit) ((T)((v) ^ (T)1 << (bit)))

#define BIT_TEST(K, T) \
	static UOP(bt_##K##_rr_##T) \
	{ \
		T v = GET(T, op->reg); \
		unsigned bit = c->r[op->base] & (BITS_##T - 1); \
\
		carry_flag(c, v >> bit & 1); \
		if (BT_##K != BT_BT) \
			PUT_##T(op->reg, BT_##K##_(T, v, bit)); \
		NEXT; \
	} \
	static UOP(bt_##K##_ri_##T) \
	{ \
		T v = GET(T, op->reg); \
		unsigned bit = (u32)op->imm & (BITS_##T - 1); \
\
		carry_flag(c, v >> bit & 1); \
		if (BT_##K != BT_BT) \
			PUT_##T(op->reg, BT_##K##_(T, v, bit)); \
		NEXT; \
	}
#define BIT_TEST_M(K, T) \
	UOP_RMW(bt_##K##_mi_##T, T, EA_B, { \
		T v = *p; \
		unsigned bit = (u32)op->imm & (BITS_##T - 1); \
		carry_flag(c, v >> bit & 1); \
		*p = BT_##K##_(T, v, bit); \
	})
#define BIT_TESTS(T) \
	BIT_TEST(BT, T) \
	BIT_TEST(BTS, T) \
	BIT_TEST(BTR, T) \
	BIT_TEST(BTC, T) \
	BIT_TEST_M(BTS, T) \
	BIT_TEST_M(BTR, T) \
	BIT_TEST_M(BTC, T) \
	UOP_LOAD(bt_BT_mi_##T, T, EA_B, { \
		carry_flag(c, *p >> ((u32)op->imm & (BITS_##T - 1)) & 1); \
	})
SIZES3(BIT_TESTS)

#define BT_TABLE(F) \
	const uop_fn bt_##F[BT_COUNT][4] = {ROW3(bt_BT_##F), ROW3(bt_BTS_##F), \
					    ROW3(bt_BTR_##F), \
					    ROW3(bt_BTC_##F)}
BT_TABLE(rr);
BT_TABLE(ri);
BT_TABLE(mi);

/* CRC-32C, SSE4.2: polynomial 11EDC6F41h, bit-reflected. */
static u32
crc32c(u32 crc, u64 v, unsigned bits)
{
	crc ^= (u32)v;
	for (unsigned i = 0; i < MIN(bits, 32u); i++)
		crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	return bits == 64 ? crc32c(crc, v >> 32, 32) : crc;
}

#define CRC32(T, bits) \
	static UOP(crc32_##T) \
	{ \
		c->r[op->reg] = \
		    crc32c((u32)c->r[op->reg], GET(T, op->base), bits); \
		NEXT; \
	}
CRC32(u8, 8)
CRC32(u16, 16)
CRC32(u32, 32)
CRC32(u64, 64)

const uop_fn crc32_rr[4] = ROW(crc32);

/* --- single flags ----------------------------------------------------- */

UOP(clc)
{
	carry_flag(c, false);
	NEXT;
}

UOP(stc)
{
	carry_flag(c, true);
	NEXT;
}

UOP(cmc)
{
	carry_flag(c, !carry_get(c));
	NEXT;
}

UOP(cld)
{
	c->rflags &= ~FL_DF;
	NEXT;
}

UOP(std_)
{
	c->rflags |= FL_DF;
	NEXT;
}

UOP(lahf)
{
	u64 fl = (flags_arith(c) & 0xff) | FL_ONE;

	c->r[RAX] = (c->r[RAX] & ~0xff00ULL) | fl << 8;
	NEXT;
}

#define SAHF_FLAGS (FL_SF | FL_ZF | FL_AF | FL_PF | FL_CF)

UOP(sahf)
{
	u64 ah = c->r[RAX] >> 8;

	flags_set_arith(c, (flags_arith(c) & FL_OF) | (ah & SAHF_FLAGS));
	NEXT;
}
