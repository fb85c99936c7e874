/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/soft_int.h"

#include <errno.h>
#include <stdlib.h>

/* Page-table entry bits, SDM 3A tables 4-15 to 4-20. */
#define PTE_P	      BIT(0)
#define PTE_W	      BIT(1)
#define PTE_U	      BIT(2)
#define PTE_A	      BIT(5)
#define PTE_D	      BIT(6)
#define PTE_PS	      BIT(7)
#define PTE_G	      BIT(8)
#define PTE_NX	      BIT(63)
#define PTE_ADDR      BITS(51, 12)
#define PHYS_BITS     40
#define PTE_RSVD_ADDR BITS(51, PHYS_BITS)

/* Page-fault error code, SDM 3A figure 4-12. */
#define PFE_P	 1u
#define PFE_W	 2u
#define PFE_U	 4u
#define PFE_RSVD 8u
#define PFE_ID	 16u

#define LOG_SIZE   512
#define BLOOM_BITS 4096

#define VICTIMS 8

struct victim {
	struct tlbe e;
	bool global;
};

/* What the TLBs hold beyond the entries: which slots were filled for pages
 * that are not global (so that a CR3 write clears those and no more), and
 * filters that say whether a flushed page can matter to more than its slot. */
struct tlb_log {
	unsigned count[2]; /* > LOG_SIZE: look at every slot */
	u16 slot[2][LOG_SIZE];
	bool global[2][TLB_SIZE];
	/* entries that others took the place of, newest overwriting oldest */
	struct victim victim[2][VICTIMS];
	unsigned next_victim;
	u64 large[BLOOM_BITS / 64]; /* 2 MiB regions with large pages */
	bool huge;		    /* a 1 GiB page was seen */
	/* pages that code was fetched from since the generation began */
	u64 exec[2][BLOOM_BITS / 64];
	bool exec_high_local; /* non-global code in the upper half */
};

struct walk {
	u64 gpa;
	bool writable, user, nx, global, dirty;
	u8 large; /* 0, 1: 2 MiB, 2: 1 GiB */
};

static unsigned
bloom_hash(u64 key)
{
	return (unsigned)((key * 0x9e3779b97f4a7c15ULL) >> 52);
}

static bool
bloom_has(const u64 *bloom, u64 key)
{
	unsigned h = bloom_hash(key);

	return bloom[h / 64] >> (h % 64) & 1;
}

static void
bloom_add(u64 *bloom, u64 key)
{
	unsigned h = bloom_hash(key);

	bloom[h / 64] |= BIT(h % 64);
}

static bool
acc_user(const struct soft *c, unsigned acc)
{
	return c->cpl == 3 && !(acc & ACC_SYS);
}

/* --- guest RAM -------------------------------------------------------- */

static struct soft_slot *
slot_find(struct soft *c, u64 gpa)
{
	for (unsigned i = 0; i < HV_MAX_SLOTS; i++) {
		struct soft_slot *s = &c->slot[i];

		if (gpa - s->gpa < s->size_bytes)
			return s;
	}
	return NULL;
}

u8 *
ram_host(struct soft *c, u64 gpa, u64 *run_bytes)
{
	struct soft_slot *s = slot_find(c, gpa);

	if (!s)
		return NULL;
	if (run_bytes)
		*run_bytes = s->size_bytes - (gpa - s->gpa);
	return s->host + (gpa - s->gpa);
}

static void
log_dirty(struct soft_slot *s, u64 page)
{
	atomic_fetch_or_explicit(&s->dirty[page / 64], BIT(page % 64),
				 memory_order_relaxed);
	page_bits_clear(s, page, PAGE_CLEAN);
}

/* A page-table entry in RAM, or NULL: the walker then sees a zero entry, as
 * reads of nothing give no present one that could be trusted. */
static mem_pte *
pte_at(struct soft *c, u64 gpa)
{
	return (mem_pte *)(void *)ram_host(c, gpa, NULL);
}

/* The processor's own writes, of A and D bits, are writes to guest RAM. */
static void
pte_mark(struct soft *c, mem_pte *pte, u64 gpa, u64 bits)
{
	struct soft_slot *s;
	u64 page;

	if ((*pte & bits) == bits)
		return;
	s = slot_find(c, gpa);
	page = (gpa - s->gpa) >> PAGE_SHIFT;
	if (s->page[page] & PAGE_CLEAN)
		log_dirty(s, page);
	*pte |= bits;
}

/* --- TLB -------------------------------------------------------------- */

static void
entry_clear(struct tlbe *e)
{
	e->rtag = e->wtag = e->xtag = TLB_NONE;
}

static void
gen_bump(struct soft *c, unsigned kind)
{
	/* 0 means "never linked": a wrapped generation drops every block. */
	if (++c->code_gen[kind] == 0)
		code_flush(c);
	memset(c->tlb_log->exec[kind], 0, sizeof(c->tlb_log->exec[kind]));
}

void
tlb_init(struct soft *c)
{
	for (unsigned i = 0; i < TLB_SIZE; i++) {
		entry_clear(&c->tlbs[0][i]);
		entry_clear(&c->tlbs[1][i]);
		entry_clear(&c->tlb_none[i]);
		entry_clear(&c->tlb_watch[i]);
	}
	memset(c->tlb_log, 0, sizeof(*c->tlb_log));
	for (unsigned u = 0; u < 2; u++)
		for (unsigned i = 0; i < VICTIMS; i++)
			entry_clear(&c->tlb_log->victim[u][i].e);
}

int
tlb_open(struct soft *c)
{
	c->tlb_log = calloc(1, sizeof(*c->tlb_log));
	if (!c->tlb_log)
		return -ENOMEM;
	tlb_init(c);
	return 0;
}

void
tlb_close(struct soft *c)
{
	free(c->tlb_log);
}

void
tlb_flush(struct soft *c, bool global)
{
	struct tlb_log *log = c->tlb_log;

	if (global) {
		tlb_init(c);
		gen_bump(c, GEN_USER);
		gen_bump(c, GEN_KERNEL);
		return;
	}
	for (unsigned u = 0; u < 2; u++) {
		if (log->count[u] <= LOG_SIZE) {
			for (unsigned i = 0; i < log->count[u]; i++)
				entry_clear(&c->tlbs[u][log->slot[u][i]]);
		} else {
			for (unsigned i = 0; i < TLB_SIZE; i++)
				if (!log->global[u][i])
					entry_clear(&c->tlbs[u][i]);
		}
		log->count[u] = 0;
		for (unsigned i = 0; i < VICTIMS; i++)
			if (!log->victim[u][i].global)
				entry_clear(&log->victim[u][i].e);
	}
	gen_bump(c, GEN_USER);
	if (log->exec_high_local) {
		gen_bump(c, GEN_KERNEL);
		log->exec_high_local = false;
	}
}

static bool
entry_is(const struct tlbe *e, u64 page)
{
	return e->rtag == page || e->wtag == page || e->xtag == page;
}

static void
flush_slot(struct soft *c, u64 lin)
{
	u64 page = lin & PAGE_MASK;

	for (unsigned u = 0; u < 2; u++) {
		struct tlbe *e = tlb_slot(c->tlbs[u], lin);

		if (entry_is(e, page))
			entry_clear(e);
		for (unsigned i = 0; i < VICTIMS; i++)
			if (entry_is(&c->tlb_log->victim[u][i].e, page))
				entry_clear(&c->tlb_log->victim[u][i].e);
	}
}

void
tlb_flush_page(struct soft *c, u64 lin)
{
	struct tlb_log *log = c->tlb_log;

	if (log->huge) {
		tlb_flush(c, true);
		return;
	}
	if (bloom_has(log->large, lin >> 21)) {
		u64 first = lin & ~BITS(20, 0);

		for (u64 i = 0; i < 512; i++)
			flush_slot(c, first + i * PAGE_SIZE);
		gen_bump(c, GEN_USER);
		gen_bump(c, GEN_KERNEL);
		return;
	}
	flush_slot(c, lin);
	if (bloom_has(log->exec[lin >> 63], lin >> PAGE_SHIFT))
		gen_bump(c, lin >> 63 ? GEN_KERNEL : GEN_USER);
}

void
tlb_drop_writable(struct soft *c)
{
	for (unsigned u = 0; u < 2; u++) {
		for (unsigned i = 0; i < TLB_SIZE; i++)
			c->tlbs[u][i].wtag = TLB_NONE;
		for (unsigned i = 0; i < VICTIMS; i++)
			c->tlb_log->victim[u][i].e.wtag = TLB_NONE;
	}
}

static void
entry_drop_host(struct tlbe *e, u64 host)
{
	if (e->wtag != TLB_NONE && e->wtag + e->addend == host)
		e->wtag = TLB_NONE;
}

void
tlb_drop_gpa(struct soft *c, u64 gpa)
{
	u64 host = (u64)(uintptr_t)ram_host(c, gpa & PAGE_MASK, NULL);

	for (unsigned u = 0; u < 2; u++) {
		for (unsigned i = 0; i < TLB_SIZE; i++)
			entry_drop_host(&c->tlbs[u][i], host);
		for (unsigned i = 0; i < VICTIMS; i++)
			entry_drop_host(&c->tlb_log->victim[u][i].e, host);
	}
}

/* Remembers that slot i of the array may not survive a CR3 write. */
static void
log_slot(struct tlb_log *log, bool user, unsigned i, bool global)
{
	log->global[user][i] = global;
	if (global)
		return;
	if (log->count[user] < LOG_SIZE)
		log->slot[user][log->count[user]++] = (u16)i;
	else
		log->count[user] = LOG_SIZE + 1;
}

/* Before slot i gets another page. */
static void
victim_put(struct soft *c, bool user, unsigned i)
{
	struct tlb_log *log = c->tlb_log;

	log->victim[user][log->next_victim++ % VICTIMS] =
	    (struct victim){c->tlbs[user][i], log->global[user][i]};
}

/* Two pages that share a slot take turns here rather than in page walks. */
static void *
victim_take(struct soft *c, u64 lin, unsigned acc, bool user)
{
	struct tlb_log *log = c->tlb_log;
	struct tlbe *e = tlb_slot(c->tlbs[user], lin);
	unsigned slot = (unsigned)(e - c->tlbs[user]);
	u64 page = lin & PAGE_MASK;

	for (unsigned i = 0; i < VICTIMS; i++) {
		struct victim *v = &log->victim[user][i], old;

		if ((acc & ACC_WRITE ? v->e.wtag : v->e.rtag) != page)
			continue;
		old = (struct victim){*e, log->global[user][slot]};
		*e = v->e;
		log_slot(log, user, slot, v->global);
		*v = old;
		return tlb_host(e, lin);
	}
	return NULL;
}

/* --- the page walk ---------------------------------------------------- */

static void
raise_pf(struct soft *c, u64 lin, u32 error)
{
	if (c->exc.valid)
		return;
	soft_raise_error(c, EXC_PF, error);
	c->exc.cr2 = lin;
}

/* SDM 3A 4.5 (4-level paging). Entries get their A bit as they are passed, the
 * last one D for a write, after every check. False: #PF recorded. */
static bool
walk_long(struct soft *c, u64 lin, unsigned acc, bool user, struct walk *w)
{
	bool write = acc & ACC_WRITE, exec = acc & ACC_EXEC;
	bool nxe = c->efer & EFER_NXE;
	u32 error = (write ? PFE_W : 0) | (user ? PFE_U : 0) |
		    (exec && nxe ? PFE_ID : 0);
	u64 table = c->cr3 & PTE_ADDR;
	u64 rsvd = PTE_RSVD_ADDR | (nxe ? 0 : PTE_NX);
	bool all_w = true, all_u = true, any_nx = false;
	mem_pte *pte[4];
	u64 at[4];
	int level;

	for (level = 3;; level--) {
		unsigned shift = PAGE_SHIFT + 9 * (unsigned)level;
		u64 e;

		at[level] = table + ((lin >> shift) & 511) * 8;
		pte[level] = pte_at(c, at[level]);
		e = pte[level] ? *pte[level] : 0;
		if (!(e & PTE_P)) {
			raise_pf(c, lin, error);
			return false;
		}
		if ((e & rsvd) || (level == 3 && (e & PTE_PS)) ||
		    (level > 0 && (e & PTE_PS) &&
		     (e & BITS(shift - 1, 13) & PTE_ADDR))) {
			raise_pf(c, lin, error | PFE_P | PFE_RSVD);
			return false;
		}
		all_w &= !!(e & PTE_W);
		all_u &= !!(e & PTE_U);
		any_nx |= !!(e & PTE_NX);
		if (level == 0 || (e & PTE_PS)) {
			u64 low = BITS(shift - 1, 0);

			w->gpa = ((e & PTE_ADDR) & ~low) | (lin & low);
			w->global = (e & PTE_G) && (c->cr4 & CR4_PGE);
			w->dirty = e & PTE_D;
			w->large = (u8)level;
			break;
		}
		table = e & PTE_ADDR;
	}
	w->user = all_u;
	w->nx = any_nx;
	w->writable = all_w || (!user && !(c->cr0 & CR0_WP));
	if ((user && !all_u) || (write && !w->writable) || (exec && any_nx)) {
		raise_pf(c, lin, error | PFE_P);
		return false;
	}
	for (int i = 3; i > level; i--)
		pte_mark(c, pte[i], at[i], PTE_A);
	pte_mark(c, pte[level], at[level], PTE_A | (write ? PTE_D : 0));
	w->dirty |= write;
	return true;
}

/* The translation that the control registers ask for. Legacy 32-bit paging
 * belongs to protected mode, which this part does not run yet. */
static bool
walk(struct soft *c, u64 lin, unsigned acc, bool user, struct walk *w)
{
	if (!(c->cr0 & CR0_PG)) {
		*w = (struct walk){.gpa = lin & BITS(31, 0),
				   .writable = true,
				   .user = true,
				   .dirty = true};
		return true;
	}
	if (!is_canonical(lin)) {
		soft_raise_error(c, acc & ACC_SS ? EXC_SS : EXC_GP, 0);
		return false;
	}
	return walk_long(c, lin, acc, user, w);
}

static void
fill(struct soft *c, u64 lin, const struct walk *w, bool user,
     struct soft_slot *s)
{
	struct tlb_log *log = c->tlb_log;
	struct tlbe *e = tlb_slot(c->tlbs[user], lin);
	unsigned i = (unsigned)(e - c->tlbs[user]);
	u64 page = lin & PAGE_MASK;
	u64 gpa = w->gpa & PAGE_MASK;
	bool special = s->page[(gpa - s->gpa) >> PAGE_SHIFT] || s->readonly;

	if (e->rtag != page && e->rtag != TLB_NONE)
		victim_put(c, user, i);
	e->rtag = page;
	e->xtag = w->nx ? TLB_NONE : page;
	e->wtag = w->writable && w->dirty && !special ? page : TLB_NONE;
	e->addend = (u64)(uintptr_t)(s->host + (gpa - s->gpa)) - page;
	log_slot(log, user, i, w->global);
	if (w->large == 1)
		bloom_add(log->large, lin >> 21);
	else if (w->large == 2)
		log->huge = true;
}

/* --- slow accesses ---------------------------------------------------- */

/* One page's part of an access: RAM, or MMIO when host is NULL. */
struct part {
	u8 *host;
	u64 gpa;
	unsigned bytes;
};

/* What a write to this page means beyond the bytes. */
static void
page_written(struct soft *c, struct soft_slot *s, u64 gpa, unsigned bytes)
{
	u64 page = (gpa - s->gpa) >> PAGE_SHIFT;

	if (s->page[page] & PAGE_CLEAN)
		log_dirty(s, page);
	if (s->page[page] & PAGE_CODE)
		code_written(c, gpa, bytes);
}

static bool
part_find(struct soft *c, u64 lin, unsigned bytes, unsigned acc,
	  struct part *pt)
{
	bool user = acc_user(c, acc);
	struct soft_slot *s;
	struct walk w;

	if (!walk(c, lin, acc, user, &w))
		return false;
	pt->gpa = w.gpa;
	pt->bytes = bytes;
	s = slot_find(c, w.gpa);
	if (!s || ((acc & ACC_WRITE) && s->readonly)) {
		pt->host = NULL;
		return true;
	}
	pt->host = s->host + (w.gpa - s->gpa);
	if (acc & ACC_WRITE)
		page_written(c, s, w.gpa, bytes);
	fill(c, lin, &w, user, s);
	return true;
}

/* Reads one MMIO part into data: from the answer when the caller has given
 * it, else leaves the loop to ask. */
static bool
mmio_read(struct soft *c, const struct part *pt, u8 *data)
{
	struct soft_answer *a = &c->answer;

	if (a->valid && a->gpa == pt->gpa && a->size_bytes == pt->bytes) {
		memcpy(data, a->data, pt->bytes);
		a->valid = false;
		return true;
	}
	a->valid = false;
	a->gpa = pt->gpa;
	a->size_bytes = pt->bytes;
	c->x->kind = HV_EXIT_MMIO;
	c->x->mmio.gpa = pt->gpa;
	c->x->mmio.size_bytes = (u8)pt->bytes;
	c->x->mmio.write = false;
	memset(c->x->mmio.data, 0, sizeof(c->x->mmio.data));
	c->leave = LEAVE_RETRY;
	return false;
}

/* MMIO accesses are at most 16 bytes, inside one page, in one piece: an access
 * that reaches a device in two pieces or a bigger one reads as all ones and
 * its write is dropped there, as on a bus with no such device width. */
static bool
part_load(struct soft *c, const struct part *pt, u8 *data, bool alone)
{
	if (pt->host) {
		memcpy(data, pt->host, pt->bytes);
		return true;
	}
	if (!alone || pt->bytes > sizeof(c->answer.data)) {
		memset(data, 0xff, pt->bytes);
		return true;
	}
	return mmio_read(c, pt, data);
}

/* SDM 3A table 6-7: what #AC asks of an operand. */
static unsigned
alignment(unsigned size_bytes)
{
	return MIN(BIT(31 - __builtin_clz(size_bytes)), 16u);
}

/* In compatibility mode the last byte of a flat segment is at 4 GiB - 1; what
 * goes on to address 0 is beyond its limit. True: exception recorded. */
static bool
beyond_flat(struct soft *c, u64 lin, unsigned size_bytes, unsigned acc)
{
	if ((c->mode & MODE_64) || (acc & (ACC_SYS | ACC_WRAP)) ||
	    !((lin + size_bytes - 1) >> 32))
		return false;
	soft_raise_error(c, acc & ACC_SS ? EXC_SS : EXC_GP, 0);
	return true;
}

void *
mem_slow(struct soft *c, u64 lin, unsigned size_bytes, unsigned acc)
{
	unsigned first = (unsigned)(PAGE_SIZE - (lin & ~PAGE_MASK));
	struct part pt[2];
	bool crosses = first < size_bytes;
	void *p;

	/* No page is looked at when an end of the access is nowhere. */
	if ((c->mode & MODE_64) &&
	    (!is_canonical(lin) || !is_canonical(lin + size_bytes - 1))) {
		soft_raise_error(c, acc & ACC_SS ? EXC_SS : EXC_GP, 0);
		return NULL;
	}
	if (beyond_flat(c, lin, size_bytes, acc))
		return NULL;
	if (c->tlb == c->tlb_none && !(acc & (ACC_SYS | ACC_ANY)) &&
	    lin & (alignment(size_bytes) - 1)) {
		soft_raise_error(c, EXC_AC, 0);
		return NULL;
	}
	if (unlikely(c->tlb == c->tlb_watch) && !(acc & ACC_SYS))
		sys_watch(c, lin, size_bytes, acc);
	if (!crosses && c->tlb != c->tlb_none) {
		p = victim_take(c, lin, acc, acc_user(c, acc));
		if (p)
			return p;
	}
	assert(size_bytes <= sizeof(c->bounce.data));
	if (!part_find(c, lin, crosses ? first : size_bytes, acc, &pt[0]))
		return NULL;
	if (!crosses && pt[0].host)
		return pt[0].host;
	if (crosses &&
	    !part_find(c, c->mode & MODE_64 ? lin + first : (u32)(lin + first),
		       size_bytes - first, acc, &pt[1]))
		return NULL;
	if (acc & ACC_READ) {
		if (!part_load(c, &pt[0], c->bounce.data, !crosses))
			return NULL;
		if (crosses &&
		    !part_load(c, &pt[1], c->bounce.data + first, false))
			return NULL;
	}
	c->bounce.size_bytes = size_bytes;
	c->bounce.first_bytes = pt[0].bytes;
	for (unsigned i = 0; i < 1u + crosses; i++) {
		c->bounce.gpa[i] = pt[i].gpa;
		c->bounce.mmio[i] = !pt[i].host;
	}
	return c->bounce.data;
}

bool
mem_commit(struct soft *c)
{
	unsigned n = c->bounce.first_bytes < c->bounce.size_bytes ? 2 : 1;
	unsigned at = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned bytes =
		    i == 0 ? c->bounce.first_bytes : c->bounce.size_bytes - at;

		if (!c->bounce.mmio[i]) {
			u8 *host = ram_host(c, c->bounce.gpa[i], NULL);

			memcpy(host, c->bounce.data + at, bytes);
		} else if (n == 1 && bytes <= sizeof(c->x->mmio.data)) {
			c->x->kind = HV_EXIT_MMIO;
			c->x->mmio.gpa = c->bounce.gpa[i];
			c->x->mmio.size_bytes = (u8)bytes;
			c->x->mmio.write = true;
			memcpy(c->x->mmio.data, c->bounce.data, bytes);
			c->leave = LEAVE_DONE;
			return false;
		}
		at += bytes;
	}
	return true;
}

static enum helper_result
slow_failed(const struct soft *c)
{
	return c->exc.valid ? HELPER_FAULT : HELPER_RETRY;
}

enum helper_result
mem_read(struct soft *c, u64 lin, void *buf, unsigned size_bytes, unsigned acc)
{
	struct tlbe *tlb = acc & ACC_SYS ? c->tlbs[0] : c->tlb;
	void *p = tlb_read(tlb, lin, size_bytes);

	if (unlikely(!p)) {
		p = mem_slow(c, lin, size_bytes, ACC_READ | acc);
		if (!p)
			return slow_failed(c);
	}
	memcpy(buf, p, size_bytes);
	return HELPER_NEXT;
}

enum helper_result
mem_write(struct soft *c, u64 lin, const void *buf, unsigned size_bytes,
	  unsigned acc)
{
	struct tlbe *tlb = acc & ACC_SYS ? c->tlbs[0] : c->tlb;
	void *p = tlb_write(tlb, lin, size_bytes);

	if (likely(p)) {
		memcpy(p, buf, size_bytes);
		return HELPER_NEXT;
	}
	p = mem_slow(c, lin, size_bytes, ACC_WRITE | acc);
	if (!p)
		return slow_failed(c);
	memcpy(p, buf, size_bytes);
	if (p == c->bounce.data && !mem_commit(c))
		return HELPER_EXIT;
	return HELPER_NEXT;
}

enum helper_result
mem_probe(struct soft *c, u64 lin, unsigned size_bytes, unsigned acc)
{
	bool user = acc_user(c, acc);
	u64 last = lin + size_bytes - 1;
	struct walk w;

	if ((c->mode & MODE_64) &&
	    (!is_canonical(lin) || !is_canonical(last))) {
		soft_raise_error(c, acc & ACC_SS ? EXC_SS : EXC_GP, 0);
		return HELPER_FAULT;
	}
	if (beyond_flat(c, lin, size_bytes, acc) ||
	    !walk(c, lin, acc, user, &w))
		return HELPER_FAULT;
	if (!(c->mode & MODE_64))
		last = (u32)last;
	if ((last ^ lin) & PAGE_MASK &&
	    !walk(c, last & PAGE_MASK, acc, user, &w))
		return HELPER_FAULT;
	return HELPER_NEXT;
}

enum helper_result
mem_probe_write(struct soft *c, u64 lin, unsigned size_bytes, unsigned acc)
{
	if (tlb_write(c->tlbs[acc_user(c, acc)], lin, size_bytes))
		return HELPER_NEXT;
	return mem_probe(c, lin, size_bytes, ACC_WRITE | acc);
}

static void
exec_note(struct tlb_log *log, u64 lin, bool global)
{
	bloom_add(log->exec[lin >> 63], lin >> PAGE_SHIFT);
	if (lin >> 63 && !global)
		log->exec_high_local = true;
}

bool
mem_exec(struct soft *c, u64 lin, u64 *gpa)
{
	struct tlb_log *log = c->tlb_log;
	bool user = c->cpl == 3;
	struct tlbe *e = tlb_slot(c->tlbs[user], lin);
	struct soft_slot *s;
	struct walk w;

	if (e->xtag == (lin & PAGE_MASK)) {
		u8 *host = (u8 *)(uintptr_t)(lin + e->addend);

		exec_note(log, lin, log->global[user][e - c->tlbs[user]]);
		for (unsigned i = 0; i < HV_MAX_SLOTS; i++) {
			s = &c->slot[i];
			if (s->size_bytes && host >= s->host &&
			    host < s->host + s->size_bytes) {
				*gpa = s->gpa + (u64)(host - s->host);
				return true;
			}
		}
		assert(!"a TLB entry points into a slot");
	}
	if (!walk(c, lin, ACC_EXEC, user, &w))
		return false;
	s = slot_find(c, w.gpa);
	if (!s) {
		/* Code on a device: no such bus cycle here; AMD and Intel parts
		 * would fetch all ones, which is an undefined opcode. */
		soft_raise(c, EXC_UD);
		return false;
	}
	fill(c, lin, &w, user, s);
	exec_note(log, lin, w.global);
	*gpa = w.gpa;

	return true;
}
