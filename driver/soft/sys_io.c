/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/sys_int.h"

/* How a port access travels. OUT and OUTS are complete when they exit. IN and
 * INS run twice: the first pass checks everything that can fault and exits
 * (HELPER_RETRY), the caller fills c->io_data, and the second pass, which finds
 * c->answer valid and of its port and size, takes it. REP forms move as many
 * items an exit as the rest of the page of their memory side holds.
 *
 * The run loop delivers no event between the two passes. */

/* --- permission ------------------------------------------------------- */

/* The TSS's bitmap, SDM 1 19.5.2: a bit for each port, all of the access's
 * must be 0. Two bytes are always read; both must lie within the limit. */
static enum helper_result
check_bitmap(struct soft *c, u16 port, unsigned size_bytes)
{
	enum helper_result res;
	u16 at, bits;

	if ((c->tr.attr & ATTR_UNUSABLE) || c->tr.limit_bytes < TSS_IOMAP + 1)
		return sys_gp(c);
	res = mem_read(c, c->tr.base + TSS_IOMAP, &at, 2, ACC_READ | ACC_SYS);
	if (res != HELPER_NEXT)
		return res;
	if ((u32)at + port / 8 + 1 > c->tr.limit_bytes)
		return sys_gp(c);
	res = mem_read(c, c->tr.base + at + port / 8, &bits, 2,
		       ACC_READ | ACC_SYS);
	if (res != HELPER_NEXT)
		return res;
	if ((bits >> (port % 8)) & (BIT(size_bytes) - 1))
		return sys_gp(c);
	return HELPER_NEXT;
}

static inline enum helper_result
check_port(struct soft *c, u16 port, unsigned size_bytes)
{
	if (likely(c->cpl <= bits_get(c->rflags, 13, 12)))
		return HELPER_NEXT;
	return check_bitmap(c, port, size_bytes);
}

/* --- exits ------------------------------------------------------------ */

static void
exit_io(struct soft *c, u16 port, unsigned size_bytes, u32 count, bool write)
{
	struct vm_exit *x = c->x;

	x->kind = HV_EXIT_IO;
	x->io.port = port;
	x->io.size_bytes = (u8)size_bytes;
	x->io.write = write;
	x->io.count = count;
	x->io.data = c->io_data;
}

/* True in the second pass; *bytes is what was asked for in the first. Else
 * asks for *bytes. */
static bool
input_ready(struct soft *c, u16 port, unsigned size_bytes, u32 *bytes)
{
	struct soft_answer *a = &c->answer;
	u64 name = ANSWER_IO | (u64)size_bytes << 16 | port;
	bool ready = a->valid && a->gpa == name;

	a->valid = false;
	if (ready) {
		*bytes = a->size_bytes;
		return true;
	}
	a->gpa = name;
	a->size_bytes = *bytes;
	exit_io(c, port, size_bytes, *bytes / size_bytes, false);
	return false;
}

/* --- IN, OUT ---------------------------------------------------------- */

/* E4..E7 have the port in the instruction, EC..EF in DX. */
static inline u16
port_of(const struct soft *c, const struct insn *in)
{
	return in->opcode & 8 ? (u16)c->r[RDX] : (u8)in->imm;
}

enum helper_result
sys_in(struct soft *c, const struct insn *in)
{
	u16 port = port_of(c, in);
	u32 bytes = in->opsize;
	enum helper_result res = check_port(c, port, in->opsize);

	if (unlikely(res != HELPER_NEXT))
		return res;
	if (!input_ready(c, port, in->opsize, &bytes))
		return HELPER_RETRY;
	reg_set(c, RAX, false, in->opsize, get_le32(c->io_data));
	return HELPER_NEXT;
}

enum helper_result
sys_out(struct soft *c, const struct insn *in)
{
	u16 port = port_of(c, in);
	enum helper_result res = check_port(c, port, in->opsize);

	if (unlikely(res != HELPER_NEXT))
		return res;
	put_le32(c->io_data, (u32)c->r[RAX]);
	exit_io(c, port, in->opsize, 1, true);
	return HELPER_EXIT;
}

/* --- INS, OUTS -------------------------------------------------------- */

static u64
cut(u64 v, unsigned addrsize)
{
	return addrsize == 8 ? v : addrsize == 4 ? (u32)v : (u16)v;
}

/* The items that one exit moves: all up to the end of the page. A descending
 * run, an item that crosses the page, what a segment must be asked about, and
 * a stepped instruction go singly. */
static u32
batch_of(const struct soft *c, const struct insn *in, unsigned seg, u64 lin)
{
	u64 left = PAGE_SIZE - (lin & ~PAGE_MASK);
	u64 fit = left / in->opsize;

	if (!in->rep)
		return 1;
	if (fit == 0 || (c->rflags & (FL_DF | FL_TF)) ||
	    (c->mode & MODE_CHECK(seg)))
		return 1;
	return (u32)MIN(fit, cut(c->r[RCX], in->addrsize));
}

/* After count items: rCX down, the pointer along. */
static void
advance(struct soft *c, const struct insn *in, unsigned pointer, u32 count)
{
	u64 step = (u64)count * in->opsize;

	if (c->rflags & FL_DF)
		step = -step;
	reg_set(c, pointer, false, in->addrsize, c->r[pointer] + step);
	if (in->rep)
		reg_set(c, RCX, false, in->addrsize, c->r[RCX] - count);
}

static bool
more_left(const struct soft *c, const struct insn *in)
{
	return in->rep && cut(c->r[RCX], in->addrsize) != 0;
}

/* A batch from guest memory. The first item was read: where it lay in RAM the
 * page is in the TLB. False: it did not. */
static bool
copy_out(struct soft *c, u64 lin, u32 bytes)
{
	const void *p = tlb_read(c->tlb, lin, bytes);

	if (p)
		memcpy(c->io_data, p, bytes);
	return p;
}

/* A batch to guest memory, within its page; or one item. */
static enum helper_result
copy_in(struct soft *c, u64 lin, u32 bytes)
{
	void *p = tlb_write(c->tlb, lin, bytes);
	enum helper_result res = HELPER_NEXT;

	if (p) {
		memcpy(p, c->io_data, bytes);
		return HELPER_NEXT;
	}
	for (u32 at = 0; at < bytes && res == HELPER_NEXT;) {
		u32 n = MIN(bytes - at, 64u);

		res = mem_write(c, lin + at, c->io_data + at, n, ACC_WRAP);
		at += n;
	}
	return res;
}

/* Whether a write to lin, which must be allowed, would reach RAM. A device
 * takes single items. */
static bool
is_ram(struct soft *c, u64 lin)
{
	return mem_slow(c, lin, 1, ACC_WRITE) != c->bounce.data;
}

enum helper_result
sys_ins(struct soft *c, const struct insn *in)
{
	u64 off = cut(c->r[RDI], in->addrsize), lin = seg_lin(c, SEG_ES, off);
	u16 port = (u16)c->r[RDX];
	enum helper_result res;
	u32 bytes, count;

	/* The port is checked even where nothing is moved. */
	res = check_port(c, port, in->opsize);
	if (res != HELPER_NEXT || (in->rep && !more_left(c, in)))
		return res;
	if (!seg_check(c, SEG_ES, off, in->opsize, ACC_WRITE))
		return HELPER_FAULT;
	res = mem_probe_write(c, lin, in->opsize, seg_acc(c, SEG_ES));
	if (res != HELPER_NEXT)
		return res;
	count = batch_of(c, in, SEG_ES, lin);
	if (count > 1 && !is_ram(c, lin))
		count = 1;
	bytes = count * in->opsize;
	if (!input_ready(c, port, in->opsize, &bytes))
		return HELPER_RETRY;
	count = bytes / in->opsize;
	res = copy_in(c, lin, bytes);
	if (res != HELPER_NEXT && res != HELPER_EXIT)
		return res;
	advance(c, in, RDI, count);
	if (!more_left(c, in))
		return res;
	if (res == HELPER_EXIT) {
		c->next_ip = c->ip;
		return res;
	}
	return HELPER_REPEAT;
}

enum helper_result
sys_outs(struct soft *c, const struct insn *in)
{
	u64 off = cut(c->r[RSI], in->addrsize), lin = seg_lin(c, in->seg, off);
	u16 port = (u16)c->r[RDX];
	enum helper_result res;
	u32 count;

	res = check_port(c, port, in->opsize);
	if (res != HELPER_NEXT || (in->rep && !more_left(c, in)))
		return res;
	res = seg_read(c, in->seg, off, c->io_data, in->opsize, 0);
	if (res != HELPER_NEXT)
		return res;
	count = batch_of(c, in, in->seg, lin);
	if (count > 1 && !copy_out(c, lin, count * in->opsize))
		count = 1;
	advance(c, in, RSI, count);
	exit_io(c, port, in->opsize, count, true);
	if (more_left(c, in))
		c->next_ip = c->ip;
	return HELPER_EXIT;
}
