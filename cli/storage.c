/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "cache/iopool.h"

const char storage_keys[] =
    "keys of --disk FILE[,KEY=VALUE]... (defaults in brackets)\n"
    "  cache=writeback|writethrough|none|unsafe  [writeback]\n"
    "  cache-size=SIZE [64M]   dirty=SIZE [half]   readahead=SIZE [4M]\n"
    "  host=direct|buffered [direct]   readonly=on|off [off]\n"
    "  rerror=report|stop [report]   werror=report|stop|enospc [report]\n"
    "  iops=N iops-burst=N bps=SIZE bps-burst=SIZE   [no limit]\n"
    "  at=0..3 [next free]: primary master, slave, secondary master, slave\n"
    "  serial=TEXT   fault=OP:WHAT[:...] (docs/disk.md; may repeat)\n";

struct word {
	const char *name;
	int value;
};

static const struct word caches[] = {{"writeback", DISK_WRITEBACK},
				     {"writethrough", DISK_WRITETHROUGH},
				     {"none", DISK_NONE},
				     {"unsafe", DISK_UNSAFE},
				     {NULL, 0}};
static const struct word hosts[] = {{"direct", 0}, {"buffered", 1}, {NULL, 0}};
static const struct word switches[] = {{"off", 0}, {"on", 1}, {NULL, 0}};
static const struct word rerrors[] = {{"report", DISK_REPORT},
				      {"stop", DISK_STOP},
				      {NULL, 0}};
static const struct word werrors[] = {{"report", DISK_REPORT},
				      {"stop", DISK_STOP},
				      {"enospc", DISK_ENOSPC},
				      {NULL, 0}};

/* "a, b or c" */
static void
list_words(char *out, size_t room, const struct word *w)
{
	size_t used = 0;

	for (; w->name != NULL && used < room; w++)
		used +=
		    (size_t)snprintf(out + used, room - used, "%s%s",
				     used == 0
					 ? ""
					 : (w[1].name != NULL ? ", " : " or "),
				     w->name);
}

static int
take_word(const char *option, const struct word *words, const char *key,
	  const char *value, int *out, struct err *e)
{
	char all[100];

	for (const struct word *w = words; w->name != NULL; w++)
		if (strcmp(w->name, value) == 0) {
			*out = w->value;
			return 0;
		}
	list_words(all, sizeof(all), words);
	return err_set(e, -EINVAL, "%s: %s is %s, not '%s'", option, key, all,
		       value);
}

static int
take_count(const char *value, u64 *out, struct err *e)
{
	return parse_u64(value, 1, 1ULL << 40, out, e);
}

static int
take_serial(struct storage_disk *d, const char *value, struct err *e)
{
	size_t n = strlen(value);

	if (n == 0 || n >= sizeof(d->serial))
		return err_set(e, -EINVAL,
			       "--disk: a serial number has 1 to 20 "
			       "characters, not '%s'",
			       value);
	memcpy(d->serial, value, n + 1);
	d->cfg.serial = d->serial;
	return 0;
}

static int
take_fault(struct storage_disk *d, const char *value, struct err *e)
{
	if (d->fault_count == STORAGE_FAULTS_MAX)
		return err_set(e, -E2BIG, "--disk: at most %d faults",
			       STORAGE_FAULTS_MAX);
	d->fault[d->fault_count++] = value;
	return 0;
}

static int
take_key(struct storage_disk *d, const char *key, const char *value,
	 struct err *e)
{
	struct disk_config *c = &d->cfg;
	u64 at = 0;
	int v = 0, rc;

#define IS(name) (strcmp(key, name) == 0)
	if (IS("cache")) {
		rc = take_word("--disk", caches, key, value, &v, e);
		c->cache = (enum disk_cache)v;
	} else if (IS("host")) {
		rc = take_word("--disk", hosts, key, value, &v, e);
		c->buffered = v != 0;
	} else if (IS("readonly")) {
		rc = take_word("--disk", switches, key, value, &v, e);
		c->read_only = v != 0;
	} else if (IS("rerror")) {
		rc = take_word("--disk", rerrors, key, value, &v, e);
		c->rerror = (enum disk_policy)v;
	} else if (IS("werror")) {
		rc = take_word("--disk", werrors, key, value, &v, e);
		c->werror = (enum disk_policy)v;
	} else if (IS("cache-size")) {
		rc = parse_size(value, &c->cache_bytes, e);
	} else if (IS("dirty")) {
		rc = parse_size(value, &c->dirty_bytes, e);
	} else if (IS("readahead")) {
		rc = parse_size(value, &c->readahead_bytes, e);
		c->readahead_bytes = MAX(c->readahead_bytes, 1);
	} else if (IS("iops")) {
		rc = take_count(value, &c->ops.per_s, e);
	} else if (IS("iops-burst")) {
		rc = take_count(value, &c->ops.burst, e);
	} else if (IS("bps")) {
		rc = parse_size(value, &c->bytes.per_s, e);
	} else if (IS("bps-burst")) {
		rc = parse_size(value, &c->bytes.burst, e);
	} else if (IS("at")) {
		rc = parse_u64(value, 0, STORAGE_DISKS - 1, &at, e);
		d->position = (int)at;
	} else if (IS("serial")) {
		rc = take_serial(d, value, e);
	} else if (IS("fault")) {
		rc = take_fault(d, value, e);
	} else {
		return err_set(e, -EINVAL,
			       "--disk has no key '%s'; 'spindle run --disk "
			       "help' lists them",
			       key);
	}
#undef IS
	if (rc != 0 && strncmp(e->text, "--disk", 6) != 0)
		err_prefix(e, "--disk: %s", key);
	return rc;
}

/* Cuts the next word off: up to a single comma. Two are one in the word. */
static char *
next_word(char **rest)
{
	char *word = *rest, *in = word, *out = word;

	if (word == NULL)
		return NULL;
	for (; *in != '\0'; in++) {
		if (*in == ',' && in[1] != ',')
			break;
		if (*in == ',')
			in++;
		*out++ = *in;
	}
	*rest = *in == ',' ? in + 1 : NULL;
	*out = '\0';
	return word;
}

static int
take_words(struct storage_disk *d, struct err *e)
{
	char *rest = d->text, *word = next_word(&rest);
	int rc = 0;

	if (*word == '\0')
		return err_set(e, -EINVAL, "--disk needs a file");
	if (strlen(word) >= sizeof(d->path))
		return err_set(e, -ENAMETOOLONG,
			       "--disk: the file's name is too long");
	strcpy(d->path, word);
	while (rc == 0 && (word = next_word(&rest)) != NULL) {
		char *value = strchr(word, '=');

		if (value == NULL)
			return err_set(e, -EINVAL,
				       "--disk: '%s' is not KEY=VALUE", word);
		*value++ = '\0';
		rc = take_key(d, word, value, e);
	}
	return rc;
}

int
storage_add(struct storage *s, const char *text, struct err *e)
{
	struct storage_disk *d;
	int rc;

	if (s->count == STORAGE_DISKS)
		return err_set(e, -E2BIG,
			       "there is room for %d disks, two to a channel",
			       STORAGE_DISKS);
	d = &s->disk[s->count++];
	*d = (struct storage_disk){.position = -1, .text = strdup(text)};
	if (d->text == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	rc = take_words(d, e);
	d->cfg.path = d->path;
	for (unsigned i = 0; rc == 0 && i < s->count - 1; i++)
		if (d->position >= 0 && s->disk[i].position == d->position)
			rc = err_set(e, -EINVAL, "--disk: two disks are at=%d",
				     d->position);
	return rc;
}

static const struct word models[] = {{"piix4", 0}, {"piix3", 1}, {NULL, 0}};

static int
take_ide_key(struct storage_ide *ide, const char *key, const char *value,
	     struct err *e)
{
	u64 n = 0;
	int rc = 0;

	if (strcmp(key, "firmware") == 0) {
		if (strlen(value) > 8)
			return err_set(e, -EINVAL,
				       "--ide: a firmware revision has at most "
				       "8 characters, not '%s'",
				       value);
		ide->firmware = value;
	} else if (strcmp(key, "delay") == 0) {
		rc = parse_u64(value, 0, 1000000, &n, e);
		ide->delay_ns = n * NS_PER_US;
	} else if (strcmp(key, "cd") == 0) {
		rc = parse_u64(value, 0, STORAGE_DISKS - 1, &n, e);
		ide->cd = (unsigned)n;
	} else {
		return err_set(e, -EINVAL,
			       "--ide has no key '%s'; there are firmware, "
			       "delay and cd",
			       key);
	}
	if (rc != 0)
		err_prefix(e, "--ide: %s", key);
	return rc;
}

int
storage_ide(struct storage *s, const char *text, struct err *e)
{
	char *rest = s->ide_text = strdup(text), *word = next_word(&rest);
	int piix3 = 0, rc;

	if (word == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	rc = take_word("--ide", models, "the controller", word, &piix3, e);
	s->ide.piix3 = piix3 != 0;
	while (rc == 0 && (word = next_word(&rest)) != NULL) {
		char *value = strchr(word, '=');

		if (value == NULL)
			return err_set(e, -EINVAL,
				       "--ide: '%s' is not KEY=VALUE", word);
		*value++ = '\0';
		rc = take_ide_key(&s->ide, word, value, e);
	}
	return rc;
}

/* --- opening and closing ----------------------------------------------- */

static int
place_disks(struct storage *s, unsigned taken, struct err *e)
{
	for (unsigned i = 0; i < s->count; i++) {
		int at = s->disk[i].position;

		if (at >= 0 && (taken >> at & 1))
			return err_set(e, -EBUSY,
				       "--disk: position %d is taken", at);
		if (at >= 0)
			taken |= 1U << at;
	}
	for (unsigned i = 0; i < s->count; i++) {
		int at = 0;

		if (s->disk[i].position >= 0)
			continue;
		while (at < STORAGE_DISKS && (taken >> at & 1))
			at++;
		if (at == STORAGE_DISKS)
			return err_set(e, -E2BIG,
				       "there is no room for disk '%s': a "
				       "machine has %d places",
				       s->disk[i].path, STORAGE_DISKS);
		s->disk[i].position = at;
		taken |= 1U << at;
	}
	return 0;
}

static int
open_disk(struct storage *s, struct storage_disk *d, struct err *e)
{
	int rc;

	d->cfg.faults = d->fault;
	d->cfg.fault_count = d->fault_count;
	d->cfg.pool = s->pool;
	rc = disk_open(&d->disk, &d->cfg, e);
	if (rc == 0 && d->cfg.cache == DISK_UNSAFE)
		log_warn("'%s': cache=unsafe ignores the guest's flushes; a "
			 "crash of the host loses what it believes to be safe",
			 d->path);
	return rc;
}

int
storage_open(struct storage *s, struct disk *place[STORAGE_DISKS],
	     unsigned taken, struct err *e)
{
	struct iopool_config pc = {.backend = s->io};
	int rc = place_disks(s, taken, e);

	if (rc == 0)
		rc = iopool_open(&s->pool, &pc, e);
	for (unsigned i = 0; rc == 0 && i < s->count; i++) {
		rc = open_disk(s, &s->disk[i], e);
		if (rc == 0)
			place[s->disk[i].position] = s->disk[i].disk;
	}
	return rc;
}

int
storage_close(struct storage *s, struct err *e)
{
	int rc = 0;

	for (unsigned i = 0; i < s->count; i++) {
		struct storage_disk *d = &s->disk[i];
		struct err mine;
		int bad = disk_close(d->disk, &mine);

		free(d->text);
		if (bad != 0 && rc == 0) {
			rc = bad;
			*e = mine;
		}
	}
	free(s->ide_text);
	if (s->pool != NULL)
		iopool_close(s->pool);
	return rc;
}
