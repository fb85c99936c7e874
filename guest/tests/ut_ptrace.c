/* SPDX-License-Identifier: BSD-2-Clause */
/* ut_ptrace - a debugger's view: single steps, breakpoints, registers */
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/tests/ut.h"

#if UT_64
#define REG(name) offsetof(struct user, regs.r##name)
#else
#define REG(name) offsetof(struct user, regs.e##name)
#endif
#define FLAGS_REG offsetof(struct user, regs.eflags)

/* The steps are watched from stepped_begin to stepped_end. */
extern const u8 stepped_begin[], stepped_rep[], stepped_end[];
static u8 source[64], target[64];

static unsigned long stepped(void) __attribute__((noinline));

static unsigned long
stepped(void)
{
	unsigned long a = 3, c = 5, si = (unsigned long)source,
		      di = (unsigned long)target;

	__asm__ volatile(".globl stepped_begin, stepped_rep, stepped_end\n"
			 "stepped_begin:\n\t"
			 "nop\n\t"
			 "lea 7(%0,%1,4), %0\n\t"
			 "cmp $30, %0\n\t"
			 "je 1f\n\t"
			 "ud2\n"
			 "1:\tpush %0\n\t"
			 "pushf\n\t"
			 "popf\n\t" /* keeps TF as the debugger has set it */
			 "pop %0\n\t"
			 "call 2f\n\t"
			 "jmp 3f\n"
			 "2:\tadd $1, %0\n\t"
			 "ret\n"
			 "3:\n"
			 "stepped_rep:\n\t"
			 "rep movsb\n\t"
			 "xor %%ecx, %%ecx\n\t"
			 "loop 4f\n"
			 "4:\tnop\n"
			 "stepped_end:\n\t"
			 "nop"
			 : "+a"(a), "+c"(c), "+S"(si), "+D"(di)
			 :
			 : "memory", "cc");
	return a;
}

static pid_t
start_child(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	UT_CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	return pid;
}

static unsigned long
peek_user(pid_t pid, size_t where)
{
	return (unsigned long)ptrace(PTRACE_PEEKUSER, pid, (void *)where, NULL);
}

/* Goes on with request; the stop signal, or -1 when the child has ended. */
static int
go(pid_t pid, enum __ptrace_request request)
{
	int status;

	if (ptrace(request, pid, NULL, NULL) != 0 ||
	    waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSTOPPED(status) ? WSTOPSIG(status) : -1;
}

static long
set_breakpoint(pid_t pid, const u8 *where, u8 opcode)
{
	long old = ptrace(PTRACE_PEEKTEXT, pid, where, NULL);

	ptrace(PTRACE_POKETEXT, pid, where, (old & ~0xffL) | opcode);
	return old & 0xff;
}

static void
call_stepped(void)
{
	_exit((int)(stepped() & 0x7f));
}

static void
single_step(void)
{
	pid_t pid = start_child(call_stepped);
	u8 old = (u8)set_breakpoint(pid, stepped_begin, 0xcc);
	unsigned steps = 0;
	u64 hash = UT_HASH;
	int status, signo;

	signo = go(pid, PTRACE_CONT);
	printf("breakpoint: signal %d at %+ld\n", signo,
	       (long)(peek_user(pid, REG(ip)) - (uintptr_t)stepped_begin));
	set_breakpoint(pid, stepped_begin, old);
	ptrace(PTRACE_POKEUSER, pid, (void *)REG(ip), stepped_begin);
	while (steps++ < 100) {
		long at;
		unsigned long tf;

		signo = go(pid, PTRACE_SINGLESTEP);
		at = (long)(peek_user(pid, REG(ip)) - (uintptr_t)stepped_begin);
		tf = peek_user(pid, FLAGS_REG) >> 8 & 1;
		printf("step: signal %d at %+ld ax %lu cx %lu tf %lu\n", signo,
		       at, peek_user(pid, REG(ax)), peek_user(pid, REG(cx)),
		       tf);
		hash = ut_hash(hash, &at, sizeof(at));
		if (at == stepped_end - stepped_begin)
			break;
	}
	/* popf under single-step has left TF to the program. */
	ptrace(PTRACE_POKEUSER, pid, (void *)FLAGS_REG,
	       peek_user(pid, FLAGS_REG) & ~0x100UL);
	ptrace(PTRACE_POKEUSER, pid, (void *)REG(ax), 77L);
	ptrace(PTRACE_CONT, pid, NULL, NULL);
	waitpid(pid, &status, 0);
	printf("after the steps: exited %d code %d\n", WIFEXITED(status),
	       WEXITSTATUS(status));
}

/* Counts the steps of a run through libc and the kernel's entry points. */
static void
make_calls(void)
{
	volatile u64 x = 1;

	for (unsigned i = 0; i < 40; i++)
		x = x * 3 + i;
	syscall(SYS_getpid);
	syscall(SYS_getppid);
	syscall(SYS_exit_group, (int)(x & 63));
}

static void
step_all(void)
{
	pid_t pid = start_child(make_calls);
	unsigned steps = 0;
	int signo;

	while ((signo = go(pid, PTRACE_SINGLESTEP)) == SIGTRAP)
		steps++;
	printf("stepped to the end: last %d, more than 150 steps: %d\n", signo,
	       steps > 150);
}

static void
syscalls(void)
{
	pid_t pid = start_child(make_calls);
	int signo;

	while ((signo = go(pid, PTRACE_SYSCALL)) == SIGTRAP) {
#if UT_64
		long nr =
		    (long)peek_user(pid, offsetof(struct user, regs.orig_rax));
#else
		long nr =
		    (long)peek_user(pid, offsetof(struct user, regs.orig_eax));
#endif
		printf("syscall stop: %s\n", nr == SYS_getpid	 ? "getpid"
					     : nr == SYS_getppid ? "getppid"
					     : nr == SYS_exit_group
						 ? "exit_group"
						 : "other");
	}
	printf("syscalls: last %d\n", signo);
}

static void
load_registers(void)
{
	__asm__ volatile("fninit; fldpi; fld1; fldl2e\n\t"
			 "mov $0x12345678, %%eax; movd %%eax, %%xmm3\n\t"
			 "int3" ::
			     : "eax", "xmm3");
}

static void
float_registers(void)
{
	pid_t pid = start_child(load_registers);
	struct user_fpregs_struct regs;
	int signo = go(pid, PTRACE_CONT);

	memset(&regs, 0, sizeof(regs));
	ptrace(PTRACE_GETFPREGS, pid, NULL, &regs);
#if UT_64
	printf("int3: %d, cwd %x swd %x ftw %x mxcsr %x\n", signo, regs.cwd,
	       regs.swd, regs.ftw, regs.mxcsr & 0xffc0);
	printf("st0 %016llx xmm3 %x\n",
	       (unsigned long long)get_le64(regs.st_space), regs.xmm_space[12]);
#else
	printf("int3: %d, cwd %lx swd %lx twd %lx\n", signo, regs.cwd & 0xffff,
	       regs.swd & 0xffff, regs.twd & 0xffff);
	printf("st0 %016llx\n", (unsigned long long)get_le64(regs.st_space));
#endif
	ptrace(PTRACE_KILL, pid, NULL, NULL);
	waitpid(pid, NULL, 0);
}

void
ut_ptrace(void)
{
	fflush(stdout);
	for (unsigned i = 0; i < sizeof(source); i++)
		source[i] = (u8)(i * 7);
	single_step();
	step_all();
	syscalls();
	float_registers();
}
