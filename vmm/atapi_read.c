/* SPDX-License-Identifier: BSD-2-Clause */
/* atapi_read - the commands that read the disc
 *
 * A command is read in chunks of the buffer: each is fetched from the disk, in
 * the call or later, and offered to the channel; when the guest has it, the
 * next is fetched.
 *
 * A request cannot be called back. When its command goes (reset), it is dropped
 * and goes on into the buffer; a command that comes meanwhile waits until the
 * buffer is free.
 */
#include "base/range.h"
#include "vmm/atapi_int.h"

#define BUFFER_BLOCKS (ATAPI_BUFFER_BYTES / ATAPI_BLOCK_BYTES)

static void fetch(struct atapi *a);

/* The chunk is in the buffer. A sector with more than its data is made behind
 * the data, one at a time. */
static void
fetched(struct atapi *a)
{
	struct atapi_read *r = &a->read;
	u8 *data = a->buffer;
	u32 size_bytes = r->chunk * ATAPI_BLOCK_BYTES;

	assert(r->active && r->chunk != 0 && r->chunk <= r->count);
	r->active = false;
	if (a->req.error != 0) {
		atapi_check_lba(a, SENSE_MEDIUM_ERROR, ASC_READ_ERROR,
				(u32)(a->req.error_lba / ATAPI_SECTORS));
		return;
	}
	if (r->fields != FIELD_DATA) {
		assert(r->chunk == 1);
		data += ATAPI_BLOCK_BYTES;
		size_bytes = atapi_raw_bytes(r->fields);
		atapi_raw_sector(data, a->buffer, r->lba, r->fields);
	}
	r->lba += r->chunk;
	r->count -= r->chunk;
	ide_packet_in(a->drive, data, size_bytes);
}

static void
fetch_done(struct disk_req *req)
{
	struct atapi *a = req->ctx;
	bool dropped = a->read.dropped;

	a->read.flying = false;
	a->read.dropped = false;
	if (!a->read.active)
		return;
	if (dropped)
		fetch(a); /* of the command that waited */
	else
		fetched(a);
}

static void
fetch(struct atapi *a)
{
	struct atapi_read *r = &a->read;

	r->active = true;
	if (r->flying)
		return;
	r->chunk = r->fields == FIELD_DATA ? MIN(r->count, BUFFER_BLOCKS) : 1;
	a->iov =
	    (struct iovec){a->buffer, (size_t)r->chunk * ATAPI_BLOCK_BYTES};
	a->req = (struct disk_req){
	    .op = DISK_READ,
	    .lba = (u64)r->lba * ATAPI_SECTORS,
	    .count = r->chunk * ATAPI_SECTORS,
	    .iov = &a->iov,
	    .iov_count = 1,
	    .done = fetch_done,
	    .ctx = a,
	};
	r->flying = !disk_submit(a->disc, &a->req);
	if (!r->flying)
		fetched(a);
}

static void
start(struct atapi *a, u32 lba, u32 count, u8 fields)
{
	if (!range_inside(lba, count, atapi_blocks(a))) {
		atapi_check_lba(a, SENSE_ILLEGAL_REQUEST, ASC_BAD_LBA, lba);
		return;
	}
	a->read.lba = lba;
	a->read.count = count;
	a->read.fields = fields;
	a->read.gone = false;
	atapi_read_moved(a);
}

void
atapi_read_moved(struct atapi *a)
{
	if (a->read.count == 0 || atapi_raw_bytes(a->read.fields) == 0)
		atapi_good(a);
	else if (a->read.gone)
		atapi_check(a, SENSE_NOT_READY, ASC_NO_MEDIUM);
	else
		fetch(a);
}

void
atapi_read_forget(struct atapi *a)
{
	a->read.active = false;
	a->read.dropped = a->read.flying;
}

void
atapi_read_gone(struct atapi *a)
{
	bool waits = a->read.active;

	a->read.active = a->read.flying = a->read.dropped = false;
	a->read.gone = true; /* also for one whose data are on their way */
	if (waits)
		atapi_check(a, SENSE_NOT_READY, ASC_NO_MEDIUM);
}

/* --- the commands ----------------------------------------------------------
 */

void
atapi_read_10(struct atapi *a, const u8 *cdb)
{
	start(a, get_be32(cdb + 2), get_be16(cdb + 7), FIELD_DATA);
}

void
atapi_read_12(struct atapi *a, const u8 *cdb)
{
	start(a, get_be32(cdb + 2), get_be32(cdb + 6), FIELD_DATA);
}

void
atapi_seek(struct atapi *a, const u8 *cdb)
{
	u32 lba = get_be32(cdb + 2);

	if (lba < atapi_blocks(a))
		atapi_good(a);
	else
		atapi_check_lba(a, SENSE_ILLEGAL_REQUEST, ASC_BAD_LBA, lba);
}

/* MMC-5 6.20: all sectors are of mode 1 (type 2; 0 is any), without error flags
 * (C2) and sub-channel. A mode 1 sector has no sub-header: asking for it gives
 * nothing more. */
static void
start_cd(struct atapi *a, const u8 *cdb, u32 lba, u32 count)
{
	u8 type = cdb[1] >> 2 & 7;

	if (type != 0 && type != 2)
		atapi_check_lba(a, SENSE_ILLEGAL_REQUEST,
				ASC_ILLEGAL_TRACK_MODE, lba);
	else if ((cdb[9] & FIELD_C2) != 0 || (cdb[10] & 7) != 0)
		atapi_bad_field(a);
	else
		start(a, lba, count, cdb[9] & ~(FIELD_SUBHDR | 1) & 0xff);
}

void
atapi_read_cd(struct atapi *a, const u8 *cdb)
{
	start_cd(a, cdb, get_be32(cdb + 2),
		 (u32)cdb[6] << 16 | get_be16(cdb + 7));
}

/* False: before the first block, or no time at all. */
static bool
from_msf(const u8 *msf, u32 *lba)
{
	u32 frames = (msf[0] * 60U + msf[1]) * 75U + msf[2];

	if (msf[1] >= 60 || msf[2] >= 75 || frames < ATAPI_MSF_LEAD_IN)
		return false;
	*lba = frames - ATAPI_MSF_LEAD_IN;
	return true;
}

void
atapi_read_cd_msf(struct atapi *a, const u8 *cdb)
{
	u32 lba, end;

	if (!from_msf(cdb + 3, &lba) || !from_msf(cdb + 6, &end) || end < lba)
		atapi_bad_field(a);
	else
		start_cd(a, cdb, lba, end - lba);
}
