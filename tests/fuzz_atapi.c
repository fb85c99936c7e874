/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_atapi - any packets at the CD drive
 *
 * A drive on an IDE controller of its own, a CD and a DVD that come and go. An
 * input is a script of packets, resets, changes of discs and the bus master;
 * answers of the disc arrive when the script says so. At the end everything is
 * let finish: the drive must then answer REQUEST SENSE.
 */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cache/iopool.h"
#include "vmm/atapi.h"
#include "vmm/ide_int.h"

#define RAM_BYTES (4U << 20)
#define STEPS_MAX 200

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static const u32 disc_blocks[2] = {700, 360001};

static struct vclock vclock;
static struct vtimers timers;
static struct pio pio;
static struct pci pci;
static struct ram ram;
static struct iopool *pool;
static struct disk *disc[2];
static struct disk *current;
static struct ide *ide;
static struct atapi atapi;
static sem_t woken;

static const u8 *input;
static size_t input_left;

static u8
byte(void)
{
	if (input_left == 0)
		return 0;
	input_left--;
	return *input++;
}

static void
wake(void *ctx)
{
	(void)ctx;
	sem_post(&woken);
}

static const struct disk_host host = {.wake = wake};

static void
must(int rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static void
open_disc(unsigned n)
{
	char path[200];
	const char *dir = getenv("TEST_TMP");
	struct disk_config cfg = {.path = path,
				  .read_only = true,
				  .shared = true,
				  .cache_bytes = 2 << 20,
				  .buffered = true,
				  .pool = pool};
	struct err e = {""};
	int fd;

	snprintf(path, sizeof(path), "%s/fuzz-atapi-%d-%u",
		 dir != NULL ? dir : "/tmp", (int)getpid(), n);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(fd < 0 ||
		 ftruncate(fd, (off_t)disc_blocks[n] * ATAPI_BLOCK_BYTES) != 0,
	     path);
	close(fd);
	must(disk_open(&disc[n], &cfg, &e), e.text);
	unlink(path);
}

static void
open_all(void)
{
	struct iopool_config pc = {.backend = "threads", .threads = 1};
	struct ide_config cfg = {.ram = &ram,
				 .timers = &timers,
				 .pio = &pio,
				 .pci = &pci,
				 .packet[0] = {&atapi_packet_ops, &atapi}};
	struct err e = {""};

	vclock_init(&vclock, 0);
	vtimers_init(&timers, &vclock);
	pio_init(&pio);
	pci_init(&pci);
	sem_init(&woken, 0, 0);
	must(ram_init(&ram, RAM_BYTES, &e), e.text);
	must(iopool_open(&pool, &pc, &e), e.text);
	open_disc(0);
	open_disc(1);
	atapi_init(&atapi, "FUZZ");
	must(ide_open(&ide, &cfg, &e), e.text);
}

/* --- steps ---------------------------------------------------------------- */

static void
settle(void)
{
	while (current != NULL && disk_in_flight(current) != 0) {
		sem_wait(&woken);
		disk_run(current);
	}
}

static void
change(unsigned n)
{
	struct disk *next = n < 2 ? disc[n] : NULL;

	if (current != NULL)
		disk_attach(current, NULL);
	if (next != NULL)
		disk_attach(next, &host);
	current = next;
	atapi_medium(&atapi, next);
}

static u8
in(u8 reg)
{
	return (u8)pio_read(&pio, (u16)(IDE_COMMAND0 + reg), 1);
}

static void
out(u8 reg, u8 v)
{
	pio_write(&pio, (u16)(IDE_COMMAND0 + reg), 1, v);
}

static void
send(const u8 cdb[12], u8 features, u8 low, u8 high)
{
	out(6, 0xa0);
	out(1, features);
	out(4, low);
	out(5, high);
	out(7, 0xa0);
	for (int i = 0; i < 12; i += 2)
		pio_write(&pio, IDE_COMMAND0, 2, get_le16(cdb + i));
}

/* Mostly commands there are, and addresses that lie on a disc. */
static void
packet(u8 op)
{
	u8 cdb[12], features, low, high;

	for (int i = 0; i < 12; i++)
		cdb[i] = byte();
	if (op & 0x80)
		cdb[2] = cdb[3] = cdb[6] = 0;
	features = byte() & 3;
	low = byte();
	high = byte();
	send(cdb, features, low, high);
}

static void
bus_master(void)
{
	u32 gpa = byte() * 0x4321U, size = byte() << 8 | byte();
	u16 port = ide->bm_port;
	u8 prd[8];

	if (port == 0)
		return;
	put_le32(prd, gpa);
	put_le32(prd + 4, size | 0x80000000U);
	(void)ram_write(&ram, 0x1000, prd, sizeof(prd));
	pio_write(&pio, (u16)(port + 4), 4, 0x1000);
	pio_write(&pio, (u16)(port + 2), 1, 6);
	pio_write(&pio, port, 1, byte() & 9);
}

static void
move(unsigned words, bool to_device)
{
	for (unsigned i = 0; i < words; i++) {
		if (!(in(7) & STATUS_DRQ))
			return;
		if (to_device)
			pio_write(&pio, IDE_COMMAND0, 2, byte());
		else
			pio_read(&pio, IDE_COMMAND0, 2);
	}
}

static void
reset(u8 how)
{
	if (how & 1) {
		out(7, 0x08); /* DEVICE RESET */
	} else {
		pio_write(&pio, IDE_CONTROL0, 1, CONTROL_SRST);
		pio_write(&pio, IDE_CONTROL0, 1, 0);
	}
}

static void
step(void)
{
	u8 op = byte();

	switch (op & 7) {
	case 0:
	case 1:
	case 2:
		packet(op);
		break;
	case 3:
		settle();
		break;
	case 4:
		move(1 + byte() * 16U, op & 8);
		break;
	case 5:
		change(op >> 3 & 3);
		break;
	case 6:
		bus_master();
		break;
	case 7:
		if (op & 8)
			reset(op >> 4);
		else
			atapi_eject_request(&atapi);
		break;
	}
}

/* --- the end -----------------------------------------------------------------
 */

/* The last command is forgotten, and the drive is as good as new. */
static void
check_alive(void)
{
	static const u8 sense[12] = {0x03, [4] = 18};
	unsigned words = 0;

	reset(1);
	settle();
	assert(!(in(7) & (STATUS_BSY | STATUS_DRQ)));
	send(sense, 0, 0xfe, 0xff);
	assert(in(7) & STATUS_DRQ);
	for (; in(7) & STATUS_DRQ; words++)
		pio_read(&pio, IDE_COMMAND0, 2);
	assert(words == 9);
	assert((in(7) & (STATUS_BSY | STATUS_ERR)) == 0);
}

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	if (ide == NULL)
		open_all();
	input = data;
	input_left = size;
	ide_reset(ide);
	change(0);
	for (unsigned i = 0; i < STEPS_MAX && input_left != 0; i++)
		step();
	check_alive();
	change(2);
	return 0;
}
