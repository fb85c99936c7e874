/* SPDX-License-Identifier: BSD-2-Clause */
/* A /dev/kvm that opens says nothing about its speed: one that emulates every
 * guest instruction runs 1.4 MIPS where the software CPU runs 500. So "auto"
 * lets a loop run on each, in a machine of 24 KiB that is thrown away, and
 * looks how far it came in half a millisecond, then in one. The better window
 * counts: the first one also pays for page faults, TLBs and decoding. Where KVM
 * itself runs in a slow virtual machine that can be all of it: a window in
 * which the loop did not begin is followed by a longer one. 1.5 ms a driver as
 * a rule, 15.5 at the most. */
#include "driver/choose_int.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#define WINDOWS	  5
#define WINDOW_NS (NS_PER_MS / 2)
/* A driver that needs more runs than this for one window is not measurable. */
#define RUNS_MAX 64

/* The throwaway machine: page tables that map the first 2 MiB onto itself,
 * one page of code, one of data. */
enum {
	PML4_GPA = 0x1000,
	PDPT_GPA = 0x2000,
	PD_GPA = 0x3000,
	CODE_GPA = 0x4000,
	DATA_GPA = 0x5000,
	RAM_BYTES = 0x6000
};

#define PTE_P  BIT(0)
#define PTE_W  BIT(1)
#define PTE_PS BIT(7)

/* Counts RCX down; a load, a store, arithmetic and a branch. */
static const u8 loop[] = {
    0x48, 0x8b, 0x03, /* 1: mov rax, [rbx] */
    0x48, 0x01, 0xc8, /*    add rax, rcx */
    0x48, 0x89, 0x03, /*    mov [rbx], rax */
    0x48, 0x31, 0xc2, /*    xor rdx, rax */
    0x48, 0xff, 0xc9, /*    dec rcx */
    0x75, 0xef,	      /*    jnz 1b */
    0xf4	      /*    hlt */
};
#define LOOP_INSNS 6

static void
fill_ram(u8 *ram)
{
	put_le64(ram + PML4_GPA, PDPT_GPA | PTE_P | PTE_W);
	put_le64(ram + PDPT_GPA, PD_GPA | PTE_P | PTE_W);
	put_le64(ram + PD_GPA, 0 | PTE_P | PTE_W | PTE_PS);
	memcpy(ram + CODE_GPA, loop, sizeof(loop));
}

/* Runs one window: instructions a microsecond, that is MIPS. */
static int
run_window(struct hv *hv, struct vclock *clock, u64 window_ns, double *mips)
{
	const struct hv_ops *ops = hv->ops;
	struct cpu_state s;
	struct vm_exit x;
	u64 before, start, end_ns, took_ns;

	ops->state_get(hv, &s);
	before = s.gpr[RCX];
	start = clock_now_ns();
	end_ns = vclock_now_ns(clock) + window_ns;
	for (int i = 0; vclock_now_ns(clock) < end_ns; i++) {
		if (i == RUNS_MAX)
			return -EIO;
		ops->run(hv, end_ns, &x);
		if (x.kind != HV_EXIT_KICK)
			return -EIO;
	}
	took_ns = clock_now_ns() - start;
	ops->state_get(hv, &s);
	*mips = (double)((before - s.gpr[RCX]) * LOOP_INSNS) * NS_PER_US /
		(double)MAX(took_ns, 1ULL);
	return 0;
}

/* The better of two windows in which the guest ran. */
static int
measure(struct hv *hv, struct vclock *clock, double *mips)
{
	struct cpu_state s;
	double now = 0, best = 0;
	int r, good = 0;

	cpu_state_long_mode(&s, CODE_GPA, PML4_GPA);
	s.gpr[RCX] = UINT64_MAX;
	s.gpr[RBX] = DATA_GPA;
	r = hv->ops->state_set(hv, &s);
	for (int i = 0; r == 0 && i < WINDOWS && good < 2; i++) {
		r = run_window(hv, clock, WINDOW_NS << i, &now);
		best = MAX(best, now);
		good += now > 0;
	}
	*mips = best;
	return r;
}

static int
probe(const struct hv_ops *ops, double *mips, struct err *e)
{
	struct vclock clock;
	struct hv_config cfg = {.clock = &clock};
	struct hv *hv;
	u8 *ram;
	int r;

	vclock_init(&clock, 0);
	r = ops->create(&hv, &cfg, e);
	if (r < 0)
		return r;
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED) {
		r = err_errno(e, -errno, "no memory to measure a driver in");
		goto out;
	}
	fill_ram(ram);
	vclock_start(&clock);
	r = ops->mem_map(hv, 0, 0, RAM_BYTES, ram, 0);
	if (r == 0)
		r = measure(hv, &clock, mips);
	if (r < 0)
		err_errno(e, r, "%s cannot run a loop", ops->name);
out:
	ops->destroy(hv);
	if (ram != MAP_FAILED)
		munmap(ram, RAM_BYTES);
	return r;
}

/* Decimals worth printing. */
static int
digits(double mips)
{
	return mips < 10 ? 1 : 0;
}

int
hv_choose_auto(const struct hv_ops **out, const struct hv_ops *kvm,
	       const struct hv_ops *soft, char why[200], struct err *e)
{
	struct err no_kvm, no_soft;
	double kvm_mips, soft_mips;
	int r;

	err_set(&no_soft, -ENOTSUP, "the software CPU is not built in");
	r = soft ? probe(soft, &soft_mips, &no_soft) : -ENOTSUP;
	if (probe(kvm, &kvm_mips, &no_kvm) < 0) {
		if (r < 0)
			return err_set(e, r, "%s; and %s", no_soft.text,
				       no_kvm.text);
		*out = soft;
		snprintf(why, 200, "soft: %.190s", no_kvm.text);
	} else if (r < 0) {
		*out = kvm;
		snprintf(why, 200, "kvm: %.190s", no_soft.text);
	} else if (kvm_mips >= soft_mips) {
		*out = kvm;
		snprintf(why, 200,
			 "kvm: it runs %.*f MIPS here, the software CPU %.*f",
			 digits(kvm_mips), kvm_mips, digits(soft_mips),
			 soft_mips);
	} else {
		*out = soft;
		snprintf(why, 200,
			 "soft: /dev/kvm here runs %.*f MIPS, the software CPU "
			 "%.*f",
			 digits(kvm_mips), kvm_mips, digits(soft_mips),
			 soft_mips);
	}
	return 0;
}

/* A driver asked for by name: only whether it can be made. */
static int
choose_named(const struct hv_ops **out, const struct hv_ops *ops, char why[200],
	     struct err *e)
{
	struct vclock clock;
	struct hv_config cfg = {.clock = &clock};
	struct hv *hv;
	int r;

	vclock_init(&clock, 0);
	r = ops->create(&hv, &cfg, e);
	if (r < 0)
		return r;
	ops->destroy(hv);
	*out = ops;
	snprintf(why, 200, "%s: asked for by name", ops->name);
	return 0;
}

int
hv_choose(const struct hv_ops **out, const char *name, char why[200],
	  struct err *e)
{
#ifdef SPINDLE_NO_SOFT
	const struct hv_ops *const soft = NULL;
#else
	const struct hv_ops *const soft = &hv_soft;
#endif

	if (strcmp(name, "auto") == 0)
		return hv_choose_auto(out, &hv_kvm, soft, why, e);
	if (strcmp(name, "kvm") == 0)
		return choose_named(out, &hv_kvm, why, e);
	if (strcmp(name, "soft") == 0 && soft)
		return choose_named(out, soft, why, e);
	return err_set(e, -EINVAL,
		       "no driver is called '%s': there are auto, kvm and soft",
		       name);
}
