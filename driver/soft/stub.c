/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/soft/stub.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/lock.h"

/* There are 15,375 stubs, most for the sake of immediates, in 460 KB: counted
 * by test_soft_fpu.c, which makes them all. */
#define ARENA_BYTES    (1U << 20)
#define STUB_MAX_BYTES 96
#define X87_BYTES      ((64 + 512) * STUB_X87_BYTES)
#define MAP_BITS       15
#define MAP_SIZE       (1U << MAP_BITS)

struct map_entry {
	u64 key; /* 0: free */
	s32 stub;
};

static struct {
	struct lock lock;
	u8 *rw;				/* [lock] */
	u32 used;			/* [lock] */
	u32 count;			/* [lock] */
	struct map_entry map[MAP_SIZE]; /* [lock] */
} arena = {.lock = LOCK_INIT};

const u8 *stub_code;

/* --- making code ------------------------------------------------------ */

struct code_out {
	u8 at[STUB_MAX_BYTES];
	unsigned n;
};

static void
put(struct code_out *o, const void *bytes, unsigned n)
{
	assert(o->n + n <= sizeof(o->at));
	memcpy(o->at + o->n, bytes, n);
	o->n += n;
}

#define PUT(o, ...) \
	do { \
		static const u8 bytes_[] = {__VA_ARGS__}; \
		put(o, bytes_, sizeof(bytes_)); \
	} while (0)

static void
put_u8(struct code_out *o, u8 v)
{
	put(o, &v, 1);
}

static void
put_disp(struct code_out *o, size_t off)
{
	u8 d[4];

	put_le32(d, (u32)off);
	put(o, d, 4);
}

#define OFF_GPR(n) (offsetof(struct soft, r) + 8 * (n))
#define OFF_XMM0   (offsetof(struct soft, fx) + FX_XMM(0))

/* The first argument of a stub is in RDI, the second in RSI, the third in RDX.
 * reg becomes XMM1, MM1 or RAX, rm XMM2, MM2 or RCX; XMM0, RAX, RDX and RCX
 * are where implicit operands want to be. R8 keeps struct soft. */
static void
put_loads(struct code_out *o, const struct stub_insn *in)
{
	if (in->reg == STUB_XMM)
		PUT(o, 0xf3, 0x0f, 0x6f, 0x0f); /* movdqu (%rdi), %xmm1 */
	else if (in->reg == STUB_MM)
		PUT(o, 0x0f, 0x6f, 0x0f); /* movq (%rdi), %mm1 */
	else if (in->reg == STUB_GPR)
		PUT(o, 0x48, 0x8b, 0x07); /* mov (%rdi), %rax */
	if (in->rm == STUB_XMM)
		PUT(o, 0xf3, 0x0f, 0x6f, 0x16); /* movdqu (%rsi), %xmm2 */
	else if (in->rm == STUB_MM)
		PUT(o, 0x0f, 0x6f, 0x16); /* movq (%rsi), %mm2 */
	else if (in->rm == STUB_GPR)
		PUT(o, 0x48, 0x8b, 0x0e); /* mov (%rsi), %rcx */
	if (in->implicit & ~STUB_OUT_FLAGS)
		PUT(o, 0x49, 0x89, 0xd0); /* mov %rdx, %r8 */
	if (in->implicit & STUB_IN_XMM0) {
		PUT(o, 0xf3, 0x41, 0x0f, 0x6f, 0x80); /* movdqu X(%r8), %xmm0 */
		put_disp(o, OFF_XMM0);
	}
	if (in->implicit & STUB_IN_AX_DX) {
		PUT(o, 0x49, 0x8b, 0x80); /* mov X(%r8), %rax */
		put_disp(o, OFF_GPR(RAX));
		PUT(o, 0x49, 0x8b, 0x90); /* mov X(%r8), %rdx */
		put_disp(o, OFF_GPR(RDX));
	}
}

static void
put_insn(struct code_out *o, const struct stub_insn *in)
{
	unsigned reg = in->reg == STUB_NONE  ? in->ext
		       : in->reg == STUB_GPR ? 0
					     : 1;
	unsigned rm = in->rm == STUB_GPR ? 1 : 2;

	if (in->prefix)
		put_u8(o, in->prefix);
	if (in->wide)
		put_u8(o, 0x48);
	put_u8(o, 0x0f);
	if (in->map)
		put_u8(o, in->map == 1 ? 0x38 : 0x3a);
	put_u8(o, in->opcode);
	put_u8(o, (u8)(0xc0 | reg << 3 | rm));
	if (in->has_imm)
		put_u8(o, in->imm);
}

static void
put_stores(struct code_out *o, const struct stub_insn *in)
{
	if (in->implicit & STUB_OUT_CX) {
		PUT(o, 0x49, 0x89, 0x88); /* mov %rcx, X(%r8) */
		put_disp(o, OFF_GPR(RCX));
	}
	if (in->implicit & STUB_OUT_XMM0) {
		PUT(o, 0xf3, 0x41, 0x0f, 0x7f, 0x80); /* movdqu %xmm0, X(%r8) */
		put_disp(o, OFF_XMM0);
	}
	if (in->implicit & STUB_OUT_FLAGS)
		PUT(o, 0x9c, 0x58); /* pushf; pop %rax */
	if (in->reg_out && in->reg == STUB_XMM)
		PUT(o, 0xf3, 0x0f, 0x7f, 0x0f); /* movdqu %xmm1, (%rdi) */
	else if (in->reg_out && in->reg == STUB_MM)
		PUT(o, 0x0f, 0x7f, 0x0f); /* movq %mm1, (%rdi) */
	else if (in->reg_out)
		PUT(o, 0x48, 0x89, 0x07); /* mov %rax, (%rdi) */
	if (in->rm_out && in->rm == STUB_XMM)
		PUT(o, 0xf3, 0x0f, 0x7f, 0x16); /* movdqu %xmm2, (%rsi) */
	else if (in->rm_out && in->rm == STUB_MM)
		PUT(o, 0x0f, 0x7f, 0x16); /* movq %mm2, (%rsi) */
	else if (in->rm_out)
		PUT(o, 0x48, 0x89, 0x0e); /* mov %rcx, (%rsi) */
	if (in->reg == STUB_MM || in->rm == STUB_MM)
		PUT(o, 0x0f, 0x77); /* emms */
	put_u8(o, 0xc3);
}

/* FCMOVcc is DAh, DBh /0../3; FUCOMI, FCOMI are DBh /5, /6, popping DFh. */
static void
put_x87(struct code_out *o, u8 opcode, u8 modrm)
{
	unsigned ext = modrm >> 3 & 7;
	bool is_reg = modrm >= 0xc0;
	bool cmov = is_reg && (opcode == 0xda || opcode == 0xdb) && ext < 4;
	bool comi = is_reg && (opcode == 0xdb || opcode == 0xdf) &&
		    (ext == 5 || ext == 6);

	if (cmov || comi)
		PUT(o, 0x56, 0x9d); /* push %rsi; popf */
	put_u8(o, opcode);
	put_u8(o, is_reg ? modrm : (u8)(ext << 3 | 7)); /* (%rdi) */
	if (comi)
		PUT(o, 0x9c, 0x58); /* pushf; pop %rax */
	put_u8(o, 0xc3);
	assert(o->n <= STUB_X87_BYTES);
}

/* --- finding it ------------------------------------------------------- */

static struct map_entry *
map_slot(u64 key) REQUIRES(arena.lock)
{
	u32 i = (u32)((key * 0x9e3779b97f4a7c15ULL) >> (64 - MAP_BITS));

	while (arena.map[i].key && arena.map[i].key != key)
		i = (i + 1) % MAP_SIZE;
	return &arena.map[i];
}

static s32
arena_add(struct map_entry *e, u64 key, const struct code_out *o)
    REQUIRES(arena.lock)
{
	/* Free slots end the probes of map_slot(). */
	if (!arena.rw || arena.used + o->n > ARENA_BYTES ||
	    arena.count > MAP_SIZE * 3 / 4)
		return -1;
	memcpy(arena.rw + arena.used, o->at, o->n);
	e->key = key;
	e->stub = (s32)arena.used;
	arena.used = ALIGN_UP(arena.used + o->n, 16U);
	arena.count++;
	return e->stub;
}

static u64
insn_key(const struct stub_insn *in)
{
	return BIT(63) | (u64)in->implicit << 48 | (u64)in->rm_out << 47 |
	       (u64)in->reg_out << 46 | (u64)in->rm << 44 | (u64)in->reg << 42 |
	       (u64)in->ext << 38 | (u64)in->has_imm << 37 |
	       (u64)in->wide << 36 | (u64)in->imm << 24 |
	       (u64)in->opcode << 16 | (u64)in->map << 8 | in->prefix;
}

s32
stub_get(const struct stub_insn *in)
{
	u64 key = insn_key(in);
	struct code_out o = {.n = 0};
	struct map_entry *e;
	s32 stub;

	assert(in->map < 3 && in->ext < 8);
	lock_acquire(&arena.lock);
	e = map_slot(key);
	if (e->key) {
		stub = e->stub;
	} else {
		put_loads(&o, in);
		put_insn(&o, in);
		put_stores(&o, in);
		stub = arena_add(e, key, &o);
	}
	lock_release(&arena.lock);
	return stub;
}

/* --- the arena -------------------------------------------------------- */

/* All x87 instructions, where stub_x87_reg() and stub_x87_mem() look. */
static void
arena_x87(void)
{
	for (unsigned op = 0; op < 8; op++) {
		for (unsigned modrm = 0; modrm < 64; modrm += 8) {
			struct code_out o = {.n = 0};

			put_x87(&o, (u8)(0xd8 + op), (u8)modrm);
			memcpy(arena.rw + stub_x87_mem(op << 8 | modrm), o.at,
			       o.n);
		}
		for (unsigned modrm = 0xc0; modrm < 0x100; modrm++) {
			struct code_out o = {.n = 0};

			put_x87(&o, (u8)(0xd8 + op), (u8)modrm);
			memcpy(arena.rw + stub_x87_reg(op << 8 | modrm), o.at,
			       o.n);
		}
	}
	arena.used = X87_BYTES;
}

static int
arena_make(void) REQUIRES(arena.lock)
{
	int fd = memfd_create("spindle-stubs", MFD_CLOEXEC);
	void *rw = MAP_FAILED, *rx = MAP_FAILED;
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, ARENA_BYTES) < 0) {
		rc = -errno;
		goto out;
	}
	rw = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	rx = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (rw == MAP_FAILED || rx == MAP_FAILED) {
		rc = -errno;
		if (rw != MAP_FAILED)
			munmap(rw, ARENA_BYTES);
		if (rx != MAP_FAILED)
			munmap(rx, ARENA_BYTES);
		goto out;
	}
	arena.rw = rw;
	arena_x87();
	stub_code = rx;
out:
	close(fd);
	return rc;
}

int
stub_open(void)
{
	int rc;

	lock_acquire(&arena.lock);
	rc = arena.rw ? 0 : arena_make();
	lock_release(&arena.lock);
	return rc;
}

/* --- unmasked SIMD exceptions ----------------------------------------- */

/* A stub that raises one is returned from early: it is a leaf that has pushed
 * nothing before its instruction, so that (RSP) is the way back. The handler
 * stands only while such a stub runs, by one thread at a time; a SIGFPE from
 * anywhere else meets its default fate. */
static struct lock trap_lock = LOCK_INIT;
static volatile sig_atomic_t trap_hit; /* [trap_lock] and its handler */
static volatile u32 trap_mxcsr;	       /* [trap_lock] and its handler */

static void
trap_handler(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;
	greg_t *g = uc->uc_mcontext.gregs;
	u64 pc = (u64)g[REG_RIP];

	(void)si;
	if (pc - (u64)(uintptr_t)stub_code >= ARENA_BYTES) {
		signal(sig, SIG_DFL);
		return;
	}
	trap_mxcsr = uc->uc_mcontext.fpregs->mxcsr;
	trap_hit = 1;
	/* No exception is unmasked in what is returned to. */
	uc->uc_mcontext.fpregs->mxcsr |= 0x1f80;
	g[REG_RIP] = (greg_t)get_le64((void *)(uintptr_t)g[REG_RSP]);
	g[REG_RSP] += 8;
}

bool
stub_call_trapping(s32 stub, void *reg, void *rm, struct soft *c, u32 *mxcsr,
		   u64 *result)
{
	struct sigaction old,
	    act = {.sa_sigaction = trap_handler, .sa_flags = SA_SIGINFO};
	sigset_t mask, old_mask;
	u32 host = __builtin_ia32_stmxcsr();
	bool hit;

	lock_acquire(&trap_lock);
	sigemptyset(&mask);
	sigaddset(&mask, SIGFPE);
	sigaction(SIGFPE, &act, &old);
	pthread_sigmask(SIG_UNBLOCK, &mask, &old_mask);
	trap_hit = 0;
	__builtin_ia32_ldmxcsr(*mxcsr);
	*result = stub_call(stub, reg, rm, c);
	*mxcsr = __builtin_ia32_stmxcsr();
	__builtin_ia32_ldmxcsr(host);
	hit = trap_hit;
	if (hit)
		*mxcsr = trap_mxcsr;
	pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
	sigaction(SIGFPE, &old, NULL);
	lock_release(&trap_lock);
	return !hit;
}
