/* SPDX-License-Identifier: BSD-2-Clause */
/* vmm_trace - the trace points of vmm/
 *
 * What:    declares what vmm_trace.def lists.
 * Threads: as base/trace.h says.
 */
#ifndef VMM_VMM_TRACE_H
#define VMM_VMM_TRACE_H

#include "base/trace.h"

#define TRACE_POINT(n, a, b, c) TRACE_DECLARE(n)
#include "vmm/vmm_trace.def"
#undef TRACE_POINT

#endif
