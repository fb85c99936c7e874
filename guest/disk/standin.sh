#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# standin.sh - makes a library that stands in for one a program is linked with
#
# usage: standin.sh PROGRAM SONAME PREFIX OUT
#
# Debian's fio is linked with the clients of Ceph, GlusterFS, NBD, RDMA and
# persistent memory: 30 libraries and seconds of relocation on a software CPU,
# for engines that no guest of ours uses. The library made here has the same
# name and, with the same versions, every function that PROGRAM takes from the
# real one; each says that it is not there and aborts. The functions without a
# version are those whose name begins with PREFIX.
set -eu
export LC_ALL=C
program=$1 soname=$2 prefix=$3 out=$4

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# The versions that PROGRAM wants of this library.
objdump -p "$program" | awk -v so="$soname:" '
	$1 == "required" { mine = $3 == so; next }
	NF == 0 { mine = 0 }
	mine { print $4 }' >"$tmp/versions"

# name version, or name - without one.
objdump -T "$program" | awk -v list="$tmp/versions" -v prefix="$prefix" '
	BEGIN { while ((getline line <list) > 0) want["(" line ")"] = line }
	$0 !~ /\*UND\*/ { next }
	$(NF - 1) in want { print $NF, want[$(NF - 1)]; next }
	$(NF - 1) !~ /^\(/ && index($NF, prefix) == 1 { print $NF, "-" }' |
	sort -u >"$tmp/names"
if ! [ -s "$tmp/names" ]; then
	echo "guest: '$program' takes nothing from '$soname'" >&2
	exit 1
fi

awk '
	BEGIN {
		print "#include <stdio.h>\n#include <stdlib.h>"
		print "static void absent(const char *name) {"
		print "\tfprintf(stderr, \"%s() is not in this guest\\n\", name);"
		print "\tabort();\n}"
	}
	{
		printf "void %s(void);\nvoid %s(void) { absent(\"%s\"); }\n",
			$1, $1, $1
	}' "$tmp/names" >"$tmp/standin.c"
sort -k 2 "$tmp/names" | awk '
	$2 == "-" { next }
	$2 != last { if (last) print "};"; print $2 " {" ; last = $2 }
	{ print "\t" $1 ";" }
	END { if (last) print "};" }' >"$tmp/map"
script=
[ ! -s "$tmp/map" ] || script=-Wl,--version-script=$tmp/map
${CC:-gcc} -O2 -s -shared -fPIC -fno-builtin -Wl,-soname,"$soname" $script \
	-o "$out" "$tmp/standin.c"
