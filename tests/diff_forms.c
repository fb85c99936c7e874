/* SPDX-License-Identifier: BSD-2-Clause */
/* Which instructions the differential test uses.
 *
 * The opcode space is walked once: every map, opcode, mandatory prefix, REX.W
 * and ModRM that Zydis decodes is a form, and forms are grouped by mnemonic so
 * that a rare mnemonic is tried as often as a common one. diff_verdict() is
 * the one place that says what must not run, what the guest's processor does
 * not have (driver/cpuid.h), and what is compared with the host.
 */
#include "tests/diff_int.h"

#include <errno.h>
#include <stdlib.h>

/* Instructions that a process must not run here or whose result is a fact
 * about the host or its kernel: system calls, time, descriptor tables that
 * Linux hides (UMIP), far transfers and segment loads, which need the host's
 * own descriptors; INT1, where hypervisors leave RIP wrong. */
static const u16 never[] = {
    ZYDIS_MNEMONIC_SYSCALL, ZYDIS_MNEMONIC_SYSRET, ZYDIS_MNEMONIC_SYSENTER,
    ZYDIS_MNEMONIC_SYSEXIT, ZYDIS_MNEMONIC_CPUID,  ZYDIS_MNEMONIC_RDTSC,
    ZYDIS_MNEMONIC_RDTSCP,  ZYDIS_MNEMONIC_RDPMC,  ZYDIS_MNEMONIC_SGDT,
    ZYDIS_MNEMONIC_SIDT,    ZYDIS_MNEMONIC_SLDT,   ZYDIS_MNEMONIC_STR,
    ZYDIS_MNEMONIC_SMSW,    ZYDIS_MNEMONIC_LAR,	   ZYDIS_MNEMONIC_LSL,
    ZYDIS_MNEMONIC_VERR,    ZYDIS_MNEMONIC_VERW,   ZYDIS_MNEMONIC_LDS,
    ZYDIS_MNEMONIC_LES,	    ZYDIS_MNEMONIC_LFS,	   ZYDIS_MNEMONIC_LGS,
    ZYDIS_MNEMONIC_LSS,	    ZYDIS_MNEMONIC_IRET,   ZYDIS_MNEMONIC_IRETD,
    ZYDIS_MNEMONIC_IRETQ,   ZYDIS_MNEMONIC_VMCALL, ZYDIS_MNEMONIC_VMMCALL,
    ZYDIS_MNEMONIC_RDPID,   ZYDIS_MNEMONIC_SWAPGS, ZYDIS_MNEMONIC_INT1,
};

/* What an AMD x86-64-v2 part has. */
static bool
isa_present(ZydisISASet set)
{
	switch (set) {
	case ZYDIS_ISA_SET_I86:
	case ZYDIS_ISA_SET_I186:
	case ZYDIS_ISA_SET_I286PROTECTED:
	case ZYDIS_ISA_SET_I286REAL:
	case ZYDIS_ISA_SET_I386:
	case ZYDIS_ISA_SET_I486:
	case ZYDIS_ISA_SET_I486REAL:
	case ZYDIS_ISA_SET_PENTIUMREAL:
	case ZYDIS_ISA_SET_PENTIUMMMX:
	case ZYDIS_ISA_SET_PPRO:
	case ZYDIS_ISA_SET_CMOV:
	case ZYDIS_ISA_SET_FCMOV:
	case ZYDIS_ISA_SET_FXSAVE:
	case ZYDIS_ISA_SET_FXSAVE64:
	case ZYDIS_ISA_SET_X87:
	case ZYDIS_ISA_SET_SSE:
	case ZYDIS_ISA_SET_SSE2:
	case ZYDIS_ISA_SET_SSE2MMX:
	case ZYDIS_ISA_SET_SSE3:
	case ZYDIS_ISA_SET_SSE3X87:
	case ZYDIS_ISA_SET_SSSE3:
	case ZYDIS_ISA_SET_SSSE3MMX:
	case ZYDIS_ISA_SET_SSE4:
	case ZYDIS_ISA_SET_SSE42:
	case ZYDIS_ISA_SET_SSEMXCSR:
	case ZYDIS_ISA_SET_SSE_PREFETCH:
	case ZYDIS_ISA_SET_POPCNT:
	case ZYDIS_ISA_SET_CMPXCHG16B:
	case ZYDIS_ISA_SET_LAHF:
	case ZYDIS_ISA_SET_LONGMODE:
	case ZYDIS_ISA_SET_CLFSH:
	case ZYDIS_ISA_SET_PAUSE:
	case ZYDIS_ISA_SET_FAT_NOP:
	case ZYDIS_ISA_SET_PREFETCH_NOP:
		return true;
	default:
		return false;
	}
}

/* Encodings that some host processors give a meaning while others, and the
 * guest's, ignore or reserve in one way or another. */
static bool
isa_unclear(const ZydisDecodedInstruction *in)
{
	switch (in->meta.isa_set) {
	case ZYDIS_ISA_SET_CLFLUSHOPT:
	case ZYDIS_ISA_SET_CLWB:
	case ZYDIS_ISA_SET_CET:
	case ZYDIS_ISA_SET_MPX:
	case ZYDIS_ISA_SET_PT:
	case ZYDIS_ISA_SET_CLDEMOTE:
	case ZYDIS_ISA_SET_PREFETCHWT1:
	case ZYDIS_ISA_SET_VTX:
	case ZYDIS_ISA_SET_SVM:
	case ZYDIS_ISA_SET_PADLOCK_ACE:
	case ZYDIS_ISA_SET_PADLOCK_PHE:
	case ZYDIS_ISA_SET_PADLOCK_PMM:
	case ZYDIS_ISA_SET_PADLOCK_RNG:
		return true;
	default:
		return false;
	}
}

/* Repeat prefixes are reserved with LOOPE and LOOPNE. Zen 3 lets them replace
 * the condition. */
static bool
reserved_prefix(const ZydisDecodedInstruction *in)
{
	if (in->mnemonic != ZYDIS_MNEMONIC_LOOPE &&
	    in->mnemonic != ZYDIS_MNEMONIC_LOOPNE)
		return false;
	for (unsigned i = 0; i < in->raw.prefix_count; i++)
		if ((in->raw.prefixes[i].value & 0xfe) == 0xf2)
			return true;
	return false;
}

/* Defined by AMD parts, or done in their way, and compared on those only. */
static bool
of_amd(const ZydisDecodedInstruction *in)
{
	bool small = (in->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) != 0;

	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_BSF: /* the destination when the source is 0 */
	case ZYDIS_MNEMONIC_BSR:
	case ZYDIS_MNEMONIC_TZCNT: /* become these */
	case ZYDIS_MNEMONIC_LZCNT:
	case ZYDIS_MNEMONIC_NOP: /* 0F 0D */
		return true;
	case ZYDIS_MNEMONIC_BSWAP:
	case ZYDIS_MNEMONIC_RET:
		return small;
	default: /* 16-bit branches */
		return small &&
		       (in->attributes & ZYDIS_ATTRIB_IS_RELATIVE) != 0;
	}
}

static bool
host_has(ZydisISASet set)
{
	switch (set) {
	case ZYDIS_ISA_SET_SSE3:
	case ZYDIS_ISA_SET_SSE3X87:
		return __builtin_cpu_supports("sse3");
	case ZYDIS_ISA_SET_SSSE3:
	case ZYDIS_ISA_SET_SSSE3MMX:
		return __builtin_cpu_supports("ssse3");
	case ZYDIS_ISA_SET_SSE4:
		return __builtin_cpu_supports("sse4.1");
	case ZYDIS_ISA_SET_SSE42:
		return __builtin_cpu_supports("sse4.2");
	case ZYDIS_ISA_SET_POPCNT:
		return __builtin_cpu_supports("popcnt");
	default:
		return true;
	}
}

static bool
loads_segment(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	for (unsigned i = 0; i < in->operand_count_visible; i++)
		if (ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (ops[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0 &&
		    ZydisRegisterGetClass(ops[i].reg.value) ==
			ZYDIS_REGCLASS_SEGMENT)
			return true;
	return false;
}

static bool
touches_mmx(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	for (unsigned i = 0; i < in->operand_count; i++)
		if (ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(ops[i].reg.value) ==
			ZYDIS_REGCLASS_MMX)
			return true;
	return false;
}

static u8
classify(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	switch (in->meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
		return FORM_BRANCH;
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
		return FORM_PRIV;
	default:
		break;
	}
	if ((in->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) != 0 ||
	    in->mnemonic == ZYDIS_MNEMONIC_CLI ||
	    in->mnemonic == ZYDIS_MNEMONIC_STI)
		return FORM_PRIV;
	if (touches_mmx(in, ops) || in->mnemonic == ZYDIS_MNEMONIC_EMMS)
		return FORM_MMX;
	if (in->meta.isa_ext == ZYDIS_ISA_EXT_X87)
		return FORM_X87;
	switch (in->meta.isa_ext) {
	case ZYDIS_ISA_EXT_SSE:
	case ZYDIS_ISA_EXT_SSE2:
	case ZYDIS_ISA_EXT_SSE3:
	case ZYDIS_ISA_EXT_SSSE3:
	case ZYDIS_ISA_EXT_SSE4:
		return in->meta.isa_set == ZYDIS_ISA_SET_POPCNT ? FORM_INT
								: FORM_SSE;
	default:
		return FORM_INT;
	}
}

enum diff_verdict
diff_verdict(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops,
	     u8 *class)
{
	*class = classify(in, ops);
	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		if (in->mnemonic == never[i])
			return DIFF_NEVER;
	if (in->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ||
	    loads_segment(in, ops) || isa_unclear(in) || reserved_prefix(in) ||
	    !host_has(in->meta.isa_set))
		return DIFF_NEVER;
	if (!diff_native_amd() && of_amd(in))
		return DIFF_NEVER;
	if (in->mnemonic == ZYDIS_MNEMONIC_INT &&
	    in->raw.imm[0].value.u == 0x80)
		return DIFF_NEVER;
	if (in->mnemonic == ZYDIS_MNEMONIC_TZCNT ||
	    in->mnemonic == ZYDIS_MNEMONIC_LZCNT) {
		*class = FORM_ALIAS;
		return DIFF_ALLOWED;
	}
	if (in->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	    (isa_present(in->meta.isa_set) ||
	     in->meta.isa_ext == ZYDIS_ISA_EXT_AMD3DNOW_PREFETCH))
		return DIFF_ALLOWED;
	*class = FORM_ABSENT;
	return DIFF_MUST_UD;
}

/* Undecodable bytes may still mean something to the host, be it because
 * Zydis errs or because the host is newer. Refuses whatever could lead to the
 * kernel, or outside the guest's instruction set. */
bool
diff_bytes_safe(const u8 *code, size_t count)
{
	static const u8 two[] = {0x00, 0x01, 0x05, 0x07, 0x08, 0x09, 0x0d, 0x0f,
				 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1e, 0x31, 0x33,
				 0x34, 0x35, 0x37, 0x38, 0x3a, 0x78, 0x79, 0xa2,
				 0xa6, 0xa7, 0xae, 0xb8, 0xbc, 0xbd, 0xc7};
	size_t i = 0;

	while (i < count && (memchr("\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2"
				    "\xf3",
				    code[i], 11) != NULL ||
			     (code[i] & 0xf0) == 0x40))
		i++;
	if (i + 1 >= count)
		return true;
	if (code[i] == 0x0f)
		return memchr(two, code[i + 1], sizeof(two)) == NULL;
	return memchr("\xc4\xc5\x62\x8f\xcd\xcf\xca\xcb\x9a\xea\xd5", code[i],
		      11) == NULL;
}

/* --- the table ---------------------------------------------------------- */

struct builder {
	struct diff_forms *f;
	size_t room;
	bool compat;
};

static int
add(struct builder *b, const struct diff_form *form)
{
	if (b->f->count == b->room) {
		size_t room = b->room == 0 ? 65536 : b->room * 2;
		void *p = realloc(b->f->form, room * sizeof(*form));

		if (p == NULL)
			return -ENOMEM;
		b->f->form = p;
		b->room = room;
	}
	b->f->form[b->f->count++] = *form;
	return 0;
}

static size_t
spell(const struct diff_form *form, u8 mod, u8 *p)
{
	size_t n = 0;

	if (form->prefix != 0)
		p[n++] = form->prefix;
	if (form->rex_w)
		p[n++] = 0x48;
	if (form->map != 0)
		p[n++] = 0x0f;
	if (form->map >= 2)
		p[n++] = form->map == 2 ? 0x38 : 0x3a;
	p[n++] = form->opcode;
	p[n++] = (u8)(mod << 6 | form->reg << 3 | form->rm);
	memset(p + n, 0x11, 12);
	return n + 12;
}

/* Tries one encoding; *again says whether ModRM matters. */
static int
try(struct builder *b, struct diff_form form, bool *again)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	u8 bytes[24];
	size_t n = spell(&form, form.is_mem ? 0 : 3, bytes);

	*again = true;
	if (!ZYAN_SUCCESS(
		ZydisDecoderDecodeFull(&b->f->decoder, bytes, n, &in, ops)))
		return 0;
	/* what came out must be of the opcode that went in */
	if (in.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	    in.opcode != form.opcode || (u8)in.opcode_map != form.map)
		return 0;
	form.has_modrm = (in.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0;
	*again = form.has_modrm;
	if (diff_verdict(&in, ops, &form.class) == DIFF_NEVER &&
	    in.mnemonic != ZYDIS_MNEMONIC_INT)
		return 0;
	form.mnemonic = (u16)in.mnemonic;
	form.lockable = (in.attributes & ZYDIS_ATTRIB_ACCEPTS_LOCK) != 0;
	return add(b, &form);
}

static int
try_opcode(struct builder *b, struct diff_form form)
{
	bool again = true;
	int rc = 0;

	for (unsigned i = 0; i < 8 * 9 && again && rc == 0; i++) {
		form.reg = (u8)(i / 9);
		form.is_mem = i % 9 == 0;
		form.rm = (u8)(form.is_mem ? 0 : i % 9 - 1);
		rc = try(b, form, &again);
	}
	return rc;
}

static int
try_all(struct builder *b)
{
	static const u8 prefixes[] = {0, 0x66, 0xf2, 0xf3};
	int rc = 0;

	for (unsigned i = 0; i < 4 * 4 * 2 * 256 && rc == 0; i++) {
		struct diff_form form = {
		    .opcode = (u8)i,
		    .rex_w = (i >> 8 & 1) != 0,
		    .prefix = prefixes[i >> 9 & 3],
		    .map = (u8)(i >> 11),
		};

		if (!(form.rex_w && b->compat))
			rc = try_opcode(b, form);
	}
	return rc;
}

static int
by_group(const void *a, const void *b)
{
	const struct diff_form *x = a, *y = b;

	if (x->class != y->class)
		return x->class - y->class;
	return x->mnemonic - y->mnemonic;
}

static int
group(struct diff_forms *f)
{
	qsort(f->form, f->count, sizeof(f->form[0]), by_group);
	f->group = calloc(f->count + 1, sizeof(f->group[0]));
	if (f->group == NULL)
		return -ENOMEM;
	f->groups = 0;
	memset(f->class_groups, 0, sizeof(f->class_groups));
	for (u32 i = 0; i < f->count; i++) {
		struct diff_group *g = &f->group[f->groups];
		const struct diff_form *form = &f->form[i];

		if (i > 0 && by_group(form, form - 1) == 0) {
			g[-1].count++;
			continue;
		}
		g->first = i;
		g->count = 1;
		g->mnemonic = form->mnemonic;
		g->class = form->class;
		if (f->class_groups[form->class]++ == 0)
			f->class_first[form->class] = (u32)f->groups;
		f->groups++;
	}
	return 0;
}

int
diff_forms_open(struct diff_forms *f, bool compat)
{
	struct builder b = {.f = f, .compat = compat};
	int rc;

	memset(f, 0, sizeof(*f));
	f->compat = compat;
	ZydisDecoderInit(&f->decoder,
			 compat ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
				: ZYDIS_MACHINE_MODE_LONG_64,
			 compat ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_64);
	rc = try_all(&b);
	if (rc == 0)
		rc = group(f);
	if (rc != 0)
		diff_forms_close(f);
	return rc;
}

void
diff_forms_close(struct diff_forms *f)
{
	free(f->form);
	free(f->group);
	f->form = NULL;
	f->group = NULL;
}

int
diff_forms_only(struct diff_forms *f, const char *mnemonic)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->count; i++)
		if (strcasecmp(ZydisMnemonicGetString(f->form[i].mnemonic),
			       mnemonic) == 0)
			f->form[kept++] = f->form[i];
	if (kept == 0)
		return -ENOENT;
	f->count = kept;
	free(f->group);
	return group(f);
}
