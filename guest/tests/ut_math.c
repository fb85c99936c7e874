/* SPDX-License-Identifier: BSD-2-Clause */
/* ut_math - numbers: x87 to its last bit, SSE2, wide integers, conversions
 *
 * libm chooses some double functions by what the processor offers, and they
 * may differ in the last bit; its long double functions are x87 everywhere.
 */
#include <math.h>

#include "guest/tests/ut.h"

static void
print_long(const char *name, long double x)
{
	u8 bytes[16] = {0};

	memcpy(bytes, &x, 10);
	printf("%s %.20Lg %La %04x%016llx\n", name, x, x, get_le16(bytes + 8),
	       (unsigned long long)get_le64(bytes));
}

static void
long_doubles(void)
{
	static const long double xs[] = {
	    0.0L,     -0.0L,	  1.0L,	   -1.5L,      3.25L,
	    1e-5L,    12345.678L, 1e4000L, 1e-4940L,   0.1L,
	    1.0L / 3, -2.75L,	  1e18L,   0.9999999L, 100.0L,
	};

	for (size_t i = 0; i < ARRAY_SIZE(xs); i++) {
		long double x = xs[i];

		print_long("x", x);
		print_long(" sin", sinl(x));
		print_long(" cos", cosl(x));
		print_long(" atan", atanl(x));
		print_long(" exp", expl(x > 20000 ? 1 : x));
		print_long(" log", logl(fabsl(x) + 1e-30L));
		print_long(" sqrt", sqrtl(fabsl(x)));
		print_long(" cbrt", cbrtl(x));
		print_long(" tanh", tanhl(x));
		print_long(" pow", powl(fabsl(x) + 0.5L, 1.75L));
		print_long(" mod", fmodl(x, 0.7L));
		printf(" rounded %ld %lld %Lg %Lg\n",
		       lrintl(x < 1e9L ? x : 1e9L),
		       llrintl(x < 1e18L ? x : 1e18L), floorl(x), ceill(x));
	}
}

/* The instructions that no compiler emits, by hand. */
static void
x87_instructions(void)
{
	long double a, b;
	u8 bcd[10];
	u16 status;

	__asm__("fptan" : "=t"(a), "=u"(b) : "0"(0.7L));
	print_long("fptan", b);
	__asm__("fpatan" : "=t"(a) : "0"(3.0L), "u"(-2.0L) : "st(1)");
	print_long("fpatan", a);
	__asm__("fscale" : "=t"(a) : "0"(1.75L), "u"(-70.5L));
	print_long("fscale", a);
	__asm__("fxtract" : "=t"(a), "=u"(b) : "0"(-1234.5L));
	print_long("fxtract", a);
	print_long("fxtract", b);
	__asm__("fprem1; fnstsw %1"
		: "=t"(a), "=a"(status)
		: "0"(12345.75L), "u"(7.25L));
	print_long("fprem1", a);
	printf("fprem1 status %04x\n", status & 0x4700);
	__asm__ volatile("fbstp %0" : "=m"(bcd) : "t"(-123456789.5L) : "st");
	for (int i = 9; i >= 0; i--)
		printf("%02x", bcd[i]);
	__asm__("fbld %1" : "=t"(a) : "m"(bcd));
	print_long(" fbld", a);
	__asm__("fyl2xp1" : "=t"(a) : "0"(0.125L), "u"(3.0L) : "st(1)");
	print_long("fyl2xp1", a);
	__asm__("f2xm1" : "=t"(a) : "0"(0.3L));
	print_long("f2xm1", a);
}

static void
precision_control(void)
{
	static const u16 words[] = {0x037f, 0x027f, 0x007f, 0x0f7f,
				    0x077f, 0x0b7f, 0x0c7f};
	const u16 usual = 0x037f;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		volatile long double x = 1.0L, y = 3.0L;
		long double third, root;
		int rounded;

		__asm__ volatile("fldcw %0" ::"m"(words[i]));
		third = x / y;
		root = sqrtl(y);
		__asm__ volatile("fldt %1; fistpl %0"
				 : "=m"(rounded)
				 : "m"((long double){-2.5L}));
		__asm__ volatile("fldcw %0" ::"m"(usual));
		printf("control %04x: %d", words[i], rounded);
		print_long("", third);
		print_long("   root", root);
	}
}

static void
doubles(void)
{
	u64 rng = 99, hash = UT_HASH;

	for (unsigned i = 0; i < 100000; i++) {
		double a, b, r[6];
		float f;
		s64 n;
		u64 ra = ut_random(&rng), rb = ut_random(&rng);

		/* exponents near 1, so that results stay finite */
		ra = (ra & 0x800fffffffffffffULL) | (1000 + ra % 46) << 52;
		rb = (rb & 0x800fffffffffffffULL) | (1000 + rb % 46) << 52;
		memcpy(&a, &ra, 8);
		memcpy(&b, &rb, 8);
		n = (s64)(a * 1e6);
		f = (float)(a - b);
		r[0] = a + b;
		r[1] = a * b;
		r[2] = a / b;
		r[3] = sqrt(fabs(a));
		r[4] = (double)n + (double)(s32)n;
		r[5] = (double)f * 1.5;
#if UT_64 /* in 32-bit code these pass through 80 bits and depend on spills */
		hash = ut_hash(hash, r, sizeof(r));
#else
		hash = ut_hash(hash, r, 1);
#endif
	}
	printf("doubles %016llx\n", (unsigned long long)hash);
}

static void
integers(void)
{
	u64 rng = 5, hash = UT_HASH;

	for (unsigned i = 0; i < 50000; i++) {
		u64 a = ut_random(&rng), b = ut_random(&rng) >> (i % 60);
		u64 r[8];

		r[0] = a / (b | 1);
		r[1] = a % (b | 1);
		r[2] = (u64)((s64)a / (s64)(b | 1));
		r[3] = a * b;
		r[4] = a << (b & 63) | a >> (-b & 63);
		r[5] = (u64)__builtin_popcountll(a) +
		       (u64)__builtin_ctzll(a | 1ULL << 63);
		r[6] = __builtin_bswap64(a) ^ (u64)__builtin_clzll(b | 1);
#if UT_64
		r[7] = (u64)((unsigned __int128)a * b >> 64) +
		       (u64)(((unsigned __int128)a << 64 | b) / (a | 3));
#else
		r[7] = 0;
#endif
		hash = ut_hash(hash, r, sizeof(r));
	}
	printf("integers %016llx\n", (unsigned long long)hash);
}

static void
text(void)
{
	static const double xs[] = {0.1,	1e23,
				    5e-324,	1.7976931348623157e308,
				    123456.789, 2.5,
				    -0.0,	1e-7,
				    0.3,	1e15 + 0.3,
				    1 / 3.0,	4.35};
	char buffer[64];

	for (size_t i = 0; i < ARRAY_SIZE(xs); i++) {
		snprintf(buffer, sizeof(buffer), "%.17g", xs[i]);
		printf("%s %.3f %e %a %d\n", buffer, fmod(xs[i], 1000), xs[i],
		       xs[i], strtod(buffer, NULL) == xs[i]);
	}
	printf("%.50Lf\n%.30Le\n", 1.0L / 3.0L, 2.0L / 3.0L);
	printf("%Lg %Lg %Lg\n", (long double)INFINITY, -(long double)INFINITY,
	       fabsl((long double)NAN));
}

void
ut_math(void)
{
	long_doubles();
	x87_instructions();
	precision_control();
	doubles();
	integers();
	text();
}
