/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"

static const struct cli_option help_option = {.name = "help",
					      .letter = 'h',
					      .help = "this text"};

/* Finds --name, --name=value or -x; *inlined points at an inlined value. */
static const struct cli_option *
find(const struct cli_option *options, size_t count, const char *word,
     const char **inlined)
{
	size_t name_size;

	*inlined = NULL;
	if (word[1] != '-') {
		if (word[2] != '\0')
			return NULL;
		for (size_t i = 0; i < count; i++)
			if (options[i].letter == word[1])
				return &options[i];
		return word[1] == help_option.letter ? &help_option : NULL;
	}
	word += 2;
	name_size = strcspn(word, "=");
	if (word[name_size] == '=')
		*inlined = word + name_size + 1;
	for (size_t i = 0; i < count; i++)
		if (strlen(options[i].name) == name_size &&
		    memcmp(options[i].name, word, name_size) == 0)
			return &options[i];
	return strcmp(word, help_option.name) == 0 ? &help_option : NULL;
}

static int
take(const struct cli_option *o, const char *value, struct err *e)
{
	if (o->list == NULL) {
		*o->value = value;
		return 0;
	}
	if (o->list->count == CLI_LIST_MAX)
		return err_set(e, -EINVAL,
			       "option '--%s' may be given %d times", o->name,
			       CLI_LIST_MAX);
	o->list->item[o->list->count++] = value;
	return 0;
}

int
cli_parse(const struct cli_option *options, size_t count, int argc, char **argv,
	  bool *help, struct err *e)
{
	int i;

	for (i = 1; i < argc; i++) {
		const struct cli_option *o;
		const char *inlined;

		if (argv[i][0] != '-' || argv[i][1] == '\0')
			return i;
		if (strcmp(argv[i], "--") == 0)
			return i + 1;
		o = find(options, count, argv[i], &inlined);
		if (o == NULL)
			return err_set(e, -EINVAL,
				       "there is no option '%s'; "
				       "'spindle %s --help' lists them",
				       argv[i], argv[0]);
		if (o == &help_option) {
			*help = true;
		} else if (o->argument == NULL) {
			if (inlined != NULL)
				return err_set(e, -EINVAL,
					       "option '--%s' takes no value",
					       o->name);
			*o->flag = true;
		} else {
			if (inlined == NULL && ++i < argc)
				inlined = argv[i];
			if (inlined == NULL)
				return err_set(e, -EINVAL,
					       "option '--%s' needs a value: "
					       "%s",
					       o->name, o->argument);
			if (take(o, inlined, e) != 0)
				return -EINVAL;
		}
	}
	return i;
}

static void
print_option(const struct cli_option *o)
{
	char left[40];

	snprintf(left, sizeof(left), "%s%c%s --%s %s",
		 o->letter != 0 ? "-" : " ", o->letter != 0 ? o->letter : ' ',
		 o->letter != 0 ? "," : " ", o->name,
		 o->argument != NULL ? o->argument : "");
	printf(" %-26s%s\n", left, o->help);
}

void
cli_print_help(const struct cli_command *c, const struct cli_option *options,
	       size_t count, const char *notes)
{
	printf("usage: spindle %s %s\n%s.\n", c->name, c->arguments, c->help);
	for (size_t i = 0; i < count; i++)
		print_option(&options[i]);
	print_option(&help_option);
	fputs(notes, stdout);
}

int
cli_fail(const struct err *e)
{
	log_error("%s", e->text);
	return CLI_FAIL;
}

int
cli_usage(const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_error("%s", text);
	return CLI_USAGE;
}
