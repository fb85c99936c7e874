/* SPDX-License-Identifier: BSD-2-Clause */
/* test_iopool_pin - memory that was pinned, unmapped and mapped again
 *
 * A disk that is closed gives its cache's memory back, and the next one's may
 * come to lie at the same address, as when a CD is changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/mman.h>

#include "tests/pool_rig.h"

#define BYTES 65536U

static u8 *
map_at(void *where)
{
	u8 *p = mmap(where, BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS |
			 (where != NULL ? MAP_FIXED_NOREPLACE : 0),
		     -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void
test_iopool_forgets_memory_that_is_unmapped(void **state)
{
	static const char *const backends[] = {"threads", "uring"};
	struct pool_rig g;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		u8 *memory, *again;

		if (!pool_rig_has(backends[i]))
			continue;
		memory = map_at(NULL);
		pool_rig_open(&g, backends[i], 8, 2);
		memset(g.mem, 'x', BYTES);
		assert_int_equal(pool_rig_do(&g, IO_WRITE, 0, BYTES, g.mem), 0);
		iopool_register_memory(g.pool, memory, BYTES);
		assert_int_equal(pool_rig_do(&g, IO_READ, 0, BYTES, memory), 0);
		assert_memory_equal(memory, g.mem, BYTES);
		iopool_forget_memory(g.pool, g.mem); /* not pinned */
		iopool_forget_memory(g.pool, memory);
		munmap(memory, BYTES);
		again = map_at(memory);
		assert_ptr_equal(again, memory);
		iopool_register_memory(g.pool, again, BYTES);
		assert_int_equal(pool_rig_do(&g, IO_READ, 0, BYTES, again), 0);
		assert_memory_equal(again, g.mem, BYTES);
		iopool_forget_memory(g.pool, again);
		munmap(again, BYTES);
		pool_rig_close(&g);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_iopool_forgets_memory_that_is_unmapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
