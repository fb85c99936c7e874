/* SPDX-License-Identifier: BSD-2-Clause */
/* run - one machine, from its command line to its exit status
 *
 * With a command, serial port 1 is the line to the agent and the console is
 * kept aside; without one, the console is the user's terminal.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/trace.h"
#include "cli/capture.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/guests.h"
#include "cli/storage.h"
#include "vmm/agent.h"
#include "vmm/cdrom.h"
#include "vmm/machine.h"

#define APPEND_BYTES 4096

struct run {
	/* the command line */
	const char *memory, *driver, *cpu, *guest, *kernel, *initrd, *append;
	const char *ctl, *name, *device_test, *ide, *trace, *trace_file;
	const char *cdrom; /* NULL: no drive; empty: no disc */
	struct cli_list disks;
	bool no_reboot, no_lapic, verbose;
	char **command; /* NULL: none */

	/* what comes of it */
	struct guest_list guests;
	struct machine_config config;
	char text[APPEND_BYTES]; /* the kernel command line */
	struct agent *agent;	 /* with a command */
	struct console *console; /* without */
	struct capture capture;	 /* with a command: what the console said */
	struct machine *machine;
	struct storage storage;
	struct cdrom_config drive;
	sigset_t caught;
};

/* The signal handler's view of the run, and what it leaves behind. */
static _Atomic(struct run *) current;
static atomic_int ended_by; /* the first signal that ended the run, or 0 */

/* An interrupt is passed to the command; everything else ends the machine. */
static void
on_signal(int signo)
{
	struct run *r = atomic_load(&current);
	bool pass = signo == SIGINT && r->agent != NULL;
	int none = 0;

	assert(r != NULL);
	atomic_compare_exchange_strong(&ended_by, &none, signo);
	if (r->agent != NULL)
		agent_interrupt(r->agent, signo);
	if (r->agent != NULL && !pass)
		agent_interrupt(r->agent, signo); /* the second is an end */
	if (r->console != NULL)
		console_interrupt(r->console);
	if (!pass)
		machine_quit(r->machine);
}

/* Blocked from here on, also in the threads that are made later; handled only
 * on this thread while let_signals() says so, and so never while what the
 * handler looks at comes or goes. Without SA_RESTART: a write that blocks
 * returns and looks again. */
static void
catch_signals(sigset_t *caught)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction now = {.sa_handler = on_signal};

	sigemptyset(caught);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		struct sigaction old;

		if (sigaction(signals[i], NULL, &old) != 0 ||
		    old.sa_handler == SIG_IGN) /* nohup */
			continue;
		sigaction(signals[i], &now, NULL);
		sigaddset(caught, signals[i]);
	}
	pthread_sigmask(SIG_BLOCK, caught, NULL);
}

static void
let_signals(struct run *r, bool in)
{
	if (in)
		atomic_store(&current, r);
	pthread_sigmask(in ? SIG_UNBLOCK : SIG_BLOCK, &r->caught, NULL);
	if (!in)
		atomic_store(&current, NULL);
}

static const char run_notes[] =
    "The first of 'spindle guests' is the default; Ctrl-] h lists the "
    "console's "
    "keys.\n"
    "Exit status: the COMMAND's; 1 failure, 2 usage, 128+n by signal n.\n";

static int
read_options(struct run *r, const struct cli_command *self, int argc,
	     char **argv, bool *help, struct err *e)
{
	const struct cli_option options[] = {
	    CLI_VALUE("guest", 'g', "NAME", "which guest", &r->guest),
	    CLI_VALUE("memory", 'm', "SIZE", "guest memory (512M)", &r->memory),
	    CLI_VALUE("driver", 0, "NAME", "auto, kvm or soft (auto)",
		      &r->driver),
	    CLI_VALUE("cpu", 0, "NAME", "default or host (kvm only)", &r->cpu),
	    CLI_VALUE("kernel", 0, "FILE", "a bzImage or ELF64 kernel",
		      &r->kernel),
	    CLI_VALUE("initrd", 0, "FILE", "its initial RAM disk", &r->initrd),
	    CLI_VALUE("append", 0, "TEXT", "words for its command line",
		      &r->append),
	    CLI_LIST("disk", 'd', "FILE[,..]",
		     "an IDE disk; '--disk help' has the keys", &r->disks),
	    CLI_VALUE("cdrom", 0, "FILE", "a CD drive with this image",
		      &r->cdrom),
	    CLI_VALUE("io", 0, "NAME", "auto, uring or threads (auto)",
		      &r->storage.io),
	    CLI_VALUE("ide", 0, "NAME[,..]", "piix4 or piix3 (piix4)", &r->ide),
	    CLI_VALUE("trace", 0, "PATTERNS",
		      "trace 'disk_*,io_*'; 'help' lists", &r->trace),
	    CLI_VALUE("trace-file", 0, "FILE", "where to (stderr)",
		      &r->trace_file),
	    CLI_VALUE("ctl", 0, "SOCKET", "make a control socket", &r->ctl),
	    CLI_VALUE("name", 0, "NAME", "what 'ctl query' calls it", &r->name),
	    CLI_VALUE("device-test", 0, "SOCKET",
		      "no processor: a test program plays it", &r->device_test),
	    CLI_FLAG("no-reboot", 0, "end when the guest reboots",
		     &r->no_reboot),
	    CLI_FLAG("no-lapic", 0, "a PC with PIC and PIT only", &r->no_lapic),
	    CLI_FLAG("verbose", 'v',
		     "say what happens; with COMMAND, show the console",
		     &r->verbose),
	};
	int first =
	    cli_parse(options, ARRAY_SIZE(options), argc, argv, help, e);

	if (first < 0)
		return first;
	if (*help)
		cli_print_help(self, options, ARRAY_SIZE(options), run_notes);
	if (first < argc)
		r->command = argv + first;
	return 0;
}

/* What can be seen to be wrong without looking at any file. */
static int
check_options(struct run *r, struct err *e)
{
	struct machine_config *c = &r->config;
	int rc;

	rc = parse_size(r->memory, &c->memory_bytes, e);
	if (rc != 0)
		return rc;
	if (strcmp(r->driver, "auto") != 0 && strcmp(r->driver, "kvm") != 0 &&
	    strcmp(r->driver, "soft") != 0)
		return err_set(e, -EINVAL,
			       "there is no driver '%s'; auto, kvm and soft "
			       "there are",
			       r->driver);
	if (strcmp(r->cpu, "default") != 0 && strcmp(r->cpu, "host") != 0)
		return err_set(e, -EINVAL,
			       "there is no CPU '%s'; default and host there "
			       "are",
			       r->cpu);
	rc = storage_ide(&r->storage, r->ide, e);
	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < r->disks.count; i++) {
		rc = storage_add(&r->storage, r->disks.item[i], e);
		if (rc != 0)
			return rc;
	}
	if (r->trace_file != NULL && r->trace == NULL)
		return err_set(e, -EINVAL, "--trace-file needs --trace");
	if (r->trace != NULL) {
		rc = trace_enable(r->trace, e);
		if (rc != 0)
			return rc;
	}
	if (r->initrd != NULL && r->kernel == NULL && r->guest == NULL)
		return err_set(e, -EINVAL,
			       "--initrd needs --kernel or --guest");
	if (r->command != NULL && r->command[0][0] == '\0')
		return err_set(e, -EINVAL, "the command is empty");
	if (r->device_test != NULL &&
	    (r->kernel != NULL || r->guest != NULL || r->initrd != NULL ||
	     r->append != NULL || r->command != NULL))
		return err_set(e, -EINVAL,
			       "--device-test runs no guest and goes with no "
			       "kernel, guest or command");
	c->name = r->name;
	c->driver = r->driver;
	c->host_cpuid = strcmp(r->cpu, "host") == 0;
	c->no_lapic = r->no_lapic;
	c->piix3 = r->storage.ide.piix3;
	c->ide_firmware = r->storage.ide.firmware;
	c->ide_delay_ns = r->storage.ide.delay_ns;
	/* A guest that reboots under a command has lost the command. */
	c->no_reboot = r->no_reboot || r->command != NULL;
	c->ctl_path = r->ctl;
	c->device_test = r->device_test;
	return 0;
}

static int
add_words(struct run *r, const char *words, struct err *e)
{
	size_t used = strlen(r->text);
	int n;

	if (words == NULL || *words == '\0')
		return 0;
	n = snprintf(r->text + used, sizeof(r->text) - used, "%s%s",
		     used != 0 ? " " : "", words + (words[0] == ' '));
	if ((size_t)n >= sizeof(r->text) - used)
		return err_set(e, -E2BIG,
			       "the kernel command line is longer than %d "
			       "bytes",
			       APPEND_BYTES - 1);
	return 0;
}

/* The kernel command line: the guest's words, ours, then the user's, since
 * of two that contradict each other the kernel takes the last. */
static int
make_append(struct run *r, const struct guest *guest, struct err *e)
{
	const char *ours = "";
	char terminal[128] = "";
	int rc = 0;

	if (guest != NULL)
		rc = add_words(r, guest->append, e);
	else if (r->append == NULL)
		rc = add_words(r, "console=ttyS0", e);
	if (r->command != NULL)
		ours = r->verbose ? "spindle.agent=1" : "quiet spindle.agent=1";
	else if (guest != NULL)
		console_append(terminal);
	if (rc == 0)
		rc = add_words(r, ours, e);
	if (rc == 0)
		rc = add_words(r, terminal, e);
	if (rc == 0 && guest != NULL && r->ctl != NULL)
		rc = add_words(r, "spindle.modules=button", e);
	if (rc == 0)
		rc = add_words(r, r->append, e);
	r->config.append = r->text;
	return rc;
}

/* Kernel, initrd and command line: the user's, else the guest's. A command
 * needs our agent, which is in the guests' initrds. */
static int
choose_guest(struct run *r, struct err *e)
{
	const struct guest *guest = NULL;
	int rc;

	if (r->kernel == NULL || r->guest != NULL ||
	    (r->command != NULL && r->initrd == NULL)) {
		rc = guest_list_read(&r->guests, e);
		if (rc != 0)
			return rc;
		guest = guest_find(&r->guests, r->guest, e);
		if (guest == NULL)
			return -ENOENT;
	}
	r->config.kernel = r->kernel != NULL ? r->kernel : guest->kernel;
	r->config.initrd = r->initrd != NULL ? r->initrd
			   : guest != NULL   ? guest->initrd
					     : NULL;
	return make_append(r, guest, e);
}

static size_t
agent_input(void *arg, const u8 *bytes, size_t count)
{
	return machine_serial_input(arg, 1, bytes, count);
}

static void
agent_quit(void *arg)
{
	machine_quit(arg);
}

/* The chardevs must be there before the machine is, and are given the
 * machine after it. */
static int
open_ends(struct run *r, struct err *e)
{
	struct agent_config agent = {.argv = r->command, .fd = {0, 1, 2}};
	int rc;

	if (r->command == NULL) {
		rc = console_open(&r->console, e);
		if (rc == 0)
			r->config.serial[0] = console_chardev(r->console);
		return rc;
	}
	capture_init(&r->capture, r->verbose);
	r->config.serial[0] = &r->capture.chardev;
	rc = agent_open(&r->agent, &agent, e);
	if (rc == 0)
		r->config.serial[1] = agent_chardev(r->agent);
	return rc;
}

static int
start_ends(struct run *r, struct err *e)
{
	struct agent_outside outside = {agent_input, agent_quit, r->machine};

	if (r->agent != NULL)
		return agent_start(r->agent, &outside, e);
	if (isatty(STDIN_FILENO))
		log_at(LOG_WARN, "Ctrl-] h lists the escape keys");
	return console_start(r->console, r->machine, e);
}

static const char *
end_name(const struct machine_end *end)
{
	switch (end->kind) {
	case MACHINE_POWEROFF:
		return "the guest turned itself off";
	case MACHINE_REBOOT:
		return "the guest rebooted";
	case MACHINE_TRIPLE_FAULT:
		return "the guest's processor shut down (triple fault)";
	case MACHINE_DEBUG_EXIT:
		return "the guest used its debug-exit port";
	case MACHINE_QUIT:
		return "the machine was ended from outside";
	case MACHINE_ERROR:
		return "the machine cannot go on";
	}
	return "the machine ended";
}

/* A crash is told with its registers, whatever was asked for. */
static bool
tell_crash(const struct machine_end *end)
{
	if (end->kind != MACHINE_TRIPLE_FAULT && end->kind != MACHINE_ERROR)
		return false;
	log_error("%s", end_name(end));
	fprintf(stderr, "%s%s", end->text,
		end->text[0] != '\0' && end->text[strlen(end->text) - 1] != '\n'
		    ? "\n"
		    : "");
	return true;
}

static int
console_status(const struct machine_end *end)
{
	if (tell_crash(end))
		return CLI_FAIL;
	if (end->kind == MACHINE_QUIT && atomic_load(&ended_by) != 0)
		return 128 + atomic_load(&ended_by);
	log_info("%s", end_name(end));
	return end->kind == MACHINE_DEBUG_EXIT ? end->code & 255 : CLI_OK;
}

static int
command_status(struct run *r, const struct machine_end *end,
	       const struct agent_result *result)
{
	bool crash = tell_crash(end);

	if (result->trouble[0] != '\0') {
		log_error("%s", result->trouble);
		return CLI_FAIL;
	}
	if (result->ended)
		return result->status;
	if (end->kind == MACHINE_QUIT && atomic_load(&ended_by) != 0)
		return 128 + atomic_load(&ended_by);
	if (!crash)
		log_error("%s before the command %s", end_name(end),
			  result->up ? "ended" : "could start");
	capture_show(&r->capture);
	return CLI_FAIL;
}

/* From a checked command line to an exit status. */
static int
run_machine(struct run *r)
{
	struct machine_end end = {0};
	struct agent_result result = {0};
	struct err e;
	int rc = open_ends(r, &e);

	if (rc == 0)
		rc = machine_open(&r->machine, &r->config, &e);
	if (rc != 0)
		return cli_fail(&e);
	if (r->verbose || isatty(STDERR_FILENO))
		log_at(LOG_ERROR, "driver: %s", machine_driver_why(r->machine));
	rc = start_ends(r, &e);
	if (rc != 0)
		return cli_fail(&e);
	let_signals(r, true);
	machine_run(r->machine, &end);
	if (r->agent != NULL)
		agent_stop(r->agent, &result);
	let_signals(r, false);
	if (r->agent != NULL)
		return command_status(r, &end, &result);
	console_stop(r->console);
	return console_status(&end);
}

/* A device test has no console, and ends when its client goes or, as such
 * tests end what they started, with SIGTERM: both are a success. */
static int
run_device_test(struct run *r)
{
	struct machine_end end = {0};
	struct err e;
	int signo;

	if (machine_open(&r->machine, &r->config, &e) != 0)
		return cli_fail(&e);
	let_signals(r, true);
	machine_run(r->machine, &end);
	let_signals(r, false);
	signo = atomic_load(&ended_by);
	if (end.kind == MACHINE_QUIT && (signo == 0 || signo == SIGTERM))
		return CLI_OK;
	return console_status(&end);
}

/* Lists that are asked for instead of a machine. */
static bool
print_lists(const struct run *r)
{
	if (r->disks.count != 0 && strcmp(r->disks.item[0], "help") == 0) {
		fputs(storage_keys, stdout);
		return true;
	}
	if (r->trace != NULL && strcmp(r->trace, "help") == 0) {
		trace_list();
		return true;
	}
	return false;
}

static int
run_with_storage(struct run *r)
{
	struct err e;
	int rc = 0, status;

	if (r->trace != NULL)
		rc = trace_start(r->trace_file, &e);
	if (rc == 0)
		rc =
		    storage_open(&r->storage, r->config.disk,
				 r->cdrom != NULL ? 1U << r->storage.ide.cd : 0,
				 &e);
	if (rc == 0 && r->cdrom != NULL) {
		r->drive.position = r->storage.ide.cd;
		r->drive.disc.path = r->cdrom[0] != '\0' ? r->cdrom : NULL;
		r->drive.disc.pool = r->storage.pool;
		r->config.cdrom = &r->drive;
	}
	if (rc != 0)
		return cli_fail(&e);
	if (r->device_test != NULL)
		status = run_device_test(r);
	else
		status =
		    choose_guest(r, &e) != 0 ? cli_fail(&e) : run_machine(r);
	machine_close(r->machine);
	r->machine = NULL;
	return status;
}

/* The last flush may fail when all else went well (disk-rules 24). */
static int
close_storage(struct run *r, int status)
{
	struct err e;

	if (storage_close(&r->storage, &e) == 0)
		return status;
	cli_fail(&e);
	return status == CLI_OK ? CLI_FAIL : status;
}

int
run_main(const struct cli_command *self, int argc, char **argv)
{
	struct run r = {.memory = "512M",
			.driver = "auto",
			.cpu = "default",
			.ide = "piix4",
			.storage = {.io = "auto", .ide = {.cd = 2}}};
	bool help = false;
	struct err e;
	int status;

	if (read_options(&r, self, argc, argv, &help, &e) != 0)
		return cli_usage("%s", e.text);
	if (help || print_lists(&r))
		return CLI_OK;
	if (check_options(&r, &e) != 0)
		return cli_usage("%s", e.text);
	if (r.verbose)
		log_set_level(LOG_INFO);
	catch_signals(&r.caught);
	status = close_storage(&r, run_with_storage(&r));
	trace_stop();
	agent_close(r.agent);
	console_close(r.console);
	guest_list_release(&r.guests);
	return status;
}
