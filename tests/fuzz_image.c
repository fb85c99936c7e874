/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_image - hostile .hdd images are opened, read, checked and written to
 *
 * An input is a list of patches of a sound image with data, a snapshot and a
 * log: where (4 bytes: a host sector, and 9 bits of byte in it), how many (1
 * byte), then the bytes; bit 31 of where: the checksum of the structure there
 * is made to fit again, so that what is behind the checksum is met.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/image_memory.h"
#include "tests/image_rig.h"

#define FILE_BYTES   (9U << 20)
#define DISK_SECTORS 5000U
#define READ_SECTORS 200U

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static u8 *base, *file, *buf;

static void
must(int rc)
{
	if (rc != 0)
		abort();
}

static void
write_some(struct image *img, struct rig_disk *d, u64 lba, u32 count)
{
	rig_write(d, lba, count, buf);
	must(rig_request(image_store(img), STORE_WRITE, lba, count, buf, NULL));
	must(rig_request(image_store(img), STORE_FLUSH, 0, 0, NULL, NULL));
}

/* Data in the map, a snapshot, zeros, and a log behind the checkpoint. */
static void
make_base(void)
{
	struct image_create_options o = {.sectors = DISK_SECTORS,
					 .segment_bytes = 1U << 20};
	static const u8 uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8};
	struct image_memory m;
	struct rig_disk d;
	struct image *img;
	struct err e;

	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	base = calloc(1, FILE_BYTES);
	file = malloc(FILE_BYTES);
	buf = malloc((size_t)READ_SECTORS * 512);
	rig_disk_init(&d, DISK_SECTORS);
	image_memory_init(&m, base, FILE_BYTES);
	must(image_create_io(&m.io, &o, uuid, 0, &e));
	must(image_open_io(&img, &m.io, "base", false, &image_memory_limits,
			   &e));
	for (u32 i = 0; i < 6; i++)
		write_some(img, &d, i * 700, 64);
	must(image_snapshot_create(img, "first", &e));
	write_some(img, &d, 700, 8);
	write_some(img, &d, 4900, 100);
	must(image_snapshot_create(img, "second", &e));
	write_some(img, &d, 3, 40);
	must(image_checkpoint(img));
	write_some(img, &d, 1400, 16);
	must(rig_request(image_store(img), STORE_ZERO, 2000, 900, NULL, NULL));
	must(rig_request(image_store(img), STORE_FLUSH, 0, 0, NULL, NULL));
	image_drop(img);
	rig_disk_release(&d);
}

/* The checksum of whatever structure it is, at byte 8 of its page. */
static void
reseal(u64 off)
{
	u64 page = off & ~4095ULL;
	u8 *p = file + page;
	u64 seed = page < IMG_DATA_OFF ? page : page / 512;

	put_le64(p + 8, 0);
	put_le64(p + 8, checksum64(p, 4096, seed));
}

static void
patch(const u8 *data, size_t size)
{
	while (size > 5) {
		u32 where = get_le32(data);
		u64 off = (where & 0x7fffffff) % FILE_BYTES;
		size_t n = MIN((size_t)data[4], size - 5);

		n = MIN(n, FILE_BYTES - off);
		memcpy(file + off, data + 5, n);
		if (where & BIT(31))
			reseal(off);
		data += 5 + n;
		size -= 5 + n;
	}
}

static void
use(struct image *img)
{
	struct image_check c = {.data = true};
	u64 sectors = MIN(image_store(img)->sectors, (u64)DISK_SECTORS);
	struct err e;

	for (u64 lba = 0; lba < sectors; lba += READ_SECTORS)
		(void)rig_request(image_store(img), STORE_READ, lba,
				  (u32)MIN(READ_SECTORS, sectors - lba), buf,
				  NULL);
	(void)rig_request(image_store(img), STORE_WRITE, 0,
			  (u32)MIN(7, sectors), buf, NULL);
	(void)rig_request(image_store(img), STORE_FLUSH, 0, 0, NULL, NULL);
	(void)!image_check(img, &c, &e);
	(void)!image_snapshot_delete(img, "first", &e);
	(void)!image_checkpoint(img);
	if (image_snapshot_revert(img, "second", &e) == 0)
		(void)rig_request(image_store(img), STORE_READ, 0, 1, buf,
				  NULL);
}

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct image_memory m;
	struct image *img;
	struct err e;

	if (!base)
		make_base();
	memcpy(file, base, FILE_BYTES);
	patch(data, size);
	image_memory_init(&m, file, FILE_BYTES);
	if (image_open_io(&img, &m.io, "fuzz", false, &image_memory_limits,
			  &e) != 0)
		return 0;
	use(img);
	image_drop(img);
	return 0;
}
