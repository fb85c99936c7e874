/* SPDX-License-Identifier: BSD-2-Clause */
/* cli - what the subcommands share: their table, options and exit statuses
 *
 * What:    `spindle SUBCOMMAND [OPTIONS] [--] [ARGUMENTS]`. A subcommand is a
 *          row of the table in main.c, its options a table of its own, from
 *          which both the reading and --help are made. Exit statuses:
 *
 *              0-255  of the command that ran in the guest, or, without one,
 *                     0 for a guest that turned itself off and the code of
 *                     one that used the debug-exit port
 *              1      something failed; one sentence on stderr says what
 *              2      the command line is wrong; one sentence says how
 *              128+n  spindle was ended by signal n, or the command was
 * Threads: single-threaded.
 * Owns:    option values point into argv.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/bits.h"
#include "base/err.h"

#define CLI_OK	  0
#define CLI_FAIL  1
#define CLI_USAGE 2

#define CLI_LIST_MAX 8

/* Values of an option that may be given again and again. */
struct cli_list {
	unsigned count;
	const char *item[CLI_LIST_MAX];
};

/* One option: flag, value or list is set. */
struct cli_option {
	const char *name;     /* without the dashes */
	char letter;	      /* a short form, or 0 */
	const char *argument; /* what --help calls the value; NULL: a flag */
	const char *help;
	bool *flag;
	const char **value;
	struct cli_list *list;
};

#define CLI_FLAG(name, letter, help, to) \
	{ \
		name, letter, NULL, help, to, NULL, NULL \
	}
#define CLI_VALUE(name, letter, argument, help, to) \
	{ \
		name, letter, argument, help, NULL, to, NULL \
	}
#define CLI_LIST(name, letter, argument, help, to) \
	{ \
		name, letter, argument, help, NULL, NULL, to \
	}

struct cli_command {
	const char *name;
	const char *arguments; /* for --help */
	const char *help;
	int (*run)(const struct cli_command *self, int argc, char **argv);
};

/* Reads options up to "--" or the first argument. Returns the index of the
 * first argument, or a negative errno with a sentence. *help is set when
 * --help was among them. */
MUST_CHECK int cli_parse(const struct cli_option *options, size_t count,
			 int argc, char **argv, bool *help, struct err *e);

/* Prints what --help prints, on stdout. */
void cli_print_help(const struct cli_command *c,
		    const struct cli_option *options, size_t count,
		    const char *notes);

/* One sentence on stderr; returns the exit status. */
int cli_fail(const struct err *e);
int cli_usage(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* The subcommands; each returns the exit status. argv[0] is its name. */
int run_main(const struct cli_command *self, int argc, char **argv);
int guests_main(const struct cli_command *self, int argc, char **argv);
int ctl_main(const struct cli_command *self, int argc, char **argv);
int trace_main(const struct cli_command *self, int argc, char **argv);

#endif
