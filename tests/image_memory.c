/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/image_memory.h"

#include <errno.h>

#include "base/range.h"

const struct image_limits image_memory_limits = {
    .batches = 2,
    .rops = 2,
    .nodes = 8,
    .delta_blocks = 600,
    .delta_trigger = 300,
    .ranges = 8,
    .log_trigger_bytes = 3U << 20,
    .close_log_bytes = 0,
    .segments_max = 512,
    .slack = 1,
};

static struct image_memory *
memory_of(struct imgio *io)
{
	return CONTAINER_OF(io, struct image_memory, io);
}

static int
memory_read(struct imgio *io, u64 off, void *buf, u64 size_bytes)
{
	struct image_memory *m = memory_of(io);
	u64 there =
	    off < m->size_bytes ? MIN(size_bytes, m->size_bytes - off) : 0;

	if (there != 0)
		memcpy(buf, m->data + off, there);
	memset((u8 *)buf + there, 0, size_bytes - there);
	return 0;
}

static int
memory_write(struct imgio *io, u64 off, const void *buf, u64 size_bytes)
{
	struct image_memory *m = memory_of(io);

	m->writes++;
	if (!range_inside(off, size_bytes, m->size_bytes))
		return -ENOSPC;
	memcpy(m->data + off, buf, size_bytes);
	return 0;
}

static int
memory_flush(struct imgio *io)
{
	memory_of(io)->flushes++;
	return 0;
}

static int
memory_discard(struct imgio *io, u64 off, u64 size_bytes)
{
	struct image_memory *m = memory_of(io);

	if (range_inside(off, size_bytes, m->size_bytes))
		memset(m->data + off, 0, size_bytes);
	return 0;
}

static u64
memory_size(struct imgio *io)
{
	return memory_of(io)->size_bytes;
}

static void
nothing(struct imgio *io)
{
	(void)io;
}

static void
serve(struct imgio *io, struct ioreq *const *reqs, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct ioreq *r = reqs[i];

		if (r->op == IO_FLUSH)
			r->rc = memory_flush(io);
		else if (r->op == IO_READ)
			r->rc = memory_read(io, r->off, r->iov->iov_base,
					    r->size_bytes);
		else
			r->rc = memory_write(io, r->off, r->iov->iov_base,
					     r->size_bytes);
		r->done(r);
	}
}

static const struct imgio_ops memory_ops = {
    .submit = serve,
    .read = memory_read,
    .write = memory_write,
    .flush = memory_flush,
    .discard = memory_discard,
    .size_bytes = memory_size,
    .forgive = nothing,
    .close = nothing,
};

void
image_memory_init(struct image_memory *m, u8 *data, u64 size_bytes)
{
	*m = (struct image_memory){.io = {.ops = &memory_ops},
				   .data = data,
				   .size_bytes = size_bytes};
}
