/* SPDX-License-Identifier: BSD-2-Clause */
/* devtest - the device-test socket
 *
 * What:    a test program plays the processor of a machine without one: it
 *          reads and writes ports and memory, is told of interrupts and steps
 *          the virtual clock by hand. One request a line, one reply a line;
 *          "IRQ raise N" and "IRQ lower N" come whenever an interrupt line
 *          changes. Lines that make no sense get "FAIL sentence".
 *          Who listens at the path is connected to; if nobody does, this side
 *          listens there (mode 0600) for one client. The machine ends with its
 *          client.
 * Model:   docs/device-test.md.
 * Units:   bytes; nanoseconds of the virtual clock.
 * Threads: open and close on the machine's thread. One thread of its own reads
 *          and writes the socket; what a line asks for happens on the vCPU
 *          thread. devtest_irq() on the vCPU thread only; it never blocks.
 * Owns:    the socket, and its file and lock file when it listens
 *          (control_int.h).
 * Errors:  as control_open(); all with a sentence.
 */
#ifndef VMM_DEVTEST_H
#define VMM_DEVTEST_H

#include "base/err.h"

/* A line of this many bytes, end included, or more ends the connection. */
#define DEVTEST_LINE_MAX (1U << 20)
/* read, write, b64read, b64write and memset; more than a line can carry. */
#define DEVTEST_SIZE_MAX (16U << 20)

struct devtest;
struct machine;

int devtest_open(struct devtest **out, const char *path, struct machine *m,
		 struct err *e) MUST_CHECK;
void devtest_close(struct devtest *d); /* NULL is allowed */

/* An ISA interrupt line changed. */
void devtest_irq(struct devtest *d, unsigned irq, bool level);

#endif
