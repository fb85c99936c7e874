/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/pio.h"

#include <errno.h>

void
pio_init(struct pio *p)
{
	memset(p, 0, sizeof(*p));
}

int
pio_add(struct pio *p, const struct pio_region *r)
{
	unsigned row = 0;

	assert(r->count != 0 && r->port + r->count <= PIO_PORTS);
	while (row < PIO_REGIONS_MAX && p->row[row].count != 0)
		row++;
	if (row == PIO_REGIONS_MAX)
		return -ENOSPC;
	for (unsigned i = 0; i < r->count; i++)
		if (p->index[r->port + i] != 0)
			return -EEXIST;
	p->row[row] = *r;
	memset(p->index + r->port, (int)row + 1, r->count);
	return 0;
}

void
pio_remove(struct pio *p, u16 port)
{
	struct pio_region *r;

	if (p->index[port] == 0)
		return;
	r = &p->row[p->index[port] - 1];
	if (r->port != port)
		return;
	memset(p->index + r->port, 0, r->count);
	r->count = 0;
}

/* The region that takes the whole access, or NULL. */
static inline struct pio_region *
find(struct pio *p, u32 port, unsigned size_bytes)
{
	struct pio_region *r;

	if (unlikely(port >= PIO_PORTS || p->index[port] == 0))
		return NULL;
	r = &p->row[p->index[port] - 1];
	if (unlikely(size_bytes > r->width_bytes ||
		     port + size_bytes > (u32)r->port + r->count))
		return NULL;
	return r;
}

static u32
read_at(struct pio *p, u32 port, unsigned size_bytes)
{
	struct pio_region *r = find(p, port, size_bytes);
	unsigned half = size_bytes / 2;

	if (likely(r != NULL))
		return r->read(r->dev, (u16)port, size_bytes);
	if (half == 0)
		return 0xff;
	return read_at(p, port, half) | read_at(p, port + half, half)
					    << (half * 8);
}

static void
write_at(struct pio *p, u32 port, unsigned size_bytes, u32 v)
{
	struct pio_region *r = find(p, port, size_bytes);
	unsigned half = size_bytes / 2;

	if (likely(r != NULL)) {
		r->write(r->dev, (u16)port, size_bytes, v);
	} else if (half != 0) {
		write_at(p, port, half, v & (u32)BITS(half * 8 - 1, 0));
		write_at(p, port + half, half, v >> (half * 8));
	}
}

u32
pio_read(struct pio *p, u16 port, unsigned size_bytes)
{
	return read_at(p, port, size_bytes);
}

void
pio_write(struct pio *p, u16 port, unsigned size_bytes, u32 v)
{
	write_at(p, port, size_bytes, v);
}

/* What the device takes in one piece of the items that are left. */
static u32
string_at(struct pio *p, struct vm_exit *x, u8 *item, u32 count)
{
	struct pio_region *r = find(p, x->io.port, x->io.size_bytes);

	if (count < 2 || r == NULL || r->string == NULL)
		return 0;
	return r->string(r->dev, x->io.port, x->io.size_bytes, x->io.write,
			 item, count);
}

void
pio_exit(struct pio *p, struct vm_exit *x)
{
	unsigned size_bytes = x->io.size_bytes;
	u8 *item = x->io.data;

	assert(size_bytes == 1 || size_bytes == 2 || size_bytes == 4);
	for (u32 i = 0; i < x->io.count; i++, item += size_bytes) {
		u32 v = 0, n = string_at(p, x, item, x->io.count - i);

		assert(n <= x->io.count - i);
		if (n != 0) {
			i += n - 1;
			item += (size_t)(n - 1) * size_bytes;
		} else if (x->io.write) {
			memcpy(&v, item, size_bytes);
			write_at(p, x->io.port, size_bytes, v);
		} else {
			v = read_at(p, x->io.port, size_bytes);
			memcpy(item, &v, size_bytes);
		}
	}
}
