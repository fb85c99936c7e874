/* SPDX-License-Identifier: BSD-2-Clause */
/* trace_def - makes trace points out of a folder's list
 *
 * What:    in FOLDER/FOLDER_trace.h:
 *
 *              #include "base/trace.h"
 *              #define TRACE_POINT(n, a, b, c) TRACE_DECLARE(n)
 *              #include "FOLDER/FOLDER_trace.def"
 *              #undef TRACE_POINT
 *
 *          and in FOLDER/FOLDER_trace.c the same with this header and
 *          TRACE_DEFINE(n, a, b, c). The points lie in one section of the
 *          program, where trace.c finds them all.
 * Threads: none.
 * Owns:    nothing.
 */
#ifndef BASE_TRACE_DEF_H
#define BASE_TRACE_DEF_H

#include "base/trace.h"

#define TRACE_DEFINE(n, a, b, c) \
	struct trace_point trace_##n \
	    __attribute__((section("trace_points"), \
			   used)) = {.name = #n, .arg = {a, b, c}};

#endif
