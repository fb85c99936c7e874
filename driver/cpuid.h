/* SPDX-License-Identifier: BSD-2-Clause */
/* cpuid - the processor that every driver presents
 *
 * What:    an AMD-vendor x86-64-v2 part (SSE4.2, POPCNT, CMPXCHG16B, LAHF;
 *          no AVX, XSAVE, PCID, SMEP, SMAP), the same under KVM and the
 *          software CPU, so that a machine can move between them. AMD, because
 *          kernels then need no page-table isolation.
 * Model:   AMD APM 3 appendix E; x86-64 psABI, microarchitecture levels.
 * Units:   one row a leaf and subleaf.
 * Threads: pure functions over constant tables.
 */
#ifndef DRIVER_CPUID_H
#define DRIVER_CPUID_H

#include "base/bits.h"

/* CPUID 80000021h EAX */
#define CPUID_AUTO_IBRS BIT(8)

struct cpuid_row {
	u32 leaf, subleaf;
	bool has_subleaf; /* subleaf must match; else any */
	u32 eax, ebx, ecx, edx;
};

/* The static table, for KVM_SET_CPUID2; *count rows. */
const struct cpuid_row *cpuid_table(size_t *count);

/* One CPUID. Leaves beyond the largest give the AMD answer: zeros. */
void cpuid_get(u32 leaf, u32 subleaf, u32 out[4]);

/* False, with the name of the first missing feature, when the host processor
 * lacks something the presented part promises. */
bool cpuid_host_ok(const char **missing);

/* The same for a processor given by its CPUID registers: 1 ECX, 1 EDX and
 * 80000001h ECX. NULL when nothing is missing; else the /proc/cpuinfo name. */
const char *cpuid_missing(u32 ecx_1, u32 edx_1, u32 ecx_ext);

#endif
