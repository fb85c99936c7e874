/* SPDX-License-Identifier: BSD-2-Clause */
/* cdrom - the CD drive of a machine, and the discs that go in and out
 *
 * What:    opens an image (or a device of the host) read-only and shared, so
 *          that others may use it at the same time, and gives it to the drive;
 *          takes it out again. A locked door is respected, unless by force:
 *          an eject then asks the guest, an insert is refused.
 * Model:   vmm/atapi.h; MMC-5 6.14 (the lock).
 * Units:   position is channel * 2 + unit.
 * Threads: cdrom_load() any thread; the others, and what it does at the drive,
 *          the vCPU thread.
 * Owns:    the drive and its disc.
 * Errors:  -errno with a sentence: those of disk_open(); -EINVAL too small for
 *          a disc; -EBUSY the guest has locked the door.
 */
#ifndef VMM_CDROM_H
#define VMM_CDROM_H

#include "base/err.h"
#include "vmm/atapi.h"
#include "vmm/disks.h"

struct cdrom_config {
	unsigned position;
	/* How each disc is opened; read-only and shared in any case. path is
	 * that of the first, NULL for an empty drive. */
	struct disk_config disc;
};

struct cdrom;

int cdrom_open(struct cdrom **out, const struct cdrom_config *cfg,
	       struct disks *disks, struct err *e) MUST_CHECK;

/* After disks_release(). Harmless on NULL. */
void cdrom_close(struct cdrom *c);

/* For struct ide_config. */
struct ide_packet cdrom_packet(struct cdrom *c);

/* Another disc for the one that is in the drive; path NULL takes that out and
 * leaves the door open. asked: the door is locked, and the guest was asked to
 * open it (path NULL only). Waits for the disk's requests in flight. */
int cdrom_load(struct cdrom *c, const char *path, bool force, bool *asked,
	       struct err *e) MUST_CHECK;

#endif
