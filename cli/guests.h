/* SPDX-License-Identifier: BSD-2-Clause */
/* guests - the guests that can be started by name
 *
 * What:    reads guests.tsv, which `make guest` writes: a line a guest, its
 *          fields (name, kernel, initrd, kernel command line, description)
 *          separated by tabs; paths are relative to the index. The first
 *          guest is the default one. The index is looked for in the directory
 *          that $SPINDLE_GUESTS names, else beside the program:
 *          ../guest (a build tree), ../share/spindle/guest (installed).
 * Threads: single-threaded.
 * Owns:    guest_list_release() frees what guest_list_read() filled in.
 * Errors:  -ENOENT no index, or no guest of that name; -EUCLEAN an index that
 *          is none; each with a sentence.
 */
#ifndef CLI_GUESTS_H
#define CLI_GUESTS_H

#include "base/err.h"

#define GUESTS_MAX 64

struct guest {
	char *name, *kernel, *initrd, *append, *description;
};

struct guest_list {
	struct guest guest[GUESTS_MAX];
	unsigned count;
};

MUST_CHECK int guest_list_read(struct guest_list *list, struct err *e);
void guest_list_release(struct guest_list *list);

/* name NULL: the default guest. NULL with a sentence when there is none. */
const struct guest *guest_find(const struct guest_list *list, const char *name,
			       struct err *e);

#endif
