/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/soft_int.h"

/* Operands and result of the last lazy operation, masked to its size. */
struct lazy {
	u64 a, b, res, sign;
};

static bool
lazy_carry(unsigned kind, const struct lazy *z)
{
	switch (kind) {
	case CC_ADD:
		return z->res < z->b;
	case CC_ADC:
		return z->res <= z->b;
	case CC_SUB:
		return z->a < z->b;
	case CC_SBB:
		return z->a <= z->b;
	default: /* INC, DEC keep it */
		return z->b;
	}
}

static bool
lazy_overflow(unsigned kind, const struct lazy *z)
{
	switch (kind) {
	case CC_ADD:
	case CC_ADC:
		return (z->a ^ z->res) & (z->b ^ z->res) & z->sign;
	case CC_SUB:
	case CC_SBB:
		return (z->a ^ z->b) & (z->a ^ z->res) & z->sign;
	case CC_INC:
		return z->res == z->sign;
	default: /* DEC */
		return z->res == z->sign - 1;
	}
}

static u64
lazy_aux(unsigned kind, const struct lazy *z)
{
	switch (kind) {
	case CC_INC:
		return (z->res & 15) == 0 ? FL_AF : 0;
	case CC_DEC:
		return (z->res & 15) == 15 ? FL_AF : 0;
	default:
		return (z->a ^ z->b ^ z->res) & FL_AF;
	}
}

/* ZF, SF, PF of a result. */
static u64
result_flags(u64 dst)
{
	u64 fl = 0;

	if (dst == 0)
		fl |= FL_ZF;
	if ((s64)dst < 0)
		fl |= FL_SF;
	if (!__builtin_parity((unsigned)dst & 0xff))
		fl |= FL_PF;
	return fl;
}

static void
lazy_load(struct lazy *z, const struct soft *c, unsigned kind)
{
	unsigned bits = 8u << (c->cc_op & 3);
	u64 mask = bits == 64 ? ~0ULL : BIT(bits) - 1;

	z->sign = BIT(bits - 1);
	z->res = c->cc_dst & mask;
	z->b = c->cc_src;
	switch (kind) {
	case CC_ADD:
		z->a = z->res - z->b;
		break;
	case CC_ADC:
		z->a = z->res - z->b - 1;
		break;
	case CC_SUB:
		z->a = z->res + z->b;
		break;
	case CC_SBB:
		z->a = z->res + z->b + 1;
		break;
	default:
		z->a = z->res;
		break;
	}
	z->a &= mask;
}

u64
flags_arith(const struct soft *c)
{
	struct lazy z;
	unsigned kind;
	u64 fl;

	if (c->cc_op == CC_EFLAGS)
		return c->cc_src;
	fl = result_flags(c->cc_dst);
	if (c->cc_op == CC_LOGIC)
		return fl;
	if (c->cc_op == CC_SHIFT)
		return (fl & ~(FL_CF | FL_AF)) |
		       ((c->cc_src >> 8) & (FL_CF | FL_AF)) |
		       ((c->cc_src & 1) ? FL_OF : 0);
	kind = c->cc_op & ~3u;
	lazy_load(&z, c, kind);
	if (lazy_carry(kind, &z))
		fl |= FL_CF;
	if (lazy_overflow(kind, &z))
		fl |= FL_OF;
	return fl | lazy_aux(kind, &z);
}

u64
flags_get(const struct soft *c)
{
	return c->rflags | flags_arith(c) | FL_ONE;
}

void
flags_set(struct soft *c, u64 rflags)
{
	c->rflags = (rflags & ~FL_ARITH) | FL_ONE;
	flags_set_arith(c, rflags);
}

bool
flags_cond(const struct soft *c, unsigned cc)
{
	u64 fl = flags_arith(c);
	bool yes;

	switch (cc >> 1) {
	case 0:
		yes = fl & FL_OF;
		break;
	case 1:
		yes = fl & FL_CF;
		break;
	case 2:
		yes = fl & FL_ZF;
		break;
	case 3:
		yes = fl & (FL_CF | FL_ZF);
		break;
	case 4:
		yes = fl & FL_SF;
		break;
	case 5:
		yes = fl & FL_PF;
		break;
	case 6:
		yes = !(fl & FL_SF) != !(fl & FL_OF);
		break;
	default:
		yes = (fl & FL_ZF) || !(fl & FL_SF) != !(fl & FL_OF);
		break;
	}
	return yes != (cc & 1);
}
