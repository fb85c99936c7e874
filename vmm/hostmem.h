/* SPDX-License-Identifier: BSD-2-Clause */
/* hostmem - how much memory the host can give
 *
 * What:    the host's MemAvailable, or the limit of our control group (a
 *          container's) where that is less: beyond it we would be killed rather
 *          than refused. The group's current use is not subtracted, it is
 *          mostly cache.
 * Model:   Linux Documentation/filesystems/proc.rst (meminfo),
 *          admin-guide/cgroup-v2.rst (memory.max), cgroup-v1/memory.rst.
 * Units:   bytes; UINT64_MAX when the host does not say.
 * Threads: any.
 * Owns:    nothing.
 */
#ifndef VMM_HOSTMEM_H
#define VMM_HOSTMEM_H

#include "base/bits.h"

/* root is put before every path: "" but for tests. */
u64 hostmem_available_bytes(const char *root);

#endif
