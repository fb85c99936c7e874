/* SPDX-License-Identifier: BSD-2-Clause */
/* ut_system - the kernel's services that lean on the machine: clocks, timers,
 * sleeping, files, sockets, mappings */
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest/tests/ut.h"

static s64
now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (s64)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
clocks(void)
{
	s64 last = 0;
	unsigned backwards = 0;

	for (unsigned i = 0; i < 20000; i++) {
		s64 now = now_ns(CLOCK_MONOTONIC);

		backwards += now < last;
		last = now;
	}
	for (unsigned i = 0; i < 1000; i++) { /* vDSO and kernel agree */
		struct timespec ts;
		s64 now;

		syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
		now = (s64)ts.tv_sec * 1000000000 + ts.tv_nsec;
		backwards += now < last;
		last = now_ns(CLOCK_MONOTONIC);
		backwards += last < now;
	}
	printf("clock went backwards %u times\n", backwards);
}

static void
sleeps(void)
{
	static const long waits_ns[] = {1, 100000, 1000000, 20000000};

	for (size_t i = 0; i < ARRAY_SIZE(waits_ns); i++) {
		struct timespec ts = {.tv_nsec = waits_ns[i]};
		s64 start = now_ns(CLOCK_MONOTONIC), took;

		nanosleep(&ts, NULL);
		took = now_ns(CLOCK_MONOTONIC) - start;
		printf("slept %ld ns: long enough %d, not for ever %d\n",
		       waits_ns[i], took >= waits_ns[i],
		       took < waits_ns[i] + 2000000000);
	}
}

static void
timers(void)
{
	struct itimerspec it = {.it_interval = {0, 2000000},
				.it_value = {0, 2000000}};
	int timer = timerfd_create(CLOCK_MONOTONIC, 0), event = eventfd(0, 0),
	    ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN};
	u64 ticks = 0, one = 1, count;

	e.data.fd = timer;
	epoll_ctl(ep, EPOLL_CTL_ADD, timer, &e);
	e.data.fd = event;
	epoll_ctl(ep, EPOLL_CTL_ADD, event, &e);
	timerfd_settime(timer, 0, &it, NULL);
	while (ticks < 20) {
		UT_CHECK(epoll_wait(ep, &e, 1, 5000) == 1);
		UT_CHECK(read(e.data.fd, &count, 8) == 8);
		ticks += e.data.fd == timer ? count : 0;
		if (ticks == 7)
			UT_CHECK(write(event, &one, 8) == 8);
	}
	printf("timer ticked, poll timed out: %d\n", poll(NULL, 0, 3));
	close(timer);
	close(event);
	close(ep);
}

static void
files(void)
{
	char name[] = "/tmp/utest.XXXXXX";
	int fd = mkstemp(name);
	static u8 block[10000], back[10000];
	u64 rng = 3, hash = UT_HASH;
	u8 *map;

	UT_CHECK(fd >= 0);
	unlink(name);
	for (unsigned i = 0; i < 200; i++) {
		size_t n = 1 + ut_random(&rng) % sizeof(block);
		off_t at = (off_t)(ut_random(&rng) % 1000000);

		for (size_t j = 0; j < n; j++)
			block[j] = (u8)ut_random(&rng);
		UT_CHECK(pwrite(fd, block, n, at) == (ssize_t)n);
		UT_CHECK(pread(fd, back, n, at) == (ssize_t)n);
		UT_CHECK(memcmp(block, back, n) == 0);
	}
	map = mmap(NULL, 1010000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	UT_CHECK(map != MAP_FAILED && ftruncate(fd, 1010000) == 0);
	hash = ut_hash(hash, map, 1010000);
	memset(map + 5000, 0x55, 100000);
	UT_CHECK(pread(fd, back, sizeof(back), 60000) == sizeof(back));
	hash = ut_hash(hash, back, sizeof(back));
	munmap(map, 1010000);
	close(fd);
	printf("files %016llx\n", (unsigned long long)hash);
}

static void
sockets(void)
{
	int s[2];
	u64 hash = UT_HASH, rng = 11;
	u8 block[3000];
	ssize_t n;

	UT_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	if (fork() == 0) {
		close(s[0]);
		for (unsigned i = 0; i < 500; i++) {
			for (size_t j = 0; j < sizeof(block); j++)
				block[j] = (u8)ut_random(&rng);
			if (write(s[1], block, sizeof(block)) < 0)
				_exit(1);
		}
		_exit(0);
	}
	close(s[1]);
	while ((n = read(s[0], block, sizeof(block))) > 0)
		hash = ut_hash(hash, block, (size_t)n);
	wait(NULL);
	close(s[0]);
	printf("sockets %016llx\n", (unsigned long long)hash);
}

/* Many small mappings, made, changed and unmade. */
static void
mappings(void)
{
	static u8 *map[300];
	u64 rng = 21, sum = 0;

	for (unsigned round = 0; round < 3000; round++) {
		unsigned i = (unsigned)(ut_random(&rng) % ARRAY_SIZE(map));

		if (map[i] == NULL) {
			map[i] = ut_pages(2, PROT_READ | PROT_WRITE);
			sum += map[i][UT_PAGE + 7]; /* zero */
			map[i][UT_PAGE + 7] = (u8)round;
		} else if (round % 3 == 0) {
			mprotect(map[i], UT_PAGE, PROT_READ);
			sum = sum * 3 + map[i][UT_PAGE + 7];
			mprotect(map[i], UT_PAGE, PROT_READ | PROT_WRITE);
		} else if (round % 3 == 1) {
			madvise(map[i], 2 * UT_PAGE, MADV_DONTNEED);
			sum = sum * 5 + map[i][UT_PAGE + 7];
		} else {
			munmap(map[i], 2 * UT_PAGE);
			map[i] = NULL;
		}
	}
	for (unsigned i = 0; i < ARRAY_SIZE(map); i++)
		if (map[i] != NULL)
			munmap(map[i], 2 * UT_PAGE);
	printf("mappings %016llx\n", (unsigned long long)sum);
}

void
ut_system(void)
{
	clocks();
	sleeps();
	timers();
	files();
	sockets();
	mappings();
}
