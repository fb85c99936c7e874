/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/elide.h"

#include <pthread.h>

#include "driver/soft/code_int.h"
#include "driver/soft/ops_alu.h"
#include "driver/soft/ops_bits.h"
#include "driver/soft/ops_flow.h"
#include "driver/soft/ops_mov.h"

/* What a handler does with the flags; no handler in the table can fault. */
enum effect {
	READS,	 /* or anything else: not in the table */
	KEEPS,	 /* neither reads nor writes */
	WRITES,	 /* writes all, reads none */
	CHANGES, /* writes some and keeps the others */
};

struct fact {
	s32 fn;	  /* 0: free */
	s32 bare; /* the handler without flags, 0: none */
	enum effect effect;
};

#define FACTS 1024 /* a power of two, at least twice what is put in */
static struct fact facts[FACTS];

static struct fact *
fact_slot(s32 fn)
{
	unsigned i = ((u32)fn * 0x9e3779b1u) >> 22;

	while (facts[i].fn && facts[i].fn != fn)
		i = (i + 1) & (FACTS - 1);
	return &facts[i];
}

static void
learn(uop_fn fn, enum effect effect, uop_fn bare)
{
	struct fact *f;

	if (!fn)
		return;
	f = fact_slot(uop_offset(fn));
	f->fn = uop_offset(fn);
	f->effect = effect;
	f->bare = bare ? uop_offset(bare) : 0;
}

static void
learn_arithmetic(void)
{
	for (unsigned lg = 0; lg < 4; lg++) {
		for (unsigned k = 0; k < ALU_COUNT; k++) {
			if (k == ALU_ADC || k == ALU_SBB)
				continue;
			learn(alu_rr[k][lg], WRITES, alu_rr_nf[k][lg]);
			learn(alu_ri[k][lg], WRITES, alu_ri_nf[k][lg]);
			learn(alu_rr_nf[k][lg], KEEPS, NULL);
			learn(alu_ri_nf[k][lg], KEEPS, NULL);
		}
		learn(one_r[ONE_INC][lg], CHANGES, one_r_nf[ONE_INC][lg]);
		learn(one_r[ONE_DEC][lg], CHANGES, one_r_nf[ONE_DEC][lg]);
		learn(one_r[ONE_NEG][lg], WRITES, one_r_nf[ONE_NEG][lg]);
		learn(one_r[ONE_NOT][lg], KEEPS, NULL);
		learn(imul_rr[lg], CHANGES, imul_rr_nf[lg]);
		learn(imul_rri[lg], CHANGES, imul_rri_nf[lg]);
		/* A count of 0 keeps the flags, so none of these "writes". */
		for (unsigned k = SH_ROL; k < SH_COUNT; k++)
			if (k != SH_RCL && k != SH_RCR)
				learn(shift_ri[k][lg], CHANGES,
				      shift_ri_nf[k][lg]);
	}
}

static void
learn_moves(void)
{
	static const uop_fn plain[] = {lea_b64,	 lea_x64,  lea_b32,  lea_x32,
				       ea_64,	 ea_32,	   high_get, high_put,
				       mov_ri64, bswap_32, bswap_64, cbw,
				       cwde,	 cdqe,	   cwd,	     cdq,
				       cqo,	 nop};

	for (unsigned i = 0; i < ARRAY_SIZE(plain); i++)
		learn(plain[i], KEEPS, NULL);
	for (unsigned lg = 0; lg < 4; lg++) {
		learn(mov_rr[lg], KEEPS, NULL);
		learn(mov_ri[lg], KEEPS, NULL);
		learn(xchg_rr[lg], KEEPS, NULL);
		for (unsigned from = 0; from < 3; from++) {
			learn(movzx_rr[from][lg], KEEPS, NULL);
			learn(movsx_rr[from][lg], KEEPS, NULL);
		}
	}
}

static void
learn_branches(void)
{
	for (unsigned lg = 0; lg < 4; lg++)
		for (unsigned cc = 0; cc < 16; cc++) {
			learn(cmp_jcc_rr[lg][cc], WRITES, NULL);
			learn(cmp_jcc_ri[lg][cc], WRITES, NULL);
			learn(test_jcc_rr[lg][cc], WRITES, NULL);
			learn(test_jcc_ri[lg][cc], WRITES, NULL);
		}
}

static void
learn_all(void)
{
	learn_arithmetic();
	learn_moves();
	learn_branches();
}

void
elide_flags(struct uop *uop, unsigned count)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	bool live = true;

	pthread_once(&once, learn_all);
	while (count-- > 0) {
		const struct fact *f = fact_slot(uop[count].fn);

		if (!f->fn) {
			live = true;
			continue;
		}
		if (!live && f->bare)
			uop[count].fn = f->bare;
		if (f->effect == WRITES)
			live = false;
	}
}
