/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache/fault.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/parse.h"
#include "base/range.h"

#define RULE_TEXT_MAX 256
#define OPS	      4
#define DELAY_MAX_MS  3600000ULL

enum fault_what { WHAT_ERROR, WHAT_SHORT, WHAT_DELAY };

struct rule {
	u32 ops; /* a bit for each enum fault_op */
	enum fault_what what;
	int error;
	u64 after, count;  /* still to be skipped; still to act */
	double prob;	   /* then with this probability */
	u64 rng;	   /* xorshift64*, never 0 */
	u64 from_off, end; /* bytes [from_off, end) */
	u64 max_bytes;
	u64 delay_ms;
	bool done; /* the access happens, then the error */
};

struct fault_set {
	struct lock lock;
	struct rule rules[FAULT_RULES_MAX]; /* [lock] */
	unsigned count;			    /* [lock] */
};

/* What a disk or a file system may say. EINTR and EAGAIN are not errors to
 * anybody above and are left out. */
static const struct {
	const char *name;
	int error;
} errors[] = {
    {"EIO", EIO},	  {"ENOSPC", ENOSPC},
    {"EDQUOT", EDQUOT},	  {"EFBIG", EFBIG},
    {"EROFS", EROFS},	  {"ENODATA", ENODATA},
    {"EBADMSG", EBADMSG}, {"ENODEV", ENODEV},
    {"ENOMEM", ENOMEM},	  {"ETIMEDOUT", ETIMEDOUT},
    {"EPERM", EPERM},	  {"EACCES", EACCES},
    {"ENOTSUP", ENOTSUP}, {"EINVAL", EINVAL},
    {"ESTALE", ESTALE},	  {"EREMOTEIO", EREMOTEIO},
};

int
fault_set_open(struct fault_set **out)
{
	struct fault_set *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	lock_init(&s->lock);
	*out = s;
	return 0;
}

void
fault_set_close(struct fault_set *s)
{
	if (!s)
		return;
	lock_destroy(&s->lock);
	free(s);
}

/* --- a rule as text ---------------------------------------------------- */

static int
parse_op(struct rule *r, const char *text, struct err *e)
{
	static const char *const names[OPS] = {"read", "write", "flush",
					       "discard"};

	assert(r->ops == 0);
	if (strcmp(text, "any") == 0)
		r->ops = (u32)BITS(OPS - 1, 0);
	for (unsigned i = 0; i < OPS; i++)
		if (strcmp(text, names[i]) == 0)
			r->ops = (u32)BIT(i);
	if (r->ops == 0)
		return err_set(e, -EINVAL,
			       "a fault is for read, write, flush, discard or "
			       "any, not for '%s'",
			       text);
	return 0;
}

static int
parse_what(struct rule *r, const char *text, struct err *e)
{
	u32 transfers = (u32)(BIT(FAULT_READ) | BIT(FAULT_WRITE));

	if (text && strcmp(text, "delay") == 0) {
		r->what = WHAT_DELAY;
		return 0;
	}
	if (text && strcmp(text, "short") == 0) {
		r->what = WHAT_SHORT;
		r->ops &= transfers;
		if (r->ops == 0)
			return err_set(e, -EINVAL,
				       "only reads and writes can be short");
		return 0;
	}
	r->what = WHAT_ERROR;
	for (size_t i = 0; text && i < ARRAY_SIZE(errors); i++)
		if (strcmp(text, errors[i].name) == 0)
			r->error = -errors[i].error;
	if (r->error == 0)
		return err_set(e, -EINVAL,
			       "a fault is an error like EIO, short or delay, "
			       "not '%s'",
			       text ? text : "");
	return 0;
}

static int
parse_prob(struct rule *r, const char *text, struct err *e)
{
	char *end;
	double p = strtod(text, &end);

	if (end == text || *end != '\0' || !(p >= 0 && p <= 1))
		return err_set(e, -EINVAL, "'%s' is no probability, 0 to 1",
			       text);
	r->prob = p;
	return 0;
}

static int
parse_range(struct rule *r, char *text, struct err *e)
{
	char *dash = strchr(text, '-');
	int rc;

	if (!dash)
		return err_set(e, -EINVAL, "'%s' is not a range like 0-4096",
			       text);
	*dash = '\0';
	rc = parse_size(text, &r->from_off, e);
	if (rc == 0)
		rc = parse_size(dash + 1, &r->end, e);
	if (rc == 0 && r->from_off >= r->end)
		rc = err_set(e, -EINVAL, "the range '%s-%s' is empty", text,
			     dash + 1);
	return rc;
}

/* One KEY=VALUE; eq is where the '=' was. */
static int
parse_key(struct rule *r, const char *key, char *value, struct err *e)
{
	u64 n = 0;
	int rc;

	if (strcmp(key, "prob") == 0)
		return parse_prob(r, value, e);
	if (strcmp(key, "off") == 0)
		return parse_range(r, value, e);
	if (strcmp(key, "bytes") == 0) {
		rc = parse_size(value, &r->max_bytes, e);
		if (rc == 0 && r->max_bytes == 0)
			rc = err_set(e, -EINVAL,
				     "a short transfer moves at least one "
				     "byte");
		return rc;
	}
	if (strcmp(key, "ms") == 0)
		return parse_u64(value, 0, DELAY_MAX_MS, &r->delay_ms, e);
	if (strcmp(key, "after") == 0)
		return parse_u64(value, 0, UINT64_MAX, &r->after, e);
	if (strcmp(key, "count") == 0)
		return parse_u64(value, 0, UINT64_MAX, &r->count, e);
	if (strcmp(key, "seed") == 0)
		return parse_u64(value, 1, UINT64_MAX, &r->rng, e);
	if (strcmp(key, "done") == 0) {
		rc = parse_u64(value, 0, 1, &n, e);
		r->done = n != 0;
		return rc;
	}
	return err_set(e, -EINVAL, "a fault has no '%s'", key);
}

static int
parse_rule(struct rule *r, char *text, struct err *e)
{
	char *word = strsep(&text, ":"), *eq;
	int rc;

	*r = (struct rule){
	    .count = UINT64_MAX,
	    .prob = 1,
	    .rng = 1,
	    .end = UINT64_MAX,
	    .max_bytes = 512,
	    .delay_ms = 10,
	};
	rc = parse_op(r, word, e);
	if (rc == 0)
		rc = parse_what(r, strsep(&text, ":"), e);
	while (rc == 0 && (word = strsep(&text, ":")) != NULL) {
		eq = strchr(word, '=');
		if (!eq)
			return err_set(e, -EINVAL, "'%s' is not KEY=VALUE",
				       word);
		*eq = '\0';
		rc = parse_key(r, word, eq + 1, e);
	}
	return rc;
}

int
fault_add(struct fault_set *s, const char *rule, struct err *e)
{
	char text[RULE_TEXT_MAX];
	struct rule r;
	int rc;

	assert(s != NULL);
	if (strlen(rule) >= sizeof(text))
		return err_set(e, -EINVAL, "a fault of %zu characters",
			       strlen(rule));
	memcpy(text, rule, strlen(rule) + 1);
	rc = parse_rule(&r, text, e);
	if (rc != 0) {
		err_prefix(e, "fault '%s'", rule);
		return rc;
	}
	lock_acquire(&s->lock);
	if (s->count < FAULT_RULES_MAX)
		s->rules[s->count++] = r;
	else
		rc =
		    err_set(e, -ENOSPC, "more than %d faults", FAULT_RULES_MAX);
	lock_release(&s->lock);
	return rc;
}

void
fault_clear(struct fault_set *s)
{
	lock_acquire(&s->lock);
	s->count = 0;
	lock_release(&s->lock);
}

/* --- the verdict ------------------------------------------------------- */

/* A number in [0, 1) from the rule's own generator: xorshift64* (Vigna 2016),
 * so that the verdicts of one rule do not depend on other rules. */
static double
draw(struct rule *r)
{
	r->rng ^= r->rng >> 12;
	r->rng ^= r->rng << 25;
	r->rng ^= r->rng >> 27;
	return (double)((r->rng * 0x2545f4914f6cdd1dULL) >> 11) * 0x1p-53;
}

static bool
acts(struct rule *r, enum fault_op op, u64 off, u64 size_bytes)
{
	if (!(r->ops & BIT(op)) ||
	    !range_overlap(off, size_bytes, r->from_off, r->end - r->from_off))
		return false;
	if (r->after != 0) {
		r->after--;
		return false;
	}
	if (r->count == 0 || draw(r) >= r->prob)
		return false;
	if (r->count != UINT64_MAX)
		r->count--;
	return true;
}

static void
judge(const struct rule *r, struct fault_verdict *v)
{
	switch (r->what) {
	case WHAT_ERROR:
		v->error = r->error;
		v->after = r->done;
		break;
	case WHAT_SHORT:
		v->max_bytes = r->max_bytes;
		break;
	case WHAT_DELAY:
		v->delay_ns = r->delay_ms * NS_PER_MS;
		break;
	}
}

struct fault_verdict
fault_check(struct fault_set *s, enum fault_op op, u64 off, u64 size_bytes)
{
	struct fault_verdict v = {.max_bytes = UINT64_MAX};

	assert((unsigned)op < OPS);
	lock_acquire(&s->lock);
	for (unsigned i = 0; i < s->count; i++) {
		if (acts(&s->rules[i], op, off, size_bytes)) {
			judge(&s->rules[i], &v);
			break;
		}
	}
	lock_release(&s->lock);
	return v;
}
