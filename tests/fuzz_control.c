/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_control - any bytes on the control socket
 *
 * A machine with its control socket is opened once; each input is sent to it
 * over a connection of its own. Every line gets exactly one answer, which is a
 * JSON object with "ok"; a line that is too long gets one and ends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/boot_rig.h"
#include "tests/fake_hv.h"
#include "vmm/control.h"
#include "vmm/machine_int.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct machine *machine;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void
close_machine(void)
{
	machine_close(machine);
}

static void
open_machine(void)
{
	static u8 image[RIG_IMAGE_MAX];
	struct machine_config cfg = {.memory_bytes = 32 << 20};
	struct err e = {""};
	char name[40];
	int rc;

	snprintf(name, sizeof(name), "fuzz-%d", (int)getpid());
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s",
		 rig_path(name));
	snprintf(name, sizeof(name), "fuzz-kernel-%d", (int)getpid());
	cfg.kernel = /* in rig_path()'s buffer from now on */
	    rig_file(name, image, rig_bzimage(image, (const u8 *)"\xf4", 1));
	cfg.ctl_path = address.sun_path;
	fake_hv_script(NULL, 0);
	rc = machine_open_ops(&machine, &cfg, &fake_hv_ops, &e);
	unlink(cfg.kernel);
	if (rc != 0) {
		fprintf(stderr, "%s\n", e.text);
		abort();
	}
	atexit(close_machine);
}

/* How many answers the bytes must get. */
static size_t
expected(const u8 *data, size_t size)
{
	size_t n = 0;

	while (size != 0) {
		const u8 *end = memchr(data, '\n', size);
		size_t line = end != NULL ? (size_t)(end - data) : size;

		n++;
		if (line > CONTROL_LINE_MAX)
			break;
		line = MIN(line + 1, size);
		data += line;
		size -= line;
	}
	return n;
}

static void
check_answer(const char *line, size_t count)
{
	json_t *j = json_loadb(line, count, 0, NULL);

	assert(j != NULL && json_is_boolean(json_object_get(j, "ok")));
	assert(json_is_true(json_object_get(j, "ok")) ||
	       json_is_string(json_object_get(j, "error")));
	json_decref(j);
}

/* Takes whole lines out of buf; returns how many there were. */
static size_t
take_lines(char *buf, size_t *count)
{
	size_t n = 0, at = 0;
	char *end;

	while ((end = memchr(buf + at, '\n', *count - at)) != NULL) {
		check_answer(buf + at, (size_t)(end - (buf + at)));
		at = (size_t)(end - buf) + 1;
		n++;
	}
	memmove(buf, buf + at, *count - at);
	*count -= at;
	return n;
}

/* Sends and listens at once: a server that waits for us must not make us wait
 * for it. */
static size_t
converse(int fd, const u8 *data, size_t size)
{
	static char buf[4 * CONTROL_LINE_MAX * 6];
	size_t sent = 0, held = 0, answers = 0;
	ssize_t n;

	for (;;) {
		struct pollfd p = {.fd = fd,
				   .events =
				       sent < size ? POLLIN | POLLOUT : POLLIN};

		n = poll(&p, 1, 60000);
		assert(n == 1);
		if (p.revents & POLLOUT) {
			n = send(fd, data + sent, size - sent, MSG_NOSIGNAL);
			if (n < 0 && errno != EAGAIN)
				sent = size; /* it closed: too long a line */
			else if (n > 0)
				sent += (size_t)n;
			if (sent == size)
				shutdown(fd, SHUT_WR);
		}
		if (!(p.revents & (POLLIN | POLLHUP | POLLERR)))
			continue;
		n = recv(fd, buf + held, sizeof(buf) - held, 0);
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n <= 0)
			break;
		held += (size_t)n;
		answers += take_lines(buf, &held);
		assert(held < sizeof(buf));
	}
	assert(held == 0);
	return answers;
}

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	int fd, rc;
	size_t answers;

	if (machine == NULL)
		open_machine();
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert(fd >= 0);
	rc = connect(fd, (struct sockaddr *)&address, sizeof(address));
	assert(rc == 0);
	rc = fcntl(fd, F_SETFL, O_NONBLOCK);
	assert(rc == 0);
	if (size == 0)
		shutdown(fd, SHUT_WR);
	answers = converse(fd, data, size);
	assert(answers == expected(data, size));
	close(fd);
	return 0;
}
