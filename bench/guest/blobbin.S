/* SPDX-License-Identifier: BSD-2-Clause */
/* The linked guest programs as data of bench_soft. */
	.section .rodata
	.balign 4096
	.globl blob_start, blob_end
blob_start:
	.incbin "blob.bin"
blob_end:
	.section .note.GNU-stack, "", @progbits
