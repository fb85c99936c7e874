/* SPDX-License-Identifier: BSD-2-Clause */
/* The system side: paging, privilege, model-specific and debug registers. */
#define FILE_NO 2
#include "guest/payload/payload_int.h"

#define MSR_EFER	   0xc0000080
#define MSR_STAR	   0xc0000081
#define MSR_LSTAR	   0xc0000082
#define MSR_CSTAR	   0xc0000083
#define MSR_FMASK	   0xc0000084
#define MSR_FS_BASE	   0xc0000100
#define MSR_GS_BASE	   0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_SYSENTER_CS	   0x174
#define MSR_SYSENTER_ESP   0x175
#define MSR_SYSENTER_EIP   0x176
#define MSR_PAT		   0x277
#define EFER_SCE	   1u
#define EFER_NXE	   0x800u
#define CR0_WP		   0x10000ULL
#define CR4_PGE		   0x80ULL

static u8 pages[4][4096] __attribute__((aligned(4096)));

static void
set_efer(u32 bits)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | bits);
}

/* Did only #PF come, at lin, with this error code? */
static int
page_fault_was(u64 lin, u64 error)
{
	return took_only(14) && last_cr2 == lin && last.error == error;
}

static void
supervisor_faults(void)
{
	volatile u64 *pd = (volatile u64 *)PAYLOAD_PD_WINDOW;
	u64 v;

	/* not there: read, write, execute */
	map(0, 0, 0);
	FAULTS("movq (%0), %%rax", "r"(window(0) + 0x123));
	CHECK(page_fault_was(window(0) + 0x123, 0));
	FAULTS("movb $1, (%0)", "r"(window(0) + 0xfff));
	CHECK(page_fault_was(window(0) + 0xfff, PF_W));
	/* read-only, with WP and without */
	map(0, (u64)pages[0], PTE_P);
	FAULTS("movl $7, (%0)", "r"(window(0)));
	CHECK(page_fault_was(window(0), PF_P | PF_W));
	CHECK(*(volatile u32 *)pages[0] == 0);
	write_cr0(read_cr0() & ~CR0_WP);
	poke32(window(0), 7);
	CHECK(took_none());
	CHECK(*(volatile u32 *)pages[0] == 7);
	write_cr0(read_cr0() | CR0_WP);
	FAULTS("incl (%0)", "r"(window(0)));
	CHECK(page_fault_was(window(0), PF_P | PF_W));
	/* a reserved bit: 13 of a 2 MiB page, on parts of every width */
	pd[1] = 1ULL << 13 | PTE_P | PTE_W | PTE_PS;
	FAULTS("movb (%0), %%al", "r"(window(512)));
	CHECK(page_fault_was(window(512), PF_P | PF_RSVD));
	pd[1] = 0;
	/* an address that is not canonical is #GP, through RBP #SS */
	v = 0x8000000000000000;
	FAULTS("movb (%0), %%al", "D"(v)); /* RBP would mean SS */
	CHECK(took_only(13) && last.error == 0);
	__asm__ volatile("leaq 99f(%%rip), %%rax\n\t"
			 "movq %%rax, resume(%%rip)\n\tmovq %%rbp, %%rcx\n\t"
			 "movq %0, %%rbp\n\tmovb (%%rbp), %%dl\n"
			 "99:\tmovq %%rcx, %%rbp"
			 :
			 : "r"(v)
			 : "rax", "rcx", "rdx", "memory", "cc");
	CHECK(took_only(12) && last.error == 0);
}

/* An access into a page that is not there stores nothing into the first. */
void
test_page_crossing(void)
{
	map(0, (u64)pages[0], PTE_P | PTE_W);
	map(1, 0, 0);
	*(volatile u32 *)(pages[0] + 4092) = 0x01020304;
	FAULTS("movq $-1, (%0)", "r"(window(0) + 4092));
	CHECK(page_fault_was(window(1), PF_W));
	CHECK(*(volatile u32 *)(pages[0] + 4092) == 0x01020304);
	FAULTS("movq (%0), %%rax", "r"(window(0) + 4093));
	CHECK(page_fault_was(window(1), 0));
}

/* REP MOVSB stops where the fault is, with registers that say how far. */
static void
string_fault(void)
{
	u64 di, si, n = 64;

	map(0, (u64)pages[0], PTE_P | PTE_W);
	map(1, 0, 0);
	si = (u64)pages[2];
	di = window(1) - 40;
	for (u32 i = 0; i < 64; i++)
		pages[2][i] = (u8)(i + 1);
	__asm__ volatile("leaq 99f(%%rip), %%rax\n\t"
			 "movq %%rax, resume(%%rip)\n\trep movsb\n99:"
			 : "+D"(di), "+S"(si), "+c"(n)
			 :
			 : "rax", "memory", "cc");
	CHECK(page_fault_was(window(1), PF_W));
	CHECK(n == 24 && di == window(1) && si == (u64)pages[2] + 40);
	CHECK(pages[0][4095] == 40);
}

static void
accessed_dirty(void)
{
	volatile u64 *pte = (volatile u64 *)PAYLOAD_PT_WINDOW;

	map(3, (u64)pages[3], PTE_P | PTE_W);
	(void)peek32(window(3));
	CHECK((pte[3] & (PTE_A | PTE_D)) == PTE_A);
	poke32(window(3), 1);
	CHECK((pte[3] & (PTE_A | PTE_D)) == (PTE_A | PTE_D));
}

static void
no_execute(void)
{
	pages[1][0] = 0xc3; /* RET */
	set_efer(EFER_NXE);
	map(1, (u64)pages[1], PTE_P | PTE_W);
	__asm__ volatile("call *%0" : : "r"(window(1)) : "memory", "cc");
	CHECK(took_none());
	map(1, (u64)pages[1], PTE_P | PTE_W | PTE_NX);
	FAULTS("jmp *%0", "r"(window(1)));
	CHECK(page_fault_was(window(1), PF_P | PF_I));
	CHECK(peek32(window(1)) == 0xc3);
}

void
test_page_fault(void)
{
	supervisor_faults();
	string_fault();
	accessed_dirty();
	no_execute();
}

/* --- address spaces --------------------------------------------------- */

/* The alternative tables share everything but window page 0. */
static void
build_alternative(u64 gpa)
{
	volatile u64 *p = (volatile u64 *)PAYLOAD_PML4_ALT;

	p[0] = (PAYLOAD_PML4_ALT + 0x1000) | PTE_P | PTE_W | PTE_U;
	p[512] = PAYLOAD_PD | PTE_P | PTE_W | PTE_U;
	p[512 + 1] = (PAYLOAD_PML4_ALT + 0x2000) | PTE_P | PTE_W | PTE_U;
	p[1024] = (PAYLOAD_PML4_ALT + 0x3000) | PTE_P | PTE_W | PTE_U;
	for (u32 i = 1; i < 512; i++)
		p[1536 + i] = ((volatile u64 *)PAYLOAD_PT_WINDOW)[i];
	p[1536] = gpa | PTE_P | PTE_W;
}

void
test_cr3(void)
{
	volatile u64 *alt_pt = (volatile u64 *)(PAYLOAD_PML4_ALT + 0x3000);
	u64 cr3 = read_cr3();

	*(volatile u32 *)pages[0] = 0xaaaa;
	*(volatile u32 *)pages[1] = 0xbbbb;
	map(0, (u64)pages[0], PTE_P | PTE_W);
	build_alternative((u64)pages[1]);
	for (u32 i = 0; i < 20; i++) {
		CHECK(peek32(window(0)) == 0xaaaa + i);
		write_cr3(PAYLOAD_PML4_ALT);
		CHECK(peek32(window(0)) == 0xbbbb + i);
		poke32(window(0), 0xbbbb + i + 1);
		write_cr3(cr3);
		poke32(window(0), 0xaaaa + i + 1);
	}
	CHECK(*(volatile u32 *)pages[1] == 0xbbbb + 20);
	/* INVLPG makes a changed entry seen */
	map(0, (u64)pages[1], PTE_P | PTE_W);
	CHECK(peek32(window(0)) == 0xbbbb + 20);
	/* a global page stays when CR3 is loaded, until CR4.PGE changes */
	write_cr4(read_cr4() | CR4_PGE);
	map(0, (u64)pages[0], PTE_P | PTE_W | PTE_G);
	CHECK(peek32(window(0)) == 0xaaaa + 20);
	write_cr3(PAYLOAD_PML4_ALT);
	write_cr4(read_cr4() & ~CR4_PGE);
	CHECK(peek32(window(0)) == 0xbbbb + 20);
	alt_pt[0] = 0;
	write_cr3(PAYLOAD_PML4_ALT);
	FAULTS("movl (%0), %%eax", "r"(window(0)));
	CHECK(page_fault_was(window(0), 0));
	write_cr3(cr3);
	CHECK(peek32(window(0)) == 0xaaaa + 20);
}

/* --- privilege -------------------------------------------------------- */

#define USER_CODE  16 /* window pages */
#define USER_STACK 17
#define USER_DATA  18

static u64
user_lin(const u8 *label)
{
	return window(USER_CODE) + (u64)(label - user_page);
}

static u64
user_stack(void)
{
	return window(USER_STACK) + 2048;
}

static void
map_user(void)
{
	map(USER_CODE, (u64)user_page, PTE_P | PTE_U);
	map(USER_STACK, (u64)pages[0], PTE_P | PTE_W | PTE_U);
	map(USER_DATA, (u64)pages[1], PTE_P | PTE_W);
}

static u64
run_user64(const u8 *label, u64 arg)
{
	return run_user(user_lin(label), arg, SEL_USER_CODE, user_stack());
}

/* What user code may not do. */
void
test_ring3(void)
{
	map_user();
	CHECK(run_user64(user_hlt, 0) == 13);
	CHECK(last.rip == user_lin(user_hlt));
	CHECK(last.cs == (SEL_USER_CODE | 3) && last.ss == (SEL_USER_DATA | 3));
	CHECK(last.rsp == user_stack());
	CHECK(took_only(13) && last.error == 0);
	CHECK(run_user64(user_cli, 0) == 13);
	CHECK(took_only(13));
	/* a supervisor page: present, write, user */
	CHECK(run_user64(user_store, window(USER_DATA) + 16) == 14);
	CHECK(page_fault_was(window(USER_DATA) + 16, PF_P | PF_W | PF_U));
	CHECK(*(volatile u32 *)(pages[1] + 16) == 0);
	map(USER_DATA, (u64)pages[1], PTE_P | PTE_W | PTE_U);
	CHECK(run_user64(user_store, window(USER_DATA) + 16) == 13);
	CHECK(*(volatile u32 *)(pages[1] + 16) == 0x55);
	CHECK(took_only(13));
}

void
test_syscall(void)
{
	const u64 n = 100;

	map_user();
	set_efer(EFER_SCE);
	/* SYSCALL loads 08h/10h, SYSRET 28h|3/20h|3 */
	wrmsr(MSR_STAR, (u64)(SEL_USER_CODE32 | 3) << 48 | (u64)SEL_CODE << 32);
	wrmsr(MSR_LSTAR, (u64)syscall_entry);
	wrmsr(MSR_FMASK, 0x200 | 0x100 | 0x400);
	CHECK(run_user64(user_syscall, n) == 0x80);
	CHECK(last.cs == (SEL_USER_CODE | 3) && last.ss == (SEL_USER_DATA | 3));
	CHECK(last.rsp == user_stack());
	CHECK(syscall_count == n);
	CHECK(last.rax == n * (n + 1) / 2 + n);
	CHECK(syscall_rax == 1);
	CHECK((syscall_r11 & 0x202) == 2);
	/* RDX was pointed to where the last SYSCALL returned to */
	CHECK(syscall_rcx + 7 == last.rdx);
	/* a gate of DPL 0: its number, and that it is in the IDT */
	CHECK(run_user64(user_int, 0) == 13);
	CHECK(last.error == (0x81 << 3 | 2));
	CHECK(took_only(13));
	/* SYSCALL without SCE is #UD */
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~1ULL);
	CHECK(run_user64(user_syscall, 1) == 6);
	CHECK(took_only(6));
}

void
test_compat(void)
{
	const u64 n = 200;

	map_user();
	CHECK(run_user(user_lin(user_count32), n, SEL_USER_CODE32,
		       window(USER_STACK) + 1024) == 13);
	CHECK(last.rip == user_lin(user_stop));
	CHECK(last.cs == (SEL_USER_CODE32 | 3));
	CHECK(last.rax == n * (n + 1) / 2 * 3);
	CHECK(last.rbx == n && last.rsi == 0);
	CHECK(last.rsp == window(USER_STACK) + 1024);
	CHECK(took_only(13));
}

/* --- registers -------------------------------------------------------- */

static void
msr_keeps(u32 index, u64 value)
{
	u64 old = rdmsr(index);

	wrmsr(index, value);
	CHECK(rdmsr(index) == value);
	wrmsr(index, old);
	CHECK(rdmsr(index) == old);
}

void
test_msr(void)
{
	u64 v;

	msr_keeps(MSR_STAR, 0x0023001000000000);
	msr_keeps(MSR_LSTAR, 0xffffffff81000000);
	msr_keeps(MSR_CSTAR, 0xffffffff82000000);
	msr_keeps(MSR_FMASK, 0x47700);
	msr_keeps(MSR_KERNEL_GS_BASE, 0xffff888012345000);
	msr_keeps(MSR_SYSENTER_CS, 0x10);
	/* AMD parts keep 32 bits of these two */
	msr_keeps(MSR_SYSENTER_ESP, 0xfe003000);
	msr_keeps(MSR_SYSENTER_EIP, 0x83000000);
	msr_keeps(MSR_PAT, 0x0407050600070106);
	/* FS, GS and SWAPGS */
	*(volatile u64 *)pages[0] = 0xf5f5;
	*(volatile u64 *)pages[1] = 0x6565;
	wrmsr(MSR_FS_BASE, (u64)pages[0]);
	wrmsr(MSR_GS_BASE, (u64)pages[0]);
	wrmsr(MSR_KERNEL_GS_BASE, (u64)pages[1]);
	__asm__ volatile("movq %%fs:0, %0" : "=r"(v));
	CHECK(v == 0xf5f5);
	__asm__ volatile("swapgs\n\tmovq %%gs:0, %0" : "=r"(v));
	CHECK(v == 0x6565);
	CHECK(rdmsr(MSR_KERNEL_GS_BASE) == (u64)pages[0]);
	CHECK(rdmsr(MSR_GS_BASE) == (u64)pages[1]);
	/* refused: not canonical, reserved EFER bits */
	FAULTS("xorl %%eax, %%eax\n\tmovl $0x80000000, %%edx\n\twrmsr",
	       "c"(MSR_LSTAR));
	CHECK(took_only(13) && last.error == 0);
	FAULTS("xorl %%eax, %%eax\n\tmovl $0x80000000, %%edx\n\twrmsr",
	       "c"(MSR_EFER));
	CHECK(took_only(13));
	/* those that the host answers */
	CHECK(rdmsr(MSR_HOST_VALUE) == MSR_VALUE);
	wrmsr(MSR_HOST_SINK, MSR_VALUE);
	FAULTS("rdmsr", "c"(MSR_HOST_FAULT));
	CHECK(took_only(13) && last.error == 0);
	FAULTS("wrmsr", "c"(MSR_HOST_FAULT));
	CHECK(took_only(13));
}

void
test_debug_regs(void)
{
	u64 v;

	__asm__ volatile("movq %0, %%dr0" : : "r"(0x123456789abcULL));
	__asm__ volatile("movq %0, %%dr3" : : "r"(0xffff800000001000ULL));
	__asm__ volatile("movq %%dr0, %0" : "=r"(v));
	CHECK(v == 0x123456789abc);
	__asm__ volatile("movq %%dr3, %0" : "=r"(v));
	CHECK(v == 0xffff800000001000);
	__asm__ volatile("movq %%dr7, %0" : "=r"(v));
	CHECK(v == 0x400);
	__asm__ volatile("movq %0, %%dr6" : : "r"(0xffff0ff0ULL));
	__asm__ volatile("movq %%dr6, %0" : "=r"(v));
	CHECK(v == 0xffff0ff0);
	out32(PORT_NOTE, NOTE_CHECKPOINT);
	__asm__ volatile("movq %%dr0, %0" : "=r"(v));
	CHECK(v == 0x123456789abc);
}

void
test_tsc(void)
{
	u64 before = rdtsc(), now;

	for (u32 i = 0; i < 1000; i++) {
		now = rdtsc();
		CHECK(now >= before);
		before = now;
	}
	for (volatile u32 i = 0; i < 1000; i++)
		;
	CHECK(rdtsc() > before);
	before = rdtsc();
	out32(PORT_NOTE, NOTE_PAUSE);
	now = rdtsc();
	CHECK(now >= before);
	out32(PORT_NOTE, (u32)(now - before));
	out32(PORT_NOTE, (u32)((now - before) >> 32));
	CHECK(rdmsr(0x10) >= now);
}

void
test_dirty(void)
{
	static const u16 touched[] = {0, 3, 7, 64, 100, 255};
	volatile u8 *base = (volatile u8 *)PAYLOAD_DIRTY_GPA;

	(void)base[4096 * 5]; /* reading is not writing */
	(void)base[4096 * 200];
	out32(PORT_NOTE, NOTE_CHECKPOINT);
	for (u32 i = 0; i < sizeof(touched) / sizeof(touched[0]); i++)
		base[4096 * touched[i] + i] = 1;
	/* across a page: 20 and 21 */
	*(volatile u64 *)(base + 4096 * 21 - 4) = 0x1234567812345678;
	out32(PORT_NOTE, NOTE_CHECKPOINT);
	out32(PORT_NOTE, NOTE_CHECKPOINT); /* nothing since */
	base[4096 * 3] = 2; /* written before: must be seen again */
	out32(PORT_NOTE, NOTE_CHECKPOINT);
	for (u32 i = 0; i < PAYLOAD_DIRTY_PAGES; i++)
		base[4096 * i] = 3;
	out32(PORT_NOTE, NOTE_CHECKPOINT);
	CHECK(base[0] == 3);
}
