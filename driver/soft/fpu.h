/* SPDX-License-Identifier: BSD-2-Clause */
/* fpu - where the guest's x87, MMX and SSE state is, and its exceptions
 *
 * What:    guest floating-point instructions run on the host's own units, so
 *          the guest's control and status registers must be there. Moving them
 *          in and out around each instruction costs ten times the instruction;
 *          therefore they stay in the host until somebody needs them in c->fx
 *          or run() ends. XMM registers always are in c->fx.
 *
 *            c->fx only  --fpu_mxcsr_in-->  MXCSR live
 *                        <-fpu_mxcsr_out-
 *            c->fx only  --fpu_x87_in---->  x87 registers live
 *                        <-fpu_x87_out---
 *
 *          MXCSR live: the guest masks all SIMD exceptions, the host's MXCSR
 *          is the guest's. x87 live: the guest masks all x87 exceptions, the
 *          host's x87 registers, FCW and FSW are the guest's. Nothing in
 *          driver/ computes in floating point, and the C ABI lets no function
 *          change MXCSR's control bits or leave x87 registers in use, so what
 *          runs between two uops neither sees nor disturbs them.
 *          A guest that unmasks exceptions never has live state: each of its
 *          instructions loads, runs and stores.
 *
 *          FIP, FDP and FOP are kept by hand (c->x87), as the host's would
 *          point into stubs. As on AMD parts with error-pointer saving, FXSAVE
 *          stores them when FSW.ES is set and zeros otherwise, and FNSTENV
 *          always stores them. MXCSR has no misaligned-SSE bit: its mask is
 *          FFFFh. #MF is raised whatever CR0.NE says.
 * Model:   Intel SDM 1 8.1, 10.2.3, 11.5; AMD APM 1 6.2, APM 2 11.4.
 * Threads: the vCPU thread, on which live state is.
 * Owns:    nothing.
 *
 * Invariants:
 *  [I1] fx_live is 0 outside of run(), and then the host's FP state is its own.
 *  [I2] FSW.ES and FSW.B in c->fx are FSW & ~FCW of the six exceptions, and
 *       the pointers in c->fx follow from ES.
 */
#ifndef DRIVER_SOFT_FPU_H
#define DRIVER_SOFT_FPU_H

#include "driver/soft/soft_int.h"

#define FX_LIVE_MXCSR 1u
#define FX_LIVE_X87   2u

#define FX_BYTES	512
#define FX_STORED_BYTES 416 /* FXSAVE leaves the rest alone */

#define MXCSR_MASK	 0xffffu
#define MXCSR_EXCEPT	 0x3fu
#define MXCSR_UE	 0x10u
#define MXCSR_MASKS	 0x1f80u /* all exceptions masked: also the default */
#define MXCSR_MASK_SHIFT 7

#define FCW_EXCEPT	   0x3fu
#define FCW_RESET	   0x037fu
#define FCW_WRITABLE	   0x1f3fu
#define FCW_ONE		   0x0040u
#define FSW_EXCEPT	   0x3fu
#define FSW_ES		   0x80u
#define FSW_B		   0x8000u
#define FSW_TOP_SHIFT	   11
#define FSW_KEPT_BY_FNCLEX 0x7f00u

/* run() ends: everything back into c->fx, the host's own state restored. */
void fpu_leave(struct soft *c);

/* c->fx was filled from outside: makes it a state that FXRSTOR64 could have
 * made and takes the pointers out of it. */
void fpu_load(struct soft *c);

void fpu_mxcsr_in(struct soft *c); /* all masked in the guest's MXCSR */
void fpu_mxcsr_out(struct soft *c);
void fpu_x87_in(struct soft *c);
void fpu_x87_out(struct soft *c);

/* After FCW, FSW or c->x87 changed in memory: [I2]. x87 is not live. */
void fpu_settle(struct soft *c);

/* Turns the register stack in c->fx so that TOP is top and every physical
 * register keeps its contents. x87 is not live. */
void fpu_set_top(struct soft *c, unsigned top);

/* An unmasked x87 exception is pending. */
static inline bool
fpu_pending(const struct soft *c)
{
	return !(c->fx_live & FX_LIVE_X87) && (c->fx[FX_FSW] & FSW_ES);
}

/* Runs a stub that computes under MXCSR. reg_bytes at reg are replaced by its
 * result, and the arithmetic flags, too, when it sets them. False: an unmasked
 * exception is recorded, and nothing but MXCSR's flags has changed. */
bool fpu_simd(struct soft *c, s32 stub, void *reg, unsigned reg_bytes, void *rm,
	      bool sets_flags);

/* Whether #AC is due for an access of so many bytes at lin that wants to be
 * aligned to them; if so, it is recorded. #GP for non-canonical ones, and
 * beyond the end of a segment, comes first. */
static inline bool
fpu_misaligned(struct soft *c, u64 lin, unsigned alignment)
{
	u64 last = lin + alignment - 1;

	if (likely(c->tlb != c->tlb_none) || !(lin & (alignment - 1)) ||
	    (u64)((s64)(lin << 16) >> 16) != lin ||
	    (u64)((s64)(last << 16) >> 16) != last ||
	    (!(c->mode & MODE_64) && last >> 32))
		return false;
	soft_raise_error(c, EXC_AC, 0);
	return true;
}

/* FNINIT */
void fpu_init(struct soft *c);

/* Insn helpers. */
enum helper_result fpu_fxsave(struct soft *c, const struct insn *in);
enum helper_result fpu_fxrstor(struct soft *c, const struct insn *in);
enum helper_result fpu_ldmxcsr(struct soft *c, const struct insn *in);
enum helper_result fpu_stmxcsr(struct soft *c, const struct insn *in);

#endif
