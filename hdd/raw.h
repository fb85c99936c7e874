/* SPDX-License-Identifier: BSD-2-Clause */
/* raw - a store that is a plain file or a block device of the host
 *
 * What:    sector n of the disk is the 512 bytes at n * 512 of the file.
 * Model:   disk-rules 11, 12: there are no new places to write suspect data
 *          to, so after a failed flush the store stays failed until it is
 *          opened again. With one exception, which the guest cannot see: a
 *          machine that was stopped because of it (werror=stop) and that
 *          somebody told to go on. Then the cache writes everything anew that
 *          it has promised and not made durable, and the host is asked again;
 *          only past the host's page cache, which may have dropped what it
 *          failed to write.
 * Units:   sectors of 512 bytes.
 * Threads: as cache/store.h.
 * Owns:    the host file, until raw_close().
 * Errors:  open: as hostfile_open(), and -EINVAL for a size that no disk has,
 *          with a sentence.
 */
#ifndef HDD_RAW_H
#define HDD_RAW_H

#include "cache/store.h"

struct raw;

int raw_open(struct raw **out, const char *path,
	     const struct hostfile_options *o, struct iopool *pool,
	     struct fault_set *faults, struct err *e) MUST_CHECK;

/* Nothing may be in flight. Flushes nothing. */
void raw_close(struct raw *r);

/* Any thread: somebody who knows of the failed flush says: try again. */
void raw_go_on(struct raw *r);

struct store *raw_store(struct raw *r);
struct hostfile *raw_file(struct raw *r);

#endif
