/* SPDX-License-Identifier: BSD-2-Clause */
/* irqline - a wire from a device to whatever listens at its other end
 *
 * What:    a device holds a struct irqline for its interrupt output and sets
 *          its level; the board decides where the wire goes. Levels are
 *          logical: true is asserted, whatever the pin's polarity.
 * Threads: the vCPU thread only.
 * Owns:    nothing.
 */
#ifndef VMM_IRQLINE_H
#define VMM_IRQLINE_H

#include "base/bits.h"

struct irqline {
	void (*set)(void *ctx, unsigned n, bool level);
	void *ctx;
	unsigned n; /* which input of ctx the wire ends at */
};

/* An unconnected wire (set NULL) is allowed. */
static inline void
irqline_set(const struct irqline *l, bool level)
{
	if (l->set != NULL)
		l->set(l->ctx, l->n, level);
}

#endif
