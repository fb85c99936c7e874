/* SPDX-License-Identifier: BSD-2-Clause */
/* ut_selfmod - code that is written while it runs, as JIT compilers do */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest/tests/ut.h"

typedef u32 (*code_fn)(u32);

static code_fn
as_code(const void *p)
{
	code_fn fn;

	memcpy(&fn, &p, sizeof(fn));
	return fn;
}

/* mov $value, %eax; ret */
static void
emit(u8 *p, u32 value)
{
	p[0] = 0xb8;
	put_le32(p + 1, value);
	p[5] = 0xc3;
}

static void
rewrite_in_place(void)
{
	u8 *page = ut_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
	u64 sum = 0;

	for (u32 i = 0; i < 20000; i++) {
		emit(page + i % 64, i * 2654435761U);
		sum = sum * 3 + as_code(page + i % 64)(0);
	}
	printf("rewritten: %016llx\n", (unsigned long long)sum);
	munmap(page, UT_PAGE);
}

/* One mapping to write, one to run, of the same memory. */
static void
two_mappings(void)
{
	int fd = (int)syscall(SYS_memfd_create, "utest", 0);
	u8 *w, *x;
	u64 sum = 0;

	UT_CHECK(fd >= 0 && ftruncate(fd, UT_PAGE) == 0);
	w = mmap(NULL, UT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	x = mmap(NULL, UT_PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	close(fd);
	for (u32 i = 0; i < 5000; i++) {
		emit(w, i ^ 0x5a5a5a5a);
		sum = sum * 5 + as_code(x)(0);
	}
	printf("two mappings: %016llx\n", (unsigned long long)sum);
	munmap(w, UT_PAGE);
	munmap(x, UT_PAGE);
}

/* A function that changes its own next instruction: x86 promises that the
 * change is seen, since the store is by the same linear address.
 *   movb $N, rel(next+1) ; mov $0, %eax ; ret */
static void
next_instruction(void)
{
	u8 *page = ut_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
	u64 sum = 0;

	for (u32 i = 0; i < 256; i++) {
		u8 *p = page;

#if UT_64
		*p++ = 0xc6; /* movb $i, 1(%rip) */
		*p++ = 0x05;
		put_le32(p, 1);
		p += 4;
#else
		*p++ = 0xc6; /* movb $i, next + 1 */
		*p++ = 0x05;
		put_le32(p, (u32)(uintptr_t)(page + 8));
		p += 4;
#endif
		*p++ = (u8)i;
		emit(p, 0);
		sum = sum * 7 + as_code(page)(0);
	}
	printf("next instruction: %016llx\n", (unsigned long long)sum);
	munmap(page, UT_PAGE);
}

/* A loop whose body changes every time round, within one run. */
static void
changing_loop(void)
{
	/* xor %eax, %eax; mov $1000, %ecx
	 * again: add $1, %eax; incb -imm-; loop again; ret */
	u8 *page = ut_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC), *p = page;
	u8 *again;

	*p++ = 0x31;
	*p++ = 0xc0;
	*p++ = 0xb9;
	put_le32(p, 1000);
	p += 4;
	again = p;
	*p++ = 0x83; /* add $imm8, %eax */
	*p++ = 0xc0;
	*p++ = 1;
	*p++ = 0xfe; /* incb imm8 */
	*p++ = 0x05;
#if UT_64
	put_le32(p, (u32)(again + 2 - (p + 4)));
#else
	put_le32(p, (u32)(uintptr_t)(again + 2));
#endif
	p += 4;
	*p++ = 0xe2;
	*p = (u8)(again - (p + 1));
	p++;
	*p++ = 0xc3;
	printf("changing loop: %d\n", (int)as_code(page)(0));
	munmap(page, UT_PAGE);
}

/* Code goes away and other code comes to the same place: by a new mapping,
 * by mremap, and by a copy with rep movs over running pages. */
static void
replaced(void)
{
	u8 *place = ut_pages(2, PROT_READ | PROT_WRITE | PROT_EXEC);
	u64 sum = 0;

	for (u32 i = 0; i < 300; i++) {
		u8 *other = ut_pages(1, PROT_READ | PROT_WRITE);
		u8 *at = place;
		const u8 *from = other;
		unsigned long count = UT_PAGE;

		emit(other, i * 3);
		mprotect(other, UT_PAGE, PROT_READ | PROT_EXEC);
		if (i % 3 == 0)
			UT_CHECK(mremap(other, UT_PAGE, UT_PAGE,
					MREMAP_MAYMOVE | MREMAP_FIXED,
					place) == place);
		if (i % 3 != 0) {
			mprotect(place, UT_PAGE,
				 PROT_READ | PROT_WRITE | PROT_EXEC);
			__asm__ volatile("rep movsb"
					 : "+D"(at), "+S"(from), "+c"(count)
					 :
					 : "memory");
			munmap(other, UT_PAGE);
		}
		sum = sum * 11 + as_code(place)(0);
	}
	printf("replaced: %016llx\n", (unsigned long long)sum);
	munmap(place, 2 * UT_PAGE);
}

/* A child changes its copy of a page that both run. */
static void
after_fork(void)
{
	u8 *page = ut_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
	int ends[2];
	u32 seen = 0;

	emit(page, 1111);
	UT_CHECK(as_code(page)(0) == 1111 && pipe(ends) == 0);
	if (fork() == 0) {
		emit(page, 2222);
		seen = as_code(page)(0);
		if (write(ends[1], &seen, 4) != 4)
			_exit(1);
		_exit(0);
	}
	UT_CHECK(read(ends[0], &seen, 4) == 4);
	printf("after fork: child %u parent %u\n", seen, as_code(page)(0));
	close(ends[0]);
	close(ends[1]);
	munmap(page, UT_PAGE);
}

void
ut_selfmod(void)
{
	rewrite_in_place();
	two_mappings();
	next_instruction();
	changing_loop();
	replaced();
	after_fork();
}
