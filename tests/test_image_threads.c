/* SPDX-License-Identifier: BSD-2-Clause */
/* test_image_threads - many at once: writers, readers, flushes, and on top of
 * them snapshots, checkpoints and the cleaner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/image_memory.h"
#include "tests/image_rig.h"

#define THREADS	 4U
#define EACH	 3001U /* sectors of one */
#define OPS	 (RIG_SLOW ? 300U : 1500U)
#define BACKENDS 2U

static const struct image_limits busy = {
    .batches = 3,
    .rops = 3,
    .nodes = 6,
    .delta_blocks = 400,
    .delta_trigger = 200,
    .ranges = 16,
    .log_trigger_bytes = 4U << 20,
    .close_log_bytes = 1U << 20,
    .segments_max = 4096,
    .reserve = 2,
    .slack = 0,
    .thread = true,
};

struct user {
	pthread_t id;
	struct store *store;
	struct rig_disk disk; /* its sectors begin at lba */
	u64 lba;
	struct rig_random rnd;
	bool bad;
};

static bool
one(struct user *u, u8 *buf)
{
	u32 what = rig_pick(&u->rnd, 100), count = 1 + rig_pick(&u->rnd, 90);
	u64 lba = u->lba + rig_pick(&u->rnd, EACH - count);
	enum store_op op = STORE_READ;

	if (what < 50) {
		op = STORE_WRITE;
		rig_write(&u->disk, lba, count, buf);
	} else if (what < 60) {
		op = STORE_DISCARD;
		rig_zero(&u->disk, lba, count);
	} else if (what < 70) {
		return rig_request(u->store, STORE_FLUSH, 0, 0, NULL, NULL) ==
		       0;
	}
	if (rig_request(u->store, op, lba, count,
			op == STORE_DISCARD ? NULL : buf, NULL) != 0)
		return false;
	return op != STORE_READ || rig_is_current(&u->disk, lba, count, buf);
}

static void *
user(void *arg)
{
	struct user *u = arg;
	u8 *buf = malloc(100 * 512);

	for (u32 i = 0; i < OPS && !u->bad; i++)
		u->bad = !one(u, buf);
	free(buf);
	return NULL;
}

static void
disturb(struct image *img)
{
	struct image_check c = {.data = true};
	struct err e;

	for (u32 i = 0; i < 12; i++) {
		char name[8];

		snprintf(name, sizeof(name), "s%u", i);
		assert_int_equal(image_snapshot_create(img, name, &e), 0);
		assert_int_equal(image_checkpoint(img), 0);
		if (i % 3 == 2) {
			snprintf(name, sizeof(name), "s%u", i - 1);
			assert_int_equal(image_snapshot_delete(img, name, &e),
					 0);
		}
	}
	assert_int_equal(image_check(img, &c, &e), 0);
	assert_int_equal(c.bad_nodes + c.bad_blocks + c.missing_refs, 0);
}

static void
check_end(struct user *u)
{
	static u8 buf[EACH * 512];

	assert_false(u->bad);
	assert_int_equal(rig_request(u->store, STORE_READ, u->lba, EACH, buf,
				     NULL),
			 0);
	assert_true(rig_is_current(&u->disk, u->lba, EACH, buf));
}

static void
run(const char *backend, const char *path)
{
	struct image_create_options o = {.sectors = THREADS * EACH,
					 .segment_bytes = 1U << 20};
	struct imgio_options host = {.host = {.read_only = false}};
	struct iopool_config cfg = {.backend = backend};
	struct user u[THREADS] = {0};
	struct iopool *pool;
	struct image *img;
	struct imgio *io;
	struct err e;

	unlink(path);
	assert_int_equal(iopool_open(&pool, &cfg, &e), 0);
	assert_int_equal(image_create(path, &o, pool, &e), 0);
	assert_int_equal(imgio_open(&io, path, &host, pool, &e), 0);
	assert_int_equal(image_open_io(&img, io, path, false, &busy, &e), 0);
	for (u32 i = 0; i < THREADS; i++) {
		u[i].store = image_store(img);
		u[i].lba = i * EACH; /* neighbours share a block */
		u[i].rnd.state = 77 + i;
		rig_disk_init(&u[i].disk, o.sectors);
		assert_int_equal(pthread_create(&u[i].id, NULL, user, &u[i]),
				 0);
	}
	disturb(img);
	for (u32 i = 0; i < THREADS; i++)
		pthread_join(u[i].id, NULL);
	for (u32 i = 0; i < THREADS; i++)
		check_end(&u[i]);
	assert_int_equal(image_close(img, &e), 0);
	assert_int_equal(imgio_open(&io, path, &host, pool, &e), 0);
	assert_int_equal(image_open_io(&img, io, path, false, &busy, &e), 0);
	for (u32 i = 0; i < THREADS; i++) {
		u[i].store = image_store(img);
		check_end(&u[i]);
		rig_disk_release(&u[i].disk);
	}
	assert_int_equal(image_close(img, &e), 0);
	iopool_close(pool);
	unlink(path);
}

static void
test_image_threads_see_what_they_wrote(void **state)
{
	static const char *const backends[BACKENDS] = {"auto", "threads"};
	const char *tmp = getenv("TEST_TMP");
	char path[256];

	(void)state;
	snprintf(path, sizeof(path), "%s/threads.hdd", tmp ? tmp : "/tmp");
	for (u32 i = 0; i < BACKENDS; i++)
		run(backends[i], path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_image_threads_see_what_they_wrote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
