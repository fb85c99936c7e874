#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# bench - fio's rows for bench/bench_disk.c, on the console
#
# usage: bench SECONDS ROW...
export RUNTIME=$1
shift
exec 2>&1
modprobe -a ata_piix sd_mod
n=0
while ! [ -b /dev/sda ] && [ $n -lt 100 ]; do
	usleep 50000
	n=$((n + 1))
done
grep -q . /sys/block/sda/queue/write_cache &&
	echo "bench write_cache $(cat /sys/block/sda/queue/write_cache)"
for row; do
	echo "bench begin $row"
	fio --section="$row" --eta=never --output-format=terse --terse-version=3 \
		--output=/tmp/out /disk/bench.fio || echo "bench failed $row"
	echo "bench end $row"
	# 7 and 8 are bytes/s (KiB) and requests/s of reads, 48 and 49 of writes
	tail -n 1 /tmp/out | awk -F ';' -v row="$row" '
		row ~ /^seq/ { v = ($7 + $48) / 1000 * 1.024; unit = "MB/s" }
		row !~ /^seq/ { v = $8 + $49; unit = "IOPS" }
		{ printf "bench row %s %.1f %s\n", row, v, unit }'
done
echo "bench done"
