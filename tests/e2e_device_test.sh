#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# e2e_device_test - spindle run --device-test, from both ends of the socket
set -u
spindle=$(realpath "${SPINDLE:-build/spindle}")
tmp=${TEST_TMP:-$(mktemp -d)}
cd "$tmp" || exit 1
failed=0

fail() {
	echo "FAIL: $*"
	failed=1
}

# usage arguments...: refused with one sentence that says why.
usage() {
	"$spindle" run "$@" >out 2>err </dev/null
	[ $? = 2 ] && [ "$(wc -l <err)" = 1 ] &&
		grep -q 'device-test runs no guest' err || fail "$*: $(cat err)"
}
usage --device-test dt --kernel k
usage --device-test dt --guest cloud
usage --device-test dt -- true

# A client in bash has no Unix sockets: perl's core has.
cat >client.pl <<'P'
use strict;
use Socket;
my ($path, $listen) = @ARGV;
my $s;
socket($s, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
if ($listen) {
	my $c;
	bind($s, sockaddr_un($path)) && listen($s, 1) or die "listen: $!";
	print "ready\n"; $| = 1; print "";
	accept($c, $s) or die "accept: $!";
	$s = $c;
} else {
	connect($s, sockaddr_un($path)) or die "connect: $!";
}
select((select($s), $| = 1)[0]);
$| = 1;
while (my $line = <STDIN>) {
	print $s $line;
	while (my $reply = <$s>) {
		print $reply;
		last if $reply !~ /^IRQ/;
	}
}
P

lines='endianness
irq_intercept_in ioapic
outl 0xcf8 0x80000800
inl 0xcfc
outw 0x510 3
inb 0x511
set_irq_in ioapic unnamed-gpio-in 14 1
write 0x100000 4 0xdeadbeef
readl 0x100000
clock_step 5000
nonsense'
want='OK little
OK
OK
OK 0x71108086
OK
OK 0x0000
IRQ raise 14
OK
OK
OK 0x00000000efbeadde
OK 5000
FAIL unknown command '"'nonsense'"

# It listens; the end of its client is its own.
"$spindle" run --device-test dt >out 2>err &
pid=$!
until [ -S dt ] || ! kill -0 $pid 2>/dev/null; do
	sleep 0.05
done
[ "$(stat -c %a dt)" = 600 ] || fail "mode of the socket: $(stat -c %a dt)"
got=$(perl client.pl dt <<<"$lines")
[ "$got" = "$want" ] || fail "listening: $got"
wait $pid
status=$?
[ $status = 0 ] && [ ! -s out ] && [ ! -s err ] ||
	fail "listening: status $status: $(cat out err)"
[ ! -e dt ] || fail 'the socket is still there'

# It connects to who listens, and ends with SIGTERM.
mkfifo hold
perl client.pl dt listen <hold >got &
client=$!
exec 3>hold
until grep -q ready got; do
	sleep 0.05
done
"$spindle" run --device-test dt >out 2>err &
pid=$!
echo 'endianness' >&3
until grep -q little got || ! kill -0 $pid 2>/dev/null; do
	sleep 0.05
done
kill $pid
wait $pid
status=$?
[ $status = 0 ] && [ ! -s err ] || fail "SIGTERM: status $status: $(cat err)"
exec 3>&-
wait $client
[ "$(cat got)" = 'ready
OK little' ] || fail "connecting: $(cat got)"
exit $failed
