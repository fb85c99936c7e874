/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/ops_flow.h"

#include "driver/soft/code_int.h"

/* Anchor of handler offsets; also a uop that no block may reach. */
UOP(soft_base)
{
	(void)op;
	(void)base;
	(void)tlb;
	(void)c;
	assert(!"an empty uop was run");
	return NULL;
}

/* --- leaving the loop ------------------------------------------------- */

/* Where the instruction of this uop starts and ends, from the block's start. */
static u64
uop_start(const struct block *b, const struct uop *op)
{
	return b->off[op - b->uop];
}

static u64
uop_end(const struct block *b, const struct uop *op)
{
	unsigned i = (unsigned)(op - b->uop);
	u16 start = b->off[i];

	while (i < b->n_uop && b->off[i] == start)
		i++;
	return i < b->n_uop ? b->off[i] : b->bytes;
}

/* Instructions of the running block from the one of this uop on. */
static unsigned
insns_from(const struct block *b, const struct uop *op)
{
	unsigned n = 1;

	for (unsigned i = (unsigned)(op - b->uop) + 1; i < b->n_uop; i++)
		n += b->off[i] != b->off[i - 1] && b->off[i] < b->bytes;
	return n;
}

static u64
to_ip(const struct soft *c, u64 lin)
{
	return c->mode & MODE_64 ? lin : (u32)(lin - c->cs_base);
}

struct uop *
soft_fault(struct soft *c, struct uop *op)
{
	c->ip = to_ip(c, c->r[RIPB] + uop_start(c->blk, op));
	c->budget += insns_from(c->blk, op);
	if (c->exc.valid)
		c->leave = LEAVE_FAULT;
	else
		assert(c->leave == LEAVE_RETRY);
	return NULL;
}

/* Leaves after the instruction of op, which is complete. */
static void
leave_after(struct soft *c, struct uop *op, enum leave why)
{
	c->next_ip = to_ip(c, c->r[RIPB] + uop_end(c->blk, op));
	c->budget += insns_from(c->blk, op) - 1;
	c->leave = why;
}

bool
soft_stored(struct soft *c, struct uop *op, void *p)
{
	if (p == c->bounce.data && !mem_commit(c))
		leave_after(c, op, LEAVE_DONE);
	else if (c->smc_hit)
		leave_after(c, op, LEAVE_JUMP);
	else
		return true;
	return false;
}

struct uop *
soft_stop(struct soft *c, struct block *b)
{
	c->budget += b->n_insn;
	c->next_ip = to_ip(c, c->r[RIPB]);
	c->leave = LEAVE_JUMP;
	return NULL;
}

COLD
UOP(op_settle)
{
	flags_set_arith(c, flags_arith(c));
	TAIL UOP_FN(op)(c, op, base, tlb);
}

/* --- links ------------------------------------------------------------ */

/* Fetching the target failed: the fault is the target's. */
static struct uop *
target_fault(struct soft *c)
{
	c->next_ip = c->ip = to_ip(c, c->r[RIPB]);
	if (c->mode & MODE_STEP) {
		/* The trap after the jump comes first. */
		c->exc.valid = false;
		c->leave = LEAVE_JUMP;
	} else {
		c->leave = LEAVE_FAULT;
	}
	return NULL;
}

COLD
UOP(op_link_slow)
{
	struct link *l = (struct link *)op;
	u64 lin = c->r[RIPB], flushes = c->st.flushes;
	bool same_page = l->kind == GEN_PAGE, wraps = false;
	struct block *b;

	if (!(c->mode & MODE_64) && lin >> 32) {
		c->r[RIPB] = lin = (u32)lin;
		wraps = true;
	}
	b = code_find(c, lin);
	if (!b)
		return target_fault(c);
	/* A link in a block that was dropped or flushed meanwhile is not ours
	 * to write; a straddling target depends on a second page. */
	if (flushes == c->st.flushes && !wraps &&
	    !(same_page && b->gpa2 != GPA_NONE)) {
		l->blk = b;
		l->gen = c->code_gen[l->kind];
	}
	ENTER_BLOCK(b);
}

struct block *
jump_fill(struct soft *c, u64 lin)
{
	struct block *b = code_find(c, lin);
	struct jump_entry *je = jump_slot(c, lin);

	if (b)
		*je = (struct jump_entry){.lin = lin,
					  .blk = b,
					  .mode = c->mode,
					  .gen = c->code_gen[lin >> 63]};
	return b;
}

COLD
UOP(op_find_slow)
{
	struct block *b = jump_fill(c, c->r[RIPB]);

	(void)op;
	if (!b)
		return target_fault(c);
	ENTER_BLOCK(b);
}

COLD
UOP(op_dead)
{
	c->budget += c->blk->n_insn;
	TAIL op_find_slow(c, op, base, tlb);
}

/* --- jumps ------------------------------------------------------------ */

UOP(jmp)
{
	c->r[RIPB] += (u64)(s64)op->disp;
	FOLLOW(op + 1);
}

#define BRANCH(yes) \
	do { \
		if (yes) { \
			c->r[RIPB] += (u64)(s64)op->disp; \
			FOLLOW(op + 1); \
		} else { \
			c->r[RIPB] += ((struct link *)(op + 2))->delta; \
			FOLLOW(op + 2); \
		} \
	} while (0)

#define JCC(n) \
	static UOP(jcc_##n) \
	{ \
		COND(n, yes) \
		BRANCH(yes); \
	}
CONDS(JCC)
#define JCC_NAME(n) jcc_##n,
const uop_fn jcc[16] = {CONDS(JCC_NAME)};

#define FUSE(n, T) \
	static UOP(cmp_jcc_rr_##n##_##T) \
	{ \
		T a = GET(T, op->reg), b = GET(T, op->base); \
\
		CC3(CC_SUB + LG_##T, SEXT(T, a - b), b); \
		BRANCH(CMP_COND(T, n, a, b)); \
	} \
	static UOP(cmp_jcc_ri_##n##_##T) \
	{ \
		T a = GET(T, op->reg), b = (T)op->imm; \
\
		CC3(CC_SUB + LG_##T, SEXT(T, a - b), b); \
		BRANCH(CMP_COND(T, n, a, b)); \
	} \
	static UOP(test_jcc_rr_##n##_##T) \
	{ \
		T v = GET(T, op->reg) & GET(T, op->base); \
\
		c->cc_dst = SEXT(T, v); \
		c->cc_op = CC_LOGIC; \
		BRANCH(LOGIC_COND(T, n, v)); \
	} \
	static UOP(test_jcc_ri_##n##_##T) \
	{ \
		T v = GET(T, op->reg) & (T)op->imm; \
\
		c->cc_dst = SEXT(T, v); \
		c->cc_op = CC_LOGIC; \
		BRANCH(LOGIC_COND(T, n, v)); \
	}
FUSED_CONDS(FUSE, u8)
FUSED_CONDS(FUSE, u32)
FUSED_CONDS(FUSE, u64)

#define FUSED_ROW(F, T) \
	{ \
		NULL, NULL, F##_2_##T, F##_3_##T, F##_4_##T, F##_5_##T, \
		    F##_6_##T, F##_7_##T, F##_8_##T, F##_9_##T, NULL, NULL, \
		    F##_12_##T, F##_13_##T, F##_14_##T, F##_15_##T \
	}
#define FUSED_TABLE(F) \
	const uop_fn F[4][16] = {FUSED_ROW(F, u8), \
				 {NULL}, \
				 FUSED_ROW(F, u32), \
				 FUSED_ROW(F, u64)}
FUSED_TABLE(cmp_jcc_rr);
FUSED_TABLE(cmp_jcc_ri);
FUSED_TABLE(test_jcc_rr);
FUSED_TABLE(test_jcc_ri);

/* LOOPcc and JrCXZ: rCX is imm bytes wide (the address size). */
static u64
count_get(const struct soft *c, const struct uop *op)
{
	return op->imm == 8   ? c->r[RCX]
	       : op->imm == 4 ? (u32)c->r[RCX]
			      : (u16)c->r[RCX];
}

static u64
count_down(struct soft *c, const struct uop *op)
{
	u64 n = count_get(c, op) - 1;

	if (op->imm == 8)
		c->r[RCX] = n;
	else if (op->imm == 4)
		c->r[RCX] = (u32)n;
	else
		PUT_u16(RCX, n);
	return count_get(c, op);
}

static UOP(loopne)
{
	bool zero = flags_cond(c, 4);
	bool more = count_down(c, op) != 0;

	BRANCH(more && !zero);
}

static UOP(loope)
{
	bool zero = flags_cond(c, 4);
	bool more = count_down(c, op) != 0;

	BRANCH(more && zero);
}

static UOP(loop)
{
	BRANCH(count_down(c, op) != 0);
}

static UOP(jrcxz)
{
	BRANCH(count_get(c, op) == 0);
}

const uop_fn loop_ops[4] = {loopne, loope, loop, jrcxz};

/* --- calls and returns ------------------------------------------------ */

static inline void
ras_push(struct soft *c, u64 lin, struct link *l)
{
	struct ras_entry *e = &c->ras_now[c->ras_top++ & (RAS_SIZE - 1)];

	e->lin = lin;
	e->link = l;
}

/* A push that reached a device or dropped the running block: the call is done
 * but for its jump. */
static struct uop *
call_leave(struct soft *c, struct uop *op, void *p, u64 target)
{
	bool out = p == c->bounce.data && !mem_commit(c);

	c->budget += insns_from(c->blk, op) - 1;
	c->next_ip = target;
	c->leave = out ? LEAVE_DONE : LEAVE_JUMP;
	return NULL;
}

static COLD
UOP(call_rel_cold)
{
	u64 lin = c->r[RSP] - 8;
	mem_u64 *p = mem_slow(c, lin, 8, ACC_WRITE | ACC_SS);

	if (!p)
		return soft_fault(c, op);
	*p = c->r[RIPB] + ((struct link *)(op + 2))->delta;
	c->r[RSP] = lin;
	ras_push(c, *p, (struct link *)(op + 2));
	(void)base;
	(void)tlb;
	return call_leave(c, op, p, c->r[RIPB] + (u64)(s64)op->disp);
}

UOP(call_rel)
{
	struct link *l = (struct link *)(op + 2);
	u64 next = c->r[RIPB] + l->delta, lin = c->r[RSP] - 8;
	mem_u64 *p = tlb_write(tlb, lin, 8);

	if (unlikely(!p))
		TAIL call_rel_cold(c, op, base, tlb);
	*p = next;
	c->r[RSP] = lin;
	ras_push(c, next, l);
	c->r[RIPB] += (u64)(s64)op->disp;
	FOLLOW(op + 1);
}

static COLD
UOP(bad_target)
{
	(void)base;
	(void)tlb;
	soft_raise_error(c, EXC_GP, 0);
	return soft_fault(c, op);
}

static COLD
UOP(call_r_cold)
{
	u64 lin = c->r[RSP] - 8, target = c->r[op->reg];
	mem_u64 *p = mem_slow(c, lin, 8, ACC_WRITE | ACC_SS);

	if (!p)
		return soft_fault(c, op);
	if (!is_canonical(target))
		TAIL bad_target(c, op, base, tlb);
	*p = c->r[RIPB] + ((struct link *)(op + 1))->delta;
	c->r[RSP] = lin;
	ras_push(c, *p, (struct link *)(op + 1));
	return call_leave(c, op, p, target);
}

UOP(call_r)
{
	struct link *l = (struct link *)(op + 1);
	u64 next = c->r[RIPB] + l->delta, lin = c->r[RSP] - 8;
	u64 target = c->r[op->reg];
	mem_u64 *p = tlb_write(tlb, lin, 8);

	if (unlikely(!p))
		TAIL call_r_cold(c, op, base, tlb);
	if (unlikely(!is_canonical(target)))
		TAIL bad_target(c, op, base, tlb);
	*p = next;
	c->r[RSP] = lin;
	ras_push(c, next, l);
	JUMP_TO(target);
}

UOP(jmp_r)
{
	u64 target = c->r[op->reg];

	if (unlikely(!is_canonical(target)))
		TAIL bad_target(c, op, base, tlb);
	JUMP_TO(target);
}

static COLD
UOP(ret_cold)
{
	mem_u64 *p = mem_slow(c, c->r[RSP], 8, ACC_READ | ACC_SS);
	u64 target;

	if (!p)
		return soft_fault(c, op);
	target = *p;
	if (!is_canonical(target))
		TAIL bad_target(c, op, base, tlb);
	c->r[RSP] += 8 + (u64)(u32)op->imm;
	c->ras_top--;
	JUMP_TO(target);
}

UOP(ret)
{
	mem_u64 *p = tlb_read(tlb, c->r[RSP], 8);
	struct ras_entry *e;
	u64 target;

	if (unlikely(!p))
		TAIL ret_cold(c, op, base, tlb);
	target = *p;
	if (unlikely(!is_canonical(target)))
		TAIL bad_target(c, op, base, tlb);
	c->r[RSP] += 8 + (u64)(u32)op->imm;
	e = &c->ras_now[--c->ras_top & (RAS_SIZE - 1)];
	if (likely(e->lin == target)) {
		c->r[RIPB] = target;
		FOLLOW(e->link);
	}
	JUMP_TO(target);
}

/* --- insn helpers ----------------------------------------------------- */

static struct insn *
helper_insn(const struct uop *op)
{
	return (struct insn *)(uintptr_t)((u32)op->disp | (u64)(u32)op->imm
							      << 32);
}

UOP(op_helper)
{
	struct insn *in = helper_insn(op);
	enum helper_result res;

	c->ip = to_ip(c, c->r[RIPB] + in->off);
	c->next_ip = to_ip(c, c->r[RIPB] + in->off + in->len);
	res = in->fn(c, in);
	if (likely(res == HELPER_NEXT && !c->smc_hit))
		NEXT;
	switch (res) {
	case HELPER_FAULT:
		c->leave = LEAVE_FAULT;
		break;
	case HELPER_RETRY:
		c->leave = LEAVE_RETRY;
		break;
	case HELPER_REPEAT:
		c->leave = LEAVE_REPEAT;
		break;
	case HELPER_EXIT:
		c->leave = LEAVE_DONE;
		break;
	default:
		c->leave = LEAVE_JUMP;
		break;
	}
	/* c->blk is NULL after a flush of the whole cache: the instruction
	 * was then the last of its block (only those flush). */
	if (c->blk) {
		unsigned left = insns_from(c->blk, op);
		bool done = c->leave == LEAVE_JUMP || c->leave == LEAVE_DONE;

		c->budget += left - done;
	}
	return NULL;
}
