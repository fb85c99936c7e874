/* SPDX-License-Identifier: BSD-2-Clause */
/* Cases of one instruction. */
#include "tests/diff_int.h"

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

/* The whole instruction must be there: what is said of it holds when the
 * processor has seen all of it. */
static void
keep_whole(struct diff_case *c)
{
	if (c->in.rip >= DIFF_CODE_VA + DIFF_PAGE && c->in.rip < DIFF_DATA_VA)
		c->in.rip -= DIFF_PAGE;
}

/* The override that changes nothing for the instruction's memory operand. */
static u8
idle_override(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	for (unsigned i = 0; i < in->operand_count; i++) {
		if (ops[i].type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		switch (ops[i].mem.segment) {
		case ZYDIS_REGISTER_ES:
			return 0x26;
		case ZYDIS_REGISTER_CS:
			return 0x2e;
		case ZYDIS_REGISTER_SS:
			return 0x36;
		case ZYDIS_REGISTER_FS:
			return 0x64;
		case ZYDIS_REGISTER_GS:
			return 0x65;
		default:
			return 0x3e;
		}
	}
	return 0x3e;
}

/* F3 selects TZCNT and LZCNT on the host, while the guest ignores it. The
 * host gets a segment override that it ignores. */
static bool
make_alias(struct diff_case *c, const ZydisDecodedInstruction *in,
	   const ZydisDecodedOperand *ops)
{
	for (unsigned i = 0; i < in->raw.prefix_count; i++) {
		if (c->code[i] != 0xf3)
			continue;
		if (c->alias_at >= 0)
			return false;
		c->alias_at = (int)i;
		c->alias_byte = 0xf3;
		c->code[i] = idle_override(in, ops);
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
	diff_world_segments(r, c);
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
	if (class == FORM_ALIAS && !make_alias(c, &in, ops))
		return false;
	note_instruction(c, &in);
	/* parts do not agree on whether these have a ModRM byte */
	if (in.mnemonic == ZYDIS_MNEMONIC_UD0 ||
	    in.mnemonic == ZYDIS_MNEMONIC_UD1)
		keep_whole(c);
	diff_arrange(r, c, c->code, c->in.rip, &in, ops, class);
	return !diff_offsets_odd(c, &in, ops);
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
	return !diff_offsets_odd(c, &in, ops);
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
