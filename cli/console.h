/* SPDX-License-Identifier: BSD-2-Clause */
/* console - the user's terminal as the guest's first serial port
 *
 * What:    a chardev that writes to stdout, and a thread that reads stdin. A
 *          terminal is put into raw mode, so that every key reaches the guest,
 *          but for the escape key Ctrl-]:
 *
 *              Ctrl-] q  end the machine      Ctrl-] d  press its power button
 *              Ctrl-] z  pause or continue    Ctrl-] s  show its statistics
 *              Ctrl-] h  show this list       Ctrl-] Ctrl-]  send Ctrl-]
 *
 *          When stdin is no terminal all bytes go to the guest, and its end is
 *          not the end of the machine.
 * Threads: open, start, stop on one thread. console_interrupt() anywhere, also
 *          in a signal handler. The chardev runs on the vCPU thread, which
 *          waits when stdout does not take more, so nothing is lost.
 * Owns:    its thread; the terminal's mode, which is put back by
 *          console_stop(), and also when a signal kills the process.
 * Errors:  -errno with a sentence. A stdout that fails later is told once and
 *          output is dropped.
 */
#ifndef CLI_CONSOLE_H
#define CLI_CONSOLE_H

#include "base/err.h"
#include "vmm/machine.h"

struct console;

int console_open(struct console **out, struct err *e);
struct chardev *console_chardev(struct console *c);

/* From here on the terminal is raw and keys go to machine m. */
int console_start(struct console *c, struct machine *m, struct err *e);

/* Nobody waits for stdout any more. */
void console_interrupt(struct console *c);

void console_stop(struct console *c);
void console_close(struct console *c);

/* " spindle.rows=R spindle.cols=C spindle.term=T" of the terminal on stdin,
 * or nothing when it is none. Returns text. */
const char *console_append(char text[128]);

#endif
