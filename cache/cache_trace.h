/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_trace - the trace points of cache/
 *
 * What:    declares what cache/cache_trace.def lists (base/trace.h).
 * Threads: any.
 * Owns:    nothing.
 */
#ifndef CACHE_CACHE_TRACE_H
#define CACHE_CACHE_TRACE_H

#include "base/trace.h"

#define TRACE_POINT(n, a, b, c) TRACE_DECLARE(n)
#include "cache/cache_trace.def"
#undef TRACE_POINT

#endif
