/* SPDX-License-Identifier: BSD-2-Clause */
/* ops - how uop handlers are written
 *
 * What:    shared inlines and macros of the ops_*.c files: register writes by
 *          width, lazy flag producers and consumers, memory operands with
 *          their hot and cold variants, block transitions.
 * Model:   docs/software-cpu.md.
 * Threads: the vCPU thread.
 */
#ifndef DRIVER_SOFT_OPS_H
#define DRIVER_SOFT_OPS_H

#include "driver/soft/soft_int.h"

#define COLD __attribute__((noinline, cold))

/* Guest memory is unaligned and of any type. */
typedef u8 __attribute__((may_alias)) mem_u8;
typedef u16 __attribute__((may_alias, aligned(1))) mem_u16;
typedef u32 __attribute__((may_alias, aligned(1))) mem_u32;
typedef u64 __attribute__((may_alias, aligned(1))) mem_u64;

/* The signed type of a width, and log2 of its bytes. */
#define S_u8	   s8
#define S_u16	   s16
#define S_u32	   s32
#define S_u64	   s64
#define LG_u8	   0
#define LG_u16	   1
#define LG_u32	   2
#define LG_u64	   3
#define SEXT(T, v) ((u64)(s64)(S_##T)(v))

/* Register writes: 4 bytes clear the upper half, 1 and 2 merge. Read-modify-
 * write of the whole slot keeps later 8-byte loads store-forwarded. */
#define PUT_u8(n, v)  (c->r[n] = (c->r[n] & ~0xffULL) | (u8)(v))
#define PUT_u16(n, v) (c->r[n] = (c->r[n] & ~0xffffULL) | (u16)(v))
#define PUT_u32(n, v) (c->r[n] = (u32)(v))
#define PUT_u64(n, v) (c->r[n] = (v))
#define GET(T, n)     ((T)c->r[n])

/* Lazy flag producers. */
#define CC3(opc, dst, src) \
	do { \
		c->cc_dst = (dst); \
		c->cc_src = (src); \
		c->cc_op = (opc); \
	} while (0)

/* The carry flag alone, where a stack frame does not matter. */
static inline bool
carry_get(const struct soft *c)
{
	return flags_cond(c, 2);
}

/* Comparison as the condition code sees it after CMP a, b; not for O and P. */
#define CMP_COND(T, cc, a, b) \
	((cc) == 0x2   ? (T)(a) < (T)(b) \
	 : (cc) == 0x3 ? (T)(a) >= (T)(b) \
	 : (cc) == 0x4 ? (T)(a) == (T)(b) \
	 : (cc) == 0x5 ? (T)(a) != (T)(b) \
	 : (cc) == 0x6 ? (T)(a) <= (T)(b) \
	 : (cc) == 0x7 ? (T)(a) > (T)(b) \
	 : (cc) == 0x8 ? (S_##T)((T)(a) - (T)(b)) < 0 \
	 : (cc) == 0x9 ? (S_##T)((T)(a) - (T)(b)) >= 0 \
	 : (cc) == 0xc ? (S_##T)(a) < (S_##T)(b) \
	 : (cc) == 0xd ? (S_##T)(a) >= (S_##T)(b) \
	 : (cc) == 0xe ? (S_##T)(a) <= (S_##T)(b) \
		       : (S_##T)(a) > (S_##T)(b))

/* ... and after TEST, AND, OR, XOR with result r: CF = OF = 0. */
#define LOGIC_COND(T, cc, r) \
	((cc) == 0x0 || (cc) == 0x2   ? false \
	 : (cc) == 0x1 || (cc) == 0x3 ? true \
	 : (cc) == 0x4 || (cc) == 0x6 ? (T)(r) == 0 \
	 : (cc) == 0x5 || (cc) == 0x7 ? (T)(r) != 0 \
	 : (cc) == 0x8 || (cc) == 0xc ? (S_##T)(r) < 0 \
	 : (cc) == 0x9 || (cc) == 0xd ? (S_##T)(r) >= 0 \
	 : (cc) == 0xe		      ? (S_##T)(r) <= 0 \
				      : (S_##T)(r) > 0)

/* M for each condition code; for those that a compare fuses with. */
/* clang-format off */
#define CONDS(M) \
	M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) \
	M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)
#define FUSED_CONDS(M, T) \
	M(2, T) M(3, T) M(4, T) M(5, T) M(6, T) M(7, T) \
	M(8, T) M(9, T) M(12, T) M(13, T) M(14, T) M(15, T)
/* clang-format on */

/* Puts the lazy flags in place, then runs op again: handlers that read flags
 * know the common producers and tail-call this for the rest, so that none of
 * them needs a stack frame. */
UOP(op_settle);

/* A condition over flags that are in place. */
static inline __attribute__((always_inline)) bool
cond_settled(const struct soft *c, unsigned cc)
{
	u64 fl = c->cc_src;
	bool less = !(fl & FL_SF) != !(fl & FL_OF);
	bool yes = cc < 2    ? fl & FL_OF
		   : cc < 4  ? fl & FL_CF
		   : cc < 6  ? fl & FL_ZF
		   : cc < 8  ? fl & (FL_CF | FL_ZF)
		   : cc < 10 ? fl & FL_SF
		   : cc < 12 ? fl & FL_PF
		   : cc < 14 ? less
			     : less || (fl & FL_ZF);

	return yes != (cc & 1);
}

/* out = condition cc (a constant) over whatever set the flags last. */
#define COND(cc, out) \
	bool out; \
	if (c->cc_op == CC_EFLAGS) \
		out = cond_settled(c, cc); \
	else if ((cc) == 4 || (cc) == 5) \
		out = (c->cc_dst == 0) == ((cc) == 4); \
	else if ((cc) == 8 || (cc) == 9) \
		out = ((s64)c->cc_dst < 0) == ((cc) == 8); \
	else if ((cc) < 2 || (cc) == 10 || (cc) == 11) \
		TAIL op_settle(c, op, base, tlb); \
	else if (c->cc_op == CC_SUB + 3) \
		out = CMP_COND(u64, cc, c->cc_dst + c->cc_src, c->cc_src); \
	else if (c->cc_op == CC_SUB + 2) \
		out = CMP_COND(u32, cc, c->cc_dst + c->cc_src, c->cc_src); \
	else if (c->cc_op == CC_LOGIC) \
		out = LOGIC_COND(u64, cc, c->cc_dst); \
	else \
		TAIL op_settle(c, op, base, tlb);

/* out = the carry flag, likewise. */
#define CARRY(out) \
	bool out; \
	if (c->cc_op == CC_SUB + 3) \
		out = c->cc_dst + c->cc_src < c->cc_src; \
	else if (c->cc_op == CC_SUB + 2) \
		out = (u32)(c->cc_dst + c->cc_src) < (u32)c->cc_src; \
	else if (c->cc_op == CC_LOGIC) \
		out = false; \
	else if (c->cc_op == CC_ADD + 3) \
		out = c->cc_dst < c->cc_src; \
	else if (c->cc_op >= CC_INC) \
		out = c->cc_src; \
	else if (c->cc_op == CC_EFLAGS) \
		out = c->cc_src & FL_CF; \
	else \
		TAIL op_settle(c, op, base, tlb);

/* --- memory operands -------------------------------------------------- */

#define EA_B (c->r[op->base] + (u64)(s64)op->disp)
#define EA_X \
	(c->r[op->base] + (c->r[op->index] << op->scale) + (u64)(s64)op->disp)
#define SS_OF \
	(op->base == TMPA		      ? c->tmpa_acc \
	 : op->base == RSP || op->base == RBP ? ACC_SS \
					      : 0)

/* After a write through mem_slow(): commits. False when the loop must be left
 * (return NULL), because the write became an exit or dropped the running
 * block. The write must be the last thing its instruction does. */
bool soft_stored(struct soft *c, struct uop *op, void *p);

/* A handler over one memory operand *p of type T at EA: a hot variant through
 * the TLB and a cold one through mem_slow(), made of the same body. */
#define UOP_LOAD(name, T, EA, ...) \
	static COLD UOP(name##_cold) \
	{ \
		mem_##T *p = mem_slow(c, EA, sizeof(T), ACC_READ | SS_OF); \
\
		if (!p) \
			return soft_fault(c, op); \
		__VA_ARGS__ NEXT; \
	} \
	static UOP(name) \
	{ \
		mem_##T *p = tlb_read(tlb, EA, sizeof(T)); \
\
		if (unlikely(!p)) \
			TAIL name##_cold(c, op, base, tlb); \
		__VA_ARGS__ NEXT; \
	}

#define UOP_STORE_ACC(name, T, EA, ACC, ...) \
	static COLD UOP(name##_cold) \
	{ \
		mem_##T *p = mem_slow(c, EA, sizeof(T), (ACC) | SS_OF); \
\
		if (!p) \
			return soft_fault(c, op); \
		__VA_ARGS__ if (!soft_stored(c, op, p)) return NULL; \
		NEXT; \
	} \
	static UOP(name) \
	{ \
		mem_##T *p = tlb_write(tlb, EA, sizeof(T)); \
\
		if (unlikely(!p)) \
			TAIL name##_cold(c, op, base, tlb); \
		__VA_ARGS__ NEXT; \
	}
#define UOP_STORE(name, T, EA, ...) \
	UOP_STORE_ACC(name, T, EA, ACC_WRITE, __VA_ARGS__)
#define UOP_RMW(name, T, EA, ...) \
	UOP_STORE_ACC(name, T, EA, ACC_RMW, __VA_ARGS__)

/* --- block transitions ------------------------------------------------ */

/* r[RIPB] is the block's linear address already. */
struct uop *soft_stop(struct soft *c, struct block *b);

#define ENTER_BLOCK(b_) \
	do { \
		struct block *enter_ = (b_); \
\
		c->blk = enter_; \
		c->budget -= enter_->n_insn; \
		if (unlikely(c->budget < 0 || \
			     atomic_load_explicit(&c->exit_req, \
						  memory_order_relaxed))) \
			return soft_stop(c, enter_); \
		GOTO_UOP(enter_->uop); \
	} while (0)

/* Resolves the link in slot op (r[RIPB] is the target), then goes there. */
UOP(op_link_slow);
/* Looks r[RIPB] up in the jump cache and further, then goes there. */
UOP(op_find_slow);

/* A link holds while its generation does. One that leads to another page was
 * made for one linear address, and its block may be mapped at several. */
#define FOLLOW(l_) \
	do { \
		struct link *follow_ = (struct link *)(l_); \
\
		if (unlikely(follow_->gen != c->code_gen[follow_->kind] || \
			     (follow_->kind != GEN_PAGE && \
			      follow_->blk->lin != c->r[RIPB]))) \
			TAIL op_link_slow(c, (struct uop *)follow_, base, \
					  tlb); \
		ENTER_BLOCK(follow_->blk); \
	} while (0)

#define JUMP_BITS 16
#define JUMP_SIZE (1U << JUMP_BITS)

static inline struct jump_entry *
jump_slot(struct soft *c, u64 lin)
{
	return &c->jump[(lin ^ (lin >> JUMP_BITS)) & (JUMP_SIZE - 1)];
}

/* Finds the block at lin by code_find() and remembers it there. */
struct block *jump_fill(struct soft *c, u64 lin);

#define JUMP_TO(lin_) \
	do { \
		u64 to_ = (lin_); \
		struct jump_entry *je_ = jump_slot(c, to_); \
\
		c->r[RIPB] = to_; \
		if (unlikely(je_->lin != to_ || je_->mode != c->mode || \
			     je_->gen != c->code_gen[to_ >> 63])) \
			TAIL op_find_slow(c, op, base, tlb); \
		ENTER_BLOCK(je_->blk); \
	} while (0)

#endif
