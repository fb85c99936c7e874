/* SPDX-License-Identifier: BSD-2-Clause */
/* cpu_state - the architectural state of the vCPU, the same for every driver
 *
 * What:    what Intel SDM 1 ch.3 and SDM 3A ch.2 call the execution
 *          environment, plus the few facts an interrupted processor needs to
 *          go on (interrupt shadow, pending event). A machine suspended under
 *          one driver resumes under another through this struct.
 * Model:   Intel SDM 3A 2.4 (system registers), 3.4.5 (descriptors);
 *          AMD APM 2 ch.4 where the two differ (the part is an AMD one).
 * Units:   lengths and limits in bytes; tsc in ticks.
 * Owns:    nothing, it is plain data. Not a wire format.
 */
#ifndef DRIVER_CPU_STATE_H
#define DRIVER_CPU_STATE_H

#include "base/bits.h"

enum {
	RAX,
	RCX,
	RDX,
	RBX,
	RSP,
	RBP,
	RSI,
	RDI,
	R8,
	R9,
	R10,
	R11,
	R12,
	R13,
	R14,
	R15
};

/* The encoding of segment registers in instructions. */
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT };

#define FL_CF	 BIT(0)
#define FL_ONE	 BIT(1) /* always set */
#define FL_PF	 BIT(2)
#define FL_AF	 BIT(4)
#define FL_ZF	 BIT(6)
#define FL_SF	 BIT(7)
#define FL_TF	 BIT(8)
#define FL_IF	 BIT(9)
#define FL_DF	 BIT(10)
#define FL_OF	 BIT(11)
#define FL_IOPL	 BITS(13, 12)
#define FL_NT	 BIT(14)
#define FL_RF	 BIT(16)
#define FL_VM	 BIT(17)
#define FL_AC	 BIT(18)
#define FL_VIF	 BIT(19)
#define FL_VIP	 BIT(20)
#define FL_ID	 BIT(21)
#define FL_ARITH (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_AM BIT(18)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

#define CR4_VME	       BIT(0)
#define CR4_PVI	       BIT(1)
#define CR4_TSD	       BIT(2)
#define CR4_DE	       BIT(3)
#define CR4_PSE	       BIT(4)
#define CR4_PAE	       BIT(5)
#define CR4_MCE	       BIT(6)
#define CR4_PGE	       BIT(7)
#define CR4_PCE	       BIT(8)
#define CR4_OSFXSR     BIT(9)
#define CR4_OSXMMEXCPT BIT(10)

#define EFER_SCE    BIT(0)
#define EFER_LME    BIT(8)
#define EFER_LMA    BIT(10)
#define EFER_NXE    BIT(11)
#define EFER_AIBRSE BIT(21) /* Automatic IBRS; nothing that a guest can see */

/* Exception vectors, SDM 3A table 6-1. */
enum {
	EXC_DE = 0,
	EXC_DB = 1,
	EXC_NMI = 2,
	EXC_BP = 3,
	EXC_OF = 4,
	EXC_BR = 5,
	EXC_UD = 6,
	EXC_NM = 7,
	EXC_DF = 8,
	EXC_TS = 10,
	EXC_NP = 11,
	EXC_SS = 12,
	EXC_GP = 13,
	EXC_PF = 14,
	EXC_MF = 16,
	EXC_AC = 17,
	EXC_MC = 18,
	EXC_XM = 19
};

/* attr holds bits 55..40 of the descriptor (SDM 3A figure 3-8): type in 3..0,
 * S 4, DPL 6..5, P 7, AVL 12, L 13, D/B 14, G 15. limit is already scaled by
 * G. ATTR_UNUSABLE marks a null selector. */
#define ATTR_TYPE      BITS(3, 0)
#define ATTR_S	       BIT(4)
#define ATTR_DPL_SHIFT 5
#define ATTR_P	       BIT(7)
#define ATTR_L	       BIT(13)
#define ATTR_DB	       BIT(14)
#define ATTR_G	       BIT(15)
#define ATTR_UNUSABLE  BIT(16)

struct cpu_seg {
	u64 base;
	u32 limit_bytes;
	u32 attr;
	u16 sel;
};

struct cpu_table {
	u64 base;
	u16 limit_bytes;
};

/* A linear address is canonical when bits 63..47 are alike (SDM 1 3.3.7.1). */
static inline u64
canonical48(u64 lin)
{
	return (u64)((s64)(lin << 16) >> 16);
}

static inline bool
is_canonical(u64 lin)
{
	return canonical48(lin) == lin;
}

/* A set of MSRs that are plain storage to the drivers. */
struct cpu_msrs {
	u64 star, lstar, cstar, fmask;
	u64 kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 pat;
	u64 tsc_aux;
	u64 apic_base;
	u64 misc_enable;
	u64 mtrr_def_type;
};

struct cpu_state {
	u64 gpr[16];
	u64 rip;
	u64 rflags;
	struct cpu_seg seg[SEG_COUNT];
	struct cpu_seg ldt, tr;
	struct cpu_table gdt, idt;
	u64 cr0, cr2, cr3, cr4, cr8;
	u64 efer;
	u64 dr[8];
	struct cpu_msrs msr;
	u64 tsc;
	u64 insn_count;	 /* retired; 0 where the driver cannot count */
	bool halted;	 /* in HLT, waiting for an interrupt */
	bool int_shadow; /* after STI or MOV SS: no interrupt yet */
	bool nmi_masked; /* inside an NMI handler, until IRET */
	bool nmi_pending;
	bool event_pending; /* an event accepted but not yet delivered */
	u8 event_vector;
	bool event_has_error;
	bool event_soft; /* INT n rather than hardware */
	u32 event_error;
	/* x87, MMX, SSE in FXSAVE64 layout, SDM 1 table 10-2 */
	_Alignas(16) u8 fx[512];
};

/* The state after RESET# (SDM 3A table 9-1). */
void cpu_state_reset(struct cpu_state *s);

/* Flat 64-bit kernel-mode segments, paging on, at rip with the page tables at
 * cr3. GDT and IDT are left empty; interrupts are off. */
void cpu_state_long_mode(struct cpu_state *s, u64 rip, u64 cr3);

/* False for a state that no processor can be in: loading it would be refused,
 * or raise #GP, wherever it came from. Drivers may refuse more. */
bool cpu_state_valid(const struct cpu_state *s);

/* A register dump of about 20 lines for a person. Returns the bytes written,
 * never more than size_bytes - 1. */
size_t cpu_state_print(const struct cpu_state *s, char *buf, size_t size_bytes);

#endif
