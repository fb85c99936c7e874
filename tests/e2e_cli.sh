#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# e2e_cli - what the command line promises: sentences, exit statuses, and
# that nothing is left behind
set -u
spindle=$(realpath "${SPINDLE:-build/spindle}")
guest_dir=$(realpath "${SPINDLE_GUESTS:-build/guest}")
unset SPINDLE_GUESTS
tmp=${TEST_TMP:-$(mktemp -d)}
man=$(realpath docs/spindle.1)
failed=0 cases=0
cd "$tmp" || exit 1

fail() {
	echo "FAILED: $*"
	failed=1
}

# status pattern arguments...: the run ends soon with that status, prints
# nothing, says one sentence that matches, and leaves no file.
bad() {
	local want=$1 pattern=$2 status before
	shift 2
	cases=$((cases + 1))
	before=$(ls -A)
	timeout 60 "$spindle" "$@" </dev/null >"$tmp/.out" 2>"$tmp/.err"
	status=$?
	[ $status = "$want" ] || fail "status $status, not $want: ${*:0:120}"
	[ ! -s "$tmp/.out" ] || fail "printed something: ${*:0:120}"
	[ "$(wc -l <"$tmp/.err")" = 1 ] &&
		grep -qE "^spindle: [^ ].*[^.]$" "$tmp/.err" &&
		grep -qE "$pattern" "$tmp/.err" || {
		fail "not one sentence about '$pattern': ${*:0:120}"
		head -c 2000 "$tmp/.err"
	}
	[ "$(ls -A)" = "$before" ] || fail "left behind: $(ls -A)"
}

# status arguments...: the run ends with that status.
good() {
	local want=$1 status
	shift
	cases=$((cases + 1))
	timeout 120 "$spindle" "$@" </dev/null >"$tmp/.out" 2>"$tmp/.err"
	status=$?
	[ $status = "$want" ] && return
	fail "status $status, not $want: $*"
	tail -n 5 "$tmp/.err"
}

: >.out
: >.err
kernel=$guest_dir/cloud/vmlinuz
long() { head -c "$1" /dev/zero | tr '\0' "$2"; }

# -- the command line ------------------------------------------------------
bad 2 'subcommand is needed'
bad 2 "no option '--bogus'" --bogus
bad 2 "no subcommand 'bogus'" bogus
bad 2 "no option '--bogus'.*run --help" run --bogus
bad 2 "no option '-x'" run -x
bad 2 "'--memory' needs a value" run --memory
bad 2 "'--no-reboot' takes no value" run --no-reboot=1
bad 2 "'12X' is not a size" run --memory 12X
bad 2 "'' is not a size" run --memory ''
bad 2 'is too large' run --memory 999999999999999999999G
bad 2 "no driver 'x'" run --driver x
bad 2 "no CPU 'x'" run --cpu x
bad 2 'initrd needs --kernel' run --initrd x
bad 2 'the command is empty' run -- ''
bad 2 'one argument too many' guests x
bad 2 'takes a socket and a message' ctl
bad 2 'takes a socket and a message' ctl a b c
bad 2 "no option '--bogus'.*ctl --help" ctl --bogus

# -- memory ----------------------------------------------------------------
bad 1 'memory must be' run --memory 1
bad 1 'memory must be' run --memory 0
bad 1 'memory must be' run --memory 100000G
available=$(awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
bad 1 'the host has [0-9]+ MiB available' run --memory "$((available * 2))M"
bad 1 'needs [0-9]+ MiB of memory' run --memory 16M -- true

# -- kernels and initrds -----------------------------------------------------
mkdir files
head -c 100000 "$kernel" >files/truncated
head -c 300 "$kernel" >files/tiny
"$guest_dir/bin/utest" data 20000 >files/junk
: >files/empty
printf '\177ELF' >files/elf4
dd if="$kernel" of=files/old bs=1k count=100 2>/dev/null
printf '\0\2' | dd of=files/old bs=1 seek=$((0x206)) conv=notrunc 2>/dev/null
head -c 4096 "$guest_dir/bin/utest" >files/arm64
printf '\267\0' | dd of=files/arm64 bs=1 seek=18 conv=notrunc 2>/dev/null
bad 1 "cannot open kernel 'nofile'" run --kernel nofile
bad 1 'not a regular file' run --kernel .
bad 1 'is truncated' run --kernel files/truncated
bad 1 'neither a bzImage nor an ELF64' run --kernel files/tiny
bad 1 'neither a bzImage nor an ELF64' run --kernel files/junk
bad 1 'is empty' run --kernel files/empty
bad 1 'is truncated' run --kernel files/elf4
bad 1 'boot protocol 2.00' run --kernel files/old
bad 1 'arm64, not for x86-64' run --kernel files/arm64
bad 1 "cannot open initrd 'nofile'" run --kernel "$kernel" --initrd nofile
bad 1 'not a regular file' run --guest cloud --initrd .
bad 1 'command line has [0-9]+ char' run --append "$(long 3000 a)" -- true
bad 1 'command line is longer' run --append "$(long 5000 a)" -- true
bad 1 'the command is longer than' run -- "$(long 17000 a)"
for kind in '' ' 32'; do
	printf '.globl _start\n_start: hlt\n' >files/k.s
	gcc ${kind:+-m32} -nostdlib -static -Wl,-Ttext=0x200000 -o files/k \
		files/k.s 2>/dev/null || continue
	[ -n "$kind" ] &&
		bad 1 'for 32-bit x86, not for x86-64' run --kernel files/k
done

# -- guests ------------------------------------------------------------------
bad 1 "no guest 'nope'" run --guest nope
SPINDLE_GUESTS=/nonexistent bad 1 'which SPINDLE_GUESTS names' guests
printf 'one\ttwo\n' >files/guests.tsv
SPINDLE_GUESTS=files bad 1 'without its 5 fields' guests
: >files/guests.tsv
SPINDLE_GUESTS=files bad 1 'lists no guest' run -- true
mkdir -p files/bin
cp "$spindle" files/bin/spindle
real=$spindle spindle=$tmp/files/bin/spindle
bad 1 "'make guest' makes them" guests
spindle=$real
good 0 guests
[ "$(wc -l <.out)" -ge 2 ] && grep -q default .out || fail "guests: $(cat .out)"

# -- help and version --------------------------------------------------------
for sub in '' run guests ctl; do
	good 0 $sub --help
	[ "$(wc -l <.out)" -le 24 ] && ! grep -qE '.{81}' .out ||
		fail "'spindle $sub --help' does not fit 24 lines of 80"
	grep -oE -- '--[a-z-]+' .out | sort -u | while read -r option; do
		grep -qE "Fl .*-${option#--}( |\$)" "$man" || echo "$option"
	done >.missing
	[ ! -s .missing ] || fail "not in the manual page: $(cat .missing)"
done
rm -f .missing
good 0 --version
grep -qE '^spindle [0-9]+\.[0-9]+\.[0-9]+$' .out || fail "version: $(cat .out)"
"$spindle" --help >/dev/full 2>.err && fail 'a full output was no failure'

# -- the control socket ------------------------------------------------------
touch files/plain
bad 1 'cannot create' run --ctl /nonexistent/x -- true
bad 1 'exists and is not a socket' run --ctl files/plain -- true
bad 1 'control socket path' run --ctl "$(long 200 a)" -- true
bad 1 'No such file' ctl /nonexistent query
bad 1 'no machine listens' ctl files/plain query

"$spindle" run --name tester --ctl sock -- sh -c 'cat; exit 9' \
	<<<'' >.cat 2>&1 &
wait $!
[ $? = 9 ] || fail 'a machine with a control socket'
[ ! -e sock ] || fail 'the control socket was left behind'

mkfifo hold
"$spindle" run --name tester --ctl sock -- cat <hold >.cat 2>.cat.err &
pid=$!
exec 7>hold
until [ -S sock ] || ! kill -0 $pid; do
	sleep 0.1
done
[ "$(stat -c %a sock)" = 600 ] || fail "socket mode $(stat -c %a sock)"
good 0 ctl sock query
grep -q '"ok": *true' .out && grep -q tester .out || fail "query: $(cat .out)"
good 0 ctl sock stats
grep -q '"ok": *true' .out || fail "stats: $(cat .out)"
good 0 ctl sock '{"cmd":"query","id":[1,{"a":null}]}'
grep -q '"id": *\[1' .out || fail "no id: $(cat .out)"
refused() {
	local pattern=$1
	shift
	timeout 30 "$spindle" "$@" >.out 2>.err
	[ $? = 1 ] && grep -q '"ok": *false' .out &&
		grep -qE "$pattern" .err && [ "$(wc -l <.err)" = 1 ] ||
		fail "refused $pattern: $(head -c 300 .out .err)"
}
refused 'machine refused' ctl sock bogus
refused 'machine refused' ctl sock '{"cmd":}'
refused 'machine refused' ctl sock '{}'
bad 1 'belongs to a virtual machine that runs' run --ctl sock -- true
good 0 ctl sock pause
good 0 ctl sock continue
# A line of a megabyte: one error, and the machine lives on.
long 1048576 x >files/megabyte
refused 'machine refused' ctl sock - <files/megabyte
good 0 ctl sock query
echo through >&7
exec 7>&-
wait $pid
[ $? = 0 ] && [ "$(cat .cat)" = through ] || fail "cat: $(cat .cat .cat.err)"
[ ! -e sock ] || fail 'the control socket was left behind'

exec 7<>hold
"$spindle" run --ctl sock -- cat <hold >.cat 2>.cat.err &
pid=$!
until [ -S sock ] || ! kill -0 $pid; do
	sleep 0.1
done
good 0 ctl sock quit
wait $pid
[ $? = 1 ] && grep -q 'ended from outside before the command' .cat.err ||
	fail "quit: $(cat .cat.err)"
rm -f hold .cat .cat.err

# -- /dev/kvm without permission -----------------------------------------------
if [ "$(id -u)" = 0 ] && [ -e /dev/kvm ]; then
	mkdir -m 755 /tmp/e2e_cli.$$
	cp "$spindle" /tmp/e2e_cli.$$/spindle
	chmod 755 /tmp/e2e_cli.$$/spindle
	setpriv --reuid 65534 --regid 65534 --clear-groups \
		/tmp/e2e_cli.$$/spindle run --driver kvm --kernel /bin/true \
		>.out 2>.err
	status=$?
	rm -r /tmp/e2e_cli.$$
	[ $status = 1 ] && [ "$(wc -l <.err)" = 1 ] &&
		grep -q '/dev/kvm' .err || fail "kvm: $status $(cat .err)"
else
	echo 'not tried: /dev/kvm without permission (not root, or no /dev/kvm)'
fi

# -- guests that crash -----------------------------------------------------------
# name status pattern: a kernel that runs this code in 64-bit mode.
crash() {
	cases=$((cases + 1))
	printf '.code64\n.globl _start\n_start:\n%b\n' "$4" >files/k.s
	gcc -nostdlib -static -Wl,-Ttext=0x200000 -o files/k files/k.s ||
		fail "cannot make guest '$1'"
	timeout 60 "$spindle" run --driver soft --no-reboot --kernel files/k \
		</dev/null >.out 2>.err
	local status=$?
	[ $status = "$2" ] || fail "$1: status $status, not $2"
	[ "$3" = - ] || grep -qE "$3" .err || fail "$1: $(head -n 3 .err)"
}
dump='^rip +[0-9a-f]{16}'
crash garbage 1 "$dump" '.byte 0xff, 0xff, 0x0f, 0x0b, 0x06, 0x66, 0xf0\n'
crash 'jump to unmapped memory' 1 "$dump" 'mov $0x7ffff0000000, %rax\njmp *%rax'
crash 'jump to no memory' 1 "$dump" 'mov $0xe0000000, %eax\njmp *%rax'
crash 'jump to a non-canonical address' 1 "$dump" \
	'mov $0x8000000000000, %rax\npush %rax\nret'
crash 'triple fault' 1 "$dump" 'lidt none(%rip)\nint3\nnone: .word 0\n.quad 0'
crash 'debug-exit port' 42 - 'mov $0x501, %edx\nmov $42, %al\nout %al, %dx\njmp .'
crash 'reset' 0 - 'mov $0xfe, %al\nout %al, $0x64\njmp .'

# -- a command's own status ------------------------------------------------------
good 0 run -- true
good 1 run -- false
good 42 run -- sh -c 'exit 42'
good 255 run --driver soft --memory 256M --no-lapic -- sh -c 'exit 255'
good 127 run -- no-such-program
grep -q "cannot run 'no-such-program'" .err || fail "127: $(cat .err)"
good 126 run -- /etc/passwd
good 139 run -- sh -c 'kill -SEGV $$'
good 0 run echo a '' "b  c" '$d'
[ "$(cat .out)" = 'a  b  c $d' ] || fail "arguments: $(cat .out)"
good 1 run -- reboot -f
grep -q 'the guest rebooted before the command ended' .err ||
	fail "reboot: $(cat .err)"
good 1 run --append rdinit=/nothing -- true
grep -q 'before the command could start' .err && grep -q 'panic' .err ||
	fail "no init: $(tail -n 3 .err)"
good 0 run --kernel "$guest_dir/cloud/vmlinuz" -- uname -s
[ "$(cat .out)" = Linux ] || fail "own kernel: $(cat .out)"
good 0 run --append spindle.modules=loop -- sh -c '
	for m in ata_piix ata_generic sd_mod sr_mod ext4 xfs btrfs isofs; do
		modprobe $m || exit 1; done
	truncate -s 20M /tmp/d && mke2fs -F /tmp/d >/dev/null &&
	mount -t ext4 /tmp/d /mnt && echo x >/mnt/f && umount /mnt'
"$spindle" run -- sh -c 'echo out; echo err >&2' </dev/null 2>.err >.out
[ "$(cat .out)" = out ] && [ "$(grep -v driver: .err)" = err ] ||
	fail 'stdout and stderr are mixed up'
"$spindle" run -- sh -c 'echo closed' <&- >.out 2>.err
[ $? = 0 ] && [ "$(cat .out)" = closed ] || fail "no stdin: $(cat .err)"
[ "$("$spindle" run -- yes 2>.err | head -c 4)" = $'y\ny' ] ||
	fail "a reader that goes away: $(cat .err)"
"$spindle" run -- echo x </dev/null >/dev/full 2>.err
[ $? = 1 ] && grep -q 'cannot write the command.s output' .err ||
	fail "a full disk: $(cat .err)"

# -- signals -----------------------------------------------------------------------
for case in INT:130 TERM:143 HUP:129; do
	cases=$((cases + 1))
	mkfifo up
	# A shell without job control starts background jobs with INT ignored.
	env --default-signal=INT "$spindle" run -- \
		sh -c 'echo up; sleep 1000' </dev/null >up 2>.err &
	pid=$!
	read -r line <up
	[ "$line" = up ] || fail "did not come up: $(cat .err)"
	kill -s "${case%:*}" $pid
	wait $pid
	status=$?
	[ $status = "${case#*:}" ] || fail "SIG${case%:*}: status $status"
	rm up
done

rm -rf files .out .err
[ -z "$(ls -A)" ] || fail "left behind: $(ls -A)"
echo "$cases cases"
exit $failed
