/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench/bench_trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define WRITES_MAX    1000000U
#define REG_COMMAND   7
#define WRITE_SECTORS 8 /* of 4 KiB */

/* One command after another: a channel has one at a time. */
struct story {
	u64 reg_ns;   /* the command register was written */
	u64 share_ns; /* of the host so far; 0: none of ours */
	u64 start_ns; /* the bus master was started */
	bool submitted;
};

struct event {
	u64 ns;
	char name[32];
	u64 number[3]; /* in the order of the trace point's */
};

static bool
take_apart(const char *line, struct event *e)
{
	unsigned long long s, ns, id, n[3] = {0};

	*e = (struct event){0};
	if (sscanf(line,
		   "%llu.%9llu %31s id=%llu %*[^=]=%lli %*[^=]=%lli "
		   "%*[^=]=%lli",
		   &s, &ns, e->name, &id, (long long *)&n[0],
		   (long long *)&n[1], (long long *)&n[2]) < 4)
		return false;
	e->ns = s * 1000000000 + ns;
	for (unsigned i = 0; i < 3; i++)
		e->number[i] = n[i];
	return true;
}

/* True: a write is whole; share_ns is its. */
static bool
follow(struct story *s, const struct event *e)
{
	if (strcmp(e->name, "ide_reg_write") == 0) {
		if (e->number[1] == REG_COMMAND)
			*s = (struct story){.reg_ns = e->ns};
	} else if (strcmp(e->name, "ide_command") == 0) {
		u64 opcode = e->number[1];

		/* WRITE DMA, WRITE DMA EXT */
		if ((opcode == 0xca || opcode == 0x35) && s->reg_ns != 0)
			s->share_ns = e->ns - s->reg_ns + 1;
	} else if (strcmp(e->name, "ide_bm_write") == 0) {
		s->start_ns = e->ns;
	} else if (strcmp(e->name, "ide_submit") == 0) {
		s->submitted = e->number[2] == WRITE_SECTORS;
	} else if (strcmp(e->name, "ide_intrq") == 0 && e->number[2] != 0) {
		bool whole =
		    s->share_ns != 0 && s->start_ns != 0 && s->submitted;

		s->share_ns += e->ns - s->start_ns;
		return whole;
	}
	return false;
}

static int
compare_u64(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return (x > y) - (x < y);
}

int
bench_trace_read(const char *path, struct bench_trace *t)
{
	u64 *writes = malloc(WRITES_MAX * sizeof(*writes));
	FILE *f = fopen(path, "re");
	struct story story = {0};
	struct event e;
	char line[512];
	int rc = f != NULL ? 0 : -errno;

	*t = (struct bench_trace){0};
	if (writes == NULL)
		rc = -ENOMEM;
	while (rc == 0 && fgets(line, sizeof(line), f) != NULL) {
		if (!take_apart(line, &e))
			continue;
		if (strcmp(e.name, "trace_dropped") == 0)
			rc = -EOVERFLOW;
		else if (follow(&story, &e) && t->count < WRITES_MAX)
			writes[t->count++] = story.share_ns;
		if (strcmp(e.name, "ide_intrq") == 0 && e.number[2] != 0)
			story = (struct story){0};
	}
	if (rc == 0 && t->count == 0)
		rc = -ENODATA;
	if (rc == 0) {
		qsort(writes, t->count, sizeof(*writes), compare_u64);
		t->p50_us = (double)writes[t->count / 2] / 1e3;
		t->p99_us = (double)writes[(u64)t->count * 99 / 100] / 1e3;
	}
	if (f != NULL)
		fclose(f);
	free(writes);
	return rc;
}
