/* SPDX-License-Identifier: BSD-2-Clause */
/* What CPUID says under KVM: the table of driver/cpuid.c, less what this host
 * cannot do; or, with host_cpuid, all that the host can do, seen from one
 * processor. KVM's own paravirtual leaves are not passed on: its clock does
 * not stand still while the machine is paused. */
#include "driver/kvm_int.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>

#include "base/log.h"
#include "driver/cpuid.h"

#define MAX_ENTRIES 256

/* 80000001h EDX repeats these bits of 1 EDX on AMD parts only. */
#define ALIASED 0x0183f3ffU

#define C_X2APIC       BIT(21)
#define C_TSC_DEADLINE BIT(24)
#define C_HYPERVISOR   BIT(31)
#define D_APIC	       BIT(9)
#define D_HTT	       BIT(28)

#define HYPERVISOR_LEAF 0x40000000U

static struct kvm_cpuid2 *
alloc_list(void)
{
	struct kvm_cpuid2 *list;

	list =
	    calloc(1, sizeof(*list) + MAX_ENTRIES * sizeof(list->entries[0]));
	if (list)
		list->nent = MAX_ENTRIES;
	return list;
}

/* Zeros when there is no such leaf. */
static struct kvm_cpuid_entry2
find(const struct kvm_cpuid2 *list, u32 leaf)
{
	for (u32 i = 0; i < list->nent; i++)
		if (list->entries[i].function == leaf &&
		    list->entries[i].index == 0)
			return list->entries[i];
	return (struct kvm_cpuid_entry2){.function = leaf};
}

/* Takes away what the host's KVM (in list) does not offer. */
static void
reduce(struct kvm_cpuid_entry2 *e, const struct kvm_cpuid2 *list,
       bool tsc_deadline)
{
	struct kvm_cpuid_entry2 has = find(list, e->function);

	switch (e->function) {
	case 1:
		/* 4.46: these depend on how the APIC is made, which is ours */
		has.ecx |= C_HYPERVISOR;
		has.ecx &= ~C_TSC_DEADLINE;
		if (tsc_deadline)
			has.ecx |= C_TSC_DEADLINE;
		e->ecx &= has.ecx;
		e->edx &= has.edx | D_APIC;
		break;
	case 0x80000001:
		has.edx &= ~ALIASED;
		has.edx |= (find(list, 1).edx | D_APIC) & ALIASED;
		e->ecx &= has.ecx;
		e->edx &= has.edx;
		break;
	case 0x80000007:
		e->edx &= has.edx;
		break;
	case 0x80000021:
		e->eax &= has.eax;
		break;
	case 0x80000008:
		if (bits_get(has.eax, 7, 0) &&
		    bits_get(has.eax, 7, 0) < bits_get(e->eax, 7, 0))
			e->eax = (e->eax & ~0xffU) | (has.eax & 0xff);
		break;
	default:
		break;
	}
}

static void
fill_from_table(struct kvm_cpuid2 *to, const struct kvm_cpuid2 *host,
		bool tsc_deadline)
{
	size_t count;
	const struct cpuid_row *row = cpuid_table(&count);
	const char *missing;

	assert(count <= MAX_ENTRIES);
	to->nent = (u32)count;
	for (size_t i = 0; i < count; i++, row++) {
		to->entries[i] = (struct kvm_cpuid_entry2){
		    .function = row->leaf,
		    .index = row->subleaf,
		    .flags =
			row->has_subleaf ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		    .eax = row->eax,
		    .ebx = row->ebx,
		    .ecx = row->ecx,
		    .edx = row->edx};
		reduce(&to->entries[i], host, tsc_deadline);
	}
	missing = cpuid_missing(find(to, 1).ecx, find(to, 1).edx,
				find(to, 0x80000001).ecx);
	if (missing)
		log_info("kvm: the host does not offer '%s'; the guest's "
			 "processor lacks it",
			 missing);
}

/* One logical processor, whatever the host's topology is. */
static void
make_single(struct kvm_cpuid_entry2 *e, bool irqchip, bool tsc_deadline)
{
	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0xffff) | 1 << 16;
		e->edx = (e->edx | D_APIC) & ~D_HTT;
		e->ecx |= C_HYPERVISOR;
		if (!irqchip)
			e->ecx &= ~C_X2APIC;
		e->ecx &= ~C_TSC_DEADLINE;
		if (tsc_deadline)
			e->ecx |= C_TSC_DEADLINE;
		break;
	case 4:
	case 0x8000001d:
		e->eax &= 0x3fff; /* one core, caches shared by one */
		break;
	case 0xb:
	case 0x1f:
		e->eax = 0;
		e->ebx = e->ecx & 0xff00 ? 1 : 0;
		e->edx = 0;
		break;
	case 0x80000008:
		e->ecx = 0;
		break;
	case 0x8000001e:
		e->eax = e->ebx = e->ecx = 0;
		break;
	default:
		break;
	}
}

static void
fill_from_host(struct kvm_cpuid2 *to, const struct kvm_cpuid2 *host,
	       bool irqchip, bool tsc_deadline)
{
	u32 r[4];

	to->nent = 0;
	for (u32 i = 0; i < host->nent; i++) {
		struct kvm_cpuid_entry2 e = host->entries[i];

		if (e.function >> 28 == HYPERVISOR_LEAF >> 28)
			continue;
		make_single(&e, irqchip, tsc_deadline);
		to->entries[to->nent++] = e;
	}
	if (to->nent == MAX_ENTRIES)
		to->nent--;
	cpuid_get(HYPERVISOR_LEAF, 0, r);
	to->entries[to->nent++] =
	    (struct kvm_cpuid_entry2){.function = HYPERVISOR_LEAF,
				      .eax = r[0],
				      .ebx = r[1],
				      .ecx = r[2],
				      .edx = r[3]};
}

int
kvm_cpuid_init(struct kvm *k, int dev_fd, bool tsc_deadline, struct err *e)
{
	struct kvm_cpuid2 *host = alloc_list(), *list = alloc_list();
	int r = -ENOMEM;

	if (!host || !list) {
		r = err_set(e, r, "no memory for the CPUID tables");
		goto out;
	}
	r = kvm_ioctl(dev_fd, KVM_GET_SUPPORTED_CPUID, host);
	if (r < 0) {
		r = err_errno(e, r, "KVM does not say what CPUID it supports");
		goto out;
	}
	k->auto_ibrs = find(host, 0x80000021).eax & CPUID_AUTO_IBRS;
	if (k->host_cpuid)
		fill_from_host(list, host, k->irqchip, tsc_deadline);
	else
		fill_from_table(list, host, tsc_deadline);
	r = kvm_ioctl(k->vcpu_fd, KVM_SET_CPUID2, list);
	if (r < 0)
		r = err_errno(e, r, "KVM refuses the processor's CPUID");
out:
	free(list);
	free(host);
	return r;
}
