/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory that a case starts with: a base image that depends on the seed
 * alone, the patches of the case, and its code. */
#include "tests/diff_int.h"

/* Pages as they are before patches and code. */
static u8 image[DIFF_WORLD_PAGES][DIFF_PAGE];

void
diff_world_init(u64 seed)
{
	struct rng r = {seed ^ 0x776f726c64ULL};

	memset(image, 0xcc, sizeof(image));
	for (unsigned p = PAGE_DATA0; p <= PAGE_RO; p++)
		for (unsigned i = 0; i < DIFF_PAGE; i += 32)
			diff_value_bytes(&r, &image[p][i], 32,
					 (u8)rng_below(&r, FORM_MMX + 1));
}

int
diff_world_page(u64 va)
{
	if (va - DIFF_CODE_VA < DIFF_CODE_PAGES * DIFF_PAGE)
		return PAGE_CODE0 + (int)((va - DIFF_CODE_VA) / DIFF_PAGE);
	if (va - DIFF_DATA_VA < DIFF_DATA_PAGES * DIFF_PAGE)
		return PAGE_DATA0 + (int)((va - DIFF_DATA_VA) / DIFF_PAGE);
	if (va - DIFF_SMC_VA < DIFF_PAGE)
		return PAGE_SMC;
	return -1;
}

/* Writes the part of the code that lies in page p. */
static void
put_code(const struct diff_case *c, unsigned p, u8 *page)
{
	for (unsigned i = 0; i < c->code_bytes; i++) {
		u64 va = c->in.rip + i;

		if (diff_world_page(va) == (int)p)
			page[va % DIFF_PAGE] = c->code[i];
	}
}

void
diff_world_initial(const struct diff_case *c, unsigned p, u8 out[DIFF_PAGE])
{
	memcpy(out, image[p], DIFF_PAGE);
	for (unsigned i = 0; i < c->patches; i++)
		if (c->patch[i].page == p)
			memcpy(out + c->patch[i].off, c->patch[i].bytes,
			       c->patch[i].count);
	put_code(c, p, out);
}

void
diff_world_load(struct diff_side *side, const struct diff_case *c, bool alias)
{
	for (unsigned p = 0; p < DIFF_WORLD_PAGES; p++)
		diff_world_initial(c, p, side->page[p]);
	if (alias && c->alias_at >= 0) {
		u64 va = c->in.rip + (unsigned)c->alias_at;
		int p = diff_world_page(va);

		if (p >= 0)
			side->page[p][va % DIFF_PAGE] = c->alias_byte;
	}
}
