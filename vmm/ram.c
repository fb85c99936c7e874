/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/ram.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/range.h"
#include "vmm/hostmem.h"

static int
check_size(u64 size_bytes, struct err *e)
{
	u64 available;

	if (size_bytes < RAM_MIN_BYTES || size_bytes > RAM_MAX_BYTES ||
	    size_bytes % (1 << 20) != 0)
		return err_set(e, -EINVAL,
			       "guest memory must be a whole number of MiB "
			       "from %llu MiB to %llu GiB",
			       RAM_MIN_BYTES >> 20, RAM_MAX_BYTES >> 30);
	available = hostmem_available_bytes("");
	if (size_bytes > available)
		return err_set(e, -ENOMEM,
			       "cannot give the guest %llu MiB of memory: the "
			       "host has %llu MiB available",
			       (unsigned long long)size_bytes >> 20,
			       (unsigned long long)available >> 20);
	return 0;
}

static void
add_slot(struct ram *r, u64 gpa, u64 end, u64 host_off)
{
	assert(r->slot_count < ARRAY_SIZE(r->slot) && gpa < end);
	r->slot[r->slot_count++] =
	    (struct ram_slot){gpa, end - gpa, r->host + host_off};
}

int
ram_init(struct ram *r, u64 size_bytes, struct err *e)
{
	int rc = check_size(size_bytes, e);
	void *p;

	memset(r, 0, sizeof(*r));
	if (rc != 0)
		return rc;
	p = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return err_errno(e, -errno,
				 "cannot map %llu MiB of guest memory",
				 (unsigned long long)size_bytes >> 20);
	(void)madvise(p, size_bytes, MADV_DONTDUMP);
	r->host = p;
	r->size_bytes = size_bytes;
	r->low_end = MIN(size_bytes, RAM_LOW_MAX);
	r->high_end = RAM_HIGH_BASE + (size_bytes - r->low_end);
	add_slot(r, 0, RAM_VGA_BASE, 0);
	add_slot(r, RAM_VGA_END, r->low_end, RAM_VGA_END);
	if (r->high_end > RAM_HIGH_BASE)
		add_slot(r, RAM_HIGH_BASE, r->high_end, r->low_end);
	return 0;
}

void
ram_want_huge(struct ram *r)
{
	(void)madvise(r->host, r->size_bytes, MADV_HUGEPAGE);
}

void
ram_release(struct ram *r)
{
	if (r->host != NULL)
		munmap(r->host, r->size_bytes);
	memset(r, 0, sizeof(*r));
}

int
ram_map(struct ram *r, struct hv *hv, struct err *e)
{
	for (unsigned i = 0; i < r->slot_count; i++) {
		struct ram_slot *s = &r->slot[i];
		int rc =
		    hv->ops->mem_map(hv, i, s->gpa, s->size_bytes, s->host, 0);

		if (rc != 0)
			return err_errno(e, rc, "cannot map guest memory");
	}
	r->hv = hv;
	return 0;
}

void
ram_clear(struct ram *r)
{
	if (madvise(r->host, r->size_bytes, MADV_DONTNEED) != 0)
		memset(r->host, 0, r->size_bytes);
	for (unsigned i = 0; i < r->slot_count; i++)
		ram_touched(r, r->slot[i].gpa, r->slot[i].size_bytes);
}

u8 *
ram_at(const struct ram *r, u64 gpa, u64 size_bytes)
{
	for (unsigned i = 0; i < r->slot_count; i++) {
		const struct ram_slot *s = &r->slot[i];

		if (range_within(gpa, size_bytes, s->gpa, s->size_bytes))
			return s->host + (gpa - s->gpa);
	}
	return NULL;
}

void
ram_touched(const struct ram *r, u64 gpa, u64 size_bytes)
{
	if (r->hv != NULL && size_bytes != 0)
		r->hv->ops->ram_written(r->hv, gpa, size_bytes);
}

bool
ram_read(const struct ram *r, u64 gpa, void *buf, u64 size_bytes)
{
	const u8 *p = ram_at(r, gpa, size_bytes);

	if (p == NULL)
		return false;
	memcpy(buf, p, size_bytes);
	return true;
}

bool
ram_write(const struct ram *r, u64 gpa, const void *buf, u64 size_bytes)
{
	u8 *p = ram_at(r, gpa, size_bytes);

	if (p == NULL)
		return false;
	memcpy(p, buf, size_bytes);
	ram_touched(r, gpa, size_bytes);
	return true;
}
