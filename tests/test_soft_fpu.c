/* SPDX-License-Identifier: BSD-2-Clause */
/* test_soft_fpu - what the comparison with the host cannot see of x87 and SSE
 *
 * What:    control registers that forbid instructions, exceptions of kernels
 *          that handle them otherwise than Linux, device memory, state that
 *          stays in the host's registers across exits and threads, FXSAVE in
 *          all its forms, code that FP stores change, and instructions that
 *          the presented part does not have. diff_cpu has the arithmetic.
 */
#include <Zydis/Zydis.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "driver/soft/decode_sse.h"
#include "driver/soft/fpu.h"
#include "driver/soft/stub.h"
#include "tests/sys_world.h"

#define LEN(name) ((unsigned)(name##_end - name))

static u16
fsw_of(const struct sys_world *w)
{
	return get_le16(w->s.fx + FX_FSW);
}

static u32
mxcsr_of(const struct sys_world *w)
{
	return get_le32(w->s.fx + FX_MXCSR);
}

static void
xmm_set(struct sys_world *w, unsigned n, u64 low, u64 high)
{
	put_le64(w->s.fx + FX_XMM(n), low);
	put_le64(w->s.fx + FX_XMM(n) + 8, high);
}

static u64
xmm_low(const struct sys_world *w, unsigned n)
{
	return get_le64(w->s.fx + FX_XMM(n));
}

static u64
double_bits(double d)
{
	u64 v;

	memcpy(&v, &d, sizeof(v));
	return v;
}

/* --- what may run ----------------------------------------------------- */

GUEST_CODE(code_fxsave_rbp, "fxsave64 (%rbp)");
GUEST_CODE(insn_x87, "fld1");
GUEST_CODE(insn_x87_control, "fnstcw 0x30000");
GUEST_CODE(insn_fwait, "fwait");
GUEST_CODE(insn_mmx, "paddb %mm1, %mm0");
GUEST_CODE(insn_emms, "emms");
GUEST_CODE(insn_sse, "addps %xmm1, %xmm0");
GUEST_CODE(insn_sse_move, "movups 0x30000, %xmm0");
GUEST_CODE(insn_ldmxcsr, "ldmxcsr 0x30000");
GUEST_CODE(insn_stmxcsr, "stmxcsr 0x30000");
GUEST_CODE(insn_fxsave, "fxsave 0x30000");
GUEST_CODE(insn_fxrstor, "fxrstor 0x30000");
GUEST_CODE(insn_movnti, "movnti %eax, 0x30000");
GUEST_CODE(insn_from_mmx, "movq2dq %mm0, %xmm0");

enum { NONE = 0xff, UD = EXC_UD, NM = EXC_NM };

/* APM 3 A.2, APM 5; columns: EM, TS with MP, TS without MP, no OSFXSR. */
static const struct {
	const u8 *from, *to;
	u8 em, ts_mp, ts, no_osfxsr;
} gated[] = {
    {insn_x87, insn_x87_end, NM, NM, NM, NONE},
    {insn_x87_control, insn_x87_control_end, NM, NM, NM, NONE},
    {insn_fwait, insn_fwait_end, NONE, NM, NONE, NONE},
    {insn_mmx, insn_mmx_end, UD, NM, NM, NONE},
    {insn_emms, insn_emms_end, UD, NM, NM, NONE},
    {insn_sse, insn_sse_end, UD, NM, NM, UD},
    {insn_sse_move, insn_sse_move_end, UD, NM, NM, UD},
    {insn_ldmxcsr, insn_ldmxcsr_end, UD, NM, NM, UD},
    {insn_stmxcsr, insn_stmxcsr_end, UD, NM, NM, UD},
    {insn_fxsave, insn_fxsave_end, NM, NM, NM, NONE},
    {insn_fxrstor, insn_fxrstor_end, NM, NM, NM, NONE},
    {insn_movnti, insn_movnti_end, NONE, NONE, NONE, NONE},
    {insn_from_mmx, insn_from_mmx_end, UD, NM, NM, UD},
};

static const u8 hlt = 0xf4;

static void
expect(struct sys_world *w, u8 vector)
{
	w->s.rip = W_CODE;
	w->s.gpr[RSP] = W_STACK;
	if (vector == NONE) {
		sys_world_expect_halt(w);
		assert_int_equal(w->ram[w->s.rip - 1], hlt);
	} else {
		sys_world_expect_fault(w, vector, 0, 0);
	}
}

static void
test_soft_fpu_obeys_control_registers(void **state)
{
	struct sys_world *w = *state;
	const struct cpu_state start = w->s;

	for (size_t i = 0; i < ARRAY_SIZE(gated); i++) {
		size_t n = (size_t)(gated[i].to - gated[i].from);

		memset(w->ram + W_DATA, 0, 512);
		sys_world_place(w, W_CODE, gated[i].from, gated[i].to);
		sys_world_place(w, W_CODE + n, &hlt, &hlt + 1);
		w->s = start;
		expect(w, NONE);
		w->s = start;
		w->s.cr0 |= CR0_EM;
		expect(w, gated[i].em);
		w->s = start;
		w->s.cr0 |= CR0_TS | CR0_MP;
		expect(w, gated[i].ts_mp);
		w->s = start;
		w->s.cr0 = (w->s.cr0 & ~CR0_MP) | CR0_TS;
		expect(w, gated[i].ts);
		w->s = start;
		w->s.cr4 &= ~CR4_OSFXSR;
		expect(w, gated[i].no_osfxsr);
	}
}

GUEST_CODE(code_ts, "addps %xmm1, %xmm0; mov %cr0, %rax; or $8, %eax;"
		    "mov %rax, %cr0; inc %ebx; addps %xmm1, %xmm0; hlt");
GUEST_CODE(code_clts, "clts; addps %xmm1, %xmm0; hlt");

/* TS changes between two instructions that would share a block. */
static void
test_soft_fpu_sees_ts_change(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_ts);
	sys_world_run(w);
	f = sys_world_event(w, EXC_NM, false);
	assert_int_equal(w->s.gpr[RBX], 1);
	assert_int_equal(f.rip, W_CODE + LEN(code_ts) - 4);
	sys_world_code(w, code_clts);
	w->s.rip = W_CODE;
	sys_world_expect_halt(w);
}

/* One of each family beyond x86-64-v2 that a host may well have. */
static void
test_soft_fpu_has_only_v2(void **state)
{
	static const u8 absent[][8] = {
	    {0xc5, 0xf8, 0x58, 0xc1},		  /* vaddps */
	    {0x66, 0x0f, 0x38, 0xdc, 0xc1},	  /* aesenc */
	    {0x66, 0x0f, 0x3a, 0x44, 0xc1, 0x00}, /* pclmulqdq */
	    {0x0f, 0x38, 0xc8, 0xc1},		  /* sha1nexte */
	    {0x66, 0x0f, 0x38, 0xcf, 0xc1},	  /* gf2p8mulb */
	    {0x66, 0x0f, 0x79, 0xc1},		  /* extrq */
	    {0xf2, 0x0f, 0x2b, 0x00},		  /* movntsd */
	    {0x0f, 0x0f, 0xc1, 0x9e},		  /* pfadd */
	    {0x0f, 0x0e},			  /* femms */
	    {0x0f, 0xae, 0x20},			  /* xsave */
	    {0x0f, 0xc7, 0x20},			  /* xsavec */
	    {0xc4, 0xe2, 0x79, 0x13, 0xc1},	  /* vcvtph2ps */
	    {0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1}, /* EVEX vaddps */
	};
	struct sys_world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(absent); i++) {
		sys_world_place(w, W_CODE, absent[i],
				absent[i] + sizeof(absent[i]));
		expect(w, UD);
	}
}

/* --- live state ------------------------------------------------------- */

GUEST_CODE(code_inexact,
	   "fld1; fldpi; divsd %xmm1, %xmm0; hlt;"
	   "faddp; divsd %xmm1, %xmm0; stmxcsr 0x30000; fstpl 0x30008; hlt");
GUEST_CODE(code_iretq, "iretq");

static u16
host_fcw(void)
{
	u16 v;

	__asm__ volatile("fnstcw %0" : "=m"(v));
	return v;
}

/* The guest's registers are the guest's after an exit, the host's are the
 * host's, and the guest goes on with what it had. */
static void
test_soft_fpu_changes_hands_at_exits(void **state)
{
	const u32 mxcsr = 0x7fa0; /* round to zero, inexact seen */
	const u16 fcw = 0x0c7f;	  /* single precision, to zero */
	struct sys_world *w = *state;
	double d;

	sys_world_code(w, code_inexact);
	xmm_set(w, 0, double_bits(1.0), 7);
	xmm_set(w, 1, double_bits(3.0), 8);
	sys_world_gate(w, 0x80, W_CS64, 0x8e, 0);
	sys_world_place(w, W_HANDLERS + 0x80 * 16, code_iretq, code_iretq_end);
	__builtin_ia32_ldmxcsr(mxcsr);
	__asm__ volatile("fldcw %0" : : "m"(fcw));
	sys_world_run(w);
	assert_int_equal(__builtin_ia32_stmxcsr(), mxcsr);
	assert_int_equal(host_fcw(), fcw);
	assert_int_equal(w->x.kind, HV_EXIT_HLT);
	assert_int_equal(mxcsr_of(w), 0x1fa0);
	assert_int_equal(w->s.fx[FX_FTW], 0xc0);
	assert_int_equal(fsw_of(w) >> FSW_TOP_SHIFT, 6);
	assert_int_equal(get_le64(w->s.fx + FX_ST(0)), 0xc90fdaa22168c235);
	assert_int_equal(xmm_low(w, 0), double_bits(1.0 / 3.0));
	assert_int_equal(get_le64(w->s.fx + FX_XMM(0) + 8), 7);
	w->hv->ops->interrupt(w->hv, 0x80);
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
	assert_int_equal(__builtin_ia32_stmxcsr(), mxcsr);
	assert_int_equal(host_fcw(), fcw);
	__builtin_ia32_ldmxcsr(0x1f80);
	__asm__ volatile("fninit");
	assert_int_equal(get_le32(w->ram + W_DATA), 0x1fa0);
	memcpy(&d, w->ram + W_DATA + 8, sizeof(d));
	assert_true(d == 4.141592653589793);
	assert_int_equal(xmm_low(w, 0), double_bits(1.0 / 3.0 / 3.0));
	assert_int_equal(w->s.fx[FX_FTW], 0);
}

GUEST_CODE(code_third, "1: movsd 0x30008, %xmm0; divsd 0x30010, %xmm0;"
		       "fldl 0x30008; fdivl 0x30010; fstpl 0x30018;"
		       "dec %ecx; jnz 1b; hlt");

/* One processor a thread, each with its own rounding. */
static void *
divide_thread(void *arg)
{
	u32 rounding = (u32)(uintptr_t)arg;
	struct sys_world w;
	u64 sse, x87;

	sys_world_open(&w);
	sys_world_code(&w, code_third);
	put_le64(w.ram + W_DATA + 8, double_bits(1.0));
	put_le64(w.ram + W_DATA + 16, double_bits(3.0));
	put_le32(w.s.fx + FX_MXCSR, MXCSR_MASKS | rounding << 13);
	put_le16(w.s.fx + FX_FCW, (u16)(0x27f | rounding << 10));
	w.s.gpr[RCX] = 20000;
	sys_world_expect_halt(&w);
	sse = xmm_low(&w, 0);
	x87 = get_le64(w.ram + W_DATA + 24);
	sys_world_close(&w);
	return (void *)(uintptr_t)(sse == x87 ? sse : 0);
}

static void
test_soft_fpu_keeps_threads_apart(void **state)
{
	/* to nearest, down, up, to zero */
	static const u64 third[4] = {0x3fd5555555555555, 0x3fd5555555555555,
				     0x3fd5555555555556, 0x3fd5555555555555};
	pthread_t thread[4];
	void *result;

	(void)state;
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, divide_thread,
						(void *)i),
				 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(thread[i], &result), 0);
		assert_int_equal((uintptr_t)result, third[i]);
	}
}

/* --- SIMD exceptions -------------------------------------------------- */

GUEST_CODE(code_divsd, "divsd %xmm1, %xmm0; hlt");
GUEST_CODE(code_divsd_mem, "divsd 0x30000, %xmm0; hlt");
GUEST_CODE(code_mulsd, "mulsd %xmm1, %xmm0; hlt");
GUEST_CODE(code_ucomisd, "ucomisd %xmm1, %xmm0; hlt");
GUEST_CODE(code_cvtpd2pi, "cvtpd2pi %xmm0, %mm3; hlt");

static void
handler_of_this_process(int sig)
{
	(void)sig;
}

static void
test_soft_fpu_raises_xm_and_undoes(void **state)
{
	struct sigaction ours = {.sa_handler = handler_of_this_process}, now;
	struct sys_world *w = *state;
	sigset_t mask, after;

	sigaction(SIGFPE, &ours, NULL);
	sigemptyset(&mask);
	sigaddset(&mask, SIGFPE);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	sys_world_code(w, code_divsd);
	xmm_set(w, 0, double_bits(1.0), 5);
	xmm_set(w, 1, 0, 0);
	put_le32(w->s.fx + FX_MXCSR, 0x1d81); /* ZE unmasked, IE seen */
	sys_world_expect_fault(w, EXC_XM, 0, 0);
	assert_int_equal(mxcsr_of(w), 0x1d85);
	assert_int_equal(xmm_low(w, 0), double_bits(1.0));
	sigaction(SIGFPE, NULL, &now);
	assert_ptr_equal(now.sa_handler, handler_of_this_process);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	assert_true(sigismember(&after, SIGFPE));
	pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
	signal(SIGFPE, SIG_DFL);
}

static void
test_soft_fpu_raises_ud_without_osxmmexcpt(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_divsd_mem);
	xmm_set(w, 0, double_bits(1.0), 5);
	put_le32(w->s.fx + FX_MXCSR, 0x1d80);
	w->s.cr4 &= ~CR4_OSXMMEXCPT;
	sys_world_expect_fault(w, EXC_UD, 0, 0);
	assert_int_equal(mxcsr_of(w), 0x1d84);
	assert_int_equal(xmm_low(w, 0), double_bits(1.0));
}

static void
test_soft_fpu_commits_what_is_masked(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_divsd);
	xmm_set(w, 0, double_bits(1.0), 5);
	xmm_set(w, 1, double_bits(3.0), 0);
	put_le32(w->s.fx + FX_MXCSR, 0x1002); /* only inexact is masked */
	sys_world_expect_halt(w);
	assert_int_equal(mxcsr_of(w), 0x1022);
	assert_int_equal(xmm_low(w, 0), double_bits(1.0 / 3.0));
	assert_int_equal(get_le64(w->s.fx + FX_XMM(0) + 8), 5);
}

/* An exact denormal result: underflow, but only if that is unmasked. */
static void
test_soft_fpu_sees_exact_underflow(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_mulsd);
	xmm_set(w, 0, 0x0010000000000000, 0);
	xmm_set(w, 1, double_bits(0.5), 0);
	sys_world_expect_halt(w);
	assert_int_equal(mxcsr_of(w), 0x1f80);
	assert_int_equal(xmm_low(w, 0), 0x0008000000000000);
	xmm_set(w, 0, 0x0010000000000000, 0);
	put_le32(w->s.fx + FX_MXCSR, 0x1780);
	w->s.rip = W_CODE;
	sys_world_expect_fault(w, EXC_XM, 0, 0);
	assert_int_equal(mxcsr_of(w), 0x1790);
}

static void
test_soft_fpu_keeps_flags_at_xm(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_ucomisd);
	xmm_set(w, 0, 0x7ff0000000000001, 0); /* signals */
	put_le32(w->s.fx + FX_MXCSR, 0x1f00);
	w->s.rflags |= FL_ARITH;
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, EXC_XM, false).rflags & FL_ARITH,
			 FL_ARITH);
}

/* The MMX registers come into use even if the conversion faults. */
static void
test_soft_fpu_enters_mmx_before_xm(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_cvtpd2pi);
	xmm_set(w, 0, 0x7ff0000000000001, 0);
	put_le32(w->s.fx + FX_MXCSR, 0x1f00);
	w->s.fx[FX_FTW] = 1;
	sys_world_expect_fault(w, EXC_XM, 0, 0);
	assert_int_equal(w->s.fx[FX_FTW], 0xff);
	assert_int_equal(get_le64(w->s.fx + FX_ST(3)), 0);
}

/* --- x87 exceptions and pointers -------------------------------------- */

GUEST_CODE(code_zero_divide, "fld1; fldz; fdivrl 0x30000; fnstsw %ax;"
			     "fxsave64 0x30100; fxsave 0x30300;"
			     "fnstenv 0x30500; fldcw 0x30008; fwait; hlt");
#define AT_FDIVR  4u
#define FOP_FDIVR 0x43cu /* DC /7, SIB and disp32 */

/* FDIVR sets ES; what does not wait still runs, FLDCW does not. */
static void
test_soft_fpu_defers_x87_exceptions(void **state)
{
	struct sys_world *w = *state;
	const u8 *env = w->ram + W_DATA + 0x500;
	const u8 *fx64 = w->ram + W_DATA + 0x100;
	const u8 *fx32 = w->ram + W_DATA + 0x300;
	struct sys_frame f;

	sys_world_code(w, code_zero_divide);
	put_le64(w->ram + W_DATA, double_bits(2.0));
	put_le16(w->ram + W_DATA + 8, 0x37b);
	put_le16(w->s.fx + FX_FCW, 0x37b); /* ZE unmasked */
	sys_world_run(w);
	/* FNSTENV has masked everything: nothing is pending any more. */
	assert_int_equal(w->s.gpr[RAX] & 0xb8ff, 0xb084);
	assert_int_equal(get_le16(fx64 + FX_FOP), FOP_FDIVR);
	assert_int_equal(get_le64(fx64 + FX_FIP), W_CODE + AT_FDIVR);
	assert_int_equal(get_le64(fx64 + FX_FDP), W_DATA);
	assert_int_equal(get_le32(fx32 + FX_FIP), W_CODE + AT_FDIVR);
	assert_int_equal(get_le16(fx32 + FX_FIP + 4), W_CS64);
	assert_int_equal(get_le32(fx32 + FX_FDP), W_DATA);
	assert_int_equal(get_le16(fx32 + FX_FDP + 4), W_DS);
	assert_int_equal(get_le32(env), 0xffff037b);
	assert_int_equal(get_le32(env + 12), W_CODE + AT_FDIVR);
	assert_int_equal(get_le32(env + 16), W_CS64 | FOP_FDIVR << 16);
	assert_int_equal(get_le32(env + 20), W_DATA);
	assert_int_equal(get_le32(env + 24), 0xffff0000 | W_DS);
	/* FLDCW brought the exception back, FWAIT met it. */
	f = sys_world_event(w, EXC_MF, false);
	assert_int_equal(f.rip, W_CODE + LEN(code_zero_divide) - 2);
}

GUEST_CODE(code_fxsave, "fxsave64 0x30200; hlt");

static void
test_soft_fpu_hides_pointers_without_exception(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_fxsave);
	put_le64(w->s.fx + FX_FIP, 0x1234);
	memset(w->ram + W_DATA + 0x200, 0xee, 512);
	sys_world_expect_halt(w);
	assert_int_equal(get_le64(w->ram + W_DATA + 0x200 + FX_FIP), 0);
	/* the last 96 bytes are the program's own */
	for (unsigned i = FX_STORED_BYTES; i < 512; i++)
		assert_int_equal(w->ram[W_DATA + 0x200 + i], 0xee);
	assert_int_equal(get_le32(w->ram + W_DATA + 0x200 + FX_MXCSR_MASK),
			 MXCSR_MASK);
}

GUEST_CODE(code_fsts, "fsts 0x31ffe; hlt");

/* An unmasked overflow suppresses the store, also one in two pages. */
static void
test_soft_fpu_suppresses_stores(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_fsts);
	put_le16(w->s.fx + FX_FCW, 0x377); /* OE unmasked */
	put_le64(w->s.fx + FX_ST(0), 1ULL << 63);
	put_le16(w->s.fx + FX_ST(0) + 8, 0x7000);
	w->s.fx[FX_FTW] = 1;
	put_le32(w->ram + 0x31ffe, 0x12345678);
	sys_world_expect_halt(w);
	assert_int_equal(get_le32(w->ram + 0x31ffe), 0x12345678);
	assert_int_equal(fsw_of(w) & (FSW_ES | 8), FSW_ES | 8);
	put_le16(w->s.fx + FX_FCW, 0x37f);
	put_le16(w->s.fx + FX_FSW, 0);
	w->s.rip = W_CODE;
	sys_world_expect_halt(w);
	assert_int_equal(get_le32(w->ram + 0x31ffe), 0x7f800000);
}

static void
test_soft_fpu_settles_state_from_outside(void **state)
{
	struct sys_world *w = *state;
	struct cpu_state out;

	put_le16(w->s.fx + FX_FCW, 0xffbe); /* reserved bits, IE unmasked */
	put_le16(w->s.fx + FX_FSW, 0x0001);
	put_le64(w->s.fx + FX_FIP, 0xabcd);
	memset(w->s.fx + FX_ST(2) + 10, 0x77, 6);
	assert_int_equal(w->hv->ops->state_set(w->hv, &w->s), 0);
	w->hv->ops->state_get(w->hv, &out);
	assert_int_equal(get_le16(out.fx + FX_FCW), 0x1f7e);
	assert_int_equal(get_le16(out.fx + FX_FSW), 0x8081);
	assert_int_equal(get_le64(out.fx + FX_FIP), 0xabcd);
	assert_int_equal(get_le16(out.fx + FX_ST(2) + 10), 0);
	put_le32(w->s.fx + FX_MXCSR, 0x11f80);
	assert_int_equal(w->hv->ops->state_set(w->hv, &w->s), -EINVAL);
}

/* --- FXSAVE and FXRSTOR ----------------------------------------------- */

GUEST_CODE(code_fx32, ".code32; fxsave 0x30200; fxrstor 0x30400; int3");

/* Outside 64-bit mode XMM8 to XMM15 are neither saved nor loaded. */
static void
test_soft_fpu_fxsave_knows_eight_in_compat(void **state)
{
	struct sys_world *w = *state;
	const u8 *image = w->ram + W_DATA + 0x200;

	sys_world_code(w, code_fx32);
	sys_world_user32(w);
	sys_world_gate(w, EXC_BP, W_CS64, 0xee, 0);
	xmm_set(w, 7, 0x77, 0);
	xmm_set(w, 8, 0x88, 0);
	memset(w->ram + W_DATA + 0x200, 0xee, 512);
	put_le32(w->ram + W_DATA + 0x400 + FX_MXCSR, 0x1f80);
	put_le16(w->ram + W_DATA + 0x400 + FX_FCW, 0x37f);
	put_le64(w->ram + W_DATA + 0x400 + FX_XMM(7), 0x1234);
	put_le64(w->ram + W_DATA + 0x400 + FX_XMM(8), 0x5678);
	sys_world_run(w);
	sys_world_event(w, EXC_BP, false);
	assert_int_equal(get_le64(image + FX_XMM(7)), 0x77);
	assert_int_equal(get_le64(image + FX_XMM(8)), 0xeeeeeeeeeeeeeeee);
	assert_int_equal(xmm_low(w, 7), 0x1234);
	assert_int_equal(xmm_low(w, 8), 0x88);
}

static void
test_soft_fpu_fxsave_leaves_xmm_without_osfxsr(void **state)
{
	struct sys_world *w = *state;
	const u8 *image = w->ram + W_DATA + 0x200;

	sys_world_code(w, code_fxsave);
	w->s.cr4 &= ~CR4_OSFXSR;
	memset(w->ram + W_DATA + 0x200, 0xee, 512);
	sys_world_expect_halt(w);
	assert_int_equal(get_le16(image + FX_FCW), 0x37f);
	assert_int_equal(get_le64(image + FX_XMM(0)), 0xeeeeeeeeeeeeeeee);
}

GUEST_CODE(code_fxrstor, "fxrstor 0x30200; hlt");
GUEST_CODE(code_ldmxcsr, "ldmxcsr 0x30200; hlt");

static void
test_soft_fpu_refuses_reserved_mxcsr(void **state)
{
	struct sys_world *w = *state;

	xmm_set(w, 0, 0x99, 0);
	put_le32(w->ram + W_DATA + 0x200 + FX_MXCSR, 0x11f80);
	put_le16(w->ram + W_DATA + 0x200 + FX_FCW, 0x27f);
	sys_world_code(w, code_fxrstor);
	sys_world_expect_fault(w, EXC_GP, 0, 0);
	assert_int_equal(xmm_low(w, 0), 0x99);
	assert_int_equal(get_le16(w->s.fx + FX_FCW), 0x37f);
	put_le32(w->ram + W_DATA + 0x200, 0x21f80); /* misaligned SSE */
	sys_world_code(w, code_ldmxcsr);
	w->s.rip = W_CODE;
	w->s.gpr[RSP] = W_STACK;
	sys_world_expect_fault(w, EXC_GP, 0, 0);
	assert_int_equal(mxcsr_of(w), 0x1f80);
}

/* --- device memory ---------------------------------------------------- */

GUEST_CODE(mmio_movups, "movups 0x1f0000, %xmm0; inc %ebx; hlt");
GUEST_CODE(mmio_movaps, "movaps 0x1f0010, %xmm0; inc %ebx; hlt");
GUEST_CODE(mmio_addsd, "addsd 0x1f0008, %xmm0; inc %ebx; hlt");
GUEST_CODE(mmio_pshufd, "pshufd $0x1b, 0x1f0000, %xmm0; inc %ebx; hlt");
GUEST_CODE(mmio_fldl, "fldl 0x1f0008; inc %ebx; hlt");
GUEST_CODE(mmio_paddb, "paddb 0x1f0008, %mm0; inc %ebx; hlt");
GUEST_CODE(mmio_store, "movups %xmm0, 0x1f0000; inc %ebx; hlt");
GUEST_CODE(mmio_store_a, "movaps %xmm0, 0x1f0010; inc %ebx; hlt");
GUEST_CODE(mmio_movss, "movss %xmm0, 0x1f0004; inc %ebx; hlt");
GUEST_CODE(mmio_pextrd, "pextrd $1, %xmm0, 0x1f0004; inc %ebx; hlt");
GUEST_CODE(mmio_fstpl, "fstpl 0x1f0008; inc %ebx; hlt");
GUEST_CODE(mmio_fistps, "fistps 0x1f0002; inc %ebx; hlt");
GUEST_CODE(mmio_movntq, "movntq %mm0, 0x1f0008; inc %ebx; hlt");
GUEST_CODE(mmio_fnstsw, "fnstsw 0x1f0002; inc %ebx; hlt");
GUEST_CODE(mmio_stmxcsr, "stmxcsr 0x1f0004; inc %ebx; hlt");

struct mmio_case {
	const u8 *from, *to;
	u32 off;
	u8 bytes;
	bool write;
};
#define MMIO(name, off, bytes, write) \
	{ \
		mmio_##name, mmio_##name##_end, off, bytes, write \
	}

/* Each is one access of the right size, and then done, once. */
static void
test_soft_fpu_reaches_devices(void **state)
{
	static const struct mmio_case cases[] = {
	    MMIO(movups, 0, 16, false), MMIO(movaps, 16, 16, false),
	    MMIO(addsd, 8, 8, false),	MMIO(pshufd, 0, 16, false),
	    MMIO(fldl, 8, 8, false),	MMIO(paddb, 8, 8, false),
	    MMIO(store, 0, 16, true),	MMIO(store_a, 16, 16, true),
	    MMIO(movss, 4, 4, true),	MMIO(pextrd, 4, 4, true),
	    MMIO(fstpl, 8, 8, true),	MMIO(fistps, 2, 2, true),
	    MMIO(movntq, 8, 8, true),	MMIO(fnstsw, 2, 2, true),
	    MMIO(stmxcsr, 4, 4, true),
	};
	struct sys_world *w = *state;
	const struct cpu_state start = w->s;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct mmio_case *m = &cases[i];

		w->s = start;
		sys_world_place(w, W_CODE, m->from, m->to);
		assert_int_equal(sys_world_run(w), HV_EXIT_MMIO);
		assert_int_equal(w->x.mmio.gpa, W_MMIO_GPA + m->off);
		assert_int_equal(w->x.mmio.size_bytes, m->bytes);
		assert_int_equal(w->x.mmio.write, m->write);
		assert_int_equal(w->s.gpr[RBX], start.gpr[RBX]);
		memset(w->x.mmio.data, 0x3f, sizeof(w->x.mmio.data));
		assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
		assert_int_equal(w->s.gpr[RBX], start.gpr[RBX] + 1);
	}
}

static void
test_soft_fpu_uses_what_devices_answer(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, mmio_pshufd);
	assert_int_equal(sys_world_run(w), HV_EXIT_MMIO);
	for (unsigned i = 0; i < 16; i++)
		w->x.mmio.data[i] = (u8)i;
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
	assert_int_equal(xmm_low(w, 0), 0x0b0a09080f0e0d0c);
	assert_int_equal(get_le64(w->s.fx + FX_XMM(0) + 8), 0x0302010007060504);
	sys_world_code(w, mmio_fstpl);
	put_le16(w->s.fx + FX_ST(0) + 8, 0x4000); /* 2.0 */
	put_le64(w->s.fx + FX_ST(0), 1ULL << 63);
	w->s.fx[FX_FTW] = 1;
	w->s.rip = W_CODE;
	assert_int_equal(sys_world_run(w), HV_EXIT_MMIO);
	assert_int_equal(get_le64(w->x.mmio.data), double_bits(2.0));
	assert_int_equal(sys_world_go_on(w), HV_EXIT_HLT);
	assert_int_equal(w->s.fx[FX_FTW], 0);
}

/* --- stores into code ------------------------------------------------- */

/* Each overwrites "mov $1, %ebx" behind it, whose immediate is at 1b + 1. */
GUEST_CODE(smc_movups,
	   "movups %xmm0, 1f(%rip); 1: mov $1, %ebx; hlt; .skip 16");
GUEST_CODE(smc_movaps, "0: movaps %xmm0, 0x10020; jmp 1f;"
		       ".skip 0x20 - (. - 0b); 1: mov $1, %ebx; hlt; .skip 16");
GUEST_CODE(smc_movss, "movss %xmm0, 1f(%rip); 1: mov $1, %ebx; hlt");
GUEST_CODE(smc_movntq, "movq %xmm0, %rax; movq %rax, %mm0;"
		       "movntq %mm0, 1f(%rip); 1: mov $1, %ebx; hlt; hlt; hlt");
GUEST_CODE(smc_pextrw, "pextrw $0, %xmm0, 1f(%rip); 1: mov $1, %ebx; hlt");
GUEST_CODE(smc_fistpll, "movq %xmm0, 0x30000; fildll 0x30000;"
			"fistpll 1f(%rip); 1: mov $1, %ebx; hlt; hlt; hlt");
GUEST_CODE(smc_maskmov, "lea 1f(%rip), %rdi; pcmpeqb %xmm1, %xmm1;"
			"maskmovdqu %xmm1, %xmm0;"
			"1: mov $1, %ebx; hlt; .skip 16");

static void
test_soft_fpu_stores_change_code(void **state)
{
	static const struct {
		const u8 *from, *to;
	} cases[] = {{smc_movups, smc_movups_end},
		     {smc_movaps, smc_movaps_end},
		     {smc_movss, smc_movss_end},
		     {smc_movntq, smc_movntq_end},
		     {smc_pextrw, smc_pextrw_end},
		     {smc_fistpll, smc_fistpll_end},
		     {smc_maskmov, smc_maskmov_end}};
	struct sys_world *w = *state;
	const struct cpu_state start = w->s;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		w->s = start;
		sys_world_place(w, W_CODE, cases[i].from, cases[i].to);
		/* mov $7, %ebx; hlt; hlt; hlt */
		xmm_set(w, 0, 0xf4f4f400000007bb, 0);
		sys_world_expect_halt(w);
		assert_int_equal(w->s.gpr[RBX], 7);
	}
}

GUEST_CODE(code_fxsave_code,
	   "0: fxsave64 0x10020; jmp 1f; .skip 0x20 - (. - 0b);"
	   "1: mov $1, %ebx; hlt; .skip 512");

/* The image begins with FCW, 037Fh: a jump if greater, and FSW: UD2. */
static void
test_soft_fpu_fxsave_changes_code(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_fxsave_code);
	put_le16(w->s.fx + FX_FSW, 0x0b0f);
	w->s.rflags |= FL_ZF;
	sys_world_expect_fault(w, EXC_UD, 0, 0x20 + FX_FSW);
}

/* --- stubs ------------------------------------------------------------ */

/* Instructions that have no stub, and those that are others' business. */
static bool
has_stub(const ZydisDecodedInstruction *in)
{
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_CRC32:
		return false;
	default:
		break;
	}
	switch (in->meta.isa_set) {
	case ZYDIS_ISA_SET_SSE:
	case ZYDIS_ISA_SET_SSE2:
	case ZYDIS_ISA_SET_SSE2MMX:
	case ZYDIS_ISA_SET_SSE3:
	case ZYDIS_ISA_SET_SSSE3:
	case ZYDIS_ISA_SET_SSSE3MMX:
	case ZYDIS_ISA_SET_SSE4:
	case ZYDIS_ISA_SET_SSE42:
	case ZYDIS_ISA_SET_PENTIUMMMX:
		return in->meta.category != ZYDIS_CATEGORY_PREFETCH;
	default:
		return false;
	}
}

/* Emits one decoded instruction with every immediate. */
static unsigned
emit_all(ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	static struct emitter e;
	unsigned imms = in->raw.imm[0].size ? 256 : 1;

	for (unsigned imm = 0; imm < imms; imm++) {
		memset(&e, 0, offsetof(struct emitter, uop));
		e.mode = MODE_64;
		e.in = in;
		e.ops = ops;
		in->raw.imm[0].value.u = imm;
		assert_true(emit_fpu(&e));
		assert_in_range(e.n_uop, 1, INSN_MAX_UOPS);
	}
	return imms;
}

/* There is room for all that exists: walks the opcode maps with all prefixes
 * and extensions, in register and memory forms. */
static void
test_soft_fpu_has_room_for_all_stubs(void **state)
{
	static const u8 prefix[] = {0, 0x66, 0xf2, 0xf3};
	unsigned emitted = 0;
	ZydisDecoder d;

	(void)state;
	ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (unsigned i = 0; i < 3 * 256 * 4 * 2 * 16; i++) {
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
		ZydisDecodedInstruction in;
		unsigned map = i >> 15, p = i >> 13 & 3, n = 0;
		u8 b[20] = {0};

		if (prefix[p])
			b[n++] = prefix[p];
		if (i >> 12 & 1)
			b[n++] = 0x48;
		b[n++] = 0x0f;
		if (map)
			b[n++] = map == 1 ? 0x38 : 0x3a;
		b[n++] = (u8)(i >> 4);
		b[n++] = (u8)((i & 7) << 3 | (i & 8 ? 0xc2 : 0x02));
		if (ZYAN_SUCCESS(
			ZydisDecoderDecodeFull(&d, b, sizeof(b), &in, ops)) &&
		    has_stub(&in))
			emitted += emit_all(&in, ops);
	}
	assert_true(emitted > 100000);
}

static void
test_soft_fpu_faults_by_an_image_without_a_first_word(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_fxsave_rbp);
	w->s.gpr[RBP] = 0x7ffffffffffe; /* two of its four bytes */
	sys_world_expect_fault(w, EXC_SS, 0, 0);
}

static void
test_soft_fpu_faults_by_alignment_before_an_image_s_end(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_fxsave_rbp);
	w->s.gpr[RBP] = 0x7ffffffffe09;
	sys_world_expect_fault(w, EXC_GP, 0, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_soft_fpu_obeys_control_registers),
	    WORLD_TEST(test_soft_fpu_sees_ts_change),
	    WORLD_TEST(test_soft_fpu_has_only_v2),
	    WORLD_TEST(test_soft_fpu_changes_hands_at_exits),
	    WORLD_TEST(test_soft_fpu_keeps_threads_apart),
	    WORLD_TEST(test_soft_fpu_raises_xm_and_undoes),
	    WORLD_TEST(test_soft_fpu_raises_ud_without_osxmmexcpt),
	    WORLD_TEST(test_soft_fpu_commits_what_is_masked),
	    WORLD_TEST(test_soft_fpu_sees_exact_underflow),
	    WORLD_TEST(test_soft_fpu_keeps_flags_at_xm),
	    WORLD_TEST(test_soft_fpu_enters_mmx_before_xm),
	    WORLD_TEST(test_soft_fpu_defers_x87_exceptions),
	    WORLD_TEST(test_soft_fpu_hides_pointers_without_exception),
	    WORLD_TEST(test_soft_fpu_suppresses_stores),
	    WORLD_TEST(test_soft_fpu_settles_state_from_outside),
	    WORLD_TEST(test_soft_fpu_fxsave_knows_eight_in_compat),
	    WORLD_TEST(test_soft_fpu_fxsave_leaves_xmm_without_osfxsr),
	    WORLD_TEST(test_soft_fpu_refuses_reserved_mxcsr),
	    WORLD_TEST(test_soft_fpu_reaches_devices),
	    WORLD_TEST(test_soft_fpu_uses_what_devices_answer),
	    WORLD_TEST(test_soft_fpu_stores_change_code),
	    WORLD_TEST(test_soft_fpu_fxsave_changes_code),
	    WORLD_TEST(test_soft_fpu_has_room_for_all_stubs),
	    WORLD_TEST(test_soft_fpu_faults_by_an_image_without_a_first_word),
	    WORLD_TEST(test_soft_fpu_faults_by_alignment_before_an_image_s_end),
	};

	return cmocka_run_group_tests_name("soft_fpu", tests, NULL, NULL);
}
