/* SPDX-License-Identifier: BSD-2-Clause */
/* The table is written so that a Linux kernel finds nothing to complain about
 * and nothing to touch that does not exist:
 *
 * - Family 0Fh, model 2Fh. Families 10h and up make kernels read HWCR with a
 *   plain RDMSR to check the TSC's P0 bit, models 41h and up of 0Fh and all of
 *   10h have erratum 400 (another plain RDMSR), 15h and up are treated for
 *   Retbleed. This one needs none of that, and its LAHF64 is believed
 *   (models below 14h: erratum 110).
 * - No MCE, MCA and MTRR, so no machine check banks and no MTRR registers.
 * - No leaf above 1, so no XSAVE, SMEP, SMAP, FSGSBASE, BMI. AMD processors
 *   answer zeros above the largest leaf.
 * - No bit that only AMD processors have (MMXEXT, FFXSR, SSE4A, 3DNow, CR8
 *   without LOCK): KVM on an Intel host could not offer it.
 * - But for one: Automatic IBRS (80000021h), where the host has it and on the
 *   software CPU, which speculates nothing. A kernel that finds it calls
 *   through pointers directly, not through retpolines: system calls and disk
 *   requests take a fifth less time.
 * - Legacy cache leaves (80000005h, 80000006h) only, with caches of the size
 *   that real parts had: C libraries derive their copy thresholds from them. */
#include "driver/cpuid.h"

#include <cpuid.h>

#define SIGNATURE 0x00020ff2 /* family 0Fh, model 2Fh, stepping 2 */

/* "AuthenticAMD" in the order EBX, ECX, EDX. */
#define VENDOR_EBX 0x68747541
#define VENDOR_ECX 0x444d4163
#define VENDOR_EDX 0x69746e65

/* CPUID 1 EDX, and 80000001h EDX without SYSCALL's bit */
#define D_FPU	BIT(0)
#define D_DE	BIT(2)
#define D_PSE	BIT(3)
#define D_TSC	BIT(4)
#define D_MSR	BIT(5)
#define D_PAE	BIT(6)
#define D_CX8	BIT(8)
#define D_APIC	BIT(9)
#define D_SEP	BIT(11)
#define D_PGE	BIT(13)
#define D_CMOV	BIT(15)
#define D_PAT	BIT(16)
#define D_PSE36 BIT(17)
#define D_CLFSH BIT(19)
#define D_MMX	BIT(23)
#define D_FXSR	BIT(24)
#define D_SSE	BIT(25)
#define D_SSE2	BIT(26)
#define D_COMMON \
	(D_FPU | D_DE | D_PSE | D_TSC | D_MSR | D_PAE | D_CX8 | D_APIC | \
	 D_PGE | D_CMOV | D_PAT | D_PSE36 | D_MMX | D_FXSR)

/* CPUID 1 ECX */
#define C_SSE3	       BIT(0)
#define C_SSSE3	       BIT(9)
#define C_CX16	       BIT(13)
#define C_SSE41	       BIT(19)
#define C_SSE42	       BIT(20)
#define C_POPCNT       BIT(23)
#define C_TSC_DEADLINE BIT(24)
#define C_HYPERVISOR   BIT(31)

/* CPUID 80000001h */
#define XC_LAHF64  BIT(0)
#define XD_SYSCALL BIT(11)
#define XD_NX	   BIT(20)
#define XD_PDPE1GB BIT(26)
#define XD_RDTSCP  BIT(27)
#define XD_LM	   BIT(29)

#define TEXT4(a, b, c, d) \
	((u32)(a) | (u32)(b) << 8 | (u32)(c) << 16 | (u32)(d) << 24)

/* APM 3 E.3 (standard), E.4 (extended) */
static const struct cpuid_row table[] = {
    /* largest leaf, vendor */
    {0x00000000, 0, false, 1, VENDOR_EBX, VENDOR_ECX, VENDOR_EDX},
    /* EBX: APIC id 0, one logical processor, CLFLUSH of 8 quadwords */
    {0x00000001, 0, false, SIGNATURE, 0x00010800,
     C_SSE3 | C_SSSE3 | C_CX16 | C_SSE41 | C_SSE42 | C_POPCNT | C_TSC_DEADLINE |
	 C_HYPERVISOR,
     D_COMMON | D_SEP | D_CLFSH | D_SSE | D_SSE2},
    /* hypervisor: largest leaf, "SpindleSpndl" */
    {0x40000000, 0, false, 0x40000000, TEXT4('S', 'p', 'i', 'n'),
     TEXT4('d', 'l', 'e', 'S'), TEXT4('p', 'n', 'd', 'l')},
    {0x80000000, 0, false, 0x80000021, VENDOR_EBX, VENDOR_ECX, VENDOR_EDX},
    {0x80000001, 0, false, SIGNATURE, 0, XC_LAHF64,
     D_COMMON | XD_SYSCALL | XD_NX | XD_PDPE1GB | XD_RDTSCP | XD_LM},
    /* "Spindle x86-64-v2 CPU" */
    {0x80000002, 0, false, TEXT4('S', 'p', 'i', 'n'), TEXT4('d', 'l', 'e', ' '),
     TEXT4('x', '8', '6', '-'), TEXT4('6', '4', '-', 'v')},
    {0x80000003, 0, false, TEXT4('2', ' ', 'C', 'P'), TEXT4('U', 0, 0, 0), 0,
     0},
    {0x80000004, 0, false, 0, 0, 0, 0},
    /* L1 TLBs: 32 4K and 8 2M entries, fully associative; L1 caches: 64 KiB,
     * 2-way, 64-byte lines */
    {0x80000005, 0, false, 0xff08ff08, 0xff20ff20, 0x40020140, 0x40020140},
    /* L2 TLB: 512 4K entries, 4-way; L2 cache: 512 KiB, 16-way; no L3 */
    {0x80000006, 0, false, 0, 0x42004200, 0x02008140, 0},
    /* TSC invariant */
    {0x80000007, 0, false, 0, 0, 0, BIT(8)},
    /* 40 physical and 48 linear address bits, one core */
    {0x80000008, 0, false, 0x3028, 0, 0, 0},
    {0x80000021, 0, false, CPUID_AUTO_IBRS, 0, 0, 0},
};

const struct cpuid_row *
cpuid_table(size_t *count)
{
	*count = ARRAY_SIZE(table);
	return table;
}

void
cpuid_get(u32 leaf, u32 subleaf, u32 out[4])
{
	memset(out, 0, 4 * sizeof(out[0]));
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct cpuid_row *row = &table[i];

		if (row->leaf != leaf ||
		    (row->has_subleaf && row->subleaf != subleaf))
			continue;
		out[0] = row->eax;
		out[1] = row->ebx;
		out[2] = row->ecx;
		out[3] = row->edx;
		return;
	}
}

/* What the software CPU executes on the host, and guest user code under KVM.
 * Names as in /proc/cpuinfo. */
enum reg { ECX_1, EDX_1, ECX_EXT };

static const struct {
	enum reg reg;
	u32 bit;
	const char *name;
} needed[] = {
    {EDX_1, D_FPU, "fpu"},	     {EDX_1, D_CX8, "cx8"},
    {EDX_1, D_CMOV, "cmov"},	     {EDX_1, D_CLFSH, "clflush"},
    {EDX_1, D_MMX, "mmx"},	     {EDX_1, D_FXSR, "fxsr"},
    {EDX_1, D_SSE, "sse"},	     {EDX_1, D_SSE2, "sse2"},
    {ECX_1, C_SSE3, "pni"},	     {ECX_1, C_SSSE3, "ssse3"},
    {ECX_1, C_CX16, "cx16"},	     {ECX_1, C_SSE41, "sse4_1"},
    {ECX_1, C_SSE42, "sse4_2"},	     {ECX_1, C_POPCNT, "popcnt"},
    {ECX_EXT, XC_LAHF64, "lahf_lm"},
};

const char *
cpuid_missing(u32 ecx_1, u32 edx_1, u32 ecx_ext)
{
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		u32 have = needed[i].reg == ECX_1   ? ecx_1
			   : needed[i].reg == EDX_1 ? edx_1
						    : ecx_ext;

		if (!(have & needed[i].bit))
			return needed[i].name;
	}
	return NULL;
}

bool
cpuid_host_ok(const char **missing)
{
	u32 a, b, c = 0, d = 0, ext_a, ext_b, ext_c = 0, ext_d;

	/* 0 returned: the leaf does not exist; the zeros then say "missing" */
	(void)__get_cpuid(1, &a, &b, &c, &d);
	(void)__get_cpuid(0x80000001, &ext_a, &ext_b, &ext_c, &ext_d);
	*missing = cpuid_missing(c, d, ext_c);
	return *missing == NULL;
}
