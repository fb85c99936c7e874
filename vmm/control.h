/* SPDX-License-Identifier: BSD-2-Clause */
/* control - the control socket
 *
 * What:    a Unix stream socket, mode 0600, that takes one JSON object a line
 *          and answers each with one line, in order:
 *            {"cmd": "query", "id": 1}  ->  {"ok": true, ..., "id": 1}
 *            {"cmd": "dance"}           ->  {"ok": false, "error": "..."}
 *          Commands: query, stats, pause, continue, powerdown, quit. id is any
 *          JSON value and comes back as it was; it may be left out. Up to
 *          CONTROL_CLIENTS clients at once; a line may have CONTROL_LINE_MAX
 *          bytes, a longer one gets one error and the connection is closed. A
 *          client that does not read its answers is not read from.
 * Model:   docs/spindle.1, "CONTROL SOCKET".
 * Units:   bytes.
 * Threads: open and close on the machine's thread. One thread of its own
 *          serves; it sleeps in poll() without a timeout.
 * Owns:    the socket file and "<path>.lock", both removed by control_close().
 *          An OFD lock on the latter, which dies with its holder, says whose
 *          the socket is: files left by a dead process are replaced.
 * Errors:  -EADDRINUSE another machine holds the socket; -EEXIST something
 *          that is not a socket is in the way; -ENAMETOOLONG; others of
 *          open(2) and bind(2). All with a sentence.
 */
#ifndef VMM_CONTROL_H
#define VMM_CONTROL_H

#include "base/err.h"

#define CONTROL_LINE_MAX 65536
#define CONTROL_CLIENTS	 16

struct control;
struct machine;

int control_open(struct control **out, const char *path, struct machine *m,
		 struct err *e) MUST_CHECK;
void control_close(struct control *c); /* NULL is allowed */

/* The answer to one line, with its newline; free() it. NULL when out of
 * memory. */
char *control_answer(struct machine *m, const char *line, size_t count);

#endif
