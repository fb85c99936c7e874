/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/disks.h"

static void
wake(void *ctx)
{
	struct disks_slot *s = ctx;

	mail_wake(s->all->mail);
}

static void
timer(void *ctx, u64 delay_ns)
{
	struct disks_slot *s = ctx;
	struct vtimers *ts = s->all->timers;

	vtimer_arm(ts, &s->timer, vtimers_now(ts) + delay_ns);
}

static void
fire(void *ctx)
{
	struct disks_slot *s = ctx;

	if (s->disk != NULL)
		disk_run(s->disk);
}

static void
stop(void *ctx, const char *text)
{
	struct disks_slot *s = ctx;

	s->all->stop(s->all->ctx, text);
}

void
disks_set(struct disks *ds, unsigned position, struct disk *d)
{
	struct disks_slot *s = &ds->slot[position];
	struct disk_host host = {.wake = wake,
				 .timer = timer,
				 .stop = stop,
				 .ctx = s};

	assert(position < DISKS_MAX);
	if (s->disk != NULL) {
		disk_attach(s->disk, NULL);
		vtimer_disarm(ds->timers, &s->timer);
	}
	s->disk = d;
	if (d != NULL)
		disk_attach(d, &host);
}

void
disks_init(struct disks *ds, struct disk *const disk[DISKS_MAX])
{
	for (unsigned i = 0; i < DISKS_MAX; i++) {
		ds->slot[i].disk = NULL;
		ds->slot[i].all = ds;
		vtimer_add(ds->timers, &ds->slot[i].timer, fire, &ds->slot[i]);
		disks_set(ds, i, disk[i]);
	}
}

void
disks_release(struct disks *ds)
{
	for (unsigned i = 0; i < DISKS_MAX; i++)
		if (ds->slot[i].disk != NULL)
			disks_set(ds, i, NULL);
}

void
disks_run(struct disks *ds)
{
	for (unsigned i = 0; i < DISKS_MAX; i++)
		if (ds->slot[i].disk != NULL)
			disk_run(ds->slot[i].disk);
}

bool
disks_busy(const struct disks *ds)
{
	for (unsigned i = 0; i < DISKS_MAX; i++)
		if (ds->slot[i].disk != NULL &&
		    disk_in_flight(ds->slot[i].disk) != 0)
			return true;
	return false;
}

void
disks_retry(struct disks *ds)
{
	for (unsigned i = 0; i < DISKS_MAX; i++)
		if (ds->slot[i].disk != NULL)
			disk_retry(ds->slot[i].disk);
}
