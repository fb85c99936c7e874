/* SPDX-License-Identifier: BSD-2-Clause */
/* Gives registers and memory the values with which an instruction does
 * something: addresses that exist, more often than not, divisors that fit,
 * strings that match for a while, targets that may be jumped to. */
#include "tests/diff_int.h"

static unsigned
gpr_of(ZydisRegister reg)
{
	return (unsigned)ZydisRegisterGetId(
	    ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg));
}

static u64
width_mask(unsigned bits)
{
	return bits >= 64 ? ~0ULL : BIT(bits) - 1;
}

/* The value of an address register, or 0. */
static u64
address_reg(const struct diff_case *c, ZydisRegister reg, u64 next_va)
{
	if (reg == ZYDIS_REGISTER_NONE)
		return 0;
	if (ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_IP)
		return next_va;
	if (gpr_of(reg) > 15)
		return 0;
	return c->in.gpr[gpr_of(reg)] &
	       width_mask(
		   ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, reg));
}

static u64
segment_base(const struct diff_case *c, ZydisRegister seg)
{
	switch (seg) {
	case ZYDIS_REGISTER_DS:
		return diff_world_base(c, 0);
	case ZYDIS_REGISTER_ES:
		return diff_world_base(c, 1);
	case ZYDIS_REGISTER_FS:
		return c->in.fs_base;
	case ZYDIS_REGISTER_GS:
		return c->in.gs_base;
	case ZYDIS_REGISTER_SS:
		return diff_world_base(c, DIFF_SELS - 1);
	default:
		return 0;
	}
}

static u64
effective(const struct diff_case *c, const ZydisDecodedInstruction *in,
	  const ZydisDecodedOperand *op, u64 va)
{
	u64 ea = address_reg(c, op->mem.base, va + in->length) +
		 address_reg(c, op->mem.index, 0) * op->mem.scale +
		 (u64)op->mem.disp.value;

	if (in->mnemonic == ZYDIS_MNEMONIC_XLAT) /* Zydis leaves AL out */
		ea += (u8)c->in.gpr[RAX];
	return (segment_base(c, op->mem.segment) +
		(ea & width_mask(in->address_width))) &
	       width_mask(c->compat ? 32 : 64);
}

static void
set_reg(struct rng *r, struct diff_case *c, ZydisRegister reg, u64 v)
{
	unsigned bits = ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, reg);
	u64 mask = width_mask(bits);
	u64 *g = &c->in.gpr[gpr_of(reg)];

	/* garbage above an address that is narrower than the register */
	*g = (v & mask) |
	     (rng_percent(r, 50) && !c->compat ? rng_next(r) & ~mask : 0);
}

static void
patch_disp(u8 *code, const ZydisDecodedInstruction *in, u64 disp)
{
	unsigned at = in->raw.disp.offset;

	if (in->raw.disp.size == 64)
		put_le64(code + at, disp);
	else if (in->raw.disp.size == 32)
		put_le32(code + at, (u32)disp);
	else if (in->raw.disp.size == 16)
		put_le16(code + at, (u16)disp);
}

/* Makes the operand point at va_wanted, as far as its form allows. */
static void
point_at(struct rng *r, struct diff_case *c, u8 *code, u64 va,
	 const ZydisDecodedInstruction *in, ZydisDecodedOperand *op,
	 u64 va_wanted)
{
	ZydisRegister base = op->mem.base, index = op->mem.index;
	u64 want = va_wanted - segment_base(c, op->mem.segment);
	u64 disp = (u64)op->mem.disp.value;

	if (in->mnemonic == ZYDIS_MNEMONIC_XLAT)
		disp = (u8)c->in.gpr[RAX];
	if (base == ZYDIS_REGISTER_NONE && index == ZYDIS_REGISTER_NONE) {
		patch_disp(code, in, want);
	} else if (ZydisRegisterGetClass(base) == ZYDIS_REGCLASS_IP) {
		patch_disp(code, in, want - (va + in->length));
	} else if (base == ZYDIS_REGISTER_NONE) {
		set_reg(r, c, index, (want - disp) / op->mem.scale);
	} else if (index == base) {
		set_reg(r, c, base, (want - disp) / (1U + op->mem.scale));
	} else {
		if (index != ZYDIS_REGISTER_NONE && rng_percent(r, 60))
			set_reg(r, c, index, rng_below(r, 32) - 8ULL);
		set_reg(r, c, base,
			want - disp - address_reg(c, index, 0) * op->mem.scale);
	}
	if (in->raw.disp.size >= 16 &&
	    (ZydisRegisterGetClass(base) == ZYDIS_REGCLASS_IP ||
	     (base == ZYDIS_REGISTER_NONE && index == ZYDIS_REGISTER_NONE)))
		op->mem.disp.value =
		    in->raw.disp.size == 64
			? (s64)get_le64(code + in->raw.disp.offset)
		    : in->raw.disp.size == 32
			? (s64)(s32)get_le32(code + in->raw.disp.offset)
			: (s64)get_le16(code + in->raw.disp.offset);
}

/* Bytes at va from the start of the case; across a page if need be. */
void
diff_poke(struct diff_case *c, u64 va, const void *data, unsigned count)
{
	const u8 *bytes = data;

	while (count > 0) {
		int page = diff_world_page(va);
		unsigned off = (unsigned)(va % DIFF_PAGE);
		unsigned n = MIN(count, DIFF_PAGE - off);

		if (page >= PAGE_DATA0 && c->patches < DIFF_PATCHES) {
			struct diff_patch *p = &c->patch[c->patches++];

			p->page = (u32)page;
			p->off = off;
			p->count = n;
			memcpy(p->bytes, bytes, n);
		}
		va += n;
		bytes += n;
		count -= n;
	}
}

/* Where a branch may go. Landing inside other code is not an option: what
 * runs natively must be known beforehand. */
u64
diff_branch_target(struct rng *r, const struct diff_case *c, u64 next_va)
{
	u64 sled = DIFF_CODE_VA + rng_below(r, 8192);

	switch (rng_below(r, 16)) {
	case 0:
		return DIFF_DATA_VA + rng_below(r, 12288); /* no execute */
	case 1:
		return diff_value_int(r) | BIT(62); /* not canonical, mostly */
	case 2:
		return rng_percent(r, 50) ? 0xffff900000000000ULL : 0x1000;
	case 3:
		return c->compat ? next_va : DIFF_EXIT_VA;
	case 4:
	case 5:
	case 6: /* INT3 all over */
		return sled - (c->in.rip - 64) < 256 ? next_va : sled;
	default:
		return next_va;
	}
}

static void
arrange_branch(struct rng *r, struct diff_case *c, u8 *code, u64 va,
	       const ZydisDecodedInstruction *in,
	       const ZydisDecodedOperand *ops)
{
	u64 next_va = va + in->length;
	u64 target = diff_branch_target(r, c, next_va);
	u8 *at = code + in->raw.imm[0].offset;
	u8 bytes[8];

	put_le64(bytes, target);
	for (unsigned i = 0; i < in->operand_count; i++) {
		const ZydisDecodedOperand *op = &ops[i];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (op->actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0)
			diff_poke(c, effective(c, in, op, va), bytes, 8);
		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT &&
		    gpr_of(op->reg.value) < 16)
			set_reg(r, c, op->reg.value, target);
	}
	if ((in->attributes & ZYDIS_ATTRIB_IS_RELATIVE) == 0)
		return;
	if (in->raw.imm[0].size == 8) {
		*at = rng_percent(r, 50) ? 0 : (u8)(24 + rng_below(r, 100));
	} else {
		u64 disp = target - next_va;

		if ((s64)disp != (s64)(s32)disp)
			disp = 0;
		if (in->raw.imm[0].size == 32)
			put_le32(at, (u32)disp);
		else
			put_le16(at, (u16)disp);
		/* AMD parts take 16 bits after 66h; then these are NOPs */
		if (in->raw.imm[0].size == 32 &&
		    (in->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) != 0)
			put_le16(at + 2, 0x9090);
	}
}

/* Memory that both operands of CMPS agree on, or that repeats AL for SCAS. */
static void
arrange_string(struct rng *r, struct diff_case *c,
	       const ZydisDecodedInstruction *in)
{
	u64 *rcx = &c->in.gpr[RCX];
	u8 bytes[64];

	if ((in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
			       ZYDIS_ATTRIB_HAS_REPNE)) != 0) {
		if (rng_percent(r, 70))
			*rcx = rng_below(r, 20);
		else if (rng_percent(r, 60))
			*rcx = rng_below(r, 100);
		if (in->address_width == 32 && rng_percent(r, 50) && !c->compat)
			*rcx |= rng_next(r) << 32;
	}
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_CMPSB:
	case ZYDIS_MNEMONIC_CMPSW:
	case ZYDIS_MNEMONIC_CMPSQ:
	case ZYDIS_MNEMONIC_CMPSD:
		diff_value_bytes(r, bytes, sizeof(bytes), FORM_INT);
		diff_poke(c, c->in.gpr[RSI], bytes, sizeof(bytes));
		if (rng_percent(r, 70))
			bytes[rng_below(r, sizeof(bytes))] ^= 0x81;
		diff_poke(c, c->in.gpr[RDI], bytes, sizeof(bytes));
		break;
	case ZYDIS_MNEMONIC_SCASB:
	case ZYDIS_MNEMONIC_SCASW:
	case ZYDIS_MNEMONIC_SCASD:
	case ZYDIS_MNEMONIC_SCASQ:
		for (unsigned i = 0; i < sizeof(bytes); i += 8)
			put_le64(bytes + i, c->in.gpr[RAX]);
		if (rng_percent(r, 70))
			bytes[rng_below(r, sizeof(bytes))] ^= 0x81;
		diff_poke(c, c->in.gpr[RDI] & ~7ULL, bytes, sizeof(bytes));
		break;
	default:
		break;
	}
}

static void
arrange_divide(struct rng *r, struct diff_case *c)
{
	u64 *g = c->in.gpr;

	switch (rng_below(r, 4)) {
	case 0:
		g[RDX] = 0;
		break;
	case 1:
		g[RDX] = (u64)((s64)g[RAX] >> 63);
		break;
	case 2:
		g[RDX] = rng_below(r, 16);
		g[RAX] = rng_below(r, 65536);
		break;
	default:
		break;
	}
}

static u32
value_mxcsr(struct rng *r)
{
	u32 v = 0x1f80 ^ (rng_below(r, 4) << 13) ^ (rng_below(r, 64) << 7);

	if (rng_percent(r, 50))
		v |= 0x1f80;
	if (rng_percent(r, 20))
		v = (u32)rng_next(r);
	/* bit 17 is misaligned SSE mode, which hosts have and the guest not */
	return (rng_percent(r, 15) ? v : v & 0xffff) & ~(u32)BIT(17);
}

static void
mask(struct diff_case *c, u64 va, u32 count)
{
	c->mask[c->masks++] = (struct diff_mask){va, count};
}

/* Images of FXRSTOR, FLDENV and the like. Where x87 pointers are not
 * compared, they are masked in what the stores write. */
static void
arrange_image(struct rng *r, struct diff_case *c,
	      const ZydisDecodedInstruction *in, u64 ea)
{
	bool small = in->operand_width == 16;
	u8 bytes[32];

	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_LDMXCSR:
		put_le32(bytes, value_mxcsr(r));
		diff_poke(c, ea, bytes, 4);
		break;
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
		memcpy(bytes, c->in.fx, sizeof(bytes));
		put_le16(bytes + 2, (u16)(rng_next(r) & 0x7f7f));
		put_le16(bytes, rng_percent(r, 50) ? 0x37f
						   : (u16)(rng_next(r) | 0x3f));
		bytes[4] = (u8)rng_next(r);
		put_le32(bytes + 24, value_mxcsr(r));
		diff_poke(c, ea, bytes, sizeof(bytes));
		break;
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
		mask(c, ea + 28, 4); /* MXCSR_MASK */
		if (!diff_native_fpu_pointers())
			mask(c, ea + 6, 18);
		break;
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
		if (!diff_native_fpu_pointers())
			mask(c, small ? ea + 6 : ea + 12, small ? 8 : 16);
		break;
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FRSTOR:
		diff_value_bytes(r, bytes, 32, FORM_INT);
		put_le16(bytes, (u16)(0x37f ^ (rng_next(r) & 0xf00)));
		if (rng_percent(r, 20))
			bytes[0] ^= (u8)(rng_next(r) & 0x3f);
		diff_poke(c, ea, bytes, sizeof(bytes));
		break;
	case ZYDIS_MNEMONIC_FLDCW:
		put_le16(bytes, rng_percent(r, 60) ? (u16)(rng_next(r) | 0x3f)
						   : (u16)rng_next(r));
		diff_poke(c, ea, bytes, 2);
		break;
	default:
		break;
	}
}

static void
arrange_special(struct rng *r, struct diff_case *c,
		const ZydisDecodedInstruction *in,
		const ZydisDecodedOperand *ops, u64 va)
{
	u8 bytes[16];

	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_DIV:
	case ZYDIS_MNEMONIC_IDIV:
		arrange_divide(r, c);
		break;
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		if (ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    rng_percent(r, 90))
			c->in.gpr[gpr_of(ops[1].reg.value)] =
			    rng_below(r, 4096) - 2048ULL;
		break;
	case ZYDIS_MNEMONIC_CMPXCHG:
	case ZYDIS_MNEMONIC_CMPXCHG8B:
	case ZYDIS_MNEMONIC_CMPXCHG16B:
		if (ops[0].type != ZYDIS_OPERAND_TYPE_MEMORY ||
		    rng_percent(r, 50))
			break;
		put_le64(bytes, c->in.gpr[RAX]);
		put_le64(bytes + 8, c->in.gpr[RDX]);
		if (in->mnemonic == ZYDIS_MNEMONIC_CMPXCHG8B)
			put_le32(bytes + 4, (u32)c->in.gpr[RDX]);
		diff_poke(c, effective(c, in, &ops[0], va), bytes, 16);
		break;
	case ZYDIS_MNEMONIC_LEAVE:
	case ZYDIS_MNEMONIC_ENTER:
		if (rng_percent(r, 85))
			set_reg(r, c,
				c->compat ? ZYDIS_REGISTER_EBP
					  : ZYDIS_REGISTER_RBP,
				diff_value_address(r, 8) & ~7ULL);
		break;
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPFQ:
		put_le64(bytes, rng_next(r) &
				    ~(rng_percent(r, 80) ? FL_TF | FL_AC : 0));
		diff_poke(c, c->in.gpr[RSP], bytes, 8);
		break;
	default:
		break;
	}
}

void
diff_arrange(struct rng *r, struct diff_case *c, u8 *code, u64 va,
	     const ZydisDecodedInstruction *in, ZydisDecodedOperand *ops,
	     u8 class)
{
	u8 bytes[64];

	for (unsigned i = 0; i < in->operand_count; i++) {
		ZydisDecodedOperand *op = &ops[i];
		unsigned size_bytes = MAX(1, op->size / 8);
		u64 want, ea;

		if (op->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		want = diff_value_address(r, size_bytes);
		if (op->mem.base == ZYDIS_REGISTER_RSP && rng_percent(r, 80))
			want &= ~7ULL;
		if (size_bytes >= 16 && rng_percent(r, 60))
			want &= ~15ULL;
		point_at(r, c, code, va, in, op, want);
		ea = effective(c, in, op, va);
		diff_value_bytes(r, bytes, sizeof(bytes), class);
		diff_poke(c, ea, bytes, MIN(64, ALIGN_UP(size_bytes, 8U)));
		arrange_image(r, c, in, ea);
	}
	if (in->meta.category == ZYDIS_CATEGORY_STRINGOP)
		arrange_string(r, c, in);
	arrange_special(r, c, in, ops, va);
	if (class == FORM_BRANCH)
		arrange_branch(r, c, code, va, in, ops);
}

static bool
canonical(u64 va)
{
	return (u64)((s64)(va << 16) >> 16) == va;
}

bool
diff_offsets_odd(const struct diff_case *c, const ZydisDecodedInstruction *in,
		 const ZydisDecodedOperand *ops)
{
	for (unsigned i = 0; i < in->operand_count; i++) {
		u64 base, first, last;

		if (ops[i].type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		base = segment_base(c, ops[i].mem.segment);
		first = effective(c, in, &ops[i], c->in.rip);
		last = first + MAX(1U, ops[i].size / 8U) - 1;
		/* BT and its kin go on from there by a register's bits */
		if (base != 0 && ops[i].size < 128 &&
		    in->meta.category == ZYDIS_CATEGORY_BITBYTE)
			return true;
		if (base != 0 && (canonical(first) != canonical(first - base) ||
				  canonical(last) != canonical(last - base)))
			return true;
	}
	return false;
}
