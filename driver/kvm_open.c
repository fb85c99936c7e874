/* SPDX-License-Identifier: BSD-2-Clause */
/* Making and unmaking the VM. What is optional in KVM stays optional here: a
 * host that lacks it gets a driver that does without. */
#include "driver/kvm_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MSR_TSC_DEADLINE 0x6e0

/* Three pages and one that KVM on older Intel hosts wants for itself, at the
 * place below the BIOS where no RAM and no device is. 4.39, 4.40 */
#define IDENTITY_GPA 0xfeffc000ULL
#define TSS_GPA	     0xfeffd000UL

static int
check_cap(int fd, long cap)
{
	int r = ioctl(fd, KVM_CHECK_EXTENSION, cap);

	return r > 0 ? r : 0;
}

static int
enable_cap(int vm_fd, u32 cap, u64 arg)
{
	struct kvm_enable_cap c = {.cap = cap, .args[0] = arg};

	return kvm_ioctl(vm_fd, KVM_ENABLE_CAP, &c);
}

int
kvm_open_dev(const char *path, struct err *e)
{
	static const struct {
		long cap;
		const char *what;
	} needed[] = {
	    {KVM_CAP_USER_MEMORY, "memory slots"},
	    {KVM_CAP_EXT_CPUID, "a CPUID table"},
	    {KVM_CAP_VCPU_EVENTS, "event state"},
	    {KVM_CAP_DEBUGREGS, "debug registers"},
	    {KVM_CAP_IMMEDIATE_EXIT, "immediate exit (Linux 4.12)"},
	};
	int fd = open(path, O_RDWR | O_CLOEXEC), r;

	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return err_set(e, -EACCES,
			       "no permission to use '%s': this user must be "
			       "in the group that owns it",
			       path);
	if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		return err_set(e, -ENOENT,
			       "no KVM on this host: '%s' does not exist or "
			       "has no module behind it",
			       path);
	if (fd < 0)
		return err_errno(e, -errno, "cannot open '%s'", path);
	r = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (r < 0)
		r = err_set(e, -ENOTSUP, "'%s' is not a KVM device", path);
	else if (r != KVM_API_VERSION)
		r = err_set(e, -ENOTSUP,
			    "the KVM behind '%s' speaks version %d of its "
			    "interface, not %d",
			    path, r, KVM_API_VERSION);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(needed); i++)
		if (!check_cap(fd, needed[i].cap))
			r = err_set(e, -ENOTSUP,
				    "the KVM behind '%s' is too old: it has "
				    "no %s",
				    path, needed[i].what);
	if (r >= 0)
		return fd;
	close(fd);
	return r;
}

/* The wiring of a PC: ISA interrupts reach the PIC and the IOAPIC, the timer's
 * as IOAPIC input 2 (82371AB, 82093AA). */
static int
route_irqs(int vm_fd)
{
	union {
		struct kvm_irq_routing head;
		u8 room[sizeof(struct kvm_irq_routing) +
			48 * sizeof(struct kvm_irq_routing_entry)];
	} t = {.room = {0}};
	struct kvm_irq_routing_entry *e = t.head.entries;

	for (u32 gsi = 0; gsi < 16; gsi++, e++) {
		e->gsi = gsi;
		e->type = KVM_IRQ_ROUTING_IRQCHIP;
		e->u.irqchip.irqchip =
		    gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
		e->u.irqchip.pin = gsi % 8;
	}
	for (u32 gsi = 0; gsi < 24; gsi++) {
		if (gsi == 2)
			continue;
		e->gsi = gsi;
		e->type = KVM_IRQ_ROUTING_IRQCHIP;
		e->u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		e->u.irqchip.pin = gsi == 0 ? 2 : gsi;
		e++;
	}
	t.head.nr = (u32)(e - t.head.entries);
	return kvm_ioctl(vm_fd, KVM_SET_GSI_ROUTING, &t);
}

/* Without an in-kernel APIC, KVM swallows writes of the TSC deadline: they are
 * made to exit instead, as any MSR that it does not know. */
static bool
divert_msrs(struct kvm *k)
{
	static u8 none[1];
	struct kvm_msr_filter f = {.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
				   .ranges[0] = {.flags = KVM_MSR_FILTER_READ |
							  KVM_MSR_FILTER_WRITE,
						 .nmsrs = 1,
						 .base = MSR_TSC_DEADLINE,
						 .bitmap = none}};

	if (!check_cap(k->vm_fd, KVM_CAP_X86_USER_SPACE_MSR) ||
	    enable_cap(k->vm_fd, KVM_CAP_X86_USER_SPACE_MSR,
		       KVM_MSR_EXIT_REASON_UNKNOWN |
			   KVM_MSR_EXIT_REASON_FILTER) < 0 ||
	    k->irqchip || !check_cap(k->vm_fd, KVM_CAP_X86_MSR_FILTER))
		return false;
	return kvm_ioctl(k->vm_fd, KVM_X86_SET_MSR_FILTER, &f) == 0;
}

static int
init_vm(struct kvm *k, const struct hv_config *cfg, int dev_fd, struct err *e)
{
	u64 identity = IDENTITY_GPA;

	/* the kernel wants room to wait in for other processors: EINTR */
	k->vm_fd = kvm_ioctl(dev_fd, KVM_CREATE_VM, NULL);
	if (k->vm_fd < 0)
		return err_errno(e, k->vm_fd, "KVM does not make a machine");
	k->has_readonly = check_cap(k->vm_fd, KVM_CAP_READONLY_MEM);
	k->has_coalesced_pio = check_cap(k->vm_fd, KVM_CAP_COALESCED_PIO);
	if (check_cap(k->vm_fd, KVM_CAP_SET_IDENTITY_MAP_ADDR))
		kvm_ioctl(k->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (check_cap(k->vm_fd, KVM_CAP_SET_TSS_ADDR))
		ioctl(k->vm_fd, KVM_SET_TSS_ADDR, TSS_GPA);
	if (cfg->want_irqchip && check_cap(k->vm_fd, KVM_CAP_IRQCHIP) &&
	    check_cap(k->vm_fd, KVM_CAP_IRQ_ROUTING) &&
	    kvm_ioctl(k->vm_fd, KVM_CREATE_IRQCHIP, NULL) == 0) {
		int r = route_irqs(k->vm_fd);

		if (r < 0)
			return err_errno(e, r, "KVM cannot route interrupts");
		k->irqchip = true;
	}
	return 0;
}

static int
init_vcpu(struct kvm *k, int dev_fd, struct err *e)
{
	bool deadline = divert_msrs(k);
	int r = kvm_ioctl(dev_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
	int ring_page = check_cap(k->vm_fd, KVM_CAP_COALESCED_MMIO);
	long page = sysconf(_SC_PAGESIZE);
	void *p;

	if (r < (int)sizeof(struct kvm_run))
		return err_set(e, -ENOTSUP, "KVM has no run page");
	k->run_bytes = (size_t)r;
	k->vcpu_fd = kvm_ioctl(k->vm_fd, KVM_CREATE_VCPU, NULL);
	if (k->vcpu_fd < 0)
		return err_errno(e, k->vcpu_fd, "KVM does not make a vCPU");
	p = mmap(NULL, k->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		 k->vcpu_fd, 0);
	if (p == MAP_FAILED)
		return err_errno(e, -errno, "cannot map KVM's run page");
	k->run = p;
	if (ring_page > 0 &&
	    (size_t)(ring_page + 1) * (size_t)page <= k->run_bytes) {
		k->ring =
		    (void *)((char *)p + (size_t)ring_page * (size_t)page);
		k->ring_max = (u32)(((size_t)page - sizeof(*k->ring)) /
				    sizeof(k->ring->coalesced_mmio[0]));
	}
	if (k->irqchip)
		deadline = check_cap(k->vm_fd, KVM_CAP_TSC_DEADLINE_TIMER);
	r = kvm_cpuid_init(k, dev_fd, deadline, e);
	return r < 0 ? r : kvm_state_init(k, e);
}

void
kvm_destroy(struct hv *hv)
{
	struct kvm *k = kvm_of(hv);

	if (k->timer_tid)
		timer_delete(k->timer);
	if (k->run)
		munmap(k->run, k->run_bytes);
	if (k->vcpu_fd >= 0)
		close(k->vcpu_fd);
	if (k->vm_fd >= 0)
		close(k->vm_fd);
	kvm_mem_release(k);
	free(k->xsave);
	free(k);
}

int
kvm_create(struct hv **out, const struct hv_config *cfg, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct cpu_state reset;
	struct kvm *k;
	int dev_fd, r;

	dev_fd = kvm_open_dev("/dev/kvm", e);
	if (dev_fd < 0)
		return dev_fd;
	k = calloc(1, sizeof(*k));
	if (!k) {
		close(dev_fd);
		return err_set(e, -ENOMEM, "no memory for the KVM driver");
	}
	k->hv.ops = &hv_kvm;
	k->vm_fd = k->vcpu_fd = -1;
	k->clock = cfg->clock;
	k->host_cpuid = cfg->host_cpuid;
	k->armed_ns = VCLOCK_NEVER;
	pthread_once(&once, kvm_kick_init);
	r = init_vm(k, cfg, dev_fd, e);
	if (r == 0)
		r = init_vcpu(k, dev_fd, e);
	close(dev_fd);
	if (r == 0) {
		cpu_state_reset(&reset);
		r = kvm_state_set(&k->hv, &reset);
		if (r < 0)
			err_errno(e, r, "KVM refuses the reset state");
	}
	if (r < 0) {
		kvm_destroy(&k->hv);
		return r;
	}
	k->clock_base_ns = atomic_load(&k->clock->base_ns);
	*out = &k->hv;
	return 0;
}
