/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench/callgen.h"

/* One template: bytes of one instruction. disp8 >= 0 says at which byte an
 * 8-bit displacement into the 256 data bytes at r8 goes; imm8 likewise for an
 * arbitrary value. */
struct template
{
	u8 count;
	s8 disp8_at;
	s8 imm8_at;
	u8 bytes[8];
};

/* clang-format off */
static const struct template templates[] = {
	{ 3, -1, -1, { 0x48, 0x01, 0xc8 } },             /* add rax, rcx */
	{ 4, -1,  3, { 0x48, 0x83, 0xc0, 0 } },          /* add rax, imm8 */
	{ 2, -1, -1, { 0x31, 0xc1 } },                   /* xor ecx, eax */
	{ 3, -1, -1, { 0x48, 0x89, 0xc2 } },             /* mov rdx, rax */
	{ 5, -1,  4, { 0x48, 0x8d, 0x54, 0x88, 0 } },    /* lea rdx,[rax+rcx*4+d] */
	{ 4,  3, -1, { 0x49, 0x8b, 0x70, 0 } },          /* mov rsi, [r8+d] */
	{ 4,  3, -1, { 0x49, 0x03, 0x40, 0 } },          /* add rax, [r8+d] */
	{ 4,  3, -1, { 0x49, 0x89, 0x40, 0 } },          /* mov [r8+d], rax */
	{ 4,  3, -1, { 0x41, 0x89, 0x48, 0 } },          /* mov [r8+d], ecx */
	{ 5,  4, -1, { 0x41, 0x0f, 0xb6, 0x50, 0 } },    /* movzx edx,byte[r8+d] */
	{ 4, -1, -1, { 0x48, 0x0f, 0xaf, 0xc2 } },       /* imul rax, rdx */
	{ 4, -1,  3, { 0x48, 0xc1, 0xc0, 0 } },          /* rol rax, imm8 */
	{ 4, -1, -1, { 0x48, 0xc1, 0xee, 0x05 } },       /* shr rsi, 5 */
	{ 3, -1, -1, { 0x48, 0x29, 0xf0 } },             /* sub rax, rsi */
	{ 5, -1, -1, { 0x50, 0x48, 0x01, 0xd1, 0x58 } }, /* push, add, pop */
};

/* A comparison and the condition it feeds; the branch skips forward. */
static const u8 compares[][4] = {
	{ 0xa8, 0x10, 0x90, 0x74 },  /* test al, 10h; nop; jz */
	{ 0x48, 0x39, 0xca, 0x72 },  /* cmp rdx, rcx; jb */
	{ 0x48, 0x85, 0xf6, 0x79 },  /* test rsi, rsi; jns */
};
/* clang-format on */

static u32
next(u64 *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (u32)(*seed >> 33);
}

static u8 *
put_plain(u8 *p, u64 *seed)
{
	const struct template *t =
	    &templates[next(seed) % ARRAY_SIZE(templates)];

	memcpy(p, t->bytes, t->count);
	if (t->disp8_at >= 0)
		p[t->disp8_at] = (u8)(next(seed) % 15 * 8);
	if (t->imm8_at >= 0)
		p[t->imm8_at] = (u8)(next(seed) & 0x7f);
	return p + t->count;
}

static u8 *
put_branch(u8 *p, u64 *seed)
{
	u8 *disp;

	memcpy(p, compares[next(seed) % ARRAY_SIZE(compares)], 4);
	disp = p + 4;
	p = disp + 1;
	for (unsigned n = 1 + next(seed) % 3; n > 0; n--)
		p = put_plain(p, seed);
	*disp = (u8)(p - disp - 1);
	return p;
}

size_t
callgen_fill(u8 *code, u64 code_va, u64 *fn, size_t count, u64 seed)
{
	u8 *p = code;

	for (size_t i = 0; i < count; i++) {
		u8 *start = p;

		fn[i] = code_va + (u64)(p - code);
		for (unsigned n = 1 + next(&seed) % 2; n > 0; n--) {
			p = put_plain(p, &seed);
			p = put_plain(p, &seed);
			p = put_plain(p, &seed);
			p = put_branch(p, &seed);
		}
		p = put_plain(p, &seed);
		*p++ = 0xc3;
		assert(p - start <= CALLGEN_MAX_BYTES);
	}
	return (size_t)(p - code);
}
