/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bits.h"
#include "driver/cpuid.h"

static void
test_cpuid_table_is_sorted_and_complete(void **state)
{
	size_t count;
	const struct cpuid_row *t = cpuid_table(&count);
	u32 r[4];

	(void)state;
	assert_true(count > 8);
	for (size_t i = 1; i < count; i++)
		assert_true(t[i].leaf > t[i - 1].leaf);
	for (size_t i = 0; i < count; i++) {
		cpuid_get(t[i].leaf, 7, r);
		assert_int_equal(r[0], t[i].eax);
		assert_int_equal(r[1], t[i].ebx);
		assert_int_equal(r[2], t[i].ecx);
		assert_int_equal(r[3], t[i].edx);
	}
	/* the largest extended leaf is there, and no leaf beyond */
	cpuid_get(0x80000000, 0, r);
	assert_int_equal(r[0], t[count - 1].leaf);
}

static void
text_of(char *to, u32 a, u32 b, u32 c)
{
	put_le32(to, a);
	put_le32(to + 4, b);
	put_le32(to + 8, c);
	to[12] = '\0';
}

static void
test_cpuid_names_vendor_hypervisor_and_brand(void **state)
{
	char text[49];
	u32 r[4];

	(void)state;
	cpuid_get(0, 0, r);
	text_of(text, r[1], r[3], r[2]);
	assert_string_equal(text, "AuthenticAMD");
	cpuid_get(0x80000000, 0, r);
	text_of(text, r[1], r[3], r[2]);
	assert_string_equal(text, "AuthenticAMD");
	cpuid_get(0x40000000, 0, r);
	text_of(text, r[1], r[2], r[3]);
	assert_string_equal(text, "SpindleSpndl");
	for (u32 i = 0; i < 3; i++) {
		cpuid_get(0x80000002 + i, 0, r);
		memcpy(text + 16 * i, r, 16);
	}
	text[48] = '\0';
	assert_string_equal(text, "Spindle x86-64-v2 CPU");
}

static void
test_cpuid_gives_zeros_beyond_the_largest_leaf(void **state)
{
	static const u32 beyond[] = {2,		 7,	     0xd,
				     0x15,	 0x40000001, 0x80000009,
				     0x8000001d, 0x80000020, 0x80000022,
				     0xc0000000, 0xffffffff};
	u32 r[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(beyond); i++) {
		memset(r, 0xff, sizeof(r));
		cpuid_get(beyond[i], 0, r);
		for (int j = 0; j < 4; j++)
			assert_int_equal(r[j], 0);
	}
}

/* x86-64 psABI, "microarchitecture levels": all of baseline and v2, and none
 * of what v3 adds, nor what the software CPU does not have. */
static void
test_cpuid_is_x86_64_v2_and_no_more(void **state)
{
	const u32 baseline_edx =
	    BIT(0) | BIT(8) | BIT(15) | BIT(23) | BIT(24) | BIT(25) | BIT(26);
	const u32 v2_ecx =
	    BIT(0) | BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(23);
	/* PCLMUL MONITOR VMX FMA PCID x2APIC MOVBE AES XSAVE OSXSAVE AVX F16C
	 * RDRAND */
	const u32 no_ecx = BIT(1) | BIT(3) | BIT(5) | BIT(12) | BIT(17) |
			   BIT(21) | BIT(22) | BIT(25) | BIT(26) | BIT(27) |
			   BIT(28) | BIT(29) | BIT(30);
	/* MCE MTRR MCA HTT */
	const u32 no_edx = BIT(7) | BIT(12) | BIT(14) | BIT(28);
	/* SVM ABM SSE4A 3DNOWPREFETCH XOP TBM TOPOEXT */
	const u32 no_ext_ecx =
	    BIT(2) | BIT(5) | BIT(6) | BIT(8) | BIT(11) | BIT(21) | BIT(22);
	u32 r[4];

	(void)state;
	cpuid_get(1, 0, r);
	assert_int_equal(r[3] & baseline_edx, baseline_edx);
	assert_int_equal(r[2] & v2_ecx, v2_ecx);
	assert_int_equal(r[2] & no_ecx, 0);
	assert_int_equal(r[3] & no_edx, 0);
	assert_true(r[2] & BIT(31));			 /* hypervisor */
	assert_true(r[2] & BIT(24));			 /* TSC deadline */
	assert_int_equal(r[1] >> 24, 0);		 /* APIC id */
	assert_int_equal(bits_get(r[1], 23, 16), 1);	 /* logical CPUs */
	assert_int_equal(bits_get(r[1], 15, 8) * 8, 64); /* CLFLUSH */
	cpuid_get(0x80000001, 0, r);
	assert_true(r[2] & BIT(0)); /* LAHF */
	assert_int_equal(r[2] & no_ext_ecx, 0);
	/* SYSCALL NX PDPE1GB RDTSCP LM, but no 3DNow */
	assert_true(r[3] & BIT(11) && r[3] & BIT(20) && r[3] & BIT(26));
	assert_true(r[3] & BIT(27) && r[3] & BIT(29));
	assert_int_equal(r[3] & (BIT(30) | BIT(31)), 0);
}

/* APM 3 E.4.2: these bits of 80000001h EDX repeat those of 1 EDX. */
static void
test_cpuid_repeats_the_aliased_bits(void **state)
{
	const u32 aliased = 0x0183f3ff;
	u32 r1[4], rx[4];

	(void)state;
	cpuid_get(1, 0, r1);
	cpuid_get(0x80000001, 0, rx);
	assert_int_equal(r1[3] & aliased, rx[3] & aliased);
	assert_int_equal(r1[0], rx[0]);
}

static void
test_cpuid_missing_names_each_feature(void **state)
{
	const u32 ecx = BIT(0) | BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(23);
	const u32 edx = 0x0788fbff;

	(void)state;
	assert_null(cpuid_missing(ecx, edx, BIT(0)));
	assert_null(cpuid_missing(~0U, ~0U, ~0U));
	assert_string_equal(cpuid_missing(ecx & ~BIT(0), edx, 1), "pni");
	assert_string_equal(cpuid_missing(ecx & ~BIT(9), edx, 1), "ssse3");
	assert_string_equal(cpuid_missing(ecx & ~BIT(13), edx, 1), "cx16");
	assert_string_equal(cpuid_missing(ecx & ~BIT(19), edx, 1), "sse4_1");
	assert_string_equal(cpuid_missing(ecx & ~BIT(20), edx, 1), "sse4_2");
	assert_string_equal(cpuid_missing(ecx & ~BIT(23), edx, 1), "popcnt");
	assert_string_equal(cpuid_missing(ecx, edx & ~BIT(26), 1), "sse2");
	assert_string_equal(cpuid_missing(ecx, edx, 0), "lahf_lm");
	assert_string_equal(cpuid_missing(0, 0, 0), "fpu");
}

/* __builtin_cpu_supports asks the same processor another way. */
static void
test_cpuid_host_ok_agrees_with_the_compiler(void **state)
{
	const char *missing = "untouched";
	bool ok = cpuid_host_ok(&missing);

	(void)state;
	assert_int_equal(ok, missing == NULL);
	if (ok)
		assert_true(__builtin_cpu_supports("ssse3") &&
			    __builtin_cpu_supports("sse4.1") &&
			    __builtin_cpu_supports("sse4.2") &&
			    __builtin_cpu_supports("popcnt"));
	else
		print_message("this host lacks %s\n", missing);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cpuid_table_is_sorted_and_complete),
	    cmocka_unit_test(test_cpuid_names_vendor_hypervisor_and_brand),
	    cmocka_unit_test(test_cpuid_gives_zeros_beyond_the_largest_leaf),
	    cmocka_unit_test(test_cpuid_is_x86_64_v2_and_no_more),
	    cmocka_unit_test(test_cpuid_repeats_the_aliased_bits),
	    cmocka_unit_test(test_cpuid_missing_names_each_feature),
	    cmocka_unit_test(test_cpuid_host_ok_agrees_with_the_compiler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
