#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# e2e_idle - what an idle guest costs its host
#
# At most 20 system calls a second with the local APIC's timer, 60 with the
# PIT (which cannot be told to wait longer than 27 ms). Counted with strace
# where it is installed and may attach; else as voluntary context switches,
# one for each time that a thread went to sleep.
set -u
spindle=${SPINDLE:-build/spindle}
tmp=${TEST_TMP:-$(mktemp -d)}
seconds=10
failed=0

switches() {
	cat /proc/"$1"/task/*/status 2>/dev/null |
		awk '/^voluntary_ctxt_switches/ { n += $2 } END { print n + 0 }'
}

# Counts for $seconds what process $1 does; prints method and count.
count_calls() {
	local before
	if command -v strace >/dev/null; then
		timeout -s INT "$seconds" strace -f -c -o "$tmp/strace" \
			-p "$1" >/dev/null 2>&1
		if [ -s "$tmp/strace" ]; then
			# % time, seconds, usecs/call, calls, [errors], name
			awk '$1 + 0 == $1 && $NF != "total" { n += $4 }
				END { print "strace", n + 0 }' "$tmp/strace"
			return
		fi
	fi
	before=$(switches "$1")
	sleep "$seconds"
	echo "switches $(($(switches "$1") - before))"
}

# measure LIMIT OPTION...
measure() {
	local limit=$1 line pid method n
	shift
	mkfifo "$tmp/out"
	"$spindle" run --driver soft "$@" -- \
		sh -c "echo ready; sleep $((3 * seconds))" \
		>"$tmp/out" 2>"$tmp/err" </dev/null &
	pid=$!
	exec 5<"$tmp/out"
	if ! IFS= read -r -t 120 -u 5 line || [ "$line" != ready ]; then
		echo "FAILED: no guest with '$*': $(cat "$tmp/err")"
		failed=1
	else
		sleep 3 # the guest's own boot work dies down
		read -r method n < <(count_calls "$pid")
		echo "${*:-with local APIC}: $n in $seconds s ($method)"
		if [ "$n" -ge $((limit * seconds)) ] || [ "$n" -lt 5 ]; then
			echo "FAILED: '$*': $n, limit $((limit * seconds))"
			failed=1
		fi
	fi
	kill -TERM "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	exec 5<&-
	rm "$tmp/out"
}

measure 20
measure 60 --no-lapic
exit $failed
