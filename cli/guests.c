/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/guests.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"

#define FIELDS 5

/* Opens dir/below/guests.tsv; index_dir receives the directory. */
static FILE *
try_index(char index_dir[PATH_MAX], const char *dir, const char *below)
{
	char path[PATH_MAX];
	int n = snprintf(index_dir, PATH_MAX, "%s%s", dir, below);

	if (n < 0 || n >= PATH_MAX ||
	    snprintf(path, sizeof(path), "%s/guests.tsv", index_dir) >=
		PATH_MAX) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	return fopen(path, "re");
}

static FILE *
open_index(char index_dir[PATH_MAX], struct err *e)
{
	static const char *const below[] = {"/../guest",
					    "/../share/spindle/guest"};
	const char *named = getenv("SPINDLE_GUESTS");
	char self[PATH_MAX];
	ssize_t n;
	FILE *f;

	if (named != NULL && *named != '\0') {
		f = try_index(index_dir, named, "");
		if (f == NULL)
			err_errno(e, -errno,
				  "cannot open '%s/guests.tsv', "
				  "which SPINDLE_GUESTS names",
				  named);
		return f;
	}
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[MAX(n, 0)] = '\0';
	if (strrchr(self, '/') != NULL)
		*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
		f = try_index(index_dir, self, below[i]);
		if (f != NULL)
			return f;
	}
	err_set(e, -ENOENT,
		"there are no guests; 'make guest' makes them in '%s%s'", self,
		below[0]);
	return NULL;
}

static char *
join(const char *dir, const char *path)
{
	char *joined;

	if (path[0] == '/')
		return strdup(path);
	return asprintf(&joined, "%s/%s", dir, path) < 0 ? NULL : joined;
}

/* Takes one line of the index apart; empty lines and # lines say nothing. */
static int
add_line(struct guest_list *list, const char *dir, char *line, struct err *e)
{
	struct guest *g = &list->guest[list->count];
	char *field[FIELDS];

	line[strcspn(line, "\n")] = '\0';
	if (line[0] == '#' || line[0] == '\0')
		return 0;
	if (list->count == GUESTS_MAX)
		return err_set(e, -EUCLEAN,
			       "'%s/guests.tsv' has more than %d "
			       "guests",
			       dir, GUESTS_MAX);
	for (unsigned i = 0; i < FIELDS; i++) {
		field[i] = strsep(&line, "\t");
		if (field[i] == NULL || (i < 2 && field[i][0] == '\0'))
			return err_set(e, -EUCLEAN,
				       "'%s/guests.tsv' has a line without "
				       "its %d fields",
				       dir, FIELDS);
	}
	*g = (struct guest){
	    .name = strdup(field[0]),
	    .kernel = join(dir, field[1]),
	    .initrd = field[2][0] != '\0' ? join(dir, field[2]) : NULL,
	    .append = strdup(field[3]),
	    .description = strdup(field[4]),
	};
	list->count++; /* release frees it from here on, complete or not */
	if (g->name == NULL || g->kernel == NULL || g->append == NULL ||
	    g->description == NULL ||
	    (field[2][0] != '\0' && g->initrd == NULL))
		return err_set(e, -ENOMEM, "out of memory");
	return 0;
}

int
guest_list_read(struct guest_list *list, struct err *e)
{
	char index_dir[PATH_MAX], *line = NULL;
	size_t room_bytes = 0;
	FILE *f = open_index(index_dir, e);
	int rc = 0;

	list->count = 0;
	if (f == NULL)
		return -ENOENT;
	while (rc == 0 && getline(&line, &room_bytes, f) > 0)
		rc = add_line(list, index_dir, line, e);
	if (rc == 0 && list->count == 0)
		rc = err_set(e, -EUCLEAN, "'%s/guests.tsv' lists no guest",
			     index_dir);
	free(line);
	fclose(f);
	if (rc != 0)
		guest_list_release(list);
	return rc;
}

void
guest_list_release(struct guest_list *list)
{
	for (unsigned i = 0; i < list->count; i++) {
		free(list->guest[i].name);
		free(list->guest[i].kernel);
		free(list->guest[i].initrd);
		free(list->guest[i].append);
		free(list->guest[i].description);
	}
	list->count = 0;
}

const struct guest *
guest_find(const struct guest_list *list, const char *name, struct err *e)
{
	assert(list->count != 0);
	if (name == NULL)
		return &list->guest[0];
	for (unsigned i = 0; i < list->count; i++)
		if (strcmp(list->guest[i].name, name) == 0)
			return &list->guest[i];
	err_set(e, -ENOENT,
		"there is no guest '%s'; 'spindle guests' lists them", name);
	return NULL;
}

int
guests_main(const struct cli_command *self, int argc, char **argv)
{
	struct guest_list list;
	struct err e;
	bool help = false;
	int first = cli_parse(NULL, 0, argc, argv, &help, &e);

	if (first < 0)
		return cli_usage("%s", e.text);
	if (help) {
		cli_print_help(self, NULL, 0,
			       "The first one is what 'spindle run' starts "
			       "when no --guest is given.\n");
		return CLI_OK;
	}
	if (first < argc)
		return cli_usage("'%s' is one argument too many for "
				 "'spindle guests'",
				 argv[first]);
	if (guest_list_read(&list, &e) != 0)
		return cli_fail(&e);
	for (unsigned i = 0; i < list.count; i++)
		printf("%-10s %s%s\n", list.guest[i].name,
		       list.guest[i].description,
		       i == 0 ? " (the default)" : "");
	guest_list_release(&list);
	return CLI_OK;
}
