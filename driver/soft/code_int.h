/* SPDX-License-Identifier: BSD-2-Clause */
/* code_int - between the block cache and the decoder
 *
 * What:    where decoded things are put, and how handlers are named in uops.
 * Owns:    the arena holds blocks, uops and insns until code_flush(); nothing
 *          in it is freed singly.
 * Threads: the vCPU thread.
 */
#ifndef DRIVER_SOFT_CODE_INT_H
#define DRIVER_SOFT_CODE_INT_H

#include "driver/soft/soft_int.h"

/* Room in the arena, 16-byte aligned. The caller stays within the slack that
 * code_find() keeps free for one block. */
void *code_alloc(struct soft *c, size_t size_bytes);

/* To be called before bytes of gpa's page are read for decoding: from then on a
 * device's write to it is noticed. */
void code_guard(struct soft *c, u64 gpa);

/* Decodes from lin on. NULL: fetching the first instruction faulted. */
struct block *decode_block(struct soft *c, u64 lin, u64 gpa, u32 mode);

UOP(op_dead);

static inline s32
uop_offset(uop_fn fn)
{
	return (s32)((char *)(void *)fn - (char *)(void *)soft_base);
}

#endif
