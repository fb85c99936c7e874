/* SPDX-License-Identifier: BSD-2-Clause */
/* diff_cpu - the software CPU against the processor it runs on
 *
 * What:    runs random instructions and random sequences of instructions on
 *          the host and in a guest (diff_int.h says how) and demands equal
 *          outcomes. A case is known by the seed, its kind and its number, so
 *          it can be repeated alone; a sequence that differs is cut down to
 *          the instructions that matter before it is shown. First of all the
 *          test tests itself: the host must agree with itself, and no single
 *          wrong bit may pass (diff_mutant.c).
 * Exit:    0, 1 a difference, 2 usage, 77 cannot run on this host.
 */
#include "tests/diff_int.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/cpuid.h"

#define JOBS_MAX   64
#define SELF_CASES 500

enum { SINGLE, SEQUENCE, SYSTEM, SINGLE32, SEQUENCE32, SYSTEM32, KINDS };

static const char kind_letter[KINDS + 1] = "sqycdz";
static const char *const kind_name[KINDS] = {
    "single instructions",
    "sequences",
    "segment loads and far transfers",
    "compatibility-mode instructions",
    "compatibility-mode sequences",
    "compatibility-mode segment loads and far transfers",
};

struct options {
	const char *driver;
	const char *only;
	u64 seed;
	u64 count[KINDS];
	unsigned jobs;
	unsigned failures_max;
	int replay_kind; /* -1: none */
	u64 replay_index;
	int ignore; /* a vector of the host, -1: none */
	bool self_test_only;
	bool list;
};

/* Shared between the parent and one worker. */
struct progress {
	_Atomic u64 started; /* cases so far, also tells that it moves */
	_Atomic u64 index;   /* of the case that runs now */
	_Atomic int kind;
	u64 done[KINDS];
	u64 ended, faults[32], timeouts, skipped;
	unsigned failures;
	u8 seen[ZYDIS_MNEMONIC_MAX_VALUE + 1];
};

struct worker {
	const struct options *opt;
	struct diff_forms *forms[2]; /* 64-bit, compatibility mode */
	struct diff_side host, guest;
	struct progress *p;
	struct diff_case c;
	struct diff_seq seq;
	struct diff_outcome x, y;
};

/* --- one case ----------------------------------------------------------- */

/* What #UD looks like: nothing happened. */
static void
expect_ud(const struct diff_case *c, struct diff_outcome *o)
{
	memset(o, 0, sizeof(*o));
	o->out = c->in;
	o->out.rflags |= FL_RF;
	o->vector = EXC_UD;
	o->cs = c->compat ? DIFF_CS32 : DIFF_CS64;
	o->sel[0] = o->sel[1] = o->sel[4] = DIFF_DS;
}

static bool
agree(struct worker *w, const struct diff_case *c)
{
	/* the host has these; what it would do says nothing */
	if (c->absent && w->guest.hv == NULL)
		return true;
	diff_world_load(&w->host, c, false);
	diff_world_load(&w->guest, c, w->guest.hv != NULL);
	if (c->absent)
		expect_ud(c, &w->x);
	else
		w->host.run(&w->host, c, &w->x);
	w->guest.patience_ns =
	    w->x.vector == DIFF_TIMEOUT ? 100 * NS_PER_MS : 10 * NS_PER_SEC;
	w->guest.run(&w->guest, c, &w->y);
	return diff_compare(c, &w->host, &w->x, &w->guest, &w->y);
}

static void
make_case(struct worker *w, int kind, u64 index)
{
	struct rng r = {w->opt->seed * 0x9e3779b97f4a7c15ULL ^
			index * 0xd1342543de82ef95ULL ^ (u64)kind << 56};
	const struct diff_forms *f = w->forms[kind >= SINGLE32];

	rng_next(&r);
	if (kind == SINGLE || kind == SINGLE32) {
		diff_single(&r, f, &w->c);
		return;
	}
	if (kind == SYSTEM || kind == SYSTEM32) {
		diff_system(&r, f, &w->c);
		return;
	}
	diff_seq(&r, f, &w->seq);
	diff_seq_build(&w->seq, &w->c);
}

/* Leaves items out for as long as the sides still differ. */
static void
minimize(struct worker *w)
{
	bool again = true;

	for (unsigned round = 0; round < 4 && again; round++) {
		again = false;
		for (unsigned i = 0; i < w->seq.items; i++) {
			if (w->seq.item[i].dead)
				continue;
			w->seq.item[i].dead = true;
			diff_seq_build(&w->seq, &w->c);
			if (agree(w, &w->c) || w->y.vector == DIFF_TIMEOUT)
				w->seq.item[i].dead = false;
			else
				again = true;
		}
	}
	diff_seq_build(&w->seq, &w->c);
	agree(w, &w->c);
}

static void
report(struct worker *w, int kind, u64 index)
{
	printf("\nMISMATCH in %s, repeat with --replay %llu:%c%llu\n",
	       kind_name[kind], (unsigned long long)w->opt->seed,
	       kind_letter[kind], (unsigned long long)index);
	if (kind == SEQUENCE || kind == SEQUENCE32)
		minimize(w);
	diff_report(&w->c, &w->host, &w->x, &w->guest, &w->y);
	fflush(stdout);
}

static void
tally(struct progress *p, int kind, const struct diff_case *c,
      const struct diff_outcome *x)
{
	p->done[kind]++;
	if (x->vector == DIFF_END)
		p->ended++;
	else if (x->vector < 32)
		p->faults[x->vector]++;
	p->seen[c->mnemonic] = 1;
}

/* Outcomes that only the host can have, or that mean nothing. */
static bool
incomparable(const struct diff_outcome *x, const struct diff_outcome *y)
{
	bool misaligned_sse = (get_le32(x->out.fx + 24) & BIT(17)) != 0;
	/* a host with 5 levels of page tables has 57-bit addresses */
	u64 high = x->vector == EXC_PF ? x->cr2 >> 47 : 0;

	return misaligned_sse || (high != 0 && high != 0x1ffff) ||
	       (x->vector == DIFF_TIMEOUT && y->vector == DIFF_TIMEOUT);
}

static void
run_case(struct worker *w, int kind, u64 index)
{
	struct progress *p = w->p;

	atomic_store_explicit(&p->index, index, memory_order_relaxed);
	atomic_store_explicit(&p->kind, kind, memory_order_relaxed);
	make_case(w, kind, index);
	atomic_fetch_add_explicit(&p->started, 1, memory_order_relaxed);
	if (!agree(w, &w->c)) {
		if (incomparable(&w->x, &w->y) ||
		    (int)w->x.vector == w->opt->ignore) {
			p->skipped++;
		} else {
			p->failures++;
			report(w, kind, index);
		}
	}
	if (w->x.vector == DIFF_TIMEOUT)
		p->timeouts++;
	tally(p, kind, &w->c, &w->x);
}

static int
open_sides(struct worker *w)
{
	struct err e = {""};
	int rc = diff_native_open(&w->host, &e);

	if (rc == 0 && strcmp(w->opt->driver, "native") == 0)
		diff_mutant_open(&w->guest, &w->host);
	else if (rc == 0)
		rc = diff_guest_open(&w->guest, w->opt->driver, &e);
	if (rc != 0)
		fprintf(stderr, "diff_cpu: %s\n", e.text);
	diff_world_init(w->opt->seed);
	return rc;
}

static int
work(struct worker *w, unsigned self)
{
	const struct options *opt = w->opt;

	if (open_sides(w) != 0)
		return 3;
	if (opt->replay_kind >= 0) {
		run_case(w, opt->replay_kind, opt->replay_index);
		if (w->p->failures == 0) {
			printf("no mismatch:\n");
			diff_report(&w->c, &w->host, &w->x, &w->guest, &w->y);
		}
		return 0;
	}
	for (int kind = 0; kind < KINDS; kind++)
		for (u64 i = self; i < opt->count[kind]; i += opt->jobs) {
			run_case(w, kind, i);
			if (w->p->failures >= opt->failures_max)
				return 0;
		}
	if (w->guest.hv != NULL)
		diff_guest_close(&w->guest);
	return 0;
}

/* --- the test of the test ----------------------------------------------- */

/* Counts cases in which the mutation stays unseen. */
static unsigned
unseen(struct worker *w, unsigned mutation)
{
	unsigned count = 0;

	w->guest.mutation = mutation;
	for (u64 i = 0; i < SELF_CASES; i++) {
		make_case(w, i % 4 == 0 ? SEQUENCE : SINGLE, i);
		/* nothing to compare, or not everything */
		if (w->c.absent || w->c.masks > 0)
			continue;
		if (!agree(w, &w->c))
			continue;
		/* memory is not compared after some faults */
		if (mutation != DIFF_MUTATION_MEMORY || w->x.vector == DIFF_END)
			count++;
	}
	return count;
}

static int
self_test(struct worker *w)
{
	unsigned same, bad = 0;

	if (diff_native_open(&w->host, NULL) != 0)
		return 3;
	diff_mutant_open(&w->guest, &w->host);
	diff_world_init(w->opt->seed);
	same = unseen(w, DIFF_MUTATIONS);
	if (same < SELF_CASES * 8 / 10) {
		printf("self-test: the host differs from itself in %u of %u "
		       "cases\n",
		       SELF_CASES - same, SELF_CASES);
		bad++;
	}
	for (unsigned m = 0; m < DIFF_MUTATIONS; m++) {
		unsigned passed = unseen(w, m);

		if (passed == 0)
			continue;
		printf("self-test: a wrong %s passed %u of %u cases\n",
		       diff_mutant_name(m), passed, SELF_CASES);
		bad++;
	}
	if (bad == 0)
		printf("self-test: %u kinds of error, each caught in every "
		       "case\n",
		       DIFF_MUTATIONS);
	return bad == 0 ? 0 : 1;
}

/* --- the parent --------------------------------------------------------- */

static pid_t
start(struct worker *w, struct progress *p, unsigned self, bool self_test_only)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid != 0)
		return pid;
	w->p = p;
	self = (unsigned)(self_test_only ? self_test(w) : work(w, self));
	fflush(NULL);
	_exit((int)self);
}

/* Waits for all; a worker that does not go on gets SIGALRM, by which the
 * native side finds out that a case does not end. True when all ended well. */
static bool
wait_all(pid_t *pid, struct progress *p, unsigned count)
{
	u64 last[JOBS_MAX] = {0};
	struct timespec tick = {0, 50 * NS_PER_MS};
	unsigned left = count;
	sigset_t child;
	bool good = true;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	while (left > 0) {
		int signaled = sigtimedwait(&child, NULL, &tick);

		for (unsigned i = 0; i < count; i++) {
			int status;
			u64 now = atomic_load_explicit(&p[i].started,
						       memory_order_relaxed);

			if (pid[i] > 0 &&
			    waitpid(pid[i], &status, WNOHANG) == pid[i]) {
				pid[i] = 0;
				left--;
				if (status == 0)
					continue;
				good = false;
				printf("worker %u ended badly (status %x) at "
				       "%c%llu\n",
				       i, (unsigned)status,
				       kind_letter[p[i].kind],
				       (unsigned long long)p[i].index);
			} else if (pid[i] > 0 && signaled < 0 &&
				   now == last[i]) {
				kill(pid[i], SIGALRM);
			}
			if (signaled < 0)
				last[i] = now;
		}
	}
	return good;
}

static void
summarize(const struct options *opt, const struct progress *p, u64 wall_ns)
{
	struct progress sum = {0};
	struct rusage ru;
	unsigned mnemonics = 0;
	u64 cases = 0;
	double cpu;

	for (unsigned j = 0; j < opt->jobs; j++) {
		for (unsigned k = 0; k < KINDS; k++)
			sum.done[k] += p[j].done[k];
		for (unsigned v = 0; v < 32; v++)
			sum.faults[v] += p[j].faults[v];
		for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
			sum.seen[m] |= p[j].seen[m];
		sum.ended += p[j].ended;
		sum.timeouts += p[j].timeouts;
		sum.skipped += p[j].skipped;
		sum.failures += p[j].failures;
	}
	for (unsigned m = 1; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
		mnemonics += sum.seen[m];
	for (unsigned k = 0; k < KINDS; k++) {
		cases += sum.done[k];
		if (sum.done[k] > 0)
			printf("%10llu %s\n", (unsigned long long)sum.done[k],
			       kind_name[k]);
	}
	printf("%10u mnemonics; %llu cases ran to their end, %llu timed out, "
	       "%llu not comparable\n",
	       mnemonics, (unsigned long long)sum.ended,
	       (unsigned long long)sum.timeouts,
	       (unsigned long long)sum.skipped);
	printf("           exceptions:");
	for (unsigned v = 0; v < 32; v++)
		if (sum.faults[v] > 0)
			printf(" %u:%llu", v,
			       (unsigned long long)sum.faults[v]);
	getrusage(RUSAGE_CHILDREN, &ru);
	cpu = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	      (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
	printf("\nseed %llu: %llu cases, %u mismatches, %.1f s of CPU, %.0f "
	       "cases/s\n",
	       (unsigned long long)opt->seed, (unsigned long long)cases,
	       sum.failures, cpu, (double)cases * 1e9 / (double)wall_ns);
}

static int
run_all(struct worker *w)
{
	const struct options *opt = w->opt;
	struct progress *p;
	pid_t pid[JOBS_MAX];
	unsigned failures = 0;
	u64 begin;
	bool good;

	p = mmap(NULL, (opt->jobs + 1) * sizeof(*p), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return 1;
	if (opt->replay_kind < 0 && opt->only == NULL) {
		pid[0] = start(w, &p[opt->jobs], 0, true);
		if (!wait_all(pid, &p[opt->jobs], 1))
			return 1;
	}
	if (opt->self_test_only)
		return 0;
	begin = clock_now_ns();
	for (unsigned i = 0; i < opt->jobs; i++)
		pid[i] = start(w, &p[i], i, false);
	good = wait_all(pid, p, opt->jobs);
	if (opt->replay_kind < 0)
		summarize(opt, p, clock_now_ns() - begin);
	for (unsigned i = 0; i < opt->jobs; i++)
		failures += p[i].failures;
	return good && failures == 0 ? 0 : 1;
}

/* --- options ------------------------------------------------------------ */

static int
parse_replay(struct options *opt, const char *text)
{
	char *end;
	const char *letter;

	opt->seed = strtoull(text, &end, 0);
	if (*end != ':' || end[1] == '\0')
		return -EINVAL;
	letter = strchr(kind_letter, end[1]);
	if (letter == NULL)
		return -EINVAL;
	opt->replay_kind = (int)(letter - kind_letter);
	opt->replay_index = strtoull(end + 2, &end, 0);
	opt->jobs = 1;
	return *end == '\0' ? 0 : -EINVAL;
}

static int
parse(struct options *opt, int argc, char **argv)
{
	static const struct option longs[] = {
	    {"driver", required_argument, NULL, 'd'},
	    {"seed", required_argument, NULL, 's'},
	    {"cases", required_argument, NULL, 'c'},
	    {"seq", required_argument, NULL, 'q'},
	    {"system", required_argument, NULL, 'y'},
	    {"cases32", required_argument, NULL, 'C'},
	    {"seq32", required_argument, NULL, 'Q'},
	    {"system32", required_argument, NULL, 'Y'},
	    {"only", required_argument, NULL, 'o'},
	    {"jobs", required_argument, NULL, 'j'},
	    {"failures", required_argument, NULL, 'f'},
	    {"ignore", required_argument, NULL, 'i'},
	    {"replay", required_argument, NULL, 'r'},
	    {"self-test", no_argument, NULL, 't'},
	    {"list", no_argument, NULL, 'l'},
	    {NULL, 0, NULL, 0},
	};
	static const char counts[] = "cqyCQY";
	int o;

	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o == 'd')
			opt->driver = optarg;
		else if (o == 's')
			opt->seed = strtoull(optarg, NULL, 0);
		else if (o == 'o')
			opt->only = optarg;
		else if (o == 'j')
			opt->jobs = (unsigned)strtoul(optarg, NULL, 0);
		else if (o == 'f')
			opt->failures_max = (unsigned)strtoul(optarg, NULL, 0);
		else if (o == 'i')
			opt->ignore = (int)strtol(optarg, NULL, 0);
		else if (o == 't')
			opt->self_test_only = true;
		else if (o == 'l')
			opt->list = true;
		else if (o == 'r' && parse_replay(opt, optarg) != 0)
			return -EINVAL;
		else if (o == '?')
			return -EINVAL;
		else if (o != 'r') {
			u64 n = strtoull(optarg, NULL, 0);
			size_t k = (size_t)(strchr(counts, o) - counts);

			/* the options name the kinds in their order */
			opt->count[k] = n;
		}
	}
	if (optind != argc || opt->jobs == 0 || opt->jobs > JOBS_MAX)
		return -EINVAL;
	return 0;
}

static void
defaults(struct options *opt)
{
	const char *text = getenv("TEST_LONG");
	u64 factor = text != NULL && text[0] != '\0' ? 20 : 1;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	memset(opt, 0, sizeof(*opt));
	opt->driver = "soft";
	opt->seed = 1;
	opt->count[SINGLE] = 1000000 * factor;
	opt->count[SEQUENCE] = 100000 * factor;
	opt->count[SYSTEM] = 50000 * factor;
	opt->count[SYSTEM32] = 20000 * factor;
	opt->count[SINGLE32] = 200000 * factor;
	opt->count[SEQUENCE32] = 20000 * factor;
	opt->jobs = cpus < 1 ? 1 : (unsigned)MIN(cpus, 8);
	opt->failures_max = 5;
	opt->replay_kind = opt->ignore = -1;
}

static void
list(const struct diff_forms *f)
{
	for (size_t i = 0; i < f->groups; i++)
		printf("%u %-16s %u forms\n", f->group[i].class,
		       ZydisMnemonicGetString(f->group[i].mnemonic),
		       f->group[i].count);
}

int
main(int argc, char **argv)
{
	static struct worker w;
	static struct diff_forms forms[2];
	struct options opt;
	const char *missing = "";
	sigset_t child;
	int rc;

	defaults(&opt);
	if (parse(&opt, argc, argv) != 0) {
		fprintf(
		    stderr,
		    "usage: diff_cpu [--seed N] [--cases N] [--seq N] "
		    "[--cases32 N] [--seq32 N]\n"
		    "                [--only MNEMONIC] [--jobs N] "
		    "[--failures N] [--driver soft|kvm|native]\n"
		    "                [--ignore VECTOR] [--replay SEED:KINDn] "
		    "[--self-test] [--list]\n");
		return 2;
	}
	if (!cpuid_host_ok(&missing))
		printf("the host has no %s: such instructions are left out\n",
		       missing);
	if (!diff_native_amd()) {
		printf("the host is no AMD part: undefined results and far "
		       "transfers are left out\n");
		opt.count[SYSTEM] = opt.count[SYSTEM32] = 0;
	}
	if (diff_forms_open(&forms[0], false) != 0 ||
	    diff_forms_open(&forms[1], true) != 0)
		return 1;
	if (opt.only != NULL && diff_forms_only(&forms[0], opt.only) != 0) {
		fprintf(stderr, "diff_cpu: no instruction '%s'\n", opt.only);
		return 2;
	}
	if (opt.only != NULL && diff_forms_only(&forms[1], opt.only) != 0)
		opt.count[SINGLE32] = opt.count[SEQUENCE32] = 0;
	if (opt.list) {
		list(&forms[0]);
		return 0;
	}
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	w.opt = &opt;
	w.forms[0] = &forms[0];
	w.forms[1] = &forms[1];
	rc = run_all(&w);
	diff_forms_close(&forms[0]);
	diff_forms_close(&forms[1]);
	return rc;
}
