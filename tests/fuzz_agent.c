/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_agent - bytes from a hostile guest on the agent's line
 *
 * An input is a script for the guest's side: a byte says what comes next, a
 * well-formed frame whose type and payload follow, or raw bytes. So the fuzzer
 * reaches what lies behind the CRC.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/agent_proto.h"
#include "vmm/agent.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static size_t
input(void *arg, const u8 *bytes, size_t count)
{
	(void)arg;
	(void)bytes;
	return count;
}

static void
quit(void *arg)
{
	(void)arg;
}

static void
play(struct chardev *cd, const u8 *data, size_t size)
{
	static u8 frame[AGENT_MAX_FRAME];
	u8 seq = 0;

	while (size >= 3) {
		size_t n = MIN(get_le16(data + 1) & 0x3fff, size - 3);

		if (data[0] & 0x80) {
			cd->write(cd, data + 3, n);
		} else {
			memcpy(frame + AGENT_HEADER_BYTES, data + 3, n);
			cd->write(cd, frame,
				  agent_frame_seal(frame, data[0], seq++, n));
		}
		data += 3 + n;
		size -= 3 + n;
	}
}

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static char *const argv[] = {"true", NULL};
	static int null = -1;
	struct agent_config cfg = {.argv = argv};
	struct agent_outside outside = {input, quit, NULL};
	struct agent_result result;
	struct agent *a;
	struct err e;

	if (null < 0)
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
	cfg.fd[0] = cfg.fd[1] = cfg.fd[2] = null;
	signal(SIGPIPE, SIG_IGN);
	if (agent_open(&a, &cfg, &e) != 0 || agent_start(a, &outside, &e) != 0)
		abort();
	play(agent_chardev(a), data, size);
	agent_stop(a, &result);
	assert(!result.ended || result.up);
	assert(result.status >= 0 && result.status <= 255);
	agent_close(a);
	return 0;
}
