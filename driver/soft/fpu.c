/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/fpu.h"

#include "driver/soft/stub.h"

#define ST_BYTES 128 /* eight registers of the image */

/* --- live state ------------------------------------------------------- */

static u32
mxcsr(const struct soft *c)
{
	return get_le32(c->fx + FX_MXCSR);
}

void
fpu_mxcsr_in(struct soft *c)
{
	assert((mxcsr(c) & MXCSR_MASKS) == MXCSR_MASKS);
	if (c->fx_live & FX_LIVE_MXCSR)
		return;
	c->host_mxcsr = __builtin_ia32_stmxcsr();
	__builtin_ia32_ldmxcsr(mxcsr(c));
	c->fx_live |= FX_LIVE_MXCSR;
}

void
fpu_mxcsr_out(struct soft *c)
{
	if (!(c->fx_live & FX_LIVE_MXCSR))
		return;
	put_le32(c->fx + FX_MXCSR, __builtin_ia32_stmxcsr());
	__builtin_ia32_ldmxcsr(c->host_mxcsr);
	c->fx_live &= (u8)~FX_LIVE_MXCSR;
}

/* FXRSTOR loads everything: MXCSR must stay what it is, the XMM registers hold
 * nothing across it. */
void
fpu_x87_in(struct soft *c)
{
	_Alignas(16) u8 image[FX_BYTES] = {0};

	if (c->fx_live & FX_LIVE_X87)
		return;
	memcpy(image, c->fx, FX_ST(0) + ST_BYTES);
	put_le64(image + FX_FIP, 0);
	put_le64(image + FX_FDP, 0);
	put_le32(image + FX_MXCSR, __builtin_ia32_stmxcsr());
	__asm__ volatile("fnstcw %0\n\tfxrstor64 %1"
			 : "=m"(c->host_fcw)
			 : "m"(image)
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			   "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
			   "xmm12", "xmm13", "xmm14", "xmm15");
	c->fx_live |= FX_LIVE_X87;
}

void
fpu_x87_out(struct soft *c)
{
	_Alignas(16) u8 image[FX_BYTES];

	if (!(c->fx_live & FX_LIVE_X87))
		return;
	__asm__ volatile("fxsave64 %0\n\tfninit\n\tfldcw %1"
			 : "=m"(image)
			 : "m"(c->host_fcw));
	memcpy(c->fx, image, FX_FOP);
	memcpy(c->fx + FX_ST(0), image + FX_ST(0), ST_BYTES);
	c->fx_live &= (u8)~FX_LIVE_X87;
	fpu_settle(c);
}

void
fpu_leave(struct soft *c)
{
	fpu_mxcsr_out(c);
	fpu_x87_out(c);
	assert(c->fx_live == 0);
}

/* --- the image -------------------------------------------------------- */

void
fpu_settle(struct soft *c)
{
	u16 fcw = get_le16(c->fx + FX_FCW), fsw = get_le16(c->fx + FX_FSW);
	bool es = fsw & ~fcw & FSW_EXCEPT;

	assert(!(c->fx_live & FX_LIVE_X87));
	fsw &= (u16) ~(FSW_ES | FSW_B);
	if (es)
		fsw |= FSW_ES | FSW_B;
	put_le16(c->fx + FX_FSW, fsw);
	put_le16(c->fx + FX_FOP, es ? c->x87.op : 0);
	put_le64(c->fx + FX_FIP, es ? c->x87.ip : 0);
	put_le64(c->fx + FX_FDP, es ? c->x87.dp : 0);
}

/* What FXRSTOR makes of the x87 half: reserved bits do not stick. */
static void
x87_load(struct soft *c)
{
	u16 fcw = get_le16(c->fx + FX_FCW);

	put_le16(c->fx + FX_FCW, (fcw & FCW_WRITABLE) | FCW_ONE);
	c->fx[FX_FTW + 1] = 0;
	for (unsigned i = 0; i < 8; i++)
		memset(c->fx + FX_ST(i) + 10, 0, 6);
	c->x87.op = get_le16(c->fx + FX_FOP) & 0x7ff;
	c->x87.ip = canonical48(get_le64(c->fx + FX_FIP));
	c->x87.dp = canonical48(get_le64(c->fx + FX_FDP));
	c->x87.cs = c->x87.ds = 0;
	put_le32(c->fx + FX_MXCSR_MASK, MXCSR_MASK);
	fpu_settle(c);
}

void
fpu_load(struct soft *c)
{
	c->fx_live = 0;
	put_le32(c->fx + FX_MXCSR, mxcsr(c) & MXCSR_MASK);
	x87_load(c);
}

void
fpu_set_top(struct soft *c, unsigned top)
{
	u16 fsw = get_le16(c->fx + FX_FSW);
	unsigned old = fsw >> FSW_TOP_SHIFT & 7;
	u8 st[ST_BYTES];

	assert(top < 8 && !(c->fx_live & FX_LIVE_X87));
	if (top == old)
		return;
	/* ST(i) is physical register (TOP + i) mod 8. */
	memcpy(st, c->fx + FX_ST(0), ST_BYTES);
	for (unsigned i = 0; i < 8; i++)
		memcpy(c->fx + FX_ST(i), st + 16 * ((top + i - old) & 7), 16);
	fsw &= (u16) ~(7u << FSW_TOP_SHIFT);
	put_le16(c->fx + FX_FSW, (u16)(fsw | top << FSW_TOP_SHIFT));
}

void
fpu_init(struct soft *c)
{
	fpu_x87_out(c);
	fpu_set_top(c, 0);
	put_le16(c->fx + FX_FCW, FCW_RESET);
	put_le16(c->fx + FX_FSW, 0);
	c->fx[FX_FTW] = 0;
	memset(&c->x87, 0, sizeof(c->x87));
	fpu_settle(c);
}

/* --- SIMD exceptions -------------------------------------------------- */

/* Without a trap: most instructions raise nothing that is unmasked. False: this
 * one may. Underflow is another thing masked (tiny and inexact) than unmasked
 * (tiny), so that it cannot be seen this way. */
static bool
simd_try(struct soft *c, s32 stub, void *copy, void *rm, u64 *flags)
{
	u32 guest = mxcsr(c), host = __builtin_ia32_stmxcsr(), raised;
	u32 unmasked = ~(guest >> MXCSR_MASK_SHIFT) & MXCSR_EXCEPT;

	if (unmasked & MXCSR_UE)
		return false;
	__builtin_ia32_ldmxcsr((guest & ~MXCSR_EXCEPT) | MXCSR_MASKS);
	*flags = stub_call(stub, copy, rm, c);
	raised = __builtin_ia32_stmxcsr() & MXCSR_EXCEPT;
	__builtin_ia32_ldmxcsr(host);
	if (raised & unmasked)
		return false;
	put_le32(c->fx + FX_MXCSR, guest | raised);
	return true;
}

static bool
simd_trapping(struct soft *c, s32 stub, void *copy, void *rm, u64 *flags)
{
	u32 now = mxcsr(c);
	bool done = stub_call_trapping(stub, copy, rm, c, &now, flags);

	put_le32(c->fx + FX_MXCSR, mxcsr(c) | (now & MXCSR_EXCEPT));
	if (!done)
		soft_raise(c, c->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
	return done;
}

/* The stub works on a copy of its destination until it is known to be done. */
bool
fpu_simd(struct soft *c, s32 stub, void *reg, unsigned reg_bytes, void *rm,
	 bool sets_flags)
{
	_Alignas(16) u8 copy[16] = {0};
	u64 flags;

	assert(reg_bytes <= sizeof(copy));
	memcpy(copy, reg, reg_bytes);
	if ((mxcsr(c) & MXCSR_MASKS) == MXCSR_MASKS) {
		fpu_mxcsr_in(c);
		flags = stub_call(stub, copy, rm, c);
	} else if (!simd_try(c, stub, copy, rm, &flags)) {
		memcpy(copy, reg, reg_bytes);
		if (!simd_trapping(c, stub, copy, rm, &flags))
			return false;
	}
	memcpy(reg, copy, reg_bytes);
	if (sets_flags)
		flags_set_arith(c, flags);
	return true;
}

/* --- FXSAVE, FXRSTOR, LDMXCSR, STMXCSR -------------------------------- */

static bool
sse_ready(struct soft *c)
{
	if ((c->cr0 & CR0_EM) || !(c->cr4 & CR4_OSFXSR))
		soft_raise(c, EXC_UD);
	else if (c->cr0 & CR0_TS)
		soft_raise(c, EXC_NM);
	return !c->exc.valid;
}

/* The first four bytes must have addresses before alignment matters; the rest
 * of the image comes after it. */
static bool
fx_ready(struct soft *c, const struct insn *in, unsigned acc)
{
	u64 lin = insn_lin(c, in, 0);

	if (c->cr0 & (CR0_EM | CR0_TS))
		soft_raise(c, EXC_NM);
	else if (!insn_check(c, in, 0, 4, acc))
		return false;
	else if (!is_canonical(lin) || !is_canonical(lin + 3))
		soft_raise_error(c, in->seg == SEG_SS ? EXC_SS : EXC_GP, 0);
	else if (!fpu_misaligned(c, lin, 4) && (lin & 15))
		soft_raise_error(c, EXC_GP, 0);
	return !c->exc.valid;
}

/* Whether the image can be accessed: its last byte is asked for first. */
static enum helper_result
image_probe(struct soft *c, const struct insn *in, unsigned acc)
{
	enum helper_result r;

	r = insn_probe(c, in, FX_BYTES - 1, 1, acc);
	return r == HELPER_NEXT ? insn_probe(c, in, 0, 1, acc) : r;
}

/* How much of the image from FX_XMM(0) on is saved and loaded. */
static unsigned
xmm_bytes(const struct soft *c)
{
	if (!(c->cr4 & CR4_OSFXSR))
		return 0;
	return c->mode & MODE_64 ? 256 : 128;
}

enum helper_result
fpu_fxsave(struct soft *c, const struct insn *in)
{
	unsigned end = FX_XMM(0) + xmm_bytes(c);
	enum helper_result r;
	u8 image[FX_BYTES];

	if (!fx_ready(c, in, ACC_WRITE))
		return HELPER_FAULT;
	r = image_probe(c, in, ACC_WRITE);
	if (r != HELPER_NEXT)
		return r;
	fpu_leave(c);
	memcpy(image, c->fx, sizeof(image));
	if (in->opsize != 8 && (c->fx[FX_FSW] & FSW_ES)) {
		put_le32(image + FX_FIP, (u32)c->x87.ip);
		put_le32(image + FX_FIP + 4, c->x87.cs);
		put_le32(image + FX_FDP, (u32)c->x87.dp);
		put_le32(image + FX_FDP + 4, c->x87.ds);
	}
	for (unsigned at = 0; at < end; at += 32) {
		r = insn_write(c, in, at, image + at, 32, ACC_ANY);
		if (r != HELPER_NEXT)
			return r;
	}
	return HELPER_NEXT;
}

enum helper_result
fpu_fxrstor(struct soft *c, const struct insn *in)
{
	unsigned bytes = xmm_bytes(c);
	enum helper_result r;
	u8 image[FX_BYTES];

	if (!fx_ready(c, in, ACC_READ))
		return HELPER_FAULT;
	r = image_probe(c, in, ACC_READ);
	if (r != HELPER_NEXT)
		return r;
	for (unsigned at = 0; at < FX_BYTES; at += 64) {
		r = insn_read(c, in, at, image + at, 64, ACC_ANY);
		if (r != HELPER_NEXT)
			return r;
	}
	if (bytes && (get_le32(image + FX_MXCSR) & ~MXCSR_MASK)) {
		soft_raise_error(c, EXC_GP, 0);
		return HELPER_FAULT;
	}
	fpu_leave(c);
	memcpy(c->fx, image, FX_MXCSR);
	memcpy(c->fx + FX_ST(0), image + FX_ST(0), ST_BYTES);
	if (bytes) {
		memcpy(c->fx + FX_MXCSR, image + FX_MXCSR, 4);
		memcpy(c->fx + FX_XMM(0), image + FX_XMM(0), bytes);
	}
	if (in->opsize != 8) {
		put_le64(c->fx + FX_FIP, get_le32(image + FX_FIP));
		put_le64(c->fx + FX_FDP, get_le32(image + FX_FDP));
	}
	x87_load(c);
	if (in->opsize != 8) {
		c->x87.cs = get_le16(image + FX_FIP + 4);
		c->x87.ds = get_le16(image + FX_FDP + 4);
	}
	return HELPER_NEXT;
}

enum helper_result
fpu_ldmxcsr(struct soft *c, const struct insn *in)
{
	enum helper_result r;
	u8 buf[4];

	if (!sse_ready(c))
		return HELPER_FAULT;
	r = insn_read(c, in, 0, buf, sizeof(buf), 0);
	if (r != HELPER_NEXT)
		return r;
	if (get_le32(buf) & ~MXCSR_MASK) {
		soft_raise_error(c, EXC_GP, 0);
		return HELPER_FAULT;
	}
	fpu_mxcsr_out(c);
	memcpy(c->fx + FX_MXCSR, buf, sizeof(buf));
	return HELPER_NEXT;
}

enum helper_result
fpu_stmxcsr(struct soft *c, const struct insn *in)
{
	u8 buf[4];

	if (!sse_ready(c))
		return HELPER_FAULT;
	fpu_mxcsr_out(c);
	put_le32(buf, mxcsr(c));
	return insn_write(c, in, 0, buf, sizeof(buf), 0);
}
