/* SPDX-License-Identifier: BSD-2-Clause */
/* checksum - XXH3, the checksum of everything we write down
 *
 * What:    64 bits over any number of bytes, for finding damage; it is no
 *          defence against somebody who means to forge it.
 * Model:   XXH3_64bits of xxHash 0.8.
 * Units:   bytes.
 * Threads: pure function.
 * Owns:    nothing.
 */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include "base/bits.h"

u64 checksum64(const void *data, size_t size_bytes, u64 seed);

#endif
