/* SPDX-License-Identifier: BSD-2-Clause */
/* payload - what the driver tests and their guest agree on
 *
 * What:    a freestanding 64-bit guest that tests whatever executes it. It is
 *          a flat image, loaded at PAYLOAD_GPA in PAYLOAD_RAM_BYTES of RAM and
 *          entered in long mode at its first byte, RSP = PAYLOAD_STACK, RDI =
 *          the number of one test (enum payload_test), RSI = its argument. It
 *          checks itself and speaks through ports; what only the host can see,
 *          the host checks.
 * Model:   x86-64; long mode from the first instruction.
 * Units:   gpa in bytes. Ports are 32 bits wide unless their comment says so.
 *
 * The host supplies the page tables (PAYLOAD_PML4 and on): the first GiB mapped
 * onto itself with 2 MiB pages, supervisor, writable, executable; and an empty
 * page table for the 2 MiB at PAYLOAD_WINDOW, whose entries belong to the
 * payload. All bytes that are not the image are zero.
 */
#ifndef GUEST_PAYLOAD_PAYLOAD_H
#define GUEST_PAYLOAD_PAYLOAD_H

#define PAYLOAD_RAM_BYTES 0x1000000
#define PAYLOAD_GPA	  0x100000
#define PAYLOAD_STACK	  0x90000

#define PAYLOAD_PML4	  0x1000
#define PAYLOAD_PDPT	  0x2000
#define PAYLOAD_PD	  0x3000
#define PAYLOAD_PD_WINDOW 0x4000
#define PAYLOAD_PT_WINDOW 0x5000
/* A second set, empty, for the payload to fill. */
#define PAYLOAD_PML4_ALT 0x8000
#define PAYLOAD_WINDOW	 0x40000000

/* RAM that the payload writes only when the host looks at the dirty log. */
#define PAYLOAD_DIRTY_GPA   0x800000
#define PAYLOAD_DIRTY_PAGES 256

/* Read-only memory (64 KiB); byte n holds n * 7 + 3. */
#define PAYLOAD_ROM_GPA	  0x2000000
#define PAYLOAD_ROM_BYTES 0x10000

/* A page of device memory: what is read is what was written, inverted. */
#define PAYLOAD_MMIO_GPA 0xe0000000

/* A check failed: the line number, with the file's number in bits 31..16.
 * 0xeeee0000 | vector: an exception that nobody asked for; the address
 * follows on PORT_NOTE. */
#define PORT_FAIL 0x700
/* The test is over: how many checks it made. */
#define PORT_DONE 0x704
/* A request (enum payload_note) or a value, as the test wants. */
#define PORT_NOTE 0x708
/* 1, 2 or 4 bytes: what is read is what was written last, inverted. */
#define PORT_LATCH 0xe4
/* 1, 2 or 4 bytes: writes are appended to a log; reads give the numbers 1, 2,
 * 3 ... in the access's width. */
#define PORT_FIFO 0x720

/* MSRs that no driver keeps. */
#define MSR_HOST_VALUE 0x4f0 /* reads as MSR_VALUE */
#define MSR_HOST_SINK  0x4f1 /* takes MSR_VALUE */
#define MSR_HOST_FAULT 0x4f2 /* the host answers #GP */
#define MSR_VALUE      0x1122334455667788ULL

/* Requests on PORT_NOTE; the low byte of PAYLOAD_NOTE_IRQ is the vector. */
enum payload_note {
	NOTE_CHECKPOINT = 1, /* the host may look, or move the machine */
	NOTE_NMI = 2,	     /* inject an NMI */
	NOTE_PAUSE = 3,	     /* stop the machine's clock for a while */
	NOTE_LINE = 4,	     /* pulse ISA interrupt 4 of the in-kernel chip */
	NOTE_IRQ = 0x100,
};

/* Some hosts' KVM emulates every instruction of ring 0, and knows few of them
 * (found: no INT n, SYSCALL, x87 or SSE arithmetic, XGETBV; CPUID, the TSC and
 * NMI masking as it likes). The tests are cut so that those marked
 * "all" run there too. */
enum payload_test {
	TEST_ARITH,	    /* all: integer instructions and flags */
	TEST_MEMORY,	    /* all: addressing, strings, stack */
	TEST_PIO,	    /* all: IN, OUT in every width and form */
	TEST_PIO_STRING,    /* all: REP OUTS, REP INS */
	TEST_MMIO,	    /* all: loads, stores, RMW, strings */
	TEST_SOFT_INT,	    /* INT n, INT3, the frame, IRETQ */
	TEST_IRQ,	    /* all: injected vectors, IF on and off */
	TEST_IRQ_WINDOW,    /* the exact place: STI's shadow, POPF */
	TEST_HLT,	    /* all: STI; HLT is woken by an interrupt */
	TEST_NMI,	    /* all: comes with IF clear */
	TEST_NMI_MASK,	    /* and not inside its handler, until IRETQ */
	TEST_PAGE_FAULT,    /* all: CR2 and error codes */
	TEST_PAGE_CROSSING, /* a faulting store has stored nothing */
	TEST_EXCEPTIONS,    /* all: #DE #DB #UD #NP #SS #GP */
	TEST_FP_EXCEPTIONS, /* #NM #MF #XM */
	TEST_FP_STATE,	    /* all: XMM, x87, MXCSR across an exit */
	TEST_FP,	    /* SSE and x87 arithmetic, FXSAVE */
	TEST_CPUID,	    /* all: leaf, EAX, EBX, ECX, EDX to PORT_NOTE */
	TEST_MSR,	    /* all: kept MSRs, SWAPGS, FS and GS, exits */
	TEST_SMC,	    /* all: code that is written and run */
	TEST_DIRTY,	    /* all: stores for the dirty log */
	TEST_CR3,	    /* all: address spaces, INVLPG, global pages */
	TEST_RING3,	    /* all: IRETQ out, faults back */
	TEST_SYSCALL,	    /* SYSCALL, SYSRET, INT from ring 3 */
	TEST_COMPAT,	    /* all: 32-bit user code */
	TEST_ROM,	    /* all: loads from, stores to read-only memory */
	TEST_TSC,	    /* counts, and not while the machine is paused */
	TEST_DEBUG_REGS,    /* all: DR0-3, DR6, DR7 */
	TEST_MIGRATE,	    /* all: RSI = rounds; the hash goes to NOTE */
	TEST_MIGRATE_FP,    /* the same with SSE, x87 and INT n in it */
	TEST_SPIN,	    /* counts in RAX for ever */
	TEST_TRIPLE,	    /* triple fault */
	TEST_WILD_JUMP,	    /* executes where there is no memory */
	TEST_PIC,	    /* an interrupt through the in-kernel 8259 */
	TEST_NO_XSAVE,	    /* what CPUID does not offer is #UD */
	TEST_COUNT
};

#endif
