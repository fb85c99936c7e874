/* SPDX-License-Identifier: BSD-2-Clause */
/* Operands where processors and their imitations are known to stumble. */
#include "tests/diff_int.h"

static const u64 ints[] = {
    0,
    1,
    2,
    3,
    7,
    8,
    9,
    15,
    16,
    31,
    32,
    33,
    63,
    64,
    65,
    127,
    128,
    255,
    256,
    0x7f,
    0x80,
    0x8000,
    0x7fff,
    0xffff,
    0x10000,
    0x7fffffff,
    0x80000000,
    0x80000001,
    0xffffffff,
    0x100000000,
    0x7fffffffffffffff,
    0x8000000000000000,
    0x8000000000000001,
    0xffffffffffffffff,
    0xfffffffffffffffe,
    0xffffffff80000000,
    0xffffffff7fffffff,
    0xffffffffffff8000,
    0xffffffffffffff80,
    0x0000800000000000,
    0x00007fffffffffff,
    0xffff800000000000,
    0x0101010101010101,
    0xaaaaaaaaaaaaaaaa,
    0x5555555555555555,
    0x9999999999999999,
    0x00ff00ff00ff00ff,
    0x0123456789abcdef,
};

static const u32 singles[] = {
    0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x3f000000, 0x40490fdb,
    0x00000001, 0x80000001, 0x007fffff, 0x00800000, 0x00800001, 0x7f7fffff,
    0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001,
    0xff800001, 0x7fffffff, 0x4f000000, 0xcf000000, 0x4effffff, 0x5f000000,
    0xdf000000, 0x4b000000, 0x4b7fffff, 0x33800000, 0x3effffff, 0x41200000,
};

static const u64 doubles[] = {
    0x0000000000000000, 0x8000000000000000, 0x3ff0000000000000,
    0xbff0000000000000, 0x3fe0000000000000, 0x400921fb54442d18,
    0x0000000000000001, 0x8000000000000001, 0x000fffffffffffff,
    0x0010000000000000, 0x0010000000000001, 0x7fefffffffffffff,
    0xffefffffffffffff, 0x7ff0000000000000, 0xfff0000000000000,
    0x7ff8000000000000, 0xfff8000000000000, 0x7ff0000000000001,
    0xfff0000000000001, 0x7fffffffffffffff, 0x41e0000000000000,
    0xc1e0000000000000, 0x41dfffffffc00000, 0x41dfffffffe00000,
    0x43e0000000000000, 0xc3e0000000000000, 0x43dfffffffffffff,
    0x4330000000000000, 0x4330000000000001, 0x3810000000000000,
    0x36a0000000000000, 0x380fffffffffffff, 0x47efffffe0000000,
    0x47efffffffffffff, 0x3fdfffffffffffff, 0x4024000000000000,
};

/* Sign and exponent of an 80-bit number, and its significand. */
static const struct {
	u16 high;
	u64 low;
} extended[] = {
    {0x0000, 0},
    {0x8000, 0},
    {0x3fff, 0x8000000000000000},
    {0xbfff, 0x8000000000000000},
    {0x4000, 0xc90fdaa22168c235}, /* pi */
    {0x3ffe, 0xffffffffffffffff},
    {0x0000, 1}, /* denormal */
    {0x8000, 0x7fffffffffffffff},
    {0x0000, 0x8000000000000000}, /* pseudo-denormal */
    {0x0001, 0x8000000000000000},
    {0x7ffe, 0xffffffffffffffff},
    {0x7fff, 0x8000000000000000}, /* infinity */
    {0xffff, 0x8000000000000000},
    {0x7fff, 0xc000000000000000}, /* quiet */
    {0xffff, 0xc000000000000000},
    {0x7fff, 0x8000000000000001}, /* signalling */
    {0x7fff, 0},		  /* pseudo-infinity */
    {0x7fff, 0x4000000000000000}, /* pseudo-NaN */
    {0x4000, 0x4000000000000000}, /* unnormal */
    {0x403e, 0x8000000000000000}, /* 2^63 */
    {0xc03e, 0x8000000000000000},
    {0x403d, 0xffffffffffffffff},
    {0x401e, 0x8000000000000000}, /* 2^31 */
    {0x400e, 0x8000000000000000}, /* 2^15 */
    {0x3fbf, 0x8000000000000000},
    {0x403a, 0xde0b6b3a763ffff0}, /* 10^18 - 1, the largest BCD */
    {0x403a, 0xde0b6b3a76400000},
    {0x3c00, 0x8000000000000000}, /* below the doubles */
    {0x43ff, 0x8000000000000000}, /* above the doubles */
    {0x3f80, 0xffffff8000000000},
};

u64
diff_value_int(struct rng *r)
{
	u64 v = rng_next(r);

	switch (rng_below(r, 8)) {
	case 0:
	case 1:
	case 2:
		return ints[v % ARRAY_SIZE(ints)];
	case 3:
		return (u64)(s64)(s8)v;
	case 4:
		return (u64)(s64)(s32)v;
	case 5:
		return (u32)v;
	case 6:
		return BIT(v & 63) - (v >> 6 & 1);
	default:
		return v;
	}
}

/* Most often inside the writable pages; often across a page boundary;
 * sometimes where a fault is due. */
u64
diff_value_address(struct rng *r, unsigned size_bytes)
{
	static const u64 edges[] = {
	    DIFF_DATA_VA,
	    DIFF_DATA_VA + DIFF_PAGE,
	    DIFF_DATA_VA + 2 * DIFF_PAGE,
	    DIFF_DATA_VA + 3 * DIFF_PAGE,
	    DIFF_SMC_VA,
	    DIFF_SMC_VA + DIFF_PAGE,
	};
	u64 edge = edges[rng_below(r, ARRAY_SIZE(edges))];

	switch (rng_below(r, 32)) {
	case 0: /* around an edge, mostly straddling it */
	case 1:
	case 2:
		return edge - rng_below(r, size_bytes + 2);
	case 3: /* the middle one of the boundaries never faults */
	case 4:
	case 5:
		return DIFF_DATA_VA + DIFF_PAGE - rng_below(r, size_bytes + 1);
	case 6:
		return DIFF_DATA_VA + 2 * DIFF_PAGE + rng_below(r, 4000);
	case 7:
		return DIFF_SMC_VA + 3072 + rng_below(r, 960);
	case 8:
		return rng_percent(r, 50) ? DIFF_CODE_VA + rng_below(r, 8192)
					  : diff_value_int(r);
	case 9: /* canonical or not */
		return 0x0000800000000000ULL - rng_below(r, size_bytes + 2);
	case 10:
		return rng_percent(r, 50)
			   ? 0xffff800000000000ULL - rng_below(r, 16)
			   : rng_next(r) | BIT(63);
	default:
		return (DIFF_DATA_VA + 64 + rng_below(r, 8192 - 192)) &
		       (rng_percent(r, 70) ? ~15ULL : ~0ULL);
	}
}

static void
value_x87(struct rng *r, u8 *p)
{
	unsigned i = rng_below(r, ARRAY_SIZE(extended));
	u64 low = extended[i].low;
	u16 high = extended[i].high;

	switch (rng_below(r, 4)) {
	case 0: /* normal, of moderate size */
		low = rng_next(r) | BIT(63);
		high = (u16)(0x3fff - 40 + rng_below(r, 80));
		high |= (u16)(rng_below(r, 2) << 15);
		break;
	case 1: /* an integer */
		low = BIT(63) | rng_next(r) << (8 + rng_below(r, 50));
		high = (u16)(0x3fff + rng_below(r, 66));
		high |= (u16)(rng_below(r, 2) << 15);
		break;
	case 2:
		if (rng_percent(r, 30)) {
			low = rng_next(r);
			high = (u16)rng_next(r);
		}
		break;
	default:
		break;
	}
	put_le64(p, low);
	put_le16(p + 8, high);
}

static void
value_bcd(struct rng *r, u8 *p)
{
	for (unsigned i = 0; i < 9; i++)
		p[i] = (u8)(rng_below(r, 10) << 4 | rng_below(r, 10));
	p[9] = (u8)(rng_below(r, 2) << 7);
	if (rng_percent(r, 10))
		p[rng_below(r, 10)] = (u8)rng_next(r);
}

static void
fill_sse(struct rng *r, u8 *p, size_t count)
{
	unsigned kind = rng_below(r, 5);

	for (size_t i = 0; i + 8 <= count; i += 8) {
		u64 v = rng_next(r);

		if (kind <= 1) {
			put_le32(p + i, singles[(u32)v % ARRAY_SIZE(singles)]);
			put_le32(p + i + 4,
				 singles[(v >> 32) % ARRAY_SIZE(singles)]);
		} else if (kind == 2) {
			put_le64(p + i, doubles[v % ARRAY_SIZE(doubles)]);
		} else if (kind == 3) {
			put_le64(p + i, diff_value_int(r));
		} else { /* ordinary numbers of moderate size */
			put_le64(p + i, (v & BITS(63, 63)) | (v & BITS(51, 0)) |
					    (0x3ffULL - 24 + (v >> 52 & 47))
						<< 52);
			if ((v >> 58 & 1) != 0) {
				u32 f = (u32)v;

				put_le32(p + i, (f & 0x807fffff) |
						    (127 - 16 + (f >> 25 & 31))
							<< 23);
			}
		}
	}
}

void
diff_value_bytes(struct rng *r, u8 *p, size_t count, u8 class)
{
	for (size_t i = 0; i < count; i++)
		p[i] = 0;
	if (class == FORM_SSE || (class == FORM_X87 && rng_percent(r, 50))) {
		fill_sse(r, p, count);
		return;
	}
	if (class == FORM_X87 && count >= 10) {
		if (rng_percent(r, 25))
			value_bcd(r, p);
		else
			value_x87(r, p);
		for (size_t i = 10; i < count; i++)
			p[i] = (u8)rng_next(r);
		return;
	}
	for (size_t i = 0; i + 8 <= count; i += 8)
		put_le64(p + i, diff_value_int(r));
}

static void
regs_fx(struct rng *r, u8 *fx)
{
	u16 fcw = 0x37f, fsw = 0;
	u32 mxcsr = 0x1f80;

	memset(fx, 0, 512);
	if (rng_percent(r, 40))
		fcw = (u16)(0x37f & ~(rng_below(r, 4) << 8)) |
		      (u16)(rng_below(r, 4) << 10);
	if (rng_percent(r, 12))
		fcw &= (u16)~rng_below(r, 64);
	fsw = (u16)(rng_below(r, 8) << 11);
	if (rng_percent(r, 30))
		fsw |= (u16)(rng_next(r) & 0x477f);
	if ((fsw & ~fcw & 0x3f) != 0)
		fsw = rng_percent(r, 20) ? fsw | 0x8080
					 : fsw & (u16) ~(~fcw & 0x3f);
	if (rng_percent(r, 30))
		mxcsr ^= (rng_below(r, 4) << 13) | (rng_below(r, 2) << 6) |
			 (rng_below(r, 2) << 15);
	if (rng_percent(r, 20))
		mxcsr |= rng_below(r, 64);
	if (rng_percent(r, 10))
		mxcsr &= ~(rng_below(r, 64) << 7);
	put_le16(fx, fcw);
	put_le16(fx + 2, fsw);
	fx[4] = rng_percent(r, 50) ? (u8)rng_next(r)
				   : (u8)(rng_percent(r, 50) ? 0xff : 0);
	put_le32(fx + 24, mxcsr);
	for (unsigned i = 0; i < 8; i++)
		value_x87(r, fx + 32 + 16 * i);
	for (unsigned i = 0; i < 16; i++)
		fill_sse(r, fx + 160 + 16 * i, 16);
	if (diff_native_fpu_pointers()) { /* of the last instruction */
		put_le16(fx + 6, (u16)(rng_next(r) & 0x7ff));
		put_le64(fx + 8, diff_value_int(r));
		put_le64(fx + 16, diff_value_int(r));
	}
	diff_native_normalize(fx);
	memset(fx + 416, 0, 96);
}

void
diff_value_regs(struct rng *r, struct diff_regs *regs, bool compat)
{
	u64 random = rng_next(r);

	regs_fx(r, regs->fx);
	for (unsigned i = 0; i < 16; i++)
		regs->gpr[i] = rng_percent(r, 25) ? diff_value_address(r, 16)
						  : diff_value_int(r);
	regs->rflags = FL_ONE | FL_IF | (random & FL_ARITH);
	if (rng_percent(r, 25))
		regs->rflags |= FL_DF;
	if (rng_percent(r, 2))
		regs->rflags |= random & (FL_AC | FL_ID | FL_NT);
	if (rng_percent(r, 1))
		regs->rflags |= FL_TF;
	regs->fs_base = regs->gs_base = 0;
	if (diff_native_fsgs()) {
		regs->fs_base = DIFF_DATA_VA + rng_below(r, 4096);
		regs->gs_base = rng_percent(r, 50) ? 0xfffffffffffff000ULL
						   : diff_value_address(r, 16);
		if (regs->gs_base >> 47 != 0 && regs->gs_base >> 47 != 0x1ffff)
			regs->gs_base = 0;
	}
	regs->gpr[RSP] = DIFF_DATA_VA + 512 + rng_below(r, 900) * 8;
	if (!compat)
		return;
	for (unsigned i = 0; i < 16; i++)
		regs->gpr[i] = i < 8 ? (u32)regs->gpr[i] : 0;
}
