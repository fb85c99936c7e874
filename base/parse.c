/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/parse.h"

#include <errno.h>
#include <strings.h>

/* -1 where c is no digit of that base. */
static int
digit(char c, unsigned radix)
{
	int d;

	if (c >= '0' && c <= '9')
		d = c - '0';
	else if (c >= 'a' && c <= 'f')
		d = c - 'a' + 10;
	else if (c >= 'A' && c <= 'F')
		d = c - 'A' + 10;
	else
		return -1;
	return (unsigned)d < radix ? d : -1;
}

/* Reads digits from *p and leaves it behind them. -EINVAL without a digit,
 * -ERANGE past 64 bits. */
static int
read_digits(const char **p, u64 *value)
{
	unsigned radix = 10;
	bool wraps = false;
	u64 v = 0;
	int d;

	if ((*p)[0] == '0' && ((*p)[1] == 'x' || (*p)[1] == 'X')) {
		radix = 16;
		*p += 2;
	}
	if (digit(**p, radix) < 0)
		return -EINVAL;
	for (; (d = digit(**p, radix)) >= 0; (*p)++) {
		wraps |= __builtin_mul_overflow(v, (u64)radix, &v);
		wraps |= __builtin_add_overflow(v, (u64)d, &v);
	}
	*value = v;
	return wraps ? -ERANGE : 0;
}

/* The shift that a size suffix stands for; -1 for none of ours. */
static int
suffix_shift(const char *p)
{
	static const char letters[] = "kmgt";
	const char *at;

	if (*p == '\0')
		return 0;
	at = strchr(letters, *p | 0x20);
	if (!at || *at == '\0')
		return -1;
	p++;
	if (*p != '\0' && strcasecmp(p, "b") != 0 && strcasecmp(p, "ib") != 0)
		return -1;
	return 10 * (int)(at - letters + 1);
}

int
parse_size(const char *text, u64 *size_bytes, struct err *e)
{
	const char *p = text;
	int rc, shift;
	u64 v = 0;

	rc = read_digits(&p, &v);
	shift = rc == -EINVAL ? -1 : suffix_shift(p);
	if (shift < 0)
		return err_set(e, -EINVAL, "'%s' is not a size like 512M or 2G",
			       text);
	if (rc == -ERANGE || v > UINT64_MAX >> shift)
		return err_set(e, -ERANGE, "the size '%s' is too large", text);
	*size_bytes = v << shift;
	return 0;
}

int
parse_u64(const char *text, u64 min, u64 max, u64 *value, struct err *e)
{
	const char *p = text;
	u64 v = 0;
	int rc;

	assert(min <= max);
	rc = read_digits(&p, &v);
	if (rc == -EINVAL || *p != '\0')
		return err_set(e, -EINVAL, "'%s' is not a number", text);
	if (rc == -ERANGE || v < min || v > max)
		return err_set(e, -ERANGE, "'%s' is not in %llu..%llu", text,
			       (unsigned long long)min,
			       (unsigned long long)max);
	*value = v;
	return 0;
}
