/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/atapi_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILLED_BLOCKS_MAX 1024U

static const char *
disc_path(void)
{
	return ide_rig_path(CD);
}

static void
make_block(u8 *block, u32 n)
{
	memset(block, rig_byte(n), ATAPI_BLOCK_BYTES);
	put_le32(block, n);
}

static void
make_disc(u32 blocks, u32 shift)
{
	int fd = open(disc_path(), O_RDWR | O_CREAT | O_TRUNC, 0600);
	u8 block[ATAPI_BLOCK_BYTES];

	assert_true(fd >= 0);
	for (u32 i = 0; i < blocks && i < FILLED_BLOCKS_MAX; i++) {
		make_block(block, i + shift);
		assert_int_equal(write(fd, block, sizeof(block)),
				 sizeof(block));
	}
	assert_int_equal(ftruncate(fd,
				   (off_t)blocks * (off_t)ATAPI_BLOCK_BYTES),
			 0);
	close(fd);
}

static struct disk *
open_disc(struct cd_rig *r, u32 blocks, u32 shift, const char *fault)
{
	struct disk_config c = {.path = disc_path(),
				.read_only = true,
				.shared = true,
				.buffered = true,
				.cache_bytes = 4 << 20,
				.readahead_bytes = 1,
				.faults = &fault,
				.fault_count = fault != NULL};

	make_disc(blocks, shift);
	return ide_rig_disk(&r->ide, CD, &c);
}

void
cd_rig_open(struct cd_rig *r, u32 blocks, const char *fault)
{
	struct ide_rig_config c = {
	    .packet = {[CD] = {&atapi_packet_ops, &r->atapi}}};

	memset(r, 0, sizeof(*r));
	atapi_init(&r->atapi, "CD-0001");
	ide_rig_open(&r->ide, &c);
	if (blocks != 0)
		atapi_first_medium(&r->atapi, open_disc(r, blocks, 0, fault));
}

void
cd_rig_close(struct cd_rig *r)
{
	ide_rig_close(&r->ide);
}

void
cd_rig_change(struct cd_rig *r, u32 blocks, u32 shift)
{
	struct disk *old = r->ide.disk[CD];

	if (old != NULL) {
		disk_attach(old, NULL);
		r->ide.disk[CD] = NULL;
	}
	atapi_medium(&r->atapi,
		     blocks != 0 ? open_disc(r, blocks, shift, NULL) : NULL);
	assert_int_equal(disk_close(old, NULL), 0);
}

void
cd_send(struct cd_rig *r, const u8 cdb[12], u16 limit, u8 features)
{
	struct ide_rig *i = &r->ide;

	ata_select(i, CD, 0);
	ata_out(i, CD, ATA_FEATURES, features);
	ata_out(i, CD, ATA_MID, (u8)limit);
	ata_out(i, CD, ATA_HIGH, (u8)(limit >> 8));
	ata_out(i, CD, ATA_COMMAND, 0xa0);
	assert_int_equal(ata_wait(i, CD), OK | DRQ);
	assert_false(i->irq[1].level);
	assert_int_equal(ata_in(i, CD, ATA_COUNT) & 3, 1); /* a command, out */
	ata_push(i, CD, cdb, 12);
}

u8
cd_take(struct cd_rig *r)
{
	struct ide_rig *i = &r->ide;
	u8 status;

	r->data_bytes = r->bursts = 0;
	while ((status = ata_wait(i, CD)) & DRQ) {
		u32 n = ata_in(i, CD, ATA_MID) | (u32)ata_in(i, CD, ATA_HIGH)
						     << 8;

		assert_int_equal(ata_in(i, CD, ATA_COUNT) & 3, 2); /* in */
		assert_true(i->irq[1].level);
		assert_int_equal(ata_in(i, CD, ATA_STATUS), OK | DRQ);
		assert_false(i->irq[1].level);
		assert_true(n != 0 && r->data_bytes + n <= sizeof(r->data));
		for (u32 at = 0; at < n; at += 2) {
			u16 v = ata_in16(i, CD);

			memcpy(r->data + r->data_bytes + at, &v,
			       MIN(n - at, 2U));
		}
		r->data_bytes += n;
		r->bursts++;
	}
	assert_int_equal(ata_in(i, CD, ATA_COUNT) & 3, 3); /* status */
	assert_true(i->irq[1].level);
	assert_int_equal(ata_in(i, CD, ATA_STATUS), status);
	assert_false(i->irq[1].level);
	return status;
}

void
cd_good(struct cd_rig *r, const u8 cdb[12])
{
	cd_send(r, cdb, 0xfffe, 0);
	assert_int_equal(cd_take(r), OK);
}

void
cd_sense(struct cd_rig *r, u8 key, u16 asc)
{
	static const u8 request[12] = {0x03, 0, 0, 0, 18};

	cd_good(r, request);
	assert_int_equal(r->data_bytes, 18);
	assert_int_equal(r->data[0] & 0x7f, 0x70);
	assert_int_equal(r->data[2], key);
	assert_int_equal(r->data[12] << 8 | r->data[13], asc);
}

void
cd_bad(struct cd_rig *r, const u8 cdb[12], u8 key, u16 asc)
{
	cd_send(r, cdb, 0xfffe, 0);
	assert_int_equal(cd_take(r), OK | ERR);
	assert_int_equal(r->data_bytes, 0);
	assert_int_equal(ata_in(&r->ide, CD, ATA_ERROR) >> 4, key);
	cd_sense(r, key, asc);
}

void
cd_read10(u8 cdb[12], u32 lba, u16 count)
{
	memset(cdb, 0, 12);
	cdb[0] = 0x28;
	cdb[2] = (u8)(lba >> 24);
	cdb[3] = (u8)(lba >> 16);
	cdb[4] = (u8)(lba >> 8);
	cdb[5] = (u8)lba;
	cdb[7] = (u8)(count >> 8);
	cdb[8] = (u8)count;
}

void
cd_check_blocks(struct cd_rig *r, u32 lba, u32 count, u32 shift)
{
	u8 block[ATAPI_BLOCK_BYTES];

	assert_int_equal(r->data_bytes, count * ATAPI_BLOCK_BYTES);
	for (u32 i = 0; i < count; i++) {
		make_block(block, lba + i + shift);
		assert_memory_equal(r->data + i * ATAPI_BLOCK_BYTES, block,
				    sizeof(block));
	}
}
