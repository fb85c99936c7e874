/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/fake_hv.h"

#include <errno.h>

#include "vmm/machine.h"

struct fake_hv fake_hv;

static const struct fake_step last = FAKE_OUT(MACHINE_DEBUG_EXIT_PORT, 0);

void
fake_hv_script(const struct fake_step *step, unsigned steps)
{
	assert(steps <= FAKE_STEPS_MAX);
	memset(&fake_hv, 0, sizeof(fake_hv));
	fake_hv.step = step;
	fake_hv.steps = steps;
}

static int
create(struct hv **out, const struct hv_config *cfg, struct err *e)
{
	assert(cfg->clock != NULL && !fake_hv.alive);
	if (fake_hv.fail_create)
		return err_set(e, -EACCES, "the fake driver may not");
	fake_hv.hv.ops = cfg->want_irqchip && fake_hv.has_irqchip
			     ? &fake_hv_ops_irqchip
			     : &fake_hv_ops;
	fake_hv.alive = true;
	*out = &fake_hv.hv;
	return 0;
}

static void
destroy(struct hv *hv)
{
	assert(hv == &fake_hv.hv && fake_hv.alive);
	fake_hv.alive = false;
}

static int
mem_map(struct hv *hv, unsigned slot, u64 gpa, u64 size_bytes, void *host,
	u64 flags)
{
	(void)hv;
	(void)gpa;
	(void)flags;
	assert(slot < HV_MAX_SLOTS && host != NULL && size_bytes != 0);
	return 0;
}

static void
ram_written(struct hv *hv, u64 gpa, u64 size_bytes)
{
	(void)hv;
	(void)gpa;
	assert(size_bytes != 0);
}

static void
state_get(struct hv *hv, struct cpu_state *s)
{
	(void)hv;
	*s = fake_hv.state;
}

static int
state_set(struct hv *hv, const struct cpu_state *s)
{
	(void)hv;
	fake_hv.state = *s;
	fake_hv.state_sets++;
	return 0;
}

/* What the machine answered to the last exit. */
static void
take_answer(const struct vm_exit *x)
{
	unsigned at = fake_hv.at - 1;

	if (fake_hv.asked == NULL)
		return;
	if (x->kind == HV_EXIT_IO)
		fake_hv.answer[at] = fake_hv.data;
	else
		fake_hv.fault[at] = x->msr.fault;
	fake_hv.asked = NULL;
}

static void
play(const struct fake_step *s, struct vm_exit *x)
{
	x->kind = s->kind;
	fake_hv.data = (u8)s->value;
	if (s->kind == HV_EXIT_IO) {
		x->io.port = s->port;
		x->io.size_bytes = 1;
		x->io.write = s->write;
		x->io.count = 1;
		x->io.data = &fake_hv.data;
		fake_hv.asked = s->write ? NULL : s;
	} else if (s->kind == HV_EXIT_MSR) {
		x->msr.index = s->value;
		x->msr.write = s->write;
		x->msr.value = s->msr_value;
		x->msr.fault = false;
		fake_hv.asked = s;
	} else if (s->kind == HV_EXIT_ERROR) {
		x->error.code = -EIO;
		memcpy(x->error.text, "fake trouble", 13);
	}
}

static void
run(struct hv *hv, u64 deadline_ns, struct vm_exit *x)
{
	const struct fake_step *s;

	assert(hv == &fake_hv.hv);
	take_answer(x);
	if (atomic_exchange(&fake_hv.kicked, false)) {
		x->kind = HV_EXIT_KICK;
		return;
	}
	if (fake_hv.runs <= FAKE_STEPS_MAX)
		fake_hv.deadline[fake_hv.runs] = deadline_ns;
	fake_hv.runs++;
	if (fake_hv.at >= fake_hv.steps) {
		play(&last, x);
		return;
	}
	s = &fake_hv.step[fake_hv.at++];
	if (s->before != NULL)
		s->before();
	play(s, x);
}

static void
kick(struct hv *hv)
{
	(void)hv;
	atomic_store(&fake_hv.kicked, true);
}

static bool
irq_ready(struct hv *hv)
{
	(void)hv;
	return fake_hv.ready;
}

static void
interrupt(struct hv *hv, u8 vector)
{
	(void)hv;
	assert(fake_hv.ready);
	fake_hv.vector[fake_hv.interrupts++ % FAKE_STEPS_MAX] = vector;
}

static void
request_irq_window(struct hv *hv, bool on)
{
	(void)hv;
	fake_hv.window = on;
	fake_hv.windows++;
}

static void
nmi(struct hv *hv)
{
	(void)hv;
	fake_hv.nmis++;
}

static bool
has_irqchip(struct hv *hv)
{
	(void)hv;
	return fake_hv.has_irqchip;
}

static void
irq_line(struct hv *hv, unsigned gsi, bool level)
{
	(void)hv;
	fake_hv.lines++;
	fake_hv.line_level &= ~(1U << gsi);
	fake_hv.line_level |= (u32)level << gsi;
}

static void
stats(struct hv *hv, struct hv_stats *st)
{
	(void)hv;
	st->insns = 4711;
}

#define COMMON \
	.name = "fake", .create = create, .destroy = destroy, \
	.mem_map = mem_map, .ram_written = ram_written, \
	.state_get = state_get, .state_set = state_set, .run = run, \
	.kick = kick, .irq_ready = irq_ready, .interrupt = interrupt, \
	.request_irq_window = request_irq_window, .nmi = nmi, .stats = stats

const struct hv_ops fake_hv_ops = {COMMON};
const struct hv_ops fake_hv_ops_irqchip = {COMMON, .has_irqchip = has_irqchip,
					   .irq_line = irq_line};
