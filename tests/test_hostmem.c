/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>

#include "tests/boot_rig.h"
#include "tests/vmm_rig.h"
#include "vmm/hostmem.h"

static char root[512];

/* A host made of files. */
static void
put(const char *path, const char *text)
{
	char cmd[2000];

	snprintf(cmd, sizeof(cmd),
		 "mkdir -p \"$(dirname '%s%s')\" && printf '%%b' '%s' "
		 ">'%s%s'",
		 root, path, text, root, path);
	assert_int_equal(system(cmd), 0);
}

static int
setup(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "%s", rig_path("host"));
	put("/proc/meminfo", "MemTotal: 2000 kB\\nMemFree: 10 kB\\n"
			     "MemAvailable:    1000 kB\\n");
	return 0;
}

static int
teardown(void **state)
{
	char cmd[600];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -r '%s'", root);
	return system(cmd);
}

static void
test_hostmem_is_what_is_available(void **state)
{
	(void)state;
	assert_int_equal(hostmem_available_bytes(root), 1000 << 10);
}

static void
test_hostmem_keeps_to_the_group_and_its_parents(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/a/b\\n");
	put("/sys/fs/cgroup/a/b/memory.max", "max\\n");
	assert_int_equal(hostmem_available_bytes(root), 1000 << 10);
	put("/sys/fs/cgroup/a/memory.max", "500000\\n");
	assert_int_equal(hostmem_available_bytes(root), 500000);
	put("/sys/fs/cgroup/a/b/memory.max", "400000\\n");
	assert_int_equal(hostmem_available_bytes(root), 400000);
	put("/sys/fs/cgroup/memory.max", "300000\\n");
	assert_int_equal(hostmem_available_bytes(root), 300000);
	put("/sys/fs/cgroup/c/memory.max", "1\\n"); /* somebody else's */
	assert_int_equal(hostmem_available_bytes(root), 300000);
}

static void
test_hostmem_knows_the_first_version_of_groups(void **state)
{
	(void)state;
	put("/proc/self/cgroup",
	    "3:cpuset:/x\\n4:memory:/box\\n1:cpu:/x\\n0::/\\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes",
	    "9223372036854771712\\n");
	assert_int_equal(hostmem_available_bytes(root), 1000 << 10);
	put("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "700000\\n");
	assert_int_equal(hostmem_available_bytes(root), 700000);
}

static void
test_hostmem_without_a_word_from_the_host_is_unlimited(void **state)
{
	(void)state;
	assert_true(hostmem_available_bytes("/nonexistent") == UINT64_MAX);
	put("/proc/meminfo", "MemTotal: 2000 kB\\n");
	put("/proc/self/cgroup", "nonsense\\n0::\\n");
	assert_true(hostmem_available_bytes(root) == UINT64_MAX);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_hostmem_is_what_is_available),
	    CASE(test_hostmem_keeps_to_the_group_and_its_parents),
	    CASE(test_hostmem_knows_the_first_version_of_groups),
	    CASE(test_hostmem_without_a_word_from_the_host_is_unlimited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
