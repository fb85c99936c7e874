/* SPDX-License-Identifier: BSD-2-Clause */
/* fault - errors, short transfers and delays, on demand
 *
 * What:    a set of rules. The host-file layer asks the set before each access
 *          and does what the verdict says. A rule as text:
 *
 *              OP:WHAT[:KEY=VALUE]...
 *              OP    read write flush discard any
 *              WHAT  an errno's name (EIO, ENOSPC, ...), or short, or delay
 *              after=N     skip the first N accesses that match
 *              count=N     then act N times (for ever)
 *              prob=P      then act with probability P, 0..1 (1)
 *              seed=N      of the rule's own generator (1)
 *              off=A-B     only accesses that touch bytes A..B-1
 *              bytes=N     short: at most N bytes are transferred (512)
 *              ms=N        delay: this long (10)
 *              done=1      the host's access happens, then the error is told
 *
 *          Rules are tried in their order; the first that acts decides.
 * Units:   bytes, milliseconds.
 * Threads: any; a set has a lock.
 * Owns:    its rules, until fault_set_close().
 * Errors:  fault_add: -EINVAL, -ENOSPC with a sentence.
 */
#ifndef CACHE_FAULT_H
#define CACHE_FAULT_H

#include "base/bits.h"
#include "base/err.h"

#define FAULT_RULES_MAX 32

enum fault_op { FAULT_READ, FAULT_WRITE, FAULT_FLUSH, FAULT_DISCARD };

struct fault_set;

/* No error, no delay and max_bytes UINT64_MAX: nothing is to happen. */
struct fault_verdict {
	int error;     /* 0 or -errno */
	bool after;    /* the host's access happens first */
	u64 max_bytes; /* no more than this is transferred */
	u64 delay_ns;  /* before anything */
};

int fault_set_open(struct fault_set **out) MUST_CHECK;
void fault_set_close(struct fault_set *s);
int fault_add(struct fault_set *s, const char *rule, struct err *e) MUST_CHECK;
void fault_clear(struct fault_set *s);

struct fault_verdict fault_check(struct fault_set *s, enum fault_op op, u64 off,
				 u64 size_bytes);

#endif
