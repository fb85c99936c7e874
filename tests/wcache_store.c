/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/wcache_store.h"

#include <errno.h>
#include <stdlib.h>

#include "base/iov.h"
#include "base/range.h"

u64
mem_random(struct mem_store *m)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return m->seed;
}

static bool
chance(struct mem_store *m, unsigned percent)
{
	return !m->quiet && percent != 0 && mem_random(m) % 100 < percent;
}

static u64
sum_of(const struct store_req *r)
{
	u64 sum = 0;

	for (unsigned i = 0; i < r->iov_count; i++) {
		const u8 *p = r->iov[i].iov_base;

		for (size_t k = 0; k + 8 <= r->iov[i].iov_len; k += 8)
			sum = (sum << 1 | sum >> 63) ^ get_le64(p + k);
	}
	return sum;
}

static void
put_sector(struct mem_store *m, u64 lba, const void *data, bool doomed)
{
	/* What is replaced may have reached the platter before. */
	if (mem_random(m) % 2 == 0)
		m->middle[lba] = m->written[lba];
	if (data == NULL)
		memset(&m->written[lba], 0, SECTOR_BYTES);
	else
		memcpy(&m->written[lba], data, SECTOR_BYTES);
	m->touched[lba] = 1;
	m->limbo[lba] = doomed;
}

static void
done_write(struct mem_store *m, struct mem_pending *p)
{
	struct store_req *r = p->req;
	bool zero = r->op != STORE_WRITE;
	bool fail = chance(m, m->write_fail_pct);
	u8 buf[SECTOR_BYTES];

	assert(zero || sum_of(r) == p->sum);
	if (m->write_fail_next != 0) {
		m->write_fail_next--;
		fail = true;
	}
	for (u64 i = 0; i < r->count; i++)
		if (m->bad[r->lba + i] == 2 && !m->quiet) {
			fail = true;
			r->bad_lba = r->lba + i;
			break;
		}
	for (u64 i = 0; i < r->count; i++) {
		m->writing[r->lba + i] &= (u8)~1;
		if (fail && mem_random(m) % 2)
			continue;
		if (!zero)
			iov_read(buf, r->iov, r->iov_count, i * SECTOR_BYTES,
				 SECTOR_BYTES);
		put_sector(m, r->lba + i, zero ? NULL : buf, p->doomed);
		if (m->bad[r->lba + i] == 1)
			m->bad[r->lba + i] = 0;
	}
	r->rc = fail ? -m->fail_with : 0;
}

static void
done_read(struct mem_store *m, struct store_req *r)
{
	r->rc = 0;
	if (m->read_fail_next != 0) {
		m->read_fail_next--;
		r->rc = -EIO;
		r->bad_lba = r->lba;
		return;
	}
	for (u64 i = 0; i < r->count; i++) {
		if (m->bad[r->lba + i] == 1 && !m->quiet) {
			r->rc = -EIO;
			/* Sometimes it cannot tell which. */
			r->bad_lba = mem_random(m) % 2 ? r->lba : r->lba + i;
			return;
		}
		iov_write(r->iov, r->iov_count, i * SECTOR_BYTES,
			  &m->written[r->lba + i], SECTOR_BYTES);
	}
}

static void
flush_failed(struct mem_store *m)
{
	m->failed = true;
	for (u64 i = 0; i < m->store.sectors; i++) {
		m->writing[i] &= 1;
		if (!m->touched[i])
			continue;
		m->limbo[i] = m->touched[i] = 1;
		if (m->revert)
			m->written[i] = m->durable[i];
	}
	for (unsigned i = 0; i < m->nr_pending; i++)
		m->pending[i].doomed = true;
}

static void
done_flush(struct mem_store *m, struct store_req *r)
{
	bool fail = chance(m, m->flush_fail_pct) || m->failed;

	m->flushing = false;
	if (m->flush_fail_next != 0) {
		m->flush_fail_next--;
		fail = true;
	}
	r->rc = fail ? -m->fail_with : 0;
	if (fail) {
		flush_failed(m);
		return;
	}
	for (u64 i = 0; i < m->store.sectors; i++) {
		if (m->touched[i] == 2 && !m->limbo[i]) {
			m->durable[i] = m->begun[i];
			m->middle[i] = m->begun[i];
			m->touched[i] = 0;
		} else if (m->touched[i] == 1 && m->limbo[i] == 0) {
			/* Written again meanwhile: the older one is durable. */
			if (m->writing[i] & 2)
				m->durable[i] = m->middle[i] = m->begun[i];
		}
		m->writing[i] &= 1;
	}
}

void
mem_do(struct mem_store *m, unsigned i)
{
	struct mem_pending p = m->pending[i];

	assert(i < m->nr_pending);
	m->nr_pending--;
	memmove(&m->pending[i], &m->pending[i + 1],
		(m->nr_pending - i) * sizeof(p));
	switch (p.req->op) {
	case STORE_READ:
		done_read(m, p.req);
		break;
	case STORE_FLUSH:
		done_flush(m, p.req);
		break;
	case STORE_WRITE:
	case STORE_DISCARD:
	case STORE_ZERO:
		done_write(m, &p);
		break;
	}
	p.req->done(p.req);
}

bool
mem_step(struct mem_store *m)
{
	if (m->nr_pending == 0)
		return false;
	mem_do(m, (unsigned)(mem_random(m) % m->nr_pending));
	return true;
}

void
mem_drain(struct mem_store *m)
{
	while (mem_step(m))
		;
}

static void
mem_take(struct mem_store *m, struct store_req *r)
{
	u64 reads = 0;
	unsigned at;

	assert(r->op == STORE_FLUSH ||
	       (r->count != 0 &&
		range_inside(r->lba, r->count, m->store.sectors)));
	assert(m->nr_pending < MEM_PENDING);
	if (m->nr_events < MEM_EVENTS)
		m->event[m->nr_events++] =
		    (struct mem_event){r->op, r->lba, r->count, r->iov_count};
	r->bad_lba = r->lba;
	if (r->op == STORE_READ || r->op == STORE_WRITE)
		assert(r->iov_count <= IOPOOL_IOV_MAX &&
		       iov_bytes(r->iov, r->iov_count) ==
			   (u64)r->count * SECTOR_BYTES);
	if (r->op == STORE_FLUSH) {
		assert(!m->flushing);
		m->flushing = true;
		m->flushes++;
		for (u64 i = 0; i < m->store.sectors; i++)
			if (m->touched[i] && !m->limbo[i]) {
				m->touched[i] = 2;
				m->begun[i] = m->written[i];
				m->writing[i] |= 2;
			}
	} else if (r->op != STORE_READ) {
		m->writes += r->op == STORE_WRITE;
		m->discards += r->op != STORE_WRITE;
		m->write_sectors += r->count;
		for (u64 i = 0; i < r->count; i++) {
			/* disk-rules 4: one write of a sector at a time */
			assert(!(m->writing[r->lba + i] & 1));
			m->writing[r->lba + i] |= 1;
		}
	} else {
		m->reads++;
		m->read_sectors += r->count;
		for (unsigned i = 0; i < m->nr_pending; i++)
			reads += m->pending[i].req->op == STORE_READ;
		m->most_reads = MAX(m->most_reads, reads + 1);
	}
	at = m->nr_pending++;
	m->pending[at] =
	    (struct mem_pending){.req = r,
				 .sum = r->op == STORE_WRITE ? sum_of(r) : 0};
	if (!m->hold)
		mem_do(m, at);
}

static void
mem_submit(struct store *s, struct store_req *const *reqs, unsigned count)
{
	struct mem_store *m = CONTAINER_OF(s, struct mem_store, store);

	for (unsigned i = 0; i < count; i++)
		mem_take(m, reqs[i]);
}

static int
mem_recover(struct store *s)
{
	struct mem_store *m = CONTAINER_OF(s, struct mem_store, store);

	m->recovers++;
	m->failed = false;
	return 0;
}

void
mem_open(struct mem_store *m, u64 sectors, bool recovers)
{
	*m = (struct mem_store){.seed = 88172645463325252ULL, .fail_with = EIO};
	m->ops.submit = mem_submit;
	m->ops.recover = recovers ? mem_recover : NULL;
	m->store.ops = &m->ops;
	m->store.sectors = sectors;
	m->store.align_sectors = 1;
	m->store.can_discard = true;
	m->written = calloc(sectors, sizeof(struct mem_sector));
	m->durable = calloc(sectors, sizeof(struct mem_sector));
	m->middle = calloc(sectors, sizeof(struct mem_sector));
	m->begun = calloc(sectors, sizeof(struct mem_sector));
	m->limbo = calloc(sectors, 4);
	assert(m->written && m->durable && m->middle && m->begun && m->limbo);
	m->bad = m->limbo + sectors;
	m->writing = m->bad + sectors;
	m->touched = m->writing + sectors;
}

void
mem_close(struct mem_store *m)
{
	assert(m->nr_pending == 0);
	free(m->written);
	free(m->durable);
	free(m->middle);
	free(m->begun);
	free(m->limbo);
}

void
mem_cut(struct mem_store *m, struct mem_sector *out)
{
	unsigned kind = (unsigned)(mem_random(m) % 4);

	for (u64 i = 0; i < m->store.sectors; i++) {
		u64 pick = kind == 0 ? 0 : kind == 1 ? 1 : mem_random(m) % 3;

		out[i] = pick == 0 || !m->touched[i] ? m->durable[i]
			 : pick == 1		     ? m->written[i]
						     : m->middle[i];
	}
	/* What is in flight may have got there, sector by sector. */
	for (unsigned i = 0; i < m->nr_pending; i++) {
		struct store_req *r = m->pending[i].req;

		if (r->op == STORE_READ || r->op == STORE_FLUSH)
			continue;
		for (u64 k = 0; k < r->count; k++) {
			if (mem_random(m) % 2)
				continue;
			if (r->op == STORE_WRITE)
				iov_read(&out[r->lba + k], r->iov, r->iov_count,
					 k * SECTOR_BYTES, SECTOR_BYTES);
			else
				memset(&out[r->lba + k], 0, SECTOR_BYTES);
		}
	}
}

void
mem_restart(struct mem_store *m, const struct mem_sector *content)
{
	u64 n = m->store.sectors;

	assert(m->nr_pending == 0 && !m->flushing);
	memcpy(m->written, content, n * sizeof(*content));
	memcpy(m->durable, content, n * sizeof(*content));
	memcpy(m->middle, content, n * sizeof(*content));
	memset(m->limbo, 0, n * 4);
	m->failed = false;
	m->nr_events = 0;
}
