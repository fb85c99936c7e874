/* SPDX-License-Identifier: BSD-2-Clause */
/* kvm_int - what the files of the KVM driver share
 *
 * What:    struct kvm is one VM with one vCPU. kvm_open.c makes it,
 *          kvm.c runs it, kvm_state.c moves the processor's
 *          state, kvm_cpuid.c chooses what CPUID says, kvm_mem.c keeps the
 *          memory slots and the dirty log.
 * Model:   Linux Documentation/virt/kvm/api.rst; section numbers are its.
 * Threads: the vCPU thread, but for the fields marked [atomic] and those that
 *          any thread may read because they are [const] after create.
 *
 * An exit that wants an answer (port read, MMIO, MSR) is completed by KVM only
 * when KVM_RUN is entered again. Invariants:
 *  [K1] pending != PENDING_NONE: the last KVM_RUN left an instruction that the
 *       kernel will complete from the run page at the next KVM_RUN. The answer
 *       reaches the run page in kvm_answer(), before anything else happens.
 *  [K2] exit_queued: the run page holds an exit that run() has not returned.
 *  [K3] A kick is reported only when the coalesced ring is empty and no exit
 *       is queued, so state read after a kick has all earlier writes behind it.
 */
#ifndef DRIVER_KVM_INT_H
#define DRIVER_KVM_INT_H

#include <stdatomic.h>
#include <sys/types.h>
#include <time.h>

#include "driver/hv.h"

struct kvm_run;
struct kvm_coalesced_mmio_ring;
struct kvm_xsave;

struct kvm_slot {
	u64 gpa, size_bytes;
	void *host;
	u64 flags;		/* HV_MEM_* */
	atomic_bool logging;	/* [atomic] written by the vCPU thread */
	u64 *fetched;		/* KVM_GET_DIRTY_LOG writes here */
	_Atomic u64 *by_device; /* [atomic] pages that ram_written() named;
				   lives as long as the slot */
};

enum kvm_pending {
	PENDING_NONE,
	PENDING_COMPLETION, /* the answer is in the run page already */
	PENDING_MMIO_READ,
	PENDING_MSR,
};

#define KVM_MSRS_MAX 16

struct kvm {
	struct hv hv; /* must be first */
	int vm_fd, vcpu_fd;
	struct kvm_run *run;
	size_t run_bytes;
	struct kvm_coalesced_mmio_ring *ring; /* NULL: not offered */
	u32 ring_max;
	struct vclock *clock;

	/* [const] what this KVM can do */
	bool irqchip;
	bool has_readonly, has_coalesced_pio, has_tsc_offset;
	bool auto_ibrs; /* EFER.AIBRSE is there */
	bool host_cpuid;
	u32 xsave_bytes; /* 0: KVM_GET_FPU instead */
	struct kvm_xsave *xsave;
	u32 msr_index[KVM_MSRS_MAX];  /* those of cpu_msrs that it keeps */
	size_t msr_off[KVM_MSRS_MAX]; /* where in struct cpu_msrs */
	unsigned n_msr;

	/* exits */
	enum kvm_pending pending; /* [K1] */
	bool exit_queued;	  /* [K2] */
	struct vm_exit *x;	  /* of the last run(); holds the answer */
	u8 ring_data[8];
	int broken; /* an ioctl that cannot fail did: its -errno */
	const char *broken_what;

	/* interrupts, without an in-kernel irqchip */
	bool halted;
	bool irq_ready;
	bool irq_window;

	/* kicks: see kvm_kick() for the order of the accesses */
	atomic_bool kicked;	   /* [atomic] */
	_Atomic pid_t running_tid; /* [atomic] 0 outside KVM_RUN */
	pid_t timer_tid;	   /* whose signal the timer sends; 0: none */
	timer_t timer;
	u64 armed_ns; /* host time; VCLOCK_NEVER: not armed */

	/* the TSC stands still while the machine's clock does */
	u64 clock_base_ns; /* clock->base_ns at the last run() */
	u64 exit_tsc;	   /* host TSC when the guest last could run */

	struct kvm_slot slot[HV_MAX_SLOTS];
	struct hv_stats st;
	struct cpu_msrs msr_kept; /* of the last state_set(), for those MSRs
				     that this KVM does not keep */
};

static inline struct kvm *
kvm_of(struct hv *hv)
{
	return CONTAINER_OF(hv, struct kvm, hv);
}

/* ioctl() with -errno, again when a signal interrupted it. */
int kvm_ioctl(int fd, unsigned long request, void *arg);

/* The same for a request that cannot fail on a sound kernel. A failure is
 * remembered and reported by the next run(). */
void kvm_must(struct kvm *k, unsigned long request, void *arg,
	      const char *what);

/* Lets the kernel complete the instruction of the last exit [K1]. discard:
 * the processor's state is about to be replaced, so whatever the instruction
 * still wants is thrown away. */
void kvm_settle(struct kvm *k, bool discard);

/* Once a process: the handler of the signal that kicks. */
void kvm_kick_init(void);

/* kvm_open.c */
int kvm_create(struct hv **out, const struct hv_config *cfg, struct err *e);
void kvm_destroy(struct hv *hv);
/* Opens the device and checks what its KVM can do. path is "/dev/kvm" but for
 * tests. Returns the descriptor. */
int kvm_open_dev(const char *path, struct err *e);

/* kvm_state.c */
int kvm_state_init(struct kvm *k, struct err *e);
void kvm_state_get(struct hv *hv, struct cpu_state *s);
int kvm_state_set(struct hv *hv, const struct cpu_state *s);
/* Takes ticks back from the guest's TSC. */
void kvm_tsc_rewind(struct kvm *k, u64 ticks);

/* kvm_cpuid.c */
int kvm_cpuid_init(struct kvm *k, int dev_fd, bool tsc_deadline, struct err *e);

/* kvm_mem.c */
int kvm_mem_map(struct hv *hv, unsigned slot, u64 gpa, u64 size_bytes,
		void *host, u64 flags);
int kvm_dirty_log(struct hv *hv, unsigned slot, bool on);
int kvm_dirty_get(struct hv *hv, unsigned slot, u64 *bitmap);
void kvm_ram_written(struct hv *hv, u64 gpa, u64 size_bytes);
void kvm_mem_release(struct kvm *k);

#endif
