/* SPDX-License-Identifier: BSD-2-Clause */
/* crash_image - every state that a power cut may leave of a .hdd image
 *
 * A random workload runs over a host file in memory that knows, of each host
 * sector, the version that is durable and all that came after it. After each
 * host call states are made of them (all latest, all durable, all but one
 * page, only one page, torn pages, random pages, random sectors, garbage in
 * what was in flight, the newest superblock unreadable), and the engine's own
 * open and read are asked what they see:
 *
 *   O1 it opens, and writes nothing
 *   O2 each guest sector shows one whole version v, durable <= v <= current
 *   O3 the walk over everything finds no damage (now and then)
 *   O4 opened again it shows the same
 *   O5 it takes a write and a flush, and shows them (now and then)
 *
 * Host flushes fail now and then; then what they covered stays unknown until
 * it is written anew elsewhere. After a while one of the states becomes the
 * truth, and the workload goes on from there.
 *
 * `crash_image SEED STATES` repeats a run. TEST_LONG=1: 20 million states.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "hdd/image_int.h"
#include "tests/image_rig.h"

#define DISK_SECTORS  123U
#define HOST_SEGMENTS 40U
#define HOST_SECTORS  ((1U << 11) * (HOST_SEGMENTS + 1))
#define PAGE	      8U  /* sectors */
#define SAMPLE	      12U /* pages tried of each kind of state */
#define EPOCH_OPS     60U /* operations before a state becomes the truth */
#define EPOCHS	      40U /* before everything begins anew */
#define STATES	      (RIG_SLOW ? 8000U : 240000U)
#define STATES_LONG   20000000U
#define ARENA_BYTES   (400U << 20)

static struct image_limits tiny = {
    .batches = 2,
    .rops = 2,
    .nodes = 4,
    .delta_blocks = 150,
    .delta_trigger = 40,
    .ranges = 8,
    .log_trigger_bytes = 160U << 10,
    .close_log_bytes = 32U << 10,
    .segments_max = HOST_SEGMENTS,
    .reserve = 0,
    .slack = 0,
};

/* --- the host file ----------------------------------------------------- */

/* version[0] is durable; the last is the latest. */
struct host_sector {
	const u8 **version;
	u16 count, room;
	u16 limbo; /* those up to here were in a flush that failed */
};

struct host {
	struct imgio io;
	struct host_sector *sector;
	u32 *dirty; /* sectors with more than one version */
	u32 dirties;
	u8 *arena;
	u64 arena_used;
	u64 write_first, write_count; /* sectors of the last write, if it is
					 what happened last */
	u32 fail_flush;		      /* the n-th from now fails */
	bool revert;		      /* after that, reads show old bytes */
	int failed;
	bool quiet; /* no states are made */
};

/* A state to look at, and what the image that looks has written to it. */
struct view {
	struct imgio io;
	const u8 **cur;
	bool may_write;
	unsigned writes;
	u32 *touched;
	u32 touches;
	u8 *arena;
	u64 arena_used;
};

static struct host host;
static struct view view;
static struct rig_disk disk;
static struct rig_disk *other_disk; /* or what this one shows */
static struct rig_random rnd;
static struct image *img;
static u64 states, target, opens_written, moved;
static u8 *buf;
static const u8 zeros[SECTOR_BYTES];
static u8 garbage[SECTOR_BYTES];
static const char *state_name = "none";
static u64 seed;
static unsigned event;

static void
die(const char *what)
{
	printf("FAIL: seed %llu, event %u, state \"%s\" (number %llu): %s\n",
	       (unsigned long long)seed, event, state_name,
	       (unsigned long long)states, what);
	fflush(stdout);
	exit(1);
}

static const u8 *
latest(u32 s)
{
	const struct host_sector *h = &host.sector[s];

	return h->version[h->count - 1];
}

static void
push(u32 s, const u8 *bytes)
{
	struct host_sector *h = &host.sector[s];

	if (h->count == h->room) {
		h->room = (u16)(h->room * 2);
		h->version = realloc(h->version, h->room * sizeof(u8 *));
		assert(h->version);
	}
	if (h->count == 1)
		host.dirty[host.dirties++] = s;
	h->version[h->count++] = bytes;
	view.cur[s] = bytes;
}

static void try_states(void);

static int
host_write(struct imgio *io, u64 off, const void *data, u64 size_bytes)
{
	u32 first = (u32)(off / SECTOR_BYTES);
	u32 n = (u32)(size_bytes / SECTOR_BYTES);

	(void)io;
	assert(off % 4096 == 0 && size_bytes % 4096 == 0);
	assert(first + n <= HOST_SECTORS);
	for (u32 i = 0; i < n; i++) {
		const u8 *from = (const u8 *)data + (size_t)i * SECTOR_BYTES;
		u8 *to = host.arena + host.arena_used;

		if (memcmp(from, zeros, SECTOR_BYTES) == 0) {
			push(first + i, zeros);
			continue;
		}
		assert(host.arena_used + SECTOR_BYTES <= ARENA_BYTES);
		host.arena_used += SECTOR_BYTES;
		memcpy(to, from, SECTOR_BYTES);
		push(first + i, to);
	}
	host.write_first = first;
	host.write_count = n;
	try_states();
	return 0;
}

static void
settle_sector(u32 s, const u8 *bytes)
{
	struct host_sector *h = &host.sector[s];

	h->version[0] = bytes;
	h->count = 1;
	h->limbo = 0;
	view.cur[s] = bytes;
}

static int
host_flush(struct imgio *io)
{
	u32 kept = 0;

	(void)io;
	host.write_count = 0;
	if (host.failed != 0)
		return host.failed;
	if (host.fail_flush != 0 && --host.fail_flush == 0) {
		for (u32 i = 0; i < host.dirties; i++) {
			struct host_sector *h = &host.sector[host.dirty[i]];

			h->limbo = (u16)(h->count - 1);
		}
		host.failed = -EIO;
		try_states();
		return -EIO;
	}
	for (u32 i = 0; i < host.dirties; i++) {
		u32 s = host.dirty[i];
		struct host_sector *h = &host.sector[s];

		if (h->count - 1 > h->limbo)
			settle_sector(s, latest(s));
		else
			host.dirty[kept++] = s;
	}
	host.dirties = kept;
	try_states();
	return 0;
}

static int
host_read(struct imgio *io, u64 off, void *data, u64 size_bytes)
{
	u32 first = (u32)(off / SECTOR_BYTES);

	(void)io;
	for (u32 i = 0; i < size_bytes / SECTOR_BYTES; i++) {
		const struct host_sector *h = &host.sector[first + i];
		const u8 *from =
		    host.revert && h->limbo != 0 && h->limbo == h->count - 1
			? h->version[0]
			: h->version[h->count - 1];

		memcpy((u8 *)data + (size_t)i * SECTOR_BYTES, from,
		       SECTOR_BYTES);
	}
	return 0;
}

static int
no_discard(struct imgio *io, u64 off, u64 size_bytes)
{
	(void)io;
	(void)off;
	(void)size_bytes;
	return 0;
}

static u64
whole_size(struct imgio *io)
{
	(void)io;
	return (u64)HOST_SECTORS * SECTOR_BYTES;
}

static void
host_forgive(struct imgio *io)
{
	(void)io;
	host.failed = 0;
}

static void
keep_open(struct imgio *io)
{
	(void)io;
}

/* Requests are done at once. */
static void
serve(struct imgio *io, struct ioreq *const *reqs, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct ioreq *r = reqs[i];

		assert(r->iov_count <= 1);
		r->rc = 0;
		if (r->op == IO_READ)
			r->rc = io->ops->read(io, r->off, r->iov->iov_base,
					      r->size_bytes);
		else if (r->op == IO_WRITE)
			r->rc = io->ops->write(io, r->off, r->iov->iov_base,
					       r->size_bytes);
		else if (r->op == IO_FLUSH)
			r->rc = io->ops->flush(io);
		r->done(r);
	}
}

static const struct imgio_ops host_ops = {
    .submit = serve,
    .read = host_read,
    .write = host_write,
    .flush = host_flush,
    .discard = no_discard,
    .size_bytes = whole_size,
    .forgive = host_forgive,
    .close = keep_open,
};

/* --- a state, as an image sees it -------------------------------------- */

static int
view_read(struct imgio *io, u64 off, void *data, u64 size_bytes)
{
	u32 first = (u32)(off / SECTOR_BYTES);

	(void)io;
	for (u32 i = 0; i < size_bytes / SECTOR_BYTES; i++)
		memcpy((u8 *)data + (size_t)i * SECTOR_BYTES,
		       view.cur[first + i], SECTOR_BYTES);
	return 0;
}

static void
show(u32 s, const u8 *bytes)
{
	if (view.cur[s] == bytes)
		return;
	view.cur[s] = bytes;
	view.touched[view.touches++] = s;
}

static int
view_write(struct imgio *io, u64 off, const void *data, u64 size_bytes)
{
	u32 first = (u32)(off / SECTOR_BYTES);

	(void)io;
	view.writes++;
	if (!view.may_write)
		die("O1: it was written to before the guest wrote");
	for (u32 i = 0; i < size_bytes / SECTOR_BYTES; i++) {
		u8 *to = view.arena + view.arena_used;

		view.arena_used += SECTOR_BYTES;
		memcpy(to, (const u8 *)data + (size_t)i * SECTOR_BYTES,
		       SECTOR_BYTES);
		show(first + i, to);
	}
	return 0;
}

static int
view_flush(struct imgio *io)
{
	(void)io;
	return 0;
}

static void
view_forgive(struct imgio *io)
{
	(void)io;
}

static const struct imgio_ops view_ops = {
    .submit = serve,
    .read = view_read,
    .write = view_write,
    .flush = view_flush,
    .discard = no_discard,
    .size_bytes = whole_size,
    .forgive = view_forgive,
    .close = keep_open,
};

/* Back to all latest. */
static void
view_reset(void)
{
	for (u32 i = 0; i < view.touches; i++)
		view.cur[view.touched[i]] = latest(view.touched[i]);
	view.touches = 0;
	view.arena_used = 0;
}

static struct image *
view_open(void)
{
	struct image *other;
	struct err e;

	if (image_open_io(&other, &view.io, "state", false, &tiny, &e) != 0) {
		fprintf(stderr, "%s\n", e.text);
		die("O1: it does not open");
	}
	return other;
}

static void
must(struct image *other, enum store_op op, u64 lba, u32 count, void *data)
{
	int rc = rig_request(image_store(other), op, lba, count, data, NULL);

	if (rc != 0) {
		fprintf(stderr, "sector %llu: %s\n", (unsigned long long)lba,
			strerror(-rc));
		die("O2: a request failed");
	}
}

static void
check_liveness(struct image *other)
{
	u8 *mine = buf + (size_t)DISK_SECTORS * SECTOR_BYTES;
	u8 got[8 * SECTOR_BYTES];

	view.may_write = true;
	memset(mine, 0x5a, sizeof(got));
	must(other, STORE_WRITE, 40, 8, mine);
	must(other, STORE_FLUSH, 0, 0, NULL);
	must(other, STORE_READ, 40, 8, got);
	if (memcmp(got, mine, sizeof(got)) != 0)
		die("O5: it does not show what was just written");
	opens_written++;
}

static void
check_structure(struct image *other)
{
	struct image_check c = {.data = true};
	struct err e;

	view.may_write = true;
	if (image_check(other, &c, &e) != 0)
		die("O3: it cannot be checked");
	if (c.bad_nodes != 0 || c.bad_blocks != 0 || c.missing_refs != 0)
		die("O3: the structure is damaged");
}

static void
look(const char *name)
{
	struct image *other;

	state_name = name;
	states++;
	view.may_write = false;
	other = view_open();
	must(other, STORE_READ, 0, DISK_SECTORS, buf);
	if (!(other_disk &&
	      rig_is_allowed(other_disk, 0, DISK_SECTORS, buf, false)) &&
	    !rig_is_allowed(&disk, 0, DISK_SECTORS, buf, false))
		die("O2: a version that is not allowed");
	if (states % 16 == 0) {
		u8 *again = buf + (size_t)(DISK_SECTORS + 8) * SECTOR_BYTES;

		image_drop(other);
		other = view_open();
		must(other, STORE_READ, 0, DISK_SECTORS, again);
		if (memcmp(buf, again, DISK_SECTORS * SECTOR_BYTES) != 0)
			die("O4: opened twice it differs");
	}
	if (states % 64 == 0)
		check_structure(other);
	if (states % 32 == 1)
		check_liveness(other);
	image_drop(other);
	view_reset();
}

/* --- which states ------------------------------------------------------ */

static void
show_page(u32 page, bool durable)
{
	for (u32 s = page * PAGE; s < (page + 1) * PAGE; s++)
		show(s, durable ? host.sector[s].version[0] : latest(s));
}

static void
show_all_durable(void)
{
	for (u32 i = 0; i < host.dirties; i++)
		show(host.dirty[i], host.sector[host.dirty[i]].version[0]);
}

static u32
pick_page(void)
{
	return host.dirty[rig_pick(&rnd, host.dirties)] / PAGE;
}

static void
page_states(u32 n)
{
	for (u32 i = 0; i < n; i++) {
		u32 page = pick_page(), cut = 1 + rig_pick(&rnd, PAGE - 1);

		show_page(page, true);
		look("all but one page");
		show_all_durable();
		show_page(page, false);
		look("only one page");
		for (u32 k = cut; k < PAGE; k++)
			show(page * PAGE + k,
			     host.sector[page * PAGE + k].version[0]);
		look("one page torn");
		show_all_durable();
		for (u32 k = 0; k < cut; k++)
			show(page * PAGE + k, latest(page * PAGE + k));
		look("only a part of one page");
	}
}

static void
random_states(u32 n)
{
	for (u32 i = 0; i < n; i++) {
		u32 odds = 1 + rig_pick(&rnd, 7);

		for (u32 k = 0; k < host.dirties; k++)
			if ((host.dirty[k] / PAGE * 2654435761U + i * 40503U) %
				8 <
			    odds)
				show_page(host.dirty[k] / PAGE, true);
		look("random pages");
		for (u32 k = 0; k < host.dirties; k++) {
			const struct host_sector *h =
			    &host.sector[host.dirty[k]];

			show(host.dirty[k],
			     h->version[rig_pick(&rnd, h->count)]);
		}
		look("random versions of sectors");
	}
}

/* With O_DIRECT a sector that was on its way may hold anything; the sector of
 * a superblock's magic in the slot that counts is not on its way. */
static void
garbage_state(void)
{
	u32 s;

	if (host.write_count == 0)
		return;
	s = (u32)(host.write_first + rig_pick(&rnd, (u32)host.write_count));
	show(s, garbage);
	look("garbage in flight");
	show_all_durable();
	show(s, garbage);
	look("only garbage in flight");
}

static u64
generation_at(u32 slot)
{
	return memcmp(latest(slot), "SpnHdd1", 8) == 0
		   ? get_le64(latest(slot) + 24)
		   : 0;
}

/* The older superblock and the log behind it say as much. */
static void
superblock_state(void)
{
	u64 a = generation_at(0), b = generation_at(1024);

	if (a == 0 || b == 0)
		return;
	show(a > b ? 0 : 1024, garbage);
	look("newest superblock unreadable");
}

static void
try_states(void)
{
	u32 n;

	event++;
	if (host.quiet || states >= target)
		return;
	look("all latest");
	if (rig_pick(&rnd, 4) == 0)
		superblock_state();
	if (host.dirties == 0)
		return;
	show_all_durable();
	look("all durable");
	n = MIN(SAMPLE, 1 + host.dirties / PAGE);
	page_states(n);
	random_states(MIN(n, 4U));
	garbage_state();
}

/* --- the workload ------------------------------------------------------ */

static void
begin_host(void)
{
	struct image_create_options o = {.sectors = DISK_SECTORS,
					 .segment_bytes = 1U << 20};
	u8 uuid[16];
	struct err e;

	host.dirties = 0;
	host.arena_used = 0;
	host.fail_flush = 0;
	host.failed = 0;
	host.quiet = true;
	for (u32 s = 0; s < HOST_SECTORS; s++)
		settle_sector(s, zeros);
	for (unsigned i = 0; i < sizeof(uuid); i++)
		uuid[i] = (u8)rig_pick(&rnd, 256);
	if (image_create_io(&host.io, &o, uuid, 0, &e) != 0)
		die(e.text);
	host.quiet = false;
}

static void
open_host(void)
{
	struct err e;

	if (image_open_io(&img, &host.io, "host", false, &tiny, &e) != 0)
		die(e.text);
}

/* Everything that is not durable goes to the store again; then flushes may
 * work again (disk-rules 12). */
static void
redo(void)
{
	for (u32 lba = 0; lba < DISK_SECTORS; lba++) {
		u32 n = 0;

		while (lba + n < DISK_SECTORS &&
		       disk.sector[lba + n].current !=
			   disk.sector[lba + n].durable)
			n++;
		if (n == 0)
			continue;
		rig_again(&disk, lba, n, buf);
		must(img, STORE_WRITE, lba, n, buf);
		lba += n;
	}
	if (image_store(img)->ops->recover(image_store(img)) != 0)
		die("recover() failed on a host that works");
}

static void
flush(void)
{
	int rc = rig_request(image_store(img), STORE_FLUSH, 0, 0, NULL, NULL);

	if (rc != 0) {
		if (rig_request(image_store(img), STORE_FLUSH, 0, 0, NULL,
				NULL) == 0)
			die("O6: a flush worked after one that failed");
		redo();
		rc = rig_request(image_store(img), STORE_FLUSH, 0, 0, NULL,
				 NULL);
	}
	if (rc != 0)
		die("a flush failed after recover()");
	rig_flushed(&disk);
}

static void
checkpoint(void)
{
	if (image_checkpoint(img) != 0)
		flush();
}

/* Goes through much log without looking, so that segments are used again. */
static void
burst(void)
{
	host.quiet = true;
	for (unsigned i = 0; i < 48 && img->failed == 0; i++) {
		u64 lba = rig_pick(&rnd, 2) * 40; /* the rest is cold */

		rig_write(&disk, lba, 40, buf);
		must(img, STORE_WRITE, lba, 40, buf);
	}
	flush();
	host.quiet = false;
}

/* What was last discarded is discarded again: a record may be the same, byte
 * for byte, as one that a cut has dropped. */
static u64 last_lba;
static u32 last_count;

static void
discard(u64 lba, u32 count)
{
	last_lba = lba;
	last_count = count;
	rig_zero(&disk, lba, count);
	must(img, STORE_DISCARD, lba, count, NULL);
}

/* --- snapshots --------------------------------------------------------- */

#define KEPT 3U

static struct kept {
	bool used;
	struct rig_sector sector[DISK_SECTORS];
} kept[KEPT];

static void
keep(struct kept *k, const char *name)
{
	struct err e;

	if (image_snapshot_create(img, name, &e) != 0)
		return; /* a host flush failed */
	rig_flushed(&disk);
	k->used = true;
	memcpy(k->sector, disk.sector, sizeof(k->sector));
}

/* Until it is done the disk may be as it was, or as it was then. */
static void
go_back(struct kept *k, const char *name)
{
	struct rig_disk then = {.sector = k->sector,
				.sectors = DISK_SECTORS,
				.quiet = true};
	struct err e;
	int rc;

	for (u32 i = 0; i < DISK_SECTORS; i++) {
		k->sector[i].durable = k->sector[i].current;
		k->sector[i].durable_zero = k->sector[i].current_zero;
	}
	other_disk = &then;
	rc = image_snapshot_revert(img, name, &e);
	other_disk = NULL;
	if (rc == 0) {
		memcpy(disk.sector, k->sector, sizeof(k->sector));
		rig_flushed(&disk);
	}
}

static void
snapshot(void)
{
	u32 i = rig_pick(&rnd, KEPT);
	char name[3] = {'k', (char)('0' + i), 0};
	struct err e;

	if (host.fail_flush != 0)
		return;
	if (!kept[i].used)
		keep(&kept[i], name);
	else if (rig_pick(&rnd, 3) == 0)
		go_back(&kept[i], name);
	else if (image_snapshot_delete(img, name, &e) == 0)
		kept[i].used = false;
}

static void
operation(void)
{
	u32 what = rig_pick(&rnd, 100), count = 1 + rig_pick(&rnd, 40);
	u64 lba = rig_pick(&rnd, DISK_SECTORS - count - 8);
	u8 *mine = malloc((size_t)count * SECTOR_BYTES);

	if (img->failed != 0)
		what = 80;
	if (what < 60) {
		if (rig_pick(&rnd, 2) == 0) {
			lba &= ~7ULL;
			count = MIN(ALIGN_UP(count, 8), 40);
		}
		free(mine);
		mine = malloc((size_t)count * SECTOR_BYTES);
		rig_write(&disk, lba, count, mine);
		must(img, STORE_WRITE, lba, count, mine);
	} else if (what < 70) {
		discard(lba, count);
	} else if (what < 73 && host.fail_flush == 0) {
		burst();
	} else if (what < 76) {
		snapshot();
	} else if (what < 94) {
		flush();
	} else if (what < 98) {
		checkpoint();
	} else if (host.fail_flush == 0 && host.failed == 0) {
		host.fail_flush = 1 + rig_pick(&rnd, 4);
		host.revert = rig_pick(&rnd, 2) == 0;
	}
	free(mine);
}

static void
drop(void)
{
	struct image_info info;

	image_info(img, &info);
	moved += info.moved;
	image_drop(img);
}

/* One of the states becomes the truth, as after a cut; or the process dies and
 * the host goes on. */
static void
cut(void)
{
	host.failed = 0;
	host.fail_flush = 0;
	drop();
	for (u32 i = 0; i < host.dirties; i++) {
		u32 s = host.dirty[i];
		struct host_sector *h = &host.sector[s];

		settle_sector(s, h->version[rig_pick(&rnd, h->count)]);
	}
	host.dirties = 0;
	host.write_count = 0;
	host.quiet = true;
	open_host();
	host.quiet = false;
	must(img, STORE_READ, 0, DISK_SECTORS, buf);
	if (!rig_is_allowed(&disk, 0, DISK_SECTORS, buf, true))
		die("O2: after a cut");
	if (last_count != 0 && rig_pick(&rnd, 2) == 0)
		discard(last_lba, last_count);
}

static void
run(void)
{
	/* Now and then an interval runs through more than a segment. */
	tiny.log_trigger_bytes =
	    rig_pick(&rnd, 3) == 0 ? 2500U << 10 : 160U << 10;
	memset(kept, 0, sizeof(kept));
	begin_host();
	rig_disk_init(&disk, DISK_SECTORS);
	open_host();
	for (unsigned i = 0; i < EPOCHS && states < target; i++) {
		for (unsigned k = 0; k < EPOCH_OPS && states < target; k++)
			operation();
		cut();
	}
	drop();
	rig_disk_release(&disk);
}

static void
set_up(void)
{
	/* An image is opened and dropped for each state: its memory stays. */
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	host.io.ops = &host_ops;
	view.io.ops = &view_ops;
	host.sector = calloc(HOST_SECTORS, sizeof(*host.sector));
	host.dirty = calloc(HOST_SECTORS, sizeof(u32));
	host.arena = malloc(ARENA_BYTES);
	view.cur = calloc(HOST_SECTORS, sizeof(u8 *));
	view.touched = calloc((size_t)HOST_SECTORS * 8, sizeof(u32));
	view.arena = malloc(16U << 20);
	buf = malloc((size_t)(2 * DISK_SECTORS + 8) * SECTOR_BYTES);
	assert(host.sector && host.dirty && host.arena && view.cur &&
	       view.touched && view.arena && buf);
	for (u32 s = 0; s < HOST_SECTORS; s++) {
		host.sector[s].room = 4;
		host.sector[s].version = calloc(4, sizeof(u8 *));
		assert(host.sector[s].version);
	}
	memset(garbage, 0xa5, sizeof(garbage));
}

static void
one_process(u64 my_seed, u64 my_target)
{
	u64 start = clock_now_ns();

	seed = my_seed;
	target = my_target;
	rnd.state = seed * 2 + 1;
	set_up();
	while (states < target)
		run();
	printf("seed %llu: %llu states, %llu of them written to, %llu blocks "
	       "moved, %.0f states a second\n",
	       (unsigned long long)seed, (unsigned long long)states,
	       (unsigned long long)opens_written, (unsigned long long)moved,
	       (double)states * 1e9 / (double)(clock_now_ns() - start));
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	bool is_long = getenv("TEST_LONG") && *getenv("TEST_LONG");
	u64 all = is_long ? STATES_LONG : STATES;
	u64 first = argc > 1 ? strtoull(argv[1], NULL, 0) : (u64)time(NULL);
	bool bad = false;

	if (argc > 2) {
		one_process(first, strtoull(argv[2], NULL, 0));
		return 0;
	}
	for (u64 i = 0; i < 2; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (pid == 0) {
			one_process(first + i, all / 2);
			exit(0);
		}
	}
	for (int i = 0; i < 2; i++) {
		int status;

		if (wait(&status) < 0 || status != 0)
			bad = true;
	}
	return bad;
}
