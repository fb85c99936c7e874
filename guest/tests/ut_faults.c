/* SPDX-License-Identifier: BSD-2-Clause */
/* ut_faults - every exception a program can raise, and what it is told */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xmmintrin.h>

#include "guest/tests/ut.h"

#if UT_64
#define UT_SP "rsp"
#else
#define UT_SP "esp"
#endif

static void
attempt(const char *name, void (*fn)(void *), void *arg, const void *base)
{
	struct ut_fault f;

	if (ut_catch(&f, fn, arg))
		ut_print_fault(name, &f, base);
	else
		printf("%s: nothing happened\n", name);
	_mm_setcsr(0x1f80);
	__asm__ volatile("fninit");
}

static void
load(void *p)
{
	(void)*(volatile u8 *)p;
}

static void
store(void *p)
{
	*(volatile u32 *)p = 0x11223344;
}

static void
call(void *p)
{
	void (*fn)(void);

	memcpy(&fn, &p, sizeof(fn));
	fn();
}

static void
memory_faults(void)
{
	u8 *page = ut_pages(3, PROT_READ | PROT_WRITE);
	char name[] = "/tmp/utest.XXXXXX";
	int fd = mkstemp(name);
	u8 *file;

	memset(page, 0xc3, UT_PAGE); /* ret */
	attempt("load from 16", load, (void *)16, NULL);
	attempt("store to 16", store, (void *)16, NULL);
	attempt("call 16", call, (void *)16, NULL);
	attempt("call data", call, page, page);
	mprotect(page, UT_PAGE, PROT_READ);
	attempt("store to read-only", store, page + 100, page);
	mprotect(page, UT_PAGE, PROT_NONE);
	attempt("load from nothing", load, page + 200, page);
	mprotect(page, UT_PAGE, PROT_READ | PROT_EXEC);
	attempt("call code", call, page, page);
	munmap(page + 2 * UT_PAGE, UT_PAGE);
	attempt("load behind the end", load, page + 2 * UT_PAGE, page);
#if UT_64
	attempt("load non-canonical", load, (void *)0x8000000000000000, NULL);
	attempt("store non-canonical", store, (void *)0x0000800000000000, NULL);
	attempt("call non-canonical", call, (void *)0x0001000000000000, NULL);
	attempt("load from the kernel", load, (void *)0xffffffff81000000,
		(void *)0xffffffff81000000);
#endif
	UT_CHECK(fd >= 0 && ftruncate(fd, 10) == 0);
	unlink(name);
	file =
	    mmap(NULL, 2 * UT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	attempt("load in the file", load, file + 5, file);
	attempt("load behind the file", load, file + UT_PAGE + 5, file);
	munmap(file, 2 * UT_PAGE);
	close(fd);
	munmap(page, 2 * UT_PAGE);
}

/* One function an exception, each a few instructions. */
#define RAISER(name, text) \
	static void name(void *arg) \
	{ \
		(void)arg; \
		__asm__ volatile(text :: \
				     : "eax", "ecx", "edx", "cc", "memory"); \
	}

RAISER(divide_zero, "xor %%ecx, %%ecx; mov $7, %%eax; cltd; idiv %%ecx")
RAISER(divide_overflow, "mov $0x80000000, %%eax; cltd; mov $-1, %%ecx;"
			"idiv %%ecx")
RAISER(divide_byte, "mov $0x1000, %%eax; mov $2, %%cl; div %%cl")
RAISER(undefined, "ud2")
RAISER(lock_register, ".byte 0xf0, 0x01, 0xc0") /* lock add %eax, %eax */
RAISER(breakpoint, "int3")
RAISER(breakpoint_long, "int $3")
RAISER(privileged, "hlt")
RAISER(disable, "cli")
RAISER(port, "mov $0x80, %%edx; out %%al, %%dx")
RAISER(vector, "int $0x20")
RAISER(control_register, ".byte 0x0f, 0x20, 0xc0") /* mov %cr0, %(r/e)ax */
RAISER(trap_flag, "pushf; orl $0x100, (%%" UT_SP "); popf; nop; nop")
RAISER(segment, "mov $0x1234, %%eax; mov %%eax, %%ds")
#if UT_64
RAISER(misaligned, "sub $8, %%rsp; and $-16, %%rsp; movaps 4(%%rsp), %%xmm0")
RAISER(return_wild, "mov $0x0001000000000000, %%rax; push %%rax; ret")
RAISER(stack_wild, "mov $0x0001000000000000, %%rbp; mov (%%rbp), %%eax")
#else
RAISER(misaligned, "sub $8, %%esp; and $-16, %%esp; movaps 4(%%esp), %%xmm0")
RAISER(overflow, "mov $0x7fffffff, %%eax; add $1, %%eax; into")
RAISER(out_of_bounds, "mov $9, %%eax; push $5; push $1; bound %%eax, (%%esp)")
RAISER(fast_bcd, "mov $0x1234, %%eax; aam $0")
#endif

static void
x87_fault(void *arg)
{
	static const long double zero = 0.0L, one = 1.0L;
	static const u16 bits[] = {0x37e, 0x37b, 0x37f & ~0x20, 0x37f & ~8};

	__asm__ volatile("fldcw %0" ::"m"(bits[*(int *)arg]));
	switch (*(int *)arg) {
	case 0: /* invalid */
		__asm__ volatile(
		    "fldt %0; fldt %0; fdivrp; fwait; fstp %%st" ::"m"(zero));
		break;
	case 1: /* by zero */
		__asm__ volatile("fldt %1; fldt %0; fdivrp %%st, %%st(1);"
				 "fwait; fstp %%st" ::"m"(zero),
				 "m"(one));
		break;
	case 2: /* inexact */
		__asm__ volatile("fldpi; fldl2e; fmulp; fwait; fstp %st");
		break;
	default: /* overflow */
		__asm__ volatile(
		    "fldt %0; 1: fmul %%st, %%st; fwait; jmp 1b" ::"m"(
			(long double){1e300L}));
	}
}

static void
sse_fault(void *arg)
{
	static const unsigned masked[] = {7, 9, 10, 11, 12, 8};
	volatile float zero = 0.0f, one = 1.0f, big = 3e38f, tiny = 1e-38f;
	volatile float denormal = 1e-40f, r;
	int which = *(int *)arg;

	_mm_setcsr(0x1f80 & ~(1u << masked[which]));
	r = which == 0	 ? zero / zero
	    : which == 1 ? one / zero
	    : which == 2 ? big * big
	    : which == 3 ? tiny * tiny
	    : which == 4 ? one / 3.0f
			 : denormal + one;
	(void)r;
}

static void
float_faults(void)
{
	static const char *const x87[] = {"x87 invalid", "x87 by zero",
					  "x87 inexact", "x87 overflow"};
	static const char *const sse[] = {"sse invalid",  "sse by zero",
					  "sse overflow", "sse underflow",
					  "sse inexact",  "sse denormal"};
	struct ut_fault f;

	for (int i = 0; i < 4; i++) {
		bool caught = ut_catch(&f, x87_fault, &i);

		printf("%s: caught %d signal %d code %d trap %ld\n", x87[i],
		       caught, f.signo, f.code, f.trapno);
		__asm__ volatile("fninit");
	}
#if UT_64 /* 32-bit code has its floats in x87 registers */
	for (int i = 0; i < 6; i++) {
		bool caught = ut_catch(&f, sse_fault, &i);

		printf("%s: caught %d signal %d code %d trap %ld\n", sse[i],
		       caught, f.signo, f.code, f.trapno);
		_mm_setcsr(0x1f80);
	}
#else
	(void)sse;
	(void)sse_fault;
#endif
}

static void
instruction_faults(void)
{
	static const struct {
		const char *name;
		void (*fn)(void *);
	} list[] = {
		{"divide by zero", divide_zero},
		{"divide overflow", divide_overflow},
		{"divide overflow, byte", divide_byte},
		{"ud2", undefined},
		{"lock on a register", lock_register},
		{"int3", breakpoint},
		{"int $3", breakpoint_long},
		{"hlt", privileged},
		{"cli", disable},
		{"out", port},
		{"int $0x20", vector},
		{"mov from cr0", control_register},
		{"trap flag", trap_flag},
		{"load ds", segment},
		{"movaps misaligned", misaligned},
#if UT_64
		{"ret to non-canonical", return_wild},
		{"non-canonical by rbp", stack_wild},
#else
		{"into", overflow},
		{"bound", out_of_bounds},
		{"aam $0", fast_bcd},
#endif
	};

	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		struct ut_fault f;
		bool caught = ut_catch(&f, list[i].fn, NULL);

		printf("%s: caught %d signal %d code %d trap %ld error %ld\n",
		       list[i].name, caught, f.signo, f.code, f.trapno, f.err);
	}
}

void
ut_faults(void)
{
	memory_faults();
	instruction_faults();
	float_faults();
}
