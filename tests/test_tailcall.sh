#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test_tailcall - every uop handler ends in a jump
#
# With optimisation a handler must jump to the next one. GCC 12 has no attribute
# that demands it and silently calls instead when, say, a local's address
# escapes; a guest loop then grows the host's stack until the process dies.
# So the object code is looked at: an indirect call whose result is only
# returned is a handler that calls.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(dirname "${SPINDLE:-build/release/spindle}")

case $build in
*asan* | *tsan* | *debug* | *cov* | *fuzz*)
	echo "skip: handlers return to a loop in this kind of build"
	exit 77
	;;
esac

calls() {
	objdump -d --no-show-raw-insn "$1" | awk -v file="${1##*/}" '
		/^[0-9a-f]+ <.*>:/ { fn = $2; call = 0 }
		{ insn = $0; sub(/^[^\t]*\t/, "", insn) }
		call && insn ~ /^ret/ { print file, fn, "calls the next handler" }
		call && insn !~ /^(add .*%rsp|lea .*%rsp|pop )/ { call = 0 }
		insn ~ /^call +\*/ { call = 1 }'
}

# The check must see a handler that calls.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/bad.c" <<'C'
typedef void *(*fn)(void *, void *);
void *bad(void *c, void *op);
void *
bad(void *c, void *op)
{
	unsigned short v = *(unsigned short *)c;

	__asm__ volatile("" : : "r"(&v) : "memory");
	return (*(fn *)op)(c, op);
}
C
gcc -O2 -fno-stack-protector -c "$work/bad.c" -o "$work/bad.o"
if [ -z "$(calls "$work/bad.o")" ]; then
	echo "a handler that calls was not noticed"
	exit 1
fi

found=$(for object in "$build"/driver/soft/*.o; do calls "$object"; done)
if [ -n "$found" ]; then
	printf '%s\n' "$found"
	exit 1
fi
echo "every handler jumps"
