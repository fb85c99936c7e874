/* SPDX-License-Identifier: BSD-2-Clause */
/* test_cdrom - discs go in and out of a machine's drive */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cache/iopool.h"
#include "tests/boot_rig.h"
#include "tests/fake_hv.h"
#include "tests/vmm_rig.h"
#include "vmm/control.h"
#include "vmm/machine_int.h"

#define BASE	 0x170 /* secondary master */
#define BLOCK	 2048U
#define PATIENCE (10 * NS_PER_SEC)

static struct machine *m;
static struct iopool *pool;
static char first[200], second[200], sock[100];

/* An image of so many blocks, all of them filled with c. */
static void
make_image(char path[200], const char *name, unsigned blocks, char c)
{
	u8 *bytes = malloc(blocks * BLOCK);

	assert_non_null(bytes);
	memset(bytes, c, blocks * BLOCK);
	snprintf(path, 200, "%s", rig_file(name, bytes, blocks * BLOCK));
	free(bytes);
}

static int
open_machine(const char *disc, struct err *e)
{
	struct cdrom_config drive = {.position = 2,
				     .disc = {.path = disc, .pool = pool}};
	struct machine_config cfg = {.memory_bytes = 32 << 20,
				     .device_test = sock,
				     .cdrom = &drive};

	fake_hv_script(NULL, 0);
	return machine_open_ops(&m, &cfg, &fake_hv_ops, e);
}

static int
setup(void **state)
{
	struct iopool_config pc = {.backend = "auto"};
	struct err e = {""};

	(void)state;
	m = NULL;
	snprintf(sock, sizeof(sock), "%s", rig_path("cdrom-sock"));
	make_image(first, "cdrom-first", 20, 'a');
	make_image(second, "cdrom-second", 10, 'b');
	assert_int_equal(iopool_open(&pool, &pc, &e), 0);
	if (open_machine(first, &e) != 0)
		fail_msg("%s", e.text);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	machine_close(m);
	iopool_close(pool);
	unlink(first);
	unlink(second);
	return 0;
}

/* --- the guest's side --------------------------------------------------------
 */

static u8
wait_idle(void)
{
	u64 end_ns = clock_now_ns() + PATIENCE;
	u8 status;

	while ((status = (u8)pio_read(&m->pio, BASE + 7, 1)) & 0x80) {
		assert_true(clock_now_ns() < end_ns);
		disks_run(&m->disks);
	}
	return status;
}

/* A packet whose answer has at most bytes; returns the error register. */
static u8
packet(const u8 cdb[12], u8 *data, unsigned bytes)
{
	u8 status;

	pio_write(&m->pio, BASE + 6, 1, 0xa0);
	pio_write(&m->pio, BASE + 1, 1, 0);
	pio_write(&m->pio, BASE + 4, 1, 0xfe);
	pio_write(&m->pio, BASE + 5, 1, 0xff);
	pio_write(&m->pio, BASE + 7, 1, 0xa0);
	assert_int_equal(wait_idle() & 0x08, 0x08);
	for (int i = 0; i < 12; i += 2)
		pio_write(&m->pio, BASE, 2, get_le16(cdb + i));
	while ((status = wait_idle()) & 0x08)
		for (unsigned i = 0; i < bytes && wait_idle() & 0x08; i += 2)
			put_le16(data + i, (u16)pio_read(&m->pio, BASE, 2));
	return status & 1 ? (u8)pio_read(&m->pio, BASE + 1, 1) : 0;
}

/* Which disc is there: what its last block is filled with, 0 when it is not
 * ready. */
static char
disc(void)
{
	static const u8 ready[12] = {0}, capacity[12] = {0x25};
	u8 answer[8], block[BLOCK], read[12] = {0x28, [8] = 1};

	for (int i = 0; packet(ready, answer, 0) != 0; i++)
		if (i == 3)
			return 0;
	assert_int_equal(packet(capacity, answer, sizeof(answer)), 0);
	memcpy(read + 2, answer, 4);
	assert_int_equal(packet(read, block, sizeof(block)), 0);
	assert_int_equal(block[0], block[BLOCK - 1]);
	return (char)block[0];
}

static void
lock_door(void)
{
	static const u8 prevent[12] = {0x1e, [4] = 1};

	assert_int_equal(packet(prevent, NULL, 0), 0);
}

static u8
event(void)
{
	static const u8 poll[12] = {0x4a, 1, [4] = 0x10, [8] = 8};
	u8 answer[8];

	assert_int_equal(packet(poll, answer, sizeof(answer)), 0);
	return answer[4];
}

/* --- somebody outside
 * --------------------------------------------------------- */

static void PRINTF_LIKE(2, 3) ask(const char *want, const char *fmt, ...)
{
	char line[400], *answer;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	answer = control_answer(m, line, strlen(line));
	assert_non_null(answer);
	if (strstr(answer, want) == NULL)
		fail_msg("%s is not in %s", want, answer);
	free(answer);
}

static void
test_cdrom_first_disc_is_simply_there(void **state)
{
	(void)state;
	assert_int_equal(disc(), 'a');
	assert_int_equal(event(), 0);
}

static void
test_cdrom_insert_changes_the_disc(void **state)
{
	(void)state;
	assert_int_equal(disc(), 'a');
	ask("\"ok\": true", "{\"cmd\":\"insert\",\"file\":\"%s\"}", second);
	assert_int_equal(event(), 2);
	assert_int_equal(disc(), 'b');
	ask("\"ok\": true", "{\"cmd\":\"insert\",\"file\":\"%s\"}", first);
	assert_int_equal(disc(), 'a');
}

static void
test_cdrom_eject_takes_the_disc_out(void **state)
{
	(void)state;
	ask("\"state\": \"open\"", "{\"cmd\":\"eject\"}");
	assert_int_equal(event(), 3);
	assert_int_equal(disc(), 0);
	ask("\"state\": \"open\"", "{\"cmd\":\"eject\"}");
	ask("\"ok\": true", "{\"cmd\":\"insert\",\"file\":\"%s\"}", second);
	assert_int_equal(disc(), 'b');
}

static void
test_cdrom_locked_door_is_respected(void **state)
{
	(void)state;
	assert_int_equal(disc(), 'a');
	lock_door();
	ask("\"state\": \"asked\"", "{\"cmd\":\"eject\",\"force\":false}");
	assert_int_equal(event(), 1);
	assert_int_equal(event(), 0);
	ask("the guest has locked the drive's door",
	    "{\"cmd\":\"insert\",\"file\":\"%s\"}", second);
	assert_int_equal(disc(), 'a');
}

static void
test_cdrom_force_opens_a_locked_door(void **state)
{
	(void)state;
	lock_door();
	ask("\"ok\": true",
	    "{\"cmd\":\"insert\",\"file\":\"%s\",\"force\":true}", second);
	assert_int_equal(disc(), 'b');
	ask("\"state\": \"open\"", "{\"cmd\":\"eject\",\"force\":true}");
	assert_int_equal(disc(), 0);
}

static void
test_cdrom_refuses_with_a_sentence(void **state)
{
	char tiny[200];

	(void)state;
	snprintf(tiny, sizeof(tiny), "%s",
		 rig_file("cdrom-tiny", "0123456789", 10));
	ask("'insert' needs a 'file'", "{\"cmd\":\"insert\"}");
	ask("'insert' needs a 'file'", "{\"cmd\":\"insert\",\"file\":1}");
	ask("'force' is true or false", "{\"cmd\":\"eject\",\"force\":1}");
	ask("No such file", "{\"cmd\":\"insert\",\"file\":\"/no/such\"}");
	ask("cdrom-tiny", "{\"cmd\":\"insert\",\"file\":\"%s\"}", tiny);
	assert_int_equal(truncate(tiny, 512), 0);
	ask("is no disc: it has less than 2048 bytes",
	    "{\"cmd\":\"insert\",\"file\":\"%s\"}", tiny);
	unlink(tiny);
	assert_int_equal(disc(), 'a'); /* it is still there */
}

static void
test_cdrom_of_a_machine_that_has_none(void **state)
{
	struct machine_config cfg = {.memory_bytes = 32 << 20,
				     .device_test = sock};
	struct err e = {""};

	(void)state;
	machine_close(m);
	m = NULL;
	fake_hv_script(NULL, 0);
	assert_int_equal(machine_open_ops(&m, &cfg, &fake_hv_ops, &e), 0);
	ask("this machine has no CD drive", "{\"cmd\":\"eject\"}");
}

static void
test_cdrom_starts_empty_and_is_filled(void **state)
{
	struct err e = {""};

	(void)state;
	machine_close(m);
	m = NULL;
	assert_int_equal(open_machine(NULL, &e), 0);
	assert_int_equal(disc(), 0);
	ask("\"ok\": true", "{\"cmd\":\"insert\",\"file\":\"%s\"}", first);
	assert_int_equal(disc(), 'a');
}

static void
test_cdrom_refuses_a_machine_without_its_image(void **state)
{
	struct err e = {""};

	(void)state;
	machine_close(m);
	m = NULL;
	assert_int_equal(open_machine("/no/such", &e), -ENOENT);
	assert_non_null(strstr(e.text, "'/no/such'"));
}

/* The guest's disc is read-only, and shared: others write the image. */
static void
test_cdrom_image_is_open_to_others(void **state)
{
	int fd = open(first, O_RDWR | O_CLOEXEC);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	close(fd);
	assert_int_equal(disc(), 'a');
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_cdrom_first_disc_is_simply_there),
	    CASE(test_cdrom_insert_changes_the_disc),
	    CASE(test_cdrom_eject_takes_the_disc_out),
	    CASE(test_cdrom_locked_door_is_respected),
	    CASE(test_cdrom_force_opens_a_locked_door),
	    CASE(test_cdrom_refuses_with_a_sentence),
	    CASE(test_cdrom_of_a_machine_that_has_none),
	    CASE(test_cdrom_starts_empty_and_is_filled),
	    CASE(test_cdrom_refuses_a_machine_without_its_image),
	    CASE(test_cdrom_image_is_open_to_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
