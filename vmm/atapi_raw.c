/* SPDX-License-Identifier: BSD-2-Clause */
/* atapi_raw - sectors as they lie on a CD
 *
 * ECMA-130 14.2 (mode 1) and annexes A (error correction) and B (error
 * detection): 12 bytes of sync, 4 of header, 2048 of data, 4 of EDC, 8 zeros,
 * 172 bytes of P parity and 104 of Q parity.
 */
#include "vmm/atapi_int.h"

#define SYNC_BYTES   12U
#define HEADER_BYTES 4U
#define EDC_BYTES    4U
#define ECC_BYTES    288U /* EDC, zeros, P and Q */
#define DATA_AT	     (SYNC_BYTES + HEADER_BYTES)
#define EDC_AT	     (DATA_AT + ATAPI_BLOCK_BYTES)
#define P_AT	     (EDC_AT + 12)
#define P_COLUMNS    86U
#define P_ROWS	     24U
#define Q_AT	     (P_AT + 2 * P_COLUMNS)
#define Q_DIAGONALS  52U
#define Q_ROWS	     43U
#define RAW_BYTES    (Q_AT + 2 * Q_DIAGONALS)

static_assert(RAW_BYTES == 2352 && EDC_AT + ECC_BYTES == RAW_BYTES,
	      "a sector of a CD");

void
atapi_msf(u8 msf[3], u32 lba)
{
	u32 frames = lba + ATAPI_MSF_LEAD_IN;

	msf[0] = (u8)(frames / (60 * 75));
	msf[1] = (u8)(frames / 75 % 60);
	msf[2] = (u8)(frames % 75);
}

static u8
to_bcd(u8 v)
{
	return (u8)(v / 10 << 4 | v % 10);
}

/* Annex B: (x^16 + x^15 + x^2 + 1)(x^16 + x^2 + x + 1), least significant bit
 * first. */
static u32
edc(const u8 *p, size_t size_bytes)
{
	u32 v = 0;

	for (size_t i = 0; i < size_bytes; i++) {
		v ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			v = v >> 1 ^ (v & 1 ? 0xd8018001U : 0);
	}
	return v;
}

/* Annex A: GF(2^8) with x^8 + x^4 + x^3 + x^2 + 1 */
static u8
times_alpha(u8 v)
{
	return (u8)(v << 1 ^ (v & 0x80 ? 0x1d : 0));
}

static u8
multiply(u8 a, u8 b)
{
	u8 v = 0;

	for (; b != 0; b >>= 1, a = times_alpha(a))
		if (b & 1)
			v ^= a;
	return v;
}

/* Two parity bytes of a code word whose n bytes begin at p[first], step bytes
 * apart, modulo wrap. With the parity it is a multiple of (x + 1)(x + alpha):
 * the sum is 0, and so is the value at alpha. */
static void
parity(const u8 *p, u32 first, u32 step, u32 wrap, u32 n, u8 out[2])
{
	u8 sum = 0, value = 0;

	for (u32 i = 0, at = first; i < n; i++) {
		sum ^= p[at];
		value = times_alpha(value ^ p[at]);
		at = (at + step) % wrap;
	}
	/* out[0] + out[1] = sum, alpha out[0] + out[1] = alpha value; the
	 * inverse of alpha + 1 is 244 */
	value = times_alpha(value);
	out[0] = multiply(sum ^ value, 0xf4);
	out[1] = sum ^ out[0];
}

/* The words lie interleaved: bytes 2k and 2k + 1 are of different words. */
static void
add_parity(u8 *sector)
{
	u8 *p = sector + SYNC_BYTES;
	u8 two[2];

	for (u32 i = 0; i < P_COLUMNS; i++) {
		parity(p, i, P_COLUMNS, P_COLUMNS * P_ROWS, P_ROWS, two);
		sector[P_AT + i] = two[0];
		sector[P_AT + P_COLUMNS + i] = two[1];
	}
	for (u32 i = 0; i < Q_DIAGONALS; i++) {
		parity(p, i / 2 * P_COLUMNS + i % 2, P_COLUMNS + 2,
		       Q_DIAGONALS * Q_ROWS, Q_ROWS, two);
		sector[Q_AT + i] = two[0];
		sector[Q_AT + Q_DIAGONALS + i] = two[1];
	}
}

static void
make_sector(u8 sector[RAW_BYTES], const u8 *data, u32 lba)
{
	u8 msf[3];

	memset(sector, 0, RAW_BYTES);
	memset(sector + 1, 0xff, SYNC_BYTES - 2);
	atapi_msf(msf, lba);
	for (int i = 0; i < 3; i++)
		sector[SYNC_BYTES + i] = to_bcd(msf[i]);
	sector[SYNC_BYTES + 3] = 1; /* mode */
	memcpy(sector + DATA_AT, data, ATAPI_BLOCK_BYTES);
	put_le32(sector + EDC_AT, edc(sector, EDC_AT));
	add_parity(sector);
}

static const struct {
	u8 field;
	u16 at, size_bytes;
} fields_of_a_sector[] = {
    {FIELD_SYNC, 0, SYNC_BYTES},
    {FIELD_HEADER, SYNC_BYTES, HEADER_BYTES},
    {FIELD_DATA, DATA_AT, ATAPI_BLOCK_BYTES},
    {FIELD_ECC, EDC_AT, ECC_BYTES},
};

u32
atapi_raw_bytes(u8 fields)
{
	u32 size_bytes = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fields_of_a_sector); i++)
		if (fields & fields_of_a_sector[i].field)
			size_bytes += fields_of_a_sector[i].size_bytes;
	return size_bytes;
}

void
atapi_raw_sector(u8 *out, const u8 data[ATAPI_BLOCK_BYTES], u32 lba, u8 fields)
{
	u8 sector[RAW_BYTES];

	make_sector(sector, data, lba);
	for (size_t i = 0; i < ARRAY_SIZE(fields_of_a_sector); i++) {
		u32 n = fields_of_a_sector[i].size_bytes;

		if (!(fields & fields_of_a_sector[i].field))
			continue;
		memcpy(out, sector + fields_of_a_sector[i].at, n);
		out += n;
	}
}
