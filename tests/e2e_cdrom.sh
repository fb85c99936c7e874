#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# e2e_cdrom - a Linux guest reads discs, and they are changed under it
set -u
spindle=$(realpath "${SPINDLE:-build/spindle}")
guest_dir=$(realpath "${SPINDLE_GUESTS:-build/guest}")
tmp=${TEST_TMP:-$(mktemp -d)}
failed=0

if [ ! -s "$guest_dir/guests.tsv" ]; then
	echo "skip: there are no guests ('make guest' makes them)"
	exit 77
fi
if ! command -v xorriso >/dev/null; then
	echo "skip: xorriso, which makes the discs, is not installed"
	exit 77
fi
cd "$tmp" || exit 1
export SPINDLE_GUESTS=$guest_dir

fail() {
	echo "FAIL: $*"
	failed=1
}

# disc name: name.iso out of what is in name/, and name.sums
disc() {
	(cd "$1" && find . -type f | LC_ALL=C sort | xargs sha256sum) \
		>"$1.sums"
	xorriso -as mkisofs -quiet -R -J -V "${1^^}" -o "$1.iso" "$1" \
		2>xorriso.err || fail "xorriso: $(cat xorriso.err)"
}
mkdir -p first/dir second
seq 200000 >first/numbers
head -c 5000000 /dev/urandom >first/dir/noise
echo x >first/byte
head -c 700001 /dev/urandom >second/other
disc first
disc second

mkfifo to
"$spindle" run --driver soft --cdrom first.iso --ctl sock -- sh \
	<to >from 2>err &
pid=$!
exec 3>to

# guest COMMANDS: the guest's shell runs them; their output is in $said.
turn=0
guest() {
	turn=$((turn + 1))
	printf '{ %s\n} 2>&1; echo "turn %d $?"\n' "$1" $turn >&3
	local end=$((SECONDS + 120))
	until grep -q "^turn $turn " from || ! kill -0 $pid 2>/dev/null ||
		[ $SECONDS -ge $end ]; do
		sleep 0.1
	done
	said=$(sed "1,/^turn $((turn - 1)) /d" from | grep -v '^turn ')
	[ "$(sed -n "s/^turn $turn //p" from)" = 0 ]
}
ctl() {
	"$spindle" ctl sock "$@" >ctl.out 2>ctl.err
}
sums='find . -type f | LC_ALL=C sort | xargs sha256sum'
mount='mount -t iso9660 -o ro /dev/sr0 /mnt'

guest true || fail "the guest did not come up: $(cat err)"
guest 'modprobe ata_piix; modprobe sr_mod; modprobe isofs
	for i in 1 2 3 4 5 6 7 8 9; do [ -b /dev/sr0 ] && break; sleep 1; done
	[ -b /dev/sr0 ]' || fail "no drive: $said"
guest "$mount && cd /mnt && $sums" || fail "mount: $said"
[ "$said" = "$(cat first.sums)" ] || fail "the first disc: $said"

# Mounted, the door is locked.
ctl eject && grep -q '"state": "asked"' ctl.out ||
	fail "eject of a locked door: $(cat ctl.out ctl.err)"
ctl insert second.iso && fail 'a locked door let a disc in'
grep -q 'has locked' ctl.err || fail "insert: $(cat ctl.err)"
guest 'cat /mnt/byte' && [ "$said" = x ] || fail "still there: $said"

# Unmounted, it opens; a drive that was seen empty takes the next disc.
guest 'cd /; umount /mnt' || fail "umount: $said"
ctl eject && grep -q '"state": "open"' ctl.out ||
	fail "eject: $(cat ctl.out ctl.err)"
guest "$mount" && fail 'an empty drive was mounted'
ctl insert second.iso || fail "insert: $(cat ctl.err)"
guest "$mount && cd /mnt && $sums" || fail "mount of the second: $said"
[ "$said" = "$(cat second.sums)" ] || fail "the second disc: $said"

# One disc for another, without a look in between.
guest 'cd /; umount /mnt' || fail "umount: $said"
ctl insert first.iso || fail "swap: $(cat ctl.err)"
guest "$mount && cd /mnt && $sums" || fail "mount after the swap: $said"
[ "$said" = "$(cat first.sums)" ] || fail "the first disc, swapped in: $said"

# By force, under a mount: errors, and no harm to the machine.
ctl eject force || fail "eject force: $(cat ctl.err)"
guest 'cd /; echo 3 >/proc/sys/vm/drop_caches; cat /mnt/dir/noise >/dev/null' &&
	fail 'a disc that is gone was read'
guest 'umount /mnt; dmesg | grep -iE "frozen|lost interrupt|timeout"' &&
	fail "the kernel complains: $said"
ctl insert first.iso force || fail "insert: $(cat ctl.err)"
guest "$mount && cd /mnt && $sums" || fail "mount after force: $said"
[ "$said" = "$(cat first.sums)" ] || fail "the first disc again: $said"

exec 3>&-
wait $pid
status=$?
[ $status = 0 ] || fail "status $status: $(cat err)"
exit $failed
