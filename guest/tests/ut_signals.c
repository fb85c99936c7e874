/* SPDX-License-Identifier: BSD-2-Clause */
/* ut_signals - what a signal must leave as it was, and may change
 *
 * A timer interrupts chains of x87, SSE and integer work again and again; its
 * handler destroys every register it can reach. The chains' results must be
 * those of an uninterrupted run.
 */
#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>
#include <xmmintrin.h>

#include "guest/tests/ut.h"

#define INTERRUPTS 25

static volatile sig_atomic_t interrupts, direction_bad, x87_bad;

static void
on_timer(int signo)
{
	unsigned long flags;
	u16 tag;
	u8 env[28];

	(void)signo;
	interrupts++;
	/* The ABI promises a clear direction flag and an empty x87 stack. */
	__asm__ volatile("pushf; pop %0" : "=r"(flags));
	direction_bad |= (flags >> 10) & 1;
	__asm__ volatile("fnstenv %0" : "=m"(env));
	memcpy(&tag, env + 8, 2);
	x87_bad |= tag != 0xffff;
	__asm__ volatile("fninit; fldpi; fldl2e; fldlg2; fldpi; fld1\n\t"
			 "pcmpeqd %%xmm0, %%xmm0; movdqa %%xmm0, %%xmm1\n\t"
			 "movdqa %%xmm0, %%xmm2; movdqa %%xmm0, %%xmm3\n\t"
			 "movdqa %%xmm0, %%xmm4; movdqa %%xmm0, %%xmm5\n\t"
			 "movdqa %%xmm0, %%xmm6; movdqa %%xmm0, %%xmm7\n\t"
#if UT_64
			 "movdqa %%xmm0, %%xmm8; movdqa %%xmm0, %%xmm9\n\t"
			 "movdqa %%xmm0, %%xmm10; movdqa %%xmm0, %%xmm15\n\t"
#endif
			 "std; cmp %0, %0; stc; cld" ::"r"(flags)
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			   "xmm6", "xmm7", "memory", "cc"
#if UT_64
			   ,
			   "xmm8", "xmm9", "xmm10", "xmm15"
#endif
	);
	_mm_setcsr(0x1f80 | 0x6000); /* round to zero */
}

struct sums {
	long double x87[4];
	float sse[8];
	u64 integer, carries;
};

/* The x87 stack is in use all the time, SSE registers hold the sums, and
 * adc depends on a carry from the instruction before. */
static void
work(struct sums *s, unsigned rounds)
{
	long double a = s->x87[0], b = s->x87[1], c = s->x87[2];
	__m128 v = _mm_loadu_ps(s->sse), w = _mm_loadu_ps(s->sse + 4);
	const __m128 k = _mm_set_ps(0.9999f, 1.0001f, 0.5f, 1.25f);
	u64 x = s->integer;
	unsigned long low = 0, carry = 0;

	for (unsigned i = 0; i < rounds; i++) {
		a = a * 1.0000001L + b / 3.0L;
		b = b * 0.9999999L - c / 7.0L;
		c = c + 1.0L / (a * a + 1.0L);
		v = _mm_add_ps(_mm_mul_ps(v, k), w);
		w = _mm_div_ps(_mm_sqrt_ps(_mm_mul_ps(v, v)),
			       _mm_set1_ps(3.0f));
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		__asm__("add %2, %0; adc $0, %1"
			: "+r"(low), "+r"(carry)
			: "r"((unsigned long)x)
			: "cc");
	}
	s->x87[0] = a;
	s->x87[1] = b;
	s->x87[2] = c;
	_mm_storeu_ps(s->sse, v);
	_mm_storeu_ps(s->sse + 4, w);
	s->integer = x ^ low;
	s->carries += carry;
}

static const struct sums begin = {
    .x87 = {1.0L, 2.0L, 3.0L},
    .sse = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f, 7.0f, 8.0f},
    .integer = 88172645463325252ULL,
};

static void
timer(unsigned us)
{
	struct itimerval it = {.it_interval = {0, (suseconds_t)us},
			       .it_value = {0, (suseconds_t)us}};

	setitimer(ITIMER_REAL, &it, NULL);
}

static void
survive_timer(void)
{
	struct sigaction sa = {.sa_handler = on_timer};
	struct sums quiet, noisy;
	unsigned tries = 0;

	sigaction(SIGALRM, &sa, NULL);
	quiet = begin;
	work(&quiet, 20000);
	timer(1000);
	do {
		noisy = begin;
		work(&noisy, 20000);
		/* the padding of a long double is nobody's promise */
		for (unsigned i = 0; i < 4; i++)
			UT_CHECK(memcmp(&quiet.x87[i], &noisy.x87[i], 10) == 0);
		UT_CHECK(memcmp(quiet.sse, noisy.sse, sizeof(quiet.sse)) == 0);
		UT_CHECK(quiet.integer == noisy.integer &&
			 quiet.carries == noisy.carries);
	} while (interrupts < INTERRUPTS && ++tries < 100000);
	timer(0);
	printf("interrupted often enough: %d, DF %d, x87 %d, MXCSR %x\n",
	       interrupts >= INTERRUPTS, (int)direction_bad, (int)x87_bad,
	       _mm_getcsr() & 0xffc0);
	printf("x87 %.15Lg %.15Lg %.15Lg, carries %llu\n", quiet.x87[0],
	       quiet.x87[1], quiet.x87[2], (unsigned long long)quiet.carries);
	printf("sse %016llx integer %016llx\n",
	       (unsigned long long)ut_hash(UT_HASH, quiet.sse,
					   sizeof(quiet.sse)),
	       (unsigned long long)quiet.integer);
}

/* A handler may change the registers that the signal returns to. */
static void
on_ill(int signo, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)signo;
	(void)info;
#if UT_64
	uc->uc_mcontext.gregs[REG_RIP] += 2; /* past ud2 */
	uc->uc_mcontext.gregs[REG_RAX] = 1234567;
	uc->uc_mcontext.fpregs->_xmm[7].element[0] = 0x40490fdb; /* pi */
#else
	uc->uc_mcontext.gregs[REG_EIP] += 2;
	uc->uc_mcontext.gregs[REG_EAX] = 1234567;
#endif
	uc->uc_mcontext.gregs[REG_EFL] |= 1; /* carry */
}

static void
change_context(void)
{
	struct sigaction sa = {.sa_sigaction = on_ill, .sa_flags = SA_SIGINFO};
	unsigned long value = 1, carry = 0;
	float pi = 0.0f;

	sigaction(SIGILL, &sa, NULL);
	__asm__ volatile("xorps %%xmm7, %%xmm7; clc; ud2; setc %b1\n\t"
			 "movss %%xmm7, %2"
			 : "+a"(value), "+c"(carry), "=m"(pi)
			 :
			 : "xmm7", "cc");
	signal(SIGILL, SIG_DFL);
#if UT_64
	printf("changed: %lu %lu %.6f\n", value, carry, (double)pi);
#else
	printf("changed: %lu %lu\n", value, carry);
#endif
}

/* Signals within signals, on a stack of their own, with a queue of values. */
static volatile int depth, deepest, sum;
static u8 alternate[65536];

static void
on_queued(int signo, siginfo_t *info, void *context)
{
	u8 here;

	(void)context;
	UT_CHECK(&here > alternate && &here < alternate + sizeof(alternate));
	depth++;
	deepest = MAX(deepest, depth);
	sum = sum * 3 + info->si_value.sival_int + signo - SIGRTMIN;
	if (signo != SIGRTMIN + 3) {
		union sigval v = {.sival_int = depth};

		sigqueue(getpid(), signo + 1, v);
	}
	depth--;
}

static void
nest(void)
{
	stack_t st = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	struct sigaction sa = {.sa_sigaction = on_queued,
			       .sa_flags = SA_SIGINFO | SA_ONSTACK};
	union sigval v = {.sival_int = 17};

	sigaltstack(&st, NULL);
	for (int i = 0; i < 4; i++)
		sigaction(SIGRTMIN + i, &sa, NULL);
	sigqueue(getpid(), SIGRTMIN, v);
	printf("nested: depth %d sum %d\n", deepest, sum);
}

void
ut_signals(void)
{
	survive_timer();
	change_context();
	nest();
}
