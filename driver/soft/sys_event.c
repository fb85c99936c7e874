/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/sys_int.h"

/* How an event comes to be in c->exc:
 *
 *   a fault             soft_raise*(): the ip pushed is c->ip
 *   INT n, INT3, INTO   is_soft: the ip pushed is c->next_ip, the gate's DPL
 *                       must allow it, an error code has EXT = 0
 *   INT1 (ICEBP)        is_soft and is_external: as above without the DPL
 *   an interrupt, NMI   is_external: the ip pushed is c->ip
 *   #DB                 error holds the bits to set in DR6, 0 stands for BS:
 *                       the trap after a single step
 */

#define DR7_GD BIT(13)

/* A gate of the IDT in long mode, SDM 3A figure 6-8. */
struct gate {
	u64 ip;
	u16 sel;
	unsigned type, ist, dpl;
	bool present;
};

/* Where an event goes, all checks but those of the new stack done. */
struct handler {
	struct gate gate;
	struct sys_desc cs;
	unsigned cpl;
	u64 sp; /* not yet aligned */
};

static bool
is_program_int(const struct soft_exc *ev)
{
	return ev->is_soft && !ev->is_external;
}

/* Faults restart, so a return must not hit the same instruction breakpoint
 * again (SDM 3B 17.3.1.1). #DB is here a trap, or a fault that is resumed by
 * the debugger's own decision. */
static bool
is_fault(const struct soft_exc *ev)
{
	return !ev->is_soft && !ev->is_external && ev->vector != EXC_DB &&
	       ev->vector != EXC_DF && ev->vector != EXC_MC;
}

/* Reads of the processor itself. What lies on a device reads as all ones,
 * which no gate, descriptor or stack pointer survives. */
static enum helper_result
read_system(struct soft *c, u64 lin, void *buf, unsigned size_bytes)
{
	enum helper_result res =
	    mem_read(c, lin, buf, size_bytes, ACC_READ | ACC_SYS);

	if (res == HELPER_RETRY) {
		memset(buf, 0xff, size_bytes);
		res = HELPER_NEXT;
	}
	return res;
}

static enum helper_result
gate_read(struct soft *c, const struct soft_exc *ev, u32 ext, struct gate *g)
{
	u32 bad = ev->vector * 8u + 2 + ext;
	u64 q[2];

	if (ev->vector * 16u + 15 > c->idt.limit_bytes)
		return sys_raise_error(c, EXC_GP, bad);
	if (read_system(c, c->idt.base + ev->vector * 16u, q, 16) !=
	    HELPER_NEXT)
		return HELPER_FAULT;
	g->ip = (q[0] & 0xffff) | (q[0] >> 48) << 16 | q[1] << 32;
	g->sel = (u16)(q[0] >> 16);
	g->ist = (unsigned)bits_get(q[0], 34, 32);
	g->type = (unsigned)bits_get(q[0], 44, 40);
	g->dpl = (unsigned)bits_get(q[0], 46, 45);
	g->present = bits_get(q[0], 47, 47);
	if ((g->type != SYS_INT_GATE && g->type != SYS_TRAP_GATE) ||
	    (is_program_int(ev) && g->dpl < c->cpl))
		return sys_raise_error(c, EXC_GP, bad);
	if (!g->present)
		return sys_raise_error(c, EXC_NP, bad);
	return HELPER_NEXT;
}

/* The handler's code segment: 64-bit, and not less privileged. */
static enum helper_result
handler_code(struct soft *c, u32 ext, struct handler *h)
{
	u32 bad = sel_error(h->gate.sel, ext), attr;

	if (sel_is_null(h->gate.sel))
		return sys_raise_error(c, EXC_GP, ext);
	switch (sys_desc_fetch(c, h->gate.sel, ext, &h->cs)) {
	case HELPER_NEXT:
		break;
	case HELPER_RETRY:
		return sys_raise_error(c, EXC_GP, bad);
	default:
		return HELPER_FAULT;
	}
	attr = h->cs.seg.attr;
	if (!(attr & ATTR_S) || !(attr & ATTR_CODE) ||
	    attr_dpl(attr) > c->cpl || !(attr & ATTR_L) || (attr & ATTR_DB))
		return sys_raise_error(c, EXC_GP, bad);
	if (!(attr & ATTR_P))
		return sys_raise_error(c, EXC_NP, bad);
	h->cpl = attr & ATTR_CONFORMING ? c->cpl : attr_dpl(attr);
	if (!is_canonical(h->gate.ip))
		return sys_raise_error(c, EXC_GP, ext);
	return HELPER_NEXT;
}

/* The handler's stack: of the IST, of the inner level, or the present one. */
static enum helper_result
handler_stack(struct soft *c, u32 ext, struct handler *h)
{
	unsigned at;

	if (h->gate.ist == 0 && h->cpl == c->cpl) {
		h->sp = c->r[RSP];
		return HELPER_NEXT;
	}
	at = h->gate.ist ? TSS_IST(h->gate.ist) : TSS_RSP(h->cpl);
	if (at + 7 > c->tr.limit_bytes)
		return sys_raise_error(c, EXC_TS, sel_error(c->tr.sel, ext));
	return read_system(c, c->tr.base + at, &h->sp, 8);
}

/* Writes the frame below the aligned stack pointer. All of it is one write, so
 * that a fault in it leaves nothing behind. */
static enum helper_result
push_frame(struct soft *c, const struct soft_exc *ev, u32 ext,
	   struct handler *h)
{
	bool has_error = ev->has_error && !ev->is_soft;
	u64 frame[6], *f = frame;
	unsigned acc = ACC_WRITE | ACC_SS | (h->cpl == 3 ? 0 : ACC_SYS);
	unsigned bytes = has_error ? 48 : 40;

	if (has_error)
		*f++ = ev->error;
	*f++ = ev->is_soft ? c->next_ip : c->ip;
	*f++ = c->seg[SEG_CS].sel;
	*f++ = flags_get(c) | (is_fault(ev) ? FL_RF : 0);
	*f++ = c->r[RSP];
	*f++ = c->seg[SEG_SS].sel;
	h->sp = ALIGN_DOWN(h->sp, 16) - bytes;
	switch (mem_write(c, h->sp, frame, bytes, acc)) {
	case HELPER_NEXT:
	case HELPER_EXIT: /* a stack on a device keeps nothing */
		return HELPER_NEXT;
	default:
		if (c->exc.vector == EXC_SS)
			c->exc.error |= ext;
		return HELPER_FAULT;
	}
}

/* One attempt; on HELPER_FAULT c->exc says what went wrong on the way, and
 * nothing has changed. SDM 3A 6.14, APM 2 8.9. */
static enum helper_result
deliver_long(struct soft *c, const struct soft_exc *ev)
{
	u32 ext = !is_program_int(ev);
	struct handler h;

	if (gate_read(c, ev, ext, &h.gate) != HELPER_NEXT ||
	    handler_code(c, ext, &h) != HELPER_NEXT ||
	    handler_stack(c, ext, &h) != HELPER_NEXT ||
	    sys_desc_mark(c, &h.cs, ATTR_ACCESSED) != HELPER_NEXT ||
	    push_frame(c, ev, ext, &h) != HELPER_NEXT)
		return HELPER_FAULT;
	c->seg[SEG_CS] = h.cs.seg;
	c->seg[SEG_CS].sel = (u16)((h.gate.sel & ~SEL_RPL) | h.cpl);
	if (h.cpl != c->cpl)
		sys_seg_set_null(c, SEG_SS, (u16)h.cpl);
	c->r[RSP] = h.sp;
	c->rflags &= ~(FL_TF | FL_NT | FL_RF | FL_VM);
	if (h.gate.type == SYS_INT_GATE)
		c->rflags &= ~FL_IF;
	c->ip = c->next_ip = h.gate.ip;
	soft_refresh(c);
	return HELPER_NEXT;
}

/* --- faults within delivery ------------------------------------------- */

enum event_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

/* SDM 3A table 6-4. */
static enum event_class
class_of(const struct soft_exc *ev)
{
	if (ev->is_soft || ev->is_external)
		return BENIGN;
	switch (ev->vector) {
	case EXC_DE:
	case EXC_TS:
	case EXC_NP:
	case EXC_SS:
	case EXC_GP:
		return CONTRIBUTORY;
	case EXC_PF:
		return PAGE_FAULT;
	case EXC_DF:
		return DOUBLE_FAULT;
	default:
		return BENIGN;
	}
}

/* Makes of *ev, whose delivery met *second, what is to be delivered next (SDM
 * 3A table 6-5). False: shutdown. */
static bool
combine(struct soft_exc *ev, const struct soft_exc *second)
{
	enum event_class a = class_of(ev), b = class_of(second);

	if (a == DOUBLE_FAULT && b != BENIGN)
		return false;
	if ((a == CONTRIBUTORY && b == CONTRIBUTORY) ||
	    (a == PAGE_FAULT && b != BENIGN))
		*ev = (struct soft_exc){.valid = true,
					.vector = EXC_DF,
					.has_error = true};
	else
		*ev = *second;
	return true;
}

/* What an exception leaves in registers even when it is not delivered. */
static void
note_event(struct soft *c, const struct soft_exc *ev)
{
	if (ev->is_soft)
		return;
	if (ev->vector == EXC_PF && !ev->is_external)
		c->cr2 = ev->cr2;
	if (ev->vector == EXC_DB && !ev->is_external) {
		c->dr[6] |= ev->error ? ev->error : DR6_BS;
		c->dr[7] &= ~DR7_GD;
	}
}

/* At most four rounds: what goes wrong here is contributory or a page fault, so
 * the class can only climb: benign, contributory, page fault, double fault. */
bool
sys_deliver(struct soft *c)
{
	struct soft_exc ev = c->exc;
	bool ok = true;

	assert(ev.valid);
	/* Events of the legacy modes (real-mode vectors, 32-bit gates, task
	 * gates) find their place here. */
	if (!soft_in_long(c))
		ok = false;
	note_event(c, &ev);
	while (ok) {
		c->exc.valid = false;
		if (deliver_long(c, &ev) == HELPER_NEXT)
			break;
		note_event(c, &c->exc);
		ok = combine(&ev, &c->exc);
	}
	c->exc.valid = false;
	c->leave = LEAVE_NONE;
	c->halted = false;
	c->int_shadow = false;
	return ok;
}

/* --- insn helpers ----------------------------------------------------- */

static enum helper_result
raise_soft(struct soft *c, u8 vector, bool icebp)
{
	c->exc = (struct soft_exc){.valid = true,
				   .vector = vector,
				   .is_soft = true,
				   .is_external = icebp};
	return HELPER_FAULT;
}

enum helper_result
sys_int(struct soft *c, const struct insn *in)
{
	return raise_soft(c, (u8)in->imm, false);
}

enum helper_result
sys_int1(struct soft *c, const struct insn *in)
{
	(void)in;
	return raise_soft(c, EXC_DB, true);
}

enum helper_result
sys_int3(struct soft *c, const struct insn *in)
{
	(void)in;
	return raise_soft(c, EXC_BP, false);
}

enum helper_result
sys_into(struct soft *c, const struct insn *in)
{
	(void)in;
	if (!(flags_arith(c) & FL_OF))
		return HELPER_NEXT;
	return raise_soft(c, EXC_OF, false);
}

/* Flags that IRET takes from the stack: some only with enough privilege, those
 * above bit 15 only in the 32- and 64-bit forms (SDM 2A, IRET). RF lasts for
 * one instruction. */
static u64
iret_flags(const struct soft *c, u64 popped, unsigned size_bytes)
{
	u64 mask = FL_ARITH | FL_TF | FL_DF | FL_NT, old = flags_get(c);

	if (size_bytes > 2)
		mask |= FL_AC | FL_ID | FL_RF;
	if (c->cpl <= bits_get(old, 13, 12))
		mask |= FL_IF;
	if (c->cpl == 0) {
		mask |= FL_IOPL;
		if (size_bytes > 2)
			mask |= FL_VIF | FL_VIP;
	}
	return (old & ~(mask | FL_RF)) | (popped & mask);
}

/* In 64-bit mode SS and RSP are always popped; in compatibility mode only by a
 * return to another level, before CS is looked at. */
enum helper_result
sys_iret(struct soft *c, const struct insn *in)
{
	unsigned size = in->opsize;
	bool long_frame = c->mode & MODE_64;
	u64 sp = c->r[RSP], item[5], fl;
	enum helper_result res;
	struct far_return f;

	if (c->rflags & FL_NT) /* no task to return to in long mode */
		return sys_gp(c);
	res = sys_pop_items(c, sp, item, 3, size);
	if (res != HELPER_NEXT)
		return res;
	f.ip = item[0];
	f.cs = (u16)item[1];
	f.has_ss = long_frame || (f.cs & SEL_RPL) != c->cpl;
	if (f.has_ss)
		res = sys_pop_items(c, sp + 3 * size, item + 3, 2, size);
	if (res == HELPER_NEXT)
		res = sys_return_check_cs(c, &f);
	if (res != HELPER_NEXT)
		return res;
	f.ss = f.has_ss ? (u16)item[4] : 0;
	fl = iret_flags(c, item[2], size);
	res = sys_return_load(c, &f);
	if (res != HELPER_NEXT)
		return res;
	if (f.has_ss)
		sys_return_sp(c, item[3], size);
	else
		stack_set(c, sp + 3 * size);
	flags_set(c, fl);
	c->nmi_masked = false;
	return HELPER_JUMP;
}
