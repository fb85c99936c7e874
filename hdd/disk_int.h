/* SPDX-License-Identifier: BSD-2-Clause */
/* disk_int - what the files of the disk share
 *
 * What:    disk.c opens, takes requests and gives answers; disk_limit.c makes
 *          them wait for a limit; disk_stats.c prints the counters.
 * Threads: fields without a mark belong to the device's thread.
 *
 * Where a request is:
 *
 *     disk_submit() --refused--> done in the call
 *          |
 *          +--limit_take() says wait--> waiting --limit_run()--+
 *          v                                                   v
 *        start() -> inner, at the cache -----done in the call--+--> finish()
 *                     | cache_done(), a thread of the pool     |
 *                     v                                        |
 *                   finished ---disk_run()---------------------+
 *                                                              |
 *        held <--------------- a policy says stop -------------+
 *          | disk_retry()                                      v
 *          +--> start()                                      done
 *
 * Invariants:
 *  [I1] every inner request is either free or at the cache or finished.
 *  [I2] outstanding counts those at the cache, and those of which cache_done()
 *       has not yet let go.
 *  [I3] in_flight = waiting + held + inner requests that are not free.
 */
#ifndef HDD_DISK_INT_H
#define HDD_DISK_INT_H

#include "base/lock.h"
#include "cache/fault.h"
#include "cache/wcache.h"
#include "hdd/disk.h"
#include "hdd/raw.h"

#define DISK_INNER_MAX 64 /* requests at the cache at once */

struct disk_inner {
	struct wcache_req w;
	struct disk_req *req;
	struct disk *disk;
	struct list link; /* free, or [lock] finished */
};

/* A limit on a rate: the time at which all that was let through so far has
 * been paid for (GCRA, ITU-T I.371). */
struct disk_bucket {
	double cost_ns; /* of one unit; 0: no limit */
	double burst_ns;
	double paid_ns;
};

struct disk {
	struct lock lock;
	struct cond idle;	      /* [lock] outstanding became 0 */
	struct list finished;	      /* [lock] inner requests */
	_Atomic unsigned outstanding; /* [atomic] up: device; down: [lock] */

	/* configuration */
	struct disk_config cfg; /* [const] strings are the disk's own */
	char *path;		/* [const] */
	char serial[21];	/* [const] */
	struct disk_host host;
	bool attached;

	/* below */
	struct fault_set *faults; /* [const] */
	struct raw *raw;
	struct store *store;   /* [const] */
	struct wcache *wcache; /* [const] */

	/* requests */
	struct list free; /* inner requests */
	struct list waiting, held;
	unsigned in_flight;
	struct disk_bucket ops, bytes;
	struct disk_stats stats;
	struct disk_inner inner[DISK_INNER_MAX];
};

/* disk.c: hands a request to the cache. True: finished in the call. */
bool disk_start(struct disk *d, struct disk_req *r);
void disk_tell(struct disk *d, struct disk_req *r);

/* disk_limit.c */
void limit_init(struct disk *d);

/* True: the request may go; false: it waits. */
bool limit_take(struct disk *d, struct disk_req *r);
void limit_run(struct disk *d);

#endif
