/* SPDX-License-Identifier: BSD-2-Clause */
/* stub - one guest instruction at a time, as host code
 *
 * What:    x87, MMX and SSE instructions are not imitated: the very
 *          instruction runs on the host, in a stub that loads its operands
 *          from memory, executes it between registers and stores the result.
 *          Register numbers are normalised away, so that a few thousand stubs
 *          are all there can ever be; they are made on first use and kept for
 *          the life of the process, shared by all its processors.
 *
 *          SSE and MMX: the ModRM.reg operand is at `reg`, the ModRM.rm
 *          operand (a register slot or a copy of memory) at `rm`; XMM
 *          operands take 16 bytes there, others 8.
 *          x87: the host's x87 registers are the guest's (fpu.h); a memory
 *          operand is at `mem`.
 * Model:   Intel SDM 2 chapter 2 (instruction format).
 * Threads: any; making a stub takes a lock, running one does not.
 * Owns:    a memfd's worth of memory, mapped once writable and once
 *          executable, never both.
 * Errors:  stub_open: the -errno of memfd_create or mmap.
 */
#ifndef DRIVER_SOFT_STUB_H
#define DRIVER_SOFT_STUB_H

#include "driver/soft/soft_int.h"

enum stub_kind { STUB_NONE, STUB_XMM, STUB_MM, STUB_GPR };

/* Operands that no ModRM field names, and results beside the operands. */
#define STUB_IN_XMM0   1u
#define STUB_IN_AX_DX  2u
#define STUB_OUT_XMM0  4u
#define STUB_OUT_CX    8u
#define STUB_OUT_FLAGS 16u /* stub_call() returns EFLAGS */

struct stub_insn {
	u8 prefix; /* mandatory: 0, 66h, F2h or F3h */
	u8 map;	   /* 0: 0F, 1: 0F 38, 2: 0F 3A */
	u8 opcode;
	bool wide; /* REX.W */
	bool has_imm;
	u8 imm;
	u8 ext; /* ModRM.reg, where reg is STUB_NONE */
	enum stub_kind reg, rm;
	bool reg_out, rm_out;
	u8 implicit; /* STUB_IN_*, STUB_OUT_* */
};

/* Makes the arena; harmless when it is there already. */
int stub_open(void);

/* The stub of an instruction, a handle >= 0. -1: no room (which the number of
 * instructions excludes), or no arena. */
s32 stub_get(const struct stub_insn *in);

/* The stub of an x87 instruction, by its FOP: the low three bits of the opcode
 * and ModRM. Register forms, and memory forms whose address bits mean nothing
 * here. They exist from the start. */
#define STUB_X87_BYTES 16
static inline s32
stub_x87_reg(unsigned fop)
{
	return (s32)(64 + (fop >> 8) * 64 + (fop & 63)) * STUB_X87_BYTES;
}

static inline s32
stub_x87_mem(unsigned fop)
{
	return (s32)((fop >> 8) * 8 + (fop >> 3 & 7)) * STUB_X87_BYTES;
}

extern const u8 *stub_code; /* [const] after stub_open() */

typedef u64 (*stub_fn)(void *reg, void *rm, struct soft *c);
typedef u64 (*stub_x87_fn)(void *mem, u64 flags);

static inline u64
stub_call(s32 stub, void *reg, void *rm, struct soft *c)
{
	return ((stub_fn)(uintptr_t)(stub_code + stub))(reg, rm, c);
}

/* flags: EFLAGS for FCMOVcc and FCOMI. Returns EFLAGS for FCOMI and its kin. */
static inline u64
stub_call_x87(s32 stub, void *mem, u64 flags)
{
	return ((stub_x87_fn)(uintptr_t)(stub_code + stub))(mem, flags);
}

/* Runs a stub with this MXCSR, exceptions unmasked and all. False: it raised
 * one; nothing was stored. *mxcsr is the register afterwards in both cases; the
 * host's own is as before. */
bool stub_call_trapping(s32 stub, void *reg, void *rm, struct soft *c,
			u32 *mxcsr, u64 *result);

#endif
