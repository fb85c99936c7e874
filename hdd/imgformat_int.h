/* SPDX-License-Identifier: BSD-2-Clause */
/* imgformat_int - the bytes of a .hdd image
 *
 * What:    encodes and decodes superblocks, nodes and log records, and holds
 *          what it decodes to the bounds of the format. Nothing here does I/O.
 * Model:   docs/image.5.md 1-5, whose tables are the field offsets here.
 * Units:   at: host sectors of 512 bytes; block: 4096 bytes of the guest's
 *          disk; off and _bytes: bytes.
 * Threads: pure functions.
 * Owns:    nothing.
 * Errors:  decoding: -EUCLEAN out of bounds, -EBADMSG a checksum, -ENOENT no
 *          magic, -ENOTSUP a feature bit.
 */
#ifndef HDD_IMGFORMAT_INT_H
#define HDD_IMGFORMAT_INT_H

#include "base/bits.h"
#include "base/checksum.h"
#include "base/err.h"

#define IMG_BLOCK	   4096U
#define IMG_SECTOR	   512U
#define IMG_BLOCK_SECTORS  8U
#define IMG_SUPER_A	   0ULL
#define IMG_SUPER_B	   524288ULL
#define IMG_DATA_OFF	   1048576ULL
#define IMG_SECTORS_MAX	   BIT(48)
#define IMG_SEGMENTS_MAX   (1U << 23)
#define IMG_LEVELS_MAX	   6U
#define IMG_SNAPSHOTS_MAX  1024U
#define IMG_EXTENTS_MAX	   64U
#define IMG_SEG_SHIFT_MIN  20U
#define IMG_SEG_SHIFT_MAX  22U
#define IMG_FANOUT	   252U
#define IMG_SNAPS_PER_NODE 31U
#define IMG_NAME_BYTES	   64U
#define IMG_RUN_BLOCKS	   16U
#define IMG_RUN_SECTORS	   127U
#define IMG_RECORD_HEAD	   96U
#define IMG_RECORD_ROOM	   4000U /* 16 for each run, 8 for each sum */
#define IMG_CODEC_NONE	   0U
#define IMG_CODEC_LZ4	   1U

/* --- place words ------------------------------------------------------- */

enum place_type { PLACE_ABSENT, PLACE_ZERO, PLACE_RAW, PLACE_LZ4 };

struct mapentry {
	u64 place, sum;
};

static inline enum place_type
place_type(u64 place)
{
	return (enum place_type)(place & 3);
}

/* Are there bytes behind it? */
static inline bool
place_stored(u64 place)
{
	return (place & 2) != 0;
}

static inline u64
place_at(u64 place)
{
	return place >> 20;
}

static inline u32
place_sectors(u64 place)
{
	return (u32)bits_get(place, 9, 2);
}

static inline u32
place_index(u64 place)
{
	return (u32)bits_get(place, 13, 10);
}

static inline u32
place_run(u64 place)
{
	return (u32)bits_get(place, 17, 14) + 1;
}

static inline u64
place_raw(u64 at)
{
	return at << 20 | IMG_BLOCK_SECTORS << 2 | PLACE_RAW;
}

static inline u64
place_lz4(u64 at, u32 sectors, u32 index, u32 run)
{
	return at << 20 | (u64)(run - 1) << 14 | (u64)index << 10 |
	       (u64)sectors << 2 | PLACE_LZ4;
}

/* Bits and sizes; the position is imggeo's business. */
bool place_is_sound(u64 place, bool leaf);

/* --- geometry ---------------------------------------------------------- */

static inline u64
seg_off(u32 seg, u32 shift)
{
	return IMG_DATA_OFF + ((u64)seg << shift);
}

/* Blocks that an entry of this level stands for. */
u64 map_span(unsigned level);

/* The least levels for a disk of so many blocks. */
unsigned map_levels_for(u64 blocks);

static inline u64
blocks_of(u64 sectors)
{
	return (sectors + IMG_BLOCK_SECTORS - 1) / IMG_BLOCK_SECTORS;
}

/* --- superblock -------------------------------------------------------- */

struct imgextent {
	u64 at;
	u32 nodes;
};

struct super {
	u64 own_off, generation;
	u8 uuid[16];
	u64 incompatible, compatible, autoclear;
	u32 segment_shift;
	u64 sectors;
	u32 segment_count;
	struct mapentry root;
	u32 map_levels, codec;
	u64 snap_at;
	u32 snap_nodes, snap_count;
	u64 snap_next, head_parent;
	u32 log_segment, log_off, log_next;
	u32 node_segment, node_off;
	u64 log_seq, log_prev;
	u32 table_extents;
	struct imgextent table[IMG_EXTENTS_MAX];
};

u64 super_image_id(const struct super *s);
void super_encode(const struct super *s, u8 *buf);

/* own_off: where it was read from. *s is complete even with -EUCLEAN. */
int super_decode(struct super *s, const u8 *buf, u64 own_off) MUST_CHECK;

/* --- nodes ------------------------------------------------------------- */

enum node_kind { NODE_MAP = 1, NODE_SEGMENTS = 2, NODE_SNAPSHOTS = 3 };

struct nodehead {
	u8 kind, level;
	u16 count;
	u64 sum, image_id, generation, at, first;
};

/* Puts the head before the entries that are there, with the checksum, which
 * is returned. */
u64 node_seal(u8 *buf, const struct nodehead *h);
int node_decode(struct nodehead *h, const u8 *buf, u64 at) MUST_CHECK;

static inline u8 *
node_entry(u8 *buf, unsigned i)
{
	return buf + 64 + (size_t)16 * i;
}

static inline struct mapentry
node_get(const u8 *buf, unsigned i)
{
	const u8 *p = buf + 64 + (size_t)16 * i;

	return (struct mapentry){get_le64(p), get_le64(p + 8)};
}

static inline void
node_put(u8 *buf, unsigned i, struct mapentry e)
{
	put_le64(node_entry(buf, i), e.place);
	put_le64(node_entry(buf, i) + 8, e.sum);
}

/* --- log records ------------------------------------------------------- */

struct recordhead {
	u64 sum, image_id, salt, seq, prev, at, durable;
	u32 batch_bytes, next_segment, runs, sums;
};

struct run {
	u64 block;
	u32 count;
	u16 sectors;
	u8 kind;
};

/* Where a run's data begins that comes behind what ends at this sector. */
static inline u64
run_begin(u64 sector, u8 kind)
{
	return kind == PLACE_RAW ? ALIGN_UP(sector, IMG_BLOCK_SECTORS) : sector;
}

u64 record_seal(u8 *buf, const struct recordhead *h);

/* The head, and that runs and sums fit the record and its batch: runs inside
 * of a disk of blocks, sizes right, data inside of batch_bytes. */
int record_decode(struct recordhead *h, const u8 *buf, u64 at,
		  u64 blocks) MUST_CHECK;
struct run record_run(const u8 *buf, unsigned i);
void record_put_run(u8 *buf, unsigned i, struct run r);

static inline u64
record_sum(const u8 *buf, unsigned runs, unsigned i)
{
	return get_le64(buf + IMG_RECORD_HEAD + (size_t)16 * runs +
			(size_t)8 * i);
}

/* --- snapshots --------------------------------------------------------- */

struct snap {
	u64 id, parent, generation, time_s;
	struct mapentry root;
	u64 sectors;
	u32 map_levels;
	char name[IMG_NAME_BYTES];
};

void snap_encode(const struct snap *s, u8 *buf);
int snap_decode(struct snap *s, const u8 *buf) MUST_CHECK;

#endif
