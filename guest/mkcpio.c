/* SPDX-License-Identifier: BSD-2-Clause */
/* mkcpio - writes an initramfs from a list, without being root
 *
 * What:    reads one entry a line on stdin and writes a "newc" cpio archive
 *          on stdout. Everything is owned by root and dated 0, so the same
 *          list and files give the same bytes. Entries:
 *
 *              dir PATH MODE
 *              file PATH MODE SOURCE
 *              link PATH TARGET
 *              node PATH MODE c|b MAJOR MINOR
 *
 *          PATH is absolute in the guest, MODE octal. Fields are separated by
 *          single spaces or tabs and cannot contain them. Empty lines and
 *          lines that begin with # are skipped. Missing parent directories
 *          are an error of the list, since the kernel would drop the entry.
 * Model:   Linux Documentation/driver-api/early-userspace/buffer-format.rst.
 * Errors:  one sentence on stderr, exit status 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/bits.h"

#define MAX_FIELDS  6
#define BLOCK_BYTES 512 /* archives end on one, so they can be joined */

static u64 written_bytes;
static u32 next_inode = 1;
static unsigned line_number;

static void fail(const char *fmt, ...) PRINTF_LIKE(1, 2);

static void
fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "mkcpio: line %u: ", line_number);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void
put(const void *bytes, size_t count)
{
	if (fwrite(bytes, 1, count, stdout) != count)
		fail("cannot write the archive: %s", strerror(errno));
	written_bytes += count;
}

static void
pad_to(unsigned align_bytes)
{
	static const char zeros[BLOCK_BYTES];
	size_t rest = written_bytes % align_bytes;

	if (rest != 0)
		put(zeros, align_bytes - rest);
}

/* The header is 110 characters: a magic and thirteen fields of eight hex
 * digits. The name follows, then padding to 4, then the contents. */
static void
put_header(const char *path, u32 mode, u64 size_bytes, dev_t rdev)
{
	char header[111];
	size_t name_bytes;

	while (*path == '/')
		path++;
	name_bytes = strlen(path) + 1;
	if (size_bytes > UINT32_MAX)
		fail("'%s' is larger than a newc archive can hold", path);
	snprintf(header, sizeof(header),
		 "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		 next_inode++, mode, 0u, 0u, S_ISDIR(mode) ? 2u : 1u, 0u,
		 (u32)size_bytes, 0u, 0u, major(rdev), minor(rdev),
		 (u32)name_bytes, 0u);
	put(header, 110);
	put(path, name_bytes);
	pad_to(4);
}

static void
put_file(const char *path, u32 mode, const char *source)
{
	char chunk[65536];
	struct stat st;
	u64 left;
	int fd = open(source, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0)
		fail("cannot open '%s': %s", source, strerror(errno));
	if (!S_ISREG(st.st_mode))
		fail("'%s' is not a regular file", source);
	put_header(path, S_IFREG | mode, (u64)st.st_size, 0);
	for (left = (u64)st.st_size; left != 0;) {
		ssize_t n = read(fd, chunk, MIN(left, sizeof(chunk)));

		if (n < 0)
			fail("cannot read '%s': %s", source, strerror(errno));
		if (n == 0)
			fail("'%s' shrank while it was read", source);
		put(chunk, (size_t)n);
		left -= (u64)n;
	}
	pad_to(4);
	close(fd);
}

static u32
octal(const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 8);

	if (*text == '\0' || *end != '\0' || v > 07777)
		fail("'%s' is not an octal mode", text);
	return (u32)v;
}

static unsigned
number(const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || v > 0xfffff)
		fail("'%s' is not a device number", text);
	return (unsigned)v;
}

static void
put_entry(char **field, unsigned count)
{
	if (count < 2 || field[1][0] != '/')
		fail("an entry needs a kind and an absolute path");
	if (strcmp(field[0], "dir") == 0 && count == 3) {
		put_header(field[1], S_IFDIR | octal(field[2]), 0, 0);
	} else if (strcmp(field[0], "file") == 0 && count == 4) {
		put_file(field[1], octal(field[2]), field[3]);
	} else if (strcmp(field[0], "link") == 0 && count == 3) {
		put_header(field[1], S_IFLNK | 0777, strlen(field[2]), 0);
		put(field[2], strlen(field[2]));
		pad_to(4);
	} else if (strcmp(field[0], "node") == 0 && count == 6) {
		u32 kind = field[3][0] == 'b' ? S_IFBLK : S_IFCHR;

		put_header(field[1], kind | octal(field[2]), 0,
			   makedev(number(field[4]), number(field[5])));
	} else {
		fail("'%s' with %u fields is no entry", field[0], count);
	}
}

int
main(void)
{
	char *line = NULL;
	size_t room_bytes = 0;

	while (getline(&line, &room_bytes, stdin) > 0) {
		char *field[MAX_FIELDS + 1], *rest = line, *word;
		unsigned count = 0;

		line_number++;
		if (line[0] == '#')
			continue;
		while ((word = strsep(&rest, " \t\n")) != NULL)
			if (*word != '\0' && count <= MAX_FIELDS)
				field[count++] = word;
		if (count != 0)
			put_entry(field, count);
	}
	if (line_number == 0)
		fail("the list is empty");
	next_inode = 0;
	put_header("TRAILER!!!", 0, 0, 0);
	pad_to(BLOCK_BYTES);
	if (fflush(stdout) != 0)
		fail("cannot write the archive: %s", strerror(errno));
	free(line);
	return 0;
}
