/* SPDX-License-Identifier: BSD-2-Clause */
/* Cases of one instruction. */
#include "tests/diff_int.h"

#define EXIT_BYTES 14

void
diff_append_exit(struct diff_case *c)
{
	u8 *p = c->code + c->code_bytes;

	if (c->compat) { /* jmp far 33h:exit32 */
		*p = 0xea;
		put_le32(p + 1, (u32)DIFF_EXIT32_VA);
		put_le16(p + 5, DIFF_CS64);
		c->code_bytes += 7;
		return;
	}
	memcpy(p, "\xff\x25\0\0\0\0", 6); /* jmp [rip], the address follows */
	put_le64(p + 6, DIFF_EXIT_VA);
	c->code_bytes += EXIT_BYTES;
}

/* --- spelling an instruction -------------------------------------------- */

/* Legacy prefixes of the form and a few that should not matter, in random
 * order. */
static size_t
put_prefixes(struct rng *r, const struct diff_form *form, bool plain, u8 *p)
{
	static const u8 segments[] = {0x64, 0x65, 0x64, 0x65,
				      0x26, 0x2e, 0x36, 0x3e};
	size_t n = 0;

	if (form->prefix != 0)
		p[n++] = form->prefix;
	if (form->lockable && form->is_mem ? rng_percent(r, 25)
					   : rng_below(r, 256) == 0)
		p[n++] = 0xf0;
	if (!plain && rng_percent(r, 8)) {
		u8 seg = segments[rng_below(r, ARRAY_SIZE(segments))];

		if ((seg & 0xfe) != 0x64 || diff_native_fsgs())
			p[n++] = seg;
	}
	if (!plain && rng_percent(r, 4))
		p[n++] = 0x67;
	if (!plain && rng_percent(r, 2))
		p[n++] = "\x66\xf2\xf3\x66"[rng_below(r, 4)];
	for (size_t i = n; i > 1; i--) {
		size_t j = rng_below(r, (unsigned)i);
		u8 t = p[i - 1];

		p[i - 1] = p[j];
		p[j] = t;
	}
	return n;
}

/* ModRM and SIB of a memory operand. bases: the only registers allowed. */
static size_t
put_memory(struct rng *r, const struct diff_form *form, u32 bases, u8 *rex,
	   u8 *p)
{
	u8 mod = (u8)rng_below(r, 3), rm = (u8)rng_below(r, 8);
	unsigned base;

	if (bases == 0) {
		if (rng_percent(r, 40))
			rm = 4;
		p[0] = (u8)(mod << 6 | form->reg << 3 | rm);
		p[1] = (u8)rng_next(r);
		return rm == 4 ? 2 : 1;
	}
	do {
		base = rng_below(r, 16);
	} while ((bases >> base & 1) == 0);
	mod = (u8)(1 + rng_below(r, 2)); /* always a displacement */
	*rex = (u8)((*rex & ~3) | base >> 3);
	rm = base & 7;
	p[0] = (u8)(mod << 6 | form->reg << 3 | rm);
	p[1] = 0x24; /* base alone */
	return rm == 4 ? 2 : 1;
}

size_t
diff_encode(struct rng *r, const struct diff_forms *f,
	    const struct diff_form *form, u32 bases, u8 *p,
	    ZydisDecodedInstruction *in, ZydisDecodedOperand *ops)
{
	u8 rex = 0, modrm[2] = {0};
	size_t n, modrm_bytes = 0;

	if (!f->compat && rng_percent(r, 50))
		rex = (u8)(0x40 | rng_below(r, 8));
	if (form->has_modrm && form->is_mem) {
		modrm_bytes = put_memory(r, form, bases, &rex, modrm);
	} else if (form->has_modrm) {
		modrm[0] = (u8)(0xc0 | form->reg << 3 | form->rm);
		modrm_bytes = 1;
	}
	if (form->rex_w)
		rex |= 8;
	n = put_prefixes(r, form, bases != 0, p);
	if (rex != 0 && !f->compat)
		p[n++] = rex | 0x40;
	if (form->map != 0)
		p[n++] = 0x0f;
	if (form->map >= 2)
		p[n++] = form->map == 2 ? 0x38 : 0x3a;
	p[n++] = form->opcode;
	memcpy(p + n, modrm, modrm_bytes);
	n += modrm_bytes;
	put_le64(p + n, diff_value_int(r)); /* displacement, immediate */
	put_le64(p + n + 8, diff_value_int(r));
	if (!ZYAN_SUCCESS(
		ZydisDecoderDecodeFull(&f->decoder, p, n + 16, in, ops)))
		return 0;
	return in->length;
}

/* --- operands that make sense ------------------------------------------- */

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
	if (seg == ZYDIS_REGISTER_FS)
		return c->in.fs_base;
	return seg == ZYDIS_REGISTER_GS ? c->in.gs_base : 0;
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
	return segment_base(c, op->mem.segment) +
	       (ea & width_mask(in->address_width));
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
		code[in->raw.imm[0].offset] =
		    rng_percent(r, 50) ? 0 : (u8)(24 + rng_below(r, 100));
	} else {
		u64 disp = target - next_va;

		if ((s64)disp != (s64)(s32)disp)
			disp = 0;
		if (in->raw.imm[0].size == 32)
			put_le32(code + in->raw.imm[0].offset, (u32)disp);
		else
			put_le16(code + in->raw.imm[0].offset, (u16)disp);
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

/* --- cases -------------------------------------------------------------- */

static u64
place_code(struct rng *r)
{
	switch (rng_below(r, 24)) {
	case 0:
	case 1:
	case 2: /* across the page boundary */
		return DIFF_CODE_VA + DIFF_PAGE - rng_below(r, 20);
	case 3: /* runs off the end, perhaps within the instruction */
		return DIFF_CODE_VA + 2 * DIFF_PAGE - 1 - rng_below(r, 20);
	case 4:
	case 5:
		return DIFF_SMC_VA + 1024 + rng_below(r, 700);
	default:
		return DIFF_CODE_VA + 256 + rng_below(r, 3500);
	}
}

static const struct diff_form *
pick_form(struct rng *r, const struct diff_forms *f)
{
	static const u8 weight[FORM_CLASSES] = {
	    [FORM_INT] = 42,   [FORM_SSE] = 28,	  [FORM_X87] = 12,
	    [FORM_MMX] = 6,    [FORM_BRANCH] = 7, [FORM_PRIV] = 2,
	    [FORM_ABSENT] = 2, [FORM_ALIAS] = 1,
	};
	const struct diff_group *g;

	for (;;) {
		unsigned class = 0, at = rng_below(r, 100);

		while (at >= weight[class])
			at -= weight[class ++];
		if (f->class_groups[class] == 0)
			continue;
		g = &f->group[f->class_first[class] +
			      rng_below(r, f->class_groups[class])];
		return &f->form[g->first + rng_below(r, g->count)];
	}
}

static bool
canonical(u64 va)
{
	return (u64)((s64)(va << 16) >> 16) == va;
}

/* With an FS or GS base Zen 3 demands that the offset is canonical, and not
 * only the sum. No manual says so and other parts do not; such cases are left
 * out. */
static bool
offsets_odd(const struct diff_case *c, const ZydisDecodedInstruction *in,
	    const ZydisDecodedOperand *ops)
{
	for (unsigned i = 0; i < in->operand_count; i++) {
		u64 base, first, last;

		if (ops[i].type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		base = segment_base(c, ops[i].mem.segment);
		first = effective(c, in, &ops[i], c->in.rip);
		last = first + MAX(1U, ops[i].size / 8U) - 1;
		if (base != 0 && (canonical(first) != canonical(first - base) ||
				  canonical(last) != canonical(last - base)))
			return true;
	}
	return false;
}

/* The whole instruction must be there: what is said of it holds when the
 * processor has seen all of it. */
static void
keep_whole(struct diff_case *c)
{
	if (c->in.rip >= DIFF_CODE_VA + DIFF_PAGE && c->in.rip < DIFF_DATA_VA)
		c->in.rip -= DIFF_PAGE;
}

/* F3 selects TZCNT and LZCNT on the host, while the guest ignores it. The
 * host gets DS instead, which it ignores. */
static bool
make_alias(struct diff_case *c, const ZydisDecodedInstruction *in)
{
	for (unsigned i = 0; i < in->raw.prefix_count; i++) {
		if (c->code[i] != 0xf3)
			continue;
		if (c->alias_at >= 0)
			return false;
		c->alias_at = (int)i;
		c->alias_byte = 0xf3;
		c->code[i] = 0x3e;
	}
	return c->alias_at >= 0;
}

void
diff_start_case(struct rng *r, struct diff_case *c, bool compat)
{
	memset(c, 0, offsetof(struct diff_case, code));
	c->compat = compat;
	c->code_bytes = 0;
	c->alias_at = -1;
	c->absent = false;
	c->patches = c->masks = 0;
	c->fx_mask = c->flags_mask = 0;
	c->mnemonic = ZYDIS_MNEMONIC_INVALID;
	diff_value_regs(r, &c->in, compat);
	c->in.rip = place_code(r);
}

/* Where such an instruction checks the alignment of its many accesses is up
 * to the part. */
static bool
many_accesses(ZydisMnemonic mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FBSTP:
	case ZYDIS_MNEMONIC_ENTER:
		return true;
	default:
		return false;
	}
}

static void
note_instruction(struct diff_case *c, const ZydisDecodedInstruction *in)
{
	c->mnemonic = in->mnemonic;
	if (many_accesses(in->mnemonic))
		c->in.rflags &= ~FL_AC;
	if (!diff_native_amd() && in->cpu_flags != NULL)
		c->flags_mask |= in->cpu_flags->undefined;
}

static bool
try_form(struct rng *r, const struct diff_forms *f, struct diff_case *c)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	u8 class;

	c->what = "single";
	c->code_bytes =
	    (unsigned)diff_encode(r, f, pick_form(r, f), 0, c->code, &in, ops);
	if (c->code_bytes == 0)
		return false;
	switch (diff_verdict(&in, ops, &class)) {
	case DIFF_NEVER:
		return false;
	case DIFF_MUST_UD:
		c->absent = true;
		keep_whole(c);
		break;
	case DIFF_ALLOWED:
		break;
	}
	if (class == FORM_ALIAS && !make_alias(c, &in))
		return false;
	note_instruction(c, &in);
	/* parts do not agree on whether these have a ModRM byte */
	if (in.mnemonic == ZYDIS_MNEMONIC_UD0 ||
	    in.mnemonic == ZYDIS_MNEMONIC_UD1)
		keep_whole(c);
	diff_arrange(r, c, c->code, c->in.rip, &in, ops, class);
	return !offsets_odd(c, &in, ops);
}

/* Bytes that are likely, or not, to be an instruction at all. */
static bool
try_bytes(struct rng *r, const struct diff_forms *f, struct diff_case *c)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	u8 class;

	c->what = "bytes";
	for (unsigned i = 0; i < 16; i += 8)
		put_le64(c->code + i, rng_next(r));
	if (rng_percent(r, 40))
		c->code[0] = 0x0f;
	if (rng_percent(r, 3))
		memset(c->code, "\x66\x2e\x3e\xf2"[rng_below(r, 4)], 15);
	if (!ZYAN_SUCCESS(
		ZydisDecoderDecodeFull(&f->decoder, c->code, 16, &in, ops))) {
		c->code_bytes = 16;
		keep_whole(c); /* how much is read before #UD is open */
		return diff_bytes_safe(c->code, 16);
	}
	c->code_bytes = in.length;
	if (diff_verdict(&in, ops, &class) != DIFF_ALLOWED ||
	    class == FORM_ALIAS)
		return false;
	note_instruction(c, &in);
	/* parts do not agree on whether these have a ModRM byte */
	if (in.mnemonic == ZYDIS_MNEMONIC_UD0 ||
	    in.mnemonic == ZYDIS_MNEMONIC_UD1)
		keep_whole(c);
	diff_arrange(r, c, c->code, c->in.rip, &in, ops, class);
	return !offsets_odd(c, &in, ops);
}

void
diff_single(struct rng *r, const struct diff_forms *f, struct diff_case *c)
{
	bool done = false, bytes = rng_percent(r, 8) && f->groups > 1;

	while (!done) {
		diff_start_case(r, c, f->compat);
		done = bytes ? try_bytes(r, f, c) : try_form(r, f, c);
	}
	diff_append_exit(c);
}
