/* SPDX-License-Identifier: BSD-2-Clause */
/* chardev - where a serial port's bytes go and come from
 *
 * What:    the host end of a UART. The UART calls write() for each burst the
 *          guest sends; the owner of the other end gives bytes to the guest
 *          with machine_serial_input(), which never blocks and says how many
 *          were taken; the rest is asked for again through ready().
 * Threads: write() and ready() run on the vCPU thread and must not block for
 *          long; machine_serial_input() from any thread.
 * Owns:    nothing; the implementer embeds struct chardev in its own struct.
 */
#ifndef VMM_CHARDEV_H
#define VMM_CHARDEV_H

#include "base/bits.h"

struct chardev {
	void (*write)(struct chardev *cd, const u8 *bytes, size_t count);
	/* The guest took input and there is room again. May be NULL. */
	void (*ready)(struct chardev *cd);
};

#endif
