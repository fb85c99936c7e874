/* SPDX-License-Identifier: BSD-2-Clause */
/* What leaves the processor: ports, device memory; and what comes to it:
 * interrupts. */
#define FILE_NO 1
#include "guest/payload/payload_int.h"

static u8 buf[8192] __attribute__((aligned(4096)));

void
test_pio(void)
{
	u64 rax;

	out8(PORT_LATCH, 0x5a);
	CHECK(in8(PORT_LATCH) == 0xa5);
	out16(PORT_LATCH, 0x1234);
	CHECK(in16(PORT_LATCH) == 0xedcb);
	out32(PORT_LATCH, 0xdeadbeef);
	CHECK(in32(PORT_LATCH) == 0x21524110);
	/* the port in DX rather than in the instruction */
	__asm__ volatile("outl %0, %%dx" : : "a"(0x01020304), "d"(PORT_LATCH));
	__asm__ volatile("inl %%dx, %%eax" : "=a"(rax) : "d"(PORT_LATCH));
	CHECK((u32)rax == 0xfefdfcfb);
	/* narrow reads keep the rest of RAX, 32-bit ones clear the upper half
	 */
	rax = 0x1111222233334444;
	__asm__ volatile("inb %%dx, %%al" : "+a"(rax) : "d"(PORT_LATCH));
	CHECK(rax == 0x11112222333344fb);
	__asm__ volatile("inw %%dx, %%ax" : "+a"(rax) : "d"(PORT_LATCH));
	CHECK(rax == 0x111122223333fcfb);
	__asm__ volatile("inl %%dx, %%eax" : "+a"(rax) : "d"(PORT_LATCH));
	CHECK(rax == 0xfefdfcfb);
	for (u32 i = 0; i < 50; i++) {
		out32(PORT_LATCH, i * 0x01010101u);
		CHECK(in32(PORT_LATCH) == ~(i * 0x01010101u));
	}
}

/* Sends count items from from, forwards or backwards; where RSI ends up. */
static u64
outs(unsigned size, const void *from, u64 count, int backwards)
{
	u64 si = (u64)from;

	if (backwards)
		__asm__ volatile("std");
	if (size == 1)
		__asm__ volatile("rep outsb"
				 : "+S"(si), "+c"(count)
				 : "d"(PORT_FIFO)
				 : "memory");
	else if (size == 2)
		__asm__ volatile("rep outsw"
				 : "+S"(si), "+c"(count)
				 : "d"(PORT_FIFO)
				 : "memory");
	else
		__asm__ volatile("rep outsl"
				 : "+S"(si), "+c"(count)
				 : "d"(PORT_FIFO)
				 : "memory");
	__asm__ volatile("cld");
	CHECK(count == 0);
	return si;
}

static u64
ins(unsigned size, void *to, u64 count)
{
	u64 di = (u64)to;

	if (size == 1)
		__asm__ volatile("rep insb"
				 : "+D"(di), "+c"(count)
				 : "d"(PORT_FIFO)
				 : "memory");
	else if (size == 2)
		__asm__ volatile("rep insw"
				 : "+D"(di), "+c"(count)
				 : "d"(PORT_FIFO)
				 : "memory");
	else
		__asm__ volatile("rep insl"
				 : "+D"(di), "+c"(count)
				 : "d"(PORT_FIFO)
				 : "memory");
	CHECK(count == 0);
	return di;
}

/* The host compares its log: 0..99 as bytes, 300 words 0x100.., 3 backwards,
 * 40 dwords. The reads then give 1, 2, 3 ... */
void
test_pio_string(void)
{
	u16 *w = (u16 *)(buf + 4096 - 200);
	u32 *d = (u32 *)(buf + 64);
	u8 *from;

	for (unsigned i = 0; i < 100; i++)
		buf[i] = (u8)i;
	CHECK(outs(1, buf, 100, 0) == (u64)(buf + 100));
	/* across a page */
	for (unsigned i = 0; i < 300; i++)
		w[i] = (u16)(0x100 + i);
	CHECK(outs(2, w, 300, 0) == (u64)(w + 300));
	/* backwards: the last comes first */
	from = buf + 2;
	CHECK(outs(1, from, 3, 1) == (u64)from - 3);
	for (unsigned i = 0; i < 40; i++)
		d[i] = 0xabcd0000 + i;
	CHECK(outs(4, d, 40, 0) == (u64)(d + 40));
	CHECK(outs(1, buf, 0, 0) == (u64)buf);

	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = 0xee;
	CHECK(ins(1, buf + 4000, 200) == (u64)(buf + 4200));
	for (unsigned i = 0; i < 200; i++)
		CHECK(buf[4000 + i] == (u8)(i + 1));
	CHECK(buf[3999] == 0xee && buf[4200] == 0xee);
	CHECK(ins(2, buf, 256) == (u64)(buf + 512));
	for (unsigned i = 0; i < 256; i++)
		CHECK(((u16 *)buf)[i] == 201 + i);
	CHECK(ins(4, buf + 2048, 9) == (u64)(buf + 2084));
	for (unsigned i = 0; i < 9; i++)
		CHECK(((u32 *)(buf + 2048))[i] == 457 + i);
	CHECK(ins(1, buf, 0) == (u64)buf);
}

/* A device page at the window's page 8, uncached. */
void
test_mmio(void)
{
	volatile u8 *m = (volatile u8 *)window(8);
	u64 sum, di, si, n;

	map(8, PAYLOAD_MMIO_GPA, PTE_P | PTE_W | 0x10);
	m[3] = 0x12;
	CHECK(m[3] == 0xed);
	*(volatile u16 *)(m + 6) = 0x3456;
	CHECK(*(volatile u16 *)(m + 6) == 0xcba9);
	*(volatile u32 *)(m + 8) = 0x789abcde;
	CHECK(*(volatile u32 *)(m + 8) == 0x87654321);
	*(volatile u64 *)(m + 16) = 0x0123456789abcdef;
	CHECK(*(volatile u64 *)(m + 16) == 0xfedcba9876543210);
	/* unaligned, within the page */
	*(volatile u32 *)(m + 33) = 0x11223344;
	CHECK(*(volatile u32 *)(m + 33) == 0xeeddccbb);
	/* sign and zero extension */
	m[40] = 0x7f;
	__asm__ volatile("movsbq (%1), %0" : "=r"(sum) : "r"(m + 40));
	CHECK(sum == 0xffffffffffffff80);
	__asm__ volatile("movzbl (%1), %k0" : "=r"(sum) : "r"(m + 40));
	CHECK(sum == 0x80);
	/* read-modify-write: the read is inverted, the sum is stored */
	*(volatile u32 *)(m + 48) = 10;
	__asm__ volatile("addl $5, (%0)" : : "r"(m + 48) : "memory", "cc");
	CHECK(*(volatile u32 *)(m + 48) == ~(~10u + 5));
	sum = 0x77;
	__asm__ volatile("xchgl %k0, (%1)"
			 : "+r"(sum)
			 : "r"(m + 48)
			 : "memory");
	CHECK((u32)sum == ~(~10u + 5));
	CHECK(*(volatile u32 *)(m + 48) == ~0x77u);
	__asm__ volatile("orb $0x80, (%0)" : : "r"(m + 52) : "memory", "cc");
	__asm__ volatile("cmpl $-1, (%1)\n\tsetne %b0"
			 : "=q"(sum)
			 : "r"(m + 60)
			 : "cc");
	CHECK((u8)sum == 0); /* never written: zero, inverted */
	/* strings, both ways */
	for (unsigned i = 0; i < 64; i++)
		buf[i] = (u8)(i * 3);
	di = (u64)(m + 256), si = (u64)buf, n = 64;
	__asm__ volatile("rep movsb"
			 : "+D"(di), "+S"(si), "+c"(n)
			 :
			 : "memory");
	CHECK(n == 0 && di == (u64)(m + 320));
	di = (u64)(buf + 100), si = (u64)(m + 256), n = 16;
	__asm__ volatile("rep movsl"
			 : "+D"(di), "+S"(si), "+c"(n)
			 :
			 : "memory");
	CHECK(n == 0);
	for (unsigned i = 0; i < 64; i++)
		CHECK(buf[100 + i] == (u8) ~(i * 3));
	di = (u64)(m + 512), n = 5;
	__asm__ volatile("rep stosq"
			 : "+D"(di), "+c"(n)
			 : "a"(0x5555)
			 : "memory");
	CHECK(*(volatile u64 *)(m + 544) == ~0x5555ULL);
	CHECK(*(volatile u64 *)(m + 552) == ~0ULL);
}

/* Asks the host for an interrupt; it comes when it can be delivered. */
static void
ask_irq(u8 vector)
{
	out32(PORT_NOTE, NOTE_IRQ | vector);
}

static int
wait_for(u8 vector, u32 count)
{
	for (u32 i = 0; i < 20000000 && trap_count[vector] < count; i++)
		__asm__ volatile("pause");
	return trap_count[vector] == count;
}

void
test_irq(void)
{
	/* interrupts on: it comes by itself */
	__asm__ volatile("sti");
	ask_irq(0x41);
	CHECK(wait_for(0x41, 1));
	CHECK(last.vector == 0x41 && last.cs == SEL_CODE);
	CHECK(last.rflags & 0x200);
	CHECK(rflags() & 0x200);
	/* off: it waits for STI and the instruction after it */
	__asm__ volatile("cli");
	ask_irq(0x42);
	for (volatile u32 i = 0; i < 1000; i++)
		;
	CHECK(trap_count[0x42] == 0);
	__asm__ volatile("sti");
	CHECK(wait_for(0x42, 1));
	/* many, one after the other */
	for (u32 i = 1; i <= 30; i++) {
		ask_irq(0x50);
		CHECK(wait_for(0x50, i));
	}
	__asm__ volatile("cli");
}

/* Where exactly a waiting interrupt is taken. */
void
test_irq_window(void)
{
	u64 before, after;

	ask_irq(0x42);
	/* STI; CLI opens no window, the shadow covers CLI */
	for (u32 i = 0; i < 20; i++)
		__asm__ volatile("sti\n\tcli");
	CHECK(trap_count[0x42] == 0);
	__asm__ volatile("leaq 1f(%%rip), %0\n\t"
			 "leaq 2f(%%rip), %1\n\t"
			 "sti\n"
			 "1:\tnop\n"
			 "2:\tnop\n\tnop\n\tnop"
			 : "=&r"(before), "=&r"(after)
			 :
			 : "memory");
	CHECK(trap_count[0x42] == 1);
	CHECK(last.rip == after);
	CHECK(before < after);
	/* POPF opens the window at once */
	__asm__ volatile("cli");
	ask_irq(0xfe);
	__asm__ volatile("pushfq\n\torq $0x200, (%%rsp)\n\tpopfq\n\tnop\n\tnop"
			 :
			 :
			 : "memory", "cc");
	CHECK(trap_count[0xfe] == 1);
}

void
test_hlt(void)
{
	u64 resumed;

	for (u32 i = 1; i <= 10; i++) {
		ask_irq(0x43);
		/* asked with interrupts off: it must wake the HLT, not come
		 * between STI and HLT */
		__asm__ volatile("leaq 1f(%%rip), %0\n\tsti\n\thlt\n1:\tcli"
				 : "=r"(resumed)
				 :
				 : "memory");
		CHECK(trap_count[0x43] == i);
		CHECK(last.rip == resumed);
	}
}

static void
ask_nmi(void)
{
	out32(PORT_NOTE, NOTE_NMI);
	for (volatile u32 i = 0; i < 100; i++)
		;
}

void
test_nmi(void)
{
	__asm__ volatile("cli");
	for (u32 i = 1; i <= 5; i++) {
		ask_nmi();
		CHECK(trap_count[2] == i);
		CHECK(!(last.rflags & 0x200));
	}
}

/* While one is handled (trap() then asks for another) the next one waits for
 * IRETQ. */
void
test_nmi_mask(void)
{
	nmi_again = 1;
	ask_nmi();
	CHECK(nmi_again == 0);
	CHECK(nmi_inside == 1); /* this one only: the second waited */
	CHECK(trap_count[2] == 2);
}

void
test_rom(void)
{
	volatile u8 *rom = (volatile u8 *)PAYLOAD_ROM_GPA;

	for (u32 i = 0; i < PAYLOAD_ROM_BYTES; i += 251)
		CHECK(rom[i] == (u8)(i * 7 + 3));
	rom[100] = 0x42; /* the host sees it, the memory does not change */
	CHECK(rom[100] == (u8)(100 * 7 + 3));
	*(volatile u32 *)(rom + 4096) = 0x12345678;
	CHECK(rom[4096] == (u8)(4096 * 7 + 3));
}

/* The in-kernel 8259 pair, vectors 20h and 28h, only input 4 open. */
void
test_pic(void)
{
	out8(0x20, 0x11);
	out8(0xa0, 0x11);
	out8(0x21, 0x20);
	out8(0xa1, 0x28);
	out8(0x21, 0x04);
	out8(0xa1, 0x02);
	out8(0x21, 0x01);
	out8(0xa1, 0x01);
	out8(0x21, 0xef);
	out8(0xa1, 0xff);
	CHECK(in8(0x21) == 0xef);
	for (u32 i = 1; i <= 3; i++) {
		__asm__ volatile("sti");
		out32(PORT_NOTE, NOTE_LINE);
		CHECK(wait_for(0x24, i));
		__asm__ volatile("cli");
		out8(0x20, 0x20);
	}
}
