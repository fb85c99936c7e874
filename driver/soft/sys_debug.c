/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/sys_int.h"

/* DR7, SDM 3B figure 17-1: two enable bits each from bit 0 on, then a type and
 * a length of two bits each from bit 16 on. */
#define BREAKPOINTS 4

enum { ON_FETCH, ON_WRITE, ON_PORT, ON_ACCESS };

static unsigned
type_of(const struct soft *c, unsigned n)
{
	return (unsigned)(c->dr[7] >> (16 + 4 * n)) & 3;
}

static bool
is_enabled(const struct soft *c, unsigned n)
{
	return c->dr[7] >> 2 * n & 3;
}

/* Lengths 1, 2, 8, 4; addresses are aligned to them. */
static bool
covers(const struct soft *c, unsigned n, u64 lin, u64 size_bytes)
{
	static const u8 lengths[] = {1, 2, 8, 4};
	u64 bytes = lengths[c->dr[7] >> (18 + 4 * n) & 3];
	u64 at = c->dr[n] & ~(bytes - 1);

	return lin < at + bytes && at < lin + size_bytes;
}

void
sys_watch(struct soft *c, u64 lin, unsigned size_bytes, unsigned acc)
{
	for (unsigned n = 0; n < BREAKPOINTS; n++) {
		unsigned type = type_of(c, n);
		bool wanted = type == ON_ACCESS ||
			      (type == ON_WRITE && (acc & ACC_WRITE));

		if (is_enabled(c, n) && wanted && covers(c, n, lin, size_bytes))
			c->watch_hit |= (u8)BIT(n);
	}
}

unsigned
sys_breaks_at(const struct soft *c, u64 lin)
{
	unsigned hit = 0;

	for (unsigned n = 0; n < BREAKPOINTS; n++)
		if (is_enabled(c, n) && type_of(c, n) == ON_FETCH &&
		    c->dr[n] == lin)
			hit |= (unsigned)BIT(n);
	return hit;
}
