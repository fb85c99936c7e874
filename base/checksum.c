/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

u64
checksum64(const void *data, size_t size_bytes, u64 seed)
{
	return XXH3_64bits_withSeed(data, size_bytes, seed);
}
