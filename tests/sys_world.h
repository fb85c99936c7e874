/* SPDX-License-Identifier: BSD-2-Clause */
/* sys_world - a tiny long-mode guest for tests of the system side
 *
 * What:    2 MiB of RAM, identity-mapped with 4 KiB pages that everybody may
 *          read and write, a GDT, an LDT, an IDT whose every gate leads to a
 *          handler that halts, a TSS, stacks. Tests write machine code with
 *          GUEST_CODE(), change tables in sys_world.ram or registers in
 *          sys_world.s, run until an exit, and look at both again.
 * Model:   Intel SDM 3A ch.3, 6, 7.
 * Units:   bytes; guest addresses are both linear and physical.
 * Threads: one.
 * Owns:    the driver instance and the RAM, until sys_world_close().
 */
#ifndef TESTS_SYS_WORLD_H
#define TESTS_SYS_WORLD_H

#include "base/bits.h"
#include "driver/hv.h"

#define W_RAM_BYTES 0x200000u

#define W_PML4	   0x1000u
#define W_PT	   0x4000u
#define W_GDT	   0x5000u
#define W_IDT	   0x6000u
#define W_TSS	   0x7000u /* with room for a full I/O bitmap */
#define W_LDT	   0xa000u
#define W_HANDLERS 0xb000u
#define W_CODE	   0x10000u
#define W_STACK	   0x18000u /* tops: what code starts with */
#define W_STACK0   0x1a000u /* RSP0 */
#define W_STACK1   0x1c000u /* RSP1 */
#define W_IST1	   0x1e000u
#define W_DATA	   0x30000u
#define W_MMIO	   0x1f0000u /* mapped to W_MMIO_GPA, where nothing is */
#define W_MMIO_GPA 0xd0000000u

/* Selectors of the GDT. Free for tests: W_SPARE and the next seven. */
#define W_CS32	    0x08u
#define W_CS64	    0x10u
#define W_DS	    0x18u
#define W_USER_CS32 0x23u
#define W_USER_DS   0x2bu
#define W_USER_CS64 0x33u
#define W_TR	    0x38u
#define W_LDTR	    0x48u
#define W_SPARE	    0x60u
#define W_GDT_BYTES 0xa0u

/* Descriptor attributes as in struct cpu_seg. */
#define W_CODE64  0xa09bu
#define W_CODE32  0xc09bu
#define W_DATA_RW 0xc093u
#define W_DPL(n)  ((n) << 5)

struct sys_world {
	struct hv *hv;
	struct vclock clock;
	u8 *ram;
	struct cpu_state s; /* before and after sys_world_run() */
	struct vm_exit x;
};

/* What a handler found on its stack. */
struct sys_frame {
	u64 error; /* when asked for */
	u64 rip, cs, rflags, rsp, ss;
};

/* Machine code by name: GUEST_CODE(name, "insn; insn") defines bytes that
 * sys_world_code(w, name) places at W_CODE. */
#define GUEST_CODE(name, text) \
	__asm__(".pushsection .rodata\n.code64\n" #name ":\n" text \
		"\n.code64\n" #name "_end:\n.popsection"); \
	extern const u8 name[], name##_end[]
#define sys_world_code(w, name) sys_world_place(w, W_CODE, name, name##_end)

void sys_world_open(struct sys_world *w);
void sys_world_close(struct sys_world *w);
/* The same as cmocka's set-up and tear-down; the world is *state. */
int world_setup(void **state);
int world_teardown(void **state);
#define WORLD_TEST(test_) \
	cmocka_unit_test_setup_teardown(test_, world_setup, world_teardown)

void sys_world_place(struct sys_world *w, u64 at, const u8 *from, const u8 *to);

/* A segment descriptor; limit in units of attr's G. */
u64 sys_world_desc(u32 base, u32 limit, u32 attr);
void sys_world_gdt(struct sys_world *w, unsigned sel, u64 desc);
/* Gate for a vector; type_dpl is byte 5. */
void sys_world_gate(struct sys_world *w, unsigned vector, u16 sel, u8 type_dpl,
		    unsigned ist);
/* The page-table entry for lin. */
void sys_world_pte(struct sys_world *w, u64 lin, u64 pte);
#define W_PTE_ALL 7u /* present, writable, user */

/* Makes w->s start at CPL 3 in 64-bit mode, or in compatibility mode. */
void sys_world_user(struct sys_world *w);
void sys_world_user32(struct sys_world *w);
/* ... or at CPL 0 in compatibility mode. */
void sys_world_kernel32(struct sys_world *w);

/* Loads w->s, runs until an exit that is no kick, reads w->s back. */
enum hv_exit_kind sys_world_run(struct sys_world *w);
/* The same without loading w->s: goes on after an exit. */
enum hv_exit_kind sys_world_go_on(struct sys_world *w);

/* After a run that must have ended in the handler of this vector. */
struct sys_frame sys_world_event(struct sys_world *w, unsigned vector,
				 bool has_error);
/* A run that must end in an exception with this error code, at W_CODE + off,
 * nothing of the instruction done to RSP. */
void sys_world_expect_fault(struct sys_world *w, unsigned vector, u32 error,
			    unsigned off);
/* A run that must end in a HLT outside of handlers. */
void sys_world_expect_halt(struct sys_world *w);

#endif
