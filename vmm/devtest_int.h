/* SPDX-License-Identifier: BSD-2-Clause */
/* devtest_int - what the files of the device-test socket share
 *
 * What:    devtest.c moves lines, devtest_cmd.c answers one, devtest_text.c
 *          turns bytes into text and back.
 * Threads: d->lock guards what both threads touch.
 * Owns:    a reply owns its text, until devtest_reply_release().
 */
#ifndef VMM_DEVTEST_INT_H
#define VMM_DEVTEST_INT_H

#include <stdatomic.h>

#include "base/lock.h"
#include "vmm/control_int.h"
#include "vmm/devtest.h"

/* So many bytes of "IRQ ..." lines may wait for a client that does not read;
 * more than that, and it is dropped. */
#define DEVTEST_NEWS_BYTES 65536

/* How many timers one clock_step or clock_set may let fire. */
#define DEVTEST_FIRINGS_MAX 1000000U

struct devtest {
	struct lock lock;
	size_t news_count;	       /* [lock] */
	bool news_lost;		       /* [lock] */
	char news[DEVTEST_NEWS_BYTES]; /* [lock] IRQ lines to be sent */

	struct machine *machine; /* [const] */
	struct control_socket socket;
	int wake_fd;
	atomic_bool stop; /* [atomic] set before wake_fd is written */
	bool running;
	pthread_t thread;

	bool intercepts; /* [vcpu] the client wants IRQ lines */
	bool in_line;	 /* [vcpu] its reply will carry the news along */
	u32 irq_told;	 /* [vcpu] levels the client was told */

	/* the serving thread's */
	int fd; /* the client, -1: none */
	size_t in_count;
	char *in; /* DEVTEST_LINE_MAX bytes */
};

struct devtest_reply {
	char *text; /* NULL without memory */
	size_t count;
};

/* Answers a line, which has count bytes without its end and room for a NUL,
 * and is cut into words. Any thread. */
void devtest_command(struct devtest *d, char *line, size_t count,
		     struct devtest_reply *reply);
void devtest_reply_release(struct devtest_reply *reply);

/* Hexadecimal digits, two a byte, and base64 (RFC 4648 section 4, padded).
 * to: room for the text and a NUL; returns its size. from: the bytes that the
 * text has, at most room, or -EINVAL. */
size_t devtest_to_hex(char *text, const u8 *bytes, size_t count);
ssize_t devtest_from_hex(u8 *bytes, size_t room, const char *text);
size_t devtest_to_base64(char *text, const u8 *bytes, size_t count);
ssize_t devtest_from_base64(u8 *bytes, size_t room, const char *text);

#define DEVTEST_HEX_BYTES(n)	(2 * (n) + 1)
#define DEVTEST_BASE64_BYTES(n) (((n) + 2) / 3 * 4 + 1)

#endif
