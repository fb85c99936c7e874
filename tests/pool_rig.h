/* SPDX-License-Identifier: BSD-2-Clause */
/* pool_rig - an I/O pool and a file for tests, and waiting for requests
 *
 * What:    opens a pool of the backend that is asked for, or says why it
 *          cannot; makes files in TEST_TMP; submits requests and waits.
 * Units:   bytes.
 * Threads: one test thread.
 * Owns:    what it opened, until pool_rig_close().
 * Errors:  a failing step fails the test.
 */
#ifndef TESTS_POOL_RIG_H
#define TESTS_POOL_RIG_H

#include <pthread.h>

#include "cache/fault.h"
#include "cache/iopool.h"

struct pool_rig {
	struct iopool *pool;
	struct hostfile *file;
	struct fault_set *faults;
	char path[256];
	u8 *mem; /* POOL_RIG_MEM_BYTES, aligned to a page */
};

#define POOL_RIG_FILE_BYTES (1U << 20)
#define POOL_RIG_MEM_BYTES  (1U << 20)

/* A request with one piece of memory, and its waiter. */
struct pool_rig_req {
	struct ioreq io;
	struct iovec iov;
	pthread_t ran_on; /* the thread that called done() */
	u64 done_ns;
	u64 order; /* 1 for the first that was done, ... */
	bool done; /* under a lock of the rig's */
};

/* Prints "skip: reason" and returns false where there is no such backend. */
bool pool_rig_has(const char *backend);

void pool_rig_open(struct pool_rig *g, const char *backend, unsigned depth,
		   unsigned threads);
void pool_rig_close(struct pool_rig *g);

/* A path in TEST_TMP. */
void pool_rig_path(char *path, size_t path_bytes, const char *name);

/* A loop device on the file path, or false: none can be made here. */
bool pool_rig_make_loop(const char *path, char *device, size_t device_bytes);
void pool_rig_remove_loop(const char *device);

void pool_rig_fault(struct pool_rig *g, const char *rule);

/* Fills in q; iov is [mem + off) unless buf is given. */
void pool_rig_fill(struct pool_rig *g, struct pool_rig_req *q, enum io_op op,
		   u64 off, u64 size_bytes, void *buf);
void pool_rig_submit(struct pool_rig *g, struct pool_rig_req *q,
		     unsigned count);
void pool_rig_wait(struct pool_rig_req *q, unsigned count);
bool pool_rig_is_done(struct pool_rig_req *q);

/* Fills in, submits, waits; returns rc. */
int pool_rig_do(struct pool_rig *g, enum io_op op, u64 off, u64 size_bytes,
		void *buf);

#endif
