/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_fault - the rules of faults, as a person or a socket gives them
 *
 * An input is rules, one a line. What is taken must give verdicts that the
 * host-file layer can act on.
 */
#include <stdlib.h>

#include "cache/fault.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void
check(struct fault_set *s)
{
	for (unsigned i = 0; i < 40; i++) {
		struct fault_verdict v =
		    fault_check(s, (enum fault_op)(i % 4), (u64)i * 4096,
				1 + i * 511);

		assert(v.error <= 0);
		assert(!v.after || v.error != 0);
		assert(v.max_bytes != 0);
		assert(v.delay_ns <= 3600000000000ULL);
	}
}

int
LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	char *text = malloc(size + 1), *rest = text, *rule;
	struct fault_set *s;
	struct err e;

	if (!text || fault_set_open(&s) != 0)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	while ((rule = strsep(&rest, "\n")) != NULL) {
		e.text[0] = '\0';
		if (fault_add(s, rule, &e) != 0)
			assert(e.text[0] != '\0');
	}
	check(s);
	fault_set_close(s);
	free(text);
	return 0;
}
