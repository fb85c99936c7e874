/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_soft - how fast a driver runs plain code, without a kernel
 *
 * What:    runs the programs of bench/guest/blob.c in a bare long-mode guest
 *          and prints millions of guest instructions per second, and the same
 *          programs natively for comparison. A program's instructions are
 *          counted by the driver, or, where that cannot count or --step is
 *          given, by single-stepping a few turns natively. A wrong checksum
 *          is an error.
 * Model:   the guest sees 4 KiB pages, identity mapped, ring 0.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/clock.h"
#include "bench/blob.h"
#include "bench/callgen.h"
#include "driver/hv.h"

#define RAM_BYTES  0x6000000ULL
#define TABLES_GPA 0x10000ULL
#define STACK_GPA  0x200000ULL
#define HLT_GPA	   0x8000ULL
#define RUNS_MAX   15

struct row {
	const char *name;
	unsigned program;
	u64 steps;     /* iterations that are single-stepped */
	u64 functions; /* of the program "calls" */
};

static const struct row rows[] = {
    {"mix", 0, 200, 0},
    {"chase", 1, 200, 0},
    {"bytes", 2, 1, 0},
    {"sse2", 3, 1, 0},
    {"fib", 4, 4, 0},
    {"quicksort", 5, 1, 0},
    {"calls-14k", 6, 200, 256},
    {"calls-108k", 6, 200, 2048},
    {"calls-860k", 6, 200, 16384},
};

struct options {
	const char *driver; /* NULL: soft */
	const char *only;
	u64 target_ns; /* of one timed run */
	unsigned runs;
	bool native;
	bool step;
	bool json;
};

extern const u8 blob_start[], blob_end[];

static const struct blob_table *const blob = (const void *)BLOB_BASE;
static u8 *ram; /* at host address 0 + what the guest has at gpa 0 */
static volatile u64 steps;

/* --- native side ------------------------------------------------------- */

static void
on_trap(int sig)
{
	(void)sig;
	steps++;
}

static u64
native_run(unsigned program, u64 iterations)
{
	return blob->program[program].run(iterations);
}

/* Instructions of one run: every one of them traps. The few that switch the
 * trap flag on and off are subtracted by the caller's difference. */
static u64
native_count(unsigned program, u64 iterations)
{
	steps = 0;
	__asm__ volatile("sub $128, %%rsp; pushfq; orq $0x100, (%%rsp); popfq;"
			 "add $128, %%rsp" ::
			     : "cc", "memory");
	native_run(program, iterations);
	__asm__ volatile("sub $128, %%rsp; pushfq; andq $~0x100, (%%rsp);"
			 "popfq; add $128, %%rsp" ::
			     : "cc", "memory");
	return steps;
}

/* --- guest side -------------------------------------------------------- */

static void
build_tables(void)
{
	u64 *pml4 = (u64 *)(ram + TABLES_GPA);
	u64 *pdpt = pml4 + 512, *pd = pdpt + 512, *pt = pd + 512;

	memset(pml4, 0, 3 * 4096);
	pml4[0] = (TABLES_GPA + 4096) | 3;
	pdpt[0] = (TABLES_GPA + 2 * 4096) | 3;
	for (u64 i = 0; i < RAM_BYTES >> 21; i++)
		pd[i] = (TABLES_GPA + (3 + i) * 4096) | 3;
	for (u64 i = 0; i < RAM_BYTES >> 12; i++)
		pt[i] = i << 12 | 3;
}

static void
fill_calls(struct hv *hv, const struct row *row)
{
	struct blob_calls *calls = (void *)(ram + BLOB_CODE_BASE);
	u64 table_bytes = ALIGN_UP(8 + row->functions * 8, 4096);
	size_t used;

	if (row->functions == 0)
		return;
	calls->count = row->functions;
	assert(table_bytes + row->functions * CALLGEN_MAX_BYTES <=
	       BLOB_CODE_BYTES);
	used = callgen_fill(ram + BLOB_CODE_BASE + table_bytes,
			    BLOB_CODE_BASE + table_bytes, (u64 *)calls->fn,
			    row->functions, 7);
	memcpy((void *)BLOB_CODE_BASE, calls, table_bytes + used);
	if (hv != NULL)
		hv->ops->ram_written(hv, BLOB_CODE_BASE, table_bytes + used);
}

static int
guest_run(struct hv *hv, unsigned program, u64 iterations, u64 *sum)
{
	struct cpu_state s;
	struct vm_exit x;
	u64 entry = (u64)(uintptr_t)blob->program[program].run;

	memset(&s, 0, sizeof(s));
	cpu_state_long_mode(&s, entry, TABLES_GPA);
	s.cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
	put_le16(s.fx, 0x37f);
	put_le32(s.fx + 24, 0x1f80);
	s.gpr[RDI] = iterations;
	s.gpr[RSP] = STACK_GPA - 8;
	put_le64(ram + STACK_GPA - 8, HLT_GPA);
	hv->ops->ram_written(hv, STACK_GPA - 8, 8);
	if (hv->ops->state_set(hv, &s) != 0) {
		fprintf(stderr, "bench_soft: state refused\n");
		return -EINVAL;
	}
	do {
		hv->ops->run(hv, VCLOCK_NEVER, &x);
	} while (x.kind == HV_EXIT_KICK);
	hv->ops->state_get(hv, &s);
	if (x.kind != HV_EXIT_HLT) {
		char dump[4096];

		cpu_state_print(&s, dump, sizeof(dump));
		fprintf(stderr, "bench_soft: unexpected exit %d %s\n%s",
			(int)x.kind,
			x.kind == HV_EXIT_ERROR ? x.error.text : "", dump);
		return -EIO;
	}
	*sum = s.gpr[RAX];
	return 0;
}

/* --- measuring --------------------------------------------------------- */

static int
compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* One run on hv, or natively when hv is NULL. */
static int
run_once(struct hv *hv, unsigned program, u64 iterations, u64 *sum, u64 *ns)
{
	u64 start = clock_cpu_ns(); /* others may be running */
	int rc = 0;

	if (hv != NULL)
		rc = guest_run(hv, program, iterations, sum);
	else
		*sum = native_run(program, iterations);
	*ns = clock_cpu_ns() - start;
	return rc;
}

/* Median MIPS of a row. insns(i) = base + per * i was measured before. */
static int
measure(struct hv *hv, const struct row *row, const struct options *opt,
	double base, double per, double *mips)
{
	double sample[RUNS_MAX];
	u64 iterations = 2, ns = 0, sum, expect;
	int rc;

	for (;;) {
		rc = run_once(hv, row->program, iterations, &sum, &ns);
		if (rc != 0)
			return rc;
		if (ns >= opt->target_ns / 4)
			break;
		iterations *= ns < opt->target_ns / 64 ? 8 : 2;
	}
	iterations = MAX(1, (u64)((double)iterations * (double)opt->target_ns /
				  (double)ns));
	for (unsigned i = 0; i < opt->runs; i++) {
		rc = run_once(hv, row->program, iterations, &sum, &ns);
		if (rc != 0)
			return rc;
		sample[i] =
		    (base + per * (double)iterations) * 1e3 / (double)ns;
	}
	if (hv != NULL) {
		expect = native_run(row->program, iterations);
		if (expect != sum) {
			fprintf(stderr,
				"bench_soft: %s: wrong result %llx, natively "
				"%llx\n",
				row->name, (unsigned long long)sum,
				(unsigned long long)expect);
			return -EUCLEAN;
		}
	}
	qsort(sample, opt->runs, sizeof(sample[0]), compare_double);
	*mips = sample[opt->runs / 2];
	return 0;
}

/* Instructions that the driver retired in one run; 0 when it cannot tell. */
static int
guest_count(struct hv *hv, unsigned program, u64 iterations, u64 *insns)
{
	struct hv_stats before, after;
	u64 sum;
	int rc;

	hv->ops->stats(hv, &before);
	rc = guest_run(hv, program, iterations, &sum);
	hv->ops->stats(hv, &after);
	*insns = after.insns - before.insns;
	return rc;
}

/* A run of i iterations retires base + per * i instructions. */
static int
count_row(struct hv *hv, const struct row *row, bool step, double *base,
	  double *per)
{
	u64 few = 0, more = 0;
	int rc = 0;

	if (hv != NULL && !step) {
		rc = guest_count(hv, row->program, row->steps, &few);
		if (rc == 0)
			rc = guest_count(hv, row->program, 5 * row->steps,
					 &more);
	}
	if (rc != 0)
		return rc;
	if (more == few) {
		few = native_count(row->program, row->steps);
		more = native_count(row->program, 5 * row->steps);
	}
	*per = (double)(more - few) / (double)(4 * row->steps);
	*base = (double)few - (double)row->steps * *per;
	return 0;
}

static int
run_row(struct hv *hv, const struct row *row, const struct options *opt)
{
	double base, per, guest = 0, host = 0;
	int rc;

	fill_calls(hv, row);
	rc = count_row(hv, row, opt->step, &base, &per);
	if (rc != 0)
		return rc;
	if (hv != NULL)
		rc = measure(hv, row, opt, base, per, &guest);
	if (rc == 0 && (opt->native || hv == NULL))
		rc = measure(NULL, row, opt, base, per, &host);
	if (rc != 0)
		return rc;
	if (opt->json)
		printf(
		    "{\"bench\":\"%s\",\"mips\":%.1f,\"native_mips\":%.1f}\n",
		    row->name, guest, host);
	else if (host > 0)
		printf("%-12s %9.1f MIPS   native %9.1f   x %.1f\n", row->name,
		       guest, host, guest > 0 ? host / guest : 0);
	else
		printf("%-12s %9.1f MIPS\n", row->name, guest);
	fflush(stdout);
	return 0;
}

static int
host_map(u64 base, u64 size_bytes)
{
	void *p =
	    mmap((void *)base, size_bytes, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	return p == (void *)base ? 0 : -errno;
}

/* The programs at their own addresses on the host, and in guest RAM. */
static int
load(void)
{
	size_t size_bytes = (size_t)(blob_end - blob_start);
	struct sigaction sa = {.sa_handler = on_trap};

	if (host_map(BLOB_BASE, ALIGN_UP(size_bytes, 4096)) != 0 ||
	    host_map(BLOB_DATA_BASE, BLOB_DATA_BYTES) != 0 ||
	    host_map(BLOB_CODE_BASE, BLOB_CODE_BYTES) != 0)
		return -ENOMEM;
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED)
		return -ENOMEM;
	memcpy((void *)BLOB_BASE, blob_start, size_bytes);
	memcpy(ram + BLOB_BASE, blob_start, size_bytes);
	ram[HLT_GPA] = 0xf4;
	build_tables();
	if (blob->magic != BLOB_MAGIC)
		return -EUCLEAN;
	return sigaction(SIGTRAP, &sa, NULL);
}

static int
parse(struct options *opt, int argc, char **argv)
{
	static const struct option longs[] = {
	    {"driver", required_argument, NULL, 'd'},
	    {"only", required_argument, NULL, 'o'},
	    {"ms", required_argument, NULL, 'm'},
	    {"runs", required_argument, NULL, 'r'},
	    {"native", no_argument, NULL, 'n'},
	    {"step", no_argument, NULL, 's'},
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			opt->driver = optarg;
			break;
		case 'o':
			opt->only = optarg;
			break;
		case 'm':
			opt->target_ns = strtoull(optarg, NULL, 0) * NS_PER_MS;
			break;
		case 'r':
			opt->runs = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'n':
			opt->native = true;
			break;
		case 's':
			opt->step = true;
			break;
		case 'j':
			opt->json = true;
			break;
		default:
			return -EINVAL;
		}
	}
	if (strcmp(opt->driver, "soft") != 0 &&
	    strcmp(opt->driver, "kvm") != 0 &&
	    strcmp(opt->driver, "native") != 0)
		return -EINVAL;
	if (optind != argc || opt->target_ns == 0 || opt->runs == 0 ||
	    opt->runs > RUNS_MAX)
		return -EINVAL;
	return 0;
}

static int
open_driver(struct hv **hv, const struct options *opt, struct vclock *clock)
{
	struct hv_config cfg = {.clock = clock};
	const struct hv_ops *ops = &hv_soft;
	struct err e;
	int rc;

	if (strcmp(opt->driver, "native") == 0)
		return 0;
	if (strcmp(opt->driver, "kvm") == 0)
		ops = &hv_kvm;
	rc = ops->create(hv, &cfg, &e);
	if (rc == 0)
		rc = ops->mem_map(*hv, 0, 0, RAM_BYTES, ram, 0);
	if (rc != 0)
		fprintf(stderr, "bench_soft: no driver '%s': %s\n", opt->driver,
			e.text);
	return rc;
}

int
main(int argc, char **argv)
{
	struct options opt = {.driver = "soft",
			      .target_ns = 300 * NS_PER_MS,
			      .runs = 3};
	struct vclock clock;
	struct hv *hv = NULL;
	int status = 0;

	if (parse(&opt, argc, argv) != 0) {
		fprintf(stderr, "usage: bench_soft "
				"[--driver soft|kvm|native] "
				"[--only ROW] [--ms N] [--runs N] [--native] "
				"[--step] [--json]\n");
		return 2;
	}
	if (load() != 0) {
		fprintf(stderr, "bench_soft: cannot map the guest programs\n");
		return 1;
	}
	vclock_init(&clock, 0);
	vclock_start(&clock);
	if (open_driver(&hv, &opt, &clock) != 0)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (opt.only != NULL && strcmp(opt.only, rows[i].name) != 0)
			continue;
		if (run_row(hv, &rows[i], &opt) != 0)
			status = 1;
	}
	if (hv != NULL)
		hv->ops->destroy(hv);
	return status;
}
