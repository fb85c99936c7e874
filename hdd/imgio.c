/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine's host file, when it is one. */
#include "hdd/imgio_int.h"

#include <errno.h>
#include <stdlib.h>

static void
host_submit(struct imgio *io, struct ioreq *const *reqs, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		reqs[i]->file = io->file;
		reqs[i]->flags = reqs[i]->op == IO_READ ? IO_EOF_ZERO : 0;
	}
	iopool_submit(io->pool, reqs, count);
}

static int
host_read(struct imgio *io, u64 off, void *buf, u64 size_bytes)
{
	u64 size = hostfile_size_bytes(io->file);
	u64 there = off < size ? MIN(size_bytes, size - off) : 0;

	memset((u8 *)buf + there, 0, size_bytes - there);
	return there == 0 ? 0 : hostfile_read(io->file, off, buf, there);
}

static int
host_write(struct imgio *io, u64 off, const void *buf, u64 size_bytes)
{
	return hostfile_write(io->file, off, buf, size_bytes);
}

static int
host_flush(struct imgio *io)
{
	return hostfile_flush(io->file);
}

static int
host_discard(struct imgio *io, u64 off, u64 size_bytes)
{
	u64 size = hostfile_size_bytes(io->file);

	if (off >= size)
		return 0;
	return hostfile_discard(io->file, off, MIN(size_bytes, size - off));
}

static u64
host_size(struct imgio *io)
{
	return hostfile_size_bytes(io->file);
}

static void
host_forgive(struct imgio *io)
{
	hostfile_forgive(io->file);
}

static void
host_close(struct imgio *io)
{
	/* A request is done a little later than its done() says. */
	iopool_drain(io->pool);
	iopool_forget_file(io->pool, io->file);
	hostfile_close(io->file);
	free(io);
}

static const struct imgio_ops host_ops = {
    .submit = host_submit,
    .read = host_read,
    .write = host_write,
    .flush = host_flush,
    .discard = host_discard,
    .size_bytes = host_size,
    .forgive = host_forgive,
    .close = host_close,
};

int
imgio_open(struct imgio **out, const char *path, const struct imgio_options *o,
	   struct iopool *pool, struct err *e)
{
	struct imgio *io = calloc(1, sizeof(*io));
	int rc;

	assert(pool != NULL);
	if (!io)
		return err_set(e, -ENOMEM, "no memory to open '%s'", path);
	rc = hostfile_open(&io->file, path, &o->host, e);
	if (rc != 0) {
		free(io);
		return rc;
	}
	hostfile_set_faults(io->file, o->faults);
	io->ops = &host_ops;
	io->pool = pool;
	iopool_register_file(pool, io->file);
	*out = io;
	return 0;
}
