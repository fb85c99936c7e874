/* SPDX-License-Identifier: BSD-2-Clause */
/* choose_int - the measured choice between two drivers, apart from which two
 *
 * What:    hv_choose(..., "auto", ...) for any pair of drivers, so that the
 *          decision can be tested against drivers of every speed.
 * Threads: as hv_choose().
 */
#ifndef DRIVER_CHOOSE_INT_H
#define DRIVER_CHOOSE_INT_H

#include "driver/hv.h"

/* Takes kvm if it runs here and is at least as fast as soft. Fails, with
 * soft's reason, only when neither runs. soft may be NULL: not built in. */
int hv_choose_auto(const struct hv_ops **out, const struct hv_ops *kvm,
		   const struct hv_ops *soft, char why[200], struct err *e);

#endif
