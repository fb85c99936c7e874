/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/decode_int.h"

#include <cpuid.h>

#include "driver/soft/decode_sse.h"
#include "driver/soft/fpu.h"

/* Instructions that the host lacks cannot be run on it; then they do not exist
 * for the guest either. x87, MMX, SSE and SSE2 are part of x86-64. */
static u32
host_ecx(void)
{
	static u32 ecx;
	u32 a, b, d;

	if (!ecx) {
		__cpuid(1, a, b, ecx, d);
		ecx |= BIT(31);
	}
	return ecx;
}

static bool
host_has(ZydisISASet set)
{
	switch (set) {
	case ZYDIS_ISA_SET_SSE3:
	case ZYDIS_ISA_SET_SSE3X87:
		return host_ecx() & bit_SSE3;
	case ZYDIS_ISA_SET_SSSE3:
	case ZYDIS_ISA_SET_SSSE3MMX:
		return host_ecx() & bit_SSSE3;
	case ZYDIS_ISA_SET_SSE4:
		return host_ecx() & bit_SSE4_1;
	case ZYDIS_ISA_SET_SSE42:
		return host_ecx() & bit_SSE4_2;
	default:
		return true;
	}
}

static bool
emit_state(struct emitter *e)
{
	switch (e->in->mnemonic) {
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
		emit_helper(e, fpu_fxsave, false)->opsize =
		    e->in->mnemonic == ZYDIS_MNEMONIC_FXSAVE64 ? 8 : 4;
		return true;
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
		emit_helper(e, fpu_fxrstor, false)->opsize =
		    e->in->mnemonic == ZYDIS_MNEMONIC_FXRSTOR64 ? 8 : 4;
		return true;
	case ZYDIS_MNEMONIC_LDMXCSR:
		emit_helper(e, fpu_ldmxcsr, false);
		return true;
	case ZYDIS_MNEMONIC_STMXCSR:
		emit_helper(e, fpu_stmxcsr, false);
		return true;
	default:
		return false;
	}
}

static bool
uses_mmx(const struct emitter *e)
{
	if (e->in->mnemonic == ZYDIS_MNEMONIC_CVTPI2PD ||
	    e->in->mnemonic == ZYDIS_MNEMONIC_CVTPI2PS)
		return true; /* also from memory */
	for (unsigned i = 0; i < e->in->operand_count_visible; i++)
		if (sse_kind_of(&e->ops[i]) == STUB_MM)
			return true;
	return false;
}

bool
emit_fpu(struct emitter *e)
{
	ZydisISASet set = e->in->meta.isa_set;

	if (e->in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	    !host_has(set))
		return false;
	if (e->in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT)
		return emit_x87(e);
	switch (set) {
	case ZYDIS_ISA_SET_FXSAVE:
	case ZYDIS_ISA_SET_FXSAVE64:
	case ZYDIS_ISA_SET_SSEMXCSR:
		return emit_state(e);
	case ZYDIS_ISA_SET_SSE:
	case ZYDIS_ISA_SET_SSE2:
	case ZYDIS_ISA_SET_SSE3:
	case ZYDIS_ISA_SET_SSSE3:
	case ZYDIS_ISA_SET_SSE4:
	case ZYDIS_ISA_SET_SSE42:
		return uses_mmx(e) ? emit_mmx(e) : emit_sse(e);
	case ZYDIS_ISA_SET_PENTIUMMMX:
	case ZYDIS_ISA_SET_SSE2MMX:
	case ZYDIS_ISA_SET_SSSE3MMX:
		return emit_mmx(e);
	default:
		return false;
	}
}
