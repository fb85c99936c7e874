/* SPDX-License-Identifier: BSD-2-Clause */
/* agent_int - what the two files of the agent's host end share
 *
 * What:    agent_line.c speaks the protocol: frames from the guest are taken
 *          in on the vCPU thread, frames to it are handed to the UART. agent.c
 *          has the thread that decides what to send and moves bytes between
 *          the command's descriptors and the line, and the public face.
 * Threads: fields say their guard: [lock], [vcpu] the vCPU thread, [io] our
 *          own thread, [const] set before either runs, [atomic].
 */
#ifndef VMM_AGENT_INT_H
#define VMM_AGENT_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/agent_proto.h"
#include "base/lock.h"
#include "vmm/agent.h"

/* One output of the command on its way from the vCPU thread to its reader. */
struct stream {
	u8 ring[AGENT_WINDOW]; /* [lock] */
	size_t at, count;      /* [lock] */
	u32 owed;	       /* [io] taken by the reader, no CREDIT yet */
	bool reader_gone;      /* [lock] drop what comes */
	bool close_owed;       /* [io] tell the guest so */
};

/* The conversation, seen from here. BROKEN may follow any of them.
 *
 *   SILENT --HELLO--> RUNNING --EXIT--> ENDED
 */
enum talk { SILENT, RUNNING, ENDED, BROKEN };

struct agent {
	struct lock lock;
	struct chardev chardev;
	int fd[AGENT_STREAMS];	      /* [const] */
	struct agent_outside outside; /* [const] after start */
	int wake_fd;		      /* [const] eventfd: the thread looks */
	u64 open_ns;		      /* [const] */
	u8 exec[AGENT_MAX_PAYLOAD];   /* [const] */
	size_t exec_bytes;	      /* [const] */
	pthread_t thread;
	bool started;

	struct agent_parser parser; /* [vcpu] */

	enum talk talk;			   /* [lock] */
	bool up;			   /* [lock] */
	u64 up_ns, up_cpu_ns, up_guest_ns; /* [lock] when it came up */
	int status;			   /* [lock] */
	char trouble[200];		   /* [lock] */
	struct stream out[AGENT_STREAMS];  /* [0] unused */
	u32 input_credit;		   /* [lock] */
	bool input_unwanted;		   /* [lock] the command closed stdin */
	bool stopping;			   /* [lock] the machine has ended */

	/* The frame under way to the guest, and who is handing it over. */
	u8 tx[AGENT_MAX_FRAME]; /* [lock], read without it while pumping */
	size_t tx_at, tx_count; /* [lock] */
	bool pumping;		/* [lock] one thread is in outside.input() */
	bool pump_again;	/* [lock] room was reported meanwhile */

	/* What the thread has sent already. */
	u8 seq;					/* [io] */
	bool up_told, hello_sent, exec_sent;	/* [io] */
	bool eof_seen, eof_sent, poweroff_sent; /* [io] */
	bool quit_asked;			/* [io] */
	u64 deadline_ns;			/* [io] 0: none */

	/* From signal handlers: set before wake_fd is written, read after. */
	atomic_int signo;	  /* [atomic] to be passed on, 0: none */
	atomic_uint interrupts;	  /* [atomic] */
	unsigned interrupts_seen; /* [io] */
};

/* Makes the thread look again. Also from a signal handler. */
void agent_wake(struct agent *a);

/* Fills in the chardev and the parser. */
void agent_line_init(struct agent *a);

/* On our thread, when no frame is under way: sends the one whose payload lies
 * at tx + AGENT_HEADER_BYTES. */
void agent_line_send(struct agent *a, u8 type, size_t size_bytes)
    EXCLUDES(a->lock);
void agent_line_send2(struct agent *a, u8 type, u32 first, u32 second)
    EXCLUDES(a->lock);

#endif
