/* SPDX-License-Identifier: BSD-2-Clause */
/* What must be the same on both sides, and how a difference is shown.
 *
 * Compared: how the case ended (exit page, vector, error code, CR2), RIP, CS,
 * all general and segment registers, all of RFLAGS including what the manuals
 * call undefined, x87 and SSE registers and status, and every byte of the
 * writable pages. The exceptions, each with its reason:
 *
 *  - x87 FOP, FIP and FDP (bytes 6..23 of the image), unless the host keeps
 *    them as the guest's processor does (diff_native_fpu_pointers()).
 *  - MXCSR_MASK (bytes 28..31): a fact about the processor, not state.
 *  - Bit 0 of a page fault's error code when CR2 lies above TASK_SIZE_MAX:
 *    Linux hides from its processes which kernel addresses are mapped.
 *  - Memory that an instruction in partial[] wrote before its last byte
 *    faulted: how much of it is a property of the part, not of the
 *    architecture. Registers, vector, error code and CR2 are compared.
 *  - In compatibility mode the upper halves of registers, and R8..R15:
 *    undefined after the switch back (APM 1 2.5.10).
 *  - What a generator lists in mask, fx_mask and flags_mask of the case.
 */
#include "tests/diff_int.h"

#include <stdio.h>

#define TASK_SIZE_MAX 0x7ffffffff000ULL /* Linux, with 4 levels of tables */

/* Instructions that store more than once. */
static const u16 partial[] = {
    ZYDIS_MNEMONIC_ENTER,  ZYDIS_MNEMONIC_FXSAVE,  ZYDIS_MNEMONIC_FXSAVE64,
    ZYDIS_MNEMONIC_FNSAVE, ZYDIS_MNEMONIC_FNSTENV, ZYDIS_MNEMONIC_PUSHA,
    ZYDIS_MNEMONIC_PUSHAD,
};

static const char *const gpr_names[16] = {"rax", "rcx", "rdx", "rbx",
					  "rsp", "rbp", "rsi", "rdi",
					  "r8",	 "r9",	"r10", "r11",
					  "r12", "r13", "r14", "r15"};

static bool
fx_compared(const struct diff_case *c, unsigned i)
{
	if ((i >= 28 && i < 32) || i >= 416)
		return false;
	if (i >= 6 && i < 24 && !diff_native_fpu_pointers())
		return false;
	if (i >= 32 && i < 160 && i % 16 >= 10)
		return false; /* padding */
	if (c->compat && i >= 160 + 128)
		return false; /* XMM8..15 */
	return (c->fx_mask >> (i / 8) & 1) == 0;
}

static bool
fx_same(const struct diff_case *c, const u8 *a, const u8 *b)
{
	if (memcmp(a, b, 416) == 0)
		return true;
	for (unsigned i = 0; i < 416; i++)
		if (a[i] != b[i] && fx_compared(c, i))
			return false;
	return true;
}

static u64
gpr_compared(const struct diff_case *c, unsigned i)
{
	if (!c->compat)
		return ~0ULL;
	return i < 8 ? 0xffffffffULL : 0;
}

static u64
flags_compared(const struct diff_case *c, const struct diff_outcome *x)
{
	u64 mask = ~c->flags_mask;

	/* leaving through the exit page shows RF as the last PUSHF would */
	return x->vector == DIFF_END ? mask & ~FL_RF : mask;
}

static u32
error_compared(const struct diff_outcome *x)
{
	if (x->vector == EXC_PF && x->cr2 >= TASK_SIZE_MAX)
		return ~1U;
	return ~0U;
}

static bool
masked(const struct diff_case *c, u64 va)
{
	for (unsigned i = 0; i < c->masks; i++)
		if (va - c->mask[i].va < c->mask[i].count)
			return true;
	return false;
}

static u64
page_va(unsigned p)
{
	if (p == PAGE_SMC)
		return DIFF_SMC_VA;
	return p < PAGE_DATA0 ? DIFF_CODE_VA + p * DIFF_PAGE
			      : DIFF_DATA_VA + (p - PAGE_DATA0) * DIFF_PAGE;
}

static bool
memory_compared(const struct diff_case *c, const struct diff_outcome *x)
{
	if (x->vector == DIFF_END)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(partial); i++)
		if (c->mnemonic == partial[i])
			return false;
	return true;
}

static bool
page_same(const struct diff_case *c, const struct diff_side *a,
	  const struct diff_side *b, unsigned p)
{
	if (memcmp(a->page[p], b->page[p], DIFF_PAGE) == 0)
		return true;
	for (unsigned i = 0; i < DIFF_PAGE; i++) {
		u64 va = page_va(p) + i;

		if (a->page[p][i] == b->page[p][i] || masked(c, va))
			continue;
		if (c->alias_at >= 0 && va == c->in.rip + (unsigned)c->alias_at)
			continue;
		return false;
	}
	return true;
}

static bool
memory_fault(unsigned vector)
{
	return vector == EXC_SS || vector == EXC_GP || vector == EXC_PF ||
	       vector == EXC_AC;
}

/* Which fault comes first, where several are due, is compared with AMD parts
 * only, as is what an instruction that faults leaves in the FPU. */
static bool
fault_order_open(const struct diff_outcome *x, const struct diff_outcome *y)
{
	return !diff_native_amd() && memory_fault(x->vector) &&
	       memory_fault(y->vector);
}

static bool
event_same(const struct diff_outcome *x, const struct diff_outcome *y)
{
	if (fault_order_open(x, y))
		return true;
	return x->vector == y->vector && x->vector != DIFF_LOST &&
	       x->has_error == y->has_error && x->cr2 == y->cr2 &&
	       ((x->error ^ y->error) & error_compared(x)) == 0;
}

/* The kernel's return to a signal handler turns null selectors with a
 * privilege level (1..3) into 0. */
static bool
selectors_same(const struct diff_outcome *x, const struct diff_outcome *y)
{
	for (unsigned i = 0; i < DIFF_SELS; i++) {
		bool null = x->vector != DIFF_END && x->sel[i] == 0;

		if (x->sel[i] != y->sel[i] && !(null && y->sel[i] < 4))
			return false;
	}
	return true;
}

static bool
end_same(const struct diff_case *c, const struct diff_outcome *x,
	 const struct diff_outcome *y)
{
	return event_same(x, y) && x->out.rip == y->out.rip &&
	       (x->vector == DIFF_END || x->cs == y->cs) &&
	       selectors_same(x, y) && x->out.fs_base == y->out.fs_base &&
	       x->out.gs_base == y->out.gs_base &&
	       ((x->out.rflags ^ y->out.rflags) & flags_compared(c, x)) == 0;
}

bool
diff_compare(const struct diff_case *c, const struct diff_side *a,
	     const struct diff_outcome *x, const struct diff_side *b,
	     const struct diff_outcome *y)
{
	if (!end_same(c, x, y))
		return false;
	if (!fault_order_open(x, y) && !fx_same(c, x->out.fx, y->out.fx))
		return false;
	for (unsigned i = 0; i < 16; i++)
		if (((x->out.gpr[i] ^ y->out.gpr[i]) & gpr_compared(c, i)) != 0)
			return false;
	if (!memory_compared(c, x))
		return true;
	for (unsigned p = PAGE_DATA0; p < DIFF_WORLD_PAGES; p++)
		if (!page_same(c, a, b, p))
			return false;
	return true;
}

/* --- the report --------------------------------------------------------- */

static void
print_code(const struct diff_case *c)
{
	ZydisDecoder d;
	ZydisFormatter f;
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	char text[160];

	ZydisDecoderInit(&d,
			 c->compat ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
				   : ZYDIS_MACHINE_MODE_LONG_64,
			 c->compat ? ZYDIS_STACK_WIDTH_32
				   : ZYDIS_STACK_WIDTH_64);
	ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
	for (unsigned at = 0; at < c->code_bytes;) {
		unsigned n = 1;

		strcpy(text, "(bytes)");
		if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, c->code + at,
							c->code_bytes - at, &in,
							ops))) {
			n = in.length;
			ZydisFormatterFormatInstruction(
			    &f, &in, ops, in.operand_count_visible, text,
			    sizeof(text), c->in.rip + at, NULL);
		}
		printf("  %8llx  ", (unsigned long long)c->in.rip + at);
		for (unsigned i = 0; i < n; i++)
			printf("%02x", c->code[at + i]);
		printf("%*s  %s\n", n < 12 ? (int)(24 - 2 * n) : 0, "", text);
		at += n;
	}
}

static void
print_hex(const char *name, const u8 *p, unsigned count)
{
	printf(" %s=", name);
	while (count-- > 0)
		printf("%02x", p[count]);
}

static void
print_fx(const u8 *fx)
{
	char name[8];

	printf("  fcw=%04x fsw=%04x ftw=%02x mxcsr=%08x\n ", get_le16(fx),
	       get_le16(fx + 2), fx[4], get_le32(fx + 24));
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "st%u", i);
		print_hex(name, fx + 32 + 16 * i, 10);
		if (i % 3 == 2)
			printf("\n ");
	}
	printf("\n ");
	for (unsigned i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "xmm%u", i);
		print_hex(name, fx + 160 + 16 * i, 16);
		if (i % 2 == 1)
			printf("\n ");
	}
	printf("\n");
}

static void
print_inputs(const struct diff_case *c)
{
	for (unsigned i = 0; i < 16; i++)
		printf("%s%s=%016llx", i % 4 == 0 ? "\n  " : " ", gpr_names[i],
		       (unsigned long long)c->in.gpr[i]);
	printf("\n  rip=%llx rflags=%llx fs_base=%llx gs_base=%llx\n",
	       (unsigned long long)c->in.rip, (unsigned long long)c->in.rflags,
	       (unsigned long long)c->in.fs_base,
	       (unsigned long long)c->in.gs_base);
	print_fx(c->in.fx);
	for (unsigned i = 0; i < c->patches; i++) {
		const struct diff_patch *p = &c->patch[i];

		printf("  memory %llx:",
		       (unsigned long long)page_va(p->page) + p->off);
		for (unsigned j = 0; j < p->count; j++)
			printf("%s%02x", j % 8 == 0 ? " " : "", p->bytes[j]);
		printf("\n");
	}
}

static void
print_end(const struct diff_outcome *x, const char *name)
{
	printf("  %-7s", name);
	if (x->vector == DIFF_END)
		printf("ended");
	else if (x->vector == DIFF_TIMEOUT)
		printf("timed out");
	else if (x->vector == DIFF_LOST)
		printf("lost: %s", x->text);
	else
		printf("exception %u", x->vector);
	if (x->has_error)
		printf(" error %x", x->error);
	if (x->vector == EXC_PF)
		printf(" cr2 %llx", (unsigned long long)x->cr2);
	printf(" cs %x rip %llx rflags %llx\n", x->cs,
	       (unsigned long long)x->out.rip,
	       (unsigned long long)x->out.rflags);
	printf("         ds %x es %x fs %x/%llx gs %x/%llx ss %x\n", x->sel[0],
	       x->sel[1], x->sel[2], (unsigned long long)x->out.fs_base,
	       x->sel[3], (unsigned long long)x->out.gs_base, x->sel[4]);
}

static void
print_memory(const struct diff_case *c, const struct diff_side *a,
	     const struct diff_side *b, unsigned p)
{
	u8 before[DIFF_PAGE];
	unsigned shown = 0;

	diff_world_initial(c, p, before);
	for (unsigned i = 0; i < DIFF_PAGE && shown < 24; i++) {
		if (a->page[p][i] == b->page[p][i])
			continue;
		printf("  memory %llx: was %02x, %s %02x, %s %02x%s\n",
		       (unsigned long long)page_va(p) + i, before[i], a->name,
		       a->page[p][i], b->name, b->page[p][i],
		       masked(c, page_va(p) + i) ? " (not compared)" : "");
		shown++;
	}
}

void
diff_report_case(const struct diff_case *c)
{
	print_code(c);
	printf(" inputs%s:", c->compat ? " (compatibility mode)" : "");
	printf(" ds %x es %x fs %x gs %x ss %x", c->sel[0], c->sel[1],
	       c->sel[2], c->sel[3], c->sel[4]);
	print_inputs(c);
}

void
diff_report_outcomes(const struct diff_case *c, const struct diff_side *a,
		     const struct diff_outcome *x, const struct diff_side *b,
		     const struct diff_outcome *y)
{
	printf(" outcomes:\n");
	print_end(x, a->name);
	print_end(y, b->name);
	for (unsigned i = 0; i < 16; i++)
		if (((x->out.gpr[i] ^ y->out.gpr[i]) & gpr_compared(c, i)) != 0)
			printf("  %s: %s %016llx, %s %016llx\n", gpr_names[i],
			       a->name, (unsigned long long)x->out.gpr[i],
			       b->name, (unsigned long long)y->out.gpr[i]);
	if (!end_same(c, x, y))
		printf("  end, RIP or flags differ; flags by bits %llx\n",
		       (unsigned long long)(x->out.rflags ^ y->out.rflags));
	for (unsigned i = 0; i < 416; i++)
		if (x->out.fx[i] != y->out.fx[i] && fx_compared(c, i))
			printf("  fx[%u]: %s %02x, %s %02x\n", i, a->name,
			       x->out.fx[i], b->name, y->out.fx[i]);
	for (unsigned p = PAGE_DATA0; p < DIFF_WORLD_PAGES; p++)
		print_memory(c, a, b, p);
}
