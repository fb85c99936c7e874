#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# e2e_userland - the userland test set prints the same in a guest as here
#
# TEST_LONG=1 adds the soak: ten minutes of the set, over and over, in one
# guest. TEST_GUESTS names the guests (default: all).
set -u
spindle=${SPINDLE:-build/spindle}
guest_dir=${SPINDLE_GUESTS:-build/guest}
tmp=${TEST_TMP:-$(mktemp -d)}
failed=0

fail() {
	echo "FAILED: $*"
	failed=1
}

# name command...: runs it here and in each guest, and compares.
same() {
	local name=$1 guest status
	shift
	(PATH=$guest_dir/bin:$tmp/bin:$PATH && "$@") >"$tmp/$name.host" 2>&1
	local host_status=$?
	for guest in $guests; do
		"$spindle" run --guest "$guest" -- "$@" \
			>"$tmp/$name.guest" 2>"$tmp/$name.err"
		status=$?
		if [ "$status" = "$host_status" ] &&
			cmp -s "$tmp/$name.host" "$tmp/$name.guest"; then
			echo "$name in $guest: $(wc -l <"$tmp/$name.host") lines"
			continue
		fi
		fail "$name in $guest: exit status $status, $host_status here"
		diff "$tmp/$name.host" "$tmp/$name.guest" | head -n 20
		grep -v '^spindle: driver:' "$tmp/$name.err" | head -n 30
	done
}

if ! grep -q . "$guest_dir/guests.tsv" 2>/dev/null; then
	echo "skip: there are no guests ('make guest' makes them)"
	exit 77
fi
guests=${TEST_GUESTS:-$(grep -v '^#' "$guest_dir/guests.tsv" | cut -f 1)}

# The guest's own busybox, so that both sides run the very same programs.
mkdir -p "$tmp/bin"
for applet in md5sum sha256sum gzip gunzip head; do
	ln -s "$(realpath "$guest_dir/busybox/busybox")" "$tmp/bin/$applet"
done

set32="utest32"
if "$guest_dir/bin/utest32" nothing 2>&1 | grep '^skip:'; then
	set32=true
fi
same sets sh -c "utest && $set32"

guests=${guests%%[[:space:]]*} # the default guest is enough from here on
same bulk sh -c '
	f=$(mktemp)
	utest data 67108864 >$f
	md5sum <$f
	gzip -1 <$f | md5sum
	head -c 4194304 $f | gzip -9 | gunzip | sha256sum
	rm $f'

# The set again and again, each pass compared with the one on the host, in a
# machine that is kept alive.
soak() {
	local status
	"$guest_dir/bin/utest" | "$spindle" run --guest "$guests" -- sh -c '
		cat >/tmp/want
		end=$(($(cut -d. -f1 /proc/uptime) + $1)) n=0
		while [ "$(cut -d. -f1 /proc/uptime)" -lt $end ]; do
			utest >/tmp/got && cmp /tmp/want /tmp/got || {
				echo "pass $n differs"
				diff /tmp/want /tmp/got
				exit 1
			}
			utest data 1000000 | gzip | gunzip | md5sum >>/tmp/sums
			n=$((n + 1))
		done
		sort /tmp/sums | uniq -c
		echo "$n passes"
		[ "$(sort -u /tmp/sums | wc -l)" = 1 ] || exit 1
		! dmesg | grep -E "BUG|WARNING|Oops|stall|lockup"' \
		soak "${SOAK_S:-600}" 2>"$tmp/soak.err"
	status=$?
	[ $status = 0 ] && return
	fail "the soak: exit status $status"
	tail -n 20 "$tmp/soak.err"
}
[ -z "${TEST_LONG:-}" ] || soak

exit $failed
