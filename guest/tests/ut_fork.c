/* SPDX-License-Identifier: BSD-2-Clause */
/* ut_fork - processes: copy on write, shared memory, pipes, exec, statuses */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/tests/ut.h"

#define PAGES	 512
#define CHILDREN 8

static u64
hash_pages(const u8 *p)
{
	return ut_hash(UT_HASH, p, (size_t)PAGES * UT_PAGE);
}

/* Each child changes its own pages of memory that all share. */
static void
copy_on_write(void)
{
	u8 *mine = ut_pages(PAGES, PROT_READ | PROT_WRITE);
	u64 *result = mmap(NULL, UT_PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	u64 rng = 7, before;

	for (size_t i = 0; i < (size_t)PAGES * UT_PAGE; i += 8) {
		u64 r = ut_random(&rng);

		memcpy(mine + i, &r, 8);
	}
	before = hash_pages(mine);
	for (unsigned c = 0; c < CHILDREN; c++) {
		if (fork() != 0)
			continue;
		for (size_t i = c; i < PAGES; i += c + 2)
			mine[i * UT_PAGE + c * 31] ^= (u8)(c + 1);
		result[c] = hash_pages(mine);
		_exit(0);
	}
	for (unsigned c = 0; c < CHILDREN; c++) /* the parent writes too */
		mine[(size_t)c * 11 * UT_PAGE] += 1;
	while (wait(NULL) > 0)
		;
	for (unsigned c = 0; c < CHILDREN; c++) {
		printf("child %u saw %016llx\n", c,
		       (unsigned long long)result[c]);
		mine[(size_t)c * 11 * UT_PAGE] -= 1;
	}
	UT_CHECK(hash_pages(mine) == before);
	munmap(mine, (size_t)PAGES * UT_PAGE);
	munmap(result, UT_PAGE);
}

/* A chain of processes, each the child of the one before. */
static void
nested(void)
{
	int depth = 0, status;

	fflush(stdout);
	while (depth < 12 && fork() == 0)
		depth++;
	if (depth == 12)
		_exit(12);
	if (wait(&status) < 0)
		_exit(255);
	if (depth != 0)
		_exit(WEXITSTATUS(status) + 1);
	printf("nested: %d\n", WEXITSTATUS(status));
}

static void
pipe_ring(void)
{
	int ends[CHILDREN + 1][2];
	u64 value = 1;

	for (unsigned i = 0; i <= CHILDREN; i++)
		if (pipe(ends[i]) != 0)
			ut_failed(__FILE__, __LINE__, "pipe");
	for (unsigned c = 0; c < CHILDREN; c++) {
		u64 v;

		if (fork() != 0)
			continue;
		for (unsigned round = 0; round < 200; round++) {
			if (read(ends[c][0], &v, 8) != 8)
				_exit(1);
			v = v * 6364136223846793005ULL + c;
			if (write(ends[c + 1][1], &v, 8) != 8)
				_exit(1);
		}
		_exit(0);
	}
	for (unsigned round = 0; round < 200; round++) {
		UT_CHECK(write(ends[0][1], &value, 8) == 8);
		UT_CHECK(read(ends[CHILDREN][0], &value, 8) == 8);
	}
	while (wait(NULL) > 0)
		;
	printf("ring: %016llx\n", (unsigned long long)value);
	for (unsigned i = 0; i <= CHILDREN; i++) {
		close(ends[i][0]);
		close(ends[i][1]);
	}
}

static void
statuses(void)
{
	static const int signals[] = {SIGKILL, SIGTERM, SIGABRT, SIGUSR1};
	char code[12];
	int status;

	for (int i = 0; i < 256; i += 51) {
		pid_t pid = fork();

		if (pid == 0) {
			snprintf(code, sizeof(code), "%d", i);
			execl("/proc/self/exe", "utest", "exit", code, NULL);
			_exit(99);
		}
		waitpid(pid, &status, 0);
		printf("exec: exited %d code %d\n", WIFEXITED(status),
		       WEXITSTATUS(status));
	}
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		pid_t pid = fork();

		if (pid == 0) {
			kill(getpid(), signals[i]);
			_exit(98);
		}
		waitpid(pid, &status, 0);
		printf("signalled %d by %d\n", WIFSIGNALED(status),
		       WTERMSIG(status));
	}
}

/* vfork shares the address space: the child's store is seen. */
static void
vforked(void)
{
	static volatile int seen;
	int status;
	pid_t pid = vfork();

	if (pid == 0) {
		seen = 41;
		execl("/proc/self/exe", "utest", "exit", "5", NULL);
		_exit(99);
	}
	waitpid(pid, &status, 0);
	printf("vfork: %d %d\n", seen, WEXITSTATUS(status));
}

void
ut_fork(void)
{
	copy_on_write();
	nested();
	pipe_ring();
	statuses();
	vforked();
}
