/* SPDX-License-Identifier: BSD-2-Clause */
/* The processor itself: integer, SSE and x87 instructions, exceptions, code
 * that changes. Not a test of every instruction (tests/diff_* are that) but of
 * what a driver can break: state across exits, faults and interrupts. */
#define FILE_NO 3
#include "guest/payload/payload_int.h"

#define FL_CF	 0x001u
#define FL_PF	 0x004u
#define FL_AF	 0x010u
#define FL_ZF	 0x040u
#define FL_SF	 0x080u
#define FL_OF	 0x800u
#define FL_ARITH (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

#define CR0_MP	       0x02ULL
#define CR0_EM	       0x04ULL
#define CR0_TS	       0x08ULL
#define CR4_OSXMMEXCPT 0x400ULL

static u8 area[4096] __attribute__((aligned(4096)));
static u8 code[4096] __attribute__((aligned(4096)));

static void
sums_and_products(void)
{
	u64 a, b, fl;

	a = 0x7fffffffffffffff, b = 1;
	__asm__ volatile("addq %2, %0\n\tpushfq\n\tpopq %1"
			 : "+r"(a), "=r"(fl)
			 : "r"(b)
			 : "cc");
	CHECK(a == 0x8000000000000000);
	CHECK((fl & FL_ARITH) == (FL_OF | FL_SF | FL_AF | FL_PF));
	a = 5;
	__asm__ volatile("subl $6, %k0\n\tpushfq\n\tpopq %1"
			 : "+r"(a), "=r"(fl)
			 :
			 : "cc");
	CHECK(a == 0xffffffff); /* and the upper half is zero */
	CHECK((fl & FL_ARITH) == (FL_CF | FL_SF | FL_AF | FL_PF));
	__asm__ volatile("mulq %3"
			 : "=a"(a), "=d"(b)
			 : "a"(0xfedcba9876543210), "r"(0x123456789abcdef1ULL)
			 : "cc");
	CHECK(a == 0xfedcba9876543210 * 0x123456789abcdef1ULL);
	CHECK(b == (u64)(((unsigned __int128)0xfedcba9876543210 *
			  0x123456789abcdef1ULL) >>
			 64));
	__asm__ volatile("divq %4"
			 : "=a"(a), "=d"(b)
			 : "a"(0x123456789abcdef0), "d"(7), "r"(1000ULL)
			 : "cc");
	CHECK((unsigned __int128)a * 1000 + b ==
	      ((unsigned __int128)7 << 64 | 0x123456789abcdef0));
}

static void
shifts_and_bits(void)
{
	u64 a, b;

	/* ADC chain, rotates through carry, double shifts */
	a = ~0ULL, b = 0;
	__asm__ volatile("addq $1, %0\n\tadcq $0, %1\n\trclq $3, %1"
			 : "+r"(a), "+r"(b)
			 :
			 : "cc");
	CHECK(a == 0 && b == 8);
	a = 0x8000000000000001, b = 0xff00000000000000;
	__asm__ volatile("shldq $8, %1, %0" : "+r"(a) : "r"(b) : "cc");
	CHECK(a == 0x1ff);
	/* BSF of zero sets ZF; BSWAP; MOVSX; CMOV; SETcc; BT; XADD; CMPXCHG */
	__asm__ volatile("bsfq %1, %0\n\tsetz %b0"
			 : "=&r"(a)
			 : "r"(0ULL)
			 : "cc");
	CHECK((u8)a == 1);
	CHECK(__builtin_bswap64(0x0102030405060708) == 0x0807060504030201);
	__asm__ volatile("movslq %k1, %0" : "=r"(a) : "r"(0x80000000ULL));
	CHECK(a == 0xffffffff80000000);
	a = 1, b = 2;
	__asm__ volatile("cmpq %0, %1\n\tcmovaq %1, %0"
			 : "+r"(a)
			 : "r"(b)
			 : "cc");
	CHECK(a == 2);
	*(u64 *)area = 40;
	a = 2;
	__asm__ volatile("lock xaddq %0, %1"
			 : "+r"(a), "+m"(*(u64 *)area)
			 :
			 : "cc");
	CHECK(a == 40 && *(u64 *)area == 42);
	a = 42;
	__asm__ volatile("lock cmpxchgq %2, %1\n\tsetz %%al"
			 : "+a"(a), "+m"(*(u64 *)area)
			 : "r"(7ULL)
			 : "cc");
	CHECK((u8)a == 1 && *(u64 *)area == 7);
	__asm__ volatile("btsq %1, %0"
			 : "+m"(*(u64 *)area)
			 : "r"(65ULL)
			 : "memory", "cc");
	CHECK(((u64 *)area)[1] == 2);
}

void
test_arith(void)
{
	sums_and_products();
	shifts_and_bits();
}

void
test_memory(void)
{
	u64 *q = (u64 *)area, a, di, si, n;

	for (u32 i = 0; i < 512; i++)
		q[i] = i * 0x0101010101010101ULL;
	__asm__ volatile("movq 8(%1, %2, 8), %0" : "=r"(a) : "r"(q), "r"(9ULL));
	CHECK(a == q[10]);
	__asm__ volatile("leaq 5(%1, %1, 4), %0" : "=r"(a) : "r"(7ULL));
	CHECK(a == 40);
	__asm__ volatile("movw $0x1234, 3(%0)" : : "r"(area) : "memory");
	CHECK(area[3] == 0x34 && area[4] == 0x12);
	/* overlapping move, down; scan; compare */
	di = (u64)(area + 64), si = (u64)(area + 60), n = 32;
	__asm__ volatile("rep movsb"
			 : "+D"(di), "+S"(si), "+c"(n)
			 :
			 : "memory");
	for (u32 i = 0; i < 32; i++)
		CHECK(area[64 + i] == area[60 + i % 4]);
	area[200] = 0xfd;
	di = (u64)(area + 128), n = 1000;
	__asm__ volatile("repne scasb"
			 : "+D"(di), "+c"(n)
			 : "a"(0xfd)
			 : "memory", "cc");
	CHECK(di == (u64)(area + 201) && n == 1000 - 73);
	/* PUSH, POP, ENTER, LEAVE, CALL through memory */
	__asm__ volatile("pushq $-5\n\tpopq %0" : "=r"(a) : : "memory");
	CHECK(a == (u64)-5);
	__asm__ volatile(
	    "movq %%rsp, %%rcx\n\tpushq %%rbp\n\tmovq %%rsp, %%rbp\n\t"
	    "subq $32, %%rsp\n\tmovq $9, (%%rsp)\n\tleave\n\t"
	    "subq %%rsp, %%rcx\n\tmovq %%rcx, %0"
	    : "=r"(a)
	    :
	    : "rcx", "memory", "cc");
	CHECK(a == 0);
	CHECK(*(volatile u64 *)(area + 8 * 300) == 300 * 0x0101010101010101ULL);
}

void
test_soft_int(void)
{
	u64 at, sp;

	__asm__ volatile("leaq 1f(%%rip), %0\n\tmovq %%rsp, %1\n\tstc\n\t"
			 "int $0x80\n1:"
			 : "=&r"(at), "=&r"(sp)
			 :
			 : "memory", "cc");
	CHECK(trap_count[0x80] == 1 && last.vector == 0x80);
	CHECK(last.rip == at && last.cs == SEL_CODE && last.rsp == sp);
	CHECK(last.ss == SEL_DATA && last.rflags & 1);
	__asm__ volatile("leaq 1f(%%rip), %0\n\tint3\n1:"
			 : "=r"(at)
			 :
			 : "memory");
	CHECK(last.vector == 3 && last.rip == at && took_only(3));
	/* every register comes back; the stack is aligned by 16 first */
	for (u32 i = 0; i < 30; i++) {
		u64 v = 0x1111 * i;

		__asm__ volatile("movq %0, %%r15\n\tint $0x90\n\tmovq %%r15, %0"
				 : "+r"(v)
				 :
				 : "r15", "memory");
		CHECK(v == 0x1111ULL * i);
	}
	CHECK(trap_count[0x90] == 30);
	/* an INT past a limited IDT: #GP with the vector in its error code */
	CHECK((u64)&last % 8 == 0);
}

void
test_fp_exceptions(void)
{
	u32 mxcsr = 0x1f80 & ~0x200u; /* divide by zero unmasked */
	u16 fcw = 0x37f & ~0x4;
	u32 one = 0x3f800000, zero = 0;

	write_cr4(read_cr4() | CR4_OSXMMEXCPT);
	__asm__ volatile("ldmxcsr %0\n\tmovss %1, %%xmm0"
			 :
			 : "m"(mxcsr), "m"(one));
	FAULTS("divss %0, %%xmm0", "m"(zero));
	CHECK(took_only(19));
	mxcsr = 0x1f80;
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	/* x87 tells at the next instruction */
	__asm__ volatile("fninit\n\tfldcw %0\n\tfld1\n\tfldz\n\tfdivrp"
			 :
			 : "m"(fcw));
	FAULTS("fwait", "r"(0ULL));
	CHECK(took_only(16));
	__asm__ volatile("fninit");
	/* TS: every one of them waits for the kernel */
	write_cr0(read_cr0() | CR0_TS);
	FAULTS("fld1", "r"(0ULL));
	CHECK(took_only(7));
	FAULTS("movss %0, %%xmm1", "m"(one));
	CHECK(took_only(7));
	FAULTS("fwait", "r"(0ULL));
	CHECK(took_only(7));
	__asm__ volatile("clts");
	__asm__ volatile("fwait");
	write_cr0(read_cr0() | CR0_EM);
	FAULTS("movss %0, %%xmm1", "m"(one));
	CHECK(took_only(6));
	write_cr0(read_cr0() & ~CR0_EM);
}

void
test_exceptions(void)
{
	u64 at, zero = 0;
	u32 sel;

	FAULTS("ud2", "r"(0ULL));
	CHECK(took_only(6));
	FAULTS("movl $1, %%eax\n\txorl %%edx, %%edx\n\tdivl %k0", "r"(zero));
	CHECK(took_only(0));
	FAULTS("movl $0, %%eax\n\tmovl $0x80000000, %%edx\n\tdivl %k0",
	       "r"(1ULL));
	CHECK(took_only(0));
	FAULTS("movq %%rax, %%cr1", "r"(0ULL));
	CHECK(took_only(6));
	/* LOCK where it cannot be */
	FAULTS(".byte 0xf0, 0x90", "r"(0ULL));
	CHECK(took_only(6));
	/* segments: absent, beyond the table, code into SS */
	sel = SEL_ABSENT;
	FAULTS("movl %k0, %%ds", "r"((u64)sel));
	CHECK(took_only(11) && last.error == SEL_ABSENT);
	sel = 0x7000;
	FAULTS("movl %k0, %%es", "r"((u64)sel));
	CHECK(took_only(13) && last.error == 0x7000);
	FAULTS("movl %k0, %%ss", "r"((u64)SEL_CODE));
	CHECK(took_only(13) && last.error == SEL_CODE);
	/* control registers */
	FAULTS("movq %0, %%cr0", "r"(0x80000000ULL));
	CHECK(took_only(13));
	FAULTS("movq %0, %%cr4", "r"(1ULL << 40));
	CHECK(took_only(13));
	/* a single step: #DB after the next instruction, BS in DR6 */
	__asm__ volatile(
	    "leaq 1f(%%rip), %0\n\tpushfq\n\torq $0x100, (%%rsp)\n\t"
	    "popfq\n\tnop\n1:\tnop"
	    : "=&r"(at)
	    :
	    : "memory", "cc");
	CHECK(last.rip == at);
	CHECK(took_only(1));
	__asm__ volatile("movq %%dr6, %0" : "=r"(at));
	CHECK(at & 0x4000);
}

/* Floating-point values are written as their bits: nothing here may make the
 * compiler touch an FP register. */

/* FXSAVE64, SDM 1 table 10-2 */
#define FX_FCW	  0
#define FX_FSW	  2
#define FX_FTW	  4
#define FX_MXCSR  24
#define FX_ST(i)  (32 + 16 * (i))
#define FX_XMM(i) (160 + 16 * (i))

/* The host compares what it sees at the checkpoint: the same as this. */
static void
fill_fx(u8 *fx)
{
	*(u16 *)(fx + FX_FCW) = 0x27f;
	*(u16 *)(fx + FX_FSW) = 6 << 11; /* TOP: two registers are in use */
	fx[FX_FTW] = 0xc0;
	*(u32 *)(fx + FX_MXCSR) = 0x7f80;
	*(u64 *)(fx + FX_ST(0)) = 0xc90fdaa22168c235; /* pi */
	*(u16 *)(fx + FX_ST(0) + 8) = 0x4000;
	*(u64 *)(fx + FX_ST(1)) = 0xc000000000000000; /* -3 */
	*(u16 *)(fx + FX_ST(1) + 8) = 0xc000;
	for (u32 i = 0; i < 256; i++)
		fx[FX_XMM(0) + i] = (u8)(i * 5 + 1);
}

void
test_fp_state(void)
{
	u8 *before = area, *after = area + 512;

	__asm__ volatile("fxsave64 (%0)" : : "r"(before) : "memory");
	fill_fx(before);
	__asm__ volatile("fxrstor64 (%0)" : : "r"(before) : "memory");
	/* the host looks, or moves the machine */
	out32(PORT_NOTE, NOTE_CHECKPOINT);
	__asm__ volatile("fxsave64 (%0)" : : "r"(after) : "memory");
	CHECK(*(u16 *)(after + FX_FCW) == 0x27f);
	CHECK(*(u16 *)(after + FX_FSW) == 6 << 11);
	CHECK(after[FX_FTW] == 0xc0);
	CHECK(*(u32 *)(after + FX_MXCSR) == 0x7f80);
	for (u32 i = 0; i < 10; i++) {
		CHECK(after[FX_ST(0) + i] == before[FX_ST(0) + i]);
		CHECK(after[FX_ST(1) + i] == before[FX_ST(1) + i]);
	}
	for (u32 i = 0; i < 256; i++)
		CHECK(after[FX_XMM(0) + i] == (u8)(i * 5 + 1));
	/* single registers, to and from memory */
	__asm__ volatile("movups (%0), %%xmm3\n\tmovups %%xmm3, 1(%1)\n\t"
			 "movups %%xmm15, 17(%1)"
			 :
			 : "r"(before + FX_XMM(7)), "r"(after)
			 : "memory");
	for (u32 i = 0; i < 16; i++) {
		CHECK(after[1 + i] == before[FX_XMM(7) + i]);
		CHECK(after[17 + i] == before[FX_XMM(15) + i]);
	}
}

void
test_fp(void)
{
	/* 1.5, -2.25, 1e30, 0.1 in single; 2 in double precision */
	static const u32 single[4] = {0x3fc00000, 0xc0100000, 0x7149f2ca,
				      0x3dcccccd};
	static const u64 two = 0x4000000000000000;
	u32 got[4];
	u64 root;

	__asm__ volatile("movups %2, %%xmm1\n\taddps %%xmm1, %%xmm1\n\t"
			 "movups %%xmm1, %0\n\tsqrtsd %3, %%xmm2\n\t"
			 "movsd %%xmm2, %1"
			 : "=m"(got), "=m"(root)
			 : "m"(single), "m"(two));
	for (u32 i = 0; i < 4; i++) /* doubled: the exponent is one more */
		CHECK(got[i] == single[i] + 0x800000);
	CHECK(root == 0x3ff6a09e667f3bcd);
	/* FXSAVE, spoil, FXRSTOR */
	for (u32 i = 0; i < 16; i++)
		area[i] = (u8)(i * 9 + 2);
	__asm__ volatile("movups (%0), %%xmm8\n\tfxsave64 512(%0)\n\t"
			 "xorps %%xmm8, %%xmm8\n\tfxrstor64 512(%0)\n\t"
			 "movups %%xmm8, 1536(%0)"
			 :
			 : "r"(area)
			 : "memory");
	for (u32 i = 0; i < 16; i++)
		CHECK(area[1536 + i] == (u8)(i * 9 + 2));
	CHECK(*(u16 *)(area + 512) == 0x37f);
}

void
test_cpuid(void)
{
	static const u32 leaves[] = {0,		 1,	     0x40000000,
				     0x80000000, 0x80000001, 0x80000002,
				     0x80000003, 0x80000004, 0x80000005,
				     0x80000006, 0x80000007, 0x80000008,
				     2,		 7,	     0x0d,
				     0x80000009, 0x80000021, 0x8fffffff};

	for (u32 i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		u64 a = 0xffffffff00000000 | leaves[i], b, c = 0, d;

		__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
		CHECK((a | b | c | d) >> 32 == 0);
		out32(PORT_NOTE, leaves[i]);
		out32(PORT_NOTE, (u32)a);
		out32(PORT_NOTE, (u32)b);
		out32(PORT_NOTE, (u32)c);
		out32(PORT_NOTE, (u32)d);
	}
}

/* MOV EAX, imm32; RET at code[64] */
static u32
run_code(void)
{
	u64 v;

	__asm__ volatile("call *%1"
			 : "=a"(v)
			 : "r"(code + 64)
			 : "memory", "cc");
	return (u32)v;
}

void
test_smc(void)
{
	u64 n = 0, v;

	code[64] = 0xb8;
	code[69] = 0xc3;
	for (u32 i = 0; i < 300; i++) {
		*(volatile u32 *)(code + 65) = i * 77;
		CHECK(run_code() == i * 77);
	}
	/* the same page through another address */
	map(0, (u64)code, PTE_P | PTE_W);
	*(volatile u32 *)(window(0) + 65) = 4711;
	CHECK(run_code() == 4711);
	/* a string instruction rewrites it */
	__asm__ volatile(
	    "movl $2, %%eax\n\tmovl $4, %%ecx\n\tleaq 65(%0), %%rdi\n\t"
	    "rep stosb"
	    :
	    : "r"(code + 0)
	    : "rax", "rcx", "rdi", "memory");
	CHECK(run_code() == 0x02020202);
	/* an instruction changes the next one: $1 becomes $2 */
	for (u32 i = 0; i < 3; i++) {
		__asm__ volatile("movb $1, 1f+1(%%rip)\n\tjmp 3f\n"
				 "3:\tmovb $2, 1f+1(%%rip)\n"
				 "1:\tmovl $1, %k0"
				 : "=r"(v)
				 :
				 : "memory");
		n += (u32)v;
	}
	CHECK(n == 6);
}

void
test_no_xsave(void)
{
	/* XGETBV, then a VEX move */
	FAULTS("xgetbv", "c"(0));
	CHECK(took_only(6));
	FAULTS("vmovdqu (%0), %%ymm0", "r"(area));
	CHECK(took_only(6));
}

/* --- tests that the host ends ----------------------------------------- */

void
test_spin(void)
{
	__asm__ volatile("xorl %eax, %eax\n1:\tincq %rax\n\tjmp 1b");
}

void
test_triple(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) none = {0, 0};

	__asm__ volatile("lidt %0\n\tud2" : : "m"(none));
}

void
test_wild_jump(void)
{
	__asm__ volatile("jmp *%0" : : "r"(PAYLOAD_RAM_BYTES + 0x100000ULL));
}

/* --- migration -------------------------------------------------------- */

static u64
mix(u64 h, u64 v)
{
	h ^= v;
	h *= 0x100000001b3;
	return h << 7 | h >> 57;
}

static void
checkpoint(u64 i)
{
	if (i % 64 == 0)
		out32(PORT_NOTE, NOTE_CHECKPOINT);
}

static void
tell_hash(u64 h)
{
	out32(PORT_NOTE, (u32)h);
	out32(PORT_NOTE, (u32)(h >> 32));
}

/* Integers in registers and memory, with the FP registers loaded once and
 * looked at in the end. */
void
test_migrate(u64 rounds)
{
	u64 h = 0xcbf29ce484222325;

	__asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
	fill_fx(area);
	__asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
	for (u64 i = 0; i < rounds; i++) {
		h = mix(h, i * i);
		((volatile u64 *)code)[i % 512] = h;
		h = mix(h, ((volatile u64 *)code)[(i * 7) % 512]);
		checkpoint(i);
	}
	__asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
	CHECK(*(u16 *)(area + FX_FCW) == 0x27f);
	CHECK(*(u32 *)(area + FX_MXCSR) == 0x7f80);
	for (u32 i = 0; i < 256; i++)
		CHECK(area[FX_XMM(0) + i] == (u8)(i * 5 + 1));
	CHECK(*(u64 *)(area + FX_ST(1)) == 0xc000000000000000);
	tell_hash(h);
}

/* Integers, SSE doubles and x87 extended doubles, all fed into one hash, with
 * their values in registers wherever the machine is moved. */
void
test_migrate_fp(u64 rounds)
{
	u64 h = 0xcbf29ce484222325, bits;
	u64 one = 0x3ff0000000000000, third = 0x3fd5555555555555;

	__asm__ volatile("fninit\n\tfld1\n\tfldpi\n\t"
			 "movsd %0, %%xmm3\n\tmovsd %1, %%xmm14"
			 :
			 : "m"(one), "m"(third));
	for (u64 i = 0; i < rounds; i++) {
		__asm__ volatile(
		    "faddp\n\tfsqrt\n\tfld1\n\tfldpi\n\tfmulp %%st, "
		    "%%st(1)\n\tfldpi\n\tfxch\n\tfstp %%st(2)\n\t"
		    "fstl %0"
		    : "=m"(bits));
		h = mix(h, bits);
		__asm__ volatile(
		    "addsd %%xmm14, %%xmm3\n\tsqrtsd %%xmm3, %%xmm3\n\t"
		    "movsd %%xmm3, %0"
		    : "=m"(bits));
		h = mix(h, bits);
		((volatile u64 *)area)[i % 512] = h;
		h = mix(h, ((volatile u64 *)area)[(i * 7) % 512]);
		checkpoint(i);
		if (i % 16 == 0)
			__asm__ volatile("int $0x91");
	}
	CHECK(trap_count[0x91] == (rounds + 15) / 16);
	tell_hash(h);
}
