/* SPDX-License-Identifier: BSD-2-Clause */
/* model_image - a .hdd image against an array of versions
 *
 * Random writes, zeros, discards, flushes, reads, checkpoints, clean closes
 * snapshots, and deaths of the process, on a real file, with little of
 * everything so that all limits are met. `model_image SEED` repeats a run;
 * TEST_LONG=1 makes it long.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "hdd/image_int.h"
#include "tests/image_rig.h"

#define MODEL_SECTORS 20003U /* not a whole number of blocks */
#define OPS	      (RIG_SLOW ? 1500U : 10000U)
#define OPS_LONG      1000000U
#define MOST	      700U /* sectors at once */

static const struct image_limits little = {
    .batches = 2,
    .rops = 3,
    .nodes = 4,
    .delta_blocks = 900,
    .delta_trigger = 500,
    .ranges = 16,
    .log_trigger_bytes = 8U << 20,
    .close_log_bytes = 1U << 20,
    .segments_max = 4096,
    .reserve = 4,
    .slack = 2,
    .thread = true,
};

static struct iopool *pool;
static struct image *img;
static struct rig_disk disk;
static struct rig_random rnd;
static char path[256];
static u8 *buf;

static void
fail(const char *what, int rc)
{
	fprintf(stderr, "FAIL: %s: %s\n", what, strerror(-rc));
	exit(1);
}

static void
open_image(void)
{
	struct imgio_options host = {.host = {.read_only = false}};
	struct imgio *io;
	struct err e;

	if (imgio_open(&io, path, &host, pool, &e) != 0 ||
	    image_open_io(&img, io, path, false, &little, &e) != 0) {
		fprintf(stderr, "FAIL: %s\n", e.text);
		exit(1);
	}
}

static void
request(enum store_op op, u64 lba, u32 count, void *data)
{
	int rc = rig_request(image_store(img), op, lba, count, data, NULL);

	if (rc != 0)
		fail("a request", rc);
}

/* A range of the kind that a guest likes: small, long, or to the very end. */
static void
pick_range(u64 *lba, u32 *count)
{
	*count = rig_pick(&rnd, 4) == 0 ? 1 + rig_pick(&rnd, MOST)
					: 1 + rig_pick(&rnd, 16);
	*lba = rig_pick(&rnd, 8) == 0 ? MODEL_SECTORS - *count
				      : rig_pick(&rnd, MODEL_SECTORS - *count);
	if (rig_pick(&rnd, 2) == 0) {
		*lba &= ~7ULL;
		*count = (u32)MIN(ALIGN_UP(*count, 8), MODEL_SECTORS - *lba);
	}
}

static void
check_all(bool killed)
{
	for (u64 lba = 0; lba < MODEL_SECTORS; lba += MOST) {
		u32 count = (u32)MIN(MOST, MODEL_SECTORS - lba);

		request(STORE_READ, lba, count, buf);
		if (killed ? !rig_is_allowed(&disk, lba, count, buf, true)
			   : !rig_is_current(&disk, lba, count, buf))
			exit(1);
	}
}

static void
check_structure(void)
{
	struct image_check c = {.data = true};
	struct err e;

	if (image_check(img, &c, &e) != 0) {
		fprintf(stderr, "FAIL: %s\n", e.text);
		exit(1);
	}
	if (c.bad_nodes != 0 || c.bad_blocks != 0 || c.leaked_refs != 0 ||
	    c.missing_refs != 0) {
		fprintf(stderr,
			"FAIL: %llu bad nodes, %llu bad blocks, %llu leaked, "
			"%llu missing\n",
			(unsigned long long)c.bad_nodes,
			(unsigned long long)c.bad_blocks,
			(unsigned long long)c.leaked_refs,
			(unsigned long long)c.missing_refs);
		exit(1);
	}
}

static void
reopen(bool kill)
{
	struct err e;

	if (kill) {
		image_drop(img);
	} else {
		if (image_close(img, &e) != 0) {
			fprintf(stderr, "FAIL: %s\n", e.text);
			exit(1);
		}
		rig_flushed(&disk);
	}
	open_image();
	check_all(kill);
}

/* --- snapshots --------------------------------------------------------- */

#define KEPT 5U

static struct kept {
	char name[16]; /* "": none */
	struct rig_sector *sector;
} kept[KEPT];

static void
keep(struct kept *k)
{
	static unsigned number;
	struct err e;

	snprintf(k->name, sizeof(k->name), "s%u", number++);
	if (image_snapshot_create(img, k->name, &e) != 0) {
		fprintf(stderr, "FAIL: %s\n", e.text);
		exit(1);
	}
	rig_flushed(&disk);
	k->sector = malloc(MODEL_SECTORS * sizeof(*k->sector));
	memcpy(k->sector, disk.sector, MODEL_SECTORS * sizeof(*k->sector));
}

static void
forget(struct kept *k)
{
	struct err e;
	int rc = image_snapshot_delete(img, k->name, &e);

	if (rc == -EBUSY)
		return;
	if (rc != 0) {
		fprintf(stderr, "FAIL: %s\n", e.text);
		exit(1);
	}
	k->name[0] = '\0';
	free(k->sector);
	k->sector = NULL;
}

static void
go_back(struct kept *k)
{
	struct err e;

	if (image_snapshot_revert(img, k->name, &e) != 0) {
		fprintf(stderr, "FAIL: %s\n", e.text);
		exit(1);
	}
	memcpy(disk.sector, k->sector, MODEL_SECTORS * sizeof(*k->sector));
	rig_flushed(&disk);
	check_all(false);
}

static void
snapshot_step(void)
{
	struct kept *k = &kept[rig_pick(&rnd, KEPT)];

	if (k->name[0] == '\0')
		keep(k);
	else if (rig_pick(&rnd, 3) == 0)
		go_back(k);
	else
		forget(k);
}

static void
step(void)
{
	u32 what = rig_pick(&rnd, 1000), count;
	u64 lba;

	pick_range(&lba, &count);
	if (what < 500) {
		rig_write(&disk, lba, count, buf);
		request(STORE_WRITE, lba, count, buf);
	} else if (what < 800) {
		request(STORE_READ, lba, count, buf);
		if (!rig_is_current(&disk, lba, count, buf))
			exit(1);
	} else if (what < 860) {
		if (rig_pick(&rnd, 10) == 0) {
			lba = 0;
			count = MODEL_SECTORS;
		}
		rig_zero(&disk, lba, count);
		request(what < 830 ? STORE_ZERO : STORE_DISCARD, lba, count,
			NULL);
	} else if (what < 988) {
		request(STORE_FLUSH, 0, 0, NULL);
		rig_flushed(&disk);
	} else if (what < 992) {
		snapshot_step();
	} else if (what < 994) {
		if (image_checkpoint(img) != 0)
			fail("a checkpoint", -EIO);
	} else if (what < 995) {
		check_structure();
		rig_flushed(&disk);
	} else {
		reopen(what < 998);
	}
}

int
main(int argc, char **argv)
{
	struct image_create_options o = {.sectors = MODEL_SECTORS,
					 .segment_bytes = 1U << 20};
	struct iopool_config cfg = {.backend = "auto"};
	const char *tmp = getenv("TEST_TMP");
	bool is_long = getenv("TEST_LONG") && *getenv("TEST_LONG");
	u32 ops = is_long ? OPS_LONG : OPS;
	u64 seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (u64)time(NULL);
	struct image_info info;
	struct err e;

	rnd.state = seed * 2 + 1;
	printf("seed %llu, %u operations\n", (unsigned long long)seed, ops);
	fflush(stdout);
	snprintf(path, sizeof(path), "%s/model.hdd", tmp ? tmp : "/tmp");
	unlink(path);
	buf = malloc(MOST * SECTOR_BYTES + 4096);
	rig_disk_init(&disk, MODEL_SECTORS);
	if (iopool_open(&pool, &cfg, &e) != 0 ||
	    image_create(path, &o, pool, &e) != 0) {
		fprintf(stderr, "FAIL: %s\n", e.text);
		return 1;
	}
	open_image();
	for (u32 i = 0; i < ops; i++)
		step();
	check_all(false);
	check_structure();
	image_info(img, &info);
	printf("%llu checkpoints since the last opening, %llu blocks moved, "
	       "%u segments, %u of them free\n",
	       (unsigned long long)info.checkpoints,
	       (unsigned long long)info.moved, info.segments,
	       info.segments_free);
	if (image_close(img, &e) != 0)
		return 1;
	iopool_close(pool);
	rig_disk_release(&disk);
	for (unsigned i = 0; i < KEPT; i++)
		free(kept[i].sector);
	free(buf);
	unlink(path);
	return 0;
}
