/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/hostmem.h"

#include <stdio.h>

#define PATH_BYTES 1024

static FILE *
open_file(const char *root, const char *path)
{
	char full[PATH_BYTES];

	snprintf(full, sizeof(full), "%s%s", root, path);
	return fopen(full, "re");
}

static u64
mem_available(const char *root)
{
	FILE *f = open_file(root, "/proc/meminfo");
	unsigned long long kib;
	u64 bytes = UINT64_MAX;
	char line[128];

	if (f == NULL)
		return bytes;
	while (bytes == UINT64_MAX && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			bytes = kib << 10;
	fclose(f);
	return bytes;
}

/* One number out of a file, or UINT64_MAX ("max", or no such file). */
static u64
read_limit(const char *root, const char *path)
{
	FILE *f = open_file(root, path);
	unsigned long long v;
	u64 limit = UINT64_MAX;

	if (f == NULL)
		return limit;
	if (fscanf(f, "%llu", &v) == 1)
		limit = v;
	fclose(f);
	return limit;
}

/* The least limit of a group and its parents. group is cut short. */
static u64
group_limit(const char *root, const char *hierarchy, char *group,
	    const char *file)
{
	char path[PATH_BYTES], *slash;
	u64 limit = UINT64_MAX, v;

	do {
		snprintf(path, sizeof(path), "%s%s/%s", hierarchy, group, file);
		v = read_limit(root, path);
		limit = MIN(limit, v);
		slash = strrchr(group, '/');
		if (slash != NULL)
			*slash = '\0';
	} while (slash != NULL);
	return limit;
}

/* Lines of /proc/self/cgroup are "number:controllers:group"; version 2 has
 * number 0 and no controllers. */
static u64
cgroup_limit(const char *root)
{
	FILE *f = open_file(root, "/proc/self/cgroup");
	u64 limit = UINT64_MAX, v;
	char line[PATH_BYTES / 2], *group;

	if (f == NULL)
		return limit;
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		group = strchr(line, '/');
		if (group == NULL)
			continue;
		v = UINT64_MAX;
		if (strncmp(line, "0::", 3) == 0)
			v = group_limit(root, "/sys/fs/cgroup", group,
					"memory.max");
		else if (strstr(line, ":memory:") != NULL)
			v = group_limit(root, "/sys/fs/cgroup/memory", group,
					"memory.limit_in_bytes");
		limit = MIN(limit, v);
	}
	fclose(f);
	return limit;
}

u64
hostmem_available_bytes(const char *root)
{
	u64 available = mem_available(root), limit = cgroup_limit(root);

	return MIN(available, limit);
}
