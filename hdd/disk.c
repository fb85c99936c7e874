/* SPDX-License-Identifier: BSD-2-Clause */
#include "hdd/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/clock.h"
#include "base/range.h"
#include "hdd/disk_int.h"
#include "hdd/hdd_trace.h"

static const enum wcache_op cache_ops[DISK_OPS] = {
    [DISK_READ] = WCACHE_READ,	       [DISK_WRITE] = WCACHE_WRITE,
    [DISK_FLUSH] = WCACHE_FLUSH,       [DISK_DISCARD] = WCACHE_DISCARD,
    [DISK_ZERO] = WCACHE_ZERO,	       [DISK_VERIFY] = WCACHE_VERIFY,
    [DISK_CACHE_ON] = WCACHE_CACHE_ON, [DISK_CACHE_OFF] = WCACHE_CACHE_OFF,
};

static const char *const op_names[DISK_OPS] = {
    [DISK_READ] = "read",	  [DISK_WRITE] = "write",
    [DISK_FLUSH] = "flush",	  [DISK_DISCARD] = "discard",
    [DISK_ZERO] = "zero",	  [DISK_VERIFY] = "verify",
    [DISK_CACHE_ON] = "cache on", [DISK_CACHE_OFF] = "cache off",
};

/* --- requests ---------------------------------------------------------- */

static bool
has_range(enum disk_op op)
{
	return op != DISK_FLUSH && op != DISK_CACHE_ON && op != DISK_CACHE_OFF;
}

static bool
is_read(enum disk_op op)
{
	return op == DISK_READ || op == DISK_VERIFY;
}

/* What the medium cannot do, whatever its state. */
static int
refuse(const struct disk *d, const struct disk_req *r)
{
	if (!has_range(r->op))
		return 0;
	if (r->count == 0 || !range_inside(r->lba, r->count, d->store->sectors))
		return -ERANGE;
	if (!is_read(r->op) && d->store->read_only)
		return -EROFS;
	return 0;
}

static void
count(struct disk *d, const struct disk_req *r)
{
	struct disk_op_stats *s = &d->stats.op[r->op];
	u64 ns = clock_now_ns() - r->start_ns;

	s->requests++;
	if (has_range(r->op))
		s->sectors += r->count;
	if (r->error != 0)
		s->errors++;
	if (r->error != 0 && is_read(r->op))
		d->stats.bad_sectors++;
	hist_add(&s->latency, ns);
	TRACE(disk_done, r->id, -r->error, r->error_lba, ns);
}

/* Does a policy hold this error back from the guest? */
static bool
is_held(const struct disk *d, const struct disk_req *r)
{
	enum disk_policy p = is_read(r->op) ? d->cfg.rerror : d->cfg.werror;

	if (r->error == 0 || p == DISK_REPORT)
		return false;
	return p == DISK_STOP || r->error == -ENOSPC || r->error == -EDQUOT;
}

static void
hold(struct disk *d, struct disk_req *r)
{
	char text[400];

	TRACE(disk_stop, r->id, r->op, -r->error, r->error_lba);
	snprintf(text, sizeof(text),
		 "'%s': %s at sector %llu failed: %s; the machine is paused, "
		 "'continue' tries again",
		 d->path, op_names[r->op], (unsigned long long)r->error_lba,
		 strerror(-r->error));
	list_add_tail(&d->held, &r->link);
	d->in_flight++;
	d->stats.stopped++;
	d->host.stop(d->host.ctx, text);
}

/* The cache has answered. False: the answer is held back. */
static bool
finish(struct disk *d, struct disk_inner *in)
{
	struct disk_req *r = in->req;

	r->error = in->w.rc;
	r->error_lba = in->w.bad_lba;
	list_add_head(&d->free, &in->link);
	d->in_flight--;
	if (unlikely(is_held(d, r))) {
		hold(d, r);
		return false;
	}
	count(d, r);
	return true;
}

/* A thread of the pool. The lock is taken twice, so that disk_attach() and
 * disk_close() return only when nobody is in here any more. */
static void
cache_done(struct wcache_req *w)
{
	struct disk_inner *in = CONTAINER_OF(w, struct disk_inner, w);
	struct disk *d = in->disk;

	lock_acquire(&d->lock);
	list_add_tail(&d->finished, &in->link);
	lock_release(&d->lock);
	d->host.wake(d->host.ctx);
	lock_acquire(&d->lock);
	if (--d->outstanding == 0)
		cond_wake_all(&d->idle);
	lock_release(&d->lock);
}

bool
disk_start(struct disk *d, struct disk_req *r)
{
	struct disk_inner *in;

	assert(!list_empty(&d->free)); /* a device has fewer than that */
	in = LIST_ENTRY(list_pop(&d->free), struct disk_inner, link);
	in->req = r;
	in->w.op = cache_ops[r->op];
	in->w.flags = r->flags & DISK_FUA ? WCACHE_FUA : 0;
	in->w.lba = r->lba;
	in->w.count = r->count;
	in->w.iov = r->iov;
	in->w.iov_count = r->iov_count;
	in->w.id = r->id;
	in->w.done = cache_done;
	in->w.rc = 0;
	in->w.bad_lba = r->lba;
	d->in_flight++;
	d->outstanding++;
	if (!wcache_submit(d->wcache, &in->w))
		return false;
	d->outstanding--;
	return finish(d, in);
}

bool
disk_submit(struct disk *d, struct disk_req *r)
{
	assert(d->attached && r->op < DISK_OPS);
	r->disk = d;
	r->id = trace_new_id();
	r->start_ns = clock_now_ns();
	r->error_lba = r->lba;
	list_init(&r->link);
	TRACE(disk_submit, r->id, r->op, r->lba, r->count);
	r->error = refuse(d, r);
	if (unlikely(r->error != 0)) {
		count(d, r);
		return true;
	}
	if (!limit_take(d, r))
		return false;
	if (!disk_start(d, r))
		return false;
	d->stats.in_call++;
	return true;
}

void
disk_run(struct disk *d)
{
	struct list finished;

	list_init(&finished);
	lock_acquire(&d->lock);
	list_move_all(&finished, &d->finished);
	lock_release(&d->lock);
	while (!list_empty(&finished)) {
		struct disk_inner *in =
		    LIST_ENTRY(list_pop(&finished), struct disk_inner, link);
		struct disk_req *r = in->req;

		if (finish(d, in))
			r->done(r);
	}
	limit_run(d);
}

void
disk_retry(struct disk *d)
{
	struct list held;

	list_init(&held);
	list_move_all(&held, &d->held);
	if (!list_empty(&held))
		raw_go_on(d->raw);
	while (!list_empty(&held)) {
		struct disk_req *r =
		    LIST_ENTRY(list_pop(&held), struct disk_req, link);

		d->in_flight--;
		TRACE(disk_retry, r->id, r->op, r->lba, r->count);
		if (disk_start(d, r))
			r->done(r);
	}
}

/* --- opening and closing ----------------------------------------------- */

/* The guest must see the same serial number each time: it is made out of the
 * file's name. */
static void
make_serial(struct disk *d)
{
	const char *slash = strrchr(d->path, '/');
	const char *name = slash != NULL ? slash + 1 : d->path;

	if (d->cfg.serial != NULL)
		snprintf(d->serial, sizeof(d->serial), "%s", d->cfg.serial);
	else
		snprintf(d->serial, sizeof(d->serial), "SP%016llX",
			 (unsigned long long)checksum64(name, strlen(name), 0));
}

static int
open_store(struct disk *d, struct err *e)
{
	const struct disk_config *cfg = &d->cfg;
	struct hostfile_options o = {
	    .read_only = cfg->read_only,
	    .buffered = cfg->buffered,
	    .shared = cfg->shared,
	};
	int rc = fault_set_open(&d->faults);

	if (rc != 0)
		return err_errno(e, rc, "cannot open '%s'", d->path);
	for (unsigned i = 0; rc == 0 && i < cfg->fault_count; i++)
		rc = fault_add(d->faults, cfg->faults[i], e);
	if (rc == 0)
		rc = raw_open(&d->raw, d->path, &o, cfg->pool, d->faults, e);
	if (rc != 0)
		return rc;
	d->store = raw_store(d->raw);
	/* what a process that died left in the host's page cache must be
	 * durable before the guest reads it (disk-rules 23) */
	rc = cfg->read_only ? 0 : hostfile_flush(raw_file(d->raw));
	if (rc != 0)
		return err_errno(e, rc, "cannot flush '%s'", d->path);
	return 0;
}

static int
open_cache(struct disk *d, struct err *e)
{
	static const enum wcache_mode modes[] = {
	    [DISK_WRITEBACK] = WCACHE_WRITEBACK,
	    [DISK_WRITETHROUGH] = WCACHE_WRITETHROUGH,
	    [DISK_NONE] = WCACHE_NONE,
	    [DISK_UNSAFE] = WCACHE_UNSAFE,
	};
	struct wcache_config wc = {
	    .mode = modes[d->cfg.cache],
	    .memory_bytes = d->cfg.cache_bytes,
	    .dirty_max_bytes = d->cfg.dirty_bytes,
	    .readahead_bytes = d->cfg.readahead_bytes,
	};

	return wcache_open(&d->wcache, d->store, &wc, e);
}

int
disk_open(struct disk **out, const struct disk_config *cfg, struct err *e)
{
	struct disk *d = calloc(1, sizeof(*d));
	int rc;

	if (d == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	lock_init(&d->lock);
	cond_init(&d->idle);
	list_init(&d->finished);
	list_init(&d->free);
	list_init(&d->waiting);
	list_init(&d->held);
	for (unsigned i = 0; i < DISK_INNER_MAX; i++) {
		d->inner[i].disk = d;
		list_add_tail(&d->free, &d->inner[i].link);
	}
	d->cfg = *cfg;
	d->path = strdup(cfg->path);
	d->cfg.path = d->path;
	rc = d->path != NULL ? open_store(d, e)
			     : err_set(e, -ENOMEM, "out of memory");
	if (rc == 0)
		rc = open_cache(d, e);
	if (rc != 0) {
		d->cfg.read_only = true; /* there is nothing to flush */
		(void)disk_close(d, NULL);
		return rc;
	}
	make_serial(d);
	d->cfg.serial = d->serial;
	limit_init(d);
	*out = d;
	return 0;
}

/* What came from the cache and was not fetched is not told to anybody. */
static void
wait_idle(struct disk *d)
{
	lock_acquire(&d->lock);
	while (d->outstanding != 0)
		cond_wait(&d->idle, &d->lock);
	while (!list_empty(&d->finished))
		list_add_tail(&d->free, list_pop(&d->finished));
	lock_release(&d->lock);
}

void
disk_attach(struct disk *d, const struct disk_host *host)
{
	assert(d->attached == (host == NULL));
	if (host == NULL) {
		wait_idle(d);
		list_init(&d->waiting);
		list_init(&d->held);
		d->in_flight = 0;
	} else {
		d->host = *host;
	}
	d->attached = host != NULL;
}

/* A request of the disk's own, for which the caller waits. */
struct sync {
	struct wcache_req w;
	struct lock lock;
	struct cond cond;
	bool done; /* [lock] */
};

static void
sync_done(struct wcache_req *w)
{
	struct sync *s = CONTAINER_OF(w, struct sync, w);

	lock_acquire(&s->lock);
	s->done = true;
	cond_wake_all(&s->cond);
	lock_release(&s->lock);
}

int
disk_flush(struct disk *d)
{
	struct sync s = {.w = {.op = WCACHE_FLUSH, .done = sync_done}};

	if (d->store->read_only)
		return 0;
	s.w.id = trace_new_id();
	TRACE(disk_submit, s.w.id, DISK_FLUSH, 0, 0);
	lock_init(&s.lock);
	cond_init(&s.cond);
	if (!wcache_submit(d->wcache, &s.w)) {
		lock_acquire(&s.lock);
		while (!s.done)
			cond_wait(&s.cond, &s.lock);
		lock_release(&s.lock);
	}
	cond_destroy(&s.cond);
	lock_destroy(&s.lock);
	TRACE(disk_done, s.w.id, -s.w.rc, s.w.bad_lba, 0);
	return s.w.rc;
}

/* The last flush (disk-rules 24). */
static int
say_goodbye(struct disk *d, struct err *e)
{
	int rc =
	    d->cfg.read_only || d->cfg.cache == DISK_UNSAFE ? 0 : disk_flush(d);

	if (rc == 0)
		return 0;
	return err_errno(e, rc,
			 "the last flush of '%s' failed: what the guest wrote "
			 "since its last successful flush may be lost",
			 d->path);
}

int
disk_close(struct disk *d, struct err *e)
{
	int rc = 0;

	if (d == NULL)
		return 0;
	assert(!d->attached);
	if (d->wcache != NULL) {
		rc = say_goodbye(d, e);
		iopool_drain(d->cfg.pool);
		wcache_close(d->wcache);
	}
	raw_close(d->raw);
	fault_set_close(d->faults);
	cond_destroy(&d->idle);
	lock_destroy(&d->lock);
	free(d->path);
	free(d);
	return rc;
}

int
disk_fault(struct disk *d, const char *rule, struct err *e)
{
	if (rule != NULL)
		return fault_add(d->faults, rule, e);
	fault_clear(d->faults);
	return 0;
}

/* --- properties -------------------------------------------------------- */

u64
disk_sectors(const struct disk *d)
{
	return d->store->sectors;
}

bool
disk_read_only(const struct disk *d)
{
	return d->store->read_only;
}

bool
disk_cache_is_on(const struct disk *d)
{
	return wcache_is_on(d->wcache);
}

bool
disk_is_unsafe(const struct disk *d)
{
	return d->cfg.cache == DISK_UNSAFE;
}

bool
disk_can_discard(const struct disk *d)
{
	return d->store->can_discard;
}

const char *
disk_path(const struct disk *d)
{
	return d->path;
}

const char *
disk_serial(const struct disk *d)
{
	return d->serial;
}

unsigned
disk_in_flight(const struct disk *d)
{
	return d->in_flight;
}

const struct disk_stats *
disk_stats(const struct disk *d)
{
	return &d->stats;
}
