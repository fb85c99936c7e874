/* SPDX-License-Identifier: BSD-2-Clause */
/* The host processor as one side of the differential test.
 *
 * A case runs inside this very process. iretq loads RIP, CS, RFLAGS, RSP and
 * SS at once, so that even the trap flag takes effect at the first tested
 * instruction. The way back is either the exit page, which jumps to
 * native_exit with every register untouched, or a signal, whose context holds
 * them. FS base belongs to the C library and is switched on both ways; until
 * it is, no C code runs. native_signal() leaves its handler by restoring the
 * stack of native_enter(): nothing is blocked, and a handler on an alternate
 * stack that is no longer in use may be entered again.
 *
 * What a case may do to the process is bounded: it has no pointer into it,
 * and system calls from its pages are turned into SIGSYS by a seccomp filter.
 */
#include "tests/diff_int.h"

#include <asm/ldt.h>
#include <cpuid.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#define HWCAP2_FSGSBASE_BIT BIT(1)
#define SIGNAL_STACK_BYTES  65536
#define CASE_CPU_NS	    (100 * NS_PER_MS) /* far more than any case needs */

/* What the assembly below works on; offsets are asserted. */
struct native_cpu {
	u64 gpr[16];	  /* 0 */
	u64 frame[5];	  /* 128: rip, cs, rflags, rsp, ss for iretq */
	u64 fs_base;	  /* 168 */
	u64 gs_base;	  /* 176 */
	u64 host_rsp;	  /* 184 */
	u64 host_fs;	  /* 192 */
	u64 fsgs;	  /* 200: may FS and GS base be written */
	u64 scratch[4];	  /* 208: a small stack */
	u64 scratch_end;  /* 240 */
	u64 reached_exit; /* 248 */
	u8 fx[512];	  /* 256 */
	u16 sel[8];	  /* 768: DS ES FS GS SS */
	u64 fs_base_out, gs_base_out; /* 784 */
	u16 sel_in[4];		      /* 800: DS ES FS GS */
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct native_cpu, frame) == 128, "assembly");
_Static_assert(offsetof(struct native_cpu, fs_base) == 168, "assembly");
_Static_assert(offsetof(struct native_cpu, host_rsp) == 184, "assembly");
_Static_assert(offsetof(struct native_cpu, scratch_end) == 240, "assembly");
_Static_assert(offsetof(struct native_cpu, fx) == 256, "assembly");
_Static_assert(offsetof(struct native_cpu, sel) == 768, "assembly");
_Static_assert(offsetof(struct native_cpu, gs_base_out) == 792, "assembly");
_Static_assert(offsetof(struct native_cpu, sel_in) == 800, "assembly");

/* Referenced by name from the assembly. */
extern struct native_cpu native_cpu;
struct native_cpu native_cpu;
void native_enter(void);
void native_exit(void);
void native_on_signal(int sig, siginfo_t *info, void *context);
/* Called by native_on_signal; sels holds DS, ES, FS, GS from bit 0 on. Nonzero:
 * the case is over. */
int native_caught(int sig, siginfo_t *info, ucontext_t *uc, u64 sels,
		  u64 fs_base, u64 gs_base);

/* clang-format off */
__asm__(
"	.text\n"
"	.globl native_enter\n"
"native_enter:\n"
"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
"	mov %rsp, native_cpu+184(%rip)\n"
"	fxrstor64 native_cpu+256(%rip)\n"
"	cmpq $0, native_cpu+200(%rip)\n"
"	je 1f\n"
"	mov native_cpu+800(%rip), %ds\n"
"	mov native_cpu+802(%rip), %es\n"
"	mov native_cpu+804(%rip), %fs\n"
"	mov native_cpu+806(%rip), %gs\n"
"	mov native_cpu+168(%rip), %rax\n"
"	cmpw $0, native_cpu+804(%rip)\n"
"	jne 2f\n"
"	wrfsbase %rax\n"
"2:	mov native_cpu+176(%rip), %rax\n"
"	cmpw $0, native_cpu+806(%rip)\n"
"	jne 1f\n"
"	wrgsbase %rax\n"
"1:	mov native_cpu+8(%rip), %rcx\n"
"	mov native_cpu+16(%rip), %rdx\n"
"	mov native_cpu+24(%rip), %rbx\n"
"	mov native_cpu+40(%rip), %rbp\n"
"	mov native_cpu+48(%rip), %rsi\n"
"	mov native_cpu+56(%rip), %rdi\n"
"	mov native_cpu+64(%rip), %r8\n"
"	mov native_cpu+72(%rip), %r9\n"
"	mov native_cpu+80(%rip), %r10\n"
"	mov native_cpu+88(%rip), %r11\n"
"	mov native_cpu+96(%rip), %r12\n"
"	mov native_cpu+104(%rip), %r13\n"
"	mov native_cpu+112(%rip), %r14\n"
"	mov native_cpu+120(%rip), %r15\n"
"	lea native_cpu+128(%rip), %rsp\n"
"	mov native_cpu+0(%rip), %rax\n"
"	iretq\n"
"\n"
"	.globl native_exit\n"
"native_exit:\n"
"	mov %rax, native_cpu+0(%rip)\n"
"	mov %rcx, native_cpu+8(%rip)\n"
"	mov %rdx, native_cpu+16(%rip)\n"
"	mov %rbx, native_cpu+24(%rip)\n"
"	mov %rsp, native_cpu+32(%rip)\n"
"	mov %rbp, native_cpu+40(%rip)\n"
"	mov %rsi, native_cpu+48(%rip)\n"
"	mov %rdi, native_cpu+56(%rip)\n"
"	mov %r8, native_cpu+64(%rip)\n"
"	mov %r9, native_cpu+72(%rip)\n"
"	mov %r10, native_cpu+80(%rip)\n"
"	mov %r11, native_cpu+88(%rip)\n"
"	mov %r12, native_cpu+96(%rip)\n"
"	mov %r13, native_cpu+104(%rip)\n"
"	mov %r14, native_cpu+112(%rip)\n"
"	mov %r15, native_cpu+120(%rip)\n"
"	lea native_cpu+240(%rip), %rsp\n"
"	pushfq\n"
"	popq native_cpu+144(%rip)\n"
"	pushq $2\n"
"	popfq\n"
"	fxsave64 native_cpu+256(%rip)\n"
"	movq $1, native_cpu+248(%rip)\n"
"	mov %ds, native_cpu+768(%rip)\n"
"	mov %es, native_cpu+770(%rip)\n"
"	mov %fs, native_cpu+772(%rip)\n"
"	mov %gs, native_cpu+774(%rip)\n"
"	mov %ss, native_cpu+776(%rip)\n"
"	cmpq $0, native_cpu+200(%rip)\n"
"	je 1f\n"
"	rdfsbase %rax\n"
"	mov %rax, native_cpu+784(%rip)\n"
"	rdgsbase %rax\n"
"	mov %rax, native_cpu+792(%rip)\n"
"native_leave:\n"
"	cmpq $0, native_cpu+200(%rip)\n"
"	je 1f\n"
"	mov $0x2b, %eax\n"
"	mov %eax, %ss\n"
"	mov %eax, %ds\n"
"	mov %eax, %es\n"
"	xor %eax, %eax\n"
"	mov %eax, %fs\n"
"	mov %eax, %gs\n"
"	mov native_cpu+192(%rip), %rax\n"
"	wrfsbase %rax\n"
"1:	mov native_cpu+184(%rip), %rsp\n"
"	fninit\n"
"	movl $0x1f80, native_cpu+208(%rip)\n"
"	ldmxcsr native_cpu+208(%rip)\n"
"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
"	ret\n"
"\n"
"	.globl native_on_signal\n"
"native_on_signal:\n"
"	push %rbx\n"
"	pushq $2\n"
"	popfq\n"
"	mov %ds, %ecx\n"
"	mov %es, %r8d\n"
"	shl $16, %r8\n"
"	or %r8, %rcx\n"
"	mov %fs, %r8d\n"
"	shl $32, %r8\n"
"	or %r8, %rcx\n"
"	mov %gs, %r8d\n"
"	shl $48, %r8\n"
"	or %r8, %rcx\n"
"	cmpq $0, native_cpu+200(%rip)\n"
"	je 1f\n"
"	rdgsbase %r9\n"
"	rdfsbase %r8\n"
"	mov %r8, %rbx\n"
"	mov native_cpu+192(%rip), %rax\n"
"	wrfsbase %rax\n"
"1:	call native_caught\n"
"	test %eax, %eax\n"
"	jnz native_leave\n"
"	cmpq $0, native_cpu+200(%rip)\n"
"	je 2f\n"
"	wrfsbase %rbx\n"
"2:	pop %rbx\n"
"	ret\n"
);
/* clang-format on */

static struct diff_outcome *pending; /* of the case that runs now */
static volatile bool running;
static u64 runs, runs_at_alarm, cpu_at_alarm;

static bool
inside_case(u64 rip)
{
	return rip < (u64)(uintptr_t)native_enter - 0x1000 ||
	       rip > (u64)(uintptr_t)native_exit + 0x10000;
}

/* An alarm is a hint that the case does not end. CPU time decides, since the
 * process may merely not have been running. */
static bool
timed_out(void)
{
	u64 now = clock_cpu_ns();

	if (runs_at_alarm == runs)
		return now - cpu_at_alarm > CASE_CPU_NS;
	runs_at_alarm = runs;
	cpu_at_alarm = now;
	return false;
}

static void
die(int sig, u64 rip)
{
	fprintf(stderr, "diff: signal %d in the harness at %#llx\n", sig,
		(unsigned long long)rip);
	_exit(3);
}

int
native_caught(int sig, siginfo_t *info, ucontext_t *uc, u64 sels, u64 fs_base,
	      u64 gs_base)
{
	static const u8 order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX,
				     REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				     REG_R8,  REG_R9,  REG_R10, REG_R11,
				     REG_R12, REG_R13, REG_R14, REG_R15};
	greg_t *g = uc->uc_mcontext.gregs;
	u64 rip = (u64)g[REG_RIP];

	(void)info;
	if (sig == SIGALRM && (!running || !inside_case(rip) || !timed_out()))
		return 0;
	if (!running || !inside_case(rip))
		die(sig, rip);
	for (unsigned i = 0; i < 16; i++)
		pending->out.gpr[i] = (u64)g[order[i]];
	pending->out.rip = rip;
	pending->out.rflags = (u64)g[REG_EFL];
	memcpy(pending->out.fx, uc->uc_mcontext.fpregs, 512);
	pending->cs = (u16)g[REG_CSGSFS];
	memcpy(native_cpu.sel, &sels, sizeof(sels));
	native_cpu.fs_base_out = fs_base;
	native_cpu.gs_base_out = gs_base;
	native_cpu.sel[DIFF_SELS - 1] = (u16)(g[REG_CSGSFS] >> 48);
	pending->vector = (unsigned)g[REG_TRAPNO];
	pending->error = (u32)g[REG_ERR];
	pending->cr2 = (u64)g[REG_CR2];
	if (sig == SIGALRM)
		pending->vector = DIFF_TIMEOUT;
	if (sig == SIGSYS) {
		pending->vector = DIFF_LOST;
		snprintf(pending->text, sizeof(pending->text),
			 "the case made a system call");
	}
	return 1;
}

bool
diff_native_fsgs(void)
{
	return native_cpu.fsgs != 0;
}

bool
diff_native_amd(void)
{
	return __builtin_cpu_is("amd");
}

bool
diff_native_fpu_pointers(void)
{
	static int known = -1;
	unsigned a, b = 0, c, d;

	if (known < 0)
		known = diff_native_amd() &&
			__get_cpuid(0x80000008, &a, &b, &c, &d) != 0 &&
			(b & BIT(2)) != 0;
	return known != 0;
}

void
diff_native_normalize(u8 *fx)
{
	_Alignas(16) u8 own[512];

	__asm__ volatile("fxsave64 %0\n"
			 "fxrstor64 %1\n"
			 "fxsave64 %1\n"
			 "fxrstor64 %0"
			 : "=m"(own), "+m"(*(u8(*)[512])fx));
}

/* The exception has an error code on the stack of a real handler. */
static bool
pushes_error(unsigned vector)
{
	return vector == EXC_DF || (vector >= EXC_TS && vector <= EXC_PF) ||
	       vector == EXC_AC;
}

static void
native_run(struct diff_side *side, const struct diff_case *c,
	   struct diff_outcome *o)
{
	struct native_cpu *n = &native_cpu;
	const struct diff_regs *in = &c->in;

	(void)side;
	memcpy(n->gpr, in->gpr, sizeof(n->gpr));
	n->frame[0] = in->rip;
	n->frame[1] = c->compat ? DIFF_CS32 : DIFF_CS64;
	n->frame[2] = in->rflags;
	n->frame[3] = in->gpr[RSP];
	n->frame[4] = c->sel[DIFF_SELS - 1];
	memcpy(n->sel_in, c->sel, sizeof(n->sel_in));
	n->fs_base = in->fs_base;
	n->gs_base = in->gs_base;
	n->reached_exit = 0;
	memcpy(n->fx, in->fx, sizeof(n->fx));
	memset(o, 0, offsetof(struct diff_outcome, text) + 1);
	pending = o;
	runs++;
	running = true;
	native_enter();
	running = false;
	if (n->reached_exit != 0) {
		memcpy(o->out.gpr, n->gpr, sizeof(n->gpr));
		memcpy(o->out.fx, n->fx, sizeof(n->fx));
		o->out.rip = c->compat ? DIFF_EXIT32_VA : DIFF_EXIT_VA;
		o->out.rflags = n->frame[2];
		o->vector = DIFF_END;
	}
	memcpy(o->sel, n->sel, sizeof(o->sel));
	o->out.fs_base = diff_native_fsgs() ? n->fs_base_out : in->fs_base;
	o->out.gs_base = diff_native_fsgs() ? n->gs_base_out : in->gs_base;
	o->has_error = pushes_error(o->vector);
	if (!o->has_error)
		o->error = 0;
	if (o->vector != EXC_PF)
		o->cr2 = 0;
	memset(o->out.fx + 416, 0, 96); /* the kernel's notes */
}

/* --- setting up --------------------------------------------------------- */

/* jmp *2(%rip) to native_exit, which touches nothing. */
static int
make_exit_page(u64 va)
{
	u64 target = (u64)(uintptr_t)native_exit;
	u8 *p = mmap((void *)va, DIFF_PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != (u8 *)va)
		return -errno;
	memcpy(p, "\xff\x25\2\0\0\0", 6);
	memcpy(p + 8, &target, 8); /* aligned: AC may be set */
	return mprotect(p, DIFF_PAGE, PROT_READ | PROT_EXEC);
}

static int
map_world(struct diff_side *side)
{
	static const struct {
		u64 va;
		unsigned page, count;
		int prot;
	} maps[] = {
	    {DIFF_CODE_VA, PAGE_CODE0, 2, PROT_READ | PROT_EXEC},
	    {DIFF_DATA_VA, PAGE_DATA0, 2, PROT_READ | PROT_WRITE},
	    {DIFF_DATA_VA + 8192, PAGE_RO, 1, PROT_READ},
	    {DIFF_SMC_VA, PAGE_SMC, 1, PROT_READ | PROT_WRITE | PROT_EXEC},
	};
	size_t size_bytes = (size_t)DIFF_WORLD_PAGES * DIFF_PAGE;
	int fd = memfd_create("diff", MFD_CLOEXEC);
	u8 *view;

	if (fd < 0 || ftruncate(fd, (off_t)size_bytes) != 0)
		return -errno;
	view =
	    mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (view == MAP_FAILED)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		void *p =
		    mmap((void *)maps[i].va, (size_t)maps[i].count * DIFF_PAGE,
			 maps[i].prot, MAP_SHARED | MAP_FIXED_NOREPLACE, fd,
			 (off_t)maps[i].page * DIFF_PAGE);
		if (p != (void *)maps[i].va)
			return -errno;
		/* a page that is not there yet faults with P clear */
		if (mlock(p, (size_t)maps[i].count * DIFF_PAGE) != 0)
			return -errno;
	}
	close(fd);
	for (unsigned i = 0; i < DIFF_WORLD_PAGES; i++)
		side->page[i] = view + i * DIFF_PAGE;
	return 0;
}

/* Linux makes of a struct user_desc what diff_ldt has. */
static int
make_ldt(void)
{
	for (unsigned n = 0; n < DIFF_LDT; n++) {
		const struct diff_desc *d = &diff_ldt[n];
		struct user_desc u = {
		    .entry_number = n,
		    .base_addr = d->base,
		    .limit = d->limit,
		    .seg_32bit = (d->attr & ATTR_DB) != 0,
		    .contents = d->attr >> 2 & 3,
		    .read_exec_only = (d->attr & 2) == 0,
		    .limit_in_pages = (d->attr & ATTR_G) != 0,
		    .seg_not_present = (d->attr & ATTR_P) == 0,
		};

		if (syscall(SYS_modify_ldt, 0x11, &u, sizeof(u)) != 0)
			return -errno;
	}
	return 0;
}

/* System calls from below 4 GiB, where the cases' code is, become SIGSYS. */
static int
forbid_syscalls(void)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		     offsetof(struct seccomp_data, instruction_pointer) + 4),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {ARRAY_SIZE(code), code};

	if ((u64)(uintptr_t)native_enter >> 32 == 0)
		return 0; /* the program itself is down there */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) != 0)
		return -errno;
	return 0;
}

static int
catch_signals(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS,	SIGILL, SIGFPE,
				      SIGTRAP, SIGALRM, SIGSYS};
	struct sigaction sa = {.sa_sigaction = native_on_signal,
			       .sa_flags =
				   SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
	stack_t stack = {.ss_size = SIGNAL_STACK_BYTES};

	stack.ss_sp = mmap(NULL, SIGNAL_STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL) != 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (sigaction(signals[i], &sa, NULL) != 0)
			return -errno;
	return 0;
}

int
diff_native_open(struct diff_side *side, struct err *e)
{
	int rc;

	memset(side, 0, sizeof(*side));
	side->name = "host";
	side->run = native_run;
	native_cpu.fsgs = (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT) != 0;
	if (native_cpu.fsgs != 0)
		__asm__("rdfsbase %0" : "=r"(native_cpu.host_fs));
	__asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(DIFF_DS));
	rc = map_world(side);
	if (rc == 0)
		rc = make_exit_page(DIFF_EXIT_VA);
	if (rc == 0)
		rc = make_exit_page(DIFF_EXIT32_VA);
	if (rc == 0)
		rc = make_ldt();
	if (rc == 0)
		rc = catch_signals();
	if (rc == 0)
		rc = forbid_syscalls();
	if (rc != 0)
		return err_errno(e, rc, "cannot prepare the host side");
	return 0;
}
