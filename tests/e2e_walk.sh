#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# e2e_walk - one guest write and one FLUSH go the way that ARCHITECTURE.md says
#
# The trace points that the walk there names in brackets, in their order, must
# be found in that order in the trace of a guest that does it.
set -u
spindle=${SPINDLE:-build/release/spindle}
tmp=${TEST_TMP:-$(mktemp -d)}
lba=6216

fail() {
	echo "FAIL: $*"
	exit 1
}

# The points of the walk, one a line.
sed -n '/^## The walk of one guest write/,/^## Reading/p' ARCHITECTURE.md |
	grep -oE '\[`[a-z_]+`\]' | tr -d '[]`' >"$tmp/walk"
[ "$(wc -l <"$tmp/walk")" -gt 20 ] || fail "ARCHITECTURE.md lost its walk"

# Prints how far the walk is found in the trace, from the command that writes
# to our LBA on.
follow() {
	awk -v lba=$lba '
		NR == FNR { want[++n] = $1; next }
		$2 == "ide_command" && $0 ~ "lba=" lba "$" && !at { at = 1 }
		at && $2 == want[at] { at++ }
		END {
			if (at > n) print "whole"
			else print "the walk ends before", want[at ? at : 1]
		}' "$1" "$2"
}

for io in uring threads; do
	truncate -s 64M "$tmp/disk"
	"$spindle" run --disk "$tmp/disk" --io $io \
		--trace 'ide_*,disk_*,cache_*,io_*' --trace-file "$tmp/trace" -- \
		sh -c 'modprobe ata_piix && modprobe sd_mod && sleep 1 &&
			dd if=/init of=/dev/sda bs=4k count=1 seek=777 \
				oflag=direct conv=fsync' >"$tmp/out" 2>&1
	status=$?
	if [ $status != 0 ] && grep -q "io_uring" "$tmp/out"; then
		echo "$(head -n 1 "$tmp/out"): only --io threads is tried"
		continue
	fi
	[ $status = 0 ] || fail "--io $io: status $status: $(cat "$tmp/out")"
	found=$(follow "$tmp/walk" "$tmp/trace")
	[ "$found" = whole ] || fail "--io $io: $found"
	# The checker itself: without the host's flush the walk is not whole.
	grep -v io_flush_done "$tmp/trace" >"$tmp/less"
	[ "$(follow "$tmp/walk" "$tmp/less")" != whole ] ||
		fail "a walk without the host's flush is taken for whole"
done
