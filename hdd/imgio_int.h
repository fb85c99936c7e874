/* SPDX-License-Identifier: BSD-2-Clause */
/* imgio_int - how the image engine reaches its host file
 *
 * What:    the only way from the engine to the host: requests through the I/O
 *          pool for what a guest waits for, blocking calls for the engine's
 *          own thread. The tests put a file in memory here that records what
 *          is done to it and shows what a power cut could have left.
 * Model:   docs/image.5.md 2: behind the end of the file there are zeros.
 * Units:   bytes; off is a byte offset in the file.
 * Threads: as cache/iopool.h and cache/hostfile.h. done() of a request may
 *          run inside submit(): no lock that it takes may be held.
 * Owns:    close() releases the file. A request belongs to the callee until
 *          done().
 * Errors:  -errno of the host. A failed flush is sticky until forgive().
 */
#ifndef HDD_IMGIO_INT_H
#define HDD_IMGIO_INT_H

#include "cache/iopool.h"

struct imgio;

struct imgio_ops {
	void (*submit)(struct imgio *io, struct ioreq *const *reqs,
		       unsigned count);
	int (*read)(struct imgio *io, u64 off, void *buf, u64 size_bytes);
	int (*write)(struct imgio *io, u64 off, const void *buf,
		     u64 size_bytes);
	int (*flush)(struct imgio *io);
	int (*discard)(struct imgio *io, u64 off, u64 size_bytes);
	u64 (*size_bytes)(struct imgio *io);
	void (*forgive)(struct imgio *io);
	void (*close)(struct imgio *io);
};

struct imgio {
	const struct imgio_ops *ops;
	struct iopool *pool; /* of a host file, else NULL */
	struct hostfile *file;
};

struct imgio_options {
	struct hostfile_options host;
	struct fault_set *faults; /* or NULL; the caller's */
};

int imgio_open(struct imgio **out, const char *path,
	       const struct imgio_options *o, struct iopool *pool,
	       struct err *e) MUST_CHECK;

static inline void
imgio_submit(struct imgio *io, struct ioreq *const *reqs, unsigned count)
{
	io->ops->submit(io, reqs, count);
}

static inline int MUST_CHECK
imgio_read(struct imgio *io, u64 off, void *buf, u64 size_bytes)
{
	return io->ops->read(io, off, buf, size_bytes);
}

static inline int MUST_CHECK
imgio_write(struct imgio *io, u64 off, const void *buf, u64 size_bytes)
{
	return io->ops->write(io, off, buf, size_bytes);
}

static inline int MUST_CHECK
imgio_flush(struct imgio *io)
{
	return io->ops->flush(io);
}

#endif
