/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench/bench_run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define TICK_MS 1000

static int
compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double
bench_median(struct bench_samples *s)
{
	if (s->count == 0)
		return 0;
	qsort(s->value, s->count, sizeof(double), compare_double);
	return s->value[s->count / 2];
}

double
bench_spread(struct bench_samples *s)
{
	double mid = bench_median(s); /* sorts */

	if (s->count == 0 || mid == 0)
		return 0;
	return (s->value[s->count - 1] - s->value[0]) * 100 / mid;
}

void
bench_add(struct bench_samples *s, double value)
{
	if (s->count < BENCH_ROUNDS_MAX)
		s->value[s->count++] = value;
}

int
bench_start(struct bench_run *r, const char *const *argv)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0)
		return -errno;
	r->used = 0;
	r->timer_ns = 0;
	snprintf(r->last, sizeof(r->last), "nothing");
	r->out = fds[0];
	r->pid = fork();
	if (r->pid == 0) {
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		dup2(null, 0);
		dup2(fds[1], 1);
		execvp(argv[0], (char *const *)argv);
		fprintf(stderr, "bench: cannot run '%s'\n", argv[0]);
		_exit(127);
	}
	close(fds[1]);
	if (r->pid > 0)
		return 0;
	close(fds[0]);
	return -EAGAIN;
}

static bool
take_bytes(struct bench_run *r, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes[i] != '\n' && bytes[i] != '\r') {
			if (r->used < sizeof(r->text) - 1)
				r->text[r->used++] = bytes[i];
			continue;
		}
		r->text[r->used] = '\0';
		if (r->used != 0)
			memcpy(r->last, r->text, r->used + 1);
		r->used = 0;
		if (r->line(r, r->text))
			return true;
	}
	return false;
}

static int
wait_ms(const struct bench_run *r)
{
	u64 now = clock_now_ns();

	if (r->timer_ns == 0)
		return TICK_MS;
	if (r->timer_ns <= now)
		return 0;
	return (int)MIN((r->timer_ns - now) / 1000000 + 1, (u64)TICK_MS);
}

int
bench_follow(struct bench_run *r, u64 limit_ns)
{
	u64 until = clock_now_ns() + limit_ns;
	char bytes[4096];
	bool done = false;
	int status;

	while (!done && clock_now_ns() < until) {
		struct pollfd p = {.fd = r->out, .events = POLLIN};
		ssize_t n = 0;

		if (poll(&p, 1, wait_ms(r)) > 0)
			n = read(r->out, bytes, sizeof(bytes));
		if (n < 0 || (n == 0 && p.revents != 0))
			break;
		if (r->timer_ns != 0 && clock_now_ns() >= r->timer_ns) {
			r->timer_ns = 0;
			done = r->line(r, NULL);
		}
		done = take_bytes(r, bytes, (size_t)n) || done;
	}
	/* What is done has nothing to say any more, but may have to end in
	 * its own way. */
	if (!done)
		kill(r->pid, SIGKILL);
	while (done && read(r->out, bytes, sizeof(bytes)) > 0)
		;
	close(r->out);
	waitpid(r->pid, &status, 0);
	return done ? 0 : -EIO;
}

static bool
has_name(pid_t pid, const char *tid, const char *name)
{
	char path[64], comm[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%.12s/comm", (int)pid, tid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	if (fgets(comm, sizeof(comm), f) == NULL)
		comm[0] = '\0';
	fclose(f);
	comm[strcspn(comm, "\n")] = '\0';
	return strncmp(comm, name, strlen(name)) == 0;
}

static double
user_s(pid_t pid, const char *tid)
{
	char path[64], line[512];
	unsigned long long ticks = 0;
	const char *rest = NULL;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%.12s/stat", (int)pid, tid);
	f = fopen(path, "re");
	if (f == NULL)
		return -1;
	if (fgets(line, sizeof(line), f) != NULL)
		rest = strrchr(line, ')');
	fclose(f);
	if (rest == NULL || sscanf(rest,
				   ") %*c %*d %*d %*d %*d %*d %*u %*u %*u "
				   "%*u %*u %llu",
				   &ticks) != 1)
		return -1;
	return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

double
bench_thread_user_s(pid_t pid, const char *name)
{
	char path[64];
	double found = -1;
	DIR *dir;

	snprintf(path, sizeof(path), "%d", (int)pid);
	if (name == NULL)
		return user_s(pid, path);
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (dir == NULL)
		return -1;
	for (;;) {
		const struct dirent *d = readdir(dir);

		if (d == NULL)
			break;
		if (d->d_name[0] == '.' || !has_name(pid, d->d_name, name))
			continue;
		found = user_s(pid, d->d_name);
		break;
	}
	closedir(dir);
	return found;
}

void
bench_print_machine(void)
{
	char line[256], model[128] = "unknown processor";
	double load = 0;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "model name : %127[^\n]", model) == 1)
			break;
	if (f != NULL)
		fclose(f);
	if (getloadavg(&load, 1) != 1)
		load = -1;
	printf("%s, %ld processors, load %.1f at the end\n", model,
	       sysconf(_SC_NPROCESSORS_ONLN), load);
}
