/* SPDX-License-Identifier: BSD-2-Clause */
/* Cleaning: what is live in sparse segments moves on, so that they get empty.
 */
#include "hdd/image_int.h"

bool
image_clean_wanted(struct image *img)
{
	(void)img;
	return false;
}

bool
image_clean(struct image *img)
{
	(void)img;
	return false;
}
