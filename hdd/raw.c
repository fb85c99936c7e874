/* SPDX-License-Identifier: BSD-2-Clause */
#include "hdd/raw.h"

#include <errno.h>
#include <stdlib.h>

#include "cache/hostfile.h"

#define BATCH 32 /* requests handed to the pool at once */

struct raw {
	struct store store;
	struct hostfile *file;
	atomic_bool may_recover; /* [atomic] by itself */
};

static const enum io_op io_ops[] = {
    [STORE_READ] = IO_READ,   [STORE_WRITE] = IO_WRITE,
    [STORE_FLUSH] = IO_FLUSH, [STORE_DISCARD] = IO_DISCARD,
    [STORE_ZERO] = IO_ZERO,
};

/* A host that cannot give space back writes zeros instead. */
static void
io_done(struct ioreq *io)
{
	struct store_req *r = CONTAINER_OF(io, struct store_req, io);
	struct store *s = r->priv;

	if (io->rc == -EOPNOTSUPP && io->op == IO_DISCARD) {
		io->op = IO_ZERO;
		iopool_submit(s->pool, &io, 1);
		return;
	}
	r->rc = io->rc;
	r->bad_lba = r->lba + io->moved_bytes / SECTOR_BYTES;
	r->done(r);
}

static void
start(struct raw *raw, struct store_req *r)
{
	bool moves = r->op == STORE_READ || r->op == STORE_WRITE;

	assert(r->op == STORE_FLUSH || r->count != 0);
	r->priv = &raw->store;
	r->io = (struct ioreq){
	    .op = io_ops[r->op],
	    .file = raw->file,
	    .off = r->lba * SECTOR_BYTES,
	    .size_bytes = (u64)r->count * SECTOR_BYTES,
	    .iov = moves ? r->iov : NULL,
	    .iov_count = moves ? r->iov_count : 0,
	    .id = r->id,
	    .done = io_done,
	};
}

static void
raw_submit(struct store *s, struct store_req *const *reqs, unsigned count)
{
	struct raw *raw = CONTAINER_OF(s, struct raw, store);
	struct ioreq *io[BATCH];

	for (unsigned first = 0; first < count; first += BATCH) {
		unsigned n = MIN(count - first, BATCH);

		for (unsigned i = 0; i < n; i++) {
			start(raw, reqs[first + i]);
			io[i] = &reqs[first + i]->io;
		}
		iopool_submit(s->pool, io, n);
	}
}

static bool
raw_may_recover(struct store *s)
{
	struct raw *raw = CONTAINER_OF(s, struct raw, store);

	return atomic_load(&raw->may_recover);
}

/* The cache has written all that is suspect once more. */
static int
raw_recover(struct store *s)
{
	struct raw *raw = CONTAINER_OF(s, struct raw, store);

	if (!atomic_exchange(&raw->may_recover, false))
		return hostfile_flush_error(raw->file);
	hostfile_forgive(raw->file);
	return 0;
}

void
raw_go_on(struct raw *raw)
{
	if (hostfile_flush_error(raw->file) != 0 && hostfile_direct(raw->file))
		atomic_store(&raw->may_recover, true);
}

static const struct store_ops raw_ops = {.submit = raw_submit,
					 .recover = raw_recover,
					 .may_recover = raw_may_recover};

int
raw_open(struct raw **out, const char *path, const struct hostfile_options *o,
	 struct iopool *pool, struct fault_set *faults, struct err *e)
{
	struct raw *raw = calloc(1, sizeof(*raw));
	u64 size_bytes;
	int rc;

	if (raw == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	rc = hostfile_open(&raw->file, path, o, e);
	if (rc != 0)
		goto out;
	size_bytes = hostfile_size_bytes(raw->file);
	if (size_bytes == 0 || size_bytes % SECTOR_BYTES != 0) {
		rc = err_set(e, -EINVAL,
			     "'%s' is no disk: its size, %llu bytes, is not a "
			     "multiple of 512",
			     path, (unsigned long long)size_bytes);
		if (size_bytes == 0)
			err_set(e, rc, "'%s' is no disk: it is empty", path);
		goto out;
	}
	hostfile_set_faults(raw->file, faults);
	iopool_register_file(pool, raw->file);
	raw->store = (struct store){
	    .ops = &raw_ops,
	    .pool = pool,
	    .sectors = size_bytes / SECTOR_BYTES,
	    .align_sectors =
		MAX(1, hostfile_align_bytes(raw->file) / SECTOR_BYTES),
	    .read_only = o->read_only,
	    .can_discard = !o->read_only,
	};
	*out = raw;
	return 0;
out:
	hostfile_close(raw->file);
	free(raw);
	return rc;
}

void
raw_close(struct raw *raw)
{
	if (raw == NULL)
		return;
	iopool_forget_file(raw->store.pool, raw->file);
	hostfile_close(raw->file);
	free(raw);
}

struct store *
raw_store(struct raw *raw)
{
	return &raw->store;
}

struct hostfile *
raw_file(struct raw *raw)
{
	return raw->file;
}
