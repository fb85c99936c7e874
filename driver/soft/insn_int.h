/* SPDX-License-Identifier: BSD-2-Clause */
/* insn_int - integer instructions that run as helpers
 *
 * What:    string instructions (insn_string.c), and the rare forms of the
 *          others: compatibility-mode and 16-bit stack and jumps, BCD, ENTER,
 *          CMPXCHG8B/16B (insn_rare.c).
 * Model:   Intel SDM 2.
 * Threads: the vCPU thread.
 */
#ifndef DRIVER_SOFT_INSN_INT_H
#define DRIVER_SOFT_INSN_INT_H

#include "driver/soft/soft_int.h"

/* insn_string.c */
enum helper_result insn_movs(struct soft *c, const struct insn *in);
enum helper_result insn_stos(struct soft *c, const struct insn *in);
enum helper_result insn_lods(struct soft *c, const struct insn *in);
enum helper_result insn_scas(struct soft *c, const struct insn *in);
enum helper_result insn_cmps(struct soft *c, const struct insn *in);

/* insn_rare.c */
enum helper_result insn_lea(struct soft *c, const struct insn *in);
enum helper_result insn_push(struct soft *c, const struct insn *in);
enum helper_result insn_pop(struct soft *c, const struct insn *in);
enum helper_result insn_pusha(struct soft *c, const struct insn *in);
enum helper_result insn_popa(struct soft *c, const struct insn *in);
enum helper_result insn_enter(struct soft *c, const struct insn *in);
enum helper_result insn_leave(struct soft *c, const struct insn *in);
enum helper_result insn_xlat(struct soft *c, const struct insn *in);
enum helper_result insn_bound(struct soft *c, const struct insn *in);
enum helper_result insn_salc(struct soft *c, const struct insn *in);
enum helper_result insn_bcd(struct soft *c, const struct insn *in);
/* BT, BTS, BTR, BTC m, r where addresses are narrower than 64 bits. */
enum helper_result insn_bit_string(struct soft *c, const struct insn *in);
enum helper_result insn_cmpxchg_wide(struct soft *c, const struct insn *in);
enum helper_result insn_ud(struct soft *c, const struct insn *in);
enum helper_result insn_jcc16(struct soft *c, const struct insn *in);
enum helper_result insn_loop16(struct soft *c, const struct insn *in);
enum helper_result insn_jmp16(struct soft *c, const struct insn *in);
enum helper_result insn_jmp_near(struct soft *c, const struct insn *in);
enum helper_result insn_call_near(struct soft *c, const struct insn *in);
enum helper_result insn_ret_near(struct soft *c, const struct insn *in);

#endif
