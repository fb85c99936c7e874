/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/pool_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"

static struct lock lock = LOCK_INIT;
static struct cond some_done = {PTHREAD_COND_INITIALIZER};
static u64 done_count; /* [lock] */

bool
pool_rig_has(const char *backend)
{
	struct iopool_config cfg = {.backend = backend};
	struct iopool *p;
	struct err e;

	if (iopool_open(&p, &cfg, &e) != 0) {
		printf("skip: %s\n", e.text);
		return false;
	}
	iopool_close(p);
	return true;
}

void
pool_rig_path(char *path, size_t path_bytes, const char *name)
{
	const char *dir = getenv("TEST_TMP");

	snprintf(path, path_bytes, "%s/%s.%d", dir ? dir : "/tmp", name,
		 (int)getpid());
}

bool
pool_rig_make_loop(const char *path, char *device, size_t device_bytes)
{
	char command[400];
	FILE *f;
	bool made;

	snprintf(command, sizeof(command), "losetup -f --show '%s' 2>/dev/null",
		 path);
	f = popen(command, "r");
	if (!f)
		return false;
	made = fgets(device, (int)device_bytes, f) != NULL;
	made = pclose(f) == 0 && made;
	device[made ? strcspn(device, "\n") : 0] = '\0';
	return made;
}

void
pool_rig_remove_loop(const char *device)
{
	char command[128];

	snprintf(command, sizeof(command), "losetup -d '%s'", device);
	if (system(command) != 0)
		fprintf(stderr, "rig: %s failed\n", command);
}

static void
must(int rc, const struct err *e)
{
	if (rc == 0)
		return;
	fprintf(stderr, "rig: %s\n", e->text);
	abort();
}

void
pool_rig_open(struct pool_rig *g, const char *backend, unsigned depth,
	      unsigned threads)
{
	struct iopool_config cfg = {.backend = backend,
				    .depth = depth,
				    .threads = threads};
	struct hostfile_options o = {.create = true,
				     .size_bytes = POOL_RIG_FILE_BYTES};
	struct err e = {"no memory"};

	pool_rig_path(g->path, sizeof(g->path), "rig");
	unlink(g->path);
	must(iopool_open(&g->pool, &cfg, &e), &e);
	must(hostfile_open(&g->file, g->path, &o, &e), &e);
	must(fault_set_open(&g->faults), &e);
	hostfile_set_faults(g->file, g->faults);
	g->mem = aligned_alloc(4096, POOL_RIG_MEM_BYTES);
	must(g->mem ? 0 : -1, &e);
	memset(g->mem, 0, POOL_RIG_MEM_BYTES);
}

void
pool_rig_close(struct pool_rig *g)
{
	iopool_close(g->pool);
	hostfile_close(g->file);
	fault_set_close(g->faults);
	unlink(g->path);
	free(g->mem);
}

void
pool_rig_fault(struct pool_rig *g, const char *rule)
{
	struct err e;

	must(fault_add(g->faults, rule, &e), &e);
}

static void
on_done(struct ioreq *r)
{
	struct pool_rig_req *q = CONTAINER_OF(r, struct pool_rig_req, io);

	lock_acquire(&lock);
	q->done = true;
	q->done_ns = clock_now_ns();
	q->ran_on = pthread_self();
	q->order = ++done_count;
	cond_wake_all(&some_done);
	lock_release(&lock);
}

void
pool_rig_fill(struct pool_rig *g, struct pool_rig_req *q, enum io_op op,
	      u64 off, u64 size_bytes, void *buf)
{
	*q = (struct pool_rig_req){
	    .iov = {buf ? buf : g->mem + off, size_bytes},
	    .io = {.op = op,
		   .file = g->file,
		   .off = off,
		   .size_bytes = size_bytes,
		   .iov = &q->iov,
		   .iov_count = 1,
		   .done = on_done},
	};
}

void
pool_rig_submit(struct pool_rig *g, struct pool_rig_req *q, unsigned count)
{
	struct ioreq *reqs[512];

	assert(count <= ARRAY_SIZE(reqs));
	for (unsigned i = 0; i < count; i++)
		reqs[i] = &q[i].io;
	iopool_submit(g->pool, reqs, count);
}

void
pool_rig_wait(struct pool_rig_req *q, unsigned count)
{
	lock_acquire(&lock);
	for (unsigned i = 0; i < count; i++)
		while (!q[i].done)
			cond_wait(&some_done, &lock);
	lock_release(&lock);
}

bool
pool_rig_is_done(struct pool_rig_req *q)
{
	bool done;

	lock_acquire(&lock);
	done = q->done;
	lock_release(&lock);
	return done;
}

int
pool_rig_do(struct pool_rig *g, enum io_op op, u64 off, u64 size_bytes,
	    void *buf)
{
	struct pool_rig_req q;

	pool_rig_fill(g, &q, op, off, size_bytes, buf);
	pool_rig_submit(g, &q, 1);
	pool_rig_wait(&q, 1);
	return q.io.rc;
}
