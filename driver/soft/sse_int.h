/* SPDX-License-Identifier: BSD-2-Clause */
/* sse_int - shared by the files of ops_sse.h
 *
 * What:    XMM access and 16-byte memory operands for handlers.
 * Threads: the vCPU thread.
 */
#ifndef DRIVER_SOFT_SSE_INT_H
#define DRIVER_SOFT_SSE_INT_H

#include "driver/soft/ops_sse.h"
#include "driver/soft/stub.h"

typedef u64 x128 __attribute__((vector_size(16), may_alias));
typedef x128 mem_x128 __attribute__((aligned(1)));

/* The XMM register of a slot number, whole and in parts. */
#define XMM_AT(slot) \
	((char *)c + 16 * (size_t)(slot) + \
	 (offsetof(struct soft, fx) + FX_XMM(0) - 16 * SLOT_XMM))
#define XMM(slot)	 (*(x128 *)(void *)XMM_AT(slot))
#define XMM_U64(slot, i) (((mem_u64 *)(void *)XMM_AT(slot))[i])
#define XMM_U32(slot, i) (((mem_u32 *)(void *)XMM_AT(slot))[i])

/* The fast path of an access that must be aligned to 16: tags have no low
 * bits, so that one compare covers the alignment, too. */
static inline void *
tlb_read_aligned(struct tlbe *tlb, u64 lin)
{
	struct tlbe *e = tlb_slot(tlb, lin);

	if (unlikely((lin & (PAGE_MASK | 15)) != e->rtag))
		return NULL;
	return (void *)(uintptr_t)(lin + e->addend);
}

static inline void *
tlb_write_aligned(struct tlbe *tlb, u64 lin)
{
	struct tlbe *e = tlb_slot(tlb, lin);

	if (unlikely((lin & (PAGE_MASK | 15)) != e->wtag))
		return NULL;
	return (void *)(uintptr_t)(lin + e->addend);
}

/* mem_slow() of an operand that must be aligned: the check comes before any
 * page fault. */
void *sse_slow_aligned(struct soft *c, u64 lin, unsigned acc);

#define LOW64(v) ((x128){(v), 0})

#endif
