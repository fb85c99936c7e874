/* SPDX-License-Identifier: BSD-2-Clause */
/* hostgate_int - who may be at a host file at the same time
 *
 * What:    accesses that must not meet go through gates of the file:
 *
 *          GATE_FLUSH: one host flush at a time. When two overlap and a write
 *          has failed, the host may tell the one and let the other succeed,
 *          and the latter may come back first. The second is asked after the
 *          first has answered, and is answered by the sticky error
 *          (disk-rules 11).
 *
 *          GATE_UNCACHED, GATE_CACHED: writes past the host's page cache, any
 *          number, or one write through it. Where they meet in a page, though
 *          in different bytes of it, Linux finds the page dirty again behind
 *          an uncached write and makes the next fdatasync() fail with EIO:
 *          the disk would be failed for ever.
 *
 *          Nobody waits for ever: who comes when others wait waits as well,
 *          and after a cached write all waiting uncached ones go first.
 * Units:   none.
 * Threads: any. A gate is left by any thread, once for each time that it was
 *          entered. go() is called on the thread that left, with no lock held,
 *          and may be called before hostgate_enter() has returned false.
 * Owns:    nothing: the waiter is the caller's, until go().
 * Errors:  none.
 */
#ifndef CACHE_HOSTGATE_INT_H
#define CACHE_HOSTGATE_INT_H

#include "base/lock.h"
#include "cache/hostfile.h"

enum hostgate { GATE_NONE, GATE_FLUSH, GATE_UNCACHED, GATE_CACHED };

/* Any number of one kind, or one of the other. */
struct hostlane {
	unsigned many;	       /* inside now */
	bool one;	       /* is inside now */
	struct list many_line; /* who waits: hostfile_waiter.link */
	struct list one_line;
};

struct hostgates {
	struct lock lock;
	struct hostlane flushes; /* [lock] one */
	struct hostlane writes;	 /* [lock] many uncached, or one cached */
};

void hostgates_init(struct hostgates *g);
void hostgates_release(struct hostgates *g);

/* True: inside. False: w->go(w) will be called when w is inside. */
bool hostgate_enter(struct hostgates *g, enum hostgate gate,
		    struct hostfile_waiter *w) MUST_CHECK;
void hostgate_leave(struct hostgates *g, enum hostgate gate);

/* Blocks until inside. */
void hostgate_enter_wait(struct hostgates *g, enum hostgate gate);

#endif
