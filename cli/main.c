/* SPDX-License-Identifier: BSD-2-Clause */
/* main - finds the subcommand and lets it run */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/version.h"
#include "cli/cli.h"

static const struct cli_command commands[] = {
    {"run", "[OPTIONS] [--] [COMMAND [ARGUMENT ...]]",
     "start a machine; run a command in it, or give its console", run_main},
    {"guests", "[OPTIONS]", "list the guests that can be started by name",
     guests_main},
    {"trace", "[OPTIONS] FILE", "show what a trace says about flushes",
     trace_main},
    {"ctl", "[OPTIONS] SOCKET MESSAGE [WORD ...]",
     "speak with a running machine over its control socket", ctl_main},
};

static int
print_help(void)
{
	printf("usage: spindle SUBCOMMAND [OPTIONS] [ARGUMENTS]\n"
	       "A virtual machine runtime for x86-64 PCs.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].help);
	printf("\n"
	       "'spindle SUBCOMMAND --help' says more about each, and\n"
	       "'spindle --version' which program this is.\n"
	       "Exit status: that of the command in the guest; 1 when\n"
	       "something failed, 2 when the command line is wrong.\n");
	return CLI_OK;
}

/* Descriptors 0, 1 and 2 exist, so that no file of ours becomes one. */
static void
open_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* Output that nobody took is a failure, not a success. */
static int
finish(int status)
{
	if (fflush(stdout) != 0 && errno != EPIPE && status == CLI_OK) {
		log_error("cannot write the output: %s", strerror(errno));
		return CLI_FAIL;
	}
	return status;
}

int
main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;

	open_standard_files();
	signal(SIGPIPE, SIG_IGN);
	if (word == NULL)
		return cli_usage("a subcommand is needed; 'spindle --help' "
				 "lists them");
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 ||
	    strcmp(word, "help") == 0)
		return finish(print_help());
	if (strcmp(word, "--version") == 0 || strcmp(word, "version") == 0) {
		printf("spindle %s\n", SPINDLE_VERSION);
		return finish(CLI_OK);
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(word, commands[i].name) == 0)
			return finish(
			    commands[i].run(&commands[i], argc - 1, argv + 1));
	return cli_usage(word[0] == '-'
			     ? "there is no option '%s'; 'spindle --help' "
			       "says what there is"
			     : "there is no subcommand '%s'; 'spindle --help' "
			       "lists them",
			 word);
}
