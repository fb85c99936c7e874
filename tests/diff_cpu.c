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
#include "tests/diff_run.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/cpuid.h"

#define JOBS_MAX 64

/* --- the parent --------------------------------------------------------- */

static pid_t
start(struct diff_worker *w, struct diff_progress *p, unsigned self,
      bool self_test_only)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid != 0)
		return pid;
	w->p = p;
	self = (unsigned)(self_test_only ? diff_run_self_test(w)
					 : diff_run(w, self));
	fflush(NULL);
	exit((int)self); /* so that make cov counts what it ran */
}

/* Waits for all; a worker that does not go on gets SIGALRM, by which the
 * native side finds out that a case does not end. True when all ended well. */
static bool
wait_all(pid_t *pid, struct diff_progress *p, unsigned count)
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
				       diff_kind_letter[p[i].kind],
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
summarize(const struct diff_options *opt, const struct diff_progress *p,
	  u64 wall_ns)
{
	struct diff_progress sum = {0};
	struct rusage ru;
	unsigned mnemonics = 0;
	u64 cases = 0;
	double cpu;

	for (unsigned j = 0; j < opt->jobs; j++) {
		for (unsigned k = 0; k < DIFF_KINDS; k++)
			sum.done[k] += p[j].done[k];
		for (unsigned v = 0; v < 32; v++)
			sum.faults[v] += p[j].faults[v];
		for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
			sum.seen[m] |= p[j].seen[m];
		sum.ended += p[j].ended;
		sum.timeouts += p[j].timeouts;
		sum.skipped += p[j].skipped;
		sum.unsteady += p[j].unsteady;
		sum.failures += p[j].failures;
	}
	for (unsigned m = 1; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
		mnemonics += sum.seen[m];
	for (unsigned k = 0; k < DIFF_KINDS; k++) {
		cases += sum.done[k];
		if (sum.done[k] > 0)
			printf("%10llu %s\n", (unsigned long long)sum.done[k],
			       diff_kind_name[k]);
	}
	printf("%10u mnemonics; %llu cases ran to their end, %llu timed out, "
	       "%llu not comparable, %llu where the host changed its mind\n",
	       mnemonics, (unsigned long long)sum.ended,
	       (unsigned long long)sum.timeouts,
	       (unsigned long long)sum.skipped,
	       (unsigned long long)sum.unsteady);
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
run_all(struct diff_worker *w)
{
	const struct diff_options *opt = w->opt;
	struct diff_progress *p;
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
parse_replay(struct diff_options *opt, const char *text)
{
	char *end;
	const char *letter;

	opt->seed = strtoull(text, &end, 0);
	if (*end != ':' || end[1] == '\0')
		return -EINVAL;
	letter = strchr(diff_kind_letter, end[1]);
	if (letter == NULL)
		return -EINVAL;
	opt->replay_kind = (int)(letter - diff_kind_letter);
	opt->replay_index = strtoull(end + 2, &end, 0);
	opt->jobs = 1;
	return *end == '\0' ? 0 : -EINVAL;
}

static int
parse(struct diff_options *opt, int argc, char **argv)
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
defaults(struct diff_options *opt)
{
	const char *text = getenv("TEST_LONG");
	u64 factor = text != NULL && text[0] != '\0' ? 20 : 1;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	memset(opt, 0, sizeof(*opt));
	opt->driver = "soft";
	opt->seed = 1;
	opt->count[DIFF_SINGLE] = 1000000 * factor;
	opt->count[DIFF_SEQUENCE] = 100000 * factor;
	opt->count[DIFF_SYSTEM] = opt->count[DIFF_SYSTEM32] = 20000 * factor;
	opt->count[DIFF_SINGLE32] = 100000 * factor;
	opt->count[DIFF_SEQUENCE32] = 10000 * factor;
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
	static struct diff_worker w;
	static struct diff_forms forms[2];
	struct diff_options opt;
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
		opt.count[DIFF_SYSTEM] = opt.count[DIFF_SYSTEM32] = 0;
	}
	if (diff_forms_open(&forms[0], false) != 0 ||
	    diff_forms_open(&forms[1], true) != 0)
		return 1;
	if (opt.only != NULL && diff_forms_only(&forms[0], opt.only) != 0) {
		fprintf(stderr, "diff_cpu: no instruction '%s'\n", opt.only);
		return 2;
	}
	if (opt.only != NULL && diff_forms_only(&forms[1], opt.only) != 0)
		opt.count[DIFF_SINGLE32] = opt.count[DIFF_SEQUENCE32] = 0;
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
