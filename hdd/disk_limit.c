/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/clock.h"
#include "hdd/disk_int.h"
#include "hdd/hdd_trace.h"

static void
bucket_init(struct disk_bucket *b, const struct disk_limit *l)
{
	double burst = l->burst != 0 ? (double)l->burst : (double)l->per_s / 10;

	*b = (struct disk_bucket){0};
	if (l->per_s == 0)
		return;
	b->cost_ns = (double)NS_PER_SEC / (double)l->per_s;
	b->burst_ns = MAX(burst, 1.0) * b->cost_ns;
}

void
limit_init(struct disk *d)
{
	bucket_init(&d->ops, &d->cfg.ops);
	bucket_init(&d->bytes, &d->cfg.bytes);
}

/* How long until the bucket lets the next request through. One that is larger
 * than the burst goes when everything before it has been paid for. */
static double
bucket_wait_ns(const struct disk_bucket *b, double units, double now_ns)
{
	double room = MAX(b->burst_ns - units * b->cost_ns, 0.0);

	if (b->cost_ns == 0)
		return 0;
	return MAX(b->paid_ns - now_ns - room, 0.0);
}

static void
bucket_take(struct disk_bucket *b, double units, double now_ns)
{
	b->paid_ns = MAX(b->paid_ns, now_ns) + units * b->cost_ns;
}

static bool
is_limited(const struct disk *d, const struct disk_req *r)
{
	return (d->ops.cost_ns != 0 || d->bytes.cost_ns != 0) &&
	       (r->op == DISK_READ || r->op == DISK_WRITE);
}

/* 0: taken. */
static u64
take(struct disk *d, const struct disk_req *r)
{
	double bytes = (double)r->count * DISK_SECTOR_BYTES;
	double now_ns = (double)clock_now_ns();
	double wait = MAX(bucket_wait_ns(&d->ops, 1, now_ns),
			  bucket_wait_ns(&d->bytes, bytes, now_ns));

	if (wait >= 1)
		return (u64)wait;
	bucket_take(&d->ops, 1, now_ns);
	bucket_take(&d->bytes, bytes, now_ns);
	return 0;
}

static void
wait_for(struct disk *d, const struct disk_req *r, u64 wait_ns)
{
	TRACE(disk_throttle, r->id, r->op, wait_ns, 0);
	d->host.timer(d->host.ctx, wait_ns);
}

bool
limit_take(struct disk *d, struct disk_req *r)
{
	bool first = list_empty(&d->waiting);
	u64 wait_ns;

	if (!is_limited(d, r))
		return true;
	wait_ns = first ? take(d, r) : 0;
	if (first && wait_ns == 0)
		return true;
	list_add_tail(&d->waiting, &r->link);
	d->in_flight++;
	d->stats.throttled++;
	if (first)
		wait_for(d, r, wait_ns);
	return false;
}

void
limit_run(struct disk *d)
{
	while (!list_empty(&d->waiting)) {
		struct disk_req *r =
		    LIST_ENTRY(d->waiting.next, struct disk_req, link);
		u64 wait_ns = take(d, r);

		if (wait_ns != 0) {
			wait_for(d, r, wait_ns);
			return;
		}
		list_remove(&r->link);
		d->in_flight--;
		if (disk_start(d, r))
			r->done(r);
	}
}
