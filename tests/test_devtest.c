/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/boot_rig.h"
#include "tests/fake_hv.h"
#include "tests/vmm_rig.h"
#include "vmm/devtest_int.h"
#include "vmm/machine_int.h"

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static struct machine *m;
static struct machine_end end;
static pthread_t runner;
static FILE *peer;

static void *
run(void *arg)
{
	(void)arg;
	machine_run(m, &end);
	return NULL;
}

static void
start(void)
{
	struct machine_config cfg = {.memory_bytes = 32 << 20,
				     .device_test = address.sun_path};
	struct err e = {""};

	fake_hv_script(NULL, 0);
	memset(&end, 0, sizeof(end));
	assert_int_equal(machine_open_ops(&m, &cfg, &fake_hv_ops, &e), 0);
	assert_int_equal(pthread_create(&runner, NULL, run, NULL), 0);
}

static FILE *
open_peer(int fd)
{
	FILE *f = fdopen(fd, "r+");

	assert_non_null(f);
	setvbuf(f, NULL, _IOLBF, 4096);
	return f;
}

static int
dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address,
				 sizeof(address)),
			 0);
	return fd;
}

static int
setup(void **state)
{
	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s",
		 rig_path("devtest-sock"));
	start();
	peer = open_peer(dial());
	return 0;
}

/* The client goes, if it has not yet, and so does the machine. */
static void
stop(void)
{
	if (peer != NULL)
		fclose(peer);
	peer = NULL;
	assert_int_equal(pthread_join(runner, NULL), 0);
	machine_close(m);
	assert_int_not_equal(access(address.sun_path, F_OK), 0);
}

static int
teardown(void **state)
{
	(void)state;
	stop();
	return 0;
}

static const char *
next_line(void)
{
	static char line[4096];

	if (fgets(line, sizeof(line), peer) == NULL)
		return "(end)";
	line[strcspn(line, "\n")] = '\0';
	return line;
}

static void
say(const char *line)
{
	assert_true(fprintf(peer, "%s\n", line) > 0);
	fflush(peer);
	fseek(peer, 0, SEEK_CUR); /* from writing to reading */
}

static void
expect(const char *line, const char *reply)
{
	say(line);
	assert_string_equal(next_line(), reply);
}

static void
expect_fail(const char *line, const char *sentence)
{
	char want[200];

	snprintf(want, sizeof(want), "FAIL %s", sentence);
	expect(line, want);
}

/* --- accesses --------------------------------------------------------------
 */

static void
test_devtest_ports_take_all_sizes(void **state)
{
	(void)state;
	expect("outl 0xcf8 0x80000800", "OK");
	expect("inl 0xcf8", "OK 0x80000800");
	expect("inl 0xcfc", "OK 0x71108086"); /* PIIX4 */
	expect("inw 0xcfe", "OK 0x7110");
	expect("inb 0xcfd", "OK 0x0080");
	expect("outb 0x21 0x1ff", "OK"); /* only what fits is written */
	expect("inb 0x21", "OK 0x00ff");
	expect("outw 0x3ff 0", "OK");
	expect("inl 0xe000", "OK 0xffffffff"); /* nobody is there */
}

static void
test_devtest_memory_takes_all_sizes(void **state)
{
	(void)state;
	expect("writeq 0x100000 0x1122334455667788", "OK");
	expect("readb 0x100000", "OK 0x0000000000000088");
	expect("readw 0x100000", "OK 0x0000000000007788");
	expect("readl 0x100000", "OK 0x0000000055667788");
	expect("readq 0x100000", "OK 0x1122334455667788");
	expect("writeb 0x100003 0", "OK");
	expect("writew 0x100006 0xaabb", "OK");
	expect("writel 0x100008 0xdeadbeef", "OK");
	expect("read 0x100000 12", "OK 0x887766004433bbaaefbeadde");
}

static void
test_devtest_data_shorter_than_its_size_ends_in_zeros(void **state)
{
	(void)state;
	expect("memset 0x2000 8 0xff", "OK");
	expect("write 0x2000 4 0x0102", "OK");
	expect("read 0x2000 6", "OK 0x01020000ffff");
	expect("write 0x2000 2 0x0a0b0c", "OK");
	expect("read 0x2000 3", "OK 0x0a0b00");
	expect("memset 0x2000 0 1", "OK");
	expect("readb 0x2000", "OK 0x000000000000000a");
}

static void
test_devtest_base64_carries_bytes(void **state)
{
	(void)state;
	expect("memset 0x3000 8 0x55", "OK");
	expect("b64write 0x3000 3 QUJD", "OK");
	expect("b64write 0x3003 4 QQ==", "OK"); /* only one byte is there */
	expect("read 0x3000 5", "OK 0x4142434155");
	expect("b64read 0x3000 4", "OK QUJDQQ==");
	expect("b64read 0x3000 5", "OK QUJDQVU=");
}

static void
test_devtest_memory_crosses_ram_devices_and_nothing(void **state)
{
	(void)state;
	expect("read 0x9fffe 4", "OK 0x0000ffff"); /* the VGA hole */
	expect("memset 0x9fff0 64 0x77", "OK");
	expect("read 0x9fffe 4", "OK 0x7777ffff");
	expect("writel 0xfec00000 1", "OK"); /* I/O APIC: version */
	expect("readl 0xfec00010", "OK 0x0000000000170011");
	expect("readq 0xfffffffffffffff0", "OK 0xffffffffffffffff");
}

static void
test_devtest_firmware_interface_tells_the_size_of_memory(void **state)
{
	static const char *const ram[] = {"0x0000", "0x0000", "0x0000",
					  "0x0002", "0x0000", "0x0000",
					  "0x0000", "0x0000", "0x0000"};
	char want[20];

	(void)state;
	expect("outw 0x510 0", "OK");
	for (const char *c = "QEMU"; *c != '\0'; c++) {
		snprintf(want, sizeof(want), "OK 0x%04x", *c);
		expect("inb 0x511", want);
	}
	expect("outw 0x510 3", "OK");
	for (size_t i = 0; i < ARRAY_SIZE(ram); i++) {
		snprintf(want, sizeof(want), "OK %s", ram[i]);
		expect("inb 0x511", want);
	}
	expect("outw 0x510 5", "OK");
	expect("inb 0x511", "OK 0x0001");
	expect("inb 0x511", "OK 0x0000");
	expect("outw 0x510 0x19", "OK"); /* no files */
	expect("inb 0x511", "OK 0x0000");
}

/* --- interrupts and time ----------------------------------------------------
 */

static void
test_devtest_interrupts_come_before_the_reply(void **state)
{
	(void)state;
	expect("endianness", "OK little");
	expect("set_irq_in ioapic unnamed-gpio-in 5 1", "OK"); /* unheard */
	expect("irq_intercept_in ioapic", "OK");
	expect("irq_intercept_out /machine/unattached/ioapic", "OK");
	expect("set_irq_in ioapic unnamed-gpio-in 5 0", "OK");
	expect("set_irq_in ioapic unnamed-gpio-in 14 1", "IRQ raise 14");
	assert_string_equal(next_line(), "OK");
	expect("set_irq_in ioapic unnamed-gpio-in 14 1", "OK");
	expect("set_irq_in ioapic unnamed-gpio-in 14 0", "IRQ lower 14");
	assert_string_equal(next_line(), "OK");
}

static void
raise_later(void *ctx, void *arg)
{
	struct machine *machine = ctx;

	(void)arg;
	machine->piix.irq(machine->piix.ctx, 15, true);
}

static void
test_devtest_interrupts_come_between_lines(void **state)
{
	(void)state;
	expect("irq_intercept_in ioapic", "OK");
	mail_call(&m->mail, raise_later, NULL);
	assert_string_equal(next_line(), "IRQ raise 15");
	expect("inb 0x21", "OK 0x00ff");
}

static void
test_devtest_clock_stands_still_until_it_is_stepped(void **state)
{
	u64 end_ns = clock_now_ns() + 2 * NS_PER_MS;

	(void)state;
	expect("clock_step 0", "OK 0");
	while (clock_now_ns() < end_ns)
		;
	machine_pause(m); /* and continuing does not set it going */
	machine_continue(m);
	expect("clock_step 0", "OK 0");
	expect("clock_step 1500", "OK 1500");
	expect("clock_set 1000", "OK 1500");
	expect("clock_set 2000000", "OK 2000000");
}

static void
test_devtest_clock_step_stops_at_deadlines(void **state)
{
	(void)state;
	expect("irq_intercept_in ioapic", "OK");
	expect("outb 0x43 0x30", "OK"); /* counter 0, mode 0 */
	expect("outb 0x40 0", "OK");
	expect("outb 0x40 0x10", "OK"); /* 4096 ticks of 838 ns */
	say("clock_step");
	assert_string_equal(next_line(), "IRQ raise 0");
	assert_true(strncmp(next_line(), "OK 343", 6) == 0);
}

static void
test_devtest_clock_runs_every_timer_on_its_way(void **state)
{
	unsigned raised = 0;
	const char *line;

	(void)state;
	expect("outb 0x43 0x34", "OK"); /* counter 0, rate generator */
	expect("outb 0x40 0", "OK");
	expect("outb 0x40 0x10", "OK");
	expect("irq_intercept_in ioapic", "OK");
	say("clock_step 1000000000");
	while (strcmp(line = next_line(), "OK 1000000000") != 0)
		raised += strcmp(line, "IRQ raise 0") == 0;
	assert_in_range(raised, 290, 292); /* 1193182 / 4096 */
}

static void
test_devtest_clock_set_far_ahead_comes_back(void **state)
{
	(void)state;
	expect("outb 0x43 0x34", "OK");
	expect("outb 0x40 2", "OK");
	expect("outb 0x40 0", "OK");
	say("clock_set 0x7fffffffffffffff");
	assert_true(strncmp(next_line(), "OK ", 3) == 0);
	expect("endianness", "OK little");
}

static void
test_devtest_survives_a_reset_of_the_machine(void **state)
{
	(void)state;
	expect("writel 0x5000 1", "OK");
	expect("outb 0xcf9 6", "OK");
	expect("readl 0x5000", "OK 0x0000000000000000");
}

/* --- lines that make no sense ------------------------------------------------
 */

static void
test_devtest_refuses_with_a_sentence(void **state)
{
	(void)state;
	expect_fail("dance", "unknown command 'dance'");
	expect_fail("", "the line is empty");
	expect_fail("  \t\r", "the line is empty");
	expect_fail("inb", "'inb' takes 1 to 1 words");
	expect_fail("outb 1 2 3", "'outb' takes 2 to 2 words");
	expect_fail("set_irq_in a b c d e f g",
		    "'set_irq_in' takes 4 to 4 words");
	expect_fail("irq_intercept_in /machine/pit",
		    "there is no device '/machine/pit', only 'ioapic'");
	expect_fail("write 0 2 0x123",
		    "data is 0x and two hexadecimal digits a byte");
	expect_fail("write 0 2 1234",
		    "data is 0x and two hexadecimal digits a byte");
	expect_fail("b64write 0 2 AB", "data is base64 with its padding");
	expect_fail("b64write 0 2 A===", "data is base64 with its padding");
	expect_fail("b64write 0 2 A=BC", "data is base64 with its padding");
	expect_fail("read 0xffffffffffffffff 2",
		    "the range ends outside the address space");
	say("inb 0x10000");
	assert_non_null(strstr(next_line(), "FAIL"));
	say("inb zero");
	assert_non_null(strstr(next_line(), "FAIL"));
	say("read 0 0x1000001");
	assert_non_null(strstr(next_line(), "FAIL"));
	say("clock_step -1");
	assert_non_null(strstr(next_line(), "FAIL"));
	say("set_irq_in ioapic x 16 1");
	assert_non_null(strstr(next_line(), "FAIL"));
	assert_int_equal(fwrite("inb\0x\n", 1, 6, peer), 6);
	fflush(peer);
	assert_string_equal(next_line(), "FAIL a line is text");
	expect("endianness", "OK little");
}

/* Sends bytes; the machine may hang up before it has all. */
static void
flood(const char *unit, size_t count)
{
	size_t n = strlen(unit);

	while (count != 0) {
		ssize_t sent =
		    send(fileno(peer), unit, MIN(n, count), MSG_NOSIGNAL);

		if (sent < 0)
			break;
		count -= (size_t)sent;
	}
}

static void
test_devtest_ends_after_a_line_that_is_too_long(void **state)
{
	char unit[4097];

	(void)state;
	memset(unit, 'x', 4096);
	unit[4096] = '\0';
	flood(unit, DEVTEST_LINE_MAX);
	assert_string_equal(next_line(),
			    "FAIL a line has fewer than 1048576 bytes");
	assert_string_equal(next_line(), "(end)");
	assert_int_equal(pthread_join(runner, NULL), 0);
	assert_int_equal(end.kind, MACHINE_QUIT);
	assert_int_equal(pthread_create(&runner, NULL, run, NULL), 0);
}

static void
test_devtest_takes_the_longest_line(void **state)
{
	char unit[4097];

	(void)state;
	memset(unit, '0', 4096);
	unit[4096] = '\0';
	flood("writeb 4096 0x", 14);
	flood(unit, DEVTEST_LINE_MAX - 14 - 2);
	flood("7\n", 2);
	assert_string_equal(next_line(), "OK");
	expect("readb 4096", "OK 0x0000000000000007");
}

static void
test_devtest_machine_ends_with_its_client(void **state)
{
	(void)state;
	expect("endianness", "OK little");
	stop();
	assert_int_equal(end.kind, MACHINE_QUIT);
	start();
	peer = open_peer(dial());
	expect("endianness", "OK little");
}

/* The machine goes while the client reads nothing and asks for much. */
static void
test_devtest_closes_before_a_client_that_does_not_read(void **state)
{
	(void)state;
	for (int i = 0; i < 64; i++)
		flood("read 0 0x100000\n", 16);
	machine_quit(m);
	assert_int_equal(pthread_join(runner, NULL), 0);
	machine_close(m);
	fclose(peer);
	start();
	peer = open_peer(dial());
}

static void
test_devtest_drops_a_client_that_does_not_hear_interrupts(void **state)
{
	(void)state;
	expect("outb 0x43 0x34", "OK");
	expect("outb 0x40 2", "OK");
	expect("outb 0x40 0", "OK");
	expect("irq_intercept_in ioapic", "OK");
	say("clock_set 1000000000"); /* a million lines */
	while (strcmp(next_line(), "(end)") != 0)
		;
	assert_int_equal(pthread_join(runner, NULL), 0);
	assert_int_equal(end.kind, MACHINE_QUIT);
	assert_int_equal(pthread_create(&runner, NULL, run, NULL), 0);
}

/* --- the socket
 * ---------------------------------------------------------------- */

static void
test_devtest_socket_is_the_owners_only(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(address.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void
test_devtest_connects_to_who_listens(void **state)
{
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd;

	(void)state;
	stop();
	assert_int_equal(bind(listener, (struct sockaddr *)&address,
			      sizeof(address)),
			 0);
	assert_int_equal(listen(listener, 1), 0);
	start();
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	close(listener);
	peer = open_peer(fd);
	expect("endianness", "OK little");
	unlink(address.sun_path); /* it is not the machine's */
}

static void
refused_path(const char *path, int want, const char *sentence)
{
	struct machine_config cfg = {.memory_bytes = 32 << 20,
				     .device_test = path};
	struct machine *other;
	struct err e = {""};

	fake_hv_script(NULL, 0);
	assert_int_equal(machine_open_ops(&other, &cfg, &fake_hv_ops, &e),
			 want);
	assert_non_null(strstr(e.text, sentence));
}

static void
test_devtest_refuses_impossible_paths(void **state)
{
	char longer[200];

	(void)state;
	stop();
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	refused_path("", -EINVAL, "the device-test socket's path is empty");
	refused_path(longer, -ENAMETOOLONG, "device-test socket path 'aaa");
	refused_path("/dev/null", -EEXIST, "is not a socket");
	refused_path("/no/such/place", -ENOENT, "/no/such/place");
	start();
	peer = open_peer(dial());
}

static void
test_devtest_base64_agrees_with_rfc_4648(void **state)
{
	static const char *const text[] = {
	    "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
	static const u8 bytes[] = "foobar";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
		char out[DEVTEST_BASE64_BYTES(6)];
		u8 back[6];

		assert_int_equal(devtest_to_base64(out, bytes, i),
				 strlen(text[i]));
		assert_string_equal(out, text[i]);
		assert_int_equal(devtest_from_base64(back, 6, text[i]), i);
		assert_memory_equal(back, bytes, i);
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_devtest_ports_take_all_sizes),
	    CASE(test_devtest_memory_takes_all_sizes),
	    CASE(test_devtest_data_shorter_than_its_size_ends_in_zeros),
	    CASE(test_devtest_base64_carries_bytes),
	    CASE(test_devtest_memory_crosses_ram_devices_and_nothing),
	    CASE(test_devtest_firmware_interface_tells_the_size_of_memory),
	    CASE(test_devtest_interrupts_come_before_the_reply),
	    CASE(test_devtest_interrupts_come_between_lines),
	    CASE(test_devtest_clock_stands_still_until_it_is_stepped),
	    CASE(test_devtest_clock_step_stops_at_deadlines),
	    CASE(test_devtest_clock_runs_every_timer_on_its_way),
	    CASE(test_devtest_clock_set_far_ahead_comes_back),
	    CASE(test_devtest_survives_a_reset_of_the_machine),
	    CASE(test_devtest_refuses_with_a_sentence),
	    CASE(test_devtest_ends_after_a_line_that_is_too_long),
	    CASE(test_devtest_takes_the_longest_line),
	    CASE(test_devtest_machine_ends_with_its_client),
	    CASE(test_devtest_closes_before_a_client_that_does_not_read),
	    CASE(test_devtest_drops_a_client_that_does_not_hear_interrupts),
	    CASE(test_devtest_socket_is_the_owners_only),
	    CASE(test_devtest_connects_to_who_listens),
	    CASE(test_devtest_refuses_impossible_paths),
	    cmocka_unit_test(test_devtest_base64_agrees_with_rfc_4648),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
