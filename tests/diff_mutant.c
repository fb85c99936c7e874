/* SPDX-License-Identifier: BSD-2-Clause */
/* The host again, with one bit of each outcome wrong: a comparison that
 * passes a mutant would pass a defective driver. Mutation DIFF_MUTATIONS is
 * none at all and must pass: the host agrees with itself. */
#include "tests/diff_int.h"

static struct diff_side *host;
static u8 pages[DIFF_WORLD_PAGES][DIFF_PAGE];

static const char *const names[DIFF_MUTATIONS] = {
    "rax",  "r15",    "rsp",   "rip",	 "carry flag", "direction flag",
    "xmm0", "xmm15",  "mxcsr", "st0",	 "fsw",	       "ftw",
    "fcw",  "vector", "error", "memory",
};

const char *
diff_mutant_name(unsigned mutation)
{
	return mutation < DIFF_MUTATIONS ? names[mutation] : "none";
}

static void
mutate(unsigned mutation, struct diff_outcome *o)
{
	switch (mutation) {
	case 0:
		o->out.gpr[RAX] ^= 1;
		break;
	case 1:
		o->out.gpr[R15] ^= BIT(63);
		break;
	case 2:
		o->out.gpr[RSP] ^= 8;
		break;
	case 3:
		o->out.rip ^= 1;
		break;
	case 4:
		o->out.rflags ^= FL_CF;
		break;
	case 5:
		o->out.rflags ^= FL_DF;
		break;
	case 6:
		o->out.fx[160] ^= 1;
		break;
	case 7:
		o->out.fx[160 + 255] ^= 0x80;
		break;
	case 8:
		o->out.fx[24] ^= 1;
		break;
	case 9:
		o->out.fx[32] ^= 1;
		break;
	case 10:
		o->out.fx[3] ^= 0x40;
		break;
	case 11:
		o->out.fx[4] ^= 1;
		break;
	case 12:
		o->out.fx[0] ^= 1;
		break;
	case 13:
		o->vector ^= 1;
		break;
	case 14:
		o->error ^= 2;
		break;
	case DIFF_MUTATION_MEMORY:
		pages[PAGE_DATA1][DIFF_PAGE - 1] ^= 1;
		break;
	default:
		break;
	}
}

/* Both sides are the host, so its pages are kept aside meanwhile. */
static void
mutant_run(struct diff_side *side, const struct diff_case *c,
	   struct diff_outcome *o)
{
	static u8 saved[DIFF_WORLD_PAGES][DIFF_PAGE];

	for (unsigned p = 0; p < DIFF_WORLD_PAGES; p++) {
		memcpy(saved[p], host->page[p], DIFF_PAGE);
		memcpy(host->page[p], pages[p], DIFF_PAGE);
	}
	host->run(host, c, o);
	for (unsigned p = 0; p < DIFF_WORLD_PAGES; p++) {
		memcpy(pages[p], host->page[p], DIFF_PAGE);
		memcpy(host->page[p], saved[p], DIFF_PAGE);
	}
	mutate(side->mutation, o);
}

void
diff_mutant_open(struct diff_side *side, struct diff_side *native)
{
	memset(side, 0, sizeof(*side));
	host = native;
	side->name = "mutant";
	side->run = mutant_run;
	side->mutation = DIFF_MUTATIONS;
	for (unsigned p = 0; p < DIFF_WORLD_PAGES; p++)
		side->page[p] = pages[p];
}
