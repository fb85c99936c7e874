/* SPDX-License-Identifier: BSD-2-Clause */
#include "hdd/imgformat_int.h"

#include <errno.h>

#include "base/range.h"

static const u8 super_magic[8] = {'S', 'p', 'n', 'H', 'd', 'd', '1', 0};
static const u8 record_magic[8] = {'S', 'p', 'n', 'L', 'o', 'g', '1', 0};
static const u8 node_magic[4] = {'S', 'p', 'n', 'N'};

static_assert(256 + IMG_EXTENTS_MAX * 16 <= IMG_BLOCK, "superblock");
static_assert(64 + IMG_FANOUT * 16 <= IMG_BLOCK, "map node");
static_assert(64 + IMG_SNAPS_PER_NODE * 128 <= IMG_BLOCK, "snapshot node");
static_assert(IMG_RECORD_HEAD + IMG_RECORD_ROOM == IMG_BLOCK, "record");

/* The checksum of a structure whose own field, at 8, counts as zero. */
static u64
sum_of(const u8 *buf, u64 seed)
{
	u8 copy[IMG_BLOCK];

	memcpy(copy, buf, IMG_BLOCK);
	put_le64(copy + 8, 0);
	return checksum64(copy, IMG_BLOCK, seed);
}

static u64
seal(u8 *buf, u64 seed)
{
	u64 sum;

	put_le64(buf + 8, 0);
	sum = checksum64(buf, IMG_BLOCK, seed);
	put_le64(buf + 8, sum);
	return sum;
}

/* --- places and geometry ----------------------------------------------- */

bool
place_is_sound(u64 place, bool leaf)
{
	switch (place_type(place)) {
	case PLACE_ABSENT:
	case PLACE_ZERO:
		return place >> 2 == 0;
	case PLACE_RAW:
		return bits_get(place, 19, 2) == IMG_BLOCK_SECTORS;
	case PLACE_LZ4:
		return leaf && bits_get(place, 19, 18) == 0 &&
		       place_sectors(place) != 0 &&
		       place_sectors(place) <= IMG_RUN_SECTORS &&
		       place_index(place) < place_run(place);
	}
	return false;
}

u64
map_span(unsigned level)
{
	u64 span = 1;

	assert(level <= IMG_LEVELS_MAX);
	while (level-- > 0)
		span *= IMG_FANOUT;
	return span;
}

unsigned
map_levels_for(u64 blocks)
{
	unsigned levels = 1;

	assert(blocks != 0 && blocks <= IMG_SECTORS_MAX / IMG_BLOCK_SECTORS);
	while (map_span(levels) < blocks)
		levels++;
	return levels;
}

/* --- superblock -------------------------------------------------------- */

u64
super_image_id(const struct super *s)
{
	return get_le64(s->uuid);
}

void
super_encode(const struct super *s, u8 *buf)
{
	assert(s->own_off == IMG_SUPER_A || s->own_off == IMG_SUPER_B);
	assert(s->table_extents <= IMG_EXTENTS_MAX);
	memset(buf, 0, IMG_BLOCK);
	memcpy(buf, super_magic, sizeof(super_magic));
	put_le64(buf + 16, s->own_off);
	put_le64(buf + 24, s->generation);
	memcpy(buf + 32, s->uuid, sizeof(s->uuid));
	put_le64(buf + 48, s->incompatible);
	put_le64(buf + 56, s->compatible);
	put_le64(buf + 64, s->autoclear);
	put_le32(buf + 72, s->segment_shift);
	put_le32(buf + 76, 12);
	put_le64(buf + 80, s->sectors);
	put_le64(buf + 88, s->segment_count);
	put_le64(buf + 96, s->root.place);
	put_le64(buf + 104, s->root.sum);
	put_le32(buf + 112, s->map_levels);
	put_le32(buf + 116, s->codec);
	put_le64(buf + 120, s->snap_at);
	put_le32(buf + 128, s->snap_nodes);
	put_le32(buf + 132, s->snap_count);
	put_le64(buf + 136, s->snap_next);
	put_le64(buf + 144, s->head_parent);
	put_le32(buf + 152, s->log_segment);
	put_le32(buf + 156, s->log_off);
	put_le32(buf + 160, s->log_next);
	put_le32(buf + 164, s->node_segment);
	put_le32(buf + 168, s->node_off);
	put_le32(buf + 172, s->table_extents);
	put_le64(buf + 176, s->log_seq);
	put_le64(buf + 184, s->log_prev);
	for (u32 i = 0; i < s->table_extents; i++) {
		put_le64(buf + 256 + 16 * i, s->table[i].at);
		put_le32(buf + 264 + 16 * i, s->table[i].nodes);
	}
	seal(buf, s->own_off);
}

static void
super_fields(struct super *s, const u8 *buf)
{
	s->own_off = get_le64(buf + 16);
	s->generation = get_le64(buf + 24);
	memcpy(s->uuid, buf + 32, sizeof(s->uuid));
	s->incompatible = get_le64(buf + 48);
	s->compatible = get_le64(buf + 56);
	s->autoclear = get_le64(buf + 64);
	s->segment_shift = get_le32(buf + 72);
	s->sectors = get_le64(buf + 80);
	s->segment_count = get_le32(buf + 88);
	s->root.place = get_le64(buf + 96);
	s->root.sum = get_le64(buf + 104);
	s->map_levels = get_le32(buf + 112);
	s->codec = get_le32(buf + 116);
	s->snap_at = get_le64(buf + 120);
	s->snap_nodes = get_le32(buf + 128);
	s->snap_count = get_le32(buf + 132);
	s->snap_next = get_le64(buf + 136);
	s->head_parent = get_le64(buf + 144);
	s->log_segment = get_le32(buf + 152);
	s->log_off = get_le32(buf + 156);
	s->log_next = get_le32(buf + 160);
	s->node_segment = get_le32(buf + 164);
	s->node_off = get_le32(buf + 168);
	s->table_extents = get_le32(buf + 172);
	s->log_seq = get_le64(buf + 176);
	s->log_prev = get_le64(buf + 184);
}

/* Are these nodes inside of one segment? */
static bool
nodes_inside(const struct super *s, u64 at, u32 nodes)
{
	u64 off = at * IMG_SECTOR, size_bytes = (u64)nodes * IMG_BLOCK;
	u64 seg_bytes = BIT(s->segment_shift);

	return at % IMG_BLOCK_SECTORS == 0 && nodes != 0 && at < BIT(44) &&
	       size_bytes <= seg_bytes &&
	       range_within(off, size_bytes, IMG_DATA_OFF,
			    (u64)s->segment_count << s->segment_shift) &&
	       (off - IMG_DATA_OFF) % seg_bytes + size_bytes <= seg_bytes;
}

static bool
table_is_sound(const struct super *s)
{
	u64 nodes = 0;

	if (s->table_extents > IMG_EXTENTS_MAX)
		return false;
	for (u32 i = 0; i < s->table_extents; i++) {
		if (!nodes_inside(s, s->table[i].at, s->table[i].nodes))
			return false;
		nodes += s->table[i].nodes;
	}
	return nodes == (s->segment_count + IMG_FANOUT - 1) / IMG_FANOUT;
}

static bool
super_is_sound(const struct super *s, const u8 *buf)
{
	u32 shift = s->segment_shift;
	u32 seg_bytes;

	if (shift < IMG_SEG_SHIFT_MIN || shift > IMG_SEG_SHIFT_MAX ||
	    get_le32(buf + 76) != 12)
		return false;
	seg_bytes = 1U << shift;
	if (s->generation == 0 || s->generation >= BIT(62) || s->sectors == 0 ||
	    s->sectors > IMG_SECTORS_MAX ||
	    get_le64(buf + 88) > IMG_SEGMENTS_MAX ||
	    s->map_levels != map_levels_for(blocks_of(s->sectors)) ||
	    s->codec > IMG_CODEC_LZ4 || !place_is_sound(s->root.place, false))
		return false;
	if (s->log_segment >= s->segment_count ||
	    s->log_next >= s->segment_count || s->log_next == s->log_segment ||
	    s->log_off > seg_bytes || s->log_off % IMG_BLOCK != 0 ||
	    s->log_seq == 0 || s->log_seq >= BIT(62))
		return false;
	if (s->node_segment >= s->segment_count || s->node_off > seg_bytes ||
	    s->node_off % IMG_BLOCK != 0)
		return false;
	if (s->snap_count > IMG_SNAPSHOTS_MAX ||
	    s->snap_nodes !=
		(s->snap_count + IMG_SNAPS_PER_NODE - 1) / IMG_SNAPS_PER_NODE ||
	    (s->snap_nodes != 0 && !nodes_inside(s, s->snap_at, s->snap_nodes)))
		return false;
	return table_is_sound(s);
}

int
super_decode(struct super *s, const u8 *buf, u64 own_off)
{
	u32 extents = get_le32(buf + 172);

	memset(s, 0, sizeof(*s));
	if (memcmp(buf, super_magic, sizeof(super_magic)) != 0)
		return -ENOENT;
	if (sum_of(buf, own_off) != get_le64(buf + 8))
		return -EBADMSG;
	super_fields(s, buf);
	for (u32 i = 0; i < MIN(extents, IMG_EXTENTS_MAX); i++) {
		s->table[i].at = get_le64(buf + 256 + 16 * i);
		s->table[i].nodes = get_le32(buf + 264 + 16 * i);
	}
	if (s->own_off != own_off)
		return -EBADMSG;
	if (s->incompatible != 0)
		return -ENOTSUP;
	return super_is_sound(s, buf) ? 0 : -EUCLEAN;
}

/* --- nodes ------------------------------------------------------------- */

u64
node_seal(u8 *buf, const struct nodehead *h)
{
	assert(h->at % IMG_BLOCK_SECTORS == 0);
	memset(buf, 0, 64);
	memcpy(buf, node_magic, sizeof(node_magic));
	buf[4] = h->kind;
	buf[5] = h->level;
	put_le16(buf + 6, h->count);
	put_le64(buf + 16, h->image_id);
	put_le64(buf + 24, h->generation);
	put_le64(buf + 32, h->at);
	put_le64(buf + 40, h->first);
	return seal(buf, h->at);
}

int
node_decode(struct nodehead *h, const u8 *buf, u64 at)
{
	memset(h, 0, sizeof(*h));
	if (memcmp(buf, node_magic, sizeof(node_magic)) != 0)
		return -EBADMSG;
	h->kind = buf[4];
	h->level = buf[5];
	h->count = get_le16(buf + 6);
	h->sum = get_le64(buf + 8);
	h->image_id = get_le64(buf + 16);
	h->generation = get_le64(buf + 24);
	h->at = get_le64(buf + 32);
	h->first = get_le64(buf + 40);
	if (h->at != at || sum_of(buf, at) != h->sum)
		return -EBADMSG;
	return 0;
}

/* --- log records ------------------------------------------------------- */

u64
record_seal(u8 *buf, const struct recordhead *h)
{
	assert(h->runs * 16 + h->sums * 8 <= IMG_RECORD_ROOM);
	assert(h->batch_bytes % IMG_BLOCK == 0);
	memcpy(buf, record_magic, sizeof(record_magic));
	put_le64(buf + 16, h->image_id);
	put_le64(buf + 24, h->salt);
	put_le64(buf + 32, h->seq);
	put_le64(buf + 40, h->prev);
	put_le64(buf + 48, h->at);
	put_le64(buf + 56, h->durable);
	put_le32(buf + 64, h->batch_bytes);
	put_le32(buf + 68, h->next_segment);
	put_le32(buf + 72, h->runs);
	put_le32(buf + 76, h->sums);
	memset(buf + 80, 0, 16);
	return seal(buf, h->at);
}

static bool
run_is_sound(const struct run *r, u64 blocks)
{
	if (r->count == 0 || !range_inside(r->block, r->count, blocks))
		return false;
	switch (r->kind) {
	case PLACE_ZERO:
		return r->sectors == 0;
	case PLACE_RAW:
		return r->sectors == (u64)r->count * IMG_BLOCK_SECTORS;
	case PLACE_LZ4:
		return r->count <= IMG_RUN_BLOCKS && r->sectors != 0 &&
		       r->sectors <= IMG_RUN_SECTORS;
	}
	return false;
}

static bool
runs_are_sound(const struct recordhead *h, const u8 *buf, u64 blocks)
{
	u64 sectors = 0, sums = 0;

	for (u32 i = 0; i < h->runs; i++) {
		struct run r = record_run(buf, i);

		if (!run_is_sound(&r, blocks))
			return false;
		sectors = run_begin(sectors, r.kind) + r.sectors;
		sums += r.kind == PLACE_ZERO ? 0 : r.count;
	}
	return sums == h->sums &&
	       h->batch_bytes ==
		   IMG_BLOCK + ALIGN_UP(sectors * IMG_SECTOR, IMG_BLOCK);
}

int
record_decode(struct recordhead *h, const u8 *buf, u64 at, u64 blocks)
{
	if (memcmp(buf, record_magic, sizeof(record_magic)) != 0)
		return -ENOENT;
	*h = (struct recordhead){
	    .sum = get_le64(buf + 8),
	    .image_id = get_le64(buf + 16),
	    .salt = get_le64(buf + 24),
	    .seq = get_le64(buf + 32),
	    .prev = get_le64(buf + 40),
	    .at = get_le64(buf + 48),
	    .durable = get_le64(buf + 56),
	    .batch_bytes = get_le32(buf + 64),
	    .next_segment = get_le32(buf + 68),
	    .runs = get_le32(buf + 72),
	    .sums = get_le32(buf + 76),
	};
	if (h->at != at || sum_of(buf, at) != h->sum)
		return -EBADMSG;
	if (h->runs > IMG_RECORD_ROOM / 16 ||
	    h->sums > (IMG_RECORD_ROOM - 16 * h->runs) / 8 ||
	    !runs_are_sound(h, buf, blocks))
		return -EUCLEAN;
	return 0;
}

struct run
record_run(const u8 *buf, unsigned i)
{
	const u8 *p = buf + IMG_RECORD_HEAD + (size_t)16 * i;

	return (struct run){
	    .block = get_le64(p),
	    .count = get_le32(p + 8),
	    .sectors = get_le16(p + 12),
	    .kind = p[14],
	};
}

void
record_put_run(u8 *buf, unsigned i, struct run r)
{
	u8 *p = buf + IMG_RECORD_HEAD + (size_t)16 * i;

	put_le64(p, r.block);
	put_le32(p + 8, r.count);
	put_le16(p + 12, r.sectors);
	p[14] = r.kind;
	p[15] = 0;
}

/* --- snapshots --------------------------------------------------------- */

void
snap_encode(const struct snap *s, u8 *buf)
{
	memset(buf, 0, 128);
	put_le64(buf, s->id);
	put_le64(buf + 8, s->parent);
	put_le64(buf + 16, s->generation);
	put_le64(buf + 24, s->time_s);
	put_le64(buf + 32, s->root.place);
	put_le64(buf + 40, s->root.sum);
	put_le64(buf + 48, s->sectors);
	put_le32(buf + 56, s->map_levels);
	memcpy(buf + 64, s->name, IMG_NAME_BYTES);
}

int
snap_decode(struct snap *s, const u8 *buf)
{
	s->id = get_le64(buf);
	s->parent = get_le64(buf + 8);
	s->generation = get_le64(buf + 16);
	s->time_s = get_le64(buf + 24);
	s->root.place = get_le64(buf + 32);
	s->root.sum = get_le64(buf + 40);
	s->sectors = get_le64(buf + 48);
	s->map_levels = get_le32(buf + 56);
	memcpy(s->name, buf + 64, IMG_NAME_BYTES);
	if (s->id == 0 || s->parent >= s->id || s->sectors == 0 ||
	    s->sectors > IMG_SECTORS_MAX ||
	    s->map_levels != map_levels_for(blocks_of(s->sectors)) ||
	    !place_is_sound(s->root.place, false) || s->name[0] == '\0' ||
	    s->name[IMG_NAME_BYTES - 1] != '\0')
		return -EUCLEAN;
	return 0;
}
