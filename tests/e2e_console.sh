#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# e2e_console - the guest's console on a terminal: keys, escape key, size, and
# a terminal that is left as it was found, however the run ends
set -u
spindle=${SPINDLE:-build/spindle}
tmp=${TEST_TMP:-$(mktemp -d)}
failed=0

fail() {
	echo "FAILED: $*"
	failed=1
}

command -v script >/dev/null || {
	echo "skip: 'script' (Debian package bsdutils) is not there"
	exit 77
}
script -qec true /dev/null >/dev/null 2>&1 || {
	echo "skip: no pseudo-terminal can be made here"
	exit 77
}

# A terminal of 37 rows and 91 columns; what is run in it says before and
# after which mode the terminal is in. Its end is marked in the output.
cat >"$tmp/session" <<END
stty rows 37 cols 91
stty -a >"$tmp/mode.before"
bash -c 'echo \$\$ >$tmp/pid; exec $spindle run --append quiet "\$@"' \
	run \$SESSION_OPTIONS
echo "status \$?"
stty -a >"$tmp/mode.after"
END

start() {
	export SESSION_OPTIONS=${1-}
	: >"$tmp/out"
	coproc script -qefc "bash $tmp/session" /dev/null 2>&1
	pid=$COPROC_PID
	exec 5<&"${COPROC[0]}" 6>&"${COPROC[1]}"
}

# Reads the terminal's output until a line or prompt matches the pattern.
expect() {
	local text="" c
	while IFS= read -r -t 60 -N 1 -u 5 c; do
		printf '%s' "$c" >>"$tmp/out"
		text+=$c
		[[ $text =~ $1 ]] && return 0
		[[ ${#text} -gt 20000 ]] && text=${text: -1000}
	done
	echo "FAILED: did not see '$1' but:"
	tail -n 20 "$tmp/out"
	exit 1
}

type_keys() {
	printf '%b' "$1" >&6
}

finish() {
	expect "status $1"
	exec 6>&-
	cat <&5 >/dev/null
	exec 5<&-
	wait "$pid" 2>/dev/null
	cmp -s "$tmp/mode.before" "$tmp/mode.after" ||
		fail "the terminal's mode was not put back"
}

# A shell with job control, the size of the terminal, keys that are signals.
start
expect 'guest:~# ' && type_keys 'stty size; tty\r'
expect '37 91' && expect '/dev/ttyS0'
expect 'guest:~# ' && type_keys "sh -c 'echo as''leep; sleep 1000'\\r"
expect 'asleep' && type_keys '\003'
expect 'guest:~# ' && type_keys 'echo "status was $?"\r'
expect 'was 130'
expect 'guest:~# ' && type_keys "sh -c 'echo as''leep; sleep 1000'\\r"
expect 'asleep' && type_keys '\032'
expect 'guest:~# ' && type_keys 'jobs\r'
expect 'Stopped' && expect 'guest:~# '

# The escape key: help, statistics, pause and continue, itself.
type_keys '\035h'
expect 'end the machine'
type_keys '\035s'
expect 'instructions'
type_keys '\035z'
expect 'paused'
type_keys "echo wh''ile\\r"
type_keys '\035z'
expect 'goes on' && expect 'while'
type_keys "echo rea''dy; cat -v\\r"
expect 'ready' && type_keys '\035\035\r'
expect '\^\]' && type_keys '\004'
expect 'guest:~# ' && type_keys 'exit\r' # there is a stopped job
expect 'guest:~# ' && type_keys 'exit\r'
finish 0

# Ends from outside leave the terminal as it was.
start
expect 'guest:~# ' && type_keys '\035q'
finish 0
for signal in TERM HUP INT; do
	start
	expect 'guest:~# '
	kill -s $signal "$(cat "$tmp/pid")"
	case $signal in
	TERM) finish 143 ;;
	HUP) finish 129 ;;
	INT) finish 130 ;;
	esac
done

# The power button, when the guest has its driver.
start "--ctl $tmp/ctl"
expect 'guest:~# ' && type_keys '\035d'
finish 0

# Without a terminal: input that is there before the guest is, and its end.
out=$(printf 'echo $((6 * 7))\nuname -s\nexit\n' |
	"$spindle" run --append quiet 2>"$tmp/err" | tr -d '\r')
[[ $out == *$'\n'42$'\n'* && $out == *$'\n'Linux$'\n'* ]] ||
	fail "commands from a pipe: $out"

exit $failed
