/* SPDX-License-Identifier: BSD-2-Clause */
/* diff_int - what the files of the differential CPU test share
 *
 * What:    a case is user-mode code with registers and memory. It runs once
 *          on the host processor and once in a guest of a driver, at the same
 *          addresses, until it reaches the exit page, faults or traps; both
 *          outcomes must be the same in every bit that diff_compare.c does
 *          not list as an exception.
 * Model:   Intel SDM 3A ch.6, AMD APM 2 ch.8 (exceptions); the host is the
 *          oracle for everything else.
 * Units:   bytes. va is an address as the case sees it.
 * Threads: one case at a time in a process; the test forks for more.
 *
 * The world of a case, both sides alike:
 *
 *   DIFF_CODE_VA   2 pages, read and execute, filled with INT3
 *   DIFF_DATA_VA   2 pages read and write, then 1 page read-only; no execute;
 *                  nothing before and behind
 *   DIFF_SMC_VA    1 page, read, write and execute
 *   DIFF_EXIT_VA   1 page where a case ends by jumping to it
 *   DIFF_EXIT32_VA the same below 4 GiB, for compatibility mode
 */
#ifndef TESTS_DIFF_INT_H
#define TESTS_DIFF_INT_H

#include <Zydis/Zydis.h>

#include "base/bits.h"
#include "base/err.h"
#include "driver/cpu_state.h"
#include "driver/hv.h"

#define DIFF_CODE_VA   0x10000000ULL
#define DIFF_DATA_VA   0x20000000ULL
#define DIFF_SMC_VA    0x30000000ULL
#define DIFF_EXIT_VA   0x2f3b5c6d7000ULL
#define DIFF_EXIT32_VA 0x5ea1b000ULL

#define DIFF_CODE_PAGES 2
#define DIFF_DATA_PAGES 3 /* the last one is read-only */
#define DIFF_PAGE	4096U
#define DIFF_CODE_MAX	2048U

/* Pages of the world in the order of struct diff_side's page[]. */
enum {
	PAGE_CODE0,
	PAGE_CODE1,
	PAGE_DATA0,
	PAGE_DATA1,
	PAGE_RO,
	PAGE_SMC,
	DIFF_WORLD_PAGES
};

/* Selectors that Linux gives user code; the guest has the same. */
#define DIFF_CS64 0x33
#define DIFF_CS32 0x23
#define DIFF_DS	  0x2b

/* Selectors of an LDT that both sides have: diff_world.c says what each is. */
#define DIFF_LDT       10
#define DIFF_LDTR(n)   ((u16)(8 * (n) + 7))
#define DIFF_LDT_BYTES (8 * DIFF_LDT)

/* --- random numbers: splitmix64 ---------------------------------------- */

struct rng {
	u64 state;
};

static inline u64
rng_next(struct rng *r)
{
	u64 z = r->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* 0 .. below - 1 */
static inline unsigned
rng_below(struct rng *r, unsigned below)
{
	return (unsigned)((rng_next(r) >> 32) * below >> 32);
}

static inline bool
rng_percent(struct rng *r, unsigned percent)
{
	return rng_below(r, 100) < percent;
}

#define DIFF_SELS 5

/* --- a case and its outcome -------------------------------------------- */

struct diff_regs {
	u64 gpr[16];
	u64 rip;
	u64 rflags;
	u64 fs_base, gs_base;
	_Alignas(16) u8 fx[512]; /* FXSAVE64 */
};

struct diff_patch {
	u32 page; /* PAGE_ */
	u32 off;
	u32 count;
	u8 bytes[64];
};

#define DIFF_PATCHES 12
#define DIFF_MASKS   4

/* Bytes of memory whose value is not compared. */
struct diff_mask {
	u64 va;
	u32 count;
};

struct diff_case {
	struct diff_regs in; /* in.rip is where the code starts */
	bool compat;	     /* runs under DIFF_CS32 */
	u16 sel[DIFF_SELS];  /* DS ES FS GS SS; in 64-bit mode what Linux has */
	u8 code[DIFF_CODE_MAX];
	unsigned code_bytes;
	/* The driver's code has this byte replaced, natively it is as in
	 * code[]: for prefixes that the host knows and the guest ignores. */
	int alias_at; /* -1: none */
	u8 alias_byte;
	/* The host would run this, the guest must not know it: #UD. */
	bool absent;
	struct diff_patch patch[DIFF_PATCHES];
	unsigned patches;
	struct diff_mask mask[DIFF_MASKS];
	unsigned masks;
	u64 fx_mask;		/* bit n: do not compare bytes 8n..8n+7 of fx */
	u64 flags_mask;		/* RFLAGS bits not compared */
	ZydisMnemonic mnemonic; /* of a single instruction */
	const char *what;	/* which generator made it */
};

#define DIFF_END     0x100 /* the case reached its exit page */
#define DIFF_TIMEOUT 0x101 /* it did not end in time */
#define DIFF_LOST    0x102 /* the driver did something else; see text */

struct diff_outcome {
	struct diff_regs out;
	unsigned vector; /* or DIFF_END.. */
	bool has_error;
	u32 error;
	u64 cr2; /* of #PF */
	u16 cs;
	u16 sel[DIFF_SELS]; /* DS ES FS GS SS */
	char text[120];
};

/* One way to run cases. page[] is where the harness reaches the world's
 * pages, before and after a run. */
struct diff_side {
	const char *name;
	u8 *page[DIFF_WORLD_PAGES];
	void (*run)(struct diff_side *side, const struct diff_case *c,
		    struct diff_outcome *o);
	struct hv *hv;	   /* guest */
	u64 patience_ns;   /* guest: for one case */
	unsigned mutation; /* mutant */
};

/* diff_native.c. False from diff_native_fsgs(): FS and GS cannot be set. */
int diff_native_open(struct diff_side *side, struct err *e);
bool diff_native_fsgs(void);
/* The guest's processor is an AMD part. What manuals leave undefined is
 * compared only when the host is one too. */
bool diff_native_amd(void);
/* AMD parts that always save and restore FOP, FIP and FDP (APM 3, CPUID
 * 8000_0008h EBX bit 2); others do so while an exception is pending, and
 * Intel's in yet another way. */
bool diff_native_fpu_pointers(void);
/* Loads the x87 and SSE image and stores it again: the host's own view. */
void diff_native_normalize(u8 *fx);

/* diff_guest.c */
int diff_guest_open(struct diff_side *side, const char *driver, struct err *e);
void diff_guest_close(struct diff_side *side);

/* diff_mutant.c: the host with one defect, to test the test. */
#define DIFF_MUTATIONS	     16
#define DIFF_MUTATION_MEMORY 15
void diff_mutant_open(struct diff_side *side, struct diff_side *native);
const char *diff_mutant_name(unsigned mutation);

/* diff_world.c: memory and segments of the two sides. */
struct diff_desc {
	u32 base, limit; /* limit in units of the G bit */
	u32 attr;	 /* as in struct cpu_seg */
};
extern const struct diff_desc diff_ldt[DIFF_LDT];
u64 diff_desc_raw(const struct diff_desc *d);
struct cpu_seg diff_desc_seg(unsigned n);
/* Base of the segment that sel[i] is loaded with, but for FS and GS. */
u64 diff_world_base(const struct diff_case *c, unsigned i);
/* Selectors for c: Linux's, or in compatibility mode now and then others. */
void diff_world_segments(struct rng *r, struct diff_case *c);
void diff_world_init(u64 seed);
void diff_world_load(struct diff_side *side, const struct diff_case *c,
		     bool alias);
/* What page p holds at the start of c. */
void diff_world_initial(const struct diff_case *c, unsigned p,
			u8 out[DIFF_PAGE]);
/* -1 when va is not in one of the pages. */
int diff_world_page(u64 va);

/* diff_compare.c */
bool diff_compare(const struct diff_case *c, const struct diff_side *a,
		  const struct diff_outcome *x, const struct diff_side *b,
		  const struct diff_outcome *y);
/* Write the case, and where the outcomes differ, to stdout. */
void diff_report_case(const struct diff_case *c);
void diff_report_outcomes(const struct diff_case *c, const struct diff_side *a,
			  const struct diff_outcome *x,
			  const struct diff_side *b,
			  const struct diff_outcome *y);

/* --- generators --------------------------------------------------------- */

/* diff_forms.c: every encoding the test may use. */
struct diff_form {
	u16 mnemonic; /* ZydisMnemonic */
	u8 prefix;    /* 0, 66h, F2h, F3h */
	u8 map;	      /* 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A */
	u8 opcode;
	u8 reg, rm; /* ModRM fields; rm of memory forms is free */
	bool has_modrm, is_mem, rex_w;
	bool lockable;
	u8 class; /* FORM_ */
};

enum {
	FORM_INT,
	FORM_SSE,
	FORM_X87,
	FORM_MMX,
	FORM_BRANCH,
	FORM_PRIV,
	FORM_ABSENT,
	FORM_ALIAS,
	FORM_CLASSES
};

struct diff_forms {
	struct diff_form *form;
	size_t count;
	/* forms of one mnemonic are neighbours */
	struct diff_group {
		u32 first, count;
		u16 mnemonic;
		u8 class;
	} * group;
	size_t groups;
	u32 class_groups[FORM_CLASSES]; /* groups are sorted by class */
	u32 class_first[FORM_CLASSES];
	bool compat;
	ZydisDecoder decoder;
};

int diff_forms_open(struct diff_forms *f, bool compat);
void diff_forms_close(struct diff_forms *f);
/* Keeps one mnemonic. -ENOENT when there is none of that name. */
int diff_forms_only(struct diff_forms *f, const char *mnemonic);

enum diff_verdict {
	DIFF_ALLOWED, /* compare with the host */
	DIFF_MUST_UD, /* the guest has no such instruction: #UD */
	DIFF_NEVER,   /* must not run here: system calls, time, ... */
};
/* May this instruction run? Also classifies it for the forms table. */
enum diff_verdict diff_verdict(const ZydisDecodedInstruction *in,
			       const ZydisDecodedOperand *ops, u8 *class);
/* The same for bytes that Zydis does not decode. */
bool diff_bytes_safe(const u8 *code, size_t count);

/* diff_value.c: operands that are likely to find something. */
u64 diff_value_int(struct rng *r);
u64 diff_value_address(struct rng *r, unsigned size_bytes);
void diff_value_bytes(struct rng *r, u8 *p, size_t count, u8 class);
void diff_value_regs(struct rng *r, struct diff_regs *regs, bool compat);

/* diff_encode.c: writes one instruction of a form to p, registers at random,
 * and decodes it. bases has a bit for each register that may be a memory base,
 * and then a displacement is all there is besides; 0: anything goes. Returns 0
 * for a combination that does not decode. */
size_t diff_encode(struct rng *r, const struct diff_forms *f,
		   const struct diff_form *form, u32 bases, u8 *p,
		   ZydisDecodedInstruction *in, ZydisDecodedOperand *ops);
/* Jump to the exit page behind code_bytes. */
void diff_append_exit(struct diff_case *c);

/* diff_arrange.c: gives the registers and memory values with which the
 * operands of the instruction at va make sense, more often than not. May
 * change displacement and branch bytes in code. */
void diff_arrange(struct rng *r, struct diff_case *c, u8 *code, u64 va,
		  const ZydisDecodedInstruction *in, ZydisDecodedOperand *ops,
		  u8 class);
/* Bytes at va as the case starts; dropped where no writable page is. */
void diff_poke(struct diff_case *c, u64 va, const void *bytes, unsigned count);
/* Where a branch from code that ends at next_va may go. */
u64 diff_branch_target(struct rng *r, const struct diff_case *c, u64 next_va);
/* With an FS or GS base Zen 3 demands that the offset is canonical, and not
 * only the sum. No manual says so and other parts do not; such cases are left
 * out. */
bool diff_offsets_odd(const struct diff_case *c,
		      const ZydisDecodedInstruction *in,
		      const ZydisDecodedOperand *ops);

/* diff_single.c */
void diff_single(struct rng *r, const struct diff_forms *f,
		 struct diff_case *c);
/* An empty case with registers and a place for its code. */
void diff_start_case(struct rng *r, struct diff_case *c, bool compat);

/* diff_system.c: segment loads, far transfers, questions about selectors. */
void diff_system(struct rng *r, const struct diff_forms *f,
		 struct diff_case *c);

/* diff_seq.c: a program of items, so that it can be made smaller. */
#define DIFF_ITEMS 128
enum { ITEM_LIVE, ITEM_NOPS, ITEM_GONE };
struct diff_item {
	u8 bytes[24]; /* one instruction, or a few that belong together */
	u8 count;
	/* A displacement that the layout fills in: target is an item, -1: none.
	 * It is counted from the end of this item to bias bytes into the
	 * target. */
	s16 target;
	u8 target_at;	 /* where in bytes */
	u8 target_bytes; /* 1 or 4 */
	u8 bias;
	u8 state; /* of a reduction */
};

struct diff_seq {
	struct diff_item item[DIFF_ITEMS];
	unsigned items;
	struct diff_case base; /* everything but the code */
};

void diff_seq(struct rng *r, const struct diff_forms *f, struct diff_seq *s);
void diff_seq_build(const struct diff_seq *s, struct diff_case *c);

#endif
