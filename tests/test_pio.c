/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "tests/vmm_rig.h"
#include "vmm/pio.h"

/* A device that remembers its accesses and answers port numbers. */
struct echo {
	unsigned reads, writes, strings;
	u16 port[16];
	unsigned size_bytes[16];
	u32 value[16];
};

static u32
echo_read(void *dev, u16 port, unsigned size_bytes)
{
	struct echo *d = dev;
	u32 v = 0;

	for (unsigned i = 0; i < size_bytes; i++)
		v |= (u32)((port + i) & 0xff) << (8 * i);
	d->reads++;
	return v;
}

static void
echo_write(void *dev, u16 port, unsigned size_bytes, u32 v)
{
	struct echo *d = dev;
	unsigned n = d->writes++ % ARRAY_SIZE(d->port);

	d->port[n] = port;
	d->size_bytes[n] = size_bytes;
	d->value[n] = v;
}

static struct pio pio;
static struct echo dev;

static int
add(u16 port, u16 count, u8 width_bytes)
{
	struct pio_region r = {.port = port,
			       .count = count,
			       .width_bytes = width_bytes,
			       .read = echo_read,
			       .write = echo_write,
			       .dev = &dev};

	return pio_add(&pio, &r);
}

static int
setup(void **state)
{
	(void)state;
	pio_init(&pio);
	dev = (struct echo){.reads = 0};
	return 0;
}

static void
test_pio_reads_ones_where_nobody_is(void **state)
{
	(void)state;
	assert_int_equal(pio_read(&pio, 0x1234, 1), 0xff);
	assert_int_equal(pio_read(&pio, 0x1234, 2), 0xffff);
	assert_int_equal(pio_read(&pio, 0x1234, 4), 0xffffffff);
	pio_write(&pio, 0x1234, 4, 0);
	assert_int_equal(add(0x1235, 1, 1), 0);
	/* a neighbour answers its byte, the others float */
	assert_int_equal(pio_read(&pio, 0x1234, 4), 0xffff35ff);
}

static void
test_pio_splits_accesses_wider_than_the_device(void **state)
{
	(void)state;
	assert_int_equal(add(0x100, 8, 1), 0);
	pio_write(&pio, 0x102, 4, 0x44332211);
	assert_int_equal(dev.writes, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(dev.port[i], 0x102 + i);
		assert_int_equal(dev.size_bytes[i], 1);
		assert_int_equal(dev.value[i], 0x11 * (i + 1));
	}
	assert_int_equal(pio_read(&pio, 0x100, 2), 0x0100);
	assert_int_equal(dev.reads, 2);
}

static void
test_pio_passes_whole_what_the_device_takes(void **state)
{
	(void)state;
	assert_int_equal(add(0x100, 8, 4), 0);
	pio_write(&pio, 0x104, 4, 0x44332211);
	assert_int_equal(dev.writes, 1);
	assert_int_equal(dev.size_bytes[0], 4);
	assert_int_equal(dev.value[0], 0x44332211);
	/* over the edge: split until it fits */
	pio_write(&pio, 0x106, 4, 0xddccbbaa);
	assert_int_equal(dev.writes, 2);
	assert_int_equal(dev.size_bytes[1], 2);
	assert_int_equal(dev.value[1], 0xbbaa);
}

static void
test_pio_refuses_ports_that_are_taken(void **state)
{
	(void)state;
	assert_int_equal(add(0x100, 8, 1), 0);
	assert_int_equal(add(0x107, 2, 1), -EEXIST);
	assert_int_equal(add(0x0ff, 2, 1), -EEXIST);
	assert_int_equal(pio_read(&pio, 0x108, 1), 0xff);
	assert_int_equal(add(0x108, 1, 1), 0);
	pio_remove(&pio, 0x104); /* not a beginning: nothing happens */
	assert_int_equal(add(0x104, 1, 1), -EEXIST);
	pio_remove(&pio, 0x100);
	assert_int_equal(pio_read(&pio, 0x100, 1), 0xff);
	assert_int_equal(pio_read(&pio, 0x108, 1), 0x08);
	assert_int_equal(add(0x104, 1, 1), 0);
}

static void
test_pio_says_when_the_table_is_full(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PIO_REGIONS_MAX; i++)
		assert_int_equal(add((u16)(i * 8), 8, 1), 0);
	assert_int_equal(add(0x8000, 1, 1), -ENOSPC);
	assert_int_equal(pio_read(&pio, (PIO_REGIONS_MAX - 1) * 8, 1),
			 ((PIO_REGIONS_MAX - 1) * 8) & 0xff);
}

static void
test_pio_ends_at_the_last_port(void **state)
{
	(void)state;
	assert_int_equal(add(0xffff, 1, 1), 0);
	assert_int_equal(add(0, 1, 1), 0);
	/* FFFFh + 1 is not port 0 */
	assert_int_equal(pio_read(&pio, 0xffff, 2), 0xffff);
	assert_int_equal(dev.reads, 1);
	pio_write(&pio, 0xfffe, 4, 0);
	assert_int_equal(dev.writes, 1);
	assert_int_equal(dev.port[0], 0xffff);
}

static void
test_pio_exit_walks_the_items_of_a_string(void **state)
{
	u8 bytes[6] = {1, 2, 3, 4, 5, 6};
	struct vm_exit x = {.kind = HV_EXIT_IO};

	(void)state;
	assert_int_equal(add(0x1f0, 2, 2), 0);
	x.io.port = 0x1f0;
	x.io.size_bytes = 2;
	x.io.count = 3;
	x.io.data = bytes;
	x.io.write = true;
	pio_exit(&pio, &x);
	assert_int_equal(dev.writes, 3);
	assert_int_equal(dev.value[0], 0x0201);
	assert_int_equal(dev.value[2], 0x0605);
	x.io.write = false;
	pio_exit(&pio, &x);
	assert_int_equal(dev.reads, 3);
	for (unsigned i = 0; i < 6; i += 2) {
		assert_int_equal(bytes[i], 0xf0);
		assert_int_equal(bytes[i + 1], 0xf1);
	}
}

/* Takes three items at a time, twice. */
static u32
echo_string(void *ctx, u16 port, unsigned size_bytes, bool write, u8 *data,
	    u32 count)
{
	struct echo *d = ctx;
	u32 n = MIN(3U, count);

	assert_int_equal(port, 0x1f0);
	assert_int_equal(size_bytes, 2);
	if (d->strings == 2)
		return 0;
	d->strings++;
	if (!write)
		memset(data, 0xa0 + (int)d->strings, (size_t)n * 2);
	return n;
}

static void
test_pio_exit_gives_a_string_in_pieces(void **state)
{
	static const u8 want[16] = {0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1,
				    0xa2, 0xa2, 0xa2, 0xa2, 0xa2, 0xa2,
				    0xf0, 0xf1, 0xf0, 0xf1};
	struct pio_region r = {.port = 0x1f0,
			       .count = 2,
			       .width_bytes = 2,
			       .read = echo_read,
			       .write = echo_write,
			       .dev = &dev,
			       .string = echo_string};
	u8 bytes[16];
	struct vm_exit x = {.kind = HV_EXIT_IO};

	(void)state;
	assert_int_equal(pio_add(&pio, &r), 0);
	x.io.port = 0x1f0;
	x.io.size_bytes = 2;
	x.io.count = 8;
	x.io.data = bytes;
	pio_exit(&pio, &x);
	assert_memory_equal(bytes, want, sizeof(want));
	assert_int_equal(dev.reads, 2);
	/* a single access is no string */
	dev.strings = 0;
	x.io.count = 1;
	x.io.write = true;
	pio_exit(&pio, &x);
	assert_int_equal(dev.strings, 0);
	assert_int_equal(dev.writes, 1);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_pio_reads_ones_where_nobody_is),
	    CASE(test_pio_splits_accesses_wider_than_the_device),
	    CASE(test_pio_passes_whole_what_the_device_takes),
	    CASE(test_pio_refuses_ports_that_are_taken),
	    CASE(test_pio_says_when_the_table_is_full),
	    CASE(test_pio_ends_at_the_last_port),
	    CASE(test_pio_exit_walks_the_items_of_a_string),
	    CASE(test_pio_exit_gives_a_string_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
