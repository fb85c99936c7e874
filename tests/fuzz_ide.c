/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_ide - any accesses to the IDE controller, in any order
 *
 * The bytes are a script: registers read and written, data moved, PRD tables
 * put into RAM, time, answers of the disks, resets. The invariants hold after
 * each step. In the end SRST brings both channels back, whatever happened
 * before, and the disk still says who it is.
 *
 * The channels: two disks; a packet device that does what its packets say, and
 * a CD drive.
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
#include "vmm/piix4.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define SECTORS	   16384U /* 8 MiB */
#define RAM_BYTES  (4U << 20)
#define STEPS_MAX  2000
#define PACKET_MAX 300000

static struct vclock vclock;
static struct vtimers timers;
static struct pio pio;
static struct pci pci;
static struct ram ram;
static struct iopool *pool;
static struct disk *disk[IDE_DRIVES];
static struct ide *ide;
static struct atapi cd;
static sem_t woken;

/* The rest of the script. */
static const u8 *script, *script_end;

static u8
byte(void)
{
	return script < script_end ? *script++ : 0;
}

static u32
word(void)
{
	u32 v = byte();

	return v | (u32)byte() << 8;
}

/* --- a packet device ---------------------------------------------------- */

/* Its packet: what to do, and with how many bytes, how often. */
static struct device {
	struct ide_drive *drive;
	u8 what, error;
	u32 bytes, again;
	bool waiting; /* answers when time passes */
	u8 data[PACKET_MAX];
} device;

static void
attach(void *dev, struct ide_drive *d)
{
	struct device *p = dev;

	p->drive = d;
}

static void
identify(void *dev, u16 *w)
{
	(void)dev;
	w[0] = 0x8580;
}

static void
answer(struct device *p)
{
	p->waiting = false;
	if (p->again == 0) {
		ide_packet_done(p->drive, p->error);
		return;
	}
	p->again--;
	if (p->what & 1)
		ide_packet_out(p->drive, p->data, p->bytes);
	else
		ide_packet_in(p->drive, p->data, p->bytes);
}

static void
packet(void *dev, const u8 cdb[12], bool dma)
{
	struct device *p = dev;

	p->what = cdb[0] ^ dma;
	p->error = cdb[1];
	p->again = cdb[2] % 8U;
	p->bytes = MIN(get_le32(cdb + 4) % 70000 + 1, PACKET_MAX);
	p->waiting = p->what & 2;
	if (!p->waiting)
		answer(p);
}

static void
moved(void *dev)
{
	struct device *p = dev;

	p->waiting = p->what & 4;
	if (!p->waiting)
		answer(p);
}

static void
forget(void *dev, bool hard)
{
	struct device *p = dev;

	(void)hard;
	p->waiting = false;
}

static const struct ide_packet_ops ops = {.attach = attach,
					  .identify = identify,
					  .packet = packet,
					  .moved = moved,
					  .reset = forget};

/* --- the rig ------------------------------------------------------------ */

static void
wake(void *ctx)
{
	(void)ctx;
	sem_post(&woken);
}

static void
no_timer(void *ctx, u64 delay_ns)
{
	(void)ctx;
	(void)delay_ns;
}

static void
stop(void *ctx, const char *text)
{
	(void)ctx;
	(void)text;
}

static void
must(int rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static void
open_disk(unsigned n, bool read_only, enum disk_cache cache)
{
	static const struct disk_host host = {.wake = wake,
					      .timer = no_timer,
					      .stop = stop};
	char path[200];
	const char *dir = getenv("TEST_TMP");
	struct disk_config cfg = {.path = path,
				  .cache = cache,
				  .read_only = read_only,
				  .cache_bytes = 2 << 20,
				  .buffered = true,
				  .pool = pool};
	struct err e = {""};
	int fd;

	snprintf(path, sizeof(path), "%s/fuzz-ide-%d-%u",
		 dir != NULL ? dir : "/tmp", (int)getpid(), n);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	must(fd < 0 || ftruncate(fd, (off_t)SECTORS * 512) != 0, path);
	close(fd);
	must(disk_open(&disk[n], &cfg, &e), e.text);
	unlink(path);
	disk_attach(disk[n], &host);
}

static void
open_all(void)
{
	struct iopool_config pc = {.backend = "threads", .threads = 2};
	struct ide_config cfg = {.ram = &ram,
				 .timers = &timers,
				 .pio = &pio,
				 .pci = &pci,
				 .packet[2] = {&ops, &device},
				 .packet[3] = {&atapi_packet_ops, &cd}};
	struct err e = {""};

	vclock_init(&vclock, 0);
	vtimers_init(&timers, &vclock);
	pio_init(&pio);
	pci_init(&pci);
	sem_init(&woken, 0, 0);
	must(ram_init(&ram, RAM_BYTES, &e), e.text);
	must(iopool_open(&pool, &pc, &e), e.text);
	open_disk(0, false, DISK_WRITEBACK);
	open_disk(1, false, DISK_NONE);
	open_disk(3, true, DISK_WRITEBACK);
	memcpy(cfg.disk, disk, 2 * sizeof(disk[0]));
	atapi_init(&cd, "fuzz");
	must(ide_open(&ide, &cfg, &e), e.text);
}

static unsigned
in_flight(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < IDE_DRIVES; i++)
		if (disk[i] != NULL)
			n += disk_in_flight(disk[i]);
	return n;
}

static void
run_disks(void)
{
	for (unsigned i = 0; i < IDE_DRIVES; i++)
		if (disk[i] != NULL)
			disk_run(disk[i]);
}

/* Everything at the disks is answered, and the packet device, too. */
static void
settle(void)
{
	while (in_flight() != 0) {
		sem_wait(&woken);
		run_disks();
	}
	if (device.waiting)
		answer(&device);
}

static void
pass(u64 ns)
{
	vclock_init(&vclock, vclock_now_ns(&vclock) + ns);
	vtimers_run(&timers);
}

/* --- steps -------------------------------------------------------------- */

static u16
port(u8 reg, bool second)
{
	u16 base = second ? IDE_COMMAND1 : IDE_COMMAND0;

	return (u16)(base + (reg & 8 ? 0x206 : reg & 7));
}

static void
registers(u8 op, bool second)
{
	u8 reg = byte();
	unsigned size = 1U << (byte() % 3);

	if (op & 1)
		pio_write(&pio, port(reg, second), size, word());
	else
		pio_read(&pio, port(reg, second), size);
}

/* All registers of a command, as a driver writes them. */
static void
command(bool second)
{
	u16 base = port(0, second);

	pio_write(&pio, (u16)(base + 6), 1, byte());
	for (u16 i = 1; i < 6; i++)
		pio_write(&pio, (u16)(base + i), 2, word());
	for (u16 i = 5; i >= 1; i--)
		pio_write(&pio, (u16)(base + i), 1, byte());
	pio_write(&pio, (u16)(base + 7), 1, byte());
}

/* A string instruction on the data port; a packet would fit. */
static void
string(bool second)
{
	static u8 items[4096];
	struct vm_exit x = {.kind = HV_EXIT_IO};

	x.io.port = port(0, second);
	x.io.size_bytes = (u8)(1U << (byte() % 3));
	x.io.write = byte() & 1;
	x.io.count = word() % (sizeof(items) / x.io.size_bytes) + 1;
	x.io.data = items;
	for (unsigned i = 0; x.io.write && i < 12; i++)
		items[i] = byte();
	pio_exit(&pio, &x);
}

static void
bus_master(bool second)
{
	u16 base = ide->bm_port;
	u8 reg = byte();

	if (base == 0)
		return;
	base = (u16)(base + (second ? 8 : 0) + (reg & 7));
	if (reg & 0x80)
		pio_read(&pio, base, 1U << (byte() % 3));
	else
		pio_write(&pio, base, 1U << (byte() % 3),
			  word() | word() << 16);
}

/* A PRD table, mostly in RAM, and the bus master started on it. */
static void
table(bool second)
{
	u32 gpa = (word() << 4) % RAM_BYTES & ~7U;
	unsigned count = byte() % 16U + 1;
	u16 base = (u16)(ide->bm_port + (second ? 8 : 0));
	u8 how = byte();

	for (unsigned i = 0; i < count; i++) {
		u8 prd[8];

		put_le32(prd, word() << (how & 7));
		put_le32(prd + 4, word());
		if (i + 1 == count && !(how & 0x80))
			prd[7] |= 0x80;
		(void)ram_write(&ram, gpa + i * 8U, prd, sizeof(prd));
	}
	if (ide->bm_port == 0)
		return;
	pio_write(&pio, (u16)(base + 4), 4, gpa);
	pio_write(&pio, base, 1, how & 8);
	pio_write(&pio, base, 1, (how & 8) | 1U);
}

static void
config(void)
{
	u8 reg = byte();

	pci_address_write(&pci, 0xcf8, 4,
			  0x80000000U | PCI_DEVFN(PIIX4_DEVICE, 1) << 8 |
			      (reg & 0xfc));
	if (reg & 1)
		(void)pci_data_read(&pci, 0xcfc, 4);
	else
		pci_data_write(&pci, 0xcfc, 4, word() | word() << 16);
}

static void
step(void)
{
	u8 op = byte();
	bool second = op & 0x80;

	switch (op & 0x0f) {
	case 0 ... 3:
		registers(op, second);
		break;
	case 4 ... 6:
		command(second);
		break;
	case 7:
		string(second);
		break;
	case 8:
		bus_master(second);
		break;
	case 9 ... 10:
		table(second);
		break;
	case 11:
		settle();
		break;
	case 12:
		run_disks();
		if (device.waiting && (byte() & 1))
			answer(&device);
		break;
	case 13:
		pass((u64)word() << (byte() % 16));
		break;
	case 14:
		pio_write(&pio, port(8, second), 1, byte());
		break;
	default:
		if (byte() % 8 == 0)
			ide_reset(ide);
		else
			config();
	}
}

/* The CD drive as it was at first, with its disc and the door closed. */
static void
load_disc(void)
{
	struct ide_drive *d = cd.drive;

	atapi_init(&cd, "fuzz");
	cd.drive = d;
	atapi_first_medium(&cd, disk[3]);
}

/* SRST, and IDENTIFY as the first command afterwards. */
static void
recover(void)
{
	settle();
	ide_reset(ide); /* the ports may be anywhere */
	for (unsigned n = 0; n < IDE_CHANNELS; n++) {
		pio_write(&pio, port(8, n), 1, CONTROL_SRST);
		pio_write(&pio, port(8, n), 1, 0);
	}
	settle();
	ide_check(ide);
	for (unsigned n = 0; n < IDE_CHANNELS; n++)
		assert(!(pio_read(&pio, port(8, n), 1) & STATUS_BSY));
	pio_write(&pio, IDE_COMMAND0 + 7, 1, 0xec);
	assert(pio_read(&pio, IDE_COMMAND0 + 7, 1) ==
	       (STATUS_DRDY | STATUS_DSC | STATUS_DRQ));
	assert(pio_read(&pio, IDE_COMMAND0, 2) == 0x0040);
	pio_write(&pio, IDE_CONTROL0, 1, CONTROL_SRST);
	pio_write(&pio, IDE_CONTROL0, 1, 0);
}

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	if (ide == NULL)
		open_all();
	load_disc();
	script = data;
	script_end = data + size;
	ide->delay_ns = byte() & 1 ? 1000 : 0;
	for (unsigned i = 0; i < STEPS_MAX && script < script_end; i++) {
		step();
		ide_check(ide);
	}
	recover();
	return 0;
}
