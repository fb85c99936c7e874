/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sys_world.h"

/* Where system calls and returns lead: INT 80h. */
#define TARGET	 0x10100u
#define NONCANON 0x800000000000ULL

GUEST_CODE(code_syscall, "syscall");
GUEST_CODE(code_syscall32, ".code32; syscall");
GUEST_CODE(code_sysretq, "sysretq");
GUEST_CODE(code_sysretl, "sysretl");
GUEST_CODE(code_sysenter, "sysenter");
GUEST_CODE(code_sysexit, "sysexitl");
GUEST_CODE(code_int80, "int $0x80");
GUEST_CODE(code_mark, "inc %rbx; int $0x80");

static int
setup(void **state)
{
	struct sys_world *w;

	world_setup(state);
	w = *state;
	sys_world_place(w, TARGET, code_int80, code_int80_end);
	return 0;
}

#define FMASK (FL_TF | FL_IF | FL_DF | FL_NT | FL_AC | FL_CF)

static void
prepare_syscall(struct sys_world *w)
{
	w->s.msr.star = (u64)(W_USER_CS32) << 48 | (u64)W_CS64 << 32;
	w->s.msr.lstar = TARGET;
	w->s.msr.cstar = TARGET + 0x10;
	w->s.msr.fmask = FMASK;
	sys_world_place(w, TARGET + 0x10, code_int80, code_int80_end);
}

static void
test_sys_call_syscall_enters_the_kernel(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_syscall);
	sys_world_user(w);
	prepare_syscall(w);
	w->s.rflags = FL_IF | FL_CF | FL_ZF | FL_DF;
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(f.rip, TARGET + 2);
	assert_int_equal(f.cs, W_CS64);
	assert_int_equal(f.ss, W_DS);
	assert_int_equal(f.rsp, W_STACK);
	assert_int_equal(f.rflags, FL_ONE | FL_ZF);
	assert_int_equal(w->s.gpr[RCX], W_CODE + 2);
	assert_int_equal(w->s.gpr[R11], FL_ONE | FL_IF | FL_CF | FL_ZF | FL_DF);
	/* at CPL 0 already: the stack did not change */
	assert_int_equal(w->s.gpr[R15], W_STACK - 40);
	assert_int_equal(w->s.seg[SEG_CS].attr, W_CODE64);
	assert_int_equal(w->s.seg[SEG_SS].attr, W_DATA_RW);
}

static void
test_sys_call_syscall_from_compat_mode_uses_cstar(void **state)
{
	struct sys_world *w = *state;

	sys_world_code(w, code_syscall32);
	sys_world_user32(w);
	prepare_syscall(w);
	sys_world_run(w);
	assert_int_equal(sys_world_event(w, 0x80, false).rip, TARGET + 0x12);
	assert_int_equal(w->s.gpr[RCX], W_CODE + 2);
}

static void
test_sys_call_sysret_returns_to_either_mode(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_sysretq);
	prepare_syscall(w);
	w->s.gpr[RCX] = TARGET;
	w->s.gpr[R11] = FL_IF | FL_CF | FL_RF | FL_VM | FL_IOPL | FL_VIF |
			FL_VIP | FL_AC | FL_ID | BIT(63);
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(f.cs, W_USER_CS64);
	assert_int_equal(f.ss, W_USER_DS);
	assert_int_equal(f.rflags, FL_ONE | FL_IF | FL_CF | FL_IOPL | FL_VIF |
				       FL_VIP | FL_AC | FL_ID);
	assert_int_equal(w->s.gpr[R15], W_STACK0 - 40);

	sys_world_close(w);
	setup(state);
	sys_world_code(w, code_sysretl);
	prepare_syscall(w);
	w->s.gpr[RCX] = 0xffff00000000ULL + TARGET;
	w->s.gpr[R11] = 0;
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(f.rip, TARGET + 2);
	assert_int_equal(f.cs, W_USER_CS32);
}

/* As AMD parts do: the fault is the user's, on the fetch. */
static void
test_sys_call_sysret_to_a_bad_address_faults_at_cpl3(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_sysretq);
	prepare_syscall(w);
	w->s.gpr[RCX] = NONCANON;
	sys_world_run(w);
	f = sys_world_event(w, EXC_GP, true);
	assert_int_equal(f.rip, NONCANON);
	assert_int_equal(f.cs, W_USER_CS64);
	assert_int_equal(w->s.gpr[R15], W_STACK0 - 48);
}

static void
test_sys_call_fast_calls_need_sce_and_privilege(void **state)
{
	struct sys_world *w = *state;

	prepare_syscall(w);
	sys_world_code(w, code_sysretq);
	sys_world_user(w);
	sys_world_expect_fault(w, EXC_GP, 0, 0);
	w->s.efer &= ~EFER_SCE;
	w->s.rip = W_CODE;
	sys_world_expect_fault(w, EXC_UD, 0, 0);
	sys_world_code(w, code_syscall);
	w->s.rip = W_CODE;
	sys_world_expect_fault(w, EXC_UD, 0, 0);
}

static void
test_sys_call_sysenter_is_undefined_on_this_part(void **state)
{
	struct sys_world *w = *state;

	w->s.msr.sysenter_cs = W_CS64;
	w->s.msr.sysenter_eip = TARGET;
	sys_world_code(w, code_sysenter);
	sys_world_expect_fault(w, EXC_UD, 0, 0);
	sys_world_code(w, code_sysexit);
	w->s.rip = W_CODE;
	sys_world_expect_fault(w, EXC_UD, 0, 0);
}

/* SYSCALL and SYSRET trap by the TF they leave behind: a kernel that masks TF
 * is not stepped into, a debugger sees the program right after its SYSCALL. */
static void
test_sys_call_fast_calls_step_by_the_new_tf(void **state)
{
	struct sys_world *w = *state;
	struct sys_frame f;

	sys_world_code(w, code_syscall);
	sys_world_user(w);
	prepare_syscall(w);
	w->s.rflags = FL_TF;
	sys_world_run(w);
	f = sys_world_event(w, 0x80, false);
	assert_int_equal(f.rip, TARGET + 2);
	assert_int_equal(w->s.gpr[R11], FL_ONE | FL_TF);

	sys_world_close(w);
	setup(state);
	sys_world_code(w, code_sysretq);
	prepare_syscall(w);
	sys_world_place(w, TARGET, code_mark, code_mark_end);
	w->s.gpr[RCX] = TARGET;
	w->s.gpr[R11] = FL_TF;
	sys_world_run(w);
	f = sys_world_event(w, EXC_DB, false);
	assert_int_equal(f.rip, TARGET);
	assert_int_equal(f.cs, W_USER_CS64);
	assert_int_equal(w->s.gpr[RBX], 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_sys_call_syscall_enters_the_kernel),
	    T(test_sys_call_syscall_from_compat_mode_uses_cstar),
	    T(test_sys_call_sysret_returns_to_either_mode),
	    T(test_sys_call_sysret_to_a_bad_address_faults_at_cpl3),
	    T(test_sys_call_fast_calls_need_sce_and_privilege),
	    T(test_sys_call_sysenter_is_undefined_on_this_part),
	    T(test_sys_call_fast_calls_step_by_the_new_tf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
