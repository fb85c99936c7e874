/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/image_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/lock.h"

/* --- requests ---------------------------------------------------------- */

struct rig_wait {
	struct store_req r;
	struct lock lock;
	struct cond cond;
	bool done;
};

static void
request_done(struct store_req *r)
{
	struct rig_wait *w = CONTAINER_OF(r, struct rig_wait, r);

	lock_acquire(&w->lock);
	w->done = true;
	cond_wake_all(&w->cond);
	lock_release(&w->lock);
}

int
rig_request(struct store *s, enum store_op op, u64 lba, u32 count, void *buf,
	    u64 *bad_lba)
{
	struct iovec iov = {buf, (size_t)count * SECTOR_BYTES};
	struct rig_wait w = {
	    .r = {.op = op,
		  .lba = lba,
		  .count = count,
		  .iov = &iov,
		  .iov_count = buf ? 1 : 0,
		  .done = request_done},
	};
	struct store_req *r = &w.r;

	lock_init(&w.lock);
	cond_init(&w.cond);
	store_submit(s, &r, 1);
	lock_acquire(&w.lock);
	while (!w.done)
		cond_wait(&w.cond, &w.lock);
	lock_release(&w.lock);
	cond_destroy(&w.cond);
	lock_destroy(&w.lock);
	if (bad_lba)
		*bad_lba = r->bad_lba;
	return r->rc;
}

/* --- versions ---------------------------------------------------------- */

void
rig_disk_init(struct rig_disk *d, u64 sectors)
{
	d->sector = calloc(sectors, sizeof(*d->sector));
	assert(d->sector != NULL);
	d->sectors = sectors;
	d->version = 0;
	d->quiet = false;
	for (u64 i = 0; i < sectors; i++)
		d->sector[i].durable_zero = d->sector[i].current_zero = true;
}

void
rig_disk_release(struct rig_disk *d)
{
	free(d->sector);
	d->sector = NULL;
}

/* Every third version is easy to compress. */
static u64
next_word(u64 x, u64 version)
{
	return version % 3 == 0
		   ? x
		   : x * 6364136223846793005ULL + 1442695040888963407ULL;
}

static void
fill(u8 *buf, u64 lba, u32 version)
{
	u64 x = lba * 0x9e3779b97f4a7c15ULL ^ version;

	put_le64(buf, lba);
	put_le64(buf + 8, version);
	for (unsigned i = 16; i < SECTOR_BYTES; i += 8) {
		x = next_word(x, version);
		put_le64(buf + i, x);
	}
}

void
rig_write(struct rig_disk *d, u64 lba, u32 count, u8 *buf)
{
	d->version++;
	for (u32 i = 0; i < count; i++) {
		d->sector[lba + i].current = d->version;
		d->sector[lba + i].current_zero = false;
		fill(buf + (size_t)i * SECTOR_BYTES, lba + i, d->version);
	}
}

void
rig_zero(struct rig_disk *d, u64 lba, u32 count)
{
	d->version++;
	for (u32 i = 0; i < count; i++) {
		struct rig_sector *s = &d->sector[lba + i];

		s->current = s->last_zero = d->version;
		s->current_zero = true;
	}
}

void
rig_again(const struct rig_disk *d, u64 lba, u32 count, u8 *buf)
{
	for (u32 i = 0; i < count; i++) {
		const struct rig_sector *s = &d->sector[lba + i];

		if (s->current_zero)
			memset(buf + (size_t)i * SECTOR_BYTES, 0, SECTOR_BYTES);
		else
			fill(buf + (size_t)i * SECTOR_BYTES, lba + i,
			     s->current);
	}
}

void
rig_flushed(struct rig_disk *d)
{
	for (u64 i = 0; i < d->sectors; i++) {
		d->sector[i].durable = d->sector[i].current;
		d->sector[i].durable_zero = d->sector[i].current_zero;
	}
}

static bool
is_zero(const u8 *buf)
{
	for (unsigned i = 0; i < SECTOR_BYTES; i++)
		if (buf[i] != 0)
			return false;
	return true;
}

/* The version that a sector shows: -1 is no version at all, 0 zeros. */
static s64
shown(u64 lba, const u8 *buf)
{
	u64 version = get_le64(buf + 8);
	u64 x = lba * 0x9e3779b97f4a7c15ULL ^ version, other = 0;

	if (version == 0 && is_zero(buf))
		return 0;
	if (get_le64(buf) != lba || version == 0 || version > UINT32_MAX)
		return -1;
	for (unsigned i = 16; i < SECTOR_BYTES; i += 8) {
		x = next_word(x, version);
		other |= get_le64(buf + i) ^ x;
	}
	return other == 0 ? (s64)version : -1;
}

static void
complain(const struct rig_disk *d, u64 lba, s64 got, const char *what)
{
	const struct rig_sector *s = &d->sector[lba];

	if (d->quiet)
		return;
	fprintf(stderr,
		"FAIL: sector %llu shows version %lld%s; durable is %u%s, "
		"current %u%s: %s\n",
		(unsigned long long)lba, (long long)got,
		got < 0 ? " (torn or foreign)" : "", s->durable,
		s->durable_zero ? " (zeros)" : "", s->current,
		s->current_zero ? " (zeros)" : "", what);
}

bool
rig_is_current(const struct rig_disk *d, u64 lba, u32 count, const u8 *buf)
{
	for (u32 i = 0; i < count; i++) {
		const struct rig_sector *s = &d->sector[lba + i];
		s64 got = shown(lba + i, buf + (size_t)i * SECTOR_BYTES);
		s64 want = s->current_zero ? 0 : (s64)s->current;

		if (got != want) {
			complain(d, lba + i, got, "not the current one");
			return false;
		}
	}
	return true;
}

bool
rig_is_allowed(struct rig_disk *d, u64 lba, u32 count, const u8 *buf,
	       bool settle)
{
	for (u32 i = 0; i < count; i++) {
		struct rig_sector *s = &d->sector[lba + i];
		s64 got = shown(lba + i, buf + (size_t)i * SECTOR_BYTES);
		bool zero_ok = s->durable_zero || s->last_zero > s->durable;

		if (got == 0
			? !zero_ok
			: got < (s64)s->durable || got > (s64)s->current ||
			      (got == (s64)s->durable && s->durable_zero)) {
			complain(d, lba + i, got, "not allowed");
			return false;
		}
		if (!settle)
			continue;
		s->current_zero = s->durable_zero = got == 0;
		if (got == 0)
			got = s->durable_zero ? MAX(s->durable, s->last_zero)
					      : s->last_zero;
		s->current = s->durable = (u32)got;
	}
	return true;
}

u32
rig_pick(struct rig_random *r, u32 n)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return n == 0 ? 0 : (u32)((r->state * 0x2545f4914f6cdd1dULL) >> 32) % n;
}
