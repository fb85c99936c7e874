/* SPDX-License-Identifier: BSD-2-Clause */
/* utest - runs the userland test set
 *
 * usage: utest [TEST ...]     all of them without arguments
 *        utest data BYTES     writes BYTES of reproducible, half compressible
 *                             data to stdout
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "guest/tests/ut.h"

static int failures;

void
ut_failed(const char *file, int line, const char *text)
{
	printf("FAILED %s:%d: %s\n", file, line, text);
	failures++;
}

u64
ut_random(u64 *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

u64
ut_hash(u64 hash, const void *bytes, size_t count)
{
	const u8 *p = bytes;

	while (count-- != 0)
		hash = (hash ^ *p++) * 0x100000001b3ULL;
	return hash;
}

static sigjmp_buf catch_jump;
static struct ut_fault *catching;

static void
on_fault(int signo, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;

	if (catching == NULL) {
		signal(signo, SIG_DFL);
		raise(signo);
		return;
	}
	catching->signo = signo;
	catching->code = info->si_code;
	catching->addr = (uintptr_t)info->si_addr;
	catching->trapno = (long)uc->uc_mcontext.gregs[REG_TRAPNO];
	catching->err = (long)uc->uc_mcontext.gregs[REG_ERR];
#if UT_64
	catching->ip = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#else
	catching->ip = (uintptr_t)uc->uc_mcontext.gregs[REG_EIP];
#endif
	siglongjmp(catch_jump, 1);
}

bool
ut_catch(struct ut_fault *f, void (*fn)(void *), void *arg)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
	static u8 stack[65536];
	stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction sa = {.sa_sigaction = on_fault,
			       .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct sigaction old[ARRAY_SIZE(signals)];
	bool caught = false;

	memset(f, 0, sizeof(*f));
	sigaltstack(&alternate, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, &old[i]);
	catching = f;
	if (sigsetjmp(catch_jump, 1) == 0)
		fn(arg);
	else
		caught = true;
	catching = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &old[i], NULL);
	return caught;
}

void
ut_print_fault(const char *name, const struct ut_fault *f, const void *base)
{
	printf("%s: signal %d code %d trap %ld error %ld addr %+ld\n", name,
	       f->signo, f->code, f->trapno, f->err,
	       (long)(f->addr - (uintptr_t)base));
}

void *
ut_pages(size_t count, int prot)
{
	void *p = mmap(NULL, count * UT_PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	if (p == MAP_FAILED) {
		perror("utest: mmap");
		exit(1);
	}
	return p;
}

void *
ut_code(const void *bytes, size_t count)
{
	void *p = ut_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);

	assert(count <= UT_PAGE);
	memcpy(p, bytes, count);
	return p;
}

/* Runs of one byte between runs of noise. */
static int
write_data(u64 left)
{
	static u8 block[65536];
	u64 rng = 1;

	while (left != 0) {
		size_t n = MIN(left, sizeof(block)), at = 0;

		while (at < sizeof(block)) {
			u64 r = ut_random(&rng);
			size_t run = MIN(16 + r % 113, sizeof(block) - at);

			if (r >> 63)
				memset(block + at, (int)(r >> 32 & 0x3f), run);
			else
				for (size_t i = 0; i < run; i++)
					block[at + i] =
					    (u8)(ut_random(&rng) >> 40);
			at += run;
		}
		if (fwrite(block, 1, n, stdout) != n)
			return 1;
		left -= n;
	}
	return fflush(stdout) != 0;
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
    {"fork", ut_fork},	     {"threads", ut_threads}, {"signals", ut_signals},
    {"ptrace", ut_ptrace},   {"faults", ut_faults},   {"straddle", ut_straddle},
    {"selfmod", ut_selfmod}, {"math", ut_math},	      {"system", ut_system},
};

static bool
run_test(const char *name)
{
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		if (name != NULL && strcmp(name, tests[i].name) != 0)
			continue;
		known = true;
		printf("== %s\n", tests[i].name);
		fflush(stdout);
		tests[i].run();
		fflush(stdout);
	}
	return known;
}

int
main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && strcmp(argv[1], "data") == 0) {
		setvbuf(stdout, NULL, _IOFBF, 65536);
		return write_data(strtoull(argv[2], NULL, 0));
	}
	if (argc == 3 && strcmp(argv[1], "exit") == 0)
		return atoi(argv[2]); /* what ut_fork executes */
	if (argc == 1)
		run_test(NULL);
	for (int i = 1; i < argc; i++)
		if (!run_test(argv[i])) {
			fprintf(stderr, "utest: there is no test '%s'\n",
				argv[i]);
			return 2;
		}
	printf("== %d failed\n", failures);
	return failures != 0;
}
