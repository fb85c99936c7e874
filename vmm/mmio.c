/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/mmio.h"

#include <errno.h>

#include "base/range.h"

void
mmio_init(struct mmio *m)
{
	memset(m, 0, sizeof(*m));
}

int
mmio_add(struct mmio *m, const struct mmio_region *r)
{
	if (m->count == MMIO_REGIONS_MAX)
		return -ENOSPC;
	for (unsigned i = 0; i < m->count; i++)
		if (range_overlap(r->gpa, r->size_bytes, m->row[i].gpa,
				  m->row[i].size_bytes))
			return -EEXIST;
	m->row[m->count++] = *r;
	return 0;
}

static struct mmio_region *
find(struct mmio *m, u64 gpa, unsigned size_bytes)
{
	for (unsigned i = 0; i < m->count; i++)
		if (range_within(gpa, size_bytes, m->row[i].gpa,
				 m->row[i].size_bytes))
			return &m->row[i];
	return NULL;
}

void
mmio_exit(struct mmio *m, struct vm_exit *x)
{
	unsigned left = x->mmio.size_bytes, at = 0;

	assert(left >= 1 && left <= sizeof(x->mmio.data));
	while (left != 0) {
		unsigned n = MIN(left, 8U);
		u64 gpa = x->mmio.gpa + at, v = 0;
		struct mmio_region *r = find(m, gpa, n);

		if (x->mmio.write) {
			memcpy(&v, x->mmio.data + at, n);
			if (r != NULL)
				r->write(r->dev, gpa - r->gpa, n, v);
		} else {
			v = r != NULL ? r->read(r->dev, gpa - r->gpa, n)
				      : UINT64_MAX;
			memcpy(x->mmio.data + at, &v, n);
		}
		at += n;
		left -= n;
	}
}
