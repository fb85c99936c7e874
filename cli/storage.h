/* SPDX-License-Identifier: BSD-2-Clause */
/* storage - the disks of a machine, from --disk to the last flush
 *
 * What:    reads --disk FILE[,KEY=VALUE]..., opens the I/O pool and the disks,
 *          and closes them when the machine is gone. A comma in a file's name
 *          is written twice.
 * Threads: one.
 * Owns:    pool and disks, until storage_close().
 * Errors:  storage_add: what is wrong with the text. storage_open: the first
 *          thing that cannot be opened. storage_close: a last flush that
 *          failed. Each with a sentence.
 */
#ifndef CLI_STORAGE_H
#define CLI_STORAGE_H

#include "hdd/disk.h"

#define STORAGE_DISKS	   4
#define STORAGE_FAULTS_MAX 8

struct storage_disk {
	char path[4096];
	struct disk_config cfg;
	char serial[21];
	const char *fault[STORAGE_FAULTS_MAX]; /* into text */
	unsigned fault_count;
	char *text;   /* what it was read from, cut into words */
	int position; /* channel * 2 + unit, or -1: the next free */
	struct disk *disk;
};

/* --ide NAME[,KEY=VALUE]... */
struct storage_ide {
	bool piix3;
	const char *firmware; /* NULL: ours */
	u64 delay_ns;
	unsigned cd; /* position of the CD drive */
};

struct storage {
	const char *io; /* backend of the pool */
	struct storage_ide ide;
	char *ide_text; /* what it was read from, cut into words */
	struct iopool *pool;
	unsigned count;
	struct storage_disk disk[STORAGE_DISKS];
};

/* The keys, for --help and the manual: one text, two uses. */
extern const char storage_keys[];

/* Takes one --disk value. */
int storage_add(struct storage *s, const char *text, struct err *e) MUST_CHECK;

/* Takes the --ide value. */
int storage_ide(struct storage *s, const char *text, struct err *e) MUST_CHECK;

/* place[position] is set for each disk; positions that are already taken
 * there, by a CD drive, are left out. */
int storage_open(struct storage *s, struct disk *place[STORAGE_DISKS],
		 unsigned taken, struct err *e) MUST_CHECK;

int storage_close(struct storage *s, struct err *e);

#endif
