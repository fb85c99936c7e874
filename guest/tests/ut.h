/* SPDX-License-Identifier: BSD-2-Clause */
/* ut - the userland test set: programs whose output is the same on any x86
 *
 * What:    each test prints what it found out about the processor and the
 *          kernel it runs on: results, siginfo, registers, hashes; never an
 *          absolute address, a time or a process number. The set is run on the
 *          host and in a guest and the two outputs are compared, so that a
 *          difference is a fault of the machine in between. What a test can
 *          know to be wrong by itself it says with UT_CHECK.
 * Threads: a test may make threads, but leaves none.
 * Errors:  UT_CHECK prints the condition and makes the exit status 1.
 */
#ifndef GUEST_TESTS_UT_H
#define GUEST_TESTS_UT_H

#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"

#ifdef __x86_64__
#define UT_64 1
#else
#define UT_64 0
#endif

#define UT_PAGE 4096

#define UT_CHECK(cond) \
	do { \
		if (!(cond)) \
			ut_failed(__FILE__, __LINE__, #cond); \
	} while (0)

void ut_failed(const char *file, int line, const char *text);

/* xorshift64*: the same numbers everywhere. */
u64 ut_random(u64 *state);

/* FNV-1a, continued; start with UT_HASH. */
#define UT_HASH 0xcbf29ce484222325ULL
u64 ut_hash(u64 hash, const void *bytes, size_t count);

/* What a synchronous signal said. Offsets are relative to what the caller
 * names, so that they print the same everywhere. */
struct ut_fault {
	int signo, code;
	long trapno, err;
	uintptr_t ip, addr;
};

/* Calls fn(arg); true when a SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGTRAP cut it
 * short, and f says which. */
bool ut_catch(struct ut_fault *f, void (*fn)(void *), void *arg);

/* "name: signal s code c trap t error e" with addr relative to base. */
void ut_print_fault(const char *name, const struct ut_fault *f,
		    const void *base);

/* count pages, readable and writable, or the program ends. */
void *ut_pages(size_t count, int prot);

/* A fresh executable page of code to be called. */
void *ut_code(const void *bytes, size_t count);

void ut_fork(void);
void ut_threads(void);
void ut_signals(void);
void ut_ptrace(void);
void ut_faults(void);
void ut_straddle(void);
void ut_selfmod(void);
void ut_math(void);
void ut_system(void);

#endif
