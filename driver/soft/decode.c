/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/decode_int.h"

#include <pthread.h>

#include "base/log.h"
#include "driver/soft/code_int.h"
#include "driver/soft/decode_sse.h"
#include "driver/soft/elide.h"
#include "driver/soft/insn_int.h"
#include "driver/soft/ops_flow.h"
#include "driver/soft/ops_mov.h"

#define INSN_MAX_BYTES 15

/* --- what emitters call ----------------------------------------------- */

struct uop *
emit(struct emitter *e, uop_fn fn)
{
	struct uop *u = &e->uop[e->n_uop];

	assert(e->n_uop < BLOCK_MAX_UOPS && fn);
	*u = (struct uop){.fn = uop_offset(fn)};
	e->off[e->n_uop++] = e->pos;
	return u;
}

void
emit_link(struct emitter *e, unsigned kind, u16 delta)
{
	struct link *l = (struct link *)emit(e, soft_base);

	*l = (struct link){.kind = (u16)kind, .delta = delta};
}

unsigned
decode_gpr(ZydisRegister r, bool *high)
{
	bool is_high = r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH;

	if (high)
		*high = is_high;
	if (is_high)
		return (unsigned)(r - ZYDIS_REGISTER_AH);
	/* Byte registers are numbered with AH and its like in between. */
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return (unsigned)(r - ZYDIS_REGISTER_SPL) + RSP;
	return (unsigned)(u8)ZydisRegisterGetId(r) & 15;
}

static u8
address_slot(ZydisRegister r)
{
	if (r == ZYDIS_REGISTER_NONE)
		return ZERO;
	if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return RIPB;
	return (u8)decode_gpr(r, NULL);
}

unsigned
decode_segment(ZydisRegister r)
{
	switch (r) {
	case ZYDIS_REGISTER_ES:
		return SEG_ES;
	case ZYDIS_REGISTER_CS:
		return SEG_CS;
	case ZYDIS_REGISTER_SS:
		return SEG_SS;
	case ZYDIS_REGISTER_FS:
		return SEG_FS;
	case ZYDIS_REGISTER_GS:
		return SEG_GS;
	default:
		return SEG_DS;
	}
}

/* In 64-bit mode overrides other than FS and GS mean nothing, though Zydis
 * reports them. */
static unsigned
operand_segment(const struct emitter *e, const ZydisDecodedOperand *m)
{
	unsigned seg = decode_segment(m->mem.segment);

	if (!(e->mode & MODE_64) || seg == SEG_FS || seg == SEG_GS)
		return seg;
	return m->mem.base == ZYDIS_REGISTER_RSP ||
		       m->mem.base == ZYDIS_REGISTER_RBP ||
		       m->mem.base == ZYDIS_REGISTER_ESP ||
		       m->mem.base == ZYDIS_REGISTER_EBP
		   ? SEG_SS
		   : SEG_DS;
}

/* Everything about an address before it is decided how to form it. */
struct address {
	u8 base, index, scale, seg_slot;
	bool is_ss;
	u8 bytes; /* address size */
	s64 disp;
};

static void
address_of(const struct emitter *e, const ZydisDecodedOperand *m,
	   struct address *a)
{
	unsigned seg = operand_segment(e, m);

	a->base = address_slot(m->mem.base);
	a->index = address_slot(m->mem.index);
	a->scale = 0;
	if (m->mem.index != ZYDIS_REGISTER_NONE && m->mem.scale)
		a->scale = (u8)__builtin_ctz(m->mem.scale);
	a->disp = m->mem.disp.has_displacement ? m->mem.disp.value : 0;
	/* SIB with a displacement in place of the base: Zydis 4.0 takes R13D
	 * for one when 67h and REX.B are there. */
	if ((e->in->attributes & ZYDIS_ATTRIB_HAS_SIB) &&
	    e->in->raw.modrm.mod == 0 && e->in->raw.sib.base == 5 &&
	    a->base != ZERO) {
		a->base = ZERO;
		a->disp = e->in->raw.disp.value;
	}
	a->bytes = e->in->address_width / 8;
	if (!(e->mode & MODE_64))
		a->disp = (s32)a->disp; /* of 32-bit MOV moffs */
	a->is_ss = seg == SEG_SS;
	a->seg_slot = (u8)(SEGB + seg);
	if (e->mode & MODE_64 && seg != SEG_FS && seg != SEG_GS)
		a->seg_slot = ZERO;
	if (a->base == RIPB)
		a->disp += emit_next(e);
}

static bool
fits32(s64 v)
{
	return v == (s32)v;
}

/* 64-bit addresses of one or two registers need no uop of their own. */
static bool
address_direct(const struct emitter *e, const struct address *a, bool may_index,
	       struct memref *out)
{
	if (!(e->mode & MODE_64) || a->bytes != 8 || !fits32(a->disp))
		return false;
	*out = (struct memref){.base = a->base,
			       .index = ZERO,
			       .disp = (s32)a->disp};
	if (a->seg_slot == ZERO && a->index == ZERO)
		return true;
	if (a->index == ZERO && a->base == ZERO) {
		out->base = a->seg_slot;
		return true;
	}
	if (!may_index || (a->seg_slot != ZERO && a->index != ZERO))
		return false;
	out->indexed = true;
	out->index = a->index;
	out->scale = a->scale;
	if (a->seg_slot != ZERO) {
		/* This way round, as base = rBP would make faults #SS. */
		out->base = a->seg_slot;
		out->index = a->base;
		out->scale = 0;
	}
	return true;
}

/* Compatibility mode, a segment that does not allow everything. */
static struct memref
address_checked(struct emitter *e, const struct address *a,
		const ZydisDecodedOperand *m)
{
	u32 acc = a->is_ss ? ACC_SS : 0;
	struct uop *u = emit(e, ea_checked);

	if (m->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
		acc |= ACC_READ;
	if (m->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		acc |= ACC_WRITE;
	if (m->size == 128 && !sse_unaligned(e->in->mnemonic))
		acc |= EA_ALIGNED;
	u->base = a->base;
	u->index = a->index;
	u->scale = a->scale;
	u->disp = (s32)a->disp;
	u->reg = a->seg_slot;
	u->imm = (s32)(acc | (u32)a->bytes << 8 | (u32)(m->size / 8) << 16);
	return (struct memref){.base = TMPA, .index = ZERO};
}

static struct memref
address_computed(struct emitter *e, const struct address *a,
		 const ZydisDecodedOperand *m)
{
	uop_fn fn = a->bytes == 8 ? ea_64 : ea_32;
	struct uop *u;

	if (!(e->mode & MODE_64) && e->mode & MODE_CHECK(a->seg_slot - SEGB))
		return address_checked(e, a, m);
	if (a->base == RIPB && a->bytes == 8 && !fits32(a->disp)) {
		u = emit(e, ea_rip64);
		u->disp = (s32)a->disp;
		u->imm = (s32)(a->disp >> 32);
		return (struct memref){.base = TMPA, .index = ZERO};
	}
	if (!fits32(a->disp)) {
		/* MOV moffs64: the whole address is the displacement. */
		assert(a->base == ZERO && a->index == ZERO);
		u = emit(e, mov_ri64);
		u->reg = TMPA;
		u->disp = (s32)a->disp;
		u->imm = (s32)(a->disp >> 32);
		u = emit(e, ea_64);
		u->base = TMPA;
	} else {
		if (!(e->mode & MODE_64))
			fn = a->bytes == 4 ? ea_32_compat : ea_16_compat;
		u = emit(e, fn);
		u->base = a->base;
		u->disp = (s32)a->disp;
	}
	u->index = a->index;
	u->scale = a->scale;
	u->reg = a->seg_slot;
	u->imm = a->is_ss ? ACC_SS : 0;
	return (struct memref){.base = TMPA, .index = ZERO};
}

struct memref
emit_addr(struct emitter *e, const ZydisDecodedOperand *m)
{
	struct memref out;
	struct address a;

	address_of(e, m, &a);
	if (address_direct(e, &a, false, &out))
		return out;
	return address_computed(e, &a, m);
}

struct memref
emit_addr_x(struct emitter *e, const ZydisDecodedOperand *m)
{
	struct memref out;
	struct address a;

	address_of(e, m, &a);
	if (address_direct(e, &a, true, &out))
		return out;
	return address_computed(e, &a, m);
}

void
uop_mem(struct uop *u, struct memref m)
{
	u->base = m.base;
	u->index = m.index;
	u->scale = m.scale;
	u->disp = m.disp;
}

/* --- helpers' view of an instruction ---------------------------------- */

static void
insn_operands(struct emitter *e, struct insn *in)
{
	const ZydisDecodedInstruction *z = e->in;
	bool rex_b = z->raw.rex.B, rex_r = z->raw.rex.R;
	bool rex = z->attributes & ZYDIS_ATTRIB_HAS_REX;
	struct address a;

	in->modrm_reg = (u8)(z->raw.modrm.reg | (rex_r ? 8 : 0));
	in->modrm_rm = (u8)(z->raw.modrm.rm | (rex_b ? 8 : 0));
	if (z->attributes & ZYDIS_ATTRIB_HAS_MODRM) {
		in->reg_high = !rex && z->raw.modrm.reg >= 4;
		in->rm_high = !rex && z->raw.modrm.rm >= 4;
	} else {
		in->modrm_rm = (u8)((in->opcode & 7) | (rex_b ? 8 : 0));
	}
	in->base = in->index = ZERO;
	in->seg = SEG_DS;
	for (unsigned i = 0; i < z->operand_count; i++) {
		const ZydisDecodedOperand *o = &e->ops[i];

		if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || in->has_mem)
			continue;
		/* what PUSH, CALL and their like do with the stack */
		if (o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
		    decode_gpr(o->mem.base, NULL) == RSP)
			continue;
		address_of(e, o, &a);
		in->has_mem = true;
		in->base = a.base;
		in->index = a.index;
		in->scale = a.scale;
		in->seg = (u8)operand_segment(e, o);
		in->disp = a.disp;
	}
}

static void
insn_immediates(const struct emitter *e, struct insn *in)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 2; i++) {
		s64 v;

		if (!e->in->raw.imm[i].size)
			continue;
		v = e->in->raw.imm[i].is_signed
			? e->in->raw.imm[i].value.s
			: (s64)e->in->raw.imm[i].value.u;
		if (n++ == 0)
			in->imm = v;
		else
			in->imm2 = v;
	}
	for (unsigned i = 0; i < e->in->operand_count; i++) {
		const ZydisDecodedOperand *o = &e->ops[i];

		if (o->type != ZYDIS_OPERAND_TYPE_POINTER)
			continue;
		in->imm = (s64)o->ptr.offset;
		in->imm2 = o->ptr.segment;
	}
}

struct insn *
emit_helper(struct emitter *e, helper_fn fn, bool ends)
{
	struct insn *in = code_alloc(e->c, sizeof(*in));
	struct uop *u = emit(e, op_helper);
	u64 p = (u64)(uintptr_t)in;

	*in = (struct insn){.fn = fn, .off = e->pos};
	in->len = e->in->length;
	in->opsize = e->in->operand_width / 8;
	in->addrsize = e->in->address_width / 8;
	in->opcode = e->in->opcode;
	if (e->in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
		in->rep = 0xf3;
	else if (e->in->attributes & ZYDIS_ATTRIB_HAS_REPNE)
		in->rep = 0xf2;
	in->lock = e->in->attributes & ZYDIS_ATTRIB_HAS_LOCK;
	insn_operands(e, in);
	insn_immediates(e, in);
	memcpy(in->raw, e->raw, MIN(in->len, sizeof(in->raw)));
	u->disp = (s32)(u32)p;
	u->imm = (s32)(u32)(p >> 32);
	e->end |= ends;
	return in;
}

/* --- one block -------------------------------------------------------- */

static enum helper_result
run_too_long(struct soft *c, const struct insn *in)
{
	(void)in;
	soft_raise_error(c, EXC_GP, 0);
	return HELPER_FAULT;
}

static ZydisDecoder decoder64, decoder32, decoder16;

static void
decoders_init(void)
{
	/* What the presented part lacks decodes as what it was before. */
	static const ZydisDecoderMode off[] = {ZYDIS_DECODER_MODE_MPX,
					       ZYDIS_DECODER_MODE_CET,
					       ZYDIS_DECODER_MODE_LZCNT,
					       ZYDIS_DECODER_MODE_TZCNT,
					       ZYDIS_DECODER_MODE_WBNOINVD,
					       ZYDIS_DECODER_MODE_CLDEMOTE};
	ZydisDecoder *all[] = {&decoder64, &decoder32, &decoder16};

	ZydisDecoderInit(&decoder64, ZYDIS_MACHINE_MODE_LONG_64,
			 ZYDIS_STACK_WIDTH_64);
	ZydisDecoderInit(&decoder32, ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
			 ZYDIS_STACK_WIDTH_32);
	ZydisDecoderInit(&decoder16, ZYDIS_MACHINE_MODE_LONG_COMPAT_16,
			 ZYDIS_STACK_WIDTH_16);
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		for (unsigned j = 0; j < ARRAY_SIZE(off); j++)
			ZydisDecoderEnableMode(all[i], off[j], ZYAN_FALSE);
		ZydisDecoderEnableMode(all[i], ZYDIS_DECODER_MODE_AMD_BRANCHES,
				       ZYAN_TRUE);
	}
}

static const ZydisDecoder *
decoder_for(u32 mode)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, decoders_init);
	return mode & MODE_64	 ? &decoder64
	       : mode & MODE_D32 ? &decoder32
				 : &decoder16;
}

/* The bytes of a block: its page, and for an instruction that crosses into
 * the next page a joined copy. */
struct bytes {
	const u8 *page; /* at the block's start */
	unsigned avail; /* to the end of the page */
	u8 joined[32];
	u64 gpa2;
};

/* Joins the first page's tail with the next page's head. False when the next
 * page cannot be fetched: an exception is recorded. */
static bool
bytes_join(struct soft *c, u64 lin, struct bytes *b)
{
	u64 next = (lin & PAGE_MASK) + PAGE_SIZE;
	const u8 *host;
	u64 run;

	if (!(c->mode & MODE_64))
		next = (u32)next;
	if (!mem_exec(c, next, &b->gpa2))
		return false;
	code_guard(c, b->gpa2);
	host = ram_host(c, b->gpa2, &run);
	memset(b->joined, 0, sizeof(b->joined));
	memcpy(b->joined, b->page, b->avail);
	memcpy(b->joined + b->avail, host, INSN_MAX_BYTES);
	return true;
}

static void
emit_one(struct emitter *e)
{
	if (emit_integer(e) || emit_system(e) || emit_fpu(e))
		return;
	log_debug("guest: no such instruction on this processor: %02x %02x "
		  "%02x %02x (%s)",
		  e->raw[0], e->raw[1], e->raw[2], e->raw[3],
		  ZydisMnemonicGetString(e->in->mnemonic));
	emit_helper(e, insn_ud, true);
	e->fall = false;
}

static void
emit_bad(struct emitter *e, ZyanStatus status)
{
	static const ZydisDecodedInstruction none = {.length = 1,
						     .operand_width = 32,
						     .address_width = 64};

	e->in = &none;
	e->ops = NULL;
	emit_helper(e,
		    status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG ? run_too_long
								: insn_ud,
		    true);
	e->fall = false;
}

/* Decodes the instruction at e->pos. True: go on. *joined tells that it
 * reached into the second page. False: it could not be fetched. */
static bool
decode_one(struct emitter *e, struct bytes *b, bool *joined)
{
	const ZydisDecoder *d = decoder_for(e->mode);
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction in;
	unsigned have = b->avail - e->pos;
	ZyanStatus st;

	*joined = false;
	e->raw = b->page + e->pos;
	st = ZydisDecoderDecodeFull(d, e->raw, MIN(have, 15u), &in, ops);
	if (st == ZYDIS_STATUS_NO_MORE_DATA && have < INSN_MAX_BYTES) {
		*joined = true;
		if (e->pos != 0)
			return true; /* starts a block of its own */
		if (!bytes_join(e->c, e->block_lin, b))
			return false;
		e->raw = b->joined;
		st = ZydisDecoderDecodeFull(d, e->raw, 15, &in, ops);
	}
	if (ZYAN_SUCCESS(st)) {
		e->in = &in;
		e->ops = ops;
		emit_one(e);
	} else {
		emit_bad(e, st == ZYDIS_STATUS_NO_MORE_DATA
				? ZYDIS_STATUS_INSTRUCTION_TOO_LONG
				: st);
	}
	e->n_insn++;
	e->pos = emit_next(e);
	e->in = NULL;
	e->ops = NULL;
	return true;
}

static struct block *
block_finish(struct emitter *e, u64 gpa, u64 gpa2)
{
	struct block *b =
	    code_alloc(e->c, sizeof(*b) +
				 e->n_uop * (sizeof(struct uop) + sizeof(u16)));

	*b = (struct block){.lin = e->block_lin, .gpa = gpa, .gpa2 = gpa2};
	b->mode = e->mode;
	b->bytes = e->pos;
	b->n_insn = (u16)e->n_insn;
	elide_flags(e->uop, e->n_uop);
	b->n_uop = (u16)e->n_uop;
	memcpy(b->uop, e->uop, e->n_uop * sizeof(struct uop));
	b->off = (u16 *)(void *)&b->uop[e->n_uop];
	memcpy(b->off, e->off, e->n_uop * sizeof(u16));
	return b;
}

unsigned
emit_link_kind(const struct emitter *e, s64 delta)
{
	u64 lin = e->block_lin + (u64)delta;

	if ((lin ^ e->block_lin) & PAGE_MASK)
		return lin >> 63;
	return GEN_PAGE;
}

struct block *
decode_block(struct soft *c, u64 lin, u64 gpa, u32 mode)
{
	struct emitter e = {.c = c, .block_lin = lin, .mode = mode};
	struct bytes b = {.page = ram_host(c, gpa, NULL), .gpa2 = GPA_NONE};
	unsigned max = mode & MODE_STEP ? 1 : BLOCK_MAX_INSNS;
	bool joined;

	b.avail = (unsigned)(PAGE_SIZE - (gpa & ~PAGE_MASK));
	e.fall = true;
	while (!e.end && e.n_insn < max && e.pos < b.avail &&
	       e.n_uop + 2 * INSN_MAX_UOPS <= BLOCK_MAX_UOPS) {
		if (!decode_one(&e, &b, &joined))
			return NULL;
		if (joined)
			break;
	}
	if (e.fall) {
		struct uop *u = emit(&e, jmp);

		u->disp = e.pos;
		emit_link(&e, emit_link_kind(&e, e.pos), 0);
	}
	return block_finish(&e, gpa, b.gpa2);
}
