/* SPDX-License-Identifier: BSD-2-Clause */
/* Spells instructions: a form of diff_forms.c with random registers, prefixes
 * and operands, and the jump that ends a case. */
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
