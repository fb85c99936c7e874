/* SPDX-License-Identifier: BSD-2-Clause */
/* control_int - the files behind the control socket
 *
 * What:    makes the listening socket and the lock file beside it, and takes
 *          them away again. The lock is what counts: who holds it may replace a
 *          socket that nobody listens on.
 * Threads: the opener's.
 * Owns:    both files and descriptors, until control_socket_close().
 * Errors:  as control.h.
 */
#ifndef VMM_CONTROL_INT_H
#define VMM_CONTROL_INT_H

#include <sys/types.h>

#include "base/err.h"

struct control_socket {
	const char *what;	/* in sentences: "control socket" */
	int listen_fd, lock_fd; /* -1: none */
	char *path, *lock_path;
	bool bound; /* the socket file is ours, and is this one: */
	dev_t dev;
	ino_t ino;
};

void control_socket_init(struct control_socket *s, const char *what);
int control_socket_open(struct control_socket *s, const char *path,
			struct err *e) MUST_CHECK;
void control_socket_close(struct control_socket *s);

#endif
