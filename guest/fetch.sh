#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# fetch.sh - takes what a guest is made of out of Debian's packages
#
# usage: fetch.sh kernel META DIR     DIR/boot/..., DIR/lib/modules/..., and
#                                     DIR/release, the kernel's release
#        fetch.sh busybox DIR         DIR/busybox
#        fetch.sh packages LIST DIR   DIR: the packages that the file LIST
#                                     names, all in one tree
#
# Packages are downloaded into build/guest/dl and unpacked, never installed.
# A package that is already there is used as it is, so a second run needs no
# network. Root is not needed.
set -eu
export LC_ALL=C

dl=build/guest/dl

fail() {
	echo "guest: $*" >&2
	exit 1
}

need() {
	command -v "$1" >/dev/null 2>&1 ||
		fail "'$1' is missing (Debian package '$2')"
}

can_download() {
	apt-get download -qq --print-uris "$1:amd64" >/dev/null 2>&1
}

# The package lists of a fresh container are empty: fill them if we may.
know_package() {
	can_download "$1" && return 0
	if [ "$(id -u)" = 0 ]; then
		apt-get update -qq >&2 || true
	fi
	can_download "$1" || fail "apt cannot find package '$1'; run" \
		"'apt-get update' as root and see that a Debian archive is" \
		"configured"
}

# Prints the path of a package's file when it is there.
have() {
	for deb in "$dl/$1"_*_amd64.deb; do
		[ -f "$deb" ] && echo "$deb" && return 0
	done
	return 1
}

# Prints the path of a package's file, downloading it first if need be.
package() {
	have "$1" && return 0
	know_package "$1"
	mkdir -p "$dl/part.$1"
	(cd "$dl/part.$1" && apt-get download -qq -o APT::Sandbox::User=root \
		"$1:amd64" >&2) ||
		fail "cannot download package '$1'; is there a network?"
	mv "$dl/part.$1/$1"_*_amd64.deb "$dl/"
	rmdir "$dl/part.$1" 2>/dev/null || true
	package "$1"
}

# What a meta package stands for; remembered, so that no network is needed
# to build a second time.
resolve() {
	memo=$dl/$1.is
	if [ ! -s "$memo" ]; then
		know_package "$1"
		real=$(apt-cache depends "$1:amd64" |
			sed -n 's/^[ |]*Depends: \(linux-image-[^ :]*\).*/\1/p' |
			head -n 1)
		[ -n "$real" ] || fail "apt knows no package '$1'"
		echo "$real" >"$memo.part"
		mv "$memo.part" "$memo"
	fi
	cat "$memo"
}

# Only the kernel and the corners of the module tree that guests use: the
# whole tree is 400 MB.
fetch_kernel() {
	real=$(resolve "$1")
	deb=$(package "$real")
	rm -rf "$2.part"
	mkdir -p "$2.part"
	echo "guest: unpacking $(basename "$deb")"
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$2.part" --wildcards \
		'*/boot/vmlinuz-*' '*/boot/config-*' '*/modules/*/modules.*' \
		'*/kernel/arch/x86/crypto/*' '*/kernel/crypto/*' \
		'*/kernel/lib/*' '*/kernel/fs/*' '*/kernel/drivers/ata/*' \
		'*/kernel/drivers/scsi/*' '*/kernel/drivers/cdrom/*' \
		'*/kernel/drivers/block/*' '*/kernel/drivers/acpi/*' \
		'*/kernel/block/*' ||
		fail "cannot unpack '$deb'; remove it and try again"
	# Since Debian 13 the modules lie in /usr/lib.
	[ -d "$2.part/lib/modules" ] || ln -s usr/lib "$2.part/lib"
	release=$(cd "$2.part/lib/modules" && echo *)
	[ -f "$2.part/boot/vmlinuz-$release" ] ||
		fail "there is no kernel in '$deb'"
	find "$2.part/lib/modules/" -name '*.ko.xz' -exec xz -d {} +
	depmod -b "$2.part" "$release" ||
		fail "cannot work out the module dependencies of $release"
	echo "$release" >"$2.part/release"
	rm -rf "$2"
	mv "$2.part" "$2"
}

fetch_busybox() {
	deb=$(package busybox-static)
	rm -rf "$1.part"
	mkdir -p "$1.part"
	dpkg-deb --fsys-tarfile "$deb" |
		tar -x -C "$1.part" --wildcards '*/bin/busybox' ||
		fail "cannot unpack '$deb'; remove it and try again"
	find "$1.part" -name busybox -type f -exec mv {} "$1.part/busybox" \; \
		2>/dev/null
	[ -x "$1.part/busybox" ] || fail "there is no busybox in '$deb'"
	rm -rf "$1"
	mv "$1.part" "$1"
}

# Downloads, in one go, what is missing of many packages: apt takes a second
# to start. Since Debian 13 the names of some libraries end in t64.
download_missing() {
	missing=
	for name; do
		have "$name" >/dev/null || have "${name}t64" >/dev/null ||
			missing="$missing $name"
	done
	[ -n "$missing" ] || return 0
	know_package "${missing##* }"
	set --
	for name in $missing; do
		if apt-cache show "$name:amd64" 2>/dev/null | grep -q .; then
			set -- "$@" "$name:amd64"
		else
			set -- "$@" "${name}t64:amd64"
		fi
	done
	rm -rf "$dl/part.many"
	mkdir "$dl/part.many"
	(cd "$dl/part.many" && apt-get download -qq \
		-o APT::Sandbox::User=root "$@" >&2) ||
		fail "cannot download the packages$missing; is there a network?"
	mv "$dl/part.many/"*.deb "$dl/"
	rmdir "$dl/part.many"
}

# One tree, whether a release keeps its libraries in /lib or in /usr/lib.
fetch_packages() {
	rm -rf "$2.part"
	mkdir -p "$2.part/usr/bin" "$2.part/usr/sbin" "$2.part/usr/lib"
	for dir in bin sbin lib lib64; do
		ln -s "usr/${dir%64}" "$2.part/$dir"
	done
	names=$(sed 's/#.*//' "$1")
	# shellcheck disable=SC2086
	download_missing $names
	for name in $names; do
		deb=$(have "$name") || deb=$(have "${name}t64")
		dpkg-deb --fsys-tarfile "$deb" |
			tar -x -C "$2.part" --keep-directory-symlink \
				--exclude './usr/share/*' ||
			fail "cannot unpack '$deb'; remove it and try again"
	done
	rm -rf "$2"
	mv "$2.part" "$2"
}

PATH=$PATH:/usr/sbin:/sbin
need apt-get apt
need dpkg-deb dpkg
mkdir -p "$dl"
exec 9>"$dl/lock"
flock 9 # one at a time, also under make -j
case ${1-} in
kernel)
	need depmod kmod
	need xz xz-utils
	fetch_kernel "$2" "$3"
	;;
busybox) fetch_busybox "$2" ;;
packages) fetch_packages "$2" "$3" ;;
*) fail "usage: fetch.sh kernel META DIR | busybox DIR | packages LIST DIR" ;;
esac
