/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "vmm/devtest_int.h"

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789+/";

size_t
devtest_to_hex(char *text, const u8 *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		text[2 * i] = hex_digits[bytes[i] >> 4];
		text[2 * i + 1] = hex_digits[bytes[i] & 15];
	}
	text[2 * count] = '\0';
	return 2 * count;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

ssize_t
devtest_from_hex(u8 *bytes, size_t room, const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text += 2) {
		int high = hex_value(text[0]);
		int low = high >= 0 ? hex_value(text[1]) : -1;

		if (low < 0)
			return -EINVAL;
		if (n < room)
			bytes[n++] = (u8)(high << 4 | low);
	}
	return (ssize_t)n;
}

size_t
devtest_to_base64(char *text, const u8 *bytes, size_t count)
{
	char *p = text;

	for (size_t i = 0; i < count; i += 3) {
		u32 v = (u32)bytes[i] << 16;

		if (i + 1 < count)
			v |= (u32)bytes[i + 1] << 8;
		if (i + 2 < count)
			v |= bytes[i + 2];
		*p++ = base64_digits[v >> 18];
		*p++ = base64_digits[v >> 12 & 63];
		*p++ = i + 1 < count ? base64_digits[v >> 6 & 63] : '=';
		*p++ = i + 2 < count ? base64_digits[v & 63] : '=';
	}
	*p = '\0';
	return (size_t)(p - text);
}

/* Digits, then at most two '=' that fill the last four. */
ssize_t
devtest_from_base64(u8 *bytes, size_t room, const char *text)
{
	size_t size = strlen(text), digits = strspn(text, base64_digits);
	size_t n = 0;
	u32 v = 0;

	if (size % 4 != 0 || size - digits > 2 ||
	    strspn(text + digits, "=") != size - digits)
		return -EINVAL;
	for (size_t i = 0; i < digits; i++) {
		const char *at = strchr(base64_digits, text[i]);

		assert(at != NULL);
		v = v << 6 | (u32)(at - base64_digits);
		/* digits 2, 3 and 4 of each four complete a byte */
		if (i % 4 != 0 && n < room)
			bytes[n++] = (u8)(v >> (6 - 2 * (i % 4)));
	}
	return (ssize_t)n;
}
