/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/parse.h"
#include "base/range.h"
#include "vmm/devtest_int.h"
#include "vmm/machine_int.h"

#define WORDS_MAX  5
#define PAGE_BYTES 4096U

struct line {
	struct devtest *d;
	struct devtest_reply *reply;
	unsigned words;
	char *word[WORDS_MAX];
	unsigned size_bytes; /* of an access */
};

/* --- replies ------------------------------------------------------------ */

/* Takes the text. */
static void
answer_with(struct line *l, char *text)
{
	l->reply->text = text;
	l->reply->count = text != NULL ? strlen(text) : 0;
}

static void PRINTF_LIKE(2, 3) answer(struct line *l, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	answer_with(l, n < 0 ? NULL : text);
}

void
devtest_reply_release(struct devtest_reply *reply)
{
	free(reply->text);
	*reply = (struct devtest_reply){.text = NULL};
}

/* Word n as a number. False: the line has been refused. */
static bool
number(struct line *l, unsigned n, u64 max, u64 *value)
{
	struct err e;

	if (parse_u64(l->word[n], 0, max, value, &e) == 0)
		return true;
	answer(l, "FAIL %s\n", e.text);
	return false;
}

/* --- on the vCPU thread -------------------------------------------------- */

struct job {
	struct devtest *d;
	mail_fn fn;
	void *arg;
};

static void
run_job(void *ctx, void *arg)
{
	struct job *job = arg;

	job->d->in_line = true;
	job->fn(ctx, job->arg);
	job->d->in_line = false;
}

static void
on_vcpu(struct devtest *d, mail_fn fn, void *arg)
{
	struct job job = {d, fn, arg};

	mail_call(&d->machine->mail, run_job, &job);
}

/* One access to a port. */
struct port_access {
	u16 port;
	u8 size_bytes;
	u32 value;
};

static void
do_in(void *ctx, void *arg)
{
	struct machine *m = ctx;
	struct port_access *a = arg;

	a->value = pio_read(&m->pio, a->port, a->size_bytes);
}

static void
do_out(void *ctx, void *arg)
{
	struct machine *m = ctx;
	struct port_access *a = arg;

	pio_write(&m->pio, a->port, a->size_bytes,
		  a->value & (u32)BITS(8 * a->size_bytes - 1, 0));
}

/* [gpa, gpa + count), which does not wrap: RAM, devices and nothing. */
struct mem_access {
	u64 gpa;
	size_t count;
	u8 *bytes;
	bool write;
};

/* The largest aligned access of a processor at gpa. */
static unsigned
mmio_size(u64 gpa, size_t left)
{
	unsigned size = 8;

	while (size > left || gpa % size != 0)
		size /= 2;
	return size;
}

static void
mmio_piece(struct machine *m, u64 gpa, u8 *bytes, size_t count, bool write)
{
	for (size_t at = 0; at < count;) {
		struct vm_exit x = {.kind = HV_EXIT_MMIO};

		x.mmio.gpa = gpa + at;
		x.mmio.size_bytes = (u8)mmio_size(gpa + at, count - at);
		x.mmio.write = write;
		if (write)
			memcpy(x.mmio.data, bytes + at, x.mmio.size_bytes);
		mmio_exit(&m->mmio, &x);
		if (!write)
			memcpy(bytes + at, x.mmio.data, x.mmio.size_bytes);
		at += x.mmio.size_bytes;
	}
}

static void
do_memory(void *ctx, void *arg)
{
	struct machine *m = ctx;
	struct mem_access *a = arg;

	for (size_t at = 0; at < a->count;) {
		u64 gpa = a->gpa + at;
		size_t n = MIN(a->count - at, PAGE_BYTES - gpa % PAGE_BYTES);
		u8 *p = a->bytes + at;

		if (!(a->write ? ram_write(&m->ram, gpa, p, n)
			       : ram_read(&m->ram, gpa, p, n)))
			mmio_piece(m, gpa, p, n, a->write);
		at += n;
	}
}

/* A new time, or VCLOCK_NEVER for the next deadline. */
struct clock_move {
	bool relative, next;
	u64 ns;
	u64 now_ns; /* the answer */
};

/* The clock stops at every deadline on its way, as time does. */
static void
do_clock(void *ctx, void *arg)
{
	struct machine *m = ctx;
	struct clock_move *c = arg;
	u64 now = vclock_now_ns(&m->clock), to = c->ns;

	if (c->next)
		to =
		    m->timers.next_ns != VCLOCK_NEVER ? m->timers.next_ns : now;
	else if (c->relative)
		to =
		    c->ns < VCLOCK_NEVER - now ? now + c->ns : VCLOCK_NEVER - 1;
	for (unsigned i = 0; m->timers.next_ns <= to; i++) {
		if (i == DEVTEST_FIRINGS_MAX) {
			to = now;
			break;
		}
		vclock_step(&m->clock, m->timers.next_ns);
		vtimers_run(&m->timers);
		now = vclock_now_ns(&m->clock);
	}
	vclock_step(&m->clock, to);
	c->now_ns = vclock_now_ns(&m->clock);
}

static void
do_intercept(void *ctx, void *arg)
{
	struct devtest *d = arg;

	(void)ctx;
	d->intercepts = true;
}

struct pin {
	u8 n;
	bool level;
};

static void
do_pin(void *ctx, void *arg)
{
	struct machine *m = ctx;
	struct pin *pin = arg;

	m->piix.irq(m->piix.ctx, pin->n, pin->level);
}

/* --- commands ------------------------------------------------------------ */

static void
cmd_in(struct line *l)
{
	struct port_access a = {.size_bytes = (u8)l->size_bytes};
	u64 port;

	if (!number(l, 1, UINT16_MAX, &port))
		return;
	a.port = (u16)port;
	on_vcpu(l->d, do_in, &a);
	answer(l, "OK 0x%04x\n", a.value);
}

static void
cmd_out(struct line *l)
{
	struct port_access a = {.size_bytes = (u8)l->size_bytes};
	u64 port, value;

	if (!number(l, 1, UINT16_MAX, &port) ||
	    !number(l, 2, UINT64_MAX, &value))
		return;
	a.port = (u16)port;
	a.value = (u32)value;
	on_vcpu(l->d, do_out, &a);
	answer(l, "OK\n");
}

static void
cmd_read_value(struct line *l)
{
	u8 bytes[8] = {0};
	struct mem_access a = {.bytes = bytes, .count = l->size_bytes};

	if (!number(l, 1, UINT64_MAX - l->size_bytes, &a.gpa))
		return;
	on_vcpu(l->d, do_memory, &a);
	answer(l, "OK 0x%016llx\n", (unsigned long long)get_le64(bytes));
}

static void
cmd_write_value(struct line *l)
{
	u8 bytes[8];
	struct mem_access a = {.bytes = bytes,
			       .count = l->size_bytes,
			       .write = true};
	u64 value;

	if (!number(l, 1, UINT64_MAX - l->size_bytes, &a.gpa) ||
	    !number(l, 2, UINT64_MAX, &value))
		return;
	put_le64(bytes, value);
	on_vcpu(l->d, do_memory, &a);
	answer(l, "OK\n");
}

/* Words 1 and 2, and memory for the bytes, zeroed. False: refused. */
static bool
open_range(struct line *l, struct mem_access *a)
{
	u64 count;

	if (!number(l, 1, UINT64_MAX, &a->gpa) ||
	    !number(l, 2, DEVTEST_SIZE_MAX, &count))
		return false;
	if (!range_inside(a->gpa, count, UINT64_MAX)) {
		answer(l, "FAIL the range ends outside the address space\n");
		return false;
	}
	a->count = count;
	a->bytes = calloc(1, count + 1);
	return a->bytes != NULL;
}

static void
cmd_read(struct line *l)
{
	struct mem_access a = {.write = false};
	char *text;

	if (!open_range(l, &a))
		return;
	text = malloc(DEVTEST_HEX_BYTES(a.count) + strlen("OK 0x\n"));
	if (text != NULL) {
		on_vcpu(l->d, do_memory, &a);
		strcpy(text, "OK 0x");
		devtest_to_hex(text + 5, a.bytes, a.count);
		strcat(text + 5 + 2 * a.count, "\n");
	}
	free(a.bytes);
	answer_with(l, text);
}

static void
cmd_b64read(struct line *l)
{
	struct mem_access a = {.write = false};
	char *text;
	size_t n;

	if (!open_range(l, &a))
		return;
	text = malloc(DEVTEST_BASE64_BYTES(a.count) + strlen("OK \n"));
	if (text != NULL) {
		on_vcpu(l->d, do_memory, &a);
		strcpy(text, "OK ");
		n = devtest_to_base64(text + 3, a.bytes, a.count);
		strcpy(text + 3 + n, "\n");
	}
	free(a.bytes);
	answer_with(l, text);
}

/* Data that is too short leaves zeros behind it; what is too much is left
 * out. */
static void
cmd_write(struct line *l)
{
	struct mem_access a = {.write = true};
	bool hex = strncmp(l->word[3], "0x", 2) == 0;

	if (!open_range(l, &a))
		return;
	if (!hex || devtest_from_hex(a.bytes, a.count, l->word[3] + 2) < 0) {
		answer(l, "FAIL data is 0x and two hexadecimal digits a "
			  "byte\n");
	} else {
		on_vcpu(l->d, do_memory, &a);
		answer(l, "OK\n");
	}
	free(a.bytes);
}

/* Only as much as there is data for. */
static void
cmd_b64write(struct line *l)
{
	struct mem_access a = {.write = true};
	ssize_t n;

	if (!open_range(l, &a))
		return;
	n = devtest_from_base64(a.bytes, a.count, l->word[3]);
	if (n < 0) {
		answer(l, "FAIL data is base64 with its padding\n");
	} else {
		a.count = (size_t)n;
		on_vcpu(l->d, do_memory, &a);
		answer(l, "OK\n");
	}
	free(a.bytes);
}

static void
cmd_memset(struct line *l)
{
	struct mem_access a = {.write = true};
	u64 value;

	if (!number(l, 3, UINT64_MAX, &value) || !open_range(l, &a))
		return;
	memset(a.bytes, (int)(value & 0xff), a.count);
	on_vcpu(l->d, do_memory, &a);
	free(a.bytes);
	answer(l, "OK\n");
}

static void
cmd_endianness(struct line *l)
{
	answer(l, "OK little\n");
}

static void
move_clock(struct line *l, struct clock_move *c)
{
	on_vcpu(l->d, do_clock, c);
	answer(l, "OK %llu\n", (unsigned long long)c->now_ns);
}

static void
cmd_clock_step(struct line *l)
{
	struct clock_move c = {.relative = true, .next = l->words == 1};

	if (c.next || number(l, 1, INT64_MAX, &c.ns))
		move_clock(l, &c);
}

static void
cmd_clock_set(struct line *l)
{
	struct clock_move c = {.relative = false};

	if (number(l, 1, INT64_MAX, &c.ns))
		move_clock(l, &c);
}

/* Word 1 names the interrupt controller whose pins the ISA interrupts end at,
 * by its name or a path to it. False: refused. */
static bool
is_ioapic(struct line *l)
{
	const char *slash = strrchr(l->word[1], '/');

	if (strcmp(slash != NULL ? slash + 1 : l->word[1], "ioapic") == 0)
		return true;
	answer(l, "FAIL there is no device '%.60s', only 'ioapic'\n",
	       l->word[1]);
	return false;
}

static void
cmd_irq_intercept(struct line *l)
{
	if (!is_ioapic(l))
		return;
	on_vcpu(l->d, do_intercept, l->d);
	answer(l, "OK\n");
}

static void
cmd_set_irq_in(struct line *l)
{
	struct pin pin;
	u64 n, level;

	if (!is_ioapic(l) || !number(l, 3, 15, &n) ||
	    !number(l, 4, INT32_MAX, &level))
		return;
	pin = (struct pin){(u8)n, level != 0};
	on_vcpu(l->d, do_pin, &pin);
	answer(l, "OK\n");
}

static const struct row {
	const char *name;
	u8 words_min, words_max; /* the name is one */
	u8 size_bytes;
	void (*run)(struct line *l);
} rows[] = {
    {"inb", 2, 2, 1, cmd_in},
    {"inw", 2, 2, 2, cmd_in},
    {"inl", 2, 2, 4, cmd_in},
    {"outb", 3, 3, 1, cmd_out},
    {"outw", 3, 3, 2, cmd_out},
    {"outl", 3, 3, 4, cmd_out},
    {"readb", 2, 2, 1, cmd_read_value},
    {"readw", 2, 2, 2, cmd_read_value},
    {"readl", 2, 2, 4, cmd_read_value},
    {"readq", 2, 2, 8, cmd_read_value},
    {"writeb", 3, 3, 1, cmd_write_value},
    {"writew", 3, 3, 2, cmd_write_value},
    {"writel", 3, 3, 4, cmd_write_value},
    {"writeq", 3, 3, 8, cmd_write_value},
    {"read", 3, 3, 0, cmd_read},
    {"write", 4, 4, 0, cmd_write},
    {"b64read", 3, 3, 0, cmd_b64read},
    {"b64write", 4, 4, 0, cmd_b64write},
    {"memset", 4, 4, 0, cmd_memset},
    {"endianness", 1, 1, 0, cmd_endianness},
    {"clock_step", 1, 2, 0, cmd_clock_step},
    {"clock_set", 2, 2, 0, cmd_clock_set},
    {"irq_intercept_in", 2, 2, 0, cmd_irq_intercept},
    {"irq_intercept_out", 2, 2, 0, cmd_irq_intercept},
    {"set_irq_in", 5, 5, 0, cmd_set_irq_in},
};

/* More words than any command has count as one more than the most. */
static void
split(struct line *l, char *text)
{
	char *state, *word = strtok_r(text, " \t\r", &state);

	for (; word != NULL; word = strtok_r(NULL, " \t\r", &state)) {
		if (l->words < WORDS_MAX)
			l->word[l->words] = word;
		l->words++;
	}
}

void
devtest_command(struct devtest *d, char *line, size_t count,
		struct devtest_reply *reply)
{
	struct line l = {.d = d, .reply = reply};

	*reply = (struct devtest_reply){.text = NULL};
	if (memchr(line, '\0', count) != NULL) {
		answer(&l, "FAIL a line is text\n");
		return;
	}
	line[count] = '\0';
	split(&l, line);
	if (l.words == 0) {
		answer(&l, "FAIL the line is empty\n");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];

		if (strcmp(l.word[0], row->name) != 0)
			continue;
		l.size_bytes = row->size_bytes;
		if (l.words < row->words_min || l.words > row->words_max)
			answer(&l, "FAIL '%s' takes %d to %d words\n",
			       row->name, row->words_min - 1,
			       row->words_max - 1);
		else
			row->run(&l);
		return;
	}
	answer(&l, "FAIL unknown command '%.40s'\n", l.word[0]);
}
