/* SPDX-License-Identifier: BSD-2-Clause */
/* fake_hv - a driver that plays a script
 *
 * What:    for tests of the vCPU loop: run() returns the script's exits one by
 *          one and then writes 0 to the debug-exit port; everything the machine
 *          tells the driver is written down. Interrupts are ready when the test
 *          says so. One machine at a time.
 * Threads: as struct hv_ops; the recording is the vCPU thread's.
 * Owns:    nothing that outlives the machine.
 */
#ifndef TESTS_FAKE_HV_H
#define TESTS_FAKE_HV_H

#include <stdatomic.h>

#include "driver/hv.h"

#define FAKE_STEPS_MAX 64

/* One return from run(). before runs first, if there is one. */
struct fake_step {
	enum hv_exit_kind kind;
	u16 port;   /* HV_EXIT_IO, one byte */
	bool write; /* HV_EXIT_IO, HV_EXIT_MSR */
	u32 value;  /* what is written; MSR number */
	u64 msr_value;
	void (*before)(void);
};

#define FAKE_OUT(p, v) \
	{ \
		.kind = HV_EXIT_IO, .port = (p), .write = true, .value = (v) \
	}
#define FAKE_IN(p) \
	{ \
		.kind = HV_EXIT_IO, .port = (p) \
	}
#define FAKE_HLT \
	{ \
		.kind = HV_EXIT_HLT \
	}

struct fake_hv {
	struct hv hv;
	const struct fake_step *step;
	unsigned steps, at;
	bool ready;	  /* irq_ready() */
	bool has_irqchip; /* the driver keeps the interrupt controllers */
	bool fail_create;
	atomic_bool kicked; /* [atomic] relaxed; kick() to run() */

	/* the recording */
	unsigned runs, interrupts, windows, state_sets, nmis, lines;
	u64 deadline[FAKE_STEPS_MAX + 1]; /* of each run() */
	u8 answer[FAKE_STEPS_MAX];	  /* to each IN */
	bool fault[FAKE_STEPS_MAX];	  /* of each MSR access */
	u8 vector[FAKE_STEPS_MAX];
	bool window;
	u32 line_level; /* irq_line(): level of each */
	struct cpu_state state;
	u8 data;
	const struct fake_step *asked;
	bool alive;
};

extern struct fake_hv fake_hv;
extern const struct hv_ops fake_hv_ops;		/* never has an irqchip */
extern const struct hv_ops fake_hv_ops_irqchip; /* asks has_irqchip */

void fake_hv_script(const struct fake_step *step, unsigned steps);

#endif
