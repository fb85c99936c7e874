/* SPDX-License-Identifier: BSD-2-Clause */
/* The payload's first instruction, its trap stubs and its user code. */

	.section .text.entry, "ax"
	.global entry
entry:
	/* RDI and RSI: the test and its argument */
	movq	%rdi, %rbx
	movq	%rsi, %rbp
	call	setup_tables
	pushq	$0x08
	leaq	1f(%rip), %rax
	pushq	%rax
	lretq
1:	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movq	%rbx, %rdi
	movq	%rbp, %rsi
	call	payload_main
2:	cli
	hlt
	jmp	2b

	.text

/* One stub a vector, 16 bytes each. Where the processor pushes no error code,
 * the stub pushes a zero. */
	.balign	16
	.global stubs
stubs:
	.set	vec, 0
	.rept	256
	.balign	16
	.if (vec != 8) && (vec != 10) && (vec != 11) && (vec != 12) && \
	    (vec != 13) && (vec != 14) && (vec != 17)
	pushq	$0
	.endif
	pushq	$vec
	jmp	common
	.set	vec, vec + 1
	.endr

common:
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%rbp
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	movq	%rsp, %rdi
	call	trap
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rbp
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rbx
	popq	%rax
	addq	$16, %rsp
	iretq

/* u64 run_user(u64 lin, u64 arg, u64 code_sel, u64 stack) */
	.global run_user
run_user:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, kernel_rsp(%rip)
	movq	%rdi, %rax
	movq	%rsi, %rdi
	pushq	$0x23		/* SS: user data, RPL 3 */
	pushq	%rcx
	pushq	$0x2		/* RFLAGS: interrupts off */
	orq	$3, %rdx
	pushq	%rdx
	pushq	%rax
	iretq

/* trap() comes here when user code trapped. */
	.global leave_user
leave_user:
	movq	kernel_rsp(%rip), %rsp
	movq	$0, kernel_rsp(%rip)
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movq	last_vector(%rip), %rax
	ret

/* Counts, remembers, gives back RAX + 1. On the user's stack: no interrupts,
 * no pushes. */
	.global syscall_entry
syscall_entry:
	movq	%rcx, syscall_rcx(%rip)
	movq	%r11, syscall_r11(%rip)
	movq	%rax, syscall_rax(%rip)
	incq	syscall_count(%rip)
	incq	%rax
	sysretq

	.global user_page, user_syscall, user_hlt, user_store, user_count32
	.global user_cli, user_int, user_stop
	.balign	4096
user_page:
user_syscall:			/* RDI: how often */
	movq	%rdi, %rbx
	xorl	%r12d, %r12d
1:	movl	%ebx, %eax
	syscall
	leaq	2f(%rip), %rdx	/* RCX must be where SYSCALL returns to */
2:	addq	%rax, %r12
	decq	%rbx
	jnz	1b
	movq	%r12, %rax
	int	$0x80
user_hlt:
	hlt
user_cli:
	cli
user_store:			/* RDI: where */
	movl	$0x55, (%rdi)
	hlt
user_int:			/* an interrupt gate of DPL 0 */
	int	$0x81
	.code32
user_count32:			/* EDI: how often; EAX: sum of i * 3 */
	xorl	%eax, %eax
	movl	$0, 1024(%esp)
1:	leal	(%edi, %edi, 2), %ecx
	addl	%ecx, %eax
	pushl	%eax
	popl	%edx
	incl	1024(%esp)
	decl	%edi
	jnz	1b
	movl	1024(%esp), %ebx
	movl	$-1, %esi	/* the upper half of RSI is gone */
	incl	%esi
user_stop:
	hlt			/* #GP: the way back that needs least */
	.code64
	.balign	4096

	.bss
	.balign	8
	.global syscall_count, syscall_rcx, syscall_r11, syscall_rax
	.global kernel_rsp
syscall_count:	.skip	8
syscall_rcx:	.skip	8
syscall_r11:	.skip	8
syscall_rax:	.skip	8
kernel_rsp:	.skip	8

	.section .note.GNU-stack, "", @progbits
