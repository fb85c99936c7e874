/* SPDX-License-Identifier: BSD-2-Clause */
/* agent - the host's end of the agent conversation
 *
 * What:    a chardev for serial port 1. When the agent in the guest says
 *          hello it is given one command; stdin, stdout and stderr of this
 *          command are three descriptors of the caller. When the command has
 *          ended the guest is asked to turn itself off, and if it has not
 *          after AGENT_OFF_S seconds, the owner is told to end it.
 * Model:   base/agent_proto.h. The guest is hostile: what it sends is checked
 *          and bounded, and a breach ends the conversation, never the process.
 * Threads: a thread of our own moves bytes between the descriptors and the
 *          line, and sleeps when there are none; so a slow reader of stdout
 *          stops the command in the guest (through the window of the
 *          protocol), not the vCPU. open, start, stop and close on one thread.
 *          agent_interrupt() anywhere, also in a signal handler. start's
 *          input() and quit() are called on our thread or the vCPU thread,
 *          without a lock of ours.
 * Owns:    its thread and buffers; not the descriptors. SIGPIPE must be
 *          ignored by the process.
 * Errors:  open: -E2BIG when the command does not fit a frame, -ENOMEM,
 *          -EMFILE. What goes wrong later is told by agent_stop().
 */
#ifndef VMM_AGENT_H
#define VMM_AGENT_H

#include "base/err.h"
#include "vmm/chardev.h"

#define AGENT_OFF_S   30 /* to turn off after the command has ended */
#define AGENT_BREAK_S 5	 /* to end the command after an interrupt */

struct agent_config {
	char *const *argv; /* NULL-terminated, at least one */
	char *const *env;  /* NAME=VALUE added to the guest's, may be NULL */
	int fd[3];	   /* stdin, stdout, stderr of the command */
};

/* How the outside is reached, once there is a machine. */
struct agent_outside {
	/* Gives the guest bytes; returns how many were taken. */
	size_t (*input)(void *arg, const u8 *bytes, size_t count);
	/* End the machine: nothing more will come of it. */
	void (*quit)(void *arg);
	void *arg;
};

struct agent_result {
	bool up;    /* the agent said hello */
	bool ended; /* the command has ended and status is its status */
	int status; /* its exit code, or 128 + the signal that ended it */
	char trouble[200]; /* a sentence when something broke, else empty */
};

struct agent;

int agent_open(struct agent **out, const struct agent_config *cfg,
	       struct err *e);
struct chardev *agent_chardev(struct agent *a);
int agent_start(struct agent *a, const struct agent_outside *outside,
		struct err *e);

/* Passes the signal to the command when it runs, and ends the machine when
 * that does not end it within AGENT_BREAK_S. The second time, or when there
 * is no command, ends the machine at once and drops output nobody took. */
void agent_interrupt(struct agent *a, int signo);

/* After the machine has stopped: writes out what the guest sent (as long as
 * the reader takes it and nobody interrupts), ends the thread. */
void agent_stop(struct agent *a, struct agent_result *result);
void agent_close(struct agent *a);

#endif
