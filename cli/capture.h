/* SPDX-License-Identifier: BSD-2-Clause */
/* capture - the console's output while a command runs
 *
 * What:    a chardev that keeps the last CAPTURE_BYTES the guest wrote on its
 *          console, so that they can be shown when the guest dies; or, when
 *          asked to be loud, writes them to stderr as they come.
 * Threads: the chardev on the vCPU thread, the rest after it has stopped.
 * Owns:    nothing; embed it.
 */
#ifndef CLI_CAPTURE_H
#define CLI_CAPTURE_H

#include "vmm/chardev.h"

#define CAPTURE_BYTES 4096
#define CAPTURE_LINES 24

struct capture {
	struct chardev chardev;
	bool loud;
	u64 total; /* bytes ever; the last of them are in ring */
	u8 ring[CAPTURE_BYTES];
};

void capture_init(struct capture *c, bool loud);

/* Writes the last lines to stderr, if they were not shown already. */
void capture_show(const struct capture *c);

#endif
