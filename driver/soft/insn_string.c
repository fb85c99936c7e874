/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/insn_int.h"

/* A string instruction works in runs that stay inside one page of each
 * operand; where the TLB has no entry, or memory is a device, one element goes
 * through the slow path. Registers are exact after each run, so a fault or a
 * request from outside finds the instruction between two elements. */

/* A REP instruction comes up for air after this much. */
#define CHUNK_BYTES (256u << 10)

struct string {
	u64 done_bytes; /* since the helper was called */
	u64 count;	/* elements left; 1 without REP */
	u64 mask;	/* of the address size */
	u64 most;	/* elements a run: one while single-stepping */
	unsigned size;	/* bytes an element */
	bool down;
	bool rep;
	bool by_element; /* a segment must be asked about each */
};

static void
string_begin(struct soft *c, const struct insn *in, struct string *s)
{
	s->size = in->opsize;
	s->mask = in->addrsize == 8   ? ~0ULL
		  : in->addrsize == 4 ? BITS(31, 0)
				      : BITS(15, 0);
	s->down = c->rflags & FL_DF;
	s->rep = in->rep;
	s->count = s->rep ? c->r[RCX] & s->mask : 1;
	s->done_bytes = 0;
	s->most = c->mode & MODE_STEP ? 1 : ~0ULL;
	s->by_element = c->mode & (MODE_CHECK(in->seg) | MODE_CHECK(SEG_ES));
}

static void
index_move(struct soft *c, const struct string *s, unsigned reg, u64 n)
{
	u64 by = n * s->size;
	u64 v = c->r[reg] + (s->down ? -by : by);

	if (s->mask == BITS(15, 0))
		c->r[reg] = (c->r[reg] & ~s->mask) | (v & s->mask);
	else
		c->r[reg] = v & s->mask;
}

static void
count_move(struct soft *c, struct string *s, u64 n)
{
	s->count -= n;
	if (!s->rep)
		return;
	if (s->mask == BITS(15, 0))
		c->r[RCX] = (c->r[RCX] & ~s->mask) | (s->count & s->mask);
	else
		c->r[RCX] = s->count;
}

static u64
string_lin(const struct soft *c, const struct string *s, unsigned reg,
	   unsigned seg)
{
	return seg_lin(c, seg, c->r[reg] & s->mask);
}

static enum helper_result
element_read(struct soft *c, const struct string *s, unsigned reg, unsigned seg,
	     u64 *v)
{
	*v = 0;
	return seg_read(c, seg, c->r[reg] & s->mask, v, s->size, 0);
}

static enum helper_result
element_write(struct soft *c, const struct string *s, const u64 *v)
{
	return seg_write(c, SEG_ES, c->r[RDI] & s->mask, v, s->size, 0);
}

/* Elements from lin on, in the direction of the string, that share its page;
 * 0 when the first one crosses. */
static u64
page_run(const struct string *s, u64 lin)
{
	u64 at = lin & ~PAGE_MASK;

	if (at + s->size > PAGE_SIZE)
		return 0;
	return s->down ? at / s->size + 1 : (PAGE_SIZE - at) / s->size;
}

/* Whether the address registers stay put in their width for n elements. */
static u64
wrap_run(const struct soft *c, const struct string *s, unsigned reg)
{
	u64 at = c->r[reg] & s->mask;

	if (s->mask == ~0ULL)
		return ~0ULL;
	return s->down ? at / s->size + 1 : (s->mask - at) / s->size + 1;
}

/* After n elements: whether a REP with more to do lets others in first. */
static bool
pauses(struct soft *c, struct string *s, u64 n)
{
	s->done_bytes += n * s->size;
	return s->count &&
	       (s->done_bytes >= CHUNK_BYTES ||
		atomic_load_explicit(&c->exit_req, memory_order_relaxed));
}

/* What an element that went through mem_write() means for the instruction. */
static enum helper_result
after_exit(struct soft *c, const struct string *s)
{
	if (s->count)
		c->next_ip = c->ip; /* the rest after the exit */
	return HELPER_EXIT;
}

/* n elements; with overlap each must see what the last one wrote. */
static void
movs_run(u8 *d, const u8 *s, const struct string *st, u64 n)
{
	u64 bytes = n * st->size;
	s64 apart = d - s, step = st->down ? -(s64)st->size : (s64)st->size;

	if (apart >= (s64)bytes || -apart >= (s64)bytes) {
		u64 back = st->down ? bytes - st->size : 0;

		memcpy(d - back, s - back, bytes);
		return;
	}
	for (; n; n--, d += step, s += step) {
		u64 v = 0;

		memcpy(&v, s, st->size);
		memcpy(d, &v, st->size);
	}
}

enum helper_result
insn_movs(struct soft *c, const struct insn *in)
{
	struct string st;

	string_begin(c, in, &st);
	while (st.count) {
		u64 src = string_lin(c, &st, RSI, in->seg);
		u64 dst = string_lin(c, &st, RDI, SEG_ES);
		u64 n = MIN(page_run(&st, src), page_run(&st, dst));
		enum helper_result res;
		void *s, *d;

		n = MIN(n, MIN(wrap_run(c, &st, RSI), wrap_run(c, &st, RDI)));
		n = MIN(n, MIN(st.count, st.most));
		if (st.by_element)
			n = 0;
		s = n ? tlb_read(c->tlb, src, 1) : NULL;
		d = n ? tlb_write(c->tlb, dst, 1) : NULL;
		if (s && d) {
			movs_run(d, s, &st, n);
			res = HELPER_NEXT;
		} else {
			u64 v;

			n = 1;
			res = element_read(c, &st, RSI, in->seg, &v);
			if (res != HELPER_NEXT)
				return res;
			res = element_write(c, &st, &v);
			if (res != HELPER_NEXT && res != HELPER_EXIT)
				return res;
		}
		index_move(c, &st, RSI, n);
		index_move(c, &st, RDI, n);
		count_move(c, &st, n);
		if (res == HELPER_EXIT)
			return after_exit(c, &st);
		if (pauses(c, &st, n))
			return HELPER_REPEAT;
	}
	return HELPER_NEXT;
}

static void
stos_run(u8 *d, u64 v, const struct string *st, u64 n)
{
	if (st->down)
		d -= (n - 1) * st->size;
	switch (st->size) {
	case 1:
		memset(d, (int)v, n);
		break;
	case 2:
		for (u64 i = 0; i < n; i++)
			put_le16(d + 2 * i, (u16)v);
		break;
	case 4:
		for (u64 i = 0; i < n; i++)
			put_le32(d + 4 * i, (u32)v);
		break;
	default:
		if (v == 0) {
			memset(d, 0, n * 8);
			break;
		}
		for (u64 i = 0; i < n; i++)
			put_le64(d + 8 * i, v);
		break;
	}
}

enum helper_result
insn_stos(struct soft *c, const struct insn *in)
{
	struct string st;

	string_begin(c, in, &st);
	while (st.count) {
		u64 dst = string_lin(c, &st, RDI, SEG_ES);
		u64 n = MIN(page_run(&st, dst), wrap_run(c, &st, RDI));
		enum helper_result res = HELPER_NEXT;
		void *d;

		n = MIN(n, MIN(st.count, st.most));
		d = n && !st.by_element ? tlb_write(c->tlb, dst, 1) : NULL;
		if (d) {
			stos_run(d, c->r[RAX], &st, n);
		} else {
			n = 1;
			res = element_write(c, &st, &c->r[RAX]);
			if (res != HELPER_NEXT && res != HELPER_EXIT)
				return res;
		}
		index_move(c, &st, RDI, n);
		count_move(c, &st, n);
		if (res == HELPER_EXIT)
			return after_exit(c, &st);
		if (pauses(c, &st, n))
			return HELPER_REPEAT;
	}
	return HELPER_NEXT;
}

enum helper_result
insn_lods(struct soft *c, const struct insn *in)
{
	struct string st;

	string_begin(c, in, &st);
	while (st.count) {
		u64 v;
		enum helper_result res = element_read(c, &st, RSI, in->seg, &v);

		if (res != HELPER_NEXT)
			return res;
		reg_set(c, RAX, false, st.size, v);
		index_move(c, &st, RSI, 1);
		count_move(c, &st, 1);
		if (pauses(c, &st, 1))
			return HELPER_REPEAT;
	}
	return HELPER_NEXT;
}

/* CMP a, b of an element: the flags, and whether REP goes on. */
static bool
compare(struct soft *c, const struct insn *in, u64 a, u64 b)
{
	unsigned lg = (unsigned)__builtin_ctz(in->opsize);
	unsigned shift = 64 - 8u * in->opsize;

	c->cc_dst = (u64)((s64)((a - b) << shift) >> shift);
	c->cc_src = b;
	c->cc_op = CC_SUB + lg;
	return in->rep == 0xf3 ? c->cc_dst == 0 : c->cc_dst != 0;
}

enum helper_result
insn_scas(struct soft *c, const struct insn *in)
{
	struct string st;
	u64 a;

	string_begin(c, in, &st);
	a = reg_get(c, RAX, false, st.size);
	while (st.count) {
		u64 v;
		enum helper_result res = element_read(c, &st, RDI, SEG_ES, &v);
		bool more;

		if (res != HELPER_NEXT)
			return res;
		more = compare(c, in, a, v);
		index_move(c, &st, RDI, 1);
		count_move(c, &st, 1);
		if (!more)
			break;
		if (pauses(c, &st, 1))
			return HELPER_REPEAT;
	}
	return HELPER_NEXT;
}

enum helper_result
insn_cmps(struct soft *c, const struct insn *in)
{
	struct string st;

	string_begin(c, in, &st);
	while (st.count) {
		enum helper_result res;
		u64 a, b;
		bool more;

		/* AMD parts look at the second operand first. */
		res = element_read(c, &st, RDI, SEG_ES, &b);
		if (res == HELPER_NEXT)
			res = element_read(c, &st, RSI, in->seg, &a);
		if (res != HELPER_NEXT)
			return res;
		more = compare(c, in, a, b);
		index_move(c, &st, RSI, 1);
		index_move(c, &st, RDI, 1);
		count_move(c, &st, 1);
		if (!more)
			break;
		if (pauses(c, &st, 1))
			return HELPER_REPEAT;
	}
	return HELPER_NEXT;
}
