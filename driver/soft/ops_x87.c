/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/ops_x87.h"

#include "driver/soft/fpu.h"
#include "driver/soft/stub.h"

#define LIVE (c->fx_live & FX_LIVE_X87)

UOP(x87_check)
{
	if (unlikely(c->cr0 & (CR0_EM | CR0_TS))) {
		soft_raise(c, EXC_NM);
		return soft_fault(c, op);
	}
	NEXT;
}

UOP(x87_wait)
{
	if (unlikely((c->cr0 & CR0_MP) && (c->cr0 & CR0_TS))) {
		soft_raise(c, EXC_NM);
		return soft_fault(c, op);
	}
	TAIL x87_pending(c, op, base, tlb);
}

UOP(x87_pending)
{
	if (unlikely(fpu_pending(c))) {
		soft_raise(c, EXC_MF);
		return soft_fault(c, op);
	}
	NEXT;
}

/* --- computing -------------------------------------------------------- */

static u16
fcw(const struct soft *c)
{
	return get_le16(c->fx + FX_FCW);
}

/* Before an instruction while x87 is not live: makes it live if the guest
 * masks all exceptions. False: #MF. */
static COLD bool
enter(struct soft *c)
{
	if (fpu_pending(c)) {
		soft_raise(c, EXC_MF);
		return false;
	}
	if ((fcw(c) & FCW_EXCEPT) == FCW_EXCEPT)
		fpu_x87_in(c);
	return true;
}

#define READY() \
	if (unlikely(!LIVE) && !enter(c)) \
	return soft_fault(c, op)

/* Runs the stub. Exceptions that the guest does not mask stay pending in FSW:
 * then the host must be rid of its copy before it meets a waiting
 * instruction, which FXSAVE and FNINIT in fpu_x87_out() are not. */
static COLD u64
run_unmasked(struct soft *c, s32 stub, void *mem, u64 flags)
{
	u64 result;

	fpu_x87_in(c);
	result = stub_call_x87(stub, mem, flags);
	fpu_x87_out(c);
	return result;
}

static inline u64
run(struct soft *c, s32 stub, void *mem, u64 flags)
{
	if (likely(LIVE))
		return stub_call_x87(stub, mem, flags);
	return run_unmasked(c, stub, mem, flags);
}

/* FOP, FIP and CS of the instruction that is about to run. */
static inline unsigned
note_insn(struct soft *c, const struct uop *op)
{
	unsigned fop = (u32)op->imm & 0x7ff;

	c->x87.op = (u16)fop;
	c->x87.ip = c->r[RIPB] + ((u32)op->imm >> 11 & 0xfff) - c->cs_base;
	c->x87.cs = c->seg[SEG_CS].sel;
	return fop;
}

static inline void
note_operand(struct soft *c, const struct uop *op, u64 lin)
{
	unsigned seg = (u32)op->imm >> 23;

	c->x87.dp = lin - c->seg_base[seg];
	if (unlikely(!(c->mode & MODE_64)))
		c->x87.dp = (u32)c->x87.dp;
	c->x87.ds = c->seg[seg].sel;
}

UOP(x87_rr)
{
	READY();
	run(c, stub_x87_reg(note_insn(c, op)), NULL, 0);
	NEXT;
}

/* The guest's flags as the host may have them. */
#define HOST_FLAGS (flags_arith(c) | FL_ONE | FL_IF)

UOP(x87_cmov)
{
	READY();
	run(c, stub_x87_reg(note_insn(c, op)), NULL, HOST_FLAGS);
	NEXT;
}

UOP(x87_comi)
{
	u64 fl;

	READY();
	fl = run(c, stub_x87_reg(note_insn(c, op)), NULL, HOST_FLAGS);
	flags_set_arith(c, fl);
	NEXT;
}

/* With unmasked exceptions a store may be suppressed: then the operand is
 * read, too, so that what mem_slow() wants committed is what was there. */
#define STORE_ACC (LIVE ? ACC_WRITE : ACC_RMW)

/* Ten bytes are accessed as eight and two, which shows where the two are
 * beyond the canonical addresses and the eight cause a page fault. */
static COLD void *
operand_slow(struct soft *c, u64 lin, unsigned bytes, unsigned acc)
{
	if (bytes == 10 && (fpu_misaligned(c, lin, 8) ||
			    mem_probe(c, lin, 8, acc) != HELPER_NEXT))
		return NULL;
	return mem_slow(c, lin, bytes, acc);
}

UOP(x87_probe)
{
	u64 lin = EA_X;

	if (fpu_misaligned(c, lin, 8) ||
	    mem_probe(c, lin, 8, (unsigned)op->imm | SS_OF) != HELPER_NEXT)
		return soft_fault(c, op);
	NEXT;
}

#define X87_MEM(name, BYTES, FIND, ACC, AFTER) \
	static COLD UOP(name##_cold) \
	{ \
		u64 lin = EA_X; \
		void *p = operand_slow(c, lin, BYTES, (ACC) | SS_OF); \
\
		if (!p) \
			return soft_fault(c, op); \
		note_operand(c, op, lin); \
		run(c, stub_x87_mem(note_insn(c, op)), p, 0); \
		AFTER NEXT; \
	} \
	static UOP(name) \
	{ \
		u64 lin = EA_X; \
		void *p; \
\
		READY(); \
		p = FIND(tlb, lin, BYTES); \
		if (unlikely(!p)) \
			TAIL name##_cold(c, op, base, tlb); \
		note_operand(c, op, lin); \
		run(c, stub_x87_mem(note_insn(c, op)), p, 0); \
		NEXT; \
	}
#define STORED \
	if (!soft_stored(c, op, p)) \
		return NULL;
#define X87_LOAD(BYTES) X87_MEM(load##BYTES, BYTES, tlb_read, ACC_READ, )
#define X87_STORE(BYTES) \
	X87_MEM(store##BYTES, BYTES, tlb_write, STORE_ACC, STORED)
X87_LOAD(2)
X87_LOAD(4)
X87_LOAD(8)
X87_LOAD(10)
X87_STORE(2)
X87_STORE(4)
X87_STORE(8)
X87_STORE(10)

const uop_fn x87_load[4] = {load2, load4, load8, load10};
const uop_fn x87_store[4] = {store2, store4, store8, store10};

/* --- control ---------------------------------------------------------- */

/* FCW in c->fx is current even while x87 is live: only FLDCW changes it. */
UOP(x87_get_cw)
{
	c->r[TMPB] = fcw(c);
	NEXT;
}

UOP(x87_set_cw)
{
	u16 v = ((u16)c->r[TMPB] & FCW_WRITABLE) | FCW_ONE;

	if (LIVE && (v & FCW_EXCEPT) == FCW_EXCEPT) {
		/* from c->fx: a local's address would cost the tail call */
		put_le16(c->fx + FX_FCW, v);
		__asm__ volatile("fldcw %0" : : "m"(c->fx[FX_FCW]) : "memory");
	} else {
		fpu_x87_out(c);
		put_le16(c->fx + FX_FCW, v);
		fpu_settle(c);
	}
	NEXT;
}

static inline u16
fsw(const struct soft *c)
{
	u16 v = get_le16(c->fx + FX_FSW);

	if (LIVE)
		__asm__ volatile("fnstsw %0" : "=a"(v));
	return v;
}

UOP(x87_get_sw)
{
	c->r[TMPB] = fsw(c);
	NEXT;
}

UOP(x87_sw_ax)
{
	PUT_u16(RAX, fsw(c));
	NEXT;
}

UOP(x87_clex)
{
	if (LIVE) {
		__asm__ volatile("fnclex");
	} else {
		put_le16(c->fx + FX_FSW, fsw(c) & FSW_KEPT_BY_FNCLEX);
		fpu_settle(c);
	}
	NEXT;
}

UOP(x87_init)
{
	fpu_init(c);
	NEXT;
}

/* --- environments ----------------------------------------------------- */

#define ENV16_BYTES 14
#define ENV32_BYTES 28
#define ENV_MAX	    ENV32_BYTES
#define REG_BYTES   10
#define REGS_BYTES  (8 * REG_BYTES)

static unsigned
env_bytes(const struct insn *in)
{
	return in->opsize == 2 ? ENV16_BYTES : ENV32_BYTES;
}

/* Whether an image of that size can be accessed. Its first word and its last
 * byte are asked for, in this order. */
static enum helper_result
env_probe(struct soft *c, const struct insn *in, unsigned bytes, unsigned acc)
{
	unsigned width = in->opsize == 2 ? 2 : 4;
	enum helper_result r;

	if (!insn_check(c, in, 0, width, acc) ||
	    fpu_misaligned(c, insn_lin(c, in, 0), width))
		return HELPER_FAULT;
	r = insn_probe(c, in, 0, width, acc);
	if (r == HELPER_NEXT)
		r = insn_probe(c, in, bytes - 1, 1, acc);
	return r;
}

/* Parts that are too big to become exits. */
static enum helper_result
image_read(struct soft *c, const struct insn *in, unsigned off, u8 *buf,
	   unsigned bytes)
{
	return insn_read(c, in, off, buf, bytes, ACC_ANY);
}

static enum helper_result
image_write(struct soft *c, const struct insn *in, unsigned off, const u8 *buf,
	    unsigned bytes)
{
	return insn_write(c, in, off, buf, bytes, ACC_ANY);
}

/* SDM 1 8.1.7: valid 0, zero 1, special 2, empty 3. */
static unsigned
tag_of(const u8 *st)
{
	unsigned exponent = get_le16(st + 8) & 0x7fff;
	u64 mantissa = get_le64(st);

	if (exponent == 0 && mantissa == 0)
		return 1;
	if (exponent == 0 || exponent == 0x7fff || !(mantissa >> 63))
		return 2;
	return 0;
}

static u16
tag_word(const struct soft *c)
{
	unsigned top = get_le16(c->fx + FX_FSW) >> FSW_TOP_SHIFT & 7;
	u16 tags = 0;

	for (unsigned i = 0; i < 8; i++) {
		unsigned tag = 3;

		if (c->fx[FX_FTW] >> i & 1)
			tag = tag_of(c->fx + FX_ST((i - top) & 7));
		tags |= (u16)(tag << 2 * i);
	}
	return tags;
}

/* Protected-mode formats, SDM 1 figures 8-9 and 8-11. */
static void
env_make(const struct soft *c, u8 *env, unsigned bytes)
{
	const u16 word[3] = {fcw(c), get_le16(c->fx + FX_FSW), tag_word(c)};
	unsigned width = bytes == ENV16_BYTES ? 2 : 4;

	memset(env, 0xff, bytes);
	for (unsigned i = 0; i < 3; i++)
		put_le16(env + i * width, word[i]);
	if (width == 2) {
		put_le16(env + 6, (u16)c->x87.ip);
		put_le16(env + 8, c->x87.cs);
		put_le16(env + 10, (u16)c->x87.dp);
		put_le16(env + 12, c->x87.ds);
		return;
	}
	put_le32(env + 12, (u32)c->x87.ip);
	put_le32(env + 16, c->x87.cs | (u32)c->x87.op << 16);
	put_le32(env + 20, (u32)c->x87.dp);
	put_le16(env + 24, c->x87.ds);
}

static void
env_take(struct soft *c, const u8 *env, unsigned bytes)
{
	unsigned width = bytes == ENV16_BYTES ? 2 : 4;
	u16 sw = get_le16(env + width), tags = get_le16(env + 2 * width);
	u8 full = 0;

	fpu_set_top(c, sw >> FSW_TOP_SHIFT & 7);
	for (unsigned i = 0; i < 8; i++)
		if ((tags >> 2 * i & 3) != 3)
			full |= (u8)(1u << i);
	c->fx[FX_FTW] = full;
	put_le16(c->fx + FX_FCW, (get_le16(env) & FCW_WRITABLE) | FCW_ONE);
	put_le16(c->fx + FX_FSW, sw);
	if (width == 2) {
		c->x87.ip = get_le16(env + 6);
		c->x87.cs = get_le16(env + 8);
		c->x87.dp = get_le16(env + 10);
		c->x87.ds = get_le16(env + 12);
		c->x87.op = 0;
	} else {
		c->x87.ip = get_le32(env + 12);
		c->x87.cs = get_le16(env + 16);
		c->x87.op = get_le16(env + 18) & 0x7ff;
		c->x87.dp = get_le32(env + 20);
		c->x87.ds = get_le16(env + 24);
	}
	fpu_settle(c);
}

enum helper_result
x87_fnstenv(struct soft *c, const struct insn *in)
{
	unsigned bytes = env_bytes(in);
	enum helper_result r;
	u8 env[ENV_MAX];

	r = env_probe(c, in, bytes, ACC_WRITE);
	if (r != HELPER_NEXT)
		return r;
	fpu_x87_out(c);
	env_make(c, env, bytes);
	r = image_write(c, in, 0, env, bytes);
	if (r != HELPER_NEXT && r != HELPER_EXIT)
		return r;
	put_le16(c->fx + FX_FCW, fcw(c) | FCW_EXCEPT);
	fpu_settle(c);
	return r;
}

enum helper_result
x87_fldenv(struct soft *c, const struct insn *in)
{
	unsigned bytes = env_bytes(in);
	enum helper_result r;
	u8 env[ENV_MAX];

	r = env_probe(c, in, bytes, ACC_READ);
	if (r == HELPER_NEXT)
		r = image_read(c, in, 0, env, bytes);
	if (r != HELPER_NEXT)
		return r;
	fpu_x87_out(c);
	env_take(c, env, bytes);
	return HELPER_NEXT;
}

enum helper_result
x87_fnsave(struct soft *c, const struct insn *in)
{
	unsigned bytes = env_bytes(in), half = REGS_BYTES / 2;
	u8 env[ENV_MAX], regs[REGS_BYTES];
	enum helper_result r;

	r = env_probe(c, in, bytes + REGS_BYTES, ACC_WRITE);
	if (r != HELPER_NEXT)
		return r;
	fpu_x87_out(c);
	env_make(c, env, bytes);
	for (unsigned i = 0; i < 8; i++)
		memcpy(regs + REG_BYTES * i, c->fx + FX_ST(i), REG_BYTES);
	r = image_write(c, in, 0, env, bytes);
	if (r == HELPER_NEXT)
		r = image_write(c, in, bytes, regs, half);
	if (r == HELPER_NEXT)
		r = image_write(c, in, bytes + half, regs + half, half);
	if (r == HELPER_NEXT || r == HELPER_EXIT)
		fpu_init(c);
	return r;
}

enum helper_result
x87_frstor(struct soft *c, const struct insn *in)
{
	unsigned bytes = env_bytes(in), half = REGS_BYTES / 2;
	u8 env[ENV_MAX], regs[REGS_BYTES];
	enum helper_result r;

	r = env_probe(c, in, bytes + REGS_BYTES, ACC_READ);
	if (r == HELPER_NEXT)
		r = image_read(c, in, 0, env, bytes);
	if (r == HELPER_NEXT)
		r = image_read(c, in, bytes, regs, half);
	if (r == HELPER_NEXT)
		r = image_read(c, in, bytes + half, regs + half, half);
	if (r != HELPER_NEXT)
		return r;
	fpu_x87_out(c);
	env_take(c, env, bytes);
	for (unsigned i = 0; i < 8; i++) {
		memcpy(c->fx + FX_ST(i), regs + REG_BYTES * i, REG_BYTES);
		memset(c->fx + FX_ST(i) + REG_BYTES, 0, 16 - REG_BYTES);
	}
	return HELPER_NEXT;
}
