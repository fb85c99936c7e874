/* SPDX-License-Identifier: BSD-2-Clause */
/* disk - the only face that storage shows to a device
 *
 * What:    opens what a --disk option names, and takes requests from one
 *          emulated device. In between: the range check, read-only, counters
 *          and latency histograms, throttling, the error policies. Below it
 *          are the write cache and a store.
 *          A request that the cache can answer is done inside disk_submit();
 *          any other is done later, and its done() is called by disk_run() on
 *          the device's own thread, which the host (struct disk_host) is
 *          asked to wake.
 * Model:   disk-rules 1-25; docs/spindle.1 (--disk).
 * Units:   lba and count in 512-byte sectors; bytes; nanoseconds.
 * Threads: everything on the device's thread (vCPU thread), but what says
 *          otherwise. All callbacks run there, too, but wake().
 * Owns:    cache, store and file, until disk_close(). A request belongs to
 *          the disk from disk_submit() until it is done.
 * Errors:  open: -errno with a sentence. error of a request: 0 or -errno, of
 *          which -EBADMSG and -EIO on a read are an unreadable sector,
 *          -ERANGE a range outside the disk, -EROFS a write to a read-only
 *          disk; error_lba is the first bad sector.
 */
#ifndef HDD_DISK_H
#define HDD_DISK_H

#include <sys/uio.h>

#include "base/err.h"
#include "base/hist.h"
#include "base/list.h"

#define DISK_SECTOR_BYTES 512U

struct iopool;

enum disk_op {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH,
	DISK_DISCARD,
	DISK_ZERO,
	DISK_VERIFY,	/* reads the medium itself; no iov */
	DISK_CACHE_ON,	/* SET FEATURES 02h */
	DISK_CACHE_OFF, /* SET FEATURES 82h */
	DISK_OPS,
};

#define DISK_FUA BIT(0)

struct disk_req {
	/* the device's */
	enum disk_op op;
	u32 flags;
	u64 lba;
	u32 count;
	const struct iovec *iov; /* count sectors; stays until done */
	unsigned iov_count;
	void (*done)(struct disk_req *r);
	void *ctx;

	/* the answer */
	int error;
	u64 error_lba;

	/* the disk's */
	u64 id; /* in the trace; set by disk_submit() */
	u64 start_ns;
	struct disk *disk;
	struct list link;
	struct disk_req *next;
	void *inner; /* the cache's request, from the disk's fixed pool */
};

/* What a disk needs of the machine around it. */
struct disk_host {
	/* Any thread: see to it that disk_run() is called soon. */
	void (*wake)(void *ctx);
	/* Call disk_run() after this time (throttling); replaces the time
	 * asked for before. */
	void (*timer)(void *ctx, u64 delay_ns);
	/* Policy "stop": an error is held back. Pause the machine, and call
	 * disk_retry() when it goes on. text says what happened. */
	void (*stop)(void *ctx, const char *text);
	void *ctx;
};

enum disk_policy {
	DISK_REPORT,
	DISK_STOP,
	DISK_ENOSPC
}; /* ENOSPC: stop for
      lack of space,
      report others */
enum disk_cache { DISK_WRITEBACK, DISK_WRITETHROUGH, DISK_NONE, DISK_UNSAFE };

struct disk_limit {
	u64 per_s; /* 0: none */
	u64 burst; /* how much may come at once; 0: a tenth of a second's */
};

struct disk_config {
	const char *path;
	enum disk_cache cache;
	u64 cache_bytes, dirty_bytes, readahead_bytes; /* 0: the default */
	bool read_only;
	bool shared;   /* read-only, and others may have it open for writing */
	bool buffered; /* through the host's page cache */
	enum disk_policy rerror, werror;
	struct disk_limit ops, bytes; /* reads and writes together */
	const char *serial;	      /* NULL: made from the path */
	struct iopool *pool;	      /* outlives the disk */
	const char *const *faults;    /* rules (cache/fault.h) */
	unsigned fault_count;
};

struct disk;

int disk_open(struct disk **out, const struct disk_config *cfg,
	      struct err *e) MUST_CHECK;

/* The device takes over; before that nothing can be submitted. */
void disk_attach(struct disk *d, const struct disk_host *host);

/* Flushes, waits for everything, releases. Not while a device may submit.
 * -errno when the last flush failed: guest data may be lost, and the sentence
 * says so (disk-rules 24). Any thread. Harmless on NULL. */
int disk_close(struct disk *d, struct err *e);

/* True: done in this call; error is the answer and done() is not called. */
bool disk_submit(struct disk *d, struct disk_req *r);

/* Calls done() of what has finished. */
void disk_run(struct disk *d);

/* The machine goes on: requests that an error policy held back are tried
 * again. */
void disk_retry(struct disk *d);

/* Any thread: one more rule, or, with NULL, no rules any more. */
int disk_fault(struct disk *d, const char *rule, struct err *e) MUST_CHECK;

/* Flushes and waits; blocks. For the end of a machine. */
int disk_flush(struct disk *d);

u64 disk_sectors(const struct disk *d);
bool disk_read_only(const struct disk *d);
bool disk_cache_is_on(const struct disk *d); /* IDENTIFY word 85 bit 5 */
bool disk_is_unsafe(const struct disk *d);   /* IDENTIFY words 27-46 say so */
bool disk_can_discard(const struct disk *d);
const char *disk_path(const struct disk *d);
const char *disk_serial(const struct disk *d); /* at most 20 characters */

/* Requests submitted and not done, those held back by a policy included. */
unsigned disk_in_flight(const struct disk *d);

struct disk_op_stats {
	_Atomic u64 requests, sectors, errors;
	struct hist latency; /* from disk_submit() to done */
};

struct disk_stats {
	struct disk_op_stats op[DISK_OPS];
	_Atomic u64 in_call;	 /* done inside disk_submit() */
	_Atomic u64 throttled;	 /* had to wait for a limit */
	_Atomic u64 stopped;	 /* held back by a policy */
	_Atomic u64 bad_sectors; /* reads that found a sector unreadable */
};

/* Any thread; valid as long as the disk. */
const struct disk_stats *disk_stats(const struct disk *d);

/* Any thread: one JSON object with everything above and below, to be freed by
 * the caller; NULL without memory. */
char *disk_stats_json(const struct disk *d);

#endif
