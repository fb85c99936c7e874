/* SPDX-License-Identifier: BSD-2-Clause */
/* trace_main - reads what `spindle run --trace` wrote
 *
 * Shows for each FLUSH of the guest the flush of the host behind it, or the
 * story of one request. A guest's flush may share a host flush with another
 * one, or need none: then nothing was written since the one before.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/parse.h"
#include "cli/cli.h"
#include "hdd/disk.h"

struct event {
	u64 ns, id;
	char name[32];
	char text[200]; /* the line after its name */
};

struct flush {
	u64 id, begin_ns, end_ns; /* end_ns 0: it never ended */
	u64 error;		  /* a positive errno */
	s64 host;		  /* of a guest's: index of the host's, or -1 */
};

struct flushes {
	struct flush *item;
	size_t count, room;
};

struct trace {
	struct flushes guest, host;
	u64 lines, lost;
};

static int
add(struct flushes *f, u64 id, u64 begin_ns)
{
	if (f->count == f->room) {
		size_t room = f->room != 0 ? f->room * 2 : 256;
		struct flush *more = realloc(f->item, room * sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		f->item = more;
		f->room = room;
	}
	f->item[f->count++] =
	    (struct flush){.id = id, .begin_ns = begin_ns, .host = -1};
	return 0;
}

/* The newest of that id that has not ended. */
static struct flush *
open_flush(struct flushes *f, u64 id)
{
	for (size_t i = f->count; i-- > 0;)
		if (f->item[i].id == id && f->item[i].end_ns == 0)
			return &f->item[i];
	return NULL;
}

/* The number of KEY=NUMBER in a line, or 0. */
static u64
number(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = text; (p = strstr(p, key)) != NULL; p += n)
		if ((p == text || p[-1] == ' ') && p[n] == '=')
			return strtoull(p + n + 1, NULL, 0);
	return 0;
}

static bool
read_event(const char *line, struct event *ev)
{
	u64 s, ns;

	memset(ev, 0, sizeof(*ev));
	if (sscanf(line, "%" SCNu64 ".%9" SCNu64 " %31s %199[^\n]", &s, &ns,
		   ev->name, ev->text) < 3)
		return false;
	ev->ns = s * NS_PER_SEC + ns;
	ev->id = number(ev->text, "id");
	return true;
}

static void
end_flush(struct flushes *f, const struct event *ev, const char *key)
{
	struct flush *fl = open_flush(f, ev->id);

	if (fl == NULL)
		return;
	fl->end_ns = ev->ns;
	fl->error = number(ev->text, key);
}

static int
take_event(struct trace *t, const struct event *ev)
{
	if (strcmp(ev->name, "disk_submit") == 0 &&
	    number(ev->text, "op") == DISK_FLUSH)
		return add(&t->guest, ev->id, ev->ns);
	if (strcmp(ev->name, "disk_done") == 0)
		end_flush(&t->guest, ev, "error");
	else if (strcmp(ev->name, "io_flush_begin") == 0)
		return add(&t->host, ev->id, ev->ns);
	else if (strcmp(ev->name, "io_flush_done") == 0)
		end_flush(&t->host, ev, "errno");
	else if (strcmp(ev->name, "trace_dropped") == 0)
		t->lost += number(ev->text, "events");
	return 0;
}

/* The host's flush that answers a guest's: begun after it and ended before
 * it; with its own id if there is one. */
static void
pair(struct trace *t)
{
	size_t first = 0;

	for (size_t g = 0; g < t->guest.count; g++) {
		struct flush *gf = &t->guest.item[g];
		bool own = false;

		while (first < t->host.count &&
		       t->host.item[first].begin_ns < gf->begin_ns)
			first++;
		for (size_t h = first; h < t->host.count && !own; h++) {
			const struct flush *hf = &t->host.item[h];

			if (gf->end_ns != 0 && hf->begin_ns > gf->end_ns)
				break;
			if (hf->end_ns == 0 || hf->end_ns > gf->end_ns)
				continue;
			gf->host = (s64)h;
			own = hf->id == gf->id;
		}
	}
}

static void
print_flush(const struct trace *t, size_t g, u64 start_ns)
{
	const struct flush *gf = &t->guest.item[g];
	const struct flush *hf = gf->host >= 0 ? &t->host.item[gf->host] : NULL;

	printf("guest flush %-5zu id %-7" PRIu64 " at %11.6f s ", g + 1, gf->id,
	       (double)(gf->begin_ns - start_ns) / NS_PER_SEC);
	if (gf->end_ns == 0) {
		puts("did not end");
		return;
	}
	printf("took %9.1f us %-8s", (double)(gf->end_ns - gf->begin_ns) / 1e3,
	       gf->error == 0 ? "ok" : strerrorname_np((int)gf->error));
	if (hf == NULL)
		puts(" <- none: nothing was written since the last");
	else
		printf(" <- host flush %-5" PRId64 " +%8.1f us took %9.1f us "
		       "%s\n",
		       gf->host + 1,
		       (double)(hf->begin_ns - gf->begin_ns) / 1e3,
		       (double)(hf->end_ns - hf->begin_ns) / 1e3,
		       hf->error == 0 ? "ok" : strerrorname_np((int)hf->error));
}

static void
print_flushes(const struct trace *t)
{
	size_t without = 0;
	u64 start_ns = t->guest.count != 0 ? t->guest.item[0].begin_ns : 0;

	for (size_t g = 0; g < t->guest.count; g++) {
		print_flush(t, g, start_ns);
		without += t->guest.item[g].host < 0;
	}
	printf("%zu guest flushes, %zu host flushes, %zu guest flushes "
	       "without one\n",
	       t->guest.count, t->host.count, without);
	if (t->lost != 0)
		printf("the trace lacks %" PRIu64 " events\n", t->lost);
}

static void
put(json_t *o, const char *key, u64 v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static json_t *
flush_json(const struct flush *f)
{
	json_t *o = json_object();

	put(o, "id", f->id);
	put(o, "begin_ns", f->begin_ns);
	if (f->end_ns != 0) {
		put(o, "end_ns", f->end_ns);
		put(o, "errno", f->error);
	}
	if (f->host >= 0)
		put(o, "host", (u64)f->host);
	return o;
}

static void
print_json(const struct trace *t)
{
	json_t *o = json_object(), *guest = json_array(), *host = json_array();

	for (size_t i = 0; i < t->guest.count; i++)
		json_array_append_new(guest, flush_json(&t->guest.item[i]));
	for (size_t i = 0; i < t->host.count; i++)
		json_array_append_new(host, flush_json(&t->host.item[i]));
	json_object_set_new(o, "guest", guest);
	json_object_set_new(o, "host", host);
	put(o, "lost", t->lost);
	json_dumpf(o, stdout, JSON_PRESERVE_ORDER | JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

/* Every event of one request, with the time since its first. */
static void
print_request(const struct event *ev, u64 *first_ns)
{
	if (*first_ns == 0)
		*first_ns = ev->ns;
	printf("%+12.1f us %-20s %s\n", (double)(ev->ns - *first_ns) / 1e3,
	       ev->name, ev->text);
}

static int
read_trace(FILE *in, struct trace *t, const u64 *only, struct err *e)
{
	u64 first_ns = 0;
	char *line = NULL;
	size_t room = 0;
	struct event ev;
	int rc = 0;

	while (rc == 0 && getline(&line, &room, in) >= 0) {
		if (!read_event(line, &ev))
			continue;
		t->lines++;
		if (only != NULL && ev.id == *only)
			print_request(&ev, &first_ns);
		rc = take_event(t, &ev);
	}
	free(line);
	if (rc == 0 && ferror(in))
		rc = -EIO;
	if (rc != 0)
		return err_errno(e, rc, "cannot read the trace");
	if (t->lines == 0)
		return err_set(e, -EINVAL, "there are no events in the trace");
	if (only != NULL && first_ns == 0)
		return err_set(e, -ENOENT,
			       "there is no request %" PRIu64 " in the trace",
			       *only);
	return 0;
}

static const char trace_notes[] =
    "FILE is what 'spindle run --trace \"disk_*,io_flush_*\" --trace-file "
    "FILE' wrote;\n- is stdin. Without options: each FLUSH of the guest and "
    "the host's flush behind it.\n";

int
trace_main(const struct cli_command *self, int argc, char **argv)
{
	const char *request = NULL;
	bool json = false, help = false;
	const struct cli_option options[] = {
	    CLI_VALUE("request", 'r', "ID", "every event of one request",
		      &request),
	    CLI_FLAG("json", 0, "the flushes as one JSON object", &json),
	};
	struct trace t = {0};
	struct err e;
	u64 id = 0;
	FILE *in;
	int first =
	    cli_parse(options, ARRAY_SIZE(options), argc, argv, &help, &e);
	int rc = 0;

	if (first < 0)
		return cli_usage("%s", e.text);
	if (help) {
		cli_print_help(self, options, ARRAY_SIZE(options), trace_notes);
		return CLI_OK;
	}
	if (argc - first != 1)
		return cli_usage("'spindle trace' takes one file");
	if (request != NULL && parse_u64(request, 1, UINT64_MAX, &id, &e) != 0)
		return cli_usage("--request: %s", e.text);
	in = strcmp(argv[first], "-") == 0 ? stdin : fopen(argv[first], "re");
	if (in == NULL) {
		err_errno(&e, -errno, "cannot open '%s'", argv[first]);
		return cli_fail(&e);
	}
	rc = read_trace(in, &t, request != NULL ? &id : NULL, &e);
	if (rc == 0 && request == NULL) {
		pair(&t);
		if (json)
			print_json(&t);
		else
			print_flushes(&t);
	}
	if (in != stdin)
		fclose(in);
	free(t.guest.item);
	free(t.host.item);
	return rc != 0 ? cli_fail(&e) : CLI_OK;
}
