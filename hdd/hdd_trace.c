/* SPDX-License-Identifier: BSD-2-Clause */
#include "hdd/hdd_trace.h"

#include "base/trace_def.h"

#define TRACE_POINT(n, a, b, c) TRACE_DEFINE(n, a, b, c);
#include "hdd/hdd_trace.def"
