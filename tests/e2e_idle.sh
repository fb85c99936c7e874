#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# e2e_idle - an idle guest costs the host next to nothing
#
# Counts the host system calls of a machine whose guest sleeps, over three
# windows of five seconds; the best one counts, since a busy host only adds.
set -u
spindle=${SPINDLE:-build/spindle}
guest_dir=${SPINDLE_GUESTS:-build/guest}
tmp=${TEST_TMP:-$(mktemp -d)}
failed=0

if ! command -v strace >/dev/null; then
	echo "skip: strace, which counts the calls, is not installed"
	exit 77
fi
if [ ! -s "$guest_dir/guests.tsv" ]; then
	echo "skip: there are no guests ('make guest' makes them)"
	exit 77
fi

# limit options...: fewer calls a second than limit.
idle() {
	local limit=$1 best= calls pid
	shift
	mkfifo "$tmp/up"
	"$spindle" run --driver soft "$@" -- sh -c 'echo up; sleep 1000' \
		</dev/null >"$tmp/up" 2>"$tmp/err" &
	pid=$!
	if ! read -r -t 120 <"$tmp/up"; then
		echo "FAILED: the guest did not come up: $(cat "$tmp/err")"
		failed=1
	fi
	for _ in 1 2 3; do
		timeout -s INT 5 strace -f -c -U calls,name -o "$tmp/count" \
			-p $pid 2>/dev/null
		calls=$(awk '$2 == "total" { print $1 }' "$tmp/count")
		if [ -z "$calls" ]; then
			kill $pid
			wait $pid
			echo 'skip: strace may not trace here'
			exit 77
		fi
		[ -n "$best" ] && [ "$calls" -ge "$best" ] || best=$calls
	done
	kill $pid
	wait $pid
	rm "$tmp/up"
	echo "$((best / 5)) system calls a second, limit $limit: $*"
	[ $((best / 5)) -lt "$limit" ] || failed=1
}

idle 20
idle 60 --no-lapic
exit $failed
