#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# image.sh - makes an initramfs: busybox, our agent as /init, modules
#
# usage: image.sh KERNEL_DIR BUSYBOX AGENT MKCPIO [PROGRAM ...] >initramfs
#
# MORE_MODULES names modules, and MORE_TREE a directory, that come on top.
#
# The archive is not compressed: unpacking it is a copy, and inflating it
# would run on what may be a software CPU (docs/guest.md has the figures).
# The same inputs give the same bytes.
set -eu
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin

kernel_dir=$1 busybox=$2 agent=$3 mkcpio=$4
shift 4
release=$(cat "$kernel_dir/release")
modules=$kernel_dir/lib/modules/$release

# What a guest can load. Each brings what it depends on.
wanted='ata_piix ata_generic sd_mod sr_mod loop button
	ext4 xfs btrfs isofs '${MORE_MODULES-}
tree=${MORE_TREE-}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

fail() {
	echo "guest: $*" >&2
	exit 1
}

# The files that one module may need, soft dependencies included; nothing when
# it is built in.
needed() {
	modprobe -d "$kernel_dir" -S "$release" --show-depends "$1" \
		>"$tmp/show" || fail "this kernel knows no module '$1'"
	sed -n 's/^insmod \([^ ]*\).*/\1/p' "$tmp/show"
}

# The modules, all in one directory, and depmod's tables cut down to them: the
# guest has busybox's modprobe, which the kernel calls by itself too.
modules() {
	dir=/lib/modules/$release
	for name in $wanted; do
		needed "$name"
	done | sort -u >"$tmp/files"
	sed 's,.*/,,' "$tmp/files" >"$tmp/keep"
	sed 's,[^ ]*/,,g' "$modules/modules.dep" | awk -v keep="$tmp/keep" '
		BEGIN { while ((getline line <keep) > 0) want[line ":"] = 1 }
		$1 in want' >"$tmp/modules.dep"
	awk -v keep="$tmp/keep" '
		BEGIN {
			while ((getline line <keep) > 0) {
				sub(/\.ko$/, "", line)
				gsub(/-/, "_", line)
				want[line] = 1
			}
		}
		$1 == "alias" && $3 in want' "$modules/modules.alias" \
		>"$tmp/modules.alias"
	: >"$tmp/modules.symbols"
	echo "dir $dir 0755"
	while read -r file; do
		echo "file $dir/${file##*/} 0644 $file"
	done <"$tmp/files"
	echo "file $dir/modules.builtin 0644 $modules/modules.builtin"
	for table in modules.dep modules.alias modules.symbols; do
		echo "file $dir/$table 0644 $tmp/$table"
	done
}

base() {
	for dir in bin sbin usr usr/bin usr/sbin dev proc sys tmp run root etc \
		mnt lib lib/modules; do
		echo "dir /$dir 0755"
	done
	echo "node /dev/console 0600 c 5 1"
	echo "node /dev/null 0666 c 1 3"
	echo "file /init 0755 $agent"
	echo "file /bin/busybox 0755 $busybox"
	"$busybox" --list-full | sort -u | while read -r applet; do
		case $applet in
		bin/busybox | sbin/init | linuxrc) ;;
		*) [ -n "$tree" ] && [ -e "$tree/usr/sbin/${applet##*/}" ] ||
			echo "link /$applet /bin/busybox" ;;
		esac
	done
	echo "file /etc/passwd 0644 guest/etc/passwd"
	echo "file /etc/group 0644 guest/etc/group"
}

# Everything below MORE_TREE, programs in front of busybox's of the same name.
tree() {
	(cd "$tree" && find . -mindepth 1 | sort) | while read -r name; do
		name=${name#.}
		if [ -L "$tree$name" ]; then
			echo "link $name $(readlink "$tree$name")"
		elif [ -d "$tree$name" ]; then
			echo "dir $name 0755"
		elif [ -x "$tree$name" ]; then
			echo "file $name 0755 $tree$name"
		else
			echo "file $name 0644 $tree$name"
		fi
	done
}

{
	base
	[ -z "$tree" ] || tree
	for program; do
		echo "file /usr/bin/${program##*/} 0755 $program"
	done
	modules
} >"$tmp/list"
"$mkcpio" <"$tmp/list"
