/* SPDX-License-Identifier: BSD-2-Clause */
/* soft_int - what the files of the software CPU share
 *
 * What:    struct soft is one processor. Guest code is decoded once into
 *          blocks of 16-byte micro-operations (uops); a uop's handler does its
 *          work and jumps to the next one. Handlers see guest memory through a
 *          software TLB. Anything rare (system instructions, string
 *          instructions, far transfers) is an insn helper: a plain C function.
 * Model:   Intel SDM 1-3, AMD APM 1-5; the part is the one of driver/cpuid.h.
 *          64-bit mode and compatibility mode.
 * Units:   lin is a linear (virtual, segment base added) address, gpa a guest
 *          physical one, ip an offset in CS (equal to lin in 64-bit mode).
 * Threads: the vCPU thread only, but for the fields marked [atomic].
 *
 * Invariants:
 *  [I1] Nothing of an instruction is committed before its last possible fault.
 *  [I2] r[ZERO] is 0 and r[RIPB] is the linear address of the running block.
 *  [I3] A TLB entry has a write tag only while its page is logged as dirty and
 *       holds no decoded code.
 *  [I4] A uop handler returns NULL only with c->leave set.
 *  [I5] Architectural RFLAGS = c->rflags (never an arithmetic bit) together
 *       with the lazy flags; flags_get() puts them together.
 */
#ifndef DRIVER_SOFT_SOFT_INT_H
#define DRIVER_SOFT_SOFT_INT_H

#include <stdatomic.h>

#include "base/bits.h"
#include "driver/cpu_state.h"
#include "driver/hv.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ULL
#define PAGE_MASK  (~(PAGE_SIZE - 1))

/* Register slots after the 16 GPRs. TMPA holds addresses that need more than
 * base + disp, TMPB and TMPC operand values; all die with the instruction.
 * SEGB + SEG_x is a segment's base as used in addresses: a GS-relative operand
 * is one whose base register is SEGB + SEG_GS. */
enum { ZERO = 16, RIPB, TMPA, TMPB, TMPC, SEGB, REG_SLOTS = SEGB + SEG_COUNT };

/* Page-table entries lie in guest RAM, which is read as any type. */
typedef u64 __attribute__((may_alias)) mem_pte;

/* --- uops ------------------------------------------------------------- */

struct soft;
struct uop;
struct block;
struct insn;

#define TLB_BITS 10
#define TLB_SIZE (1U << TLB_BITS)
#define TLB_NONE (~0ULL) /* a tag that no address matches */

/* Tags are page addresses; host address = lin + addend. */
struct tlbe {
	u64 rtag, wtag, xtag;
	u64 addend;
};

struct uop {
	s32 fn;	  /* handler, relative to soft_base */
	u8 reg;	  /* destination or first register slot */
	u8 base;  /* base register slot, or second operand */
	u8 index; /* index register slot, or third operand */
	u8 scale; /* shift 0..3 */
	s32 disp;
	s32 imm;
};
static_assert(sizeof(struct uop) == 16, "uops are packed by the thousand");

#define UOP_ARGS \
	struct soft *c, struct uop *op, const char *base, struct tlbe *tlb
#define UOP(name) struct uop *name(UOP_ARGS)
typedef struct uop *(*uop_fn)(UOP_ARGS);

/* Threaded dispatch: with optimisation every handler ends in a jump to the
 * next; without it (debug, sanitizers) handlers return to a loop. */
#if defined(__clang__)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SOFT_TAILCALL 0
#elif defined(__OPTIMIZE__)
#define SOFT_TAILCALL 1
#else
#define SOFT_TAILCALL 0
#endif
#elif defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define SOFT_TAILCALL 1
#else
#define SOFT_TAILCALL 0
#endif

#if SOFT_TAILCALL && defined(__clang__)
#define TAIL __attribute__((musttail)) return
#else
#define TAIL return
#endif

#define UOP_FN(o) ((uop_fn)(void *)(base + (o)->fn))
#if SOFT_TAILCALL
#define GOTO_UOP(o) \
	do { \
		struct uop *next_ = (o); \
		TAIL UOP_FN(next_)(c, next_, base, tlb); \
	} while (0)
#else
#define GOTO_UOP(o) \
	do { \
		(void)c; \
		(void)base; \
		(void)tlb; \
		return (o); \
	} while (0)
#endif
#define NEXT GOTO_UOP(op + 1)

/* The anchor that uop.fn is relative to. */
UOP(soft_base);

/* --- lazy flags ------------------------------------------------------- */

/* How to get the six arithmetic flags. Sizes follow as log2: op + 0..3.
 * For all but CC_EFLAGS, cc_dst is the result, sign-extended, and gives
 * ZF, SF and PF. */
enum cc_op {
	CC_EFLAGS = 0, /* cc_src holds the flags in place */
	CC_SHIFT = 1,  /* CF, AF, OF from cc_src: LAHF's AH << 8 | OF */
	CC_LOGIC = 2,  /* CF = OF = AF = 0 */
	CC_ADD = 4,    /* cc_src = second operand, zero-extended */
	CC_SUB = 8,    /* cc_src = second operand, zero-extended */
	CC_ADC = 12,   /* as ADD, carry-in was 1 */
	CC_SBB = 16,   /* as SUB, borrow-in was 1 */
	CC_INC = 20,   /* cc_src = the old CF */
	CC_DEC = 24,   /* cc_src = the old CF */
	CC_COUNT = 28
};

/* --- the processor ---------------------------------------------------- */

/* Why the dispatch loop was left. */
enum leave {
	LEAVE_NONE,
	LEAVE_JUMP,   /* go on at c->next_ip */
	LEAVE_FAULT,  /* c->exc is set; c->fault_op is the uop, or NULL when
			 c->ip is already right */
	LEAVE_RETRY,  /* exit to the caller, then run the same instruction */
	LEAVE_DONE,   /* exit to the caller, then go on at c->next_ip */
	LEAVE_REPEAT, /* look at requests, then go on at c->ip */
};

struct soft_exc {
	bool valid;
	u8 vector;
	bool has_error;
	u32 error;
	u64 cr2;      /* for #PF */
	bool is_soft; /* INT n, INT3, INTO: ip pushed is the next one */
	bool is_external;
};

/* When a single step traps. All instructions but a few do so when TF was set
 * before them. */
enum trap_rule {
	TRAP_BY_OLD_TF,
	TRAP_BY_NEW_TF, /* SYSCALL, SYSRET: when TF is set after them */
	TRAP_HELD,	/* MOV SS, POP SS: not before the next one is done */
};

struct soft_slot {
	u64 gpa, size_bytes;
	u8 *host;
	bool readonly;
	bool logging;
	u8 *page; /* one byte a page, PAGE_* bits below; written by the
		     vCPU thread alone, with page_bits_*() */
	_Atomic u64 *dirty; /* one bit a page, [atomic] */
};

/* soft_slot.page bits */
#define PAGE_CODE  1u /* decoded blocks lie in it */
#define PAGE_CLEAN 2u /* a write must still be logged */

/* Sequentially consistent, for soft_ram_written() in another thread. */
static inline void
page_bits_set(struct soft_slot *s, u64 page, unsigned bits)
{
	__atomic_fetch_or(&s->page[page], (u8)bits, __ATOMIC_SEQ_CST);
}

static inline void
page_bits_clear(struct soft_slot *s, u64 page, unsigned bits)
{
	__atomic_fetch_and(&s->page[page], (u8)~bits, __ATOMIC_SEQ_CST);
}

/* The outcome of an MMIO read or IN that the caller answers between two
 * runs of the same instruction. */
struct soft_answer {
	bool valid;
	u64 gpa; /* or the port */
	u32 size_bytes;
	u8 data[16];
};

#define RAS_SIZE 32

struct jump_entry {
	u64 lin;
	struct block *blk;
	u32 gen;
	u32 mode;
};

struct ras_entry {
	u64 lin;
	struct link *link; /* the call's link to its return block */
};

/* A uop-sized slot behind a jump that remembers its target. Valid while gen
 * is c->code_gen[kind]. */
enum { GEN_USER, GEN_KERNEL, GEN_PAGE, GEN_COUNT };
struct link {
	struct block *blk;
	u32 gen;
	u16 kind;  /* GEN_* */
	u16 delta; /* of the following instruction, from the block's start */
};
static_assert(sizeof(struct link) == sizeof(struct uop), "it takes a slot");

struct block {
	u64 lin; /* where it was last found: links were made for that */
	u64 gpa;
	u64 gpa2; /* second page of a straddling insn, or GPA_NONE */
	u32 mode; /* MODE_* without MODE_USER */
	u32 bytes;
	u16 n_insn, n_uop;
	bool dead;
	struct block *hash_next;
	struct block *page_next[2]; /* in the lists of the two pages */
	u16 *off; /* per uop: where its insn starts in the block */
	struct uop uop[];
};
#define GPA_NONE (~0ULL)

struct soft {
	struct hv hv; /* must be first */

	/* hot */
	union {
		u64 r[REG_SLOTS];
		struct {
			u64 r_low_[SEGB];
			/* 0 for ES CS SS DS in 64-bit mode */
			u64 seg_base[SEG_COUNT];
		};
	};
	u64 cs_base; /* 0 in 64-bit mode */
	u64 cc_dst, cc_src;
	u32 cc_op;
	u32 mode;	  /* MODE_* */
	struct tlbe *tlb; /* the array for the current privilege */
	struct block *blk;
	s64 budget;	     /* instructions left until LEAVE for the clock */
	atomic_int exit_req; /* [atomic] set by kick(), tested at each block */
	u32 code_gen[GEN_COUNT]; /* which links and jump entries still hold */
	u64 rflags;		 /* without the arithmetic flags */
	u32 ras_top;
	struct ras_entry *ras_now; /* ras[user] */
	u8 tmpa_acc; /* ACC_SS, ACC_WRAP: for accesses through TMPA */

	/* leaving */
	enum leave leave;
	struct uop *fault_op;
	u64 ip, next_ip;
	struct soft_exc exc;
	struct vm_exit *x; /* where an exit is to be described */
	bool smc_hit;	   /* a store dropped the running block */

	/* architectural, slow */
	struct cpu_seg seg[SEG_COUNT];
	struct cpu_seg ldt, tr;
	struct cpu_table gdt, idt;
	u64 cr0, cr2, cr3, cr4, cr8;
	u64 efer;
	u64 dr[8];
	struct cpu_msrs msr;
	u8 cpl;
	bool halted, int_shadow, nmi_masked, nmi_pending;
	u8 watch_hit;	  /* breakpoints 0..3 that an access just met */
	u8 trap_rule;	  /* enum trap_rule, of the instruction that just ran */
	bool irq_pending; /* interrupt() accepted irq_vector */
	u8 irq_vector;
	bool irq_window; /* requested */
	u64 insn_count;	 /* retired before the current budget was given */
	s64 budget_given;
	s64 tsc_offset; /* guest TSC = vclock + tsc_offset */
	struct vclock *clock;
	u64 deadline_ns;

	/* x87, MMX, SSE: what FXSAVE64 would store. During run() the parts
	 * named in fx_live are in the host's registers instead: fpu.h. */
	_Alignas(64) u8 fx[512];
	struct {
		u64 ip, dp; /* the last x87 instruction, and its operand */
		u16 op, cs, ds;
	} x87;
	u8 fx_live;
	u16 host_fcw; /* to go back to */
	u32 host_mxcsr;

	/* memory */
	struct soft_slot slot[HV_MAX_SLOTS];
	struct soft_answer answer; /* of the access that caused an exit */
	/* A page-crossing or MMIO access works on this copy. */
	struct {
		u8 data[64];
		u64 gpa[2];
		u32 size_bytes, first_bytes;
		bool mmio[2];
	} bounce;
	u8 io_data[PAGE_SIZE];
	struct tlbe tlbs[2][TLB_SIZE]; /* [0] supervisor, [1] user */
	/* Always empty: in use while alignment is checked (RFLAGS.AC at CPL 3),
	 * so that every access comes to mem_slow(). */
	struct tlbe tlb_none[TLB_SIZE];
	/* Always empty: in use while a breakpoint register is enabled. */
	struct tlbe tlb_watch[TLB_SIZE];
	struct tlb_log *tlb_log;

	/* code */
	struct code *code;	 /* block cache, code.c */
	struct jump_entry *jump; /* JUMP_SIZE entries by linear address */
	struct ras_entry ras[2][RAS_SIZE]; /* supervisor, user */

	struct hv_stats st;
};

#define FX_FCW	      0
#define FX_FSW	      2
#define FX_FTW	      4
#define FX_FOP	      6
#define FX_FIP	      8
#define FX_FDP	      16
#define FX_MXCSR      24
#define FX_MXCSR_MASK 28
#define FX_ST(i)      (32 + 16 * (i))
#define FX_XMM(i)     (160 + 16 * (i))

/* What a block was decoded for; part of its key. */
#define MODE_64	  1u  /* CS.L: 64-bit mode, else compatibility mode */
#define MODE_D32  2u  /* CS.D in compatibility mode */
#define MODE_STEP 4u  /* one instruction a block: TF, shadows, exact budgets */
#define MODE_SS32 8u  /* SS.B: ESP rather than SP; compatibility mode only */
#define MODE_USER 16u /* CPL 3: part of c->mode, never of a block's */
/* Compatibility mode: accesses through this segment must be checked. Clear for
 * a flat one: writable data from 0 to 4 GiB. */
#define MODE_CHECK(seg) (32u << (seg))

static inline bool
soft_in_long(const struct soft *c)
{
	return c->efer & EFER_LMA;
}

/* flags.c */
u64 flags_arith(const struct soft *c);	    /* the six arithmetic flags */
u64 flags_get(const struct soft *c);	    /* whole RFLAGS */
void flags_set(struct soft *c, u64 rflags); /* whole RFLAGS, unchecked */
bool flags_cond(const struct soft *c, unsigned cc); /* Jcc condition 0..15 */

static inline void
flags_set_arith(struct soft *c, u64 fl)
{
	c->cc_op = CC_EFLAGS;
	c->cc_src = fl & FL_ARITH;
}

/* --- insn helpers ----------------------------------------------------- */

/* What a helper tells the dispatcher. */
enum helper_result {
	HELPER_NEXT,   /* done; the next instruction of this block follows */
	HELPER_JUMP,   /* done; go on at c->next_ip, and look at everything
			  again: mode, privilege, interrupts, TLB */
	HELPER_FAULT,  /* c->exc is set (soft_raise); nothing was committed */
	HELPER_RETRY,  /* *c->x is an exit; run this instruction again after */
	HELPER_EXIT,   /* *c->x is an exit; go on at c->next_ip after it */
	HELPER_REPEAT, /* a REP instruction paused: registers are consistent,
			  run it again */
};

typedef enum helper_result (*helper_fn)(struct soft *c, const struct insn *in);

#define REG_NONE 0xff

/* A decoded instruction, for helpers. Register numbers are GPR numbers 0..15;
 * dst_high/src_high mean AH CH DH BH (dst/src then is 0..3). */
struct insn {
	helper_fn fn;
	u16 off; /* from the block's start */
	u8 len;
	u8 opsize;   /* effective operand size in bytes: 1 2 4 8 (16) */
	u8 addrsize; /* 2 4 8 */
	u8 opcode;   /* last opcode byte */
	u8 rep;	     /* 0, 0xf3 REP/REPE, 0xf2 REPNE */
	bool lock;
	bool has_mem; /* the r/m operand is memory */
	u8 modrm_reg; /* reg field with REX.R: register, segment, CR, DR */
	u8 modrm_rm;  /* r/m register with REX.B when !has_mem */
	bool reg_high, rm_high;	    /* they name AH CH DH BH */
	u8 base, index, scale, seg; /* memory operand; slots, seg SEG_* */
	s64 disp;   /* for RIP-relative: base = RIPB, disp adjusted */
	s64 imm;    /* first immediate, sign-extended; ENTER: size */
	s64 imm2;   /* second: far selector, ENTER level */
	u8 raw[15]; /* the bytes */
};

/* --- operands of helpers: insn_mem.c ---------------------------------- */

/* Address of the byte at off in the memory operand, truncated to the address
 * size; insn_lin(): with the segment base added. */
u64 insn_ea(const struct soft *c, const struct insn *in, s64 off);
u64 insn_lin(const struct soft *c, const struct insn *in, s64 off);
/* What mem_*() must know of the operand's segment: ACC_SS, ACC_WRAP. */
unsigned insn_acc(const struct soft *c, const struct insn *in);
/* Whether the segment allows an access (ACC_READ, ACC_WRITE) to size_bytes at
 * off in the operand. False: exception recorded. Before insn_lin() is used. */
bool insn_check(struct soft *c, const struct insn *in, s64 off,
		unsigned size_bytes, unsigned acc);
/* Check and access in one; results as those of mem_read() and mem_write(). */
enum helper_result insn_read(struct soft *c, const struct insn *in, s64 off,
			     void *buf, unsigned size_bytes, unsigned acc);
enum helper_result insn_write(struct soft *c, const struct insn *in, s64 off,
			      const void *buf, unsigned size_bytes,
			      unsigned acc);

/* Check of the segment and of the page, without the access. */
enum helper_result insn_probe(struct soft *c, const struct insn *in, s64 off,
			      unsigned size_bytes, unsigned acc);

/* The same for any segment and offset in it, already truncated. */
unsigned seg_acc(const struct soft *c, unsigned seg);
u64 seg_lin(const struct soft *c, unsigned seg, u64 off);
bool seg_check(struct soft *c, unsigned seg, u64 off, unsigned size_bytes,
	       unsigned acc);
enum helper_result seg_read(struct soft *c, unsigned seg, u64 off, void *buf,
			    unsigned size_bytes, unsigned acc);
enum helper_result seg_write(struct soft *c, unsigned seg, u64 off,
			     const void *buf, unsigned size_bytes,
			     unsigned acc);
/* At sp, which wraps at the width of the stack pointer. */
enum helper_result stack_read(struct soft *c, u64 sp, void *buf,
			      unsigned size_bytes, unsigned acc);
enum helper_result stack_write(struct soft *c, u64 sp, const void *buf,
			       unsigned size_bytes, unsigned acc);

/* Operand access for helpers; size_bytes 1 2 4 8. Register writes of 4 bytes
 * clear the upper half, of 1 and 2 merge. */
u64 reg_get(const struct soft *c, unsigned reg, bool high, unsigned size_bytes);
void reg_set(struct soft *c, unsigned reg, bool high, unsigned size_bytes,
	     u64 v);

/* Records an exception; the caller returns HELPER_FAULT (or NULL). The first
 * one recorded stands. */
void soft_raise(struct soft *c, u8 vector);
void soft_raise_error(struct soft *c, u8 vector, u32 error);

/* Records that the loop is to be left because of c->exc at this uop. Always
 * returns NULL: return soft_fault(c, op). */
struct uop *soft_fault(struct soft *c, struct uop *op);

/* --- memory: mmu.c ---------------------------------------------------- */

enum access {
	ACC_READ = 1,
	ACC_WRITE = 2,
	ACC_RMW = 3,
	ACC_EXEC = 4,
	ACC_SYS = 8,  /* supervisor whatever CPL is: descriptor tables, TSS */
	ACC_SS = 16,  /* non-canonical is #SS(0) rather than #GP(0) */
	ACC_ANY = 32, /* a part of an operand: no #AC, whatever its address */
	/* compatibility mode: a segment was checked that may lead past 4 GiB,
	 * where addresses wrap; else that is beyond a flat segment's limit */
	ACC_WRAP = 64,
};

/* The slow path of every access: translates, fills the TLB, and returns where
 * the size_bytes (<= 64) at lin can be accessed: guest RAM itself, or
 * c->bounce.data when the bytes cross a page or are not RAM; then, after a
 * write, mem_commit() must follow. NULL: an exception was recorded, or an MMIO
 * read needs the caller (c->leave is LEAVE_RETRY, *c->x is filled). */
void *mem_slow(struct soft *c, u64 lin, unsigned size_bytes, unsigned acc);

/* Ends a write that mem_slow() sent to the bounce buffer. False when it became
 * an exit (an MMIO write: c->leave is LEAVE_DONE, *c->x is filled): the
 * instruction is complete, the loop must be left after it. */
bool mem_commit(struct soft *c);

/* For helpers: whole accesses. HELPER_NEXT, HELPER_FAULT or HELPER_RETRY; a
 * write may also say HELPER_EXIT: it is done, and so must the instruction be.
 */
enum helper_result mem_read(struct soft *c, u64 lin, void *buf,
			    unsigned size_bytes, unsigned acc);
enum helper_result mem_write(struct soft *c, u64 lin, const void *buf,
			     unsigned size_bytes, unsigned acc);
/* Checks that an access (ACC_READ, ACC_WRITE) would work, without doing it:
 * HELPER_NEXT or HELPER_FAULT. */
enum helper_result mem_probe(struct soft *c, u64 lin, unsigned size_bytes,
			     unsigned acc);
/* Checks that a write would work, without doing it. */
enum helper_result mem_probe_write(struct soft *c, u64 lin, unsigned size_bytes,
				   unsigned acc);

/* Guest RAM at gpa, or NULL. *run_bytes receives how much follows in the slot.
 */
u8 *ram_host(struct soft *c, u64 gpa, u64 *run_bytes);

/* Translates a fetch at lin. False: exception recorded. */
bool mem_exec(struct soft *c, u64 lin, u64 *gpa);

int tlb_open(struct soft *c);
void tlb_close(struct soft *c);
void tlb_init(struct soft *c);
void tlb_flush(struct soft *c, bool global); /* MOV CR3 / CR4.PGE, CR0.PG */
void tlb_flush_page(struct soft *c, u64 lin);
/* Drops all write tags: dirty logging was restarted, or pages became code. */
void tlb_drop_writable(struct soft *c);
void tlb_drop_gpa(struct soft *c, u64 gpa);

static inline struct tlbe *
tlb_slot(struct tlbe *tlb, u64 lin)
{
	return (struct tlbe *)((char *)tlb + ((lin >> (PAGE_SHIFT - 5)) &
					      ((TLB_SIZE - 1) << 5)));
}

/* The fast path. size_bytes is a constant: one compare covers presence and
 * page crossing, since the last byte's page must be the tagged one too. */
static inline void *
tlb_host(const struct tlbe *e, u64 lin)
{
	u64 host = lin + e->addend;

	if (!host) /* saves the callers' second test */
		__builtin_unreachable();
	return (void *)(uintptr_t)host;
}

static inline void *
tlb_read(struct tlbe *tlb, u64 lin, unsigned size_bytes)
{
	struct tlbe *e = tlb_slot(tlb, lin);

	if (unlikely(((lin + size_bytes - 1) & PAGE_MASK) != e->rtag))
		return NULL;
	return tlb_host(e, lin);
}

static inline void *
tlb_write(struct tlbe *tlb, u64 lin, unsigned size_bytes)
{
	struct tlbe *e = tlb_slot(tlb, lin);

	if (unlikely(((lin + size_bytes - 1) & PAGE_MASK) != e->wtag))
		return NULL;
	return tlb_host(e, lin);
}

/* --- code: code.c, decode.c ------------------------------------------- */

/* ip in c->r[RIPB] space: the block to run at linear address lin in c->mode.
 * NULL with an exception recorded (#PF, #GP, #UD are possible). */
struct block *code_find(struct soft *c, u64 lin);
/* A store or a device touched [gpa, gpa + size_bytes) of a PAGE_CODE page. */
void code_written(struct soft *c, u64 gpa, u64 size_bytes);
void code_flush(struct soft *c);
int code_open(struct soft *c);
void code_close(struct soft *c);

/* --- system: sys_*.c -------------------------------------------------- */

/* Takes c->exc (or an external interrupt described in it) through the IDT:
 * pushes the frame with return address ip, switches stack and privilege, sets
 * c->ip to the handler. Handles contributory faults and double faults itself.
 * False: triple fault. */
bool sys_deliver(struct soft *c);

/* Recomputes mode, cpl, tlb, seg_base after segments, CR0, EFER or CPL
 * changed. */
void soft_refresh(struct soft *c);

/* CR writes with their side effects and checks. False: #GP recorded. */
bool sys_set_cr0(struct soft *c, u64 v);
bool sys_set_cr3(struct soft *c, u64 v);
bool sys_set_cr4(struct soft *c, u64 v);
bool sys_set_efer(struct soft *c, u64 v);

/* sys_debug.c: DR0..DR3 while one of them is enabled in DR7. */
#define DR7_ENABLES 0xffu
/* Notes in watch_hit what a data access meets. */
void sys_watch(struct soft *c, u64 lin, unsigned size_bytes, unsigned acc);
/* The instruction breakpoints at lin, as bits of DR6. */
unsigned sys_breaks_at(const struct soft *c, u64 lin);

u64 soft_tsc(struct soft *c);

/* Gives the rest of the budget back, so that insn_count is exact at c->ip. */
u64 soft_insns_now(const struct soft *c);

#endif
