/* SPDX-License-Identifier: BSD-2-Clause */
/* blob - the freestanding programs that bench_soft runs as a guest
 *
 * What:    bench/guest/blob.c is compiled without an operating system and
 * linked at BLOB_BASE, where the guest has it and where the native comparison
 *          maps it too. It starts with this table. Each program does its work
 *          `iterations` times and returns a checksum.
 * Units:   bytes; guest physical, guest virtual and host virtual addresses
 *          are all the same number.
 */
#ifndef BENCH_BLOB_H
#define BENCH_BLOB_H

#include <stdint.h>

#define BLOB_BASE	0x4000000ULL
#define BLOB_DATA_BASE	0x4800000ULL /* scratch memory of the programs */
#define BLOB_DATA_BYTES 0x800000ULL
#define BLOB_CODE_BASE	0x5000000ULL /* generated functions */
#define BLOB_CODE_BYTES 0x400000ULL
#define BLOB_MAGIC	0x626f6c6273706e64ULL
#define BLOB_PROGRAMS	7

/* What bench_soft leaves at BLOB_CODE_BASE for the program "calls": pointers
 * to generated functions, a power of two of them. */
struct blob_calls {
	uint64_t count;
	uint64_t fn[];
};

struct blob_program {
	char name[24];
	uint64_t (*run)(uint64_t iterations);
};

struct blob_table {
	uint64_t magic;
	struct blob_program program[BLOB_PROGRAMS];
};

#endif
