/* SPDX-License-Identifier: BSD-2-Clause */
/* The programs that bench_soft runs as a guest: no operating system, no
 * library, no relocations. See bench/blob.h. */
#include "bench/blob.h"

#include <emmintrin.h>

/* Keeps a compiler from turning a loop into memcpy() or a vector loop. */
#define BARRIER() __asm__ volatile("" ::: "memory")

static __attribute__((noinline)) uint64_t
mix_step(uint64_t x, const uint32_t *table)
{
	return (x ^ table[x & 1023]) * 0x9e3779b97f4a7c15ULL + (x >> 29);
}

/* Integers, memory and a call in every turn. */
static uint64_t
run_mix(uint64_t iterations)
{
	uint32_t *table = (uint32_t *)BLOB_DATA_BASE;
	uint64_t x = 1;

	for (unsigned i = 0; i < 1024; i++)
		table[i] = i * 2654435761U;
	for (uint64_t i = 0; i < iterations; i++) {
		x = mix_step(x, table);
		table[(x >> 7) & 1023] += (uint32_t)x;
		if (x & 64)
			x -= i;
		else
			x += table[i & 1023];
	}
	return x;
}

/* A ring of 8192 nodes of 64 bytes in an order no prefetcher guesses. */
static uint64_t
run_chase(uint64_t iterations)
{
	enum { NODES = 8192, STRIDE_WORDS = 8 };
	uint64_t *ring = (uint64_t *)BLOB_DATA_BASE;
	uint64_t at = 0;

	/* x -> 5x + 1 (mod 2^n) visits every node once */
	for (unsigned i = 0; i < NODES; i++)
		ring[i * STRIDE_WORDS] =
		    (uint64_t)((i * 5U + 1) % NODES) * STRIDE_WORDS;
	for (uint64_t i = 0; i < iterations; i++)
		at = ring[at];
	return at;
}

static uint64_t
run_bytes(uint64_t iterations)
{
	enum { COUNT = 4096 };
	uint8_t *from = (uint8_t *)BLOB_DATA_BASE;
	uint8_t *to = from + COUNT;

	for (unsigned i = 0; i < COUNT; i++)
		from[i] = (uint8_t)(i * 7);
	for (uint64_t i = 0; i < iterations; i++) {
		for (unsigned j = 0; j < COUNT; j++) {
			to[j] = from[j];
			BARRIER();
		}
		from[i % COUNT] ^= 1;
	}
	return to[1] + to[COUNT - 1] * 256U;
}

static uint64_t
run_sse2(uint64_t iterations)
{
	enum { COUNT = 256 };
	__m128i *v = (__m128i *)BLOB_DATA_BASE;
	__m128i sum = _mm_setzero_si128();
	__m128d acc = _mm_set1_pd(1.0);
	uint64_t out[4];

	for (unsigned i = 0; i < COUNT; i++)
		v[i] = _mm_set_epi32((int)i, (int)(i * 3), (int)(i ^ 5), 7);
	for (uint64_t i = 0; i < iterations; i++) {
		for (unsigned j = 0; j < COUNT; j++) {
			__m128i a = _mm_add_epi32(v[j], sum);

			sum = _mm_xor_si128(_mm_slli_epi32(a, 3),
					    _mm_unpacklo_epi16(a, sum));
			_mm_store_si128(&v[j], _mm_sub_epi16(a, sum));
			acc = _mm_add_pd(_mm_mul_pd(acc, _mm_set1_pd(0.999)),
					 _mm_cvtepi32_pd(a));
		}
	}
	_mm_storeu_si128((__m128i *)out, sum);
	_mm_storeu_pd((double *)(out + 2), acc);
	return out[0] ^ out[1] ^ out[2] ^ out[3];
}

static __attribute__((noinline)) uint64_t
fib(uint64_t n)
{
	BARRIER();
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint64_t
run_fib(uint64_t iterations)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < iterations; i++)
		sum += fib(12 + (i & 3));
	return sum;
}

static void
quicksort(uint32_t *a, long lo, long hi)
{
	while (lo < hi) {
		uint32_t pivot = a[lo + (hi - lo) / 2];
		long i = lo, j = hi;

		while (i <= j) {
			while (a[i] < pivot)
				i++;
			while (a[j] > pivot)
				j--;
			if (i <= j) {
				uint32_t t = a[i];

				a[i++] = a[j];
				a[j--] = t;
			}
		}
		quicksort(a, lo, j);
		lo = i;
	}
}

static uint64_t
run_qsort(uint64_t iterations)
{
	enum { COUNT = 256 };
	uint32_t *a = (uint32_t *)BLOB_DATA_BASE;
	uint64_t x = 12345, sum = 0;

	for (uint64_t i = 0; i < iterations; i++) {
		for (unsigned j = 0; j < COUNT; j++) {
			x = x * 6364136223846793005ULL + 1442695040888963407ULL;
			a[j] = (uint32_t)(x >> 33);
		}
		quicksort(a, 0, COUNT - 1);
		sum += a[i % COUNT];
	}
	return sum;
}

/* Calls generated functions in random order. They take and return the value
 * in rax, may change rcx, rdx and rsi and use 256 bytes at r8. */
static uint64_t
run_calls(uint64_t iterations)
{
	const struct blob_calls *calls =
	    (const struct blob_calls *)BLOB_CODE_BASE;
	uint64_t mask = calls->count - 1;
	uint64_t x = 99, acc = 1;
	register uint64_t data __asm__("r8") = BLOB_DATA_BASE;

	for (unsigned i = 0; i < 64; i++)
		((uint64_t *)BLOB_DATA_BASE)[i] = i * 0x12345679ULL;
	for (uint64_t i = 0; i < iterations; i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		/* the red zone is not ours to push a return address into */
		__asm__ volatile("sub $128, %%rsp; call *%1; add $128, %%rsp"
				 : "+a"(acc)
				 : "r"(calls->fn[(x >> 33) & mask]), "r"(data)
				 : "rcx", "rdx", "rsi", "cc", "memory");
	}
	return acc;
}

extern const struct blob_table blob_table;
__attribute__((section(".blob_table"), used))
const struct blob_table blob_table = {
    BLOB_MAGIC,
    {
	{"mix", run_mix},
	{"chase", run_chase},
	{"bytes", run_bytes},
	{"sse2", run_sse2},
	{"fib", run_fib},
	{"quicksort", run_qsort},
	{"calls", run_calls},
    },
};
