/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_devtest - any lines on the device-test socket
 *
 * A machine is opened once; every line of an input is answered by the code
 * behind its socket, with the devices of the whole board behind that. Each
 * gets one reply, which is one line that begins with OK or FAIL.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/boot_rig.h"
#include "tests/fake_hv.h"
#include "vmm/devtest_int.h"
#include "vmm/machine_int.h"

#define LINE_BYTES 4096

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct machine *machine;

static void
close_machine(void)
{
	machine_close(machine);
}

static void
open_machine(void)
{
	struct machine_config cfg = {.memory_bytes = 32 << 20};
	struct err e = {""};
	char name[40];

	snprintf(name, sizeof(name), "fuzz-devtest-%d", (int)getpid());
	cfg.device_test = rig_path(name);
	fake_hv_script(NULL, 0);
	if (machine_open_ops(&machine, &cfg, &fake_hv_ops, &e) != 0) {
		fprintf(stderr, "%s\n", e.text);
		abort();
	}
	atexit(close_machine);
}

static void
answer(const u8 *data, size_t size)
{
	static char line[LINE_BYTES + 1];
	struct devtest_reply reply;

	size = MIN(size, LINE_BYTES);
	memcpy(line, data, size);
	devtest_command(machine->devtest, line, size, &reply);
	assert(reply.text != NULL && reply.count == strlen(reply.text));
	assert(strncmp(reply.text, "OK", 2) == 0 ||
	       strncmp(reply.text, "FAIL ", 5) == 0);
	assert(strchr(reply.text, '\n') == reply.text + reply.count - 1);
	devtest_reply_release(&reply);
}

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct err e = {""};
	int rc;

	if (machine == NULL)
		open_machine();
	while (size != 0) {
		const u8 *end = memchr(data, '\n', size);
		size_t n = end != NULL ? (size_t)(end - data) : size;

		answer(data, n);
		n = MIN(n + 1, size);
		data += n;
		size -= n;
	}
	rc = machine_reset(machine, &e);
	assert(rc == 0);
	return 0;
}
