/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/aml.h"

/* Opcodes, ACPI 20.3 */
enum {
	OP_ZERO = 0x00,
	OP_ONE = 0x01,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_EXT = 0x5b,
	OP_EXT_DEVICE = 0x82
};

#define PKG_LENGTH_BYTES 3 /* always the long form: room for 1 MiB */

/* Resource descriptors, ACPI 6.4.2 and 6.4.3 */
#define RES_IRQ	     0x22
#define RES_IO	     0x47
#define RES_END	     0x79
#define RES_WORD     0x88
#define RES_DWORD    0x87
#define IO_DECODE_16 0x01
#define WINDOW_FIXED 0x0c /* minimum and maximum are fixed, positive decode */
#define MEMORY_RW    0x01
#define IO_WHOLE     0x03

static void
put(struct aml *a, const void *bytes, size_t count)
{
	assert(count <= a->size_bytes - a->used);
	memcpy(a->buf + a->used, bytes, count);
	a->used += count;
}

static void
put8(struct aml *a, u8 v)
{
	put(a, &v, 1);
}

void
aml_init(struct aml *a, u8 *buf, size_t size_bytes)
{
	memset(a, 0, sizeof(*a));
	a->buf = buf;
	a->size_bytes = size_bytes;
}

static void
open(struct aml *a)
{
	static const u8 room[PKG_LENGTH_BYTES];

	assert(a->depth < AML_DEPTH);
	a->opened[a->depth++] = a->used;
	put(a, room, sizeof(room));
}

/* PkgLength counts itself. Bits 7..6 of the first byte say how many bytes
 * follow, its low nibble holds bits 3..0. */
void
aml_close(struct aml *a)
{
	size_t at, length;

	assert(a->depth > 0);
	at = a->opened[--a->depth];
	length = a->used - at;
	assert(length < 1 << 20);
	a->buf[at] = (u8)((PKG_LENGTH_BYTES - 1) << 6 | (length & 15));
	a->buf[at + 1] = (u8)(length >> 4);
	a->buf[at + 2] = (u8)(length >> 12);
}

static void
put_path(struct aml *a, const char *path)
{
	assert(strlen(path) == (path[0] == '\\' ? 5U : 4U));
	put(a, path, strlen(path));
}

void
aml_scope(struct aml *a, const char *path)
{
	put8(a, OP_SCOPE);
	open(a);
	put_path(a, path);
}

void
aml_device(struct aml *a, const char *name)
{
	put8(a, OP_EXT);
	put8(a, OP_EXT_DEVICE);
	open(a);
	put_path(a, name);
}

void
aml_name(struct aml *a, const char *name)
{
	put8(a, OP_NAME);
	put_path(a, name);
}

void
aml_package(struct aml *a, u8 count)
{
	put8(a, OP_PACKAGE);
	open(a);
	put8(a, count);
}

void
aml_integer(struct aml *a, u64 v)
{
	if (v <= 1) {
		put8(a, v ? OP_ONE : OP_ZERO);
	} else if (v <= UINT8_MAX) {
		put8(a, OP_BYTE);
		put(a, &v, 1);
	} else if (v <= UINT16_MAX) {
		put8(a, OP_WORD);
		put(a, &v, 2);
	} else if (v <= UINT32_MAX) {
		put8(a, OP_DWORD);
		put(a, &v, 4);
	} else {
		put8(a, OP_QWORD);
		put(a, &v, 8);
	}
}

void
aml_string(struct aml *a, const char *s)
{
	put8(a, OP_STRING);
	put(a, s, strlen(s) + 1);
}

static u32
hex(char c)
{
	return (u32)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* ACPI 19.6.36: three letters of five bits, four hex digits, big-endian. */
void
aml_eisa_id(struct aml *a, const char *id)
{
	u32 v;

	assert(strlen(id) == 7);
	v = (u32)(id[0] - '@') << 26 | (u32)(id[1] - '@') << 21 |
	    (u32)(id[2] - '@') << 16 | hex(id[3]) << 12 | hex(id[4]) << 8 |
	    hex(id[5]) << 4 | hex(id[6]);
	aml_integer(a, __builtin_bswap32(v));
}

static void
res_put(struct aml_resources *r, u64 v, unsigned size_bytes)
{
	assert(r->used + size_bytes <= sizeof(r->bytes));
	memcpy(r->bytes + r->used, &v, size_bytes);
	r->used += size_bytes;
}

void
aml_res_io(struct aml_resources *r, u16 port, u8 count)
{
	res_put(r, RES_IO, 1);
	res_put(r, IO_DECODE_16, 1);
	res_put(r, port, 2);
	res_put(r, port, 2);
	res_put(r, 1, 1); /* alignment */
	res_put(r, count, 1);
}

void
aml_res_irq(struct aml_resources *r, unsigned irq)
{
	res_put(r, RES_IRQ, 1);
	res_put(r, BIT(irq), 2);
}

static void
res_window(struct aml_resources *r, u8 tag, enum aml_space space, u64 first,
	   u64 last, unsigned width)
{
	res_put(r, tag, 1);
	res_put(r, 3 + 5 * width, 2);
	res_put(r, space, 1);
	res_put(r, WINDOW_FIXED, 1);
	res_put(r,
		space == AML_MEMORY ? MEMORY_RW
		: space == AML_IO   ? IO_WHOLE
				    : 0,
		1);
	res_put(r, 0, width); /* granularity */
	res_put(r, first, width);
	res_put(r, last, width);
	res_put(r, 0, width); /* translation */
	res_put(r, last - first + 1, width);
}

void
aml_res_word(struct aml_resources *r, enum aml_space space, u16 first, u16 last)
{
	res_window(r, RES_WORD, space, first, last, 2);
}

void
aml_res_dword(struct aml_resources *r, u32 first, u32 last)
{
	res_window(r, RES_DWORD, AML_MEMORY, first, last, 4);
}

void
aml_crs(struct aml *a, const struct aml_resources *r)
{
	aml_name(a, "_CRS");
	put8(a, OP_BUFFER);
	open(a);
	aml_integer(a, r->used + 2);
	put(a, r->bytes, r->used);
	put8(a, RES_END);
	put8(a, 0); /* checksum: 0 means it is not checked */
	aml_close(a);
}
