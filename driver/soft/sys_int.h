/* SPDX-License-Identifier: BSD-2-Clause */
/* sys_int - what the files of the system side share
 *
 * What:    descriptors and segments (sys_seg.c), far transfers (sys_far.c),
 *          event delivery (sys_event.c), control and debug registers
 *          (sys_cr.c), model-specific registers (sys_msr.c), ports
 *          (sys_io.c), breakpoints (sys_debug.c), flags and the rest
 *          (sys_misc.c); and the prototypes of
 *          every insn helper that decode_sys.c names.
 * Model:   AMD APM 2 ch.3, 4, 6, 8; APM 3; Intel SDM 3A ch.2, 3, 5, 6. Where
 *          the two vendors differ the part is an AMD one (driver/cpuid.h):
 *          SYSENTER is undefined in long mode, SYSRET takes a non-canonical
 *          RCX, SYSCALL works in compatibility mode.
 * Scope:   long mode (EFER.LMA = 1), both submodes. Outside of it the
 *          protected-mode rules that do not depend on gates hold; events and
 *          gates wait for the legacy modes: sys_deliver() and far transfers
 *          ask soft_in_long() in one place each.
 *          Fetches are not held to CS's limit once a transfer was
 *          (docs/quirks.md).
 * Threads: the vCPU thread.
 *
 * Invariants, beyond those of soft_int.h:
 *  [S1] In protected mode CPL is the DPL in seg[SEG_SS].attr, also while SS
 *       is null; whoever changes privilege writes SS.
 *  [S2] A null segment has ATTR_UNUSABLE and base 0, unless the base was
 *       written by itself (WRMSR, SWAPGS).
 *  [S3] soft_refresh() follows every change of CS, SS, CR0.PE or EFER.LMA, and
 *       in compatibility mode of any segment.
 */
#ifndef DRIVER_SOFT_SYS_INT_H
#define DRIVER_SOFT_SYS_INT_H

#include "driver/soft/soft_int.h"

/* Selectors, SDM 3A figure 3-6. */
#define SEL_RPL 3u
#define SEL_TI	4u

/* Bits of DR6 */
#define DR6_BS BIT(14)

/* Bits of ATTR_TYPE for code and data, SDM 3A table 3-1. */
#define ATTR_ACCESSED	 BIT(0)
#define ATTR_WRITABLE	 BIT(1) /* data */
#define ATTR_READABLE	 BIT(1) /* code */
#define ATTR_CONFORMING	 BIT(2) /* code */
#define ATTR_EXPAND_DOWN BIT(2) /* data */
#define ATTR_CODE	 BIT(3)
/* attr without the limit's bits 19..16 */
#define ATTR_MASK 0xf0ffu

/* System descriptor types in long mode, SDM 3A table 3-2. */
enum {
	SYS_LDT = 2,
	SYS_TSS_FREE = 9,
	SYS_TSS_BUSY = 11,
	SYS_CALL_GATE = 12,
	SYS_INT_GATE = 14,
	SYS_TRAP_GATE = 15
};

/* A 64-bit TSS, SDM 3A figure 7-11. */
#define TSS_RSP(cpl) (4u + 8 * (cpl))
#define TSS_IST(n)   (0x24u + 8 * ((n)-1))
#define TSS_IOMAP    0x66u

/* A descriptor, and where it lies. */
struct sys_desc {
	u64 lin;
	u64 raw;
	struct cpu_seg seg; /* raw unpacked; sel as asked for */
};

static inline unsigned
attr_type(u32 attr)
{
	return attr & ATTR_TYPE;
}

static inline unsigned
attr_dpl(u32 attr)
{
	return (attr >> ATTR_DPL_SHIFT) & 3;
}

static inline bool
sel_is_null(u16 sel)
{
	return !(sel & ~SEL_RPL);
}

static inline enum helper_result
sys_raise(struct soft *c, u8 vector)
{
	soft_raise(c, vector);
	return HELPER_FAULT;
}

static inline enum helper_result
sys_raise_error(struct soft *c, u8 vector, u32 error)
{
	soft_raise_error(c, vector, error);
	return HELPER_FAULT;
}

static inline enum helper_result
sys_gp(struct soft *c)
{
	return sys_raise_error(c, EXC_GP, 0);
}

/* The error code that names a selector; ext is 1 during the delivery of
 * something the program did not ask for (SDM 3A 6.13). */
static inline u32
sel_error(u16 sel, u32 ext)
{
	return (sel & ~SEL_RPL) | ext;
}

/* --- the stack -------------------------------------------------------- */

/* Offsets wrap at the width of the stack pointer. */
static inline u64
stack_mask(const struct soft *c)
{
	return c->mode & MODE_64     ? ~0ULL
	       : c->mode & MODE_SS32 ? BITS(31, 0)
				     : BITS(15, 0);
}

static inline u64
stack_lin(const struct soft *c, u64 sp)
{
	if (c->mode & MODE_64)
		return sp;
	return (u32)(c->seg_base[SEG_SS] + (sp & stack_mask(c)));
}

/* Moves the stack pointer; a 16-bit one leaves the upper bits alone, a 32-bit
 * one clears them. */
static inline void
stack_set(struct soft *c, u64 sp)
{
	if (c->mode & MODE_64)
		c->r[RSP] = sp;
	else if (c->mode & MODE_SS32)
		c->r[RSP] = (u32)sp;
	else
		c->r[RSP] = (c->r[RSP] & ~BITS(15, 0)) | (u16)sp;
}

/* --- sys_seg.c -------------------------------------------------------- */

/* Linear address of the size_bytes long descriptor that sel names; false when
 * its table ends before. sel is not null. */
bool sys_desc_find(const struct soft *c, u16 sel, unsigned size_bytes,
		   u64 *lin);

/* Reads the descriptor; one outside its table is #GP(sel | ext). */
enum helper_result sys_desc_fetch(struct soft *c, u16 sel, u32 ext,
				  struct sys_desc *d);

/* Sets bits in byte 5 of the descriptor, in memory and in d: the accessed bit,
 * or a TSS's busy bit. */
enum helper_result sys_desc_mark(struct soft *c, struct sys_desc *d, u8 bits);

/* Reads a system descriptor of long mode (16 bytes) that must lie in the GDT
 * and be of this type; #GP(sel) or #NP(sel) otherwise. */
enum helper_result sys_desc_fetch_system(struct soft *c, u16 sel, unsigned type,
					 struct sys_desc *d);

void sys_seg_set_null(struct soft *c, unsigned seg, u16 sel);

/* Loads ES, SS, DS, FS or GS as MOV does, with all checks. */
enum helper_result sys_seg_load(struct soft *c, unsigned seg, u16 sel);

/* After a transfer to a less privileged level: data segments that it may not
 * use become null (SDM 3A 5.8.6). */
void sys_seg_drop_inner(struct soft *c);

/* Flat segments as SYSCALL and SYSRET make them: attr adds L or D/B. */
struct cpu_seg sys_seg_flat(u16 sel, u32 attr);

/* --- sys_far.c -------------------------------------------------------- */

/* A far return of any kind: what was popped, and what came of it. */
struct far_return {
	u64 ip, sp;
	u16 cs, ss;
	bool has_ss; /* sp and ss were popped */
	struct sys_desc cs_desc, ss_desc;
};

/* Takes count items of size_bytes from the stack at sp, the last one first, as
 * AMD parts do. */
enum helper_result sys_pop_items(struct soft *c, u64 sp, u64 *item,
				 unsigned count, unsigned size_bytes);

/* Checks CS first: the caller may have to pop more when it leads outward. */
enum helper_result sys_return_check_cs(struct soft *c, struct far_return *f);
/* Then the rest, and loads CS, and SS if has_ss. The caller sets RSP with
 * sys_return_sp(), and c->next_ip is set. */
enum helper_result sys_return_load(struct soft *c, struct far_return *f);
/* The stack pointer that was popped from size_bytes. */
void sys_return_sp(struct soft *c, u64 sp, unsigned size_bytes);

/* --- sys_msr.c -------------------------------------------------------- */

/* How accesses of the two other kinds than memory are named in c->answer.gpa;
 * a 40-bit physical address has none of these bits. When run() is called again
 * after a HELPER_RETRY exit, it sets c->answer.valid. The answer to IN and INS
 * is then in c->io_data, that to RDMSR in c->answer.data (8 bytes); an MSR that
 * the caller refused never gets a second pass, but #GP(0). */
#define ANSWER_MSR BIT(63)
#define ANSWER_IO  BIT(62)

/* --- insn helpers ----------------------------------------------------- */

#define SYS_HELPER(name) \
	enum helper_result name(struct soft *c, const struct insn *in)

/* sys_seg.c */
SYS_HELPER(sys_mov_to_seg);
SYS_HELPER(sys_mov_from_seg);
SYS_HELPER(sys_push_seg);
SYS_HELPER(sys_pop_seg);
SYS_HELPER(sys_load_far_pointer);

/* sys_table.c */
SYS_HELPER(sys_lgdt);
SYS_HELPER(sys_lidt);
SYS_HELPER(sys_sgdt);
SYS_HELPER(sys_sidt);
SYS_HELPER(sys_lldt);
SYS_HELPER(sys_ltr);
SYS_HELPER(sys_sldt);
SYS_HELPER(sys_str);
SYS_HELPER(sys_lar);
SYS_HELPER(sys_lsl);
SYS_HELPER(sys_verr);
SYS_HELPER(sys_verw);
SYS_HELPER(sys_arpl);

/* sys_far.c */
SYS_HELPER(sys_jmp_far);
SYS_HELPER(sys_call_far);
SYS_HELPER(sys_ret_far);
SYS_HELPER(sys_syscall);
SYS_HELPER(sys_sysret);

/* sys_event.c */
SYS_HELPER(sys_int);
SYS_HELPER(sys_int1);
SYS_HELPER(sys_int3);
SYS_HELPER(sys_into);
SYS_HELPER(sys_iret);

/* sys_cr.c */
SYS_HELPER(sys_mov_to_cr);
SYS_HELPER(sys_mov_from_cr);
SYS_HELPER(sys_mov_to_dr);
SYS_HELPER(sys_mov_from_dr);
SYS_HELPER(sys_clts);
SYS_HELPER(sys_lmsw);
SYS_HELPER(sys_smsw);
SYS_HELPER(sys_invlpg);
SYS_HELPER(sys_wbinvd);

/* sys_msr.c */
SYS_HELPER(sys_rdmsr);
SYS_HELPER(sys_wrmsr);
SYS_HELPER(sys_rdtsc);
SYS_HELPER(sys_rdtscp);
SYS_HELPER(sys_rdpmc);
SYS_HELPER(sys_swapgs);

/* sys_misc.c */
SYS_HELPER(sys_cpuid);
SYS_HELPER(sys_hlt);
SYS_HELPER(sys_cli);
SYS_HELPER(sys_sti);
SYS_HELPER(sys_pushf);
SYS_HELPER(sys_popf);

/* sys_io.c */
SYS_HELPER(sys_in);
SYS_HELPER(sys_out);
SYS_HELPER(sys_ins);
SYS_HELPER(sys_outs);

#endif
