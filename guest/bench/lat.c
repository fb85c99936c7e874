/* SPDX-License-Identifier: BSD-2-Clause */
/* lat - what the kernel's services cost inside a guest
 *
 * Prints "name value unit" a line. Each figure is the smallest mean of
 * several rounds: what the machine can do, not what disturbed it.
 */
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"

#define ROUNDS 5
#define PAGE   4096

static u64
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
}

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
getppid_many(unsigned count)
{
	while (count-- != 0)
		syscall(SYS_getppid);
}

static void
clock_many(unsigned count)
{
	struct timespec ts;

	while (count-- != 0)
		clock_gettime(CLOCK_MONOTONIC, &ts);
}

/* count first touches of pages of one mapping. */
static void
fault_many(unsigned count)
{
	u8 *p = mmap(NULL, (size_t)count * PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	for (unsigned i = 0; i < count; i++)
		((volatile u8 *)p)[(size_t)i * PAGE] = 1;
	munmap(p, (size_t)count * PAGE);
}

static void
map_many(unsigned count)
{
	while (count-- != 0) {
		void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			die("mmap");
		munmap(p, PAGE);
	}
}

static void
fork_many(unsigned count)
{
	while (count-- != 0) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork");
	}
}

static void
exec_many(unsigned count)
{
	while (count-- != 0) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			execl("/proc/self/exe", "lat", "nothing", NULL);
			_exit(1);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			die("fork and exec");
	}
}

static int there[2], back[2];

static void
pipe_many(unsigned count)
{
	char c = 'x';

	while (count-- != 0)
		if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
			die("pipe");
}

static void
start_echo(void)
{
	char c;

	if (pipe(there) != 0 || pipe(back) != 0)
		die("pipe");
	if (fork() != 0)
		return;
	close(there[1]);
	while (read(there[0], &c, 1) == 1)
		if (write(back[1], &c, 1) != 1)
			break;
	_exit(0);
}

static void
on_signal(int signo)
{
	(void)signo;
}

static void
signal_many(unsigned count)
{
	signal(SIGUSR1, on_signal);
	while (count-- != 0)
		raise(SIGUSR1);
}

static void
yield_many(unsigned count)
{
	while (count-- != 0)
		sched_yield();
}

static void
measure(const char *name, void (*fn)(unsigned), unsigned count, double per,
	const char *unit)
{
	u64 best = UINT64_MAX;

	fn(count / 10 + 1);
	for (unsigned i = 0; i < ROUNDS; i++) {
		u64 start = now_ns();

		fn(count);
		best = MIN(best, now_ns() - start);
	}
	printf("%s %.3f %s\n", name, (double)best / count / per, unit);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "nothing") == 0)
		return 0;
	measure("getppid", getppid_many, 20000, 1, "ns");
	measure("clock_gettime", clock_many, 20000, 1, "ns");
	measure("page_fault", fault_many, 2000, 1000, "us");
	measure("mmap_munmap", map_many, 1000, 1000, "us");
	measure("signal", signal_many, 1000, 1000, "us");
	measure("sched_yield", yield_many, 5000, 1, "ns");
	measure("fork_exit", fork_many, 40, 1000000, "ms");
	measure("fork_exec", exec_many, 40, 1000000, "ms");
	start_echo();
	measure("pipe_round_trip", pipe_many, 500, 1000, "us");
	return 0;
}
