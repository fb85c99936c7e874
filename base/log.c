/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static atomic_int level_now = LOG_WARN;
static atomic_bool raw_terminal;

void
log_set_level(enum log_level level)
{
	atomic_store(&level_now, level);
}

enum log_level
log_level(void)
{
	return atomic_load(&level_now);
}

void
log_set_raw_terminal(bool raw)
{
	atomic_store(&raw_terminal, raw);
}

static void
log_line(const char *fmt, va_list ap)
{
	char line[1024];
	int n, text_bytes, room;

	n = snprintf(line, sizeof(line), "spindle: ");
	room = (int)sizeof(line) - n - 3;
	text_bytes = vsnprintf(line + n, (size_t)room, fmt, ap);
	n += text_bytes < room ? MAX(text_bytes, 0) : room - 1;
	if (atomic_load(&raw_terminal))
		line[n++] = '\r';
	line[n++] = '\n';
	/* Nobody is left to be told when stderr itself fails. */
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

void
log_at(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level > log_level())
		return;
	va_start(ap, fmt);
	log_line(fmt, ap);
	va_end(ap);
}

void
log_guest_at(atomic_uint *count, const char *fmt, ...)
{
	unsigned n = atomic_fetch_add(count, 1);
	va_list ap;

	if (n > LOG_GUEST_BURST || log_level() < LOG_WARN) {
		if (n > LOG_GUEST_BURST) /* never wraps back to chatter */
			atomic_store(count, LOG_GUEST_BURST + 1);
		return;
	}
	if (n == LOG_GUEST_BURST) {
		log_at(LOG_WARN, "guest: more of the same is not shown");
		return;
	}
	va_start(ap, fmt);
	log_line(fmt, ap);
	va_end(ap);
}
