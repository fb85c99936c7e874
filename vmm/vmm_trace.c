/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/vmm_trace.h"

#include "base/trace_def.h"

#define TRACE_POINT(n, a, b, c) TRACE_DEFINE(n, a, b, c)
#include "vmm/vmm_trace.def"
#undef TRACE_POINT
