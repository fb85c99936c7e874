/* SPDX-License-Identifier: BSD-2-Clause */
/* payload_int - what the files of the payload share
 *
 * What:    checks, traps, ports and the few instructions that C lacks. The
 *          image is compiled for general registers only: XMM and x87 belong
 *          to the tests.
 * Threads: one processor, no threads.
 */
#ifndef GUEST_PAYLOAD_PAYLOAD_INT_H
#define GUEST_PAYLOAD_PAYLOAD_INT_H

#include <stddef.h>
#include <stdint.h>

#include "guest/payload/payload.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

/* Selectors. SYSRET wants user code 32, data, code 64 in this order. */
#define SEL_CODE	0x08
#define SEL_DATA	0x10
#define SEL_USER_CODE32 0x18
#define SEL_USER_DATA	0x20
#define SEL_USER_CODE	0x28
#define SEL_ABSENT	0x30
#define SEL_TSS		0x38

#define PTE_P  0x1ULL
#define PTE_W  0x2ULL
#define PTE_U  0x4ULL
#define PTE_A  0x20ULL
#define PTE_D  0x40ULL
#define PTE_PS 0x80ULL
#define PTE_G  0x100ULL
#define PTE_NX (1ULL << 63)

#define PF_P	1u
#define PF_W	2u
#define PF_U	4u
#define PF_RSVD 8u
#define PF_I	16u

/* What stubs push, lowest address first. */
struct frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rbp, rdi, rsi, rdx, rcx, rbx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

/* The last trap of any kind, and how many of each. */
extern volatile struct frame last;
extern volatile u64 last_cr2;
extern volatile u32 trap_count[256];

/* Where the next exception returns to, once. 0: to where it came from. */
extern volatile u64 resume;

/* Set to 1: the next NMI's handler asks for another one, waits, and says how
 * many had come by then. */
extern volatile u32 nmi_again, nmi_inside;

/* Every file that checks defines FILE_NO before it includes this. */
#ifdef FILE_NO
#define CHECK(cond) check_at(!!(cond), (FILE_NO) << 16 | __LINE__)
#endif
void check_at(int ok, u32 where);

/* Runs instructions of which one is to fault; goes on after them. The operands
 * must not use RAX and RDX; these two the instructions may destroy. */
#define FAULTS(insns, ...) \
	__asm__ volatile("leaq 99f(%%rip), %%rax\n\t" \
			 "movq %%rax, resume(%%rip)\n\t" insns "\n99:" \
			 : \
			 : __VA_ARGS__ \
			 : "rax", "rdx", "memory", "cc")

/* Did exactly one exception of this vector happen since the last call, and no
 * other one? And: did none? */
int took_only(u8 vector);
int took_none(void);

static inline void
out8(u16 port, u8 v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void
out16(u16 port, u16 v)
{
	__asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void
out32(u16 port, u32 v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline u8
in8(u16 port)
{
	u8 v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline u16
in16(u16 port)
{
	u16 v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline u32
in32(u16 port)
{
	u32 v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline u64
rdmsr(u32 index)
{
	u32 lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index));
	return (u64)hi << 32 | lo;
}

static inline void
wrmsr(u32 index, u64 v)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(index), "a"((u32)v), "d"((u32)(v >> 32))
			 : "memory");
}

static inline u64
rdtsc(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (u64)hi << 32 | lo;
}

static inline u64
read_cr0(void)
{
	u64 v;

	__asm__ volatile("movq %%cr0, %0" : "=r"(v));
	return v;
}

static inline void
write_cr0(u64 v)
{
	__asm__ volatile("movq %0, %%cr0" : : "r"(v) : "memory");
}

static inline u64
read_cr3(void)
{
	u64 v;

	__asm__ volatile("movq %%cr3, %0" : "=r"(v));
	return v;
}

static inline void
write_cr3(u64 v)
{
	__asm__ volatile("movq %0, %%cr3" : : "r"(v) : "memory");
}

static inline u64
read_cr4(void)
{
	u64 v;

	__asm__ volatile("movq %%cr4, %0" : "=r"(v));
	return v;
}

static inline void
write_cr4(u64 v)
{
	__asm__ volatile("movq %0, %%cr4" : : "r"(v) : "memory");
}

static inline u64
rflags(void)
{
	u64 v;

	__asm__ volatile("pushfq\n\tpopq %0" : "=r"(v));
	return v;
}

static inline void
invlpg(u64 lin)
{
	__asm__ volatile("invlpg (%0)" : : "r"(lin) : "memory");
}

static inline u32
peek32(u64 lin)
{
	return *(volatile u32 *)lin;
}

static inline void
poke32(u64 lin, u32 v)
{
	*(volatile u32 *)lin = v;
}

/* Page n of the window. map() also drops the old translation. */
u64 window(unsigned n);
void map(unsigned n, u64 gpa, u64 bits);

/* Runs user code at lin with RDI = arg until it traps. Returns the trap's
 * vector; the rest is in last. */
u64 run_user(u64 lin, u64 arg, u64 code_sel, u64 stack);

/* payload_entry.S */
extern volatile u64 syscall_count, syscall_rcx, syscall_r11, syscall_rax;
void syscall_entry(void);
extern u8 user_page[], user_syscall[], user_hlt[], user_store[], user_count32[],
    user_cli[], user_int[], user_stop[];

/* The tests. */
void test_arith(void);
void test_memory(void);
void test_pio(void);
void test_pio_string(void);
void test_mmio(void);
void test_soft_int(void);
void test_irq(void);
void test_irq_window(void);
void test_hlt(void);
void test_nmi(void);
void test_nmi_mask(void);
void test_page_fault(void);
void test_page_crossing(void);
void test_exceptions(void);
void test_fp_exceptions(void);
void test_fp_state(void);
void test_fp(void);
void test_cpuid(void);
void test_msr(void);
void test_smc(void);
void test_dirty(void);
void test_cr3(void);
void test_ring3(void);
void test_syscall(void);
void test_compat(void);
void test_rom(void);
void test_tsc(void);
void test_debug_regs(void);
void test_migrate(u64 rounds);
void test_migrate_fp(u64 rounds);
void test_spin(void);
void test_triple(void);
void test_wild_jump(void);
void test_pic(void);
void test_no_xsave(void);

#endif
