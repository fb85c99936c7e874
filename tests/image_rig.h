/* SPDX-License-Identifier: BSD-2-Clause */
/* image_rig - what the image engine's tests share
 *
 * What:    blocking requests to a store; a disk whose every sector says which
 *          sector it is and which version; and the rules that say what a
 *          sector may show (disk-rules: L(lba) <= v <= U(lba)).
 * Model:   A version of 0 is zeros, and so is every version that a discard
 *          made.
 * Units:   sectors.
 * Threads: one.
 * Owns:    see each function.
 */
#ifndef TESTS_IMAGE_RIG_H
#define TESTS_IMAGE_RIG_H

#include "cache/store.h"

/* Programs with a sanitizer in them are 20 times slower. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RIG_SLOW 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RIG_SLOW 1
#endif
#endif
#ifndef RIG_SLOW
#define RIG_SLOW 0
#endif

/* One request, waited for; *bad_lba may be NULL. */
int rig_request(struct store *s, enum store_op op, u64 lba, u32 count,
		void *buf, u64 *bad_lba);

struct rig_sector {
	u32 durable, current;
	u32 last_zero; /* the greatest version that is zeros */
	bool durable_zero, current_zero;
};

struct rig_disk {
	struct rig_sector *sector;
	u64 sectors;
	u32 version; /* the last that was given */
	bool quiet;  /* says nothing */
};

void rig_disk_init(struct rig_disk *d, u64 sectors);
void rig_disk_release(struct rig_disk *d);

/* count sectors from lba get a new version; buf gets its bytes. */
void rig_write(struct rig_disk *d, u64 lba, u32 count, u8 *buf);
void rig_zero(struct rig_disk *d, u64 lba, u32 count);

/* The bytes of what is current, to be written once more. */
void rig_again(const struct rig_disk *d, u64 lba, u32 count, u8 *buf);

/* Everything is durable now. */
void rig_flushed(struct rig_disk *d);

/* Do these sectors show exactly the current version? Else says what is wrong
 * on stderr. */
bool rig_is_current(const struct rig_disk *d, u64 lba, u32 count,
		    const u8 *buf);

/* ... or any from the durable one on; then that becomes current and durable
 * when settle is set. */
bool rig_is_allowed(struct rig_disk *d, u64 lba, u32 count, const u8 *buf,
		    bool settle);

/* xorshift64*; seed it, not with 0. */
struct rig_random {
	u64 state;
};
u32 rig_pick(struct rig_random *r, u32 n);

#endif
