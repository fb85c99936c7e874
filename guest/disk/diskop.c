/* SPDX-License-Identifier: BSD-2-Clause */
/* diskop - single ATA commands and plain writes, in a guest
 *
 * What:    what the usual tools cannot be made to send: ATA commands through
 *          SG_IO, and an exact number of writes of an exact size. A command
 *          prints "status 50 error 00 lba 0": the registers afterwards.
 *
 *              diskop DEV flush|flush-ext|standby|cache-on|cache-off
 *              diskop DEV word N          word N of IDENTIFY DEVICE, in hex
 *              diskop DEV fua LBA COUNT   WRITE DMA FUA EXT (3Dh)
 *              diskop DEV ata-write|ata-read LBA COUNT      DMA EXT (35h, 25h)
 *              diskop DEV write OFF SIZE COUNT [fsync|fdatasync|dsync]
 *                                         O_DIRECT, one after another; and
 *                                         what follows each of them
 *              diskop DEV check OFF SIZE COUNT
 *                                         that they are there
 *
 *          Written data tells its place: each 8 bytes are their own offset
 *          on the disk, plus a constant.
 * Model:   ATA/ATAPI-7 6.x; SAT-2 12.2.2 (ATA PASS-THROUGH).
 * Exit:    0 done, 1 the device or the host said no, 2 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <scsi/sg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bits.h"

#define SECTOR_BYTES 512U
#define BUFFER_BYTES (1U << 20)
#define PATTERN	     0x5350494e444c4500ULL

/* The low four bits are SAT's protocol number; DMA goes both ways. */
enum protocol { NON_DATA = 3, PIO_IN = 4, DMA_OUT = 6, DMA_IN = 0x16 };

static _Alignas(4096) u8 buffer[BUFFER_BYTES];

static u64
number(const char *text)
{
	char *end;
	u64 value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno != 0 || end == text || *end != '\0') {
		fprintf(stderr, "diskop: '%s' is no number\n", text);
		exit(2);
	}
	return value;
}

static void
fill(u64 off, size_t size_bytes)
{
	for (size_t i = 0; i < size_bytes; i += sizeof(u64)) {
		u64 v = PATTERN + off + i;

		memcpy(buffer + i, &v, sizeof(v));
	}
}

static bool
filled(u64 off, size_t size_bytes)
{
	for (size_t i = 0; i < size_bytes; i += sizeof(u64)) {
		u64 v = PATTERN + off + i;

		if (memcmp(buffer + i, &v, sizeof(v)) != 0)
			return false;
	}
	return true;
}

/* --- ATA commands -------------------------------------------------------- */

struct taskfile {
	u8 command, features;
	u16 count;
	u64 lba;
	enum protocol protocol;
};

/* Out of descriptor sense (SAT-2 12.2.5), or, for commands that failed, fixed
 * sense, of whose LBA 24 bits must do. Kernels before 6.11 put what belongs
 * into bytes 3 to 11 of it into bytes 8 to 19, of which only 18 come through:
 * then lba is its low byte. */
static int
print_registers(const u8 *sense, bool quiet)
{
	const u8 *d = sense + 8;
	u8 status, error;
	u64 lba;

	if ((sense[0] & 0x7f) == 0x72 && d[0] == 0x09) {
		status = d[13];
		error = d[3];
		lba = d[7] | (u64)d[9] << 8 | (u64)d[11] << 16 |
		      (u64)d[6] << 24 | (u64)d[8] << 32 | (u64)d[10] << 40;
	} else if ((sense[0] & 0x7f) == 0x70) {
		bool old = sense[4] == 0;

		error = old ? d[0] : sense[3];
		status = old ? d[1] : sense[4];
		d += old ? 9 : 1;
		lba = d[0] | (u64)d[1] << 8 | (u64)d[2] << 16;
	} else {
		fprintf(stderr, "diskop: no registers came back, sense %02x\n",
			sense[0]);
		return 1;
	}
	if (!quiet || (status & 0x21) != 0)
		printf("status %02x error %02x lba %llu\n", status, error,
		       (unsigned long long)lba);
	return (status & 0x21) != 0; /* DF, ERR */
}

static int
ata(int fd, const struct taskfile *t, bool quiet)
{
	bool data = t->protocol != NON_DATA;
	bool in = t->protocol == PIO_IN || t->protocol == DMA_IN;
	bool ext = t->command == 0x3d || t->command == 0x35 ||
		   t->command == 0x25 || t->command == 0xea;
	u8 cdb[16] = {0x85,
		      (u8)((t->protocol & 0x0f) << 1 | ext),
		      (u8)(0x20 | (in ? 0x08 : 0) | (data ? 0x06 : 0)),
		      0,
		      t->features,
		      (u8)(t->count >> 8),
		      (u8)t->count,
		      (u8)(t->lba >> 24),
		      (u8)t->lba,
		      (u8)(t->lba >> 32),
		      (u8)(t->lba >> 8),
		      (u8)(t->lba >> 40),
		      (u8)(t->lba >> 16),
		      0x40,
		      t->command,
		      0};
	u8 sense[64] = {0};
	struct sg_io_hdr io = {
	    .interface_id = 'S',
	    .dxfer_direction = !data ? SG_DXFER_NONE
			       : in  ? SG_DXFER_FROM_DEV
				     : SG_DXFER_TO_DEV,
	    .cmd_len = sizeof(cdb),
	    .mx_sb_len = sizeof(sense),
	    .dxfer_len = data ? t->count * SECTOR_BYTES : 0,
	    .dxferp = buffer,
	    .cmdp = cdb,
	    .sbp = sense,
	    .timeout = 60000,
	};

	if (ioctl(fd, SG_IO, &io) != 0) {
		perror("diskop: SG_IO");
		return 1;
	}
	return print_registers(sense, quiet);
}

static int
command(int fd, const char *what)
{
	static const struct {
		const char *name;
		struct taskfile t;
	} simple[] = {
	    {"flush", {.command = 0xe7, .protocol = NON_DATA}},
	    {"flush-ext", {.command = 0xea, .protocol = NON_DATA}},
	    {"standby", {.command = 0xe0, .protocol = NON_DATA}},
	    {"cache-on",
	     {.command = 0xef, .features = 0x02, .protocol = NON_DATA}},
	    {"cache-off",
	     {.command = 0xef, .features = 0x82, .protocol = NON_DATA}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(simple); i++)
		if (strcmp(what, simple[i].name) == 0)
			return ata(fd, &simple[i].t, false);
	return 2;
}

static int
identify_word(int fd, u64 n)
{
	const struct taskfile t = {.command = 0xec,
				   .count = 1,
				   .protocol = PIO_IN};

	if (n >= 256)
		return 2;
	if (ata(fd, &t, true) != 0)
		return 1;
	printf("%04x\n", buffer[2 * n] | buffer[2 * n + 1] << 8);
	return 0;
}

static int
transfer(int fd, const char *what, u64 lba, u64 count)
{
	struct taskfile t = {.lba = lba,
			     .count = (u16)count,
			     .protocol = DMA_OUT};

	if (count == 0 || count > BUFFER_BYTES / SECTOR_BYTES)
		return 2;
	if (strcmp(what, "ata-read") == 0) {
		t.command = 0x25;
		t.protocol = DMA_IN;
	} else if (strcmp(what, "ata-write") == 0) {
		t.command = 0x35;
	} else if (strcmp(what, "fua") == 0) {
		t.command = 0x3d;
	} else {
		return 2;
	}
	fill(lba * SECTOR_BYTES, count * SECTOR_BYTES);
	return ata(fd, &t, false);
}

/* --- plain writes -------------------------------------------------------- */

static int
write_many(int fd, u64 off, u64 size_bytes, u64 count, const char *then)
{
	for (u64 i = 0; i < count; i++, off += size_bytes) {
		int rc = 0;

		fill(off, size_bytes);
		if (pwrite(fd, buffer, size_bytes, (off_t)off) !=
		    (ssize_t)size_bytes) {
			perror("diskop: write");
			return 1;
		}
		if (strcmp(then, "fsync") == 0)
			rc = fsync(fd);
		else if (strcmp(then, "fdatasync") == 0)
			rc = fdatasync(fd);
		if (rc != 0) {
			perror("diskop: sync");
			return 1;
		}
	}
	return 0;
}

static int
check_many(int fd, u64 off, u64 size_bytes, u64 count)
{
	for (u64 i = 0; i < count; i++, off += size_bytes) {
		if (pread(fd, buffer, size_bytes, (off_t)off) !=
		    (ssize_t)size_bytes) {
			perror("diskop: read");
			return 1;
		}
		if (!filled(off, size_bytes)) {
			fprintf(stderr, "diskop: byte %llu and on differ\n",
				(unsigned long long)off);
			return 1;
		}
	}
	return 0;
}

static int
plain(const char *dev, int argc, char **argv)
{
	bool writes = strcmp(argv[0], "write") == 0;
	const char *then = argc > 4 ? argv[4] : "";
	u64 off = number(argv[1]), size_bytes = number(argv[2]);
	u64 count = number(argv[3]);
	int fd, rc;

	if (size_bytes == 0 || size_bytes > BUFFER_BYTES ||
	    size_bytes % SECTOR_BYTES != 0 || off % SECTOR_BYTES != 0)
		return 2;
	fd = open(dev, O_RDWR | O_DIRECT | O_CLOEXEC |
			   (strcmp(then, "dsync") == 0 ? O_DSYNC : 0));
	if (fd < 0) {
		perror(dev);
		return 1;
	}
	rc = writes ? write_many(fd, off, size_bytes, count, then)
		    : check_many(fd, off, size_bytes, count);
	close(fd);
	return rc;
}

static int
run(int argc, char **argv)
{
	int fd, rc;

	if (argc >= 6 &&
	    (strcmp(argv[2], "write") == 0 || strcmp(argv[2], "check") == 0))
		return plain(argv[1], argc - 2, argv + 2);
	if (argc < 3 || argc > 5)
		return 2;
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	if (argc == 3)
		rc = command(fd, argv[2]);
	else if (argc == 4)
		rc = identify_word(fd, number(argv[3]));
	else
		rc = transfer(fd, argv[2], number(argv[3]), number(argv[4]));
	close(fd);
	return rc;
}

int
main(int argc, char **argv)
{
	int rc = run(argc, argv);

	if (rc == 2)
		fprintf(stderr, "usage: diskop DEV COMMAND [ARGUMENT ...]\n");
	return rc;
}
