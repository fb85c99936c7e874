/* SPDX-License-Identifier: BSD-2-Clause */
/* elide - flags that nobody reads are not computed
 *
 * What:    looks through a block's uops from its end. Where a flag writer is
 *          followed by one that overwrites all flags, and nothing in between
 *          reads them, may fault or may leave the block, its handler becomes
 *          the one without flags. What is not known to be harmless counts as
 *          a reader, so a fault always finds exact flags.
 * Threads: the vCPU thread.
 */
#ifndef DRIVER_SOFT_ELIDE_H
#define DRIVER_SOFT_ELIDE_H

#include "driver/soft/soft_int.h"

void elide_flags(struct uop *uop, unsigned count);

#endif
