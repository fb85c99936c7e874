/* SPDX-License-Identifier: BSD-2-Clause */
/* err - one sentence for a person
 *
 * What:    functions that fail because of a path, an option or a file take a
 *          struct err, last. They write one complete sentence: lower case, no
 *          full stop, the subject 'quoted'. Untouched on success. The return
 *          value is the -errno that programs look at.
 * Threads: a struct err belongs to the caller.
 * Owns:    nothing; the text lives inside the struct.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/bits.h"

struct err {
	char text[400];
};

/* Writes the sentence and returns code, which must be a negative errno:
 * return err_set(e, -ENOENT, "cannot open '%s': no such file", path);
 * A NULL e is allowed and drops the text. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As err_set, with ": " and the name of -code's errno appended. */
int err_errno(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "prefix: " before a sentence that is already there. */
void err_prefix(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
