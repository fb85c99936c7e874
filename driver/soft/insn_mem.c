/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/sys_int.h"

/* --- registers -------------------------------------------------------- */

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

/* --- segments --------------------------------------------------------- */

/* SDM 3A 5.3 and 5.5, for what MODE_CHECK could not say of all accesses. */
static bool
seg_allows(const struct cpu_seg *s, u64 off, unsigned size_bytes, unsigned acc)
{
	u64 last = off + size_bytes - 1;
	bool code = s->attr & ATTR_CODE;

	if (s->attr & ATTR_UNUSABLE)
		return false;
	if ((acc & ACC_WRITE) && (code || !(s->attr & ATTR_WRITABLE)))
		return false;
	if ((acc & ACC_READ) && code && !(s->attr & ATTR_READABLE))
		return false;
	if (!code && (s->attr & ATTR_EXPAND_DOWN))
		return off > s->limit_bytes &&
		       last <= (s->attr & ATTR_DB ? BITS(31, 0) : BITS(15, 0));
	return last <= s->limit_bytes;
}

bool
seg_check(struct soft *c, unsigned seg, u64 off, unsigned size_bytes,
	  unsigned acc)
{
	if (likely(!(c->mode & MODE_CHECK(seg))) ||
	    seg_allows(&c->seg[seg], off, size_bytes, acc))
		return true;
	soft_raise_error(c, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
	return false;
}

unsigned
seg_acc(const struct soft *c, unsigned seg)
{
	return (seg == SEG_SS ? ACC_SS : 0) |
	       (c->mode & MODE_CHECK(seg) ? ACC_WRAP : 0);
}

u64
seg_lin(const struct soft *c, unsigned seg, u64 off)
{
	u64 lin = off + c->seg_base[seg];

	return c->mode & MODE_64 ? lin : (u32)lin;
}

enum helper_result
seg_read(struct soft *c, unsigned seg, u64 off, void *buf, unsigned size_bytes,
	 unsigned acc)
{
	if (!seg_check(c, seg, off, size_bytes, ACC_READ))
		return HELPER_FAULT;
	return mem_read(c, seg_lin(c, seg, off), buf, size_bytes,
			acc | seg_acc(c, seg));
}

enum helper_result
seg_write(struct soft *c, unsigned seg, u64 off, const void *buf,
	  unsigned size_bytes, unsigned acc)
{
	if (!seg_check(c, seg, off, size_bytes, ACC_WRITE))
		return HELPER_FAULT;
	return mem_write(c, seg_lin(c, seg, off), buf, size_bytes,
			 acc | seg_acc(c, seg));
}

/* --- memory operands -------------------------------------------------- */

u64
insn_ea(const struct soft *c, const struct insn *in, s64 off)
{
	u64 ea = c->r[in->base] + (c->r[in->index] << in->scale) +
		 (u64)in->disp + (u64)off;

	return in->addrsize == 8 ? ea : in->addrsize == 4 ? (u32)ea : (u16)ea;
}

u64
insn_lin(const struct soft *c, const struct insn *in, s64 off)
{
	return seg_lin(c, in->seg, insn_ea(c, in, off));
}

unsigned
insn_acc(const struct soft *c, const struct insn *in)
{
	return seg_acc(c, in->seg);
}

bool
insn_check(struct soft *c, const struct insn *in, s64 off, unsigned size_bytes,
	   unsigned acc)
{
	return seg_check(c, in->seg, insn_ea(c, in, off), size_bytes, acc);
}

enum helper_result
insn_read(struct soft *c, const struct insn *in, s64 off, void *buf,
	  unsigned size_bytes, unsigned acc)
{
	return seg_read(c, in->seg, insn_ea(c, in, off), buf, size_bytes, acc);
}

enum helper_result
insn_write(struct soft *c, const struct insn *in, s64 off, const void *buf,
	   unsigned size_bytes, unsigned acc)
{
	return seg_write(c, in->seg, insn_ea(c, in, off), buf, size_bytes, acc);
}

enum helper_result
insn_probe(struct soft *c, const struct insn *in, s64 off, unsigned size_bytes,
	   unsigned acc)
{
	if (!insn_check(c, in, off, size_bytes, acc))
		return HELPER_FAULT;
	return mem_probe(c, insn_lin(c, in, off), size_bytes,
			 acc | insn_acc(c, in));
}

/* --- the stack -------------------------------------------------------- */

enum helper_result
stack_read(struct soft *c, u64 sp, void *buf, unsigned size_bytes, unsigned acc)
{
	return seg_read(c, SEG_SS, sp & stack_mask(c), buf, size_bytes, acc);
}

enum helper_result
stack_write(struct soft *c, u64 sp, const void *buf, unsigned size_bytes,
	    unsigned acc)
{
	return seg_write(c, SEG_SS, sp & stack_mask(c), buf, size_bytes, acc);
}
