/* SPDX-License-Identifier: BSD-2-Clause */
/* ut_straddle - accesses and instructions that lie on two pages
 *
 * The second page is missing or read-only. A fault must name the first byte
 * that cannot be accessed (Intel SDM 3A 4.7), leave the first page as it was,
 * and the access must succeed when the handler has mended the page.
 */
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "guest/tests/ut.h"

static u8 *edge; /* the first byte of the second page */
static volatile int mended;

static void
on_mend(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)context;
	mended++;
	printf(" [fault code %d at %+ld]", info->si_code,
	       (long)((u8 *)info->si_addr - edge));
	if (mprotect(edge, UT_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
		_Exit(3);
}

struct access {
	u8 *where;
	unsigned size;
	bool write;
};

static void
do_access(void *arg)
{
	static const u8 ones[16] = {1, 1, 1, 1, 1, 1, 1, 1,
				    1, 1, 1, 1, 1, 1, 1, 1};
	const struct access *a = arg;
	u8 *p = a->where;

	__asm__ volatile("movups %0, %%xmm1" ::"m"(ones) : "xmm1");
	switch (a->size * 2 + a->write) {
	case 4:
		__asm__ volatile("movw %0, %%ax" ::"m"(*p) : "eax");
		break;
	case 5:
		__asm__ volatile("movw $0x101, %0" : "=m"(*p));
		break;
	case 8:
		__asm__ volatile("movl %0, %%eax" ::"m"(*p) : "eax");
		break;
	case 9:
		__asm__ volatile("addl $0x1010101, %0" : "+m"(*p)::"cc");
		break;
	case 16:
		__asm__ volatile("movq %0, %%xmm0" ::"m"(*p) : "xmm0");
		break;
	case 17:
		__asm__ volatile("movq %%xmm1, %0" : "=m"(*p));
		break;
	case 20:
		__asm__ volatile("fldt %0; fstp %%st" ::"m"(*p));
		break;
	case 21:
		__asm__ volatile("fldpi; fstpt %0" : "=m"(*p));
		break;
	case 32:
		__asm__ volatile("movups %0, %%xmm0" ::"m"(*p) : "xmm0");
		break;
	case 33:
		__asm__ volatile("movups %%xmm1, %0" : "=m"(*p));
		break;
	}
}

static void
fill(void)
{
	mprotect(edge, UT_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	for (int i = -64; i < 64; i++)
		edge[i] = (u8)(i + 100);
}

static u64
hash_edge(int from, int to)
{
	return ut_hash(UT_HASH, edge + from, (size_t)(to - from));
}

static void
accesses(int prot, const char *what)
{
	static const unsigned sizes[] = {2, 4, 8, 10, 16};

	for (unsigned i = 0; i < ARRAY_SIZE(sizes) * 2; i++) {
		unsigned size = sizes[i / 2], faults = 0;
		struct access a = {NULL, size, i % 2 != 0};
		u64 hash = UT_HASH, before;
		struct ut_fault f;

		for (unsigned in_first = 1; in_first < size; in_first++) {
			fill();
			before = hash_edge(-64, 0);
			mprotect(edge, UT_PAGE, prot);
			a.where = edge - in_first;
			if (ut_catch(&f, do_access, &a)) {
				long at = (long)(f.addr - (uintptr_t)edge);

				faults++;
				hash = ut_hash(hash, &at, 4);
				hash = ut_hash(hash, &f.err, 4);
				UT_CHECK(hash_edge(-64, 0) == before);
				__asm__ volatile("fninit");
			}
			mprotect(edge, UT_PAGE, PROT_READ);
			hash = ut_hash(hash, edge - 64, 128);
		}
		printf("%s, %s of %u: %u of %u fault, %016llx\n", what,
		       a.write ? "store" : "load", size, faults, size - 1,
		       (unsigned long long)hash);
	}
}

/* A string instruction stops where the page ends and goes on from there. */
static void
strings(void)
{
	struct sigaction sa = {.sa_sigaction = on_mend, .sa_flags = SA_SIGINFO},
			 old;

	sigaction(SIGSEGV, &sa, &old);
	for (unsigned i = 0; i < 5; i++) {
		u8 *di = edge - 21 + i, *si = edge - 60;
		unsigned long count = 40;

		fill();
		mprotect(edge, UT_PAGE, i % 2 ? PROT_NONE : PROT_READ);
		printf("string %u:", i);
		switch (i) {
		case 0:
			__asm__ volatile("rep movsb"
					 : "+D"(di), "+S"(si), "+c"(count)
					 :
					 : "memory");
			break;
		case 1:
			count = 9;
			__asm__ volatile("rep stosl"
					 : "+D"(di), "+c"(count)
					 : "a"(0x5a6b7c8d)
					 : "memory");
			break;
		case 2: /* backwards, from the second page into the first */
			di = edge + 30;
			__asm__ volatile("std; rep stosb; cld"
					 : "+D"(di), "+c"(count)
					 : "a"(0x77)
					 : "memory");
			break;
		case 3:
			__asm__ volatile("repne scasb"
					 : "+D"(di), "+c"(count)
					 : "a"(1)
					 : "memory", "cc");
			break;
		default:
			mprotect(edge, UT_PAGE, PROT_READ | PROT_WRITE);
			memset(edge - 64, 9, 128);
			edge[13] = 8;
			mprotect(edge, UT_PAGE, PROT_NONE);
			__asm__ volatile("repe cmpsb"
					 : "+D"(di), "+S"(si), "+c"(count)
					 :
					 : "memory", "cc");
		}
		printf(" left %lu di %+ld hash %016llx\n", count,
		       (long)(di - edge),
		       (unsigned long long)hash_edge(-64, 64));
	}
	sigaction(SIGSEGV, &old, NULL);
}

/* mov $0x44332211, %eax; ret, at each offset over the edge. */
static void
instructions(void)
{
	static const u8 code[] = {0xb8, 0x11, 0x22, 0x33, 0x44, 0xc3};
	struct sigaction sa = {.sa_sigaction = on_mend, .sa_flags = SA_SIGINFO},
			 old;

	sigaction(SIGSEGV, &sa, &old);
	for (unsigned i = 1; i < sizeof(code); i++) {
		u8 *at = edge - i;
		u32 (*fn)(void);

		fill();
		memcpy(at, code, sizeof(code));
		memcpy(&fn, &at, sizeof(fn));
		mprotect(edge, UT_PAGE, PROT_NONE);
		printf("code %u:", i);
		printf(" %08x", fn());
		if (i < sizeof(code) - 1) /* the part on the second page */
			edge[0] ^= 0xff;
		printf(" %08x", fn());
		if (i > 1) /* and the part on the first */
			edge[-1] ^= 0x0f;
		printf(" %08x\n", fn());
	}
	sigaction(SIGSEGV, &old, NULL);
}

void
ut_straddle(void)
{
	u8 *pages = ut_pages(2, PROT_READ | PROT_WRITE | PROT_EXEC);

	edge = pages + UT_PAGE;
	accesses(PROT_NONE, "missing");
	accesses(PROT_READ, "read-only");
	strings();
	instructions();
	printf("mended %d times\n", mended);
	munmap(pages, 2 * UT_PAGE);
}
