/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory that a case starts with: a base image that depends on the seed
 * alone, the patches of the case, and its code. */
#include "tests/diff_int.h"

/* Pages as they are before patches and code. */
static u8 image[DIFF_WORLD_PAGES][DIFF_PAGE];

/* --- segments --------------------------------------------------------- */

#define DATA_RW	  0x00f3u /* present, DPL 3, accessed */
#define DATA_RO	  0x00f1u
#define DATA_DOWN 0x00f7u
#define CODE_R	  0x00fbu
#define CODE_X	  0x00f9u
#define BIG	  0x4000u /* D or B */
#define PAGES	  0x8000u /* G */

const struct diff_desc diff_ldt[DIFF_LDT] = {
    {0, 0xfffff, DATA_RW | BIG | PAGES},
    /* ends with the second data page, before the read-only one */
    {0, 0x20001, DATA_RW | BIG | PAGES},
    /* begins with the second data page */
    {0, 0x20000, DATA_DOWN | BIG | PAGES},
    {0, 0xfffff, DATA_RO | BIG | PAGES},
    {0x1000, 0x20000, DATA_RW | BIG | PAGES},
    /* offsets 0801h to FFFFh */
    {0x20000000, 0x800, DATA_DOWN},
    {0, 0xfffff, (DATA_RW & ~0x80u) | BIG | PAGES}, /* not present */
    {0, 0xfffff, CODE_R | BIG | PAGES},
    {0, 0xfffff, CODE_X | BIG | PAGES},
    /* addresses wrap at 4 GiB */
    {0xfffff000, 0xfffff, DATA_RW | BIG | PAGES},
};

/* SDM 3A figure 3-8. */
u64
diff_desc_raw(const struct diff_desc *d)
{
	u64 base = d->base, limit = d->limit;

	return (limit & 0xffff) | (base & 0xffffff) << 16 | (u64)d->attr << 40 |
	       (limit >> 16) << 48 | base >> 24 << 56;
}

struct cpu_seg
diff_desc_seg(unsigned n)
{
	const struct diff_desc *d = &diff_ldt[n];

	return (struct cpu_seg){
	    .base = d->base,
	    .limit_bytes = d->attr & PAGES ? d->limit << 12 | 0xfff : d->limit,
	    .attr = d->attr,
	    .sel = DIFF_LDTR(n),
	};
}

u64
diff_world_base(const struct diff_case *c, unsigned i)
{
	return c->sel[i] & 4 ? diff_ldt[c->sel[i] / 8].base : 0;
}

void
diff_world_segments(struct rng *r, struct diff_case *c)
{
	static const u8 data[] = {0, 1, 2, 3, 4, 5, 7, 9};
	static const u8 stack[] = {0, 1, 2, 4, 9};
	static const u16 plain[DIFF_SELS] = {DIFF_DS, DIFF_DS, 0, 0, DIFF_DS};

	memcpy(c->sel, plain, sizeof(c->sel));
	if (!c->compat || !diff_native_fsgs() || !rng_percent(r, 15))
		return;
	for (unsigned i = 0; i < DIFF_SELS - 1; i++)
		if (rng_percent(r, 40))
			c->sel[i] =
			    DIFF_LDTR(data[rng_below(r, ARRAY_SIZE(data))]);
	if (c->sel[2] != 0)
		c->in.fs_base = diff_ldt[c->sel[2] / 8].base;
	if (c->sel[3] != 0)
		c->in.gs_base = diff_ldt[c->sel[3] / 8].base;
	if (rng_percent(r, 30))
		c->sel[DIFF_SELS - 1] =
		    DIFF_LDTR(stack[rng_below(r, ARRAY_SIZE(stack))]);
}

/* --- memory ----------------------------------------------------------- */

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
