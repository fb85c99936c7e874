/* SPDX-License-Identifier: BSD-2-Clause */
/* driver_rig - a small machine around a driver, for the payload to run in
 *
 * What:    RAM, ROM, a page of device memory, a latch, a FIFO and two MSRs, as
 *          guest/payload/payload.h describes them, and the loop that serves
 *          the payload's exits. Checks of the host fail the running cmocka
 *          test; checks of the guest are collected and fail it at the end.
 * Threads: the test's own.
 * Owns:    everything between rig_open() and rig_close().
 */
#ifndef TESTS_DRIVER_RIG_H
#define TESTS_DRIVER_RIG_H

#include "driver/hv.h"
#include "guest/payload/payload.h"

#define RIG_LOG_MAX 8192

enum { RIG_SLOT_RAM, RIG_SLOT_ROM };

struct rig {
	const struct hv_ops *ops;
	struct hv *hv;
	struct hv_config cfg;
	struct vclock clock;
	u8 *ram, *rom;

	/* devices */
	u8 mmio[4096];
	u32 latch;
	u8 fifo[RIG_LOG_MAX];
	size_t fifo_count;
	u32 fifo_next;
	u64 msr_sink;
	unsigned rom_writes;

	/* what the payload said */
	u32 notes[RIG_LOG_MAX];
	size_t note_count;
	u32 fails, first_fail, checks;
	bool done;

	/* what it is owed */
	int irq; /* vector, -1: none */
	unsigned hlt_exits, window_exits;

	/* Called for each value on PORT_NOTE, after it is logged. */
	void (*on_note)(struct rig *rig, u32 value);
	/* Called before each run(); may move the machine. */
	void (*on_turn)(struct rig *rig);
	void *arg;
	u64 slice_ns; /* > 0: run() returns after this long at the latest */
};

/* Makes the machine and loads the image. Returns what ops->create() did. */
int rig_open(struct rig *rig, const struct hv_ops *ops, bool want_irqchip,
	     const void *image, size_t image_bytes, struct err *e);
void rig_close(struct rig *rig);

/* The processor at the payload's entry, about to run a test. */
void rig_start(struct rig *rig, enum payload_test test, u64 arg);

/* Serves exits until the payload is done (HV_EXIT_HLT is returned) or until an
 * exit that nobody handles; x describes it. */
enum hv_exit_kind rig_serve(struct rig *rig, struct vm_exit *x);

/* rig_start() and rig_serve(), and all of the guest's checks passed. */
void rig_pass(struct rig *rig, enum payload_test test, u64 arg);

/* Moves the machine to a new driver; its state must arrive unchanged. */
void rig_move(struct rig *rig, const struct hv_ops *to);

/* The two states are the same to the guest. Fails the test, naming what is
 * not. */
void rig_same_state(const struct cpu_state *a, const struct cpu_state *b);

#endif
