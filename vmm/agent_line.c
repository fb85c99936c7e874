/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/agent_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

void
agent_wake(struct agent *a)
{
	u64 one = 1;
	int saved = errno;

	/* A full counter is awake enough. */
	if (write(a->wake_fd, &one, sizeof(one)) < 0)
		errno = saved;
	errno = saved;
}

static void break_talk(struct agent *a, const char *fmt, ...) PRINTF_LIKE(2, 3)
    REQUIRES(a->lock);

/* The first trouble is the one that is told. */
static void
break_talk(struct agent *a, const char *fmt, ...)
{
	va_list ap;

	if (a->trouble[0] == '\0') {
		va_start(ap, fmt);
		vsnprintf(a->trouble, sizeof(a->trouble), fmt, ap);
		va_end(ap);
	}
	a->talk = BROKEN;
}

/* From the guest: on the vCPU thread, under the lock. */

static void
take_hello(struct agent *a, const u8 *p) REQUIRES(a->lock)
{
	if (a->talk != SILENT) {
		break_talk(a, "the agent in the guest started a second time");
		return;
	}
	if (get_le32(p) != AGENT_VERSION) {
		break_talk(a,
			   "the agent in the guest speaks version %u of the "
			   "protocol, not %u",
			   get_le32(p), AGENT_VERSION);
		return;
	}
	a->up = true;
	a->talk = RUNNING;
	a->input_credit = AGENT_WINDOW;
	a->up_ns = clock_now_ns() - a->open_ns;
	a->up_cpu_ns = clock_cpu_ns();
	a->up_guest_ns = get_le64(p + 8);
}

static void
take_output(struct agent *a, struct stream *s, const u8 *bytes, size_t count)
    REQUIRES(a->lock)
{
	size_t end = (s->at + s->count) % AGENT_WINDOW;
	size_t first = MIN(count, AGENT_WINDOW - end);

	if (s->reader_gone)
		return;
	if (count > AGENT_WINDOW - s->count) {
		break_talk(a, "the agent in the guest sent more output than "
			      "it was given room for");
		return;
	}
	memcpy(s->ring + end, bytes, first);
	memcpy(s->ring, bytes + first, count - first);
	s->count += count;
}

static void
take_exit(struct agent *a, u32 code, u32 signo) REQUIRES(a->lock)
{
	if (code > 255 || signo > 127 || (code != 0 && signo != 0)) {
		break_talk(a, "the agent in the guest reported an exit status "
			      "that cannot be");
		return;
	}
	a->status = signo != 0 ? 128 + (int)signo : (int)code;
	a->talk = ENDED;
}

static void
take_credit(struct agent *a, u32 stream, u32 count) REQUIRES(a->lock)
{
	if (stream != AGENT_STDIN || count > AGENT_WINDOW - a->input_credit)
		break_talk(a, "the agent in the guest gave more room for input "
			      "than there is");
	else
		a->input_credit += count;
}

static void
take_frame(struct agent *a) REQUIRES(a->lock)
{
	const u8 *p = agent_frame_payload(&a->parser);
	size_t size_bytes = agent_frame_size(&a->parser);
	u32 first = size_bytes >= 4 ? get_le32(p) : UINT32_MAX;
	u32 second = size_bytes >= 8 ? get_le32(p + 4) : UINT32_MAX;
	u8 type = agent_frame_type(&a->parser);

	if (type == AGENT_HELLO && size_bytes == AGENT_HELLO_BYTES)
		take_hello(a, p);
	else if (a->talk != RUNNING)
		break_talk(a, "the agent in the guest spoke out of turn");
	else if (type == AGENT_OUTPUT)
		take_output(a, &a->out[AGENT_STDOUT], p, size_bytes);
	else if (type == AGENT_ERROR_OUTPUT)
		take_output(a, &a->out[AGENT_STDERR], p, size_bytes);
	else if (type == AGENT_EXIT)
		take_exit(a, first, second);
	else if (type == AGENT_CREDIT)
		take_credit(a, first, second);
	else if (type == AGENT_CLOSE && first == AGENT_STDIN)
		a->input_unwanted = true;
	else
		break_talk(a,
			   "the agent in the guest sent a frame of type %u "
			   "that has no meaning here",
			   type);
}

static void
from_guest(struct chardev *cd, const u8 *bytes, size_t count)
{
	struct agent *a = CONTAINER_OF(cd, struct agent, chardev);
	bool news = false;

	lock_acquire(&a->lock);
	while (count != 0 && a->talk != BROKEN) {
		size_t used;
		enum agent_event event =
		    agent_parser_feed(&a->parser, bytes, count, &used);

		bytes += used;
		count -= used;
		if (event == AGENT_BROKEN)
			break_talk(a, "what the agent in the guest sends is "
				      "garbled");
		else if (event == AGENT_FRAME)
			take_frame(a);
		news |= event != AGENT_MORE;
	}
	lock_release(&a->lock);
	if (news)
		agent_wake(a);
}

/* To the guest. A frame is handed over by whoever finds it: the thread that
 * made it, or the vCPU thread when the UART has room again. The one that is
 * at it goes on until the UART is full or the frame is gone, and the other
 * only leaves word. */
static void
pump(struct agent *a) EXCLUDES(a->lock)
{
	bool sent = false;

	lock_acquire(&a->lock);
	if (a->pumping) {
		a->pump_again = true;
		lock_release(&a->lock);
		return;
	}
	a->pumping = true;
	do {
		size_t at = a->tx_at, count = a->tx_count, taken = 0;

		a->pump_again = false;
		lock_release(&a->lock);
		if (at != count)
			taken = a->outside.input(a->outside.arg, a->tx + at,
						 count - at);
		assert(taken <= count - at);
		lock_acquire(&a->lock);
		a->tx_at += taken;
		sent |= taken != 0 && a->tx_at == a->tx_count;
		if (taken != 0 && a->tx_at != a->tx_count)
			a->pump_again = true;
	} while (a->pump_again);
	a->pumping = false;
	lock_release(&a->lock);
	if (sent)
		agent_wake(a); /* there may be a next frame */
}

static void
guest_ready(struct chardev *cd)
{
	struct agent *a = CONTAINER_OF(cd, struct agent, chardev);
	bool waiting;

	lock_acquire(&a->lock);
	waiting = a->tx_at != a->tx_count;
	lock_release(&a->lock);
	if (waiting)
		pump(a);
}

void
agent_line_send(struct agent *a, u8 type, size_t size_bytes) EXCLUDES(a->lock)
{
	size_t count = agent_frame_seal(a->tx, type, a->seq++, size_bytes);

	lock_acquire(&a->lock);
	a->tx_at = 0;
	a->tx_count = count;
	lock_release(&a->lock);
	pump(a);
}

void
agent_line_send2(struct agent *a, u8 type, u32 first, u32 second)
    EXCLUDES(a->lock)
{
	put_le32(a->tx + AGENT_HEADER_BYTES, first);
	put_le32(a->tx + AGENT_HEADER_BYTES + 4, second);
	agent_line_send(a, type, 8);
}

void
agent_line_init(struct agent *a)
{
	agent_parser_init(&a->parser);
	a->chardev.write = from_guest;
	a->chardev.ready = guest_ready;
}
