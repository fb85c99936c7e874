#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test_iopool_calls - what the I/O pool asks of the host, counted from outside
#
# strace watches `test_iopool load`: between its two lines no thread may be
# made, no memory mapped, nothing opened and no file position moved, and the
# pool of threads calls fdatasync() once for each flush, and at no other time.
# What the ring does is not seen by strace; there only its calls are counted.
set -u
prog=${SPINDLE%/*}/tests/test_iopool
failed=0

fail() {
	echo "FAIL: $*"
	failed=1
}

if ! strace -f -o /dev/null true 2>/dev/null; then
	echo "skip: strace is not there or not allowed"
	exit 77
fi

# count NAME...: calls of these names between the two lines
count() {
	local IFS='|'

	awk -v names="^($*)\\\\(" '
		/--- end/ { on = 0 }
		on { call = $2; if (call == "<...") next; if (call ~ names) n++ }
		/--- begin/ { on = 1 }
		END { print n + 0 }' "$log"
}

check() { # check BACKEND
	log=$TEST_TMP/$1.strace
	strace -f -o "$log" "$prog" load "$1" >"$TEST_TMP/out" 2>&1
	local status=$?

	if [ $status = 77 ]; then
		grep '^skip: ' "$TEST_TMP/out"
		return
	fi
	[ $status = 0 ] || fail "$1: the load failed with status $status"
	grep -q -e '--- begin' "$log" && grep -q -e '--- end' "$log" ||
		fail "$1: the trace lacks its two lines"
	for name in lseek clone clone3 mmap munmap mprotect brk openat fstat \
		fsync sync_file_range; do
		n=$(count $name)
		[ "$n" = 0 ] || fail "$1: $n calls of $name on the I/O path"
	done
	echo "$1: $(count fdatasync) fdatasync, $(count pwritev2) pwritev2," \
		"$(count io_uring_enter) io_uring_enter, $(count write) write"
}

check threads
[ "$(count fdatasync)" = 50 ] || fail "threads: not one fdatasync a flush"
[ "$(count pwritev2)" = 800 ] || fail "threads: not one pwritev2 a write"
check uring
if [ -s "$TEST_TMP/uring.strace" ] && grep -q -e '--- begin' "$log"; then
	[ "$(count fdatasync pwritev2)" = 0 ] || fail "uring: blocking calls"
	# 20 requests at once, 8 at the host: far fewer calls than requests.
	[ "$(count io_uring_enter)" -lt 1050 ] ||
		fail "uring: a call for each request"
fi
exit $failed
