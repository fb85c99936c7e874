/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables, traps, checks, and which test to run. */
#include "guest/payload/payload_int.h"

#define GATE_PRESENT 0x8e /* interrupt gate, DPL 0 */
#define GATE_USER    0xee /* interrupt gate, DPL 3 */

struct gate {
	u16 lo, sel;
	u8 ist, type;
	u16 mid;
	u32 hi, zero;
};

struct tss {
	u32 zero;
	u32 rsp0_lo, rsp0_hi; /* unaligned by four: SDM 3A figure 8-11 */
	u32 rest[22];
	u16 zero2, iomap;
} __attribute__((packed));

struct table {
	u16 limit;
	u64 base;
} __attribute__((packed));

volatile struct frame last;
volatile u64 last_cr2;
volatile u32 trap_count[256];
volatile u64 resume;
volatile u64 last_vector;
volatile u32 nmi_again, nmi_inside;

static u32 checks;
static struct gate idt[256];
static struct tss tss;
static u8 trap_stack[4096] __attribute__((aligned(16)));
static u64 gdt[] = {
    0,
    0x00af9b000000ffff, /* SEL_CODE */
    0x00cf93000000ffff, /* SEL_DATA */
    0x00cffb000000ffff, /* SEL_USER_CODE32 */
    0x00cff3000000ffff, /* SEL_USER_DATA */
    0x00affb000000ffff, /* SEL_USER_CODE */
    0x00cf13000000ffff, /* SEL_ABSENT: P is 0 */
    0,			/* SEL_TSS, two entries */
    0,
};

extern u8 stubs[];
extern volatile u64 kernel_rsp;
void leave_user(void) __attribute__((noreturn));
void setup_tables(void);
void trap(struct frame *f);
void payload_main(u64 test, u64 arg);

void *memset(void *to, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);

/* The compiler may call these two. */
void *
memset(void *to, int c, size_t n)
{
	void *d = to;

	__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return to;
}

void *
memcpy(void *to, const void *from, size_t n)
{
	void *d = to;

	__asm__ volatile("rep movsb"
			 : "+D"(d), "+S"(from), "+c"(n)
			 :
			 : "memory");
	return to;
}

static void
set_gate(unsigned vector, u8 type)
{
	u64 to = (u64)(stubs + 16 * vector);

	idt[vector] = (struct gate){.lo = (u16)to,
				    .sel = SEL_CODE,
				    .type = type,
				    .mid = (u16)(to >> 16),
				    .hi = (u32)(to >> 32)};
}

/* Called on the way in, before the segments are loaded. */
void
setup_tables(void)
{
	u64 t = (u64)&tss, stack = (u64)(trap_stack + sizeof(trap_stack));
	struct table gdtr = {sizeof(gdt) - 1, (u64)gdt};
	struct table idtr = {sizeof(idt) - 1, (u64)idt};

	for (unsigned v = 0; v < 256; v++)
		set_gate(v, v == 3 || v == 4 || v == 0x80 ? GATE_USER
							  : GATE_PRESENT);
	tss.rsp0_lo = (u32)stack;
	tss.rsp0_hi = (u32)(stack >> 32);
	tss.iomap = sizeof(tss);
	gdt[7] = (sizeof(tss) - 1) | (t & 0xffffff) << 16 | 0x89ULL << 40 |
		 (t >> 24 & 0xff) << 56;
	gdt[8] = t >> 32;
	__asm__ volatile("lgdt %0\n\tlidt %1\n\tltr %w2"
			 :
			 : "m"(gdtr), "m"(idtr), "r"(SEL_TSS)
			 : "memory");
}

void
check_at(int ok, u32 where)
{
	checks++;
	if (!ok)
		out32(PORT_FAIL, where);
}

static void
finish(void)
{
	out32(PORT_DONE, checks);
	for (;;)
		__asm__ volatile("cli\n\thlt");
}

static void
unexpected(const struct frame *f)
{
	out32(PORT_FAIL, 0xeeee0000 | (u32)f->vector);
	out32(PORT_NOTE, (u32)f->rip);
	out32(PORT_NOTE, (u32)f->error);
	finish();
}

/* Faults must have been asked for; #DB, NMI, #BP, #OF and the interrupts just
 * count and return. */
static int
may_come_by_itself(u64 vector)
{
	return vector >= 32 || (vector >= 1 && vector <= 4);
}

void
trap(struct frame *f)
{
	__asm__ volatile("movq %%cr2, %0" : "=r"(last_cr2));
	last = *f;
	last_vector = f->vector;
	trap_count[f->vector]++;
	if (f->cs & 3 && kernel_rsp)
		leave_user();
	if (resume) {
		f->rip = resume;
		resume = 0;
		return;
	}
	if (!may_come_by_itself(f->vector))
		unexpected(f);
	if (f->vector == 2 && nmi_again) {
		nmi_again = 0;
		out32(PORT_NOTE, NOTE_NMI);
		for (volatile u32 i = 0; i < 100; i++)
			;
		nmi_inside = trap_count[2];
	}
	if (f->vector == 1)
		f->rflags &= ~0x100ULL;
}

int
took_only(u8 vector)
{
	int good = trap_count[vector] == 1;

	for (unsigned v = 0; v < 32; v++) {
		if (v != vector && trap_count[v])
			good = 0;
		trap_count[v] = 0;
	}
	trap_count[vector] = 0;
	resume = 0;
	return good;
}

int
took_none(void)
{
	int good = 1;

	for (unsigned v = 0; v < 32; v++) {
		if (trap_count[v])
			good = 0;
		trap_count[v] = 0;
	}
	return good;
}

u64
window(unsigned n)
{
	return PAYLOAD_WINDOW + 4096ULL * n;
}

void
map(unsigned n, u64 gpa, u64 bits)
{
	((volatile u64 *)PAYLOAD_PT_WINDOW)[n] = gpa | bits;
	invlpg(window(n));
}

/* A test that never ends is stopped by the host. */
void
payload_main(u64 test, u64 arg)
{
	static void (*const tests[TEST_COUNT])(void) = {
	    [TEST_ARITH] = test_arith,
	    [TEST_MEMORY] = test_memory,
	    [TEST_PIO] = test_pio,
	    [TEST_PIO_STRING] = test_pio_string,
	    [TEST_MMIO] = test_mmio,
	    [TEST_SOFT_INT] = test_soft_int,
	    [TEST_IRQ] = test_irq,
	    [TEST_IRQ_WINDOW] = test_irq_window,
	    [TEST_HLT] = test_hlt,
	    [TEST_NMI] = test_nmi,
	    [TEST_NMI_MASK] = test_nmi_mask,
	    [TEST_PAGE_FAULT] = test_page_fault,
	    [TEST_PAGE_CROSSING] = test_page_crossing,
	    [TEST_EXCEPTIONS] = test_exceptions,
	    [TEST_FP_EXCEPTIONS] = test_fp_exceptions,
	    [TEST_FP_STATE] = test_fp_state,
	    [TEST_FP] = test_fp,
	    [TEST_CPUID] = test_cpuid,
	    [TEST_MSR] = test_msr,
	    [TEST_SMC] = test_smc,
	    [TEST_DIRTY] = test_dirty,
	    [TEST_CR3] = test_cr3,
	    [TEST_RING3] = test_ring3,
	    [TEST_SYSCALL] = test_syscall,
	    [TEST_COMPAT] = test_compat,
	    [TEST_ROM] = test_rom,
	    [TEST_TSC] = test_tsc,
	    [TEST_DEBUG_REGS] = test_debug_regs,
	    [TEST_SPIN] = test_spin,
	    [TEST_TRIPLE] = test_triple,
	    [TEST_WILD_JUMP] = test_wild_jump,
	    [TEST_PIC] = test_pic,
	    [TEST_NO_XSAVE] = test_no_xsave,
	};

	if (test == TEST_MIGRATE)
		test_migrate(arg);
	else if (test == TEST_MIGRATE_FP)
		test_migrate_fp(arg);
	else if (test < TEST_COUNT)
		tests[test]();
	finish();
}
