/* SPDX-License-Identifier: BSD-2-Clause */
/* hdd_trace - the trace points of hdd/
 *
 * What:    what a device asked of its disk, and the answer. op is an enum
 *          disk_op.
 * Threads: as base/trace.h.
 * Owns:    nothing.
 */
#ifndef HDD_HDD_TRACE_H
#define HDD_HDD_TRACE_H

#include "base/trace.h"

#define TRACE_POINT(n, a, b, c) TRACE_DECLARE(n)
#include "hdd/hdd_trace.def"
#undef TRACE_POINT

#endif
