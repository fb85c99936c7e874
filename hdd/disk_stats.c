/* SPDX-License-Identifier: BSD-2-Clause */
#include <jansson.h>

#include "hdd/disk_int.h"

static void
put(json_t *o, const char *key, u64 v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static json_t *
latency(const struct hist *h)
{
	static const struct {
		const char *key;
		double p;
	} quantiles[] = {{"p50", 0.5},
			 {"p90", 0.9},
			 {"p99", 0.99},
			 {"p999", 0.999}};
	json_t *o = json_object();
	u64 n = h->count;

	put(o, "count", n);
	put(o, "mean", n != 0 ? h->sum_ns / n : 0);
	for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++)
		put(o, quantiles[i].key, hist_quantile_ns(h, quantiles[i].p));
	put(o, "max", h->max_ns);
	return o;
}

static json_t *
device_side(const struct disk *d)
{
	static const char *const keys[DISK_OPS] = {
	    [DISK_READ] = "read",	  [DISK_WRITE] = "write",
	    [DISK_FLUSH] = "flush",	  [DISK_DISCARD] = "discard",
	    [DISK_ZERO] = "zero",	  [DISK_VERIFY] = "verify",
	    [DISK_CACHE_ON] = "cache_on", [DISK_CACHE_OFF] = "cache_off",
	};
	json_t *all = json_object();

	for (int op = 0; op < DISK_OPS; op++) {
		const struct disk_op_stats *s = &d->stats.op[op];
		json_t *o;

		if (s->requests == 0)
			continue;
		o = json_object();
		put(o, "requests", s->requests);
		put(o, "sectors", s->sectors);
		put(o, "errors", s->errors);
		json_object_set_new(o, "latency_ns", latency(&s->latency));
		json_object_set_new(all, keys[op], o);
	}
	put(all, "in_call", d->stats.in_call);
	put(all, "throttled", d->stats.throttled);
	put(all, "stopped", d->stats.stopped);
	put(all, "bad_sectors", d->stats.bad_sectors);
	return all;
}

static json_t *
cache_side(const struct disk *d)
{
	const struct wcache_stats *s = wcache_stats(d->wcache);
	json_t *o = json_object();

	put(o, "read_hits", s->read_hits);
	put(o, "read_misses", s->read_misses);
	put(o, "readahead_sectors", s->readahead_sectors);
	put(o, "readahead_hits", s->readahead_hits);
	put(o, "writes", s->writes);
	put(o, "write_sectors", s->write_sectors);
	put(o, "writebacks", s->writebacks);
	put(o, "writeback_sectors", s->writeback_sectors);
	put(o, "flushes", s->flushes);
	put(o, "store_flushes", s->store_flushes);
	put(o, "stalls", s->stalls);
	put(o, "errors", s->errors);
	put(o, "dirty_bytes", s->dirty_bytes);
	put(o, "unsynced_bytes", s->unsynced_bytes);
	put(o, "clean_bytes", s->clean_bytes);
	return o;
}

static json_t *
host_side(const struct disk *d)
{
	const struct wcache_stats *w = wcache_stats(d->wcache);
	struct hostfile *f = raw_file(d->raw);
	const struct hostfile_stats *s = hostfile_stats(f);
	json_t *o = json_object();

	json_object_set_new(o, "backend",
			    json_string(iopool_backend(d->cfg.pool)));
	json_object_set_new(o, "direct", json_boolean(hostfile_direct(f)));
	put(o, "reads", s->reads);
	put(o, "read_bytes", s->read_bytes);
	put(o, "writes", s->writes);
	put(o, "write_bytes", s->write_bytes);
	put(o, "flushes", s->flushes);
	put(o, "discards", s->discards);
	put(o, "errors", s->errors);
	json_object_set_new(o, "read_ns", latency(&w->store_read));
	json_object_set_new(o, "write_ns", latency(&w->store_write));
	json_object_set_new(o, "flush_ns", latency(&w->store_flush));
	return o;
}

char *
disk_stats_json(const struct disk *d)
{
	static const char *const caches[] = {
	    [DISK_WRITEBACK] = "writeback",
	    [DISK_WRITETHROUGH] = "writethrough",
	    [DISK_NONE] = "none",
	    [DISK_UNSAFE] = "unsafe",
	};
	json_t *o = json_object();
	char *text;

	json_object_set_new(o, "path", json_string(d->path));
	json_object_set_new(o, "cache", json_string(caches[d->cfg.cache]));
	put(o, "size_bytes", d->store->sectors * DISK_SECTOR_BYTES);
	json_object_set_new(o, "read_only", json_boolean(d->store->read_only));
	json_object_set_new(o, "write_cache",
			    json_boolean(wcache_is_on(d->wcache)));
	json_object_set_new(o, "device", device_side(d));
	json_object_set_new(o, "memory", cache_side(d));
	json_object_set_new(o, "host", host_side(d));
	text = json_dumps(o, JSON_PRESERVE_ORDER | JSON_COMPACT);
	json_decref(o);
	return text;
}
