/* SPDX-License-Identifier: BSD-2-Clause */
/* Cases of many instructions: straight code, forward branches, counted loops,
 * calls, stack traffic, string instructions and stores into the code itself.
 *
 * What runs must be known beforehand and must come to an end. So a sequence
 * keeps a few registers to itself: pointers into the data pages, through which
 * all memory operands go, and loop counters; instructions that write them are
 * not used, but for a few in a hundred, which then end in a fault more often
 * than not. Functions lie behind the exit and call only later ones.
 */
#include "tests/diff_int.h"

#define POINTERS  3
#define COUNTERS  2
#define FUNCTIONS 3
#define CODE_ROOM 1700

struct builder {
	struct rng *r;
	const struct diff_forms *f;
	struct diff_seq *s;
	bool compat;
	u32 pointers; /* registers as bits */
	u32 reserved; /* pointers, counters, RSP */
	u8 pointer[POINTERS], counter[COUNTERS];
	unsigned code_bytes;
	unsigned function_first[FUNCTIONS];
	unsigned functions_called; /* bits */
};

/* --- single items ------------------------------------------------------- */

static struct diff_item *
add_item(struct builder *b, const void *bytes, unsigned count)
{
	struct diff_item *it = &b->s->item[b->s->items++];

	assert(b->s->items <= DIFF_ITEMS && count <= sizeof(it->bytes));
	memset(it, 0, sizeof(*it));
	memcpy(it->bytes, bytes, count);
	it->count = (u8)count;
	it->target = -1;
	b->code_bytes += count;
	return it;
}

static bool
room(const struct builder *b)
{
	return b->s->items + 12 < DIFF_ITEMS && b->code_bytes < CODE_ROOM;
}

static void
set_target(struct diff_item *it, unsigned item, unsigned at, unsigned bytes)
{
	it->target = (s16)item;
	it->target_at = (u8)at;
	it->target_bytes = (u8)bytes;
}

/* REX when needed, then opcode with the register in its low bits. */
static struct diff_item *
add_op_reg(struct builder *b, unsigned reg, u8 opcode)
{
	u8 bytes[2] = {0x41, (u8)(opcode | (reg & 7))};

	return reg < 8 ? add_item(b, bytes + 1, 1) : add_item(b, bytes, 2);
}

static void
add_mov_imm(struct builder *b, unsigned reg, u32 imm)
{
	struct diff_item *it = add_op_reg(b, reg, 0xb8);

	put_le32(it->bytes + it->count, imm);
	it->count += 4;
}

/* lea reg, [pointer + disp32] */
static void
add_lea(struct builder *b, unsigned reg, unsigned base, s32 disp)
{
	u8 bytes[8] = {0x48, 0x8d};
	unsigned n = 0;

	if (!b->compat)
		bytes[n++] = (u8)(0x48 | (reg >> 3) << 2 | base >> 3);
	bytes[n++] = 0x8d;
	bytes[n++] = (u8)(0x80 | (reg & 7) << 3 | (base & 7));
	if ((base & 7) == RSP)
		bytes[n++] = 0x24;
	add_item(b, bytes, n);
	put_le32(b->s->item[b->s->items - 1].bytes + n, (u32)disp);
	b->s->item[b->s->items - 1].count += 4;
}

/* lea reg, [rip + item]; the target is filled in by the caller. */
static struct diff_item *
add_lea_rip(struct builder *b, unsigned reg)
{
	u8 bytes[7] = {(u8)(0x48 | (reg >> 3) << 2), 0x8d,
		       (u8)(0x05 | (reg & 7) << 3)};

	return add_item(b, bytes, 7);
}

static unsigned
free_reg(struct builder *b)
{
	for (;;) {
		unsigned reg = rng_below(b->r, b->compat ? 8 : 16);

		if ((b->reserved >> reg & 1) == 0)
			return reg;
	}
}

/* --- plain instructions ------------------------------------------------- */

static unsigned
gpr_number(ZydisRegister reg)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(reg);

	if (class != ZYDIS_REGCLASS_GPR8 && class != ZYDIS_REGCLASS_GPR16 &&
	    class != ZYDIS_REGCLASS_GPR32 && class != ZYDIS_REGCLASS_GPR64)
		return 16;
	return (unsigned)ZydisRegisterGetId(
	    ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg));
}

static bool
writes_reserved(const struct builder *b, const ZydisDecodedInstruction *in,
		const ZydisDecodedOperand *ops)
{
	for (unsigned i = 0; i < in->operand_count; i++)
		if (ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (ops[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0 &&
		    gpr_number(ops[i].reg.value) < 16 &&
		    (b->reserved >> gpr_number(ops[i].reg.value) & 1) != 0)
			return true;
	return false;
}

/* Instructions that make the rest of the sequence fault almost always, or
 * whose memory image is not the same everywhere. */
static bool
unwelcome(struct builder *b, const ZydisDecodedInstruction *in)
{
	if (!diff_native_amd() && in->cpu_flags != NULL &&
	    in->cpu_flags->undefined != 0)
		return true;
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FNSAVE: /* Linux clears FIP when it preempts */
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_ENTER: /* see partial[] in diff_compare.c */
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_BOUND:
		return true;
	case ZYDIS_MNEMONIC_FLDCW:
	case ZYDIS_MNEMONIC_DIV:
	case ZYDIS_MNEMONIC_IDIV:
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPFQ:
		return rng_percent(b->r, 80);
	default:
		return false;
	}
}

static void
retarget_disp(struct builder *b, u8 *p, const ZydisDecodedInstruction *in,
	      unsigned size_bytes)
{
	s32 disp = (s32)rng_below(b->r, 1200) - 600;

	if (in->raw.disp.size == 8)
		disp = (s8)disp;
	if (size_bytes >= 16 && rng_percent(b->r, 90))
		disp &= ~15;
	if (in->raw.disp.size == 8)
		p[in->raw.disp.offset] = (u8)disp;
	else if (in->raw.disp.size == 32)
		put_le32(p + in->raw.disp.offset, (u32)disp);
}

/* Instructions with memory operands in fixed registers get those set first.
 * False: not usable here. */
static bool
prepare_operand(struct builder *b, u8 *p, const ZydisDecodedInstruction *in,
		const ZydisDecodedOperand *op)
{
	unsigned base = gpr_number(op->mem.base);
	unsigned from = b->pointer[rng_below(b->r, POINTERS)];
	u64 va = DIFF_DATA_VA + 512 + rng_below(b->r, 7000);

	if (op->mem.type != ZYDIS_MEMOP_TYPE_MEM)
		return true; /* LEA: any address will do */
	if (base < 16 && (b->pointers >> base & 1) != 0) {
		retarget_disp(b, p, in, op->size / 8);
		return true;
	}
	if (base >= 16 && in->raw.disp.size == 64) {
		put_le64(p + in->raw.disp.offset, va);
		return true;
	}
	if (base >= 16 && in->raw.disp.size == 32 && b->compat) {
		put_le32(p + in->raw.disp.offset, (u32)va);
		return true;
	}
	if (base == RSP)
		return (op->actions & ZYDIS_OPERAND_ACTION_MASK_READ) == 0 ||
		       rng_percent(b->r, 20);
	if ((base == RSI || base == RDI || base == RBX) &&
	    op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
	    (b->reserved >> base & 1) == 0) {
		add_lea(b, base, from, (s32)rng_below(b->r, 600) - 300);
		return true;
	}
	return false;
}

static bool
prepare_operands(struct builder *b, u8 *p, const ZydisDecodedInstruction *in,
		 const ZydisDecodedOperand *ops)
{
	for (unsigned i = 0; i < in->operand_count; i++)
		if (ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    !prepare_operand(b, p, in, &ops[i]))
			return false;
	if ((in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
			       ZYDIS_ATTRIB_HAS_REPNE)) != 0) {
		if ((b->reserved >> RCX & 1) != 0)
			return false;
		add_mov_imm(b, RCX, rng_below(b->r, 40));
	}
	return true;
}

static const struct diff_form *
plain_form(struct builder *b)
{
	static const u8 classes[] = {FORM_INT, FORM_INT, FORM_INT, FORM_INT,
				     FORM_SSE, FORM_SSE, FORM_X87, FORM_MMX};
	const struct diff_forms *f = b->f;
	u8 class = classes[rng_below(b->r, ARRAY_SIZE(classes))];
	const struct diff_group *g;

	if (f->class_groups[class] == 0)
		class = f->form[0].class;
	g = &f->group[f->class_first[class] +
		      rng_below(b->r, f->class_groups[class])];
	return &f->form[g->first + rng_below(b->r, g->count)];
}

/* What sets flags for a branch in compiled code: drivers have forms of their
 * own for such pairs. */
static const struct diff_form *
compare_form(struct builder *b)
{
	static const u16 compares[] = {
	    ZYDIS_MNEMONIC_CMP,	 ZYDIS_MNEMONIC_CMP, ZYDIS_MNEMONIC_TEST,
	    ZYDIS_MNEMONIC_TEST, ZYDIS_MNEMONIC_SUB, ZYDIS_MNEMONIC_ADD,
	    ZYDIS_MNEMONIC_AND,	 ZYDIS_MNEMONIC_OR,  ZYDIS_MNEMONIC_XOR,
	    ZYDIS_MNEMONIC_DEC,	 ZYDIS_MNEMONIC_INC, ZYDIS_MNEMONIC_BT,
	    ZYDIS_MNEMONIC_SHR,	 ZYDIS_MNEMONIC_ADC, ZYDIS_MNEMONIC_SBB,
	    ZYDIS_MNEMONIC_NEG,
	};
	const struct diff_forms *f = b->f;
	u16 wanted = compares[rng_below(b->r, ARRAY_SIZE(compares))];

	for (size_t i = 0; i < f->groups; i++)
		if (f->group[i].mnemonic == wanted)
			return &f->form[f->group[i].first +
					rng_below(b->r, f->group[i].count)];
	return plain_form(b);
}

/* An instruction of a form that pick() finds. */
static void
add_plain_of(struct builder *b,
	     const struct diff_form *(*pick)(struct builder *b))
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	u8 p[40], class;

	for (unsigned attempt = 0; attempt < 200; attempt++) {
		unsigned items = b->s->items, code_bytes = b->code_bytes;

		if (diff_encode(b->r, b->f, pick(b), b->pointers | BIT(RSP), p,
				&in, ops) == 0)
			continue;
		if (diff_verdict(&in, ops, &class) != DIFF_ALLOWED ||
		    class > FORM_MMX || unwelcome(b, &in))
			continue;
		if (writes_reserved(b, &in, ops) && !rng_percent(b->r, 1))
			continue;
		if (prepare_operands(b, p, &in, ops)) {
			add_item(b, p, in.length);
			return;
		}
		b->s->items = items;
		b->code_bytes = code_bytes;
	}
}

static void
add_plain(struct builder *b)
{
	add_plain_of(b, plain_form);
}

/* --- structure ---------------------------------------------------------- */

/* To a later item; which one is decided when it exists: see fix_forward(). */
static void
add_forward(struct builder *b, unsigned *fix)
{
	u8 bytes[6] = {0};
	unsigned near = rng_below(b->r, 2);
	u8 cc = (u8)rng_below(b->r, 16);

	*fix = b->s->items;
	if (rng_percent(b->r, 8) && !b->compat) {
		unsigned reg = free_reg(b);

		add_lea_rip(b, reg);
		if (rng_percent(b->r, 50)) {
			add_op_reg(b, reg, 0x50); /* push, ret */
			add_item(b, "\xc3", 1);
		} else {
			struct diff_item *it = add_op_reg(b, reg, 0xe0);

			/* jmp reg: FFh goes before the ModRM just written */
			memmove(it->bytes + it->count,
				it->bytes + it->count - 1, 1);
			it->bytes[it->count - 1] = 0xff;
			it->count++;
		}
		set_target(&b->s->item[*fix], 0, 3, 4);
	} else if (rng_percent(b->r, 10)) {
		bytes[0] = (u8)(0xe0 + rng_below(b->r, 4)); /* LOOP.. JRCXZ */
		set_target(add_item(b, bytes, 2), 0, 1, 1);
	} else if (rng_percent(b->r, 10)) {
		bytes[0] = near ? 0xeb : 0xe9;
		set_target(add_item(b, bytes, near ? 2 : 5), 0, 1,
			   near ? 1 : 4);
	} else if (near) {
		bytes[0] = (u8)(0x70 | cc);
		set_target(add_item(b, bytes, 2), 0, 1, 1);
	} else {
		bytes[0] = 0x0f;
		bytes[1] = (u8)(0x80 | cc);
		set_target(add_item(b, bytes, 6), 0, 2, 4);
	}
}

/* Both halves of a pair through the stack. */
static void
add_push_pop(struct builder *b)
{
	unsigned n = rng_below(b->r, 3);

	if (rng_percent(b->r, 30)) { /* arithmetic flags, DF, AC, ID */
		u32 change = (u32)(rng_next(b->r) & (FL_ARITH | FL_DF | FL_ID));
		u8 bytes[9] = {0x9c, 0x81, 0x34, 0x24};

		put_le32(bytes + 4, change);
		bytes[8] = 0x9d;
		add_item(b, bytes, 9);
		return;
	}
	add_op_reg(b, rng_below(b->r, b->compat ? 8 : 16), 0x50);
	while (n-- > 0)
		add_plain(b);
	add_op_reg(b, free_reg(b), 0x58);
}

/* A store into an immediate of some later or earlier item, and that item. */
static void
add_self_store(struct builder *b)
{
	u8 store[7] = {0xc6, 0x05, 0, 0, 0, 0, (u8)rng_next(b->r)};
	u8 wide[10] = {0xc7, 0x05};
	bool byte = rng_percent(b->r, 50), first = rng_percent(b->r, 70);
	unsigned reg = free_reg(b), at = 0, between = rng_below(b->r, 4);
	struct diff_item *it;

	put_le32(wide + 6, (u32)diff_value_int(b->r));
	if (first) {
		at = b->s->items;
		add_item(b, byte ? store : wide, byte ? 7 : 10);
		while (between-- > 0)
			add_plain(b);
	}
	add_mov_imm(b, reg, (u32)diff_value_int(b->r));
	if (!first) {
		unsigned target = b->s->items - 1;

		at = b->s->items;
		add_item(b, byte ? store : wide, byte ? 7 : 10);
		set_target(&b->s->item[at], target, 2, 4);
	} else {
		set_target(&b->s->item[at], b->s->items - 1, 2, 4);
	}
	it = &b->s->item[at];
	it->bias = (u8)(b->s->item[it->target].count - 4 +
			(byte ? rng_below(b->r, 4) : 0));
}

static void
add_call(struct builder *b, unsigned least)
{
	unsigned fn = least + rng_below(b->r, FUNCTIONS - least);

	/* the target is the function's number until it has an item */
	set_target(add_item(b, "\xe8\0\0\0\0", 5), DIFF_ITEMS + fn, 1, 4);
	b->functions_called |= 1U << fn;
}

/* One to n items, loops inside loops up to COUNTERS deep. least: the first
 * function that may be called. */
static void
add_body(struct builder *b, unsigned n, unsigned depth, unsigned least)
{
	unsigned forward = 0, forward_until = 0;
	bool pending = false;

	for (unsigned i = 0; i < n && room(b); i++) {
		unsigned kind = rng_below(b->r, 32);

		if (kind < 3 && !pending) {
			if (rng_percent(b->r, 70))
				add_plain_of(b, compare_form);
			add_forward(b, &forward);
			forward_until = i + 1 + rng_below(b->r, 4);
			pending = true;
		} else if (kind == 3 && depth < COUNTERS) {
			u8 dec[3] = {0x41, 0xff,
				     (u8)(0xc8 | (b->counter[depth] & 7))};
			unsigned head;
			bool low = b->counter[depth] < 8;

			add_mov_imm(b, b->counter[depth],
				    1 + rng_below(b->r, 5));
			head = b->s->items;
			add_body(b, 1 + rng_below(b->r, 6), depth + 1, least);
			if (rng_percent(b->r, 20)) {
				add_item(b, dec + low, 3 - low);
			} else { /* the same, as other compilers say it */
				u8 sub[4] = {0x41, 0x83, (u8)(dec[2] | 0x20),
					     1};

				add_item(b, sub + low, 4 - low);
			}
			set_target(add_item(b, "\x0f\x85\0\0\0\0", 6), head, 2,
				   4);
		} else if (kind == 4 && least < FUNCTIONS) {
			add_call(b, least);
		} else if (kind == 5 || kind == 6) {
			add_push_pop(b);
		} else if (kind == 7 && !b->compat &&
			   b->s->base.in.rip >= DIFF_SMC_VA) {
			add_self_store(b);
		} else {
			add_plain(b);
		}
		if (pending && (i >= forward_until || i + 1 == n)) {
			b->s->item[forward].target = (s16)b->s->items;
			pending = false;
		}
	}
	if (pending)
		b->s->item[forward].target = (s16)b->s->items;
}

/* Behind the exit: the functions that are called, later ones last. */
static void
add_functions(struct builder *b)
{
	for (unsigned fn = 0; fn < FUNCTIONS; fn++) {
		if ((b->functions_called >> fn & 1) == 0)
			continue;
		b->function_first[fn] = b->s->items;
		add_body(b, 1 + rng_below(b->r, 5), COUNTERS, fn + 1);
		add_item(b, "\xc3", 1);
	}
	for (unsigned i = 0; i < b->s->items; i++) {
		struct diff_item *it = &b->s->item[i];

		if (it->target >= DIFF_ITEMS)
			it->target =
			    (s16)b->function_first[it->target - DIFF_ITEMS];
	}
}

static void
add_exit(struct builder *b)
{
	struct diff_case c = {.compat = b->compat};

	diff_append_exit(&c);
	add_item(b, c.code, c.code_bytes);
}

/* Displacements of one byte that do not reach become unconditional falls. */
static bool
put_displacement(struct diff_case *c, const struct diff_item *it, unsigned end,
		 unsigned target)
{
	s32 disp = (s32)(target + it->bias) - (s32)end;
	u8 *p = c->code + end - it->count + it->target_at;

	if (it->target_bytes == 4) {
		put_le32(p, (u32)disp);
		return true;
	}
	*p = (u8)disp;
	return disp == (s8)disp;
}

void
diff_seq_build(const struct diff_seq *s, struct diff_case *c)
{
	unsigned at[DIFF_ITEMS + 1], n = 0;

	*c = s->base;
	for (unsigned i = 0; i < s->items; i++) {
		at[i] = n;
		if (s->item[i].state == ITEM_GONE)
			continue;
		assert(n + s->item[i].count <= DIFF_CODE_MAX);
		if (s->item[i].state == ITEM_NOPS)
			memset(c->code + n, 0x90, s->item[i].count);
		else
			memcpy(c->code + n, s->item[i].bytes, s->item[i].count);
		n += s->item[i].count;
	}
	at[s->items] = c->code_bytes = n;
	for (unsigned i = 0; i < s->items; i++) {
		const struct diff_item *it = &s->item[i];

		if (it->state == ITEM_LIVE && it->target >= 0 &&
		    !put_displacement(c, it, at[i] + it->count, at[it->target]))
			c->code[at[i] + it->target_at] = 0;
	}
}

/* --- the whole ---------------------------------------------------------- */

static u8
take_reg(struct builder *b)
{
	/* not those with a fixed role in many instructions */
	static const u8 pool64[] = {RBX, RBP, R8,  R9,	R10,
				    R11, R12, R13, R14, R15};
	static const u8 pool32[] = {RBX, RBP, RSI, RDI, RDX};

	for (;;) {
		u8 reg = b->compat ? pool32[rng_below(b->r, 5)]
				   : pool64[rng_below(b->r, 10)];

		if ((b->reserved >> reg & 1) == 0) {
			b->reserved |= 1U << reg;
			return reg;
		}
	}
}

static void
choose_registers(struct builder *b)
{
	struct diff_regs *in = &b->s->base.in;

	b->reserved = BIT(RSP);
	for (unsigned i = 0; i < COUNTERS; i++)
		b->counter[i] = take_reg(b);
	for (unsigned i = 0; i < POINTERS; i++) {
		u8 reg = take_reg(b);

		b->pointer[i] = reg;
		b->pointers |= 1U << reg;
		in->gpr[reg] =
		    DIFF_DATA_VA + 640 + 16ULL * rng_below(b->r, 430);
		if (rng_percent(b->r, 3))
			in->gpr[reg] =
			    DIFF_DATA_VA + 7700 + rng_below(b->r, 5000);
		if (b->compat)
			in->gpr[reg] = (u32)in->gpr[reg];
	}
	in->gpr[RSP] = DIFF_DATA_VA + 1024 + 8ULL * rng_below(b->r, 700);
}

static void
choose_place(struct builder *b)
{
	struct diff_case *c = &b->s->base;

	if (rng_percent(b->r, 25))
		c->in.rip = DIFF_SMC_VA + 64 + rng_below(b->r, 1000);
	else if (rng_percent(b->r, 30))
		c->in.rip = DIFF_CODE_VA + DIFF_PAGE - rng_below(b->r, 160);
	else
		c->in.rip = DIFF_CODE_VA + 64 + rng_below(b->r, 2000);
}

void
diff_seq(struct rng *r, const struct diff_forms *f, struct diff_seq *s)
{
	struct builder b = {.r = r, .f = f, .s = s, .compat = f->compat};
	struct diff_case *c = &s->base;

	memset(c, 0, offsetof(struct diff_case, code));
	c->compat = f->compat;
	c->alias_at = -1;
	c->absent = false;
	c->patches = c->masks = 0;
	c->fx_mask = c->flags_mask = 0;
	c->mnemonic = ZYDIS_MNEMONIC_INVALID;
	c->what = "sequence";
	s->items = 0;
	diff_value_regs(r, &c->in, f->compat);
	diff_world_segments(r, c);
	if (rng_percent(r, 90)) {
		c->in.fx[0] |= 0x3f;
		put_le16(c->in.fx + 2, get_le16(c->in.fx + 2) & 0x7f7f);
		c->in.fx[24] |= 0x80;
		c->in.fx[25] |= 0x1f;
		c->in.rflags &= ~(FL_TF | FL_AC);
	}
	choose_place(&b);
	choose_registers(&b);
	add_body(&b, 2 + rng_below(r, 31), 0, 0);
	add_exit(&b);
	add_functions(&b);
}
