/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/insn_int.h"

#include "driver/soft/sys_int.h"

u64
reg_get(const struct soft *c, unsigned reg, bool high, unsigned size_bytes)
{
	u64 v = c->r[reg] >> (high ? 8 : 0);

	return size_bytes == 8 ? v : v & (BIT(8 * size_bytes) - 1);
}

void
reg_set(struct soft *c, unsigned reg, bool high, unsigned size_bytes, u64 v)
{
	u64 mask;

	if (size_bytes >= 4) {
		c->r[reg] = size_bytes == 8 ? v : (u32)v;
		return;
	}
	mask = (size_bytes == 1 ? 0xffULL : 0xffffULL) << (high ? 8 : 0);
	c->r[reg] = (c->r[reg] & ~mask) | ((v << (high ? 8 : 0)) & mask);
}

static unsigned
acc_ss(const struct insn *in)
{
	return insn_is_ss(in) ? ACC_SS : 0;
}

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
	reg_set(c, in->modrm_reg, false, in->opsize, insn_ea(c, in));
	return HELPER_NEXT;
}

/* --- the stack, any width ---------------------------------------------- */

static enum helper_result
push(struct soft *c, u64 v, unsigned size)
{
	u64 sp = c->r[RSP] - size;
	enum helper_result res =
	    mem_write(c, stack_lin(c, sp), &v, size, ACC_SS);

	if (res == HELPER_NEXT || res == HELPER_EXIT)
		stack_set(c, sp);
	return res;
}

static enum helper_result
read_at(struct soft *c, u64 sp, u64 *v, unsigned size)
{
	*v = 0;
	return mem_read(c, stack_lin(c, sp), v, size, ACC_SS);
}

/* The r/m operand of PUSH, CALL and JMP. */
static enum helper_result
rm_read(struct soft *c, const struct insn *in, u64 *v)
{
	*v = 0;
	if (in->has_mem)
		return mem_read(c, insn_lin(c, in), v, in->opsize, acc_ss(in));
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
	res = mem_write(c, insn_lin(c, in), &v, in->opsize, acc_ss(in));
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
		    mem_write(c, stack_lin(c, sp - (i + 1) * in->opsize), &v,
			      in->opsize, ACC_SS);

		if (res != HELPER_NEXT)
			return res;
	}
	stack_set(c, sp - 8 * in->opsize);
	return HELPER_NEXT;
}

enum helper_result
insn_popa(struct soft *c, const struct insn *in)
{
	u64 v[8], sp = c->r[RSP];

	for (unsigned i = 0; i < 8; i++) {
		enum helper_result res =
		    read_at(c, sp + i * in->opsize, &v[7 - i], in->opsize);

		if (res != HELPER_NEXT)
			return res;
	}
	for (unsigned i = 0; i < 8; i++)
		if (i != RSP)
			reg_set(c, i, false, in->opsize, v[i]);
	stack_set(c, sp + 8 * in->opsize);
	return HELPER_NEXT;
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
			res = mem_write(c, stack_lin(c, frame - i * size), &v,
					size, ACC_SS);
	}
	if (res == HELPER_NEXT)
		res = mem_probe_write(c, stack_lin(c, end), size, ACC_SS);
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

/* --- single oddities ------------------------------------------------------ */

enum helper_result
insn_xlat(struct soft *c, const struct insn *in)
{
	u64 ea = c->r[RBX] + (u8)c->r[RAX], lin;
	enum helper_result res;
	u8 v;

	ea = in->addrsize == 8 ? ea : in->addrsize == 4 ? (u32)ea : (u16)ea;
	lin = ea + c->seg_base[in->seg];
	res =
	    mem_read(c, c->mode & MODE_64 ? lin : (u32)lin, &v, 1, acc_ss(in));
	if (res == HELPER_NEXT)
		reg_set(c, RAX, false, 1, v);
	return res;
}

enum helper_result
insn_bound(struct soft *c, const struct insn *in)
{
	unsigned n = in->opsize, shift = 64 - 8 * n;
	u64 lin = insn_lin(c, in), lo = 0, hi = 0;
	enum helper_result res = mem_read(c, lin, &lo, n, acc_ss(in));
	s64 v = (s64)(c->r[in->modrm_reg] << shift) >> shift;

	if (res == HELPER_NEXT)
		res = mem_read(c, (u32)(lin + n), &hi, n, acc_ss(in));
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

/* SF, ZF, PF of a byte. */
static u64
byte_flags(u8 v)
{
	return (v & 0x80 ? FL_SF : 0) | (v == 0 ? FL_ZF : 0) |
	       (__builtin_parity(v) ? 0 : FL_PF);
}

static u64
decimal_adjust(struct soft *c, bool subtract)
{
	u64 fl = flags_arith(c), out = 0;
	u8 al = (u8)c->r[RAX], old = al;

	if ((al & 15) > 9 || (fl & FL_AF)) {
		bool carry = subtract ? al < 6 : al > 0xf9;

		al = (u8)(subtract ? al - 6 : al + 6);
		out |= FL_AF | (carry || (fl & FL_CF) ? FL_CF : 0);
	}
	if (old > 0x99 || (fl & FL_CF)) {
		al = (u8)(subtract ? al - 0x60 : al + 0x60);
		out |= FL_CF;
	}
	reg_set(c, RAX, false, 1, al);
	return out | byte_flags(al);
}

static u64
ascii_adjust(struct soft *c, bool subtract)
{
	u64 fl = flags_arith(c), out = 0;
	u16 ax = (u16)c->r[RAX];

	if ((ax & 15) > 9 || (fl & FL_AF)) {
		ax = (u16)(subtract ? ax - 0x106 : ax + 0x106);
		out = FL_AF | FL_CF;
	}
	ax &= 0xff0f;
	reg_set(c, RAX, false, 2, ax);
	return out | byte_flags((u8)ax);
}

enum helper_result
insn_bcd(struct soft *c, const struct insn *in)
{
	u8 al = (u8)c->r[RAX], ah = (u8)(c->r[RAX] >> 8), by = (u8)in->imm;
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
		reg_set(c, RAX, false, 2, (u64)(al / by) << 8 | al % by);
		fl = byte_flags((u8)(al % by));
		break;
	default: /* AAD */
		al = (u8)(al + ah * by);
		reg_set(c, RAX, false, 2, al);
		fl = byte_flags(al);
		break;
	}
	flags_set_arith(c, fl);
	return HELPER_NEXT;
}

enum helper_result
insn_bit_string(struct soft *c, const struct insn *in)
{
	unsigned kind = in->opcode >> 3 & 3, bits = 8u * in->opsize;
	u64 fl = flags_arith(c) & ~FL_CF, v = 0, one, lin;
	s64 bit = (s64)(c->r[in->modrm_reg] << (64 - bits)) >> (64 - bits);
	struct insn at = *in;
	u8 *p;

	at.disp += (bit >> __builtin_ctz(bits)) * in->opsize;
	lin = insn_lin(c, &at);
	p = mem_slow(c, lin, in->opsize,
		     (kind == 0 ? ACC_READ : ACC_RMW) | acc_ss(in));
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
	u64 lin = insn_lin(c, in), lo = 0, hi = 0;
	u64 fl = flags_arith(c) & ~FL_ZF;
	u8 *p;

	if (half == 8 && lin & 15) {
		soft_raise_error(c, EXC_GP, 0);
		return HELPER_FAULT;
	}
	p = mem_slow(c, lin, 2 * half, ACC_RMW | acc_ss(in));
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
