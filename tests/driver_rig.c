/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/driver_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/range.h"

/* Longer than any test takes, also on a KVM that emulates on a busy host. */
#define LIMIT_NS (100 * NS_PER_SEC)

#define PTE_P  BIT(0)
#define PTE_W  BIT(1)
#define PTE_U  BIT(2)
#define PTE_PS BIT(7)

static void
put_entry(struct rig *rig, u64 table, unsigned n, u64 entry)
{
	put_le64(rig->ram + table + 8 * n, entry);
}

/* As payload.h promises them. User access is decided in the last level. */
static void
build_tables(struct rig *rig)
{
	const u64 dir = PTE_P | PTE_W | PTE_U;

	put_entry(rig, PAYLOAD_PML4, 0, PAYLOAD_PDPT | dir);
	put_entry(rig, PAYLOAD_PDPT, 0, PAYLOAD_PD | dir);
	put_entry(rig, PAYLOAD_PDPT, 1, PAYLOAD_PD_WINDOW | dir);
	put_entry(rig, PAYLOAD_PD_WINDOW, 0, PAYLOAD_PT_WINDOW | dir);
	for (unsigned i = 0; i < 512; i++)
		put_entry(rig, PAYLOAD_PD, i,
			  (u64)i << 21 | PTE_P | PTE_W | PTE_PS);
}

static void *
anonymous(size_t size_bytes)
{
	void *p = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void
map_memory(struct rig *rig)
{
	assert_int_equal(rig->ops->mem_map(rig->hv, RIG_SLOT_RAM, 0,
					   PAYLOAD_RAM_BYTES, rig->ram, 0),
			 0);
	assert_int_equal(rig->ops->mem_map(rig->hv, RIG_SLOT_ROM,
					   PAYLOAD_ROM_GPA, PAYLOAD_ROM_BYTES,
					   rig->rom, HV_MEM_READONLY),
			 0);
}

int
rig_open(struct rig *rig, const struct hv_ops *ops, bool want_irqchip,
	 const void *image, size_t image_bytes, struct err *e)
{
	int r;

	memset(rig, 0, sizeof(*rig));
	rig->ops = ops;
	vclock_init(&rig->clock, 0);
	rig->cfg = (struct hv_config){.clock = &rig->clock,
				      .want_irqchip = want_irqchip};
	r = ops->create(&rig->hv, &rig->cfg, e);
	if (r < 0)
		return r;
	rig->ram = anonymous(PAYLOAD_RAM_BYTES);
	rig->rom = anonymous(PAYLOAD_ROM_BYTES);
	for (size_t i = 0; i < PAYLOAD_ROM_BYTES; i++)
		rig->rom[i] = (u8)(i * 7 + 3);
	build_tables(rig);
	memcpy(rig->ram + PAYLOAD_GPA, image, image_bytes);
	map_memory(rig);
	rig->irq = -1;
	vclock_start(&rig->clock);
	return 0;
}

void
rig_close(struct rig *rig)
{
	rig->ops->destroy(rig->hv);
	munmap(rig->ram, PAYLOAD_RAM_BYTES);
	munmap(rig->rom, PAYLOAD_ROM_BYTES);
}

void
rig_start(struct rig *rig, enum payload_test test, u64 arg)
{
	struct cpu_state s;

	cpu_state_long_mode(&s, PAYLOAD_GPA, PAYLOAD_PML4);
	s.gpr[RSP] = PAYLOAD_STACK;
	s.gpr[RDI] = test;
	s.gpr[RSI] = arg;
	assert_int_equal(rig->ops->state_set(rig->hv, &s), 0);
}

/* --- devices ------------------------------------------------------------ */

static void
control_port(struct rig *rig, u16 port, u32 value)
{
	switch (port) {
	case PORT_FAIL:
		if (rig->fails++ == 0)
			rig->first_fail = value;
		print_message("guest check %u:%u failed\n", value >> 16,
			      value & 0xffff);
		break;
	case PORT_DONE:
		rig->checks = value;
		rig->done = true;
		break;
	case PORT_NOTE:
		if (rig->note_count < RIG_LOG_MAX)
			rig->notes[rig->note_count++] = value;
		if (rig->on_note)
			rig->on_note(rig, value);
		break;
	default:
		fail_msg("the payload wrote port %#x", port);
	}
}

static void
serve_io(struct rig *rig, struct vm_exit *x)
{
	unsigned size = x->io.size_bytes;
	u8 *item = x->io.data;

	assert_true(size == 1 || size == 2 || size == 4);
	assert_true(x->io.count > 0);
	for (u32 i = 0; i < x->io.count; i++, item += size) {
		u32 value = 0;

		if (x->io.write) {
			memcpy(&value, item, size);
			if (x->io.port == PORT_LATCH) {
				memcpy(&rig->latch, item, size);
			} else if (x->io.port == PORT_FIFO) {
				assert_true(rig->fifo_count + size <=
					    RIG_LOG_MAX);
				memcpy(rig->fifo + rig->fifo_count, item, size);
				rig->fifo_count += size;
			} else {
				assert_int_equal(size, 4);
				control_port(rig, x->io.port, value);
			}
			continue;
		}
		if (x->io.port == PORT_LATCH)
			value = ~rig->latch;
		else if (x->io.port == PORT_FIFO)
			value = ++rig->fifo_next;
		else
			fail_msg("the payload read port %#x", x->io.port);
		memcpy(item, &value, size);
	}
}

/* False: not one of the rig's addresses. */
static bool
serve_mmio(struct rig *rig, struct vm_exit *x)
{
	u64 off = x->mmio.gpa - PAYLOAD_MMIO_GPA;

	assert_in_range(x->mmio.size_bytes, 1, 16);
	if (x->mmio.write && range_within(x->mmio.gpa, x->mmio.size_bytes,
					  PAYLOAD_ROM_GPA, PAYLOAD_ROM_BYTES)) {
		rig->rom_writes++;
		return true;
	}
	if (!range_within(x->mmio.gpa, x->mmio.size_bytes, PAYLOAD_MMIO_GPA,
			  sizeof(rig->mmio)))
		return false;
	for (unsigned i = 0; i < x->mmio.size_bytes; i++)
		if (x->mmio.write)
			rig->mmio[off + i] = x->mmio.data[i];
		else
			x->mmio.data[i] = (u8)~rig->mmio[off + i];
	return true;
}

static void
serve_msr(struct rig *rig, struct vm_exit *x)
{
	if (x->msr.index == MSR_HOST_VALUE && !x->msr.write)
		x->msr.value = MSR_VALUE;
	else if (x->msr.index == MSR_HOST_SINK && x->msr.write)
		rig->msr_sink = x->msr.value;
	else
		x->msr.fault = true;
}

/* What vmm's loop does: deliver, or ask to be told when it is possible. */
static void
offer_irq(struct rig *rig)
{
	const struct hv_ops *ops = rig->ops;

	if (rig->irq >= 0 && ops->irq_ready(rig->hv)) {
		ops->interrupt(rig->hv, (u8)rig->irq);
		rig->irq = -1;
	}
	ops->request_irq_window(rig->hv, rig->irq >= 0);
}

enum hv_exit_kind
rig_serve(struct rig *rig, struct vm_exit *x)
{
	u64 limit = vclock_now_ns(&rig->clock) + LIMIT_NS;

	while (!rig->done) {
		u64 deadline = limit, now = vclock_now_ns(&rig->clock);

		assert_true(now < limit); /* else the payload never ended */
		if (rig->slice_ns)
			deadline = now + rig->slice_ns;
		if (rig->on_turn)
			rig->on_turn(rig);
		offer_irq(rig);
		rig->ops->run(rig->hv, deadline, x);
		switch (x->kind) {
		case HV_EXIT_KICK:
			break;
		case HV_EXIT_IO:
			serve_io(rig, x);
			break;
		case HV_EXIT_MMIO:
			if (!serve_mmio(rig, x))
				return x->kind;
			break;
		case HV_EXIT_MSR:
			serve_msr(rig, x);
			break;
		case HV_EXIT_IRQ_WINDOW:
			rig->window_exits++;
			assert_true(rig->ops->irq_ready(rig->hv));
			break;
		case HV_EXIT_HLT:
			rig->hlt_exits++;
			if (rig->irq < 0)
				return x->kind;
			break;
		default:
			return x->kind;
		}
	}
	return HV_EXIT_HLT;
}

void
rig_pass(struct rig *rig, enum payload_test test, u64 arg)
{
	struct vm_exit x = {0};
	enum hv_exit_kind kind;

	rig_start(rig, test, arg);
	kind = rig_serve(rig, &x);
	if (kind == HV_EXIT_ERROR)
		fail_msg("%s", x.error.text);
	if (kind == HV_EXIT_MMIO)
		fail_msg("access to %#llx", (unsigned long long)x.mmio.gpa);
	assert_int_equal(kind, HV_EXIT_HLT);
	assert_true(rig->done);
	assert_int_equal(rig->first_fail, 0);
	assert_int_equal(rig->fails, 0);
	assert_true(rig->checks > 0);
}

/* --- state -------------------------------------------------------------- */

static void
same_seg(const struct cpu_seg *a, const struct cpu_seg *b, const char *name)
{
	bool usable = !((a->attr | b->attr) & ATTR_UNUSABLE);

	if (a->sel != b->sel || a->base != b->base ||
	    (usable &&
	     (a->limit_bytes != b->limit_bytes || a->attr != b->attr)))
		fail_msg("%s: %04x %llx %x %x became %04x %llx %x %x", name,
			 a->sel, (unsigned long long)a->base, a->limit_bytes,
			 a->attr, b->sel, (unsigned long long)b->base,
			 b->limit_bytes, b->attr);
}

static void
same_u64(u64 a, u64 b, const char *name)
{
	if (a != b)
		fail_msg("%s: %#llx became %#llx", name, (unsigned long long)a,
			 (unsigned long long)b);
}

#define SAME(field) same_u64(a->field, b->field, #field)

static void
same_msrs(const struct cpu_state *a, const struct cpu_state *b)
{
	SAME(msr.star);
	SAME(msr.lstar);
	SAME(msr.cstar);
	SAME(msr.fmask);
	SAME(msr.kernel_gs_base);
	SAME(msr.sysenter_cs);
	SAME(msr.sysenter_esp);
	SAME(msr.sysenter_eip);
	SAME(msr.pat);
	SAME(msr.tsc_aux);
	SAME(msr.apic_base);
}

void
rig_same_state(const struct cpu_state *a, const struct cpu_state *b)
{
	static const char *const seg[SEG_COUNT] = {"es", "cs", "ss",
						   "ds", "fs", "gs"};
	char name[8] = "gpr .";

	for (int i = 0; i < 16; i++) {
		name[4] = (char)('a' + i);
		same_u64(a->gpr[i], b->gpr[i], name);
	}
	SAME(rip);
	SAME(rflags);
	for (int i = 0; i < SEG_COUNT; i++)
		same_seg(&a->seg[i], &b->seg[i], seg[i]);
	same_seg(&a->ldt, &b->ldt, "ldt");
	same_seg(&a->tr, &b->tr, "tr");
	SAME(gdt.base);
	SAME(gdt.limit_bytes);
	SAME(idt.base);
	SAME(idt.limit_bytes);
	SAME(cr0);
	SAME(cr2);
	SAME(cr3);
	SAME(cr4);
	SAME(cr8);
	SAME(efer);
	SAME(dr[0]);
	SAME(dr[1]);
	SAME(dr[2]);
	SAME(dr[3]);
	SAME(dr[6]);
	SAME(dr[7]);
	same_msrs(a, b);
	SAME(halted);
	SAME(int_shadow);
	SAME(nmi_masked);
	SAME(nmi_pending);
	SAME(event_pending);
	/* FCW, FSW, FTW; then MXCSR, the registers. FOP, FIP and FDP in between
	 * are not kept by AMD parts without a pending exception. */
	assert_memory_equal(a->fx, b->fx, 6);
	assert_memory_equal(a->fx + 24, b->fx + 24, 4);
	for (int i = 0; i < 8; i++) /* ten bytes of each sixteen */
		assert_memory_equal(a->fx + 32 + 16 * i, b->fx + 32 + 16 * i,
				    10);
	assert_memory_equal(a->fx + 160, b->fx + 160, 256);
}

void
rig_move(struct rig *rig, const struct hv_ops *to)
{
	struct cpu_state before, after;
	struct err e = {""};

	rig->ops->state_get(rig->hv, &before);
	rig->ops->destroy(rig->hv);
	rig->ops = to;
	if (to->create(&rig->hv, &rig->cfg, &e) < 0)
		fail_msg("%s", e.text);
	map_memory(rig);
	assert_int_equal(to->state_set(rig->hv, &before), 0);
	to->state_get(rig->hv, &after);
	rig_same_state(&before, &after);
	assert_true(after.tsc >= before.tsc);
}
