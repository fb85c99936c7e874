/* SPDX-License-Identifier: BSD-2-Clause */
/* machine_int - what the files of the machine share
 *
 * What:    struct machine holds the whole PC by value. machine.c opens and
 *          closes it and is its public face, board.c wires the chips, vcpu.c
 *          runs it.
 * Threads: fields without a mark belong to the vCPU thread.
 *
 * Invariants:
 *  [I1] exit stays at one address for the life of the machine: a driver looks
 *       for its answer there in the next run().
 *  [I2] halted is true from HV_EXIT_HLT until an interrupt, an NMI or a reset;
 *       run() is not called while it is.
 *  [I3] window is what the driver was last told by request_irq_window().
 *  [I4] the clock stands still exactly while paused, and outside of
 *       machine_run(); always in a device test, which steps it.
 */
#ifndef VMM_MACHINE_INT_H
#define VMM_MACHINE_INT_H

#include <stdatomic.h>

#include "driver/hv.h"
#include "vmm/acpi_pm.h"
#include "vmm/boot.h"
#include "vmm/cdrom.h"
#include "vmm/disks.h"
#include "vmm/fw_cfg.h"
#include "vmm/i440fx.h"
#include "vmm/i8042.h"
#include "vmm/i8254.h"
#include "vmm/i8259.h"
#include "vmm/ide.h"
#include "vmm/ioapic.h"
#include "vmm/lapic.h"
#include "vmm/machine.h"
#include "vmm/mail.h"
#include "vmm/mc146818.h"
#include "vmm/mmio.h"
#include "vmm/pci.h"
#include "vmm/piix4.h"
#include "vmm/pio.h"
#include "vmm/ram.h"
#include "vmm/serial.h"
#include "vmm/vtimer.h"

struct control;
struct devtest;

/* Where interrupts are decided. */
enum irqchip {
	IRQCHIP_PIC,	/* our 8259 pair only */
	IRQCHIP_APIC,	/* our 8259 pair, I/O APIC and local APIC */
	IRQCHIP_DRIVER, /* all of them in the driver */
};

struct machine {
	/* configuration */
	char *name;	  /* [const] */
	bool no_reboot;	  /* [const] */
	bool device_test; /* [const] no processor, no kernel */
	char why[200];	  /* [const] the driver's choice */
	u64 memory_bytes; /* [const] */

	/* execution */
	const struct hv_ops *ops; /* [const] */
	struct hv *hv;		  /* [const] */
	struct vclock clock;
	struct vm_exit exit;
	bool halted, window, paused;
	bool reset_wanted; /* a device asked for it */
	bool ended;
	struct machine_end end;
	struct machine_stats stats; /* the counters of it */
	char stopped[400];	    /* what a disk's policy paused it for */

	/* other threads */
	struct mail mail;
	atomic_bool quit;	 /* [atomic] set before mail_wake(), read after
				    mail_woken(); seq_cst */
	struct control *control; /* [const] NULL without control socket */
	struct devtest *devtest; /* [const] NULL but in a device test */

	/* buses */
	struct ram ram;
	struct vtimers timers;
	struct pio pio;
	struct mmio mmio;
	struct pci pci;
	struct disks disks;

	/* chips */
	enum irqchip irqchip; /* [const] */
	u32 irq_line;	      /* level of each ISA interrupt */
	struct i8259 pic;
	struct i8254 pit;
	struct mc146818 rtc;
	struct i8042 kbd;
	struct i440fx bridge;
	struct piix4 piix;
	struct acpi_pm acpi;
	struct ide *ide;     /* [const] */
	struct cdrom *cdrom; /* [const] NULL: none */
	struct lapic lapic;
	struct ioapic ioapic;
	struct serial serial[MACHINE_SERIALS];
	struct fw_cfg fw_cfg; /* in a device test */

	struct boot *boot;
};

/* machine.c */

/* machine_open() with a driver that is already chosen. */
int machine_open_ops(struct machine **out, const struct machine_config *cfg,
		     const struct hv_ops *ops, struct err *e) MUST_CHECK;

/* The machine ends; the first call counts. */
void machine_stop(struct machine *m, enum machine_end_kind kind, int code);

/* Power-on state, kernel loaded. */
int machine_reset(struct machine *m, struct err *e) MUST_CHECK;

/* board.c */
int board_init(struct machine *m, const struct machine_config *cfg,
	       struct err *e) MUST_CHECK;
void board_release(struct machine *m);
void board_reset(struct machine *m);

/* Is an interrupt waiting for the processor? board_irq_ack() says which, and
 * may be called only then. Never with IRQCHIP_DRIVER. */
bool board_irq_pending(const struct machine *m);
u8 board_irq_ack(struct machine *m);

/* Answers a HV_EXIT_MSR. */
void board_msr(struct machine *m, struct vm_exit *x);

/* Output that was gathered goes out now; input that waits comes in. */
void board_flush(struct machine *m);
void board_input(struct machine *m);

/* vcpu.c */
void vcpu_loop(struct machine *m);

#endif
