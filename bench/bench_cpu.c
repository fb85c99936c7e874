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
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "bench/bench_run.h"

#define ROWS_MAX 32
#define RUN_NS	 (300 * NS_PER_SEC)
#define APPEND	 "console=ttyS0 panic=-1 quiet rdinit=/bench/init"

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
	struct bench_samples side[BENCH_SIDES];
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
add_sample(enum bench_side side, const char *name, double value,
	   const char *unit)
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
	bench_add(&row->side[side], value);
}

/* --- one run ------------------------------------------------------------ */

static double
cpu_seconds(pid_t pid)
{
	clockid_t id;
	struct timespec t;

	if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &t) != 0)
		return 0;
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct cpu_run {
	struct bench_run run; /* first: run.line() gets back to us */
	enum bench_side side;
	bool booted;
	double cpu_before; /* at the last line, seconds */
	u64 wall_before_ns;
};

/* How much of a processor the run had since the last line. */
static double
share(struct cpu_run *r)
{
	double cpu = cpu_seconds(r->run.pid);
	u64 now = clock_now_ns();
	double wall = (double)(now - r->wall_before_ns) / 1e9;
	double got = wall > 0 ? (cpu - r->cpu_before) / wall : 1;

	r->cpu_before = cpu;
	r->wall_before_ns = now;
	return got > 1 ? 1 : got < 0.01 ? 0.01 : got;
}

static bool
take_line(struct bench_run *run, const char *line)
{
	struct cpu_run *r = (struct cpu_run *)run;
	char name[32], unit[16];
	double value, had = share(r);

	if (strstr(line, "bench boot") != NULL) {
		r->booted = true;
		add_sample(r->side, "boot", cpu_seconds(run->pid), "s");
	} else if (r->booted && sscanf(line, "%31[a-z0-9_] %lf %15s", name,
				       &value, unit) == 3) {
		value = strcmp(unit, "MIPS") == 0 ? value / had : value * had;
		add_sample(r->side, name, value, unit);
	}
	return strstr(line, "bench done") != NULL;
}

static int
run_side(const struct options *opt, enum bench_side side)
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
	struct cpu_run r = {.run.line = take_line, .side = side};
	int rc = bench_start(&r.run, side == BENCH_OURS ? ours : peer);

	if (rc != 0)
		return rc;
	if (bench_follow(&r.run, RUN_NS) == 0)
		return 0;
	fprintf(stderr,
		"bench_cpu: %s did not get to the end; it said last: "
		"%s\n",
		side == BENCH_OURS ? "spindle" : "qemu", r.run.last);
	return -EIO;
}

/* --- the table ---------------------------------------------------------- */

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
	struct bench_samples *side = row->side;
	double ours = bench_median(&side[BENCH_OURS]);
	double peer = bench_median(&side[BENCH_PEER]);
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
		       verdict(t, ours), side[BENCH_OURS].count,
		       bench_spread(&side[BENCH_OURS]),
		       bench_spread(&side[BENCH_PEER]));
	else
		printf(
		    "%-27s %9.4g %4.0f%% %9.4g %4.0f%% %-5s %5.2f  %-7s %s\n",
		    t != NULL ? t->what : row->name, ours,
		    bench_spread(&side[BENCH_OURS]), peer,
		    bench_spread(&side[BENCH_PEER]), row->unit, ratio, limit,
		    verdict(t, ours));
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
		bench_print_machine();
	if (!opt->json)
		printf("%-27s %9s   +- %9s   +- %-5s %5s  %s\n", "", "spindle",
		       "qemu tcg", "unit", "ratio", "target");
	for (unsigned i = 0; i < row_count; i++) {
		const char *v;

		print_row(opt, &rows[i]);
		v = verdict(target_of(rows[i].name),
			    bench_median(&rows[i].side[BENCH_OURS]));
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
	    opt->rounds == 0 || opt->rounds > BENCH_ROUNDS_MAX)
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
		for (unsigned side = BENCH_OURS; side < BENCH_SIDES; side++) {
			if (side == BENCH_PEER && strcmp(opt.qemu, "none") == 0)
				continue;
			if (run_side(&opt, side) != 0)
				status = 1;
			else if (!opt.json)
				fprintf(stderr,
					"bench_cpu: round %u of %u, %s "
					"done\n",
					i + 1, opt.rounds,
					side == BENCH_OURS ? "spindle"
							   : "qemu");
		}
	print_all(&opt);
	return status;
}
