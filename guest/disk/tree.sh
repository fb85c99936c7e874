#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tree.sh - lays out what the guest `tools` has beside busybox
#
# usage: tree.sh PACKAGES_ROOT DIR
#
# DIR/usr/sbin: programs. DIR/lib/x86_64-linux-gnu: their libraries, found by following what
# the files themselves name as needed (nothing is asked of the host's own
# libraries). Stand-ins take the place of those that only fio wants.
# DIR/disk: the scripts beside this one that are for the guest.
set -eu
export LC_ALL=C
root=$1 dir=$2 multiarch=lib/x86_64-linux-gnu lib=$dir/$multiarch

programs='usr/bin/fio usr/sbin/hdparm usr/sbin/smartctl usr/sbin/blkdiscard
	usr/sbin/blockdev usr/sbin/fstrim usr/bin/lsblk
	usr/sbin/mke2fs usr/sbin/e2fsck usr/sbin/mkfs.xfs usr/sbin/xfs_repair
	usr/bin/mkfs.btrfs usr/sbin/mkfs.btrfs usr/bin/btrfs usr/sbin/btrfs'
names='mkfs.ext4:mke2fs fsck.ext4:e2fsck'
standins='librados.so.2:rados_ librbd.so.1:rbd_ libgfapi.so.0:glfs_
	libnbd.so.0:nbd_ libibverbs.so.1:ibv_ librdmacm.so.1:rdma_
	libpmem.so.1:pmem_ libpmemblk.so.1:pmemblk_'

fail() {
	echo "guest: $*" >&2
	exit 1
}

needed() {
	objdump -p "$1" | sed -n 's/^ *NEEDED *//p'
}

# A library and what it needs in turn.
library() {
	[ ! -e "$lib/$1" ] || return 0
	if [ -e "$root/usr/$multiarch/$1" ]; then
		cp -L "$root/usr/$multiarch/$1" "$lib/$1"
		chmod 755 "$lib/$1"
		for next in $(needed "$lib/$1"); do
			library "$next"
		done
		return 0
	fi
	fail "there is no '$1' in the packages that guest/disk/packages lists"
}

rm -rf "$dir"
mkdir -p "$dir/usr/sbin" "$lib" "$dir/lib64" "$dir/etc"
for program in $programs; do
	[ -f "$root/$program" ] || continue
	cp -L "$root/$program" "$dir/usr/sbin/${program##*/}"
done
for standin in $standins; do
	needed "$dir/usr/sbin/fio" | grep -qxF "${standin%:*}" || continue
	"${0%/*}/standin.sh" "$dir/usr/sbin/fio" "${standin%:*}" \
		"${standin#*:}" "$lib/${standin%:*}"
done
library ld-linux-x86-64.so.2 # which programs name by the path in /lib64
ln -s "/$multiarch/ld-linux-x86-64.so.2" "$dir/lib64/"
for file in "$dir"/usr/sbin/*; do
	for name in $(needed "$file"); do
		library "$name"
	done
done
for name in $names; do
	[ -f "$dir/usr/sbin/${name#*:}" ] || fail "there is no '${name#*:}'"
	ln -s "${name#*:}" "$dir/usr/sbin/${name%:*}"
done
for name in fio hdparm smartctl mkfs.xfs xfs_repair mkfs.btrfs btrfs; do
	[ -x "$dir/usr/sbin/$name" ] || fail "there is no '$name'"
done
for script in "${0%/*}"/*.sh "${0%/*}"/*.fio; do
	name=${script##*/}
	case $name in
	tree.sh | standin.sh) ;;
	*) install -D "$script" "$dir/disk/$(basename "${name#disk_}" .sh)" ;;
	esac
done
cp "$root/etc/mke2fs.conf" "$dir/etc/"
: >"$dir/etc/mtab"
