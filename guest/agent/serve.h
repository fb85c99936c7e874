/* SPDX-License-Identifier: BSD-2-Clause */
/* serve - the guest's end of the agent conversation
 *
 * What:    opens the serial line, says hello, and runs the commands the host
 *          asks for, one at a time, with pipes as their stdin, stdout and
 *          stderr. Bytes go between pipes and line under the flow control of
 *          base/agent_proto.h.
 * Threads: single-threaded; everything from the loop in init.c. Writes to the
 *          line block until the UART took them, which never waits for the
 *          host's programs: the host reads the line always.
 * Owns:    the line and the pipes of the command.
 * Errors:  serve_open() returns -errno. A broken conversation makes
 *          serve_run() return SERVE_BROKEN, and there is no way back.
 */
#ifndef AGENT_SERVE_H
#define AGENT_SERVE_H

#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>

#define SERVE_FDS 4

enum serve_result { SERVE_ON, SERVE_POWEROFF, SERVE_BROKEN };

int serve_open(const char *line_path);
void serve_close(void);

/* Has the host answered? */
bool serve_greeted(void);

/* Before poll(): fills fds[]. */
void serve_poll(struct pollfd fds[SERVE_FDS]);

/* After poll(). */
enum serve_result serve_run(const struct pollfd fds[SERVE_FDS]);

/* A child of process 1 has ended; perhaps it is the command. */
void serve_reaped(pid_t pid, int wait_status);

#endif
