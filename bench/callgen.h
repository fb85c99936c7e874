/* SPDX-License-Identifier: BSD-2-Clause */
/* callgen - many small generated functions, as realistic branching code
 *
 * What:    fills memory with `count` functions of about 56 bytes each: integer
 *          arithmetic, loads and stores, pushes and pops, and conditional
 *          branches whose direction depends on the data. The same seed gives
 *          the same bytes. Which registers they use is said at run_calls()
 *          in bench/guest/blob.c.
 * Units:   bytes.
 * Threads: pure.
 */
#ifndef BENCH_CALLGEN_H
#define BENCH_CALLGEN_H

#include "base/bits.h"

/* Writes the functions one after another to code and the address of each,
 * counted from code_va, to fn. Returns the bytes written, never more than
 * CALLGEN_MAX_BYTES for each function. */
#define CALLGEN_MAX_BYTES 128U
size_t callgen_fill(u8 *code, u64 code_va, u64 *fn, size_t count, u64 seed);

#endif
