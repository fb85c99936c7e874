/* SPDX-License-Identifier: BSD-2-Clause */
/* hv - one way to execute guest code, whatever executes it
 *
 * What:    the interface between the machine (vmm/) and what runs its vCPU:
 *          KVM or the software CPU. A driver knows memory and the processor;
 *          it knows no port, device or disk. It never calls a device: run()
 *          returns a struct vm_exit and is called again with the answer in
 *          it. One machine has one vCPU.
 * Model:   Intel SDM 3A; the KVM API (Linux Documentation/virt/kvm/api.rst)
 *          gave the shape of the exits.
 * Units:   gpa and sizes in bytes; dirty bitmaps one bit a 4 KiB page;
 *          deadline_ns in the machine's virtual time (base/clock.h).
 * Threads: everything is called on the vCPU thread, except kick() and
 *          ram_written(), which any thread may call.
 * Owns:    a driver owns its struct hv; guest RAM belongs to the caller and
 *          must outlive it.
 * Errors:  create: -ENOENT no such facility, -EACCES no permission, -ENOTSUP
 *          facility too old, -ENOMEM. Others as named below. A guest's
 *          mistakes are never errors: they are exceptions in the guest, and in
 *          the end HV_EXIT_SHUTDOWN.
 */
#ifndef DRIVER_HV_H
#define DRIVER_HV_H

#include "base/bits.h"
#include "base/clock.h"
#include "base/err.h"
#include "driver/cpu_state.h"

enum hv_exit_kind {
	HV_EXIT_KICK,	    /* kick() was called, or the deadline passed */
	HV_EXIT_IO,	    /* a port access */
	HV_EXIT_MMIO,	    /* a memory access outside every mapping, or a
			       write to read-only memory */
	HV_EXIT_MSR,	    /* an MSR that the driver does not keep */
	HV_EXIT_HLT,	    /* HLT; wait for an interrupt */
	HV_EXIT_IRQ_WINDOW, /* request_irq_window() was on and interrupts can
			       now be delivered */
	HV_EXIT_SHUTDOWN,   /* triple fault */
	HV_EXIT_ERROR,	    /* the driver itself failed: text says how */
};

struct vm_exit {
	enum hv_exit_kind kind;
	union {
		/* IN/OUT/INS/OUTS. data holds count items of size_bytes each
		 * and belongs to the driver until the next run(); a read is
		 * answered by filling it. */
		struct {
			u16 port;
			u8 size_bytes;
			bool write;
			u32 count;
			u8 *data;
		} io;
		/* A read is answered by filling data. Never crosses a page. */
		struct {
			u64 gpa;
			u8 size_bytes; /* 1..16 */
			bool write;
			u8 data[16];
		} mmio;
		/* RDMSR is answered in value; fault = true raises #GP(0). */
		struct {
			u32 index;
			bool write;
			bool fault;
			u64 value;
		} msr;
		struct {
			int code;
			char text[200];
		} error;
	};
};

#define HV_MEM_READONLY BIT(0) /* writes exit as MMIO */

struct hv_config {
	struct vclock *clock; /* [const] outlives the hv */
	bool host_cpuid;      /* KVM: pass the host's CPUID through */
	bool want_irqchip;    /* use an in-kernel irqchip where there is one */
};

struct hv_stats {
	u64 insns;     /* retired guest instructions, 0 when unknown */
	u64 exits;     /* returns from run() */
	u64 blocks;    /* software CPU: blocks decoded */
	u64 flushes;   /* software CPU: whole code cache dropped */
	u64 tlb_fills; /* software CPU */
	u64 smc_drops; /* software CPU: blocks dropped by stores */
};

struct hv;

struct hv_ops {
	const char *name; /* "kvm", "soft" */

	int (*create)(struct hv **out, const struct hv_config *cfg,
		      struct err *e);
	void (*destroy)(struct hv *hv);

	/* Maps size_bytes of host memory at gpa, both multiples of 4096, no
	 * overlap with another slot; slot < HV_MAX_SLOTS. A size of 0 removes
	 * the slot. -EINVAL, -ENOSPC. */
	int (*mem_map)(struct hv *hv, unsigned slot, u64 gpa, u64 size_bytes,
		       void *host, u64 flags);

	/* Dirty logging of a slot. get ORs the pages written since the last
	 * get (or since it was turned on) into bitmap and clears the log. */
	int (*dirty_log)(struct hv *hv, unsigned slot, bool on);
	int (*dirty_get)(struct hv *hv, unsigned slot, u64 *bitmap);

	/* A device wrote guest RAM behind the driver's back. Must be called
	 * after the bytes are there and before the guest is told. */
	void (*ram_written)(struct hv *hv, u64 gpa, u64 size_bytes);

	void (*state_get)(struct hv *hv, struct cpu_state *s);
	/* -EINVAL for a state that no processor can be in. */
	int (*state_set)(struct hv *hv, const struct cpu_state *s);

	/* Runs until an exit. Returns no later than shortly after deadline_ns
	 * (VCLOCK_NEVER: none), with HV_EXIT_KICK. The answer to an exit is
	 * read from *x by the next call of run(), state_get() or state_set():
	 * until then *x must stay. After a kick or a halt no instruction is
	 * half done: the time to read a state to keep. After another exit the
	 * state may be that before the instruction or after it. */
	void (*run)(struct hv *hv, u64 deadline_ns, struct vm_exit *x);

	/* Makes run() return soon, or the next run() at once. */
	void (*kick)(struct hv *hv);

	/* External interrupts without an in-kernel irqchip. interrupt() may be
	 * called when irq_ready() is true; it is delivered before the next
	 * guest instruction. */
	bool (*irq_ready)(struct hv *hv);
	void (*interrupt)(struct hv *hv, u8 vector);
	void (*request_irq_window)(struct hv *hv, bool on);
	void (*nmi)(struct hv *hv);

	/* NULL without an in-kernel irqchip: level of an IOAPIC/PIC input.
	 * With one, the PIC, IOAPIC and LAPIC live in the driver and
	 * HV_EXIT_HLT is not seen. gsi 0..15 are the ISA interrupts; 0 reaches
	 * IOAPIC input 2, as on a PC. Any thread. */
	bool (*has_irqchip)(struct hv *hv);
	void (*irq_line)(struct hv *hv, unsigned gsi, bool level);

	/* KVM: let port writes of size 1 to [port, port + count) collect and
	 * arrive, in order, before the next exit. NULL when not offered. */
	int (*coalesce_pio)(struct hv *hv, u16 port, u16 count);

	void (*stats)(struct hv *hv, struct hv_stats *st);
};

#define HV_MAX_SLOTS 8

/* Every driver's struct hv begins with this. */
struct hv {
	const struct hv_ops *ops;
};

extern const struct hv_ops hv_kvm;
extern const struct hv_ops hv_soft;

/* Finds a driver by name: "kvm", "soft", or "auto", which measures both for
 * about a millisecond each and takes the faster. why receives one line that
 * says what was chosen and for what reason. -EINVAL for an unknown name;
 * errors of create for a driver asked for by name that cannot run here. */
int hv_choose(const struct hv_ops **out, const char *name, char why[200],
	      struct err *e);

#endif
