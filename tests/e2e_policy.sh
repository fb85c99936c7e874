#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# e2e_policy - an error policy stops the machine, and the guest never hears
#
# The host runs out of space under a guest's write. With werror=enospc the
# machine pauses and says why; when there is space again and it is told to
# continue, the guest's fsync() succeeds. With werror=report the guest gets the
# error. A last flush that fails is the exit status of spindle.
set -u
spindle=${SPINDLE:-build/release/spindle}
tmp=${TEST_TMP:-$(mktemp -d)}
failed=0
write='modprobe ata_piix && modprobe sd_mod && sleep 1 &&
	dd if=/init of=/dev/sda bs=64k count=4 conv=fsync 2>&1'

fail() {
	echo "FAIL: $*"
	failed=1
}

ctl() {
	"$spindle" ctl "$tmp/ctl" "$@" 2>&1
}

# Waits until the machine says that it is stopped.
wait_stopped() {
	local answer
	for ((i = 0; i < 600; i++)); do
		answer=$(ctl query)
		case $answer in
		*'"stopped":'*) echo "$answer" && return ;;
		esac
		sleep 0.1
	done
	echo "never: $answer"
}

truncate -s 16M "$tmp/disk"
"$spindle" run --disk "$tmp/disk,werror=enospc,fault=write:ENOSPC" \
	--ctl "$tmp/ctl" -- sh -c "$write" >"$tmp/out" 2>"$tmp/err" &
pid=$!
answer=$(wait_stopped)
case $answer in
*paused*'No space left on device'*) ;;
*) fail "no stop: $answer: $(cat "$tmp/out" "$tmp/err")" ;;
esac
# It stays so: without space, trying again stops again.
ctl continue >"$tmp/answer" || fail "continue: $(cat "$tmp/answer")"
case $(wait_stopped) in
*paused*) ;;
*) fail "it did not stop a second time" ;;
esac
ctl '{"cmd":"fault"}' >"$tmp/answer" || fail "fault: $(cat "$tmp/answer")"
ctl continue >"$tmp/answer" || fail "continue: $(cat "$tmp/answer")"
wait $pid
status=$?
[ $status = 0 ] || fail "status $status: $(cat "$tmp/out" "$tmp/err")"
grep -q "No space left" "$tmp/err" || fail "nobody was told: $(cat "$tmp/err")"
# The guest's data is there.
[ "$(head -c 4 "$tmp/disk" | od -An -c | tr -d ' ')" = '177ELF' ] ||
	fail "what the guest wrote is not in the file"

# werror=report: the guest's own error.
"$spindle" run --disk "$tmp/disk,fault=write:EIO" -- sh -c "$write" \
	>"$tmp/out" 2>"$tmp/err"
status=$?
[ $status = 1 ] || fail "report: status $status: $(cat "$tmp/out" "$tmp/err")"
grep -q "Input/output error" "$tmp/out" || fail "dd said $(cat "$tmp/out")"
grep -q "the last flush of '$tmp/disk' failed" "$tmp/err" ||
	fail "the lost data is not told: $(cat "$tmp/err")"

# The command is content, but the last flush is not (disk-rules 24).
"$spindle" run --disk "$tmp/disk,fault=flush:EIO:after=1" -- sh -c \
	'modprobe ata_piix && modprobe sd_mod && sleep 1 &&
	dd if=/init of=/dev/sda bs=4k count=1 oflag=direct 2>&1' \
	>"$tmp/out" 2>"$tmp/err"
status=$?
[ $status = 1 ] || fail "last flush: status $status: $(cat "$tmp/err")"
grep -q "last flush" "$tmp/err" || fail "last flush: $(cat "$tmp/err")"
exit $failed
