/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
	int n;
	struct list link;
};

/* The numbers of a list as a decimal, first to last; checks the links. */
static int
digits(const struct list *head)
{
	int v = 0;

	LIST_FOR(l, head)
	{
		assert_ptr_equal(l->next->prev, l);
		assert_ptr_equal(l->prev->next, l);
		v = 10 * v + LIST_ENTRY(l, struct item, link)->n;
	}
	return v;
}

static void
fill(struct list *head, struct item *items, int n, int first)
{
	list_init(head);
	for (int i = 0; i < n; i++) {
		items[i].n = first + i;
		list_add_tail(head, &items[i].link);
	}
}

static void
test_list_keeps_its_order(void **state)
{
	struct item items[4];
	struct list head;

	(void)state;
	list_init(&head);
	assert_true(list_empty(&head));
	fill(&head, items, 3, 1);
	assert_false(list_empty(&head));
	assert_int_equal(digits(&head), 123);
	items[3].n = 4;
	list_add_head(&head, &items[3].link);
	assert_int_equal(digits(&head), 4123);
	list_remove(&items[3].link);
	list_add_before(&items[1].link, &items[3].link);
	assert_int_equal(digits(&head), 1423);
}

static void
test_list_remove_leaves_an_empty_link(void **state)
{
	struct item items[3];
	struct list head;

	(void)state;
	fill(&head, items, 3, 1);
	list_remove(&items[1].link);
	assert_true(list_empty(&items[1].link));
	list_remove(&items[1].link);
	assert_int_equal(digits(&head), 13);
	assert_ptr_equal(list_pop(&head), &items[0].link);
	assert_ptr_equal(list_pop(&head), &items[2].link);
	assert_true(list_empty(&head));
	assert_true(list_empty(&items[0].link));
}

static void
test_list_moves_all_to_the_end(void **state)
{
	struct item a_items[2], b_items[3];
	struct list a, b;

	(void)state;
	fill(&a, a_items, 2, 1);
	fill(&b, b_items, 3, 3);
	list_move_all(&a, &b);
	assert_int_equal(digits(&a), 12345);
	assert_true(list_empty(&b));
	list_move_all(&a, &b);
	assert_int_equal(digits(&a), 12345);
	list_move_all(&b, &a);
	assert_int_equal(digits(&b), 12345);
	assert_true(list_empty(&a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_list_keeps_its_order),
	    cmocka_unit_test(test_list_remove_leaves_an_empty_link),
	    cmocka_unit_test(test_list_moves_all_to_the_end),
	};

	return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
