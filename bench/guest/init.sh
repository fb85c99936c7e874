#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# /init of the benchmark's guest; see bench/bench_cpu.c
echo "bench boot"
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
for program in /bench/programs/*; do
	"$program"
done
echo "bench done"
poweroff -f
