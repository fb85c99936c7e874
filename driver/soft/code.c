/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "driver/soft/code_int.h"

#define ARENA_BYTES (96ULL << 20)
/* The largest block: its uops, their offsets, and insns for helpers. */
#define ARENA_SLACK (256ULL << 10)
#define HASH_BITS   15
#define HASH_SIZE   (1U << HASH_BITS)

/* A page that holds decoded code. map has a bit for each 64 bytes that some
 * block was decoded from: stores elsewhere in the page keep the blocks. */
struct code_page {
	u64 gpa;
	struct block *blocks;
	struct code_page *next;
	u64 map;
	unsigned missed; /* stores that hit no code */
};

/* Stores that hit no code before the page's blocks are given up, so that
 * the page's data can be written at full speed again. */
#define MISSED_MAX 256

struct code {
	u8 *arena;
	u64 used_bytes;
	struct block *hash[HASH_SIZE];
	struct code_page *pages[HASH_SIZE];
};

static unsigned
hash_gpa(u64 gpa, u32 mode)
{
	return (unsigned)(((gpa ^ (u64)mode << 56) * 0x9e3779b97f4a7c15ULL) >>
			  (64 - HASH_BITS));
}

void *
code_alloc(struct soft *c, size_t size_bytes)
{
	struct code *k = c->code;
	void *p = k->arena + k->used_bytes;

	k->used_bytes += ALIGN_UP(size_bytes, 16);
	assert(k->used_bytes <= ARENA_BYTES);
	return p;
}

int
code_open(struct soft *c)
{
	struct code *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (k->arena == MAP_FAILED) {
		free(k);
		return -ENOMEM;
	}
	c->jump =
	    mmap(NULL, JUMP_SIZE * sizeof(*c->jump), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c->jump == MAP_FAILED) {
		munmap(k->arena, ARENA_BYTES);
		free(k);
		return -ENOMEM;
	}
	c->code = k;
	for (unsigned i = 0; i < GEN_COUNT; i++)
		c->code_gen[i] = 1;
	return 0;
}

void
code_close(struct soft *c)
{
	if (!c->code)
		return;
	munmap(c->code->arena, ARENA_BYTES);
	munmap(c->jump, JUMP_SIZE * sizeof(*c->jump));
	free(c->code);
	c->code = NULL;
}

static void
page_flag(struct soft *c, u64 gpa, bool code)
{
	for (unsigned i = 0; i < HV_MAX_SLOTS; i++) {
		struct soft_slot *s = &c->slot[i];
		u64 page;

		if (gpa - s->gpa >= s->size_bytes)
			continue;
		page = (gpa - s->gpa) >> PAGE_SHIFT;
		if (code)
			page_bits_set(s, page, PAGE_CODE);
		else
			page_bits_clear(s, page, PAGE_CODE);
	}
}

void
code_flush(struct soft *c)
{
	struct code *k = c->code;

	for (unsigned i = 0; i < HASH_SIZE; i++)
		for (struct code_page *p = k->pages[i]; p; p = p->next)
			page_flag(c, p->gpa, false);
	memset(k->hash, 0, sizeof(k->hash));
	memset(k->pages, 0, sizeof(k->pages));
	memset(c->jump, 0, JUMP_SIZE * sizeof(*c->jump));
	memset(c->ras, 0xff, sizeof(c->ras));
	k->used_bytes = 0;
	for (unsigned i = 0; i < GEN_COUNT; i++)
		if (++c->code_gen[i] == 0)
			c->code_gen[i] = 1;
	c->blk = NULL;
	c->smc_hit = true; /* the running block is gone */
	c->st.flushes++;
}

static struct code_page *
page_find(struct code *k, u64 gpa)
{
	struct code_page *p = k->pages[hash_gpa(gpa, 0)];

	while (p && p->gpa != gpa)
		p = p->next;
	return p;
}

static struct code_page *
page_get(struct soft *c, u64 gpa)
{
	struct code *k = c->code;
	struct code_page *p = page_find(k, gpa);

	if (p)
		return p;
	p = code_alloc(c, sizeof(*p));
	*p = (struct code_page){.gpa = gpa};
	p->next = k->pages[hash_gpa(gpa, 0)];
	k->pages[hash_gpa(gpa, 0)] = p;
	return p;
}

void
code_guard(struct soft *c, u64 gpa)
{
	if (!page_get(c, gpa & PAGE_MASK)->blocks)
		page_flag(c, gpa, true);
}

static u64
map_bits(u64 first, u64 last)
{
	return BITS((last & ~PAGE_MASK) >> 6, (first & ~PAGE_MASK) >> 6);
}

static unsigned
list_of(const struct block *b, u64 page_gpa)
{
	return (b->gpa & PAGE_MASK) == page_gpa ? 0 : 1;
}

/* Puts a block into its page's list and keeps stores away from the page. */
static void
page_add(struct soft *c, struct block *b, u64 first, u64 last)
{
	u64 gpa = first & PAGE_MASK;
	struct code_page *p = page_get(c, gpa);

	b->page_next[list_of(b, gpa)] = p->blocks;
	if (!p->blocks || !p->map) {
		page_flag(c, gpa, true);
		tlb_drop_gpa(c, gpa);
	}
	p->blocks = b;
	p->map |= map_bits(first, last);
}

static void
unlist(struct code_page *p, struct block *b)
{
	struct block **at = &p->blocks;

	while (*at && *at != b)
		at = &(*at)->page_next[list_of(*at, p->gpa)];
	if (*at)
		*at = b->page_next[list_of(b, p->gpa)];
}

/* A dead block stays where it is until the arena is emptied. Its first uop
 * sends whoever still follows a link here to a new lookup. */
static void
block_kill(struct soft *c, struct block *b)
{
	struct block **at = &c->code->hash[hash_gpa(b->gpa, b->mode)];
	struct jump_entry *je;

	while (*at && *at != b)
		at = &(*at)->hash_next;
	if (*at)
		*at = b->hash_next;
	b->dead = true;
	b->uop[0].fn = uop_offset(op_dead);
	if (b == c->blk) {
		c->smc_hit = true;
		/* Its own links must not survive in it either. */
		je = jump_slot(c, c->r[RIPB]);
		if (je->blk == b)
			je->lin = ~0ULL;
	}
	c->st.smc_drops++;
}

static bool
block_touches(const struct block *b, u64 page_gpa, u64 first, u64 last)
{
	u64 lo, hi;

	if (b->gpa2 != GPA_NONE && page_gpa != (b->gpa & PAGE_MASK)) {
		lo = page_gpa;
		hi = page_gpa + ((b->gpa + b->bytes - 1) & ~PAGE_MASK);
	} else {
		lo = b->gpa;
		hi = MIN(b->gpa + b->bytes - 1, page_gpa + PAGE_SIZE - 1);
	}
	return first <= hi && last >= lo;
}

static void
page_written(struct soft *c, struct code_page *p, u64 first, u64 last)
{
	bool all = false;
	struct block *b, *next;
	u64 map = 0;

	if (!(p->map & map_bits(first, last))) {
		if (++p->missed < MISSED_MAX)
			return;
		all = true;
	}
	for (b = p->blocks; b; b = next) {
		u64 lo, hi;

		next = b->page_next[list_of(b, p->gpa)];
		if (all || block_touches(b, p->gpa, first, last)) {
			if (b->gpa2 != GPA_NONE) {
				u64 o = list_of(b, p->gpa) ? b->gpa & PAGE_MASK
							   : b->gpa2;
				struct code_page *other = page_find(c->code, o);

				if (other)
					unlist(other, b);
			}
			unlist(p, b);
			block_kill(c, b);
			continue;
		}
		lo = list_of(b, p->gpa) ? p->gpa : b->gpa;
		hi = list_of(b, p->gpa)
			 ? p->gpa + ((b->gpa + b->bytes - 1) & ~PAGE_MASK)
			 : MIN(b->gpa + b->bytes - 1, p->gpa + PAGE_SIZE - 1);
		map |= map_bits(lo, hi);
	}
	p->map = map;
	if (!p->blocks) {
		p->map = 0;
		p->missed = 0;
		page_flag(c, p->gpa, false);
	}
}

void
code_written(struct soft *c, u64 gpa, u64 size_bytes)
{
	u64 end = gpa + size_bytes;

	while (gpa < end) {
		u64 page = gpa & PAGE_MASK;
		u64 last = MIN(end, page + PAGE_SIZE) - 1;
		struct code_page *p = page_find(c->code, page);

		if (p)
			page_written(c, p, gpa, last);
		gpa = page + PAGE_SIZE;
	}
}

static struct block *
block_lookup(struct soft *c, u64 lin, u64 gpa, u32 mode)
{
	struct block *b = c->code->hash[hash_gpa(gpa, mode)];

	for (; b; b = b->hash_next) {
		u64 gpa2;

		if (b->gpa != gpa || b->mode != mode)
			continue;
		if (b->gpa2 == GPA_NONE)
			return b;
		/* The second page may be another one than last time. */
		if (!mem_exec(c, (lin & PAGE_MASK) + PAGE_SIZE, &gpa2))
			return NULL;
		if (gpa2 == b->gpa2)
			return b;
	}
	return NULL;
}

struct block *
code_find(struct soft *c, u64 lin)
{
	struct code *k = c->code;
	u32 mode = c->mode & ~MODE_USER;
	struct block *b;
	u64 gpa;

	if (!mem_exec(c, lin, &gpa))
		return NULL;
	b = block_lookup(c, lin, gpa, mode);
	if (b)
		b->lin = lin;
	if (b || c->exc.valid)
		return b;
	if (k->used_bytes + ARENA_SLACK > ARENA_BYTES)
		code_flush(c);
	code_guard(c, gpa);
	b = decode_block(c, lin, gpa, mode);
	if (!b)
		return NULL;
	b->hash_next = k->hash[hash_gpa(gpa, mode)];
	k->hash[hash_gpa(gpa, mode)] = b;
	page_add(c, b, b->gpa,
		 MIN(b->gpa + b->bytes - 1, (b->gpa & PAGE_MASK) + 4095));
	if (b->gpa2 != GPA_NONE)
		page_add(c, b, b->gpa2,
			 b->gpa2 + ((b->gpa + b->bytes - 1) & ~PAGE_MASK));
	c->st.blocks++;
	return b;
}
