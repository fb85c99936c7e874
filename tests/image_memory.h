/* SPDX-License-Identifier: BSD-2-Clause */
/* image_memory - a host file in memory, for the image engine's tests
 *
 * What:    requests are done inside submit(). Nothing survives it.
 * Units:   bytes.
 * Threads: one.
 * Owns:    data is the caller's; close() releases nothing.
 */
#ifndef TESTS_IMAGE_MEMORY_H
#define TESTS_IMAGE_MEMORY_H

#include "hdd/image_int.h"

struct image_memory {
	struct imgio io;
	u8 *data;
	u64 size_bytes; /* writes behind it are -ENOSPC */
	u64 writes, flushes;
};

void image_memory_init(struct image_memory *m, u8 *data, u64 size_bytes);

/* Little of everything, and no thread. */
extern const struct image_limits image_memory_limits;

#endif
