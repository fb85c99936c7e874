/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/insn_int.h"

#include "driver/soft/sys_int.h"

enum helper_result
insn_ud(struct soft *c, const struct insn *in)
{
	(void)in;
	soft_raise(c, EXC_UD);
	return HELPER_FAULT;
}

enum helper_result
insn_lea(struct soft *c, const struct insn *in)
{
	reg_set(c, in->modrm_reg, false, in->opsize, insn_ea(c, in, 0));
	return HELPER_NEXT;
}

/* --- the stack, any width ---------------------------------------------- */

static enum helper_result
push(struct soft *c, u64 v, unsigned size)
{
	u64 sp = c->r[RSP] - size;
	enum helper_result res = stack_write(c, sp, &v, size, 0);

	if (res == HELPER_NEXT || res == HELPER_EXIT)
		stack_set(c, sp);
	return res;
}

static enum helper_result
read_at(struct soft *c, u64 sp, u64 *v, unsigned size)
{
	*v = 0;
	return stack_read(c, sp, v, size, 0);
}

/* The r/m operand of PUSH, CALL and JMP. */
static enum helper_result
rm_read(struct soft *c, const struct insn *in, u64 *v)
{
	*v = 0;
	if (in->has_mem)
		return insn_read(c, in, 0, v, in->opsize, 0);
	*v = reg_get(c, in->modrm_rm, false, in->opsize);
	return HELPER_NEXT;
}

enum helper_result
insn_push(struct soft *c, const struct insn *in)
{
	enum helper_result res = HELPER_NEXT;
	u64 v;

	if (in->opcode == 0x68 || in->opcode == 0x6a)
		v = (u64)in->imm;
	else if (in->opcode == 0xff)
		res = rm_read(c, in, &v);
	else
		v = c->r[in->modrm_rm];
	return res == HELPER_NEXT ? push(c, v, in->opsize) : res;
}

/* A memory destination addressed by rSP sees it already moved. */
enum helper_result
insn_pop(struct soft *c, const struct insn *in)
{
	u64 v, old = c->r[RSP];
	enum helper_result res = read_at(c, old, &v, in->opsize);

	if (res != HELPER_NEXT)
		return res;
	stack_set(c, old + in->opsize);
	if (in->opcode != 0x8f || !in->has_mem) {
		reg_set(c, in->modrm_rm, false, in->opsize, v);
		return HELPER_NEXT;
	}
	res = insn_write(c, in, 0, &v, in->opsize, 0);
	if (res == HELPER_FAULT || res == HELPER_RETRY)
		c->r[RSP] = old;
	return res;
}

/* A fault on the way leaves what was pushed in memory, and rSP as it was. */
enum helper_result
insn_pusha(struct soft *c, const struct insn *in)
{
	u64 sp = c->r[RSP];

	for (unsigned i = 0; i < 8; i++) {
		u64 v = i == RSP ? sp : c->r[i];
		enum helper_result res =
		    stack_write(c, sp - (i + 1) * in->opsize, &v, in->opsize,
				0);

		if (res != HELPER_NEXT)
			return res;
	}
	stack_set(c, sp - 8 * in->opsize);
	return HELPER_NEXT;
}

/* A fault on the way leaves the registers that were popped, and rSP as it was.
 */
enum helper_result
insn_popa(struct soft *c, const struct insn *in)
{
	u64 v, sp = c->r[RSP];

	for (unsigned i = 0; i < 8; i++) {
		enum helper_result res =
		    read_at(c, sp + i * in->opsize, &v, in->opsize);

		if (res != HELPER_NEXT)
			return res;
		if (7 - i != RSP)
			reg_set(c, 7 - i, false, in->opsize, v);
	}
	stack_set(c, sp + 8 * in->opsize);
	return HELPER_NEXT;
}

/* Whether the new top of the stack could be written. */
static enum helper_result
touch_top(struct soft *c, u64 sp, unsigned size)
{
	u64 off = sp & stack_mask(c);

	if (!seg_check(c, SEG_SS, off, size, ACC_WRITE))
		return HELPER_FAULT;
	return mem_probe_write(c, stack_lin(c, sp), size, seg_acc(c, SEG_SS));
}

/* SDM 2, ENTER: pushes rBP, copies of the old frame pointers, which may lie
 * where the new ones grow, and the new frame; then touches the new top. A
 * fault on the way leaves what was pushed in memory, as the hardware does; no
 * register has changed. */
enum helper_result
insn_enter(struct soft *c, const struct insn *in)
{
	unsigned size = in->opsize, level = (unsigned)in->imm2 & 31;
	unsigned n = level + 1; /* slots */
	u64 bp = c->r[RBP], frame = c->r[RSP] - size, v = bp;
	u64 end = frame - level * size - ((u64)in->imm & 0xffff);
	enum helper_result res = HELPER_NEXT;

	for (unsigned i = 0; i < n && res == HELPER_NEXT; i++) {
		if (i > 0 && i < level)
			res = read_at(c, bp - i * size, &v, size);
		else if (i > 0)
			v = frame;
		if (res == HELPER_NEXT)
			res = stack_write(c, frame - i * size, &v, size, 0);
	}
	if (res == HELPER_NEXT)
		res = touch_top(c, end, size);
	if (res != HELPER_NEXT)
		return res;
	reg_set(c, RBP, false, size, frame);
	stack_set(c, end);
	return HELPER_NEXT;
}

enum helper_result
insn_leave(struct soft *c, const struct insn *in)
{
	u64 v, bp = c->r[RBP];
	enum helper_result res = read_at(c, bp, &v, in->opsize);

	if (res != HELPER_NEXT)
		return res;
	stack_set(c, bp + in->opsize);
	reg_set(c, RBP, false, in->opsize, v);
	return HELPER_NEXT;
}

/* --- jumps of 16 and 32 bits --------------------------------------------- */

static u64
ip_mask(const struct insn *in)
{
	return in->opsize == 2	 ? BITS(15, 0)
	       : in->opsize == 4 ? BITS(31, 0)
				 : ~0ULL;
}

static enum helper_result
go(struct soft *c, const struct insn *in, u64 ip)
{
	c->next_ip = ip & ip_mask(in);
	return HELPER_JUMP;
}

enum helper_result
insn_jcc16(struct soft *c, const struct insn *in)
{
	if (!flags_cond(c, (unsigned)in->imm2))
		return HELPER_JUMP;
	return go(c, in, c->next_ip + (u64)in->imm);
}

enum helper_result
insn_loop16(struct soft *c, const struct insn *in)
{
	bool zero = flags_cond(c, 4), yes;
	u64 n = reg_get(c, RCX, false, in->addrsize);

	if (in->imm2 == 3) {
		yes = n == 0;
	} else {
		reg_set(c, RCX, false, in->addrsize, --n);
		n = reg_get(c, RCX, false, in->addrsize);
		yes = n != 0 && (in->imm2 == 2 || zero == (in->imm2 == 1));
	}
	return yes ? go(c, in, c->next_ip + (u64)in->imm) : HELPER_JUMP;
}

enum helper_result
insn_jmp16(struct soft *c, const struct insn *in)
{
	return go(c, in, c->next_ip + (u64)in->imm);
}

enum helper_result
insn_jmp_near(struct soft *c, const struct insn *in)
{
	u64 ip;
	enum helper_result res = rm_read(c, in, &ip);

	return res == HELPER_NEXT ? go(c, in, ip) : res;
}

enum helper_result
insn_call_near(struct soft *c, const struct insn *in)
{
	enum helper_result res = HELPER_NEXT;
	u64 ip = c->next_ip + (u64)in->imm;

	if (in->opcode == 0xff)
		res = rm_read(c, in, &ip);
	if (res == HELPER_NEXT)
		res = push(c, c->next_ip, in->opsize);
	if (res != HELPER_NEXT && res != HELPER_EXIT)
		return res;
	go(c, in, ip);
	return res == HELPER_EXIT ? res : HELPER_JUMP;
}

enum helper_result
insn_ret_near(struct soft *c, const struct insn *in)
{
	u64 ip, sp = c->r[RSP];
	enum helper_result res = read_at(c, sp, &ip, in->opsize);

	if (res != HELPER_NEXT)
		return res;
	stack_set(c, sp + in->opsize + ((u64)in->imm & 0xffff));
	return go(c, in, ip);
}

/* --- tables and bounds ---------------------------------------------------- */

enum helper_result
insn_xlat(struct soft *c, const struct insn *in)
{
	u64 ea = c->r[RBX] + (u8)c->r[RAX];
	enum helper_result res;
	u8 v;

	ea = in->addrsize == 8 ? ea : in->addrsize == 4 ? (u32)ea : (u16)ea;
	res = seg_read(c, in->seg, ea, &v, 1, 0);
	if (res == HELPER_NEXT)
		reg_set(c, RAX, false, 1, v);
	return res;
}

enum helper_result
insn_bound(struct soft *c, const struct insn *in)
{
	unsigned n = in->opsize, shift = 64 - 8 * n;
	u64 lo = 0, hi = 0;
	enum helper_result res = insn_read(c, in, 0, &lo, n, 0);
	s64 v = (s64)(c->r[in->modrm_reg] << shift) >> shift;

	if (res == HELPER_NEXT)
		res = insn_read(c, in, n, &hi, n, 0);
	if (res != HELPER_NEXT)
		return res;
	if (v < (s64)(lo << shift) >> shift ||
	    v > (s64)(hi << shift) >> shift) {
		soft_raise(c, EXC_BR);
		return HELPER_FAULT;
	}
	return HELPER_NEXT;
}

enum helper_result
insn_salc(struct soft *c, const struct insn *in)
{
	(void)in;
	reg_set(c, RAX, false, 1, flags_arith(c) & FL_CF ? 0xff : 0);
	return HELPER_NEXT;
}

/* --- decimal arithmetic --------------------------------------------------- */

/* What manuals call undefined among the flags is that of the one addition or
 * subtraction by which AMD parts adjust. */

static u64
zsp_flags(u64 v, u64 sign)
{
	return (v & sign ? FL_SF : 0) | (v == 0 ? FL_ZF : 0) |
	       (__builtin_parity((u8)v) ? 0 : FL_PF);
}

/* OF of a + by or, when subtract is set, a - by; out is the result. */
static u64
overflow(u64 a, u64 by, u64 out, bool subtract, u64 sign)
{
	u64 other = subtract ? a ^ by : a ^ ~by;

	return (a ^ out) & other & sign ? FL_OF : 0;
}

static bool
adjusts_low(const struct soft *c)
{
	return (c->r[RAX] & 15) > 9 || (flags_arith(c) & FL_AF);
}

/* DAA, DAS */
static u64
decimal_adjust(struct soft *c, bool subtract)
{
	u8 al = (u8)c->r[RAX], by = 0, out;
	u64 fl = 0;

	if (adjusts_low(c)) {
		by = 6;
		fl |= FL_AF | (subtract && al < 6 ? FL_CF : 0);
	}
	if (al > 0x99 || (flags_arith(c) & FL_CF)) {
		by += 0x60;
		fl |= FL_CF;
	}
	out = (u8)(subtract ? al - by : al + by);
	reg_set(c, RAX, false, 1, out);
	return fl | zsp_flags(out, 0x80) |
	       overflow(al, by, out, subtract, 0x80);
}

/* AAA, AAS */
static u64
ascii_adjust(struct soft *c, bool subtract)
{
	bool low = adjusts_low(c);
	u16 ax = (u16)c->r[RAX], by = low ? 0x106 : 0, out;

	out = (u16)(subtract ? ax - by : ax + by);
	reg_set(c, RAX, false, 2, out & 0xff0f);
	return (low ? FL_AF | FL_CF : 0) | zsp_flags(out, 0x8000) |
	       overflow(ax, by, out, subtract, 0x8000);
}

static u64
ascii_divide(struct soft *c, u8 by)
{
	u8 al = (u8)c->r[RAX];

	reg_set(c, RAX, false, 2, (u64)(al / by) << 8 | al % by);
	return zsp_flags(al % by, 0x80);
}

static u64
ascii_multiply(struct soft *c, u8 by)
{
	u8 al = (u8)c->r[RAX];
	u8 add = (u8)((u8)(c->r[RAX] >> 8) * by), out = (u8)(al + add);

	reg_set(c, RAX, false, 2, out);
	return zsp_flags(out, 0x80) | overflow(al, add, out, false, 0x80) |
	       (out < al ? FL_CF : 0) | ((al ^ add ^ out) & FL_AF);
}

enum helper_result
insn_bcd(struct soft *c, const struct insn *in)
{
	u8 by = (u8)in->imm;
	u64 fl;

	switch (in->opcode) {
	case 0x27: /* DAA */
	case 0x2f: /* DAS */
		fl = decimal_adjust(c, in->opcode == 0x2f);
		break;
	case 0x37: /* AAA */
	case 0x3f: /* AAS */
		fl = ascii_adjust(c, in->opcode == 0x3f);
		break;
	case 0xd4: /* AAM */
		if (by == 0) {
			soft_raise(c, EXC_DE);
			return HELPER_FAULT;
		}
		fl = ascii_divide(c, by);
		break;
	default: /* AAD */
		fl = ascii_multiply(c, by);
		break;
	}
	flags_set_arith(c, fl);
	return HELPER_NEXT;
}

/* --- single oddities ------------------------------------------------------ */

enum helper_result
insn_bit_string(struct soft *c, const struct insn *in)
{
	unsigned kind = in->opcode >> 3 & 3, bits = 8u * in->opsize;
	unsigned acc = kind == 0 ? ACC_READ : ACC_RMW;
	u64 fl = flags_arith(c) & ~FL_CF, v = 0, one;
	s64 bit = (s64)(c->r[in->modrm_reg] << (64 - bits)) >> (64 - bits);
	s64 at = (bit >> __builtin_ctz(bits)) * in->opsize;
	u8 *p;

	if (!insn_check(c, in, at, in->opsize, acc))
		return HELPER_FAULT;
	p = mem_slow(c, insn_lin(c, in, at), in->opsize, acc | insn_acc(c, in));
	if (!p)
		return c->exc.valid ? HELPER_FAULT : HELPER_RETRY;
	one = 1ULL << ((u64)bit & (bits - 1));
	memcpy(&v, p, in->opsize);
	flags_set_arith(c, fl | (v & one ? FL_CF : 0));
	if (kind == 0)
		return HELPER_NEXT;
	v = kind == 1 ? v | one : kind == 2 ? v & ~one : v ^ one;
	memcpy(p, &v, in->opsize);
	if (p == c->bounce.data && !mem_commit(c))
		return HELPER_EXIT;
	return HELPER_NEXT;
}

/* CMPXCHG8B and CMPXCHG16B: ZF alone changes; memory is always written. */
enum helper_result
insn_cmpxchg_wide(struct soft *c, const struct insn *in)
{
	unsigned half = in->opsize == 8 ? 8 : 4;
	u64 lin = insn_lin(c, in, 0), lo = 0, hi = 0;
	u64 fl = flags_arith(c) & ~FL_ZF;
	u8 *p;

	if (!insn_check(c, in, 0, 2 * half, ACC_RMW))
		return HELPER_FAULT;
	if (half == 8 && lin & 15) {
		soft_raise_error(c, EXC_GP, 0);
		return HELPER_FAULT;
	}
	p = mem_slow(c, lin, 2 * half, ACC_RMW | insn_acc(c, in));
	if (!p)
		return c->exc.valid ? HELPER_FAULT : HELPER_RETRY;
	memcpy(&lo, p, half);
	memcpy(&hi, p + half, half);
	if (lo == reg_get(c, RAX, false, half) &&
	    hi == reg_get(c, RDX, false, half)) {
		memcpy(p, &c->r[RBX], half);
		memcpy(p + half, &c->r[RCX], half);
		fl |= FL_ZF;
	} else {
		reg_set(c, RAX, false, half, lo);
		reg_set(c, RDX, false, half, hi);
	}
	flags_set_arith(c, fl);
	if (p == c->bounce.data && !mem_commit(c))
		return HELPER_EXIT;
	return HELPER_NEXT;
}
