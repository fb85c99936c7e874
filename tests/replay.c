/* SPDX-License-Identifier: BSD-2-Clause */
/* replay - runs a fuzz target without a fuzzer
 *
 * Linked with tests/fuzz_NAME.c in every mode but MODE=fuzz, it gives the
 * target each file of tests/corpus/NAME/, then ROUNDS damaged copies of each:
 * bits flipped, bytes set, spans cut, doubled or moved, from a seed that is
 * printed. `fuzz_NAME SEED` repeats a run, `fuzz_NAME - FILE...` runs only
 * the files named.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"

#define ROUNDS		500
#define ROUNDS_LONG	50000
#define INPUT_MAX_BYTES (1U << 20)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static u64 rng;

/* xorshift64* (Vigna 2016), uniform enough below n. */
static u32
pick(u32 n)
{
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return n == 0 ? 0 : (u32)((rng * 0x2545f4914f6cdd1dULL) >> 32) % n;
}

/* One piece of damage; returns the new size. buf holds INPUT_MAX_BYTES. */
static u32
damage(u8 *buf, u32 size)
{
	static const u8 edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	u32 at = pick(size), span = 1 + pick(16);

	if (size == 0 || size > INPUT_MAX_BYTES - span) {
		buf[0] = (u8)pick(256);
		return 1;
	}
	span = MIN(span, size - at);
	switch (pick(6)) {
	case 0:
		buf[at] ^= (u8)BIT(pick(8));
		return size;
	case 1:
		memset(buf + at, edges[pick(ARRAY_SIZE(edges))], span);
		return size;
	case 2: /* cut the tail off */
		return at;
	case 3: /* take a span out */
		memmove(buf + at, buf + at + span, size - at - span);
		return size - span;
	case 4: /* say a span twice */
		memmove(buf + at + span, buf + at, size - at);
		return size + span;
	default: /* copy a span elsewhere */
		memmove(buf + pick(size - span + 1), buf + at, span);
		return size;
	}
}

static void
run_copy(const u8 *buf, u32 size)
{
	/* An exact allocation, so that ASan sees a read past the end. */
	u8 *copy = malloc(size == 0 ? 1 : size);

	if (!copy)
		abort();
	if (size > 0)
		memcpy(copy, buf, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void
run_input(const u8 *seed, u32 seed_size, u8 *buf, unsigned rounds)
{
	unsigned i, n;
	u32 size;

	run_copy(seed, seed_size);
	for (i = 0; i < rounds; i++) {
		if (seed_size > 0)
			memcpy(buf, seed, seed_size);
		size = seed_size;
		for (n = 1 + pick(4); n > 0; n--)
			size = damage(buf, size);
		run_copy(buf, size);
	}
}

static int
run_file(const char *path, u8 *seed, u8 *buf, unsigned rounds)
{
	FILE *f = fopen(path, "rb");
	u32 size;

	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	size = (u32)fread(seed, 1, INPUT_MAX_BYTES, f);
	fclose(f);
	run_input(seed, size, buf, rounds);
	return 0;
}

/* Every file of the corpus; returns how many, or -1. */
static int
run_corpus(const char *dir, u8 *seed, u8 *buf, unsigned rounds)
{
	struct dirent **names;
	char path[512];
	int n, i, bad = 0, files = 0;

	n = scandir(dir, &names, NULL, alphasort);
	if (n < 0)
		return errno == ENOENT ? 0 : -1;
	for (i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		if (names[i]->d_name[0] != '.') {
			bad |= run_file(path, seed, buf, rounds);
			files++;
		}
		free(names[i]);
	}
	free(names);
	return bad ? -1 : files;
}

int
main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	const char *name = slash ? slash + 1 : argv[0];
	const char *is_long = getenv("TEST_LONG");
	unsigned rounds = is_long && *is_long ? ROUNDS_LONG : ROUNDS;
	u8 *seed = malloc(INPUT_MAX_BYTES), *buf = malloc(INPUT_MAX_BYTES);
	char dir[256];
	int files = 0, i;

	if (!seed || !buf)
		return 1;
	if (argc > 2 && strcmp(argv[1], "-") == 0) {
		for (i = 2; i < argc && files >= 0; i++)
			files = run_file(argv[i], seed, buf, 0);
	} else {
		rng = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
		rng = rng == 0 ? 1 : rng;
		printf("seed %llu, %u damaged copies of each input\n",
		       (unsigned long long)rng, rounds);
		fflush(stdout);
		run_input(NULL, 0, buf, rounds);
		snprintf(dir, sizeof(dir), "tests/corpus/%s",
			 strncmp(name, "fuzz_", 5) == 0 ? name + 5 : name);
		files = run_corpus(dir, seed, buf, rounds);
		printf("%d files of %s\n", files, dir);
	}
	free(seed);
	free(buf);
	return files < 0 ? 1 : 0;
}
