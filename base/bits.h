/* SPDX-License-Identifier: BSD-2-Clause */
/* bits - fixed-width names, alignment, unaligned little-endian access
 *
 * What:    the vocabulary every file shares. u8..u64 and s8..s64 are the
 *          widths the hardware specifications speak in.
 * Units:   BIT(n) is a 64-bit mask; BITS(hi, lo) an inclusive field mask.
 * Threads: pure functions.
 */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef NDEBUG
#error "assertions are part of this program: do not define NDEBUG"
#endif

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define likely(x)	  __builtin_expect(!!(x), 1)
#define unlikely(x)	  __builtin_expect(!!(x), 0)
#define MUST_CHECK	  __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

#define ARRAY_SIZE(a)	 (sizeof(a) / sizeof((a)[0]))
#define BIT(n)		 (1ULL << (n))
#define BITS(hi, lo)	 ((~0ULL >> (63 - (hi))) & (~0ULL << (lo)))
#define MIN(a, b)	 ((a) < (b) ? (a) : (b))
#define MAX(a, b)	 ((a) > (b) ? (a) : (b))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1))
#define ALIGN_UP(x, a)	 ALIGN_DOWN((x) + ((__typeof__(x))(a)-1), a)
#define CONTAINER_OF(p, type, member) \
	((type *)((char *)(p)-offsetof(type, member)))

/* Field extraction: the bits hi..lo of x, moved down to bit 0. */
static inline u64
bits_get(u64 x, unsigned hi, unsigned lo)
{
	return (x >> lo) & (~0ULL >> (63 - (hi - lo)));
}

static inline u16
get_le16(const void *p)
{
	u16 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline u32
get_le32(const void *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline u64
get_le64(const void *p)
{
	u64 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void
put_le16(void *p, u16 v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void
put_le32(void *p, u32 v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void
put_le64(void *p, u64 v)
{
	memcpy(p, &v, sizeof(v));
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the host must be little-endian"
#endif

#endif
