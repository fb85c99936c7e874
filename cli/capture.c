/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/capture.h"

#include <errno.h>
#include <unistd.h>

static void
put(const u8 *bytes, size_t count)
{
	while (count != 0) {
		ssize_t n = write(STDERR_FILENO, bytes, count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return; /* nobody is left to be told */
		bytes += n;
		count -= (size_t)n;
	}
}

static void
take(struct chardev *cd, const u8 *bytes, size_t count)
{
	struct capture *c = CONTAINER_OF(cd, struct capture, chardev);

	if (c->loud)
		put(bytes, count);
	for (size_t i = 0; i < count; i++)
		c->ring[c->total++ % CAPTURE_BYTES] = bytes[i];
}

void
capture_init(struct capture *c, bool loud)
{
	memset(c, 0, sizeof(*c));
	c->chardev.write = take;
	c->loud = loud;
}

void
capture_show(const struct capture *c)
{
	u64 begin = c->total - MIN(c->total, CAPTURE_BYTES), at = c->total;
	u8 text[CAPTURE_BYTES + 1];
	unsigned lines = 0;
	size_t count = 0;

	if (c->loud || c->total == 0)
		return;
	for (; at > begin; at--) /* the newline before the first line shown */
		if (c->ring[(at - 1) % CAPTURE_BYTES] == '\n' &&
		    at != c->total && ++lines == CAPTURE_LINES)
			break;
	for (; at < c->total; at++)
		if (c->ring[at % CAPTURE_BYTES] != '\r')
			text[count++] = c->ring[at % CAPTURE_BYTES];
	if (count != 0 && text[count - 1] != '\n')
		text[count++] = '\n';
	put(text, count);
}
