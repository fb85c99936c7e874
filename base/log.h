/* SPDX-License-Identifier: BSD-2-Clause */
/* log - what the program tells its user on stderr
 *
 * What:    one line a message, "spindle: text". log_guest() is for what a
 *          guest did wrong: each call site prints at most
 *          LOG_GUEST_BURST lines, then says once that it goes quiet.
 * Threads: any thread; a line is written with one write().
 * Owns:    nothing.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdatomic.h>

#include "base/bits.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

#define LOG_GUEST_BURST 10

/* Messages above this level are dropped. LOG_WARN at start; -v raises it. */
void log_set_level(enum log_level level);
enum log_level log_level(void);

void log_at(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/* Where output lines end: "\r\n" while the terminal is in raw mode. */
void log_set_raw_terminal(bool raw);

void log_guest_at(atomic_uint *count, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define log_guest(...) \
	do { \
		static atomic_uint log_guest_count_; \
		log_guest_at(&log_guest_count_, __VA_ARGS__); \
	} while (0)

#endif
