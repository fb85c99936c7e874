/* SPDX-License-Identifier: BSD-2-Clause */
/* Cases of one instruction that loads a segment register, goes to another
 * code segment, returns from an interrupt, or asks about a selector. The
 * guest's GDT has at the same places what Linux has in its own: kernel code
 * and data at 10h and 18h, user code 23h, data 2Bh, 64-bit code 33h, a TSS at
 * 40h. Selectors beyond these are not used, since Linux has more there. */
#include "tests/diff_int.h"

enum operand {
	SEL,	 /* a selector in a register or memory */
	SEL_POP, /* on the stack */
	FAR,	 /* offset and selector in memory */
	FAR_IMM, /* in the instruction */
	FAR_RET, /* on the stack */
	FRAME,	 /* of IRET, on the stack */
};

enum { IN_64 = 1, IN_32 = 2, IN_BOTH = 3 };

static const struct row {
	u8 bytes[2];
	u8 count;
	s8 reg; /* ModRM field; -1: any of the first six, -2: no ModRM */
	u8 modes;
	enum operand operand;
} rows[] = {
    {{0x8e}, 1, -1, IN_BOTH, SEL}, /* MOV Sreg, r/m16 */
    {{0x8e}, 1, -1, IN_BOTH, SEL}, /* (half of all cases) */
    {{0x8e}, 1, -1, IN_BOTH, SEL},
    {{0x0f, 0xa1}, 2, -2, IN_BOTH, SEL_POP}, /* POP FS */
    {{0x0f, 0xa9}, 2, -2, IN_BOTH, SEL_POP}, /* POP GS */
    {{0x07}, 1, -2, IN_32, SEL_POP},	     /* POP ES */
    {{0x17}, 1, -2, IN_32, SEL_POP},	     /* POP SS */
    {{0x1f}, 1, -2, IN_32, SEL_POP},	     /* POP DS */
    {{0x0f, 0xb2}, 2, -1, IN_BOTH, FAR},     /* LSS */
    {{0x0f, 0xb4}, 2, -1, IN_BOTH, FAR},     /* LFS */
    {{0x0f, 0xb5}, 2, -1, IN_BOTH, FAR},     /* LGS */
    {{0xc4}, 1, -1, IN_32, FAR},	     /* LES */
    {{0xc5}, 1, -1, IN_32, FAR},	     /* LDS */
    {{0x0f, 0x02}, 2, -1, IN_BOTH, SEL},     /* LAR */
    {{0x0f, 0x03}, 2, -1, IN_BOTH, SEL},     /* LSL */
    {{0x0f, 0x00}, 2, 4, IN_BOTH, SEL},	     /* VERR */
    {{0x0f, 0x00}, 2, 5, IN_BOTH, SEL},	     /* VERW */
    {{0xff}, 1, 3, IN_BOTH, FAR},	     /* CALL far */
    {{0xff}, 1, 5, IN_BOTH, FAR},	     /* JMP far */
    {{0x9a}, 1, -2, IN_32, FAR_IMM},	     /* CALL far */
    {{0xea}, 1, -2, IN_32, FAR_IMM},	     /* JMP far */
    {{0xcb}, 1, -2, IN_BOTH, FAR_RET},	     /* RETF */
    {{0xca}, 1, -2, IN_BOTH, FAR_RET},	     /* RETF imm16 */
    {{0xcf}, 1, -2, IN_BOTH, FRAME},	     /* IRET */
    {{0xcf}, 1, -2, IN_BOTH, FRAME},
};

static u16
data_selector(struct rng *r)
{
	static const u16 sels[] = {0,	 1,    2,    3,	   0x2b, 0x2b, 0x2b,
				   0x28, 0x2a, 0x23, 0x33, 0x20, 0x10, 0x18,
				   0x1b, 0x13, 0x40, 0x43, 0x04, 0x57, 0x5f};

	if (rng_percent(r, 20))
		return DIFF_LDTR(rng_below(r, DIFF_LDT)) - (u16)rng_below(r, 2);
	return sels[rng_below(r, ARRAY_SIZE(sels))];
}

static u16
code_selector(struct rng *r)
{
	switch (rng_below(r, 8)) {
	case 0:
		return data_selector(r);
	case 1:
	case 2:
		return DIFF_CS32;
	case 3:
		return DIFF_LDTR(7 + rng_below(r, 2)); /* code */
	default:
		return DIFF_CS64;
	}
}

/* An offset of operand size, then a selector; returns the bytes. */
static unsigned
put_far(u8 *p, u64 off, u16 sel, unsigned size_bytes)
{
	size_bytes = MIN(4U, size_bytes); /* AMD parts ignore REX.W here */
	put_le64(p, off);
	put_le16(p + size_bytes, sel);
	return size_bytes + 2;
}

/* Each slot of the stack has the operand's size. */
static void
poke_slots(struct diff_case *c, const u64 *slots, unsigned count,
	   unsigned size_bytes)
{
	u8 bytes[48];

	for (unsigned i = 0; i < count; i++)
		put_le64(bytes + i * size_bytes, slots[i]);
	diff_poke(c, (u32)(c->in.gpr[RSP] + diff_world_base(c, DIFF_SELS - 1)),
		  bytes, count * size_bytes);
}

/* Now and then a stack that is misaligned, or that reaches a page which cannot
 * be read or written. */
static void
move_stack(struct rng *r, struct diff_case *c)
{
	u64 *sp = &c->in.gpr[RSP];

	switch (rng_below(r, 20)) {
	case 0:
		*sp += rng_below(r, 8);
		break;
	case 1:
		*sp = DIFF_DATA_VA + rng_below(r, 40);
		break;
	case 2:
		*sp = DIFF_DATA_VA + DIFF_DATA_PAGES * DIFF_PAGE -
		      rng_below(r, 40);
		break;
	case 3:
		*sp = DIFF_DATA_VA + 2 * DIFF_PAGE + rng_below(r, 40);
		break;
	default:
		break;
	}
}

static u64
frame_flags(struct rng *r)
{
	u64 flags = rng_next(r) & (FL_ARITH | FL_DF | FL_IF | FL_IOPL);

	if (rng_percent(r, 30))
		flags |= rng_next(r) &
			 (FL_TF | FL_NT | FL_AC | FL_ID | FL_RF | FL_ONE);
	return flags;
}

/* Prefixes and opcode; returns the operand size. */
static unsigned
spell(struct rng *r, struct diff_case *c, const struct row *row)
{
	bool wide = !c->compat && rng_percent(r, 40);
	bool small = rng_percent(r, 20);

	if (small)
		c->code[c->code_bytes++] = 0x66;
	if (wide)
		c->code[c->code_bytes++] = 0x48;
	memcpy(c->code + c->code_bytes, row->bytes, row->count);
	c->code_bytes += row->count;
	return wide ? 8 : small ? 2 : 4;
}

/* ModRM with [rbx + disp32] or a register. Returns the operand's address, or
 * 0 when it is a register, which then receives sel. */
static u64
spell_modrm(struct rng *r, struct diff_case *c, const struct row *row, u16 sel)
{
	unsigned reg = row->reg < 0 ? rng_below(r, 6) : (unsigned)row->reg;
	unsigned rm = rng_below(r, 8);
	u64 va = diff_value_address(r, 8);
	u8 *p = c->code + c->code_bytes;

	if (row->operand == SEL ? rng_percent(r, 70) : rng_percent(r, 5)) {
		*p = (u8)(0xc0 | reg << 3 | rm);
		c->code_bytes += 1;
		c->in.gpr[rm] = (c->in.gpr[rm] & ~0xffffULL) | sel;
		return 0;
	}
	*p = (u8)(0x80 | reg << 3 | RBX);
	put_le32(p + 1, 0x1000);
	c->code_bytes += 5;
	c->in.gpr[RBX] = va - 0x1000 - diff_world_base(c, 0);
	if (c->compat)
		c->in.gpr[RBX] = (u32)c->in.gpr[RBX];
	return va;
}

static void
make(struct rng *r, struct diff_case *c, const struct row *row)
{
	unsigned size_bytes = spell(r, c, row);
	u64 next_va = c->in.rip + c->code_bytes + 8, va = 0;
	u64 target = diff_branch_target(r, c, next_va);
	u64 slots[5] = {target, code_selector(r), frame_flags(r),
			diff_value_address(r, 8) & ~7ULL, DIFF_DS};
	u16 sel = data_selector(r);
	u8 bytes[16];

	move_stack(r, c);
	if (row->reg != -2)
		va = spell_modrm(r, c, row, sel);
	switch (row->operand) {
	case SEL:
		put_le64(bytes, sel);
		diff_poke(c, va, bytes, 2);
		break;
	case SEL_POP:
		slots[0] = (rng_next(r) & ~0xffffULL) | sel;
		poke_slots(c, slots, 1,
			   size_bytes == 2 ? 2
			   : c->compat	   ? 4
					   : 8);
		break;
	case FAR:
		diff_poke(c, va, bytes,
			  put_far(bytes,
				  row->bytes[0] == 0xff ? target : rng_next(r),
				  row->bytes[0] == 0xff ? (u16)slots[1] : sel,
				  size_bytes));
		break;
	case FAR_IMM:
		c->code_bytes += put_far(c->code + c->code_bytes, target,
					 (u16)slots[1], size_bytes);
		break;
	case FAR_RET:
		if (row->bytes[0] == 0xca) {
			put_le16(c->code + c->code_bytes,
				 (u16)rng_below(r, 64));
			c->code_bytes += 2;
		}
		poke_slots(c, slots, 2, size_bytes);
		break;
	case FRAME:
		/* a trap behind the exit would hit the harness */
		if (slots[0] == DIFF_EXIT_VA)
			slots[2] &= ~FL_TF;
		if (rng_percent(r, 20))
			slots[4] = data_selector(r);
		poke_slots(c, slots, 5, size_bytes);
		break;
	}
	while (c->in.rip + c->code_bytes < next_va)
		c->code[c->code_bytes++] = 0x90;
}

void
diff_system(struct rng *r, const struct diff_forms *f, struct diff_case *c)
{
	u8 mode = f->compat ? IN_32 : IN_64;
	const struct row *row;

	do {
		row = &rows[rng_below(r, ARRAY_SIZE(rows))];
	} while ((row->modes & mode) == 0);
	diff_start_case(r, c, f->compat);
	if (c->in.rip >= DIFF_CODE_VA + DIFF_PAGE && c->in.rip < DIFF_DATA_VA)
		c->in.rip -= DIFF_PAGE;
	c->what = "system";
	make(r, c, row);
	diff_append_exit(c);
}
