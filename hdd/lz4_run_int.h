/* SPDX-License-Identifier: BSD-2-Clause */
/* lz4_run_int - a run of blocks, compressed
 *
 * What:    LZ4 behind its exact length, padded to sectors, as an image keeps
 *          it. Compressing gives up when it would not save a quarter.
 * Model:   docs/image.5.md 4; the LZ4 block format.
 * Units:   bytes; sectors of 512.
 * Threads: pure functions.
 * Owns:    nothing.
 * Errors:  decompressing: -EBADMSG.
 */
#ifndef HDD_LZ4_RUN_INT_H
#define HDD_LZ4_RUN_INT_H

#include "hdd/imgformat_int.h"

#define LZ4_RUN_BYTES (IMG_RUN_BLOCKS * IMG_BLOCK)
#define LZ4_OUT_BYTES (IMG_RUN_SECTORS * IMG_SECTOR)

/* Sectors put into out, which holds LZ4_OUT_BYTES, or 0: it does not pay. */
u32 lz4_run_pack(u8 *out, const u8 *in, u32 blocks);

/* Exactly so many blocks, whatever the bytes are. */
int lz4_run_unpack(u8 *out, u32 blocks, const u8 *in, u32 sectors) MUST_CHECK;

#endif
