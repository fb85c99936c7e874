# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# guest_steps - commands in a guest with disks, one after another
#
# Sourced by tests. The guest is `tools` (docs/guest.md), whose /disk/steps
# runs a line at a time and says how it ended, so that a test can look at the
# host's side between two steps.
#
#     steps_need                  skips the test where the guest is not made
#     steps_start OPTION...       starts `spindle run OPTION...`; ends the test
#                                 when no disk comes up
#     step COMMAND...             runs this line in the guest; its output is in
#                                 $said, its exit status is step's
#     must COMMAND...             a step that fails the test unless it is 0
#     says PATTERN, says_no       what was said last has such a line, or not
#     steps_end                   ends the machine; its status is the result
#
# TEST_VM=qemu runs them under QEMU instead, where --disk FILE[,...] and
# --cdrom FILE are all that is understood: what is expected of a disk can be
# tried on another one.
spindle=${SPINDLE:-build/spindle}
guest_dir=${SPINDLE_GUESTS:-build/guest}
tmp=${TEST_TMP:-$(mktemp -d)}
steps_pid=
steps_limit_s=240
failed=0

fail() {
	echo "FAILED: $*"
	failed=1
}

steps_need() {
	if ! [ -s "$guest_dir/tools/guests.tsv" ]; then
		echo "skip: there is no guest with disk tools" \
			"('make guest-tools' makes it)"
		exit 77
	fi
}

steps_qemu() {
	local options=()
	while [ $# -gt 0 ]; do
		case $1 in
		--disk) options+=(-drive
			"file=${2%%,*},if=ide,format=raw,cache=none") ;;
		--cdrom) options+=(-cdrom "$2") ;;
		esac
		shift 2
	done
	exec qemu-system-x86_64 -M pc -accel tcg -m 512M -nodefaults \
		-display none -serial "file:$tmp/steps.console" -serial stdio \
		-no-reboot -kernel "$guest_dir/cloud/vmlinuz" \
		-initrd "$guest_dir/tools/initrd" "${options[@]}" -append \
		"console=ttyS0 panic=-1 cryptomgr.notests rdinit=/disk/init"
}

# Under the program in the array steps_wrap, such as strace, if it is set.
steps_wrap=()
steps_start() {
	rm -f "$tmp/steps.in" "$tmp/steps.out"
	mkfifo "$tmp/steps.in" "$tmp/steps.out"
	if [ "${TEST_VM:-}" = qemu ]; then
		(steps_qemu "$@") <"$tmp/steps.in" >"$tmp/steps.out" \
			2>"$tmp/steps.err" &
	else
		SPINDLE_GUESTS=$guest_dir/tools "${steps_wrap[@]}" "$spindle" \
			run --driver soft --memory 512M "$@" -- /disk/steps \
			<"$tmp/steps.in" >"$tmp/steps.out" \
			2>"$tmp/steps.err" &
	fi
	steps_pid=$!
	exec 8>"$tmp/steps.in" 9<"$tmp/steps.out"
	if ! steps_read =ready; then
		fail "the guest did not come up: $(tail -n 5 "$tmp/steps.err")"
		exit 1
	fi
}

# Reads up to a line that begins with $1; the words behind it are in $rest.
steps_read() {
	local line end=$((SECONDS + steps_limit_s))
	said=
	while IFS= read -r -t "$((end > SECONDS ? end - SECONDS : 1))" line <&9
	do
		line=${line%$'\r'}
		if [[ $line == "$1"* ]]; then
			rest=${line#"$1"}
			return 0
		fi
		said+=$line$'\n'
	done
	return 1
}

step() {
	local line=$*
	printf '%s\n' "${line//$'\n'/ }" >&8
	if ! steps_read =done; then
		fail "no end of: $* ($(tail -n 3 "$tmp/steps.err"))"
		exit 1
	fi
	return "${rest# }"
}

must() {
	step "$@" && return
	fail "status ${rest# } in the guest: $*"
	printf '%s' "$said" | tail -n 15 | sed 's/^/    /'
	return 1
}

says() {
	grep -qE -- "$1" <<<"$said" && return
	fail "no line like '$1' in:"
	printf '%s' "$said" | tail -n 30 | sed 's/^/    /'
}

says_no() {
	grep -E -- "$1" <<<"$said" && fail "there should be no '$1'"
	return 0
}

steps_end() {
	local status
	exec 8>&-
	[ "${TEST_VM:-}" = qemu ] && kill "$steps_pid" 2>/dev/null
	cat <&9 >/dev/null
	exec 9<&-
	wait "$steps_pid"
	status=$?
	steps_pid=
	[ "${TEST_VM:-}" = qemu ] && return 0
	return $status
}

trap '[ -z "$steps_pid" ] || kill "$steps_pid" 2>/dev/null' EXIT
