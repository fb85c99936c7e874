/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_cpu - the software CPU beside QEMU's, booting and running one guest
 *
 * What:    boots the same kernel with the same initramfs under Spindle and
 *          under QEMU's TCG, in turns. /init of that initramfs (bench/guest/
 *          init.sh) says "bench boot" as its first act and then runs the
 *          programs of guest/bench, which print lines of "name value unit".
 *          Prints the median of each row for both, and which rows reach the
 *          figure that is demanded of them.
 * Units:   "boot" is CPU time of the whole process, user and system, from its
 *          start to the first act of /init. The others are what the guest
 *          prints, which it took by its own clock, scaled to a processor of
 *          one's own: the share of the wall time between two lines that the
 *          process ran. On an idle machine that share is 1.
 * Exit:    0 measured (whether or not targets were met), 1 a run failed,
 *          2 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/clock.h"

#define ROUNDS_MAX 15
#define ROWS_MAX   32
#define RUN_NS	   (300 * NS_PER_SEC)
#define APPEND	   "console=ttyS0 panic=-1 quiet rdinit=/bench/init"

enum { OURS, PEER, SIDES };

/* What is demanded: of the interpreter alone, until there is a translator. */
struct target {
	const char *name;
	const char *what;
	bool less_is_better;
	double limit; /* 0: measured and printed, nothing demanded */
};

static const struct target targets[] = {
    {"boot", "boot Debian kernel to init", true, 25},
    {"integer_loop", "integer/memory/call loop", false, 250},
    {"calls_108k", "branching code, 108 KB", false, 120},
    {"getppid", "getppid", true, 0},
    {"page_fault", "page fault", true, 0},
    {"fork_exec", "fork + exec", true, 0},
    {"pipe_round_trip", "pipe round trip", true, 0},
};

struct row {
	char name[32];
	char unit[16];
	double sample[SIDES][ROUNDS_MAX];
	unsigned samples[SIDES];
};

struct options {
	const char *spindle, *driver, *qemu;
	const char *kernel, *initrd;
	const char *memory;
	unsigned rounds;
	bool json;
};

static struct row rows[ROWS_MAX];
static unsigned row_count;

static void
add_sample(unsigned side, const char *name, double value, const char *unit)
{
	struct row *row = rows;

	while (row < rows + row_count && strcmp(row->name, name) != 0)
		row++;
	if (row == rows + ROWS_MAX)
		return;
	if (row == rows + row_count) {
		row_count++;
		snprintf(row->name, sizeof(row->name), "%s", name);
		snprintf(row->unit, sizeof(row->unit), "%s", unit);
	}
	if (row->samples[side] < ROUNDS_MAX)
		row->sample[side][row->samples[side]++] = value;
}

/* --- one run ------------------------------------------------------------ */

static pid_t
spawn(char *const *argv, int *out)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);

		dup2(null, 0);
		dup2(fds[1], 1);
		execvp(argv[0], argv);
		fprintf(stderr, "bench_cpu: cannot run '%s'\n", argv[0]);
		_exit(127);
	}
	close(fds[1]);
	*out = fds[0];
	return pid;
}

static double
cpu_seconds(pid_t pid)
{
	clockid_t id;
	struct timespec t;

	if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &t) != 0)
		return 0;
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct run {
	unsigned side;
	pid_t pid;
	bool booted, done;
	double cpu_before; /* at the last line, seconds */
	u64 wall_before_ns;
	char line[512];
	size_t used;
	char last[512]; /* what was said last, for the one who wonders */
};

/* How much of a processor the run had since the last line. */
static double
share(struct run *r)
{
	double cpu = cpu_seconds(r->pid);
	u64 now = clock_now_ns();
	double wall = (double)(now - r->wall_before_ns) / 1e9;
	double got = wall > 0 ? (cpu - r->cpu_before) / wall : 1;

	r->cpu_before = cpu;
	r->wall_before_ns = now;
	return got > 1 ? 1 : got < 0.01 ? 0.01 : got;
}

static void
take_line(struct run *r)
{
	char name[32], unit[16];
	double value, had = share(r);

	if (strstr(r->line, "bench boot") != NULL) {
		r->booted = true;
		add_sample(r->side, "boot", cpu_seconds(r->pid), "s");
	} else if (strstr(r->line, "bench done") != NULL) {
		r->done = true;
	} else if (r->booted && sscanf(r->line, "%31[a-z0-9_] %lf %15s", name,
				       &value, unit) == 3) {
		value = strcmp(unit, "MIPS") == 0 ? value / had : value * had;
		add_sample(r->side, name, value, unit);
	}
	if (r->line[0] != '\0')
		memcpy(r->last, r->line, sizeof(r->last));
}

static void
take_bytes(struct run *r, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes[i] != '\n' && bytes[i] != '\r') {
			if (r->used < sizeof(r->line) - 1)
				r->line[r->used++] = bytes[i];
			continue;
		}
		r->line[r->used] = '\0';
		take_line(r);
		r->used = 0;
	}
}

static int
follow(struct run *r, int out)
{
	u64 until = clock_now_ns() + RUN_NS;
	char bytes[4096];
	int status;

	for (;;) {
		struct pollfd p = {.fd = out, .events = POLLIN};
		ssize_t n = 0;

		if (clock_now_ns() >= until)
			break;
		if (poll(&p, 1, 1000) > 0)
			n = read(out, bytes, sizeof(bytes));
		if (n < 0 || (n == 0 && p.revents != 0))
			break;
		take_bytes(r, bytes, (size_t)n);
	}
	if (!r->done)
		kill(r->pid, SIGKILL);
	close(out);
	waitpid(r->pid, &status, 0);
	return r->done ? 0 : -EIO;
}

static int
run_side(const struct options *opt, unsigned side)
{
	const char *const ours[] = {opt->spindle, "run",       "--driver",
				    opt->driver,  "--memory",  opt->memory,
				    "--kernel",	  opt->kernel, "--initrd",
				    opt->initrd,  "--append",  APPEND,
				    NULL};
	const char *const peer[] = {opt->qemu,	  "-M",		 "pc",
				    "-accel",	  "tcg",	 "-m",
				    opt->memory,  "-nodefaults", "-display",
				    "none",	  "-serial",	 "stdio",
				    "-no-reboot", "-kernel",	 opt->kernel,
				    "-initrd",	  opt->initrd,	 "-append",
				    APPEND,	  NULL};
	struct run r = {.side = side};
	int out;

	r.pid = spawn((char *const *)(side == OURS ? ours : peer), &out);
	if (r.pid < 0)
		return -errno;
	if (follow(&r, out) == 0)
		return 0;
	fprintf(stderr,
		"bench_cpu: %s did not get to the end; it said last: "
		"%s\n",
		side == OURS ? "spindle" : "qemu", r.last);
	return -EIO;
}

/* --- the table ---------------------------------------------------------- */

static int
compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* 0 when there is no sample. */
static double
median(struct row *row, unsigned side)
{
	unsigned n = row->samples[side];

	if (n == 0)
		return 0;
	qsort(row->sample[side], n, sizeof(double), compare_double);
	return row->sample[side][n / 2];
}

/* How far the runs of a side lie apart, in percent of the median. */
static double
spread(struct row *row, unsigned side)
{
	double mid = median(row, side); /* sorts */
	unsigned n = row->samples[side];

	if (n == 0 || mid == 0)
		return 0;
	return (row->sample[side][n - 1] - row->sample[side][0]) * 100 / mid;
}

static const struct target *
target_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
		if (strcmp(targets[i].name, name) == 0)
			return &targets[i];
	return NULL;
}

/* "met", "missed", or "-" where nothing is demanded. */
static const char *
verdict(const struct target *t, double ours)
{
	if (t == NULL || t->limit == 0)
		return "-";
	if (ours == 0)
		return "missed";
	return (t->less_is_better ? ours <= t->limit : ours >= t->limit)
		   ? "met"
		   : "missed";
}

static void
print_row(const struct options *opt, struct row *row)
{
	const struct target *t = target_of(row->name);
	double ours = median(row, OURS), peer = median(row, PEER);
	double ratio = peer > 0 ? ours / peer : 0;
	char limit[24] = "-";

	if (t != NULL && t->limit > 0)
		snprintf(limit, sizeof(limit), "%s %g",
			 t->less_is_better ? "<=" : ">=", t->limit);
	if (opt->json)
		printf("{\"bench\":\"%s\",\"unit\":\"%s\",\"spindle\":%.6g,"
		       "\"qemu\":%.6g,\"ratio\":%.4g,\"target\":\"%s\","
		       "\"verdict\":\"%s\",\"runs\":%u,\"spread_percent\":"
		       "[%.0f,%.0f]}\n",
		       row->name, row->unit, ours, peer, ratio, limit,
		       verdict(t, ours), row->samples[OURS], spread(row, OURS),
		       spread(row, PEER));
	else
		printf(
		    "%-27s %9.4g %4.0f%% %9.4g %4.0f%% %-5s %5.2f  %-7s %s\n",
		    t != NULL ? t->what : row->name, ours, spread(row, OURS),
		    peer, spread(row, PEER), row->unit, ratio, limit,
		    verdict(t, ours));
}

/* A figure means little without the machine, and what else it was doing. */
static void
print_machine(void)
{
	char line[256], model[128] = "unknown processor";
	double load = 0;
	FILE *f = fopen("/proc/cpuinfo", "r");

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

static void
print_all(const struct options *opt)
{
	unsigned met = 0, missed = 0;

	/* a row that no run delivered is a row missed */
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		unsigned j = 0;

		while (j < row_count &&
		       strcmp(rows[j].name, targets[i].name) != 0)
			j++;
		if (j == row_count && row_count < ROWS_MAX)
			snprintf(rows[row_count++].name, sizeof(rows[0].name),
				 "%s", targets[i].name);
	}
	if (!opt->json)
		print_machine();
	if (!opt->json)
		printf("%-27s %9s   +- %9s   +- %-5s %5s  %s\n", "", "spindle",
		       "qemu tcg", "unit", "ratio", "target");
	for (unsigned i = 0; i < row_count; i++) {
		const char *v;

		print_row(opt, &rows[i]);
		v = verdict(target_of(rows[i].name), median(&rows[i], OURS));
		met += strcmp(v, "met") == 0;
		missed += strcmp(v, "missed") == 0;
	}
	if (!opt->json)
		printf("targets: %u met, %u missed\n", met, missed);
}

/* --- options ------------------------------------------------------------ */

static int
parse(struct options *opt, int argc, char **argv)
{
	static const struct option longs[] = {
	    {"spindle", required_argument, NULL, 's'},
	    {"driver", required_argument, NULL, 'd'},
	    {"qemu", required_argument, NULL, 'q'},
	    {"kernel", required_argument, NULL, 'k'},
	    {"initrd", required_argument, NULL, 'i'},
	    {"memory", required_argument, NULL, 'm'},
	    {"rounds", required_argument, NULL, 'r'},
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
		else if (c == 'm')
			opt->memory = optarg;
		else if (c == 'r')
			opt->rounds = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 'j')
			opt->json = true;
		else
			return -EINVAL;
	}
	if (optind != argc || opt->kernel == NULL || opt->initrd == NULL ||
	    opt->rounds == 0 || opt->rounds > ROUNDS_MAX)
		return -EINVAL;
	return 0;
}

int
main(int argc, char **argv)
{
	struct options opt = {.spindle = "build/spindle",
			      .driver = "soft",
			      .qemu = "qemu-system-x86_64",
			      .memory = "512M",
			      .rounds = 3};
	int status = 0;

	if (parse(&opt, argc, argv) != 0) {
		fprintf(stderr,
			"usage: bench_cpu --kernel F --initrd F [--rounds N] "
			"[--json]\n"
			"                 [--spindle PROGRAM] [--driver NAME] "
			"[--qemu PROGRAM|none]\n"
			"                 [--memory SIZE]\n");
		return 2;
	}
	for (unsigned i = 0; i < opt.rounds; i++)
		for (unsigned side = OURS; side < SIDES; side++) {
			if (side == PEER && strcmp(opt.qemu, "none") == 0)
				continue;
			if (run_side(&opt, side) != 0)
				status = 1;
			else if (!opt.json)
				fprintf(stderr,
					"bench_cpu: round %u of %u, %s "
					"done\n",
					i + 1, opt.rounds,
					side == OURS ? "spindle" : "qemu");
		}
	print_all(&opt);
	return status;
}
