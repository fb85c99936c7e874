/* SPDX-License-Identifier: BSD-2-Clause */
/* pool_rig - an I/O pool and a file for tests, and waiting for requests
 *
 * What:    opens a pool of the backend that is asked for, or says why it
 *          cannot; makes files in TEST_TMP; submits requests and waits.
 * Units:   bytes.
 * Threads: one test thread.
 * Owns:    what it opened, until rig_close().
 * Errors:  a failing step fails the test.
 */
#ifndef TESTS_POOL_RIG_H
#define TESTS_POOL_RIG_H

#include <pthread.h>

#include "cache/fault.h"
#include "cache/iopool.h"

struct rig {
	struct iopool *pool;
	struct hostfile *file;
	struct fault_set *faults;
	char path[256];
	u8 *mem; /* RIG_MEM_BYTES, aligned to a page */
};

#define RIG_FILE_BYTES (1U << 20)
#define RIG_MEM_BYTES  (1U << 20)

/* A request with one piece of memory, and its waiter. */
struct rig_req {
	struct ioreq io;
	struct iovec iov;
	pthread_t ran_on; /* the thread that called done() */
	u64 done_ns;
	u64 order; /* 1 for the first that was done, ... */
	bool done; /* under a lock of the rig's */
};

/* Prints "skip: reason" and returns false where there is no such backend. */
bool rig_has(const char *backend);

void rig_open(struct rig *g, const char *backend, unsigned depth,
	      unsigned threads);
void rig_close(struct rig *g);

/* A path in TEST_TMP. */
void rig_path(char *path, size_t path_bytes, const char *name);

/* A loop device on the file path, or false: none can be made here. */
bool rig_make_loop(const char *path, char *device, size_t device_bytes);
void rig_remove_loop(const char *device);

void rig_fault(struct rig *g, const char *rule);

/* Fills in q; iov is [mem + off) unless buf is given. */
void rig_fill(struct rig *g, struct rig_req *q, enum io_op op, u64 off,
	      u64 size_bytes, void *buf);
void rig_submit(struct rig *g, struct rig_req *q, unsigned count);
void rig_wait(struct rig_req *q, unsigned count);
bool rig_is_done(struct rig_req *q);

/* Fills in, submits, waits; returns rc. */
int rig_do(struct rig *g, enum io_op op, u64 off, u64 size_bytes, void *buf);

#endif
