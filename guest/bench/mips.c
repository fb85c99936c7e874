/* SPDX-License-Identifier: BSD-2-Clause */
/* mips - how fast a guest's processor runs known instructions
 *
 * usage: mips [NAME ...]
 *
 * Prints "name value MIPS" a line. The loops are written in assembler, so the
 * number of instructions they execute is known and not the compiler's choice;
 * where it depends on the data, a twin in C counts it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "base/bits.h"

#define MIN_NS	   400000000ULL /* of one measurement */
#define CHASE	   65536	/* words of the pointer chase: 512 KiB */
#define COPY_BYTES 65536
#define SORT_COUNT 100000
#define CALLS	   65536 /* calls in one round of the generated code */
#define BODY_BYTES 128	 /* of one generated function */

static u64
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
}

static u64
random_next(u64 *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

/* Each returns the number of instructions it has executed. */

static u64
integer_loop(void)
{
	static u64 memory[64];
	const u64 n = 1000000;

	__asm__ volatile("mov %0, %%rcx\n\t"
			 "xor %%eax, %%eax\n\t"
			 "mov $1, %%edx\n\t"
			 "sub $128, %%rsp\n" /* the red zone */
			 "1:\tadd $3, %%rax\n\t"
			 "xor %%rax, %%rdx\n\t"
			 "mov %%ecx, %%edi\n\t"
			 "and $63, %%edi\n\t"
			 "add %%rdx, (%1,%%rdi,8)\n\t"
			 "mov (%1,%%rdi,8), %%r8\n\t"
			 "call 2f\n\t"
			 "shr $7, %%r8\n\t"
			 "add %%r8, %%rax\n\t"
			 "dec %%rcx\n\t"
			 "jnz 1b\n\t"
			 "jmp 3f\n"
			 "2:\tlea 1(%%rax,%%rdx), %%rax\n\t"
			 "test $4, %%al\n\t"
			 "jz 4f\n\t"
			 "nop\n"
			 "4:\tret\n"
			 "3:\tadd $128, %%rsp"
			 :
			 : "r"(n), "r"(memory)
			 : "rax", "rcx", "rdx", "rdi", "r8", "memory", "cc");
	/* The nop runs about every other time. */
	return n * 15 + n / 2;
}

static void *chase[CHASE];

/* One cycle through all words, in random order. */
static void
make_chase(void)
{
	static u32 order[CHASE];
	u64 rng = 1;

	for (u32 i = 0; i < CHASE; i++)
		order[i] = i;
	for (u32 i = CHASE - 1; i > 0; i--) {
		u32 j = (u32)(random_next(&rng) % (i + 1)), t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
	for (u32 i = 0; i < CHASE; i++)
		chase[order[i]] = &chase[order[(i + 1) % CHASE]];
}

static u64
pointer_chase(void)
{
	u64 n = 1000000;

	__asm__ volatile("mov %0, %%rcx\n\t"
			 "mov %1, %%rax\n"
			 "1:\tmov (%%rax), %%rax\n\t"
			 "dec %%rcx\n\t"
			 "jnz 1b"
			 :
			 : "r"(n), "r"(&chase[0])
			 : "rax", "rcx", "memory", "cc");
	return n * 3;
}

static u64
byte_copy(void)
{
	static u8 from[COPY_BYTES], to[COPY_BYTES];
	u64 rounds = 16;

	for (u64 i = 0; i < rounds; i++)
		__asm__ volatile("xor %%ecx, %%ecx\n"
				 "1:\tmov (%0,%%rcx), %%al\n\t"
				 "mov %%al, (%1,%%rcx)\n\t"
				 "inc %%rcx\n\t"
				 "cmp %2, %%rcx\n\t"
				 "jne 1b"
				 :
				 : "r"(from), "r"(to), "r"((u64)COPY_BYTES)
				 : "rax", "rcx", "memory", "cc");
	return rounds * COPY_BYTES * 5;
}

static u64
sse2_loop(void)
{
	static float memory[1024] __attribute__((aligned(16)));
	u64 n = 500000;

	__asm__ volatile("mov %0, %%rcx\n\t"
			 "xorps %%xmm0, %%xmm0; xorps %%xmm1, %%xmm1\n\t"
			 "xorps %%xmm2, %%xmm2; xorps %%xmm3, %%xmm3\n"
			 "1:\tmov %%ecx, %%eax\n\t"
			 "and $0xff, %%eax\n\t"
			 "shl $4, %%eax\n\t"
			 "movaps (%1,%%rax), %%xmm4\n\t"
			 "addps %%xmm4, %%xmm0\n\t"
			 "mulps %%xmm4, %%xmm1\n\t"
			 "paddd %%xmm4, %%xmm2\n\t"
			 "pxor %%xmm2, %%xmm3\n\t"
			 "pshufd $0x1b, %%xmm3, %%xmm3\n\t"
			 "movaps %%xmm0, (%1,%%rax)\n\t"
			 "dec %%rcx\n\t"
			 "jnz 1b"
			 :
			 : "r"(n), "r"(memory)
			 : "rax", "rcx", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
			   "memory", "cc");
	return n * 12;
}

/* fib(n) in %edi -> %eax: 4 instructions for n < 2, else 14. */
u64 mips_fib(u32 n);
__asm__(".text; .globl mips_fib\n"
	"mips_fib:\n\t"
	"mov %edi, %eax\n\t"
	"cmp $2, %edi\n\t"
	"jb 1f\n\t"
	"push %rbx\n\t"
	"push %rdi\n\t"
	"dec %edi\n\t"
	"call mips_fib\n\t"
	"mov %rax, %rbx\n\t"
	"pop %rdi\n\t"
	"sub $2, %edi\n\t"
	"call mips_fib\n\t"
	"add %rbx, %rax\n\t"
	"pop %rbx\n"
	"1:\tret\n");

static u64
fib_instructions(u32 n)
{
	u64 a = 4, b = 4; /* of fib(0) and fib(1) */

	for (u32 i = 2; i <= n; i++) {
		u64 c = a + b + 14;

		a = b;
		b = c;
	}
	return b;
}

static u64
fib_calls(void)
{
	u64 value = mips_fib(24);

	assert(value == 46368);
	return fib_instructions(24);
}

/* Quicksort of u32 from %rdi to %rsi, both included. */
void mips_sort(u32 *low, u32 *high);
__asm__(".text; .globl mips_sort\n"
	"mips_sort:\n\t"
	"cmp %rsi, %rdi\n\t"
	"jae 5f\n\t" /* 2, and 1 for the ret */
	"push %rbx\n\t"
	"push %rbp\n\t"
	"mov %rsi, %rbp\n\t"
	"mov (%rsi), %eax\n\t"
	"mov %rdi, %rbx\n\t"
	"mov %rdi, %rcx\n" /* 6 */
	"1:\tcmp %rsi, %rcx\n\t"
	"jae 3f\n\t" /* 2 */
	"mov (%rcx), %edx\n\t"
	"cmp %eax, %edx\n\t"
	"jae 2f\n\t" /* 3 */
	"mov (%rbx), %r8d\n\t"
	"mov %edx, (%rbx)\n\t"
	"mov %r8d, (%rcx)\n\t"
	"add $4, %rbx\n" /* 4 */
	"2:\tadd $4, %rcx\n\t"
	"jmp 1b\n" /* 2 */
	"3:\tmov (%rbx), %edx\n\t"
	"mov %eax, (%rbx)\n\t"
	"mov %edx, (%rsi)\n\t"
	"lea -4(%rbx), %rsi\n\t"
	"call mips_sort\n\t"
	"lea 4(%rbx), %rdi\n\t"
	"mov %rbp, %rsi\n\t"
	"call mips_sort\n\t"
	"pop %rbp\n\t"
	"pop %rbx\n" /* 10 */
	"5:\tret\n");

/* Does what mips_sort does, and counts its instructions. */
static u64
sort_twin(u32 *low, u32 *high)
{
	u32 *i = low, pivot, t;
	u64 count = 3;

	if (low >= high)
		return count;
	pivot = *high;
	count += 6;
	for (u32 *j = low; j < high; j++) {
		count += 7;
		if (*j >= pivot)
			continue;
		t = *i;
		*i++ = *j;
		*j = t;
		count += 4;
	}
	count += 2 + 10;
	t = *i;
	*i = pivot;
	*high = t;
	count += sort_twin(low, i - 1);
	return count + sort_twin(i + 1, high);
}

static u32 unsorted[SORT_COUNT], sorted[SORT_COUNT];
static u64 sort_count;

static void
make_sort(void)
{
	u64 rng = 2;

	for (u32 i = 0; i < SORT_COUNT; i++)
		unsorted[i] = (u32)(random_next(&rng) >> 32);
	memcpy(sorted, unsorted, sizeof(sorted));
	sort_count = sort_twin(sorted, sorted + SORT_COUNT - 1);
}

static u64
quicksort(void)
{
	memcpy(sorted, unsorted, sizeof(sorted));
	mips_sort(sorted, sorted + SORT_COUNT - 1);
	assert(sorted[0] <= sorted[1]);
	return sort_count;
}

/* Functions of BODY_BYTES made at run time, called in random order: a stand-in
 * for a large program. Each is a run of the templates below, then ret. */
static const struct {
	u8 bytes[8], size, executed;
} templates[] = {
    {{0x48, 0x01, 0xc2}, 3, 1},			  /* add %rax, %rdx */
    {{0x48, 0x31, 0xd0}, 3, 1},			  /* xor %rdx, %rax */
    {{0x48, 0x8d, 0x44, 0x02, 0x07}, 5, 1},	  /* lea 7(%rdx,%rax) */
    {{0x49, 0x8b, 0x48, 0x18}, 4, 1},		  /* mov 24(%r8), %rcx */
    {{0x49, 0x89, 0x50, 0x20}, 4, 1},		  /* mov %rdx, 32(%r8) */
    {{0x48, 0xc1, 0xc2, 0x05}, 4, 1},		  /* rol $5, %rdx */
    {{0x45, 0x31, 0xc9, 0x74, 0x01, 0x90}, 6, 2}, /* xor; jz over nop */
    {{0x4d, 0x85, 0xc0, 0x74, 0x00}, 5, 2},	  /* test; jz not taken */
    {{0x41, 0x83, 0x40, 0x08, 0x03}, 5, 1},	  /* addl $3, 8(%r8) */
    {{0x52, 0x5a}, 2, 2},			  /* push, pop %rdx */
    {{0x89, 0xc1, 0x83, 0xe1, 0x1f}, 5, 2},	  /* mov; and $31, %ecx */
    {{0x81, 0xfa, 0x78, 0x56, 0x34, 0x12}, 6, 1}, /* cmp $.., %edx */
};

static u32
make_function(u8 *at, u64 *rng)
{
	u32 used = 0, executed = 1; /* the ret */

	for (;;) {
		u32 t = (u32)(random_next(rng) >> 33) % ARRAY_SIZE(templates);

		if (used + templates[t].size >= BODY_BYTES)
			break;
		memcpy(at + used, templates[t].bytes, templates[t].size);
		used += templates[t].size;
		executed += templates[t].executed;
	}
	at[used] = 0xc3;
	return executed;
}

static void *calls[CALLS];
static u64 calls_count;

static void
make_calls(u32 functions)
{
	static u8 *code;
	static u32 executed[8192];
	u64 rng = 3;

	assert(functions <= ARRAY_SIZE(executed));
	if (code == NULL)
		code = mmap(NULL, (size_t)ARRAY_SIZE(executed) * BODY_BYTES,
			    PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED) {
		perror("mips: mmap");
		exit(1);
	}
	calls_count = 0;
	for (u32 i = 0; i < functions; i++)
		executed[i] =
		    make_function(code + (size_t)i * BODY_BYTES, &rng);
	for (u32 i = 0; i < CALLS; i++) {
		u32 f = (u32)(random_next(&rng) >> 33) % functions;

		calls[i] = code + (size_t)f * BODY_BYTES;
		calls_count += executed[f] + 5;
	}
}

static void
make_calls_14k(void)
{
	make_calls(14 * 1024 / BODY_BYTES);
}

static void
make_calls_108k(void)
{
	make_calls(108 * 1024 / BODY_BYTES);
}

static void
make_calls_860k(void)
{
	make_calls(860 * 1024 / BODY_BYTES);
}

static u64
random_calls(void)
{
	static u64 memory[8];

	__asm__ volatile("mov %0, %%rsi\n\t"
			 "mov %1, %%r8\n\t"
			 "mov %2, %%rdi\n\t"
			 "sub $128, %%rsp\n" /* the red zone */
			 "1:\tmov (%%rsi), %%rcx\n\t"
			 "add $8, %%rsi\n\t"
			 "call *%%rcx\n\t"
			 "dec %%rdi\n\t"
			 "jnz 1b\n\t"
			 "add $128, %%rsp"
			 :
			 : "r"(calls), "r"(memory), "r"((u64)CALLS)
			 : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9",
			   "memory", "cc");
	return calls_count;
}

static const struct {
	const char *name;
	void (*make)(void);
	u64 (*run)(void);
} tests[] = {
    {"integer_loop", NULL, integer_loop},
    {"pointer_chase", make_chase, pointer_chase},
    {"byte_copy", NULL, byte_copy},
    {"sse2_loop", NULL, sse2_loop},
    {"fib", NULL, fib_calls},
    {"quicksort", make_sort, quicksort},
    {"calls_14k", make_calls_14k, random_calls},
    {"calls_108k", make_calls_108k, random_calls},
    {"calls_860k", make_calls_860k, random_calls},
};

static void
measure(size_t i)
{
	u64 count = 0, start, took;

	if (tests[i].make != NULL)
		tests[i].make();
	tests[i].run();
	start = now_ns();
	do {
		count += tests[i].run();
		took = now_ns() - start;
	} while (took < MIN_NS);
	printf("%s %.1f MIPS\n", tests[i].name,
	       (double)count / ((double)took / 1000));
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		bool wanted = argc == 1;

		for (int a = 1; a < argc; a++)
			wanted |= strcmp(argv[a], tests[i].name) == 0;
		if (wanted)
			measure(i);
	}
	return 0;
}
