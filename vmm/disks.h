/* SPDX-License-Identifier: BSD-2-Clause */
/* disks - what the disks of a machine need of it
 *
 * What:    wakes the vCPU thread when a thread of the I/O pool has finished a
 *          request, runs the limits' timers, and pauses the machine when an
 *          error policy says stop. Controllers submit to a struct disk
 *          themselves and know nothing of this.
 * Model:   hdd/disk.h, struct disk_host.
 * Units:   a position is channel * 2 + unit.
 * Threads: the vCPU thread only.
 * Owns:    nothing; the disks are the caller's and outlive the machine.
 */
#ifndef VMM_DISKS_H
#define VMM_DISKS_H

#include "hdd/disk.h"
#include "vmm/mail.h"
#include "vmm/vtimer.h"

#define DISKS_MAX 4

struct disks_slot {
	struct disk *disk; /* NULL: none */
	struct vtimer timer;
	struct disks *all;
};

struct disks {
	struct mail *mail;
	struct vtimers *timers;
	/* An error is held back: the machine pauses. */
	void (*stop)(void *ctx, const char *text);
	void *ctx;
	struct disks_slot slot[DISKS_MAX];
};

/* Members mail, timers, stop and ctx are the caller's to fill. Attaches. */
void disks_init(struct disks *ds, struct disk *const disk[DISKS_MAX]);

/* One more or one fewer (NULL), while the machine is there. */
void disks_set(struct disks *ds, unsigned position, struct disk *d);

/* Detaches: no request is in flight afterwards. Harmless twice. */
void disks_release(struct disks *ds);

/* After a wake-up: done() of what has finished. */
void disks_run(struct disks *ds);

/* Is an answer under way? */
bool disks_busy(const struct disks *ds);

/* The machine goes on. */
void disks_retry(struct disks *ds);

#endif
