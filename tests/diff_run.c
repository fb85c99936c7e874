/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/diff_run.h"

#include <stdio.h>

#define SELF_CASES 500

const char diff_kind_letter[DIFF_KINDS + 1] = "sqycdz";
const char *const diff_kind_name[DIFF_KINDS] = {
    "single instructions",
    "sequences",
    "segment loads and far transfers",
    "compatibility-mode instructions",
    "compatibility-mode sequences",
    "compatibility-mode segment loads and far transfers",
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
	memcpy(o->sel, c->sel, sizeof(o->sel));
}

static bool
agree(struct diff_worker *w, const struct diff_case *c)
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
make_case(struct diff_worker *w, int kind, u64 index)
{
	struct rng r = {w->opt->seed * 0x9e3779b97f4a7c15ULL ^
			index * 0xd1342543de82ef95ULL ^ (u64)kind << 56};
	const struct diff_forms *f = w->forms[kind >= DIFF_SINGLE32];

	rng_next(&r);
	if (kind == DIFF_SINGLE || kind == DIFF_SINGLE32) {
		diff_single(&r, f, &w->c);
		return;
	}
	if (kind == DIFF_SYSTEM || kind == DIFF_SYSTEM32) {
		diff_system(&r, f, &w->c);
		return;
	}
	diff_seq(&r, f, &w->seq);
	diff_seq_build(&w->seq, &w->c);
}

/* Whether the sides still differ with item i in that state; if not, it is
 * put back. */
static bool
try_state(struct diff_worker *w, unsigned i, u8 state)
{
	u8 before = w->seq.item[i].state;

	if (before >= state)
		return false;
	w->seq.item[i].state = state;
	diff_seq_build(&w->seq, &w->c);
	if (!agree(w, &w->c) && w->y.vector != DIFF_TIMEOUT)
		return true;
	w->seq.item[i].state = before;
	return false;
}

/* Leaves items out, or makes them NOPs where addresses matter, for as long as
 * the sides still differ. */
static void
minimize(struct diff_worker *w)
{
	bool again = true;

	for (unsigned round = 0; round < 4 && again; round++) {
		again = false;
		for (unsigned i = 0; i < w->seq.items; i++)
			if (try_state(w, i, ITEM_GONE) ||
			    try_state(w, i, ITEM_NOPS))
				again = true;
	}
	diff_seq_build(&w->seq, &w->c);
	agree(w, &w->c);
}

static void
show(struct diff_worker *w)
{
	diff_report_case(&w->c);
	diff_report_outcomes(&w->c, &w->host, &w->x, &w->guest, &w->y);
}

/* What differs is shown first as it was, since a second run need not repeat
 * it: then the case depends on those before it, which is a finding too. */
static void
report(struct diff_worker *w, int kind, u64 index)
{
	printf("\nMISMATCH in %s, repeat with --replay %llu:%c%llu\n",
	       diff_kind_name[kind], (unsigned long long)w->opt->seed,
	       diff_kind_letter[kind], (unsigned long long)index);
	show(w);
	if (agree(w, &w->c)) {
		printf(
		    " run again it agrees: it depends on the cases before\n");
	} else if (kind == DIFF_SEQUENCE || kind == DIFF_SEQUENCE32) {
		minimize(w);
		printf(" reduced:\n");
		show(w);
	}
	fflush(stdout);
}

static void
tally(struct diff_progress *p, int kind, const struct diff_case *c,
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

/* A sequence may return into the middle of an instruction, after a store
 * into its own stack; and what is found there may be something that is not
 * compared, like a far return. */
static bool
ended_outside(const struct diff_worker *w)
{
	const struct diff_forms *f = w->forms[w->c.compat];
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	u64 rip = w->x.out.rip;
	int page = diff_world_page(rip);
	u8 class;

	if (page < 0 || !ZYAN_SUCCESS(ZydisDecoderDecodeFull(
			    &f->decoder, w->host.page[page] + rip % DIFF_PAGE,
			    DIFF_PAGE - rip % DIFF_PAGE, &in, ops)))
		return false;
	return diff_verdict(&in, ops, &class) != DIFF_ALLOWED;
}

/* Whether the host says the same when asked again. It loses the x87 pointers
 * now and then, when the process is scheduled away. */
static bool
host_steady(struct diff_worker *w)
{
	struct diff_outcome first = w->x;

	if (w->c.absent)
		return true;
	diff_world_load(&w->host, &w->c, false);
	w->host.run(&w->host, &w->c, &w->x);
	if (!diff_compare(&w->c, &w->host, &w->x, &w->guest, &w->y))
		return true;
	w->x = first;
	return false;
}

static void
run_case(struct diff_worker *w, int kind, u64 index)
{
	struct diff_progress *p = w->p;
	bool sequence = kind == DIFF_SEQUENCE || kind == DIFF_SEQUENCE32;

	atomic_store_explicit(&p->index, index, memory_order_relaxed);
	atomic_store_explicit(&p->kind, kind, memory_order_relaxed);
	make_case(w, kind, index);
	atomic_fetch_add_explicit(&p->started, 1, memory_order_relaxed);
	if (!agree(w, &w->c)) {
		if (incomparable(&w->x, &w->y) ||
		    (sequence && ended_outside(w)) ||
		    (int)w->x.vector == w->opt->ignore) {
			p->skipped++;
		} else if (!host_steady(w)) {
			p->unsteady++;
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
open_sides(struct diff_worker *w)
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

int
diff_run(struct diff_worker *w, unsigned self)
{
	const struct diff_options *opt = w->opt;

	if (open_sides(w) != 0)
		return 3;
	if (opt->replay_kind >= 0) {
		run_case(w, opt->replay_kind, opt->replay_index);
		if (w->p->failures == 0) {
			printf("no mismatch:\n");
			show(w);
		}
		return 0;
	}
	for (int kind = 0; kind < DIFF_KINDS; kind++)
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
unseen(struct diff_worker *w, unsigned mutation)
{
	unsigned count = 0;

	w->guest.mutation = mutation;
	for (u64 i = 0; i < SELF_CASES; i++) {
		make_case(w, i % 4 == 0 ? DIFF_SEQUENCE : DIFF_SINGLE, i);
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

int
diff_run_self_test(struct diff_worker *w)
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
