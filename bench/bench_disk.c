/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_disk - the IDE disk beside QEMU's: fio in a guest, row by row
 *
 * What:    boots one kernel with one initramfs on one host file under Spindle
 *          and under QEMU's emulated IDE with the same kind of processor, in
 *          turns. The guest's /disk/bench (guest/disk/disk_bench.sh) runs the
 *          jobs of guest/disk/disk_bench.fio and prints the rows. Then, once,
 *          Spindle alone with tracing on: what a cached 4 KiB write costs on
 *          the host's side.
 *
 *          Prints for each row the median of both, their spread, the ratio,
 *          what is demanded, and "guest": the share of the row's time in which
 *          our processor executed guest code. That is the user CPU time of the
 *          thread that runs the processor, less what requests took that the
 *          disk answered in the call (control socket, "stats"), over the time
 *          by the clock, in a window in the middle of the job.
 *          Waiting awake for the disk, up to 200 us a request, counts as well.
 * Units:   MB/s (10^6 bytes) and requests per second, by the guest's clock;
 *          the host's share in microseconds.
 * Exit:    0 measured (whether or not targets were met), 1 a run failed,
 *          2 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/bench_run.h"
#include "bench/bench_trace.h"

#define DISK_BYTES  (256ULL << 20) /* as in the figures of before */
#define RUN_NS	    (180 * NS_PER_SEC)
#define WINDOW_FROM 2.0 /* seconds after fio was started */
#define JOBS	    6
#define CACHES	    2
#define TRACE_LIMIT 3.0 /* us */

/* What is demanded of the ratio now, with an interpreter (0: nothing), and in
 * the end. */
static const struct job {
	const char *name, *what;
	double now, later[CACHES];
} jobs[JOBS] = {
    {"seq_read", "sequential read 1 MiB", 1, {1, 1}},
    {"seq_write", "sequential write 1 MiB", 1, {1, 1}},
    {"rand_read", "random read 4 KiB", 0, {1, 1}},
    {"rand_write", "random write 4 KiB", 0, {1, 3}},
    {"linear_write", "linear write 4 KiB", 1, {1, 3}},
    {"fsync_write", "write 4 KiB + fsync", 1, {1.5, 1.5}},
};
static const char *const caches[CACHES] = {"none", "writeback"};

struct row {
	struct bench_samples speed[BENCH_SIDES], guest[BENCH_SIDES];
	char unit[8];
};

struct options {
	const char *spindle, *driver, *qemu, *kernel, *initrd, *dir;
	const char *append;
	unsigned rounds, seconds;
	bool json;
};

static struct row rows[CACHES][JOBS];
static char work_dir[4096], disk_path[4096 + 16];
static struct bench_samples host_us;
static double host_p99_us;

/* --- one run ------------------------------------------------------------- */

/* What was seen at the begin of a window. */
struct mark {
	u64 ns;
	double user_s, in_call_s;
};

struct disk_run {
	struct bench_run run; /* first: run.line() gets back to us */
	enum bench_side side;
	unsigned cache, seconds;
	const char *socket; /* ours only */
	struct row *row;    /* whose job runs */
	struct mark mark;
	bool in_window;
	unsigned got, failed;
};

/* The answer to "stats", or an empty string. */
static void
ask_stats(const char *path, char *answer, size_t room)
{
	static const char question[] = "{\"cmd\":\"stats\"}\n";
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t used = 0;
	ssize_t n = 1;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (void *)&sun, sizeof(sun)) == 0 &&
	    write(fd, question, sizeof(question) - 1) > 0)
		while (used < room - 1 && n > 0 &&
		       memchr(answer, '\n', used) == NULL) {
			n = read(fd, answer + used, room - 1 - used);
			used += n > 0 ? (size_t)n : 0;
		}
	answer[used] = '\0';
	if (fd >= 0)
		close(fd);
}

/* The number behind "key": after the place where all of within[] have come,
 * one after another. */
static double
find_number(const char *text, const char *const *within, const char *key)
{
	char word[64];

	for (; text != NULL && *within != NULL; within++) {
		snprintf(word, sizeof(word), "\"%s\":", *within);
		text = strstr(text, word);
	}
	snprintf(word, sizeof(word), "\"%s\":", key);
	text = text != NULL ? strstr(text, word) : NULL;
	if (text == NULL)
		return 0;
	text += strlen(word);
	return strtod(text, NULL);
}

/* How long our processor's thread has been inside the disk so far: of the
 * requests, those that were answered in the call. Where some waited, their
 * time was not the processor's, and nothing is taken off. */
static double
in_call_s(const struct disk_run *r)
{
	static const char *const ops[] = {"read", "write"};
	char text[32768];
	double count = 0, ns = 0;

	if (r->socket == NULL)
		return 0;
	ask_stats(r->socket, text, sizeof(text));
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		const char *const within[] = {"device", ops[i], "latency_ns",
					      NULL};
		const char *const device[] = {"device", ops[i], NULL};
		double n = find_number(text, within, "count");

		count += find_number(text, device, "requests");
		ns += n * find_number(text, within, "mean");
	}
	if (count > find_number(text, (const char *const[]){"device", NULL},
				"in_call") *
			1.01)
		return 0;
	return ns / 1e9;
}

static struct mark
look(const struct disk_run *r)
{
	struct mark m = {.in_call_s = in_call_s(r)};

	m.user_s = bench_thread_user_s(r->run.pid,
				       r->side == BENCH_OURS ? NULL : "CPU 0/");
	m.ns = clock_now_ns();
	return m;
}

static void
close_window(struct disk_run *r)
{
	struct mark m = look(r);
	double wall = (double)(m.ns - r->mark.ns) / 1e9;
	double guest = m.user_s - r->mark.user_s;

	r->in_window = false;
	if (m.in_call_s > r->mark.in_call_s)
		guest -= m.in_call_s - r->mark.in_call_s;
	if (r->mark.user_s >= 0 && m.user_s >= 0 && wall > 0)
		bench_add(&r->row->guest[r->side],
			  MAX(MIN(guest / wall, 1.), 0.));
}

static void
timer(struct disk_run *r)
{
	if (r->row == NULL)
		return;
	if (r->in_window) {
		close_window(r);
		return;
	}
	r->mark = look(r);
	r->in_window = true;
	r->run.timer_ns = r->mark.ns + (u64)((r->seconds - WINDOW_FROM) * 0.8 *
					     (double)NS_PER_SEC);
}

static struct row *
row_of(struct disk_run *r, const char *name)
{
	for (unsigned i = 0; i < JOBS; i++)
		if (strcmp(jobs[i].name, name) == 0)
			return &rows[r->cache][i];
	return NULL;
}

static bool
take_line(struct bench_run *run, const char *line)
{
	struct disk_run *r = (struct disk_run *)run;
	char name[32], unit[8];
	double value;

	if (line == NULL) {
		timer(r);
		return false;
	}
	if (strncmp(line, "bench ", 6) != 0)
		return false;
	if (sscanf(line, "bench begin %31s", name) == 1) {
		r->row = row_of(r, name);
		run->timer_ns =
		    clock_now_ns() + (u64)(WINDOW_FROM * (double)NS_PER_SEC);
	} else if (strncmp(line, "bench end ", 10) == 0) {
		r->row = NULL;
		r->in_window = false;
		run->timer_ns = 0;
	} else if (sscanf(line, "bench row %31s %lf %7s", name, &value, unit) ==
		   3) {
		struct row *row = row_of(r, name);

		if (row != NULL && value > 0) {
			bench_add(&row->speed[r->side], value);
			memcpy(row->unit, unit, sizeof(row->unit));
			r->got++;
		}
	} else if (strncmp(line, "bench failed", 12) == 0) {
		r->failed++;
	}
	return strcmp(line, "bench done") == 0;
}

static int
run_side(const struct options *opt, enum bench_side side, unsigned cache)
{
	bool kvm = strcmp(opt->driver, "kvm") == 0;
	char disk[4200], append[512], control[4200];
	const char *const ours[] = {opt->spindle, "run",       "--driver",
				    opt->driver,  "--memory",  "512M",
				    "--kernel",	  opt->kernel, "--initrd",
				    opt->initrd,  "--append",  append,
				    "--disk",	  disk,	       "--ctl",
				    control,	  NULL};
	const char *const peer[] = {opt->qemu,
				    "-M",
				    "pc",
				    "-accel",
				    kvm ? "kvm" : "tcg",
				    "-m",
				    "512M",
				    "-name",
				    "guest,debug-threads=on",
				    "-nodefaults",
				    "-display",
				    "none",
				    "-serial",
				    "stdio",
				    "-no-reboot",
				    "-kernel",
				    opt->kernel,
				    "-initrd",
				    opt->initrd,
				    "-append",
				    append,
				    "-drive",
				    disk,
				    NULL};
	struct disk_run r = {.run.line = take_line,
			     .side = side,
			     .cache = cache,
			     .seconds = opt->seconds};
	size_t used;
	int rc;

	snprintf(control, sizeof(control), "%s/control", work_dir);
	used = (size_t)snprintf(append, sizeof(append), "%s %u", opt->append,
				opt->seconds);
	for (unsigned i = 0; i < JOBS; i++)
		used += (size_t)snprintf(append + used, sizeof(append) - used,
					 " %s", jobs[i].name);
	if (side == BENCH_OURS) {
		r.socket = control;
		snprintf(disk, sizeof(disk), "%s,cache=%s", disk_path,
			 caches[cache]);
	} else {
		snprintf(disk, sizeof(disk),
			 "file=%s,if=ide,format=raw,cache=%s", disk_path,
			 caches[cache]);
	}
	rc = bench_start(&r.run, side == BENCH_OURS ? ours : peer);
	if (rc == 0)
		rc = bench_follow(&r.run, RUN_NS);
	if (rc == 0 && r.got == JOBS && r.failed == 0)
		return 0;
	fprintf(stderr,
		"bench_disk: %s, cache=%s: %u of %u rows; it said last: %s\n",
		side == BENCH_OURS ? "spindle" : "qemu", caches[cache], r.got,
		JOBS, r.run.last);
	return -EIO;
}

/* --- the host's share of a cached write, from the trace ------------------- */

static bool
until_done(struct bench_run *run, const char *line)
{
	(void)run;
	return line != NULL && strcmp(line, "bench done") == 0;
}

static int
run_traced(const struct options *opt)
{
	char disk[4200], trace[4200], append[512];
	const char *const argv[] = {
	    opt->spindle,   "run",	 "--driver", opt->driver,
	    "--memory",	    "512M",	 "--kernel", opt->kernel,
	    "--initrd",	    opt->initrd, "--append", append,
	    "--disk",	    disk,	 "--trace",  BENCH_TRACE_POINTS,
	    "--trace-file", trace,	 NULL};
	struct bench_run run = {.line = until_done};
	struct bench_trace t;
	int rc;

	snprintf(trace, sizeof(trace), "%s/trace", work_dir);
	snprintf(append, sizeof(append), "%s 3 linear_write", opt->append);
	snprintf(disk, sizeof(disk), "%s,cache=writeback", disk_path);
	rc = bench_start(&run, argv);
	if (rc == 0)
		rc = bench_follow(&run, RUN_NS);
	if (rc == 0)
		rc = bench_trace_read(trace, &t);
	if (rc == 0) {
		bench_add(&host_us, t.p50_us);
		host_p99_us = t.p99_us;
	} else {
		fprintf(stderr,
			"bench_disk: the traced run failed (%s); it said last: "
			"%s\n",
			strerror(-rc), run.last);
	}
	unlink(trace);
	return rc;
}

/* --- the table ------------------------------------------------------------ */

struct verdicts {
	unsigned met, missed;
};

static const char *
judge(struct verdicts *v, bool demanded, bool good)
{
	if (!demanded)
		return "-";
	if (good)
		v->met++;
	else
		v->missed++;
	return good ? "met" : "missed";
}

static void
print_row(const struct options *opt, unsigned cache, unsigned job,
	  struct verdicts *v)
{
	const struct job *j = &jobs[job];
	struct row *r = &rows[cache][job];
	double ours = bench_median(&r->speed[BENCH_OURS]);
	double peer = bench_median(&r->speed[BENCH_PEER]);
	double ratio = peer > 0 ? ours / peer : 0;
	double guest = 100 * bench_median(&r->guest[BENCH_OURS]);
	double their_guest = 100 * bench_median(&r->guest[BENCH_PEER]);
	const char *word = judge(v, j->now > 0, ratio >= j->now);
	char now[16] = "-";

	if (j->now > 0)
		snprintf(now, sizeof(now), ">= %g", j->now);
	if (opt->json)
		printf("{\"bench\":\"%s\",\"cache\":\"%s\",\"unit\":\"%s\","
		       "\"spindle\":%.6g,\"qemu\":%.6g,\"ratio\":%.4g,"
		       "\"target\":\"%s\",\"verdict\":\"%s\",\"later\":%g,"
		       "\"runs\":%u,\"spread_percent\":[%.0f,%.0f],"
		       "\"guest_percent\":[%.0f,%.0f]}\n",
		       j->name, caches[cache], r->unit, ours, peer, ratio, now,
		       word, j->later[cache], r->speed[BENCH_OURS].count,
		       bench_spread(&r->speed[BENCH_OURS]),
		       bench_spread(&r->speed[BENCH_PEER]), guest, their_guest);
	else
		printf("%-23s %-9s %7.0f %3.0f%% %7.0f %3.0f%% %-4s %5.2f  "
		       "%-6s %-6s  >= %-4g %4.0f%% %4.0f%%\n",
		       j->what, caches[cache], ours,
		       bench_spread(&r->speed[BENCH_OURS]), peer,
		       bench_spread(&r->speed[BENCH_PEER]), r->unit, ratio, now,
		       word, j->later[cache], guest, their_guest);
}

static void
print_trace(const struct options *opt, struct verdicts *v)
{
	double us = bench_median(&host_us);
	const char *word = judge(v, true, us > 0 && us <= TRACE_LIMIT);

	if (opt->json)
		printf("{\"bench\":\"host_share\",\"unit\":\"us\",\"spindle\":"
		       "%.3g,\"p99\":%.3g,\"target\":\"<= %g\",\"verdict\":"
		       "\"%s\"}\n",
		       us, host_p99_us, TRACE_LIMIT, word);
	else
		printf("host's share of a cached 4 KiB write, command to "
		       "INTRQ: p50 %.2f us, p99 %.2f us, <= %g us p50: %s\n",
		       us, host_p99_us, TRACE_LIMIT, word);
}

static void
print_all(const struct options *opt)
{
	struct verdicts v = {0};

	if (!opt->json) {
		bench_print_machine();
		printf("%-23s %-9s %7s   +- %7s   +- %-4s %5s  %-6s %-6s  %-7s "
		       "%-5s %s\n",
		       "", "cache", "spindle", "qemu", "unit", "ratio",
		       "target", "", "in end", "guest", "qemu's");
	}
	for (unsigned cache = 0; cache < CACHES; cache++)
		for (unsigned job = 0; job < JOBS; job++)
			print_row(opt, cache, job, &v);
	print_trace(opt, &v);
	if (!opt->json)
		printf("targets: %u met, %u missed\n", v.met, v.missed);
}

/* --- the host's file, and options ----------------------------------------- */

/* All blocks allocated and written, on the medium, and not in the host's page
 * cache. */
static int
make_file(const char *path)
{
	static _Alignas(4096) u8 block[1 << 20];
	int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	u64 x = 88172645463325252ULL;
	int rc = 0;

	if (fd < 0)
		return -errno;
	rc = -posix_fallocate(fd, 0, DISK_BYTES);
	for (u64 off = 0; rc == 0 && off < DISK_BYTES; off += sizeof(block)) {
		for (size_t i = 0; i < sizeof(block); i += sizeof(x)) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			memcpy(block + i, &x, sizeof(x));
		}
		if (pwrite(fd, block, sizeof(block), (off_t)off) !=
		    (ssize_t)sizeof(block))
			rc = errno != 0 ? -errno : -EIO;
	}
	if (rc == 0 && fsync(fd) != 0)
		rc = -errno;
	close(fd);
	return rc;
}

static int
parse(struct options *opt, int argc, char **argv)
{
	static const struct option longs[] = {
	    {"spindle", required_argument, NULL, 's'},
	    {"driver", required_argument, NULL, 'd'},
	    {"qemu", required_argument, NULL, 'q'},
	    {"kernel", required_argument, NULL, 'k'},
	    {"initrd", required_argument, NULL, 'i'},
	    {"dir", required_argument, NULL, 'f'},
	    {"rounds", required_argument, NULL, 'r'},
	    {"seconds", required_argument, NULL, 't'},
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 's')
			opt->spindle = optarg;
		else if (c == 'd')
			opt->driver = optarg;
		else if (c == 'q')
			opt->qemu = optarg;
		else if (c == 'k')
			opt->kernel = optarg;
		else if (c == 'i')
			opt->initrd = optarg;
		else if (c == 'f')
			opt->dir = optarg;
		else if (c == 'r')
			opt->rounds = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 't')
			opt->seconds = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 'j')
			opt->json = true;
		else
			return -EINVAL;
	}
	if (optind != argc || opt->kernel == NULL || opt->initrd == NULL ||
	    strlen(opt->dir) > 4000 || opt->rounds == 0 ||
	    opt->rounds > BENCH_ROUNDS_MAX || opt->seconds < 3 ||
	    opt->seconds > 60)
		return -EINVAL;
	return 0;
}

static int
measure(const struct options *opt)
{
	int status = 0;

	for (unsigned i = 0; i < opt->rounds; i++)
		for (unsigned run = 0; run < CACHES * BENCH_SIDES; run++) {
			unsigned cache = run / BENCH_SIDES;
			enum bench_side side = run % BENCH_SIDES;

			if (side == BENCH_PEER &&
			    strcmp(opt->qemu, "none") == 0)
				continue;
			if (run_side(opt, side, cache) != 0)
				status = 1;
			else if (!opt->json)
				fprintf(stderr,
					"bench_disk: round %u of %u, %s, "
					"cache=%s done\n",
					i + 1, opt->rounds,
					side == BENCH_OURS ? "spindle" : "qemu",
					caches[cache]);
		}
	if (run_traced(opt) != 0)
		status = 1;
	return status;
}

int
main(int argc, char **argv)
{
	struct options opt = {.spindle = "build/spindle",
			      .driver = "soft",
			      .qemu = "qemu-system-x86_64",
			      .append = "console=ttyS0 panic=-1 quiet "
					"cryptomgr.notests rdinit=/disk/init "
					"-- /disk/bench",
			      .dir = ".",
			      .rounds = 3,
			      .seconds = 5};
	int status, rc;

	if (parse(&opt, argc, argv) != 0) {
		fprintf(stderr,
			"usage: bench_disk --kernel F --initrd F [--dir D] "
			"[--rounds N] [--seconds N]\n"
			"                  [--spindle PROGRAM] [--driver soft|"
			"kvm]\n"
			"                  [--qemu PROGRAM|none] [--json]\n"
			"The disk is made in D.\n");
		return 2;
	}
	snprintf(work_dir, sizeof(work_dir), "%s/bench_disk.XXXXXX", opt.dir);
	if (mkdtemp(work_dir) == NULL) {
		fprintf(stderr,
			"bench_disk: cannot make a directory in '%s': "
			"%s\n",
			opt.dir, strerror(errno));
		return 1;
	}
	snprintf(disk_path, sizeof(disk_path), "%s/disk.raw", work_dir);
	rc = make_file(disk_path);
	if (rc != 0)
		fprintf(stderr, "bench_disk: cannot make '%s': %s\n", disk_path,
			strerror(-rc));
	status = rc != 0 ? 1 : measure(&opt);
	if (rc == 0)
		print_all(&opt);
	unlink(disk_path);
	rmdir(work_dir);
	return status;
}
