#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# test_trace_cmd - 'spindle trace' pairs flushes, finds requests, counts gaps
set -u
spindle=${SPINDLE:-build/release/spindle}
tmp=${TEST_TMP:-$(mktemp -d)}
failed=0

fail() {
	echo "FAIL: $*"
	failed=1
}

# Flush 5 and 6 share a host flush, 7 needs none, 8 fails, 9 never ends.
cat >"$tmp/t" <<'END'
10.000000000 disk_submit id=4 op=1 lba=0 count=8
10.000001000 disk_done id=4 error=0 error_lba=0 ns=1000
10.000100000 disk_submit id=5 op=2 lba=0 count=0
10.000110000 disk_submit id=6 op=2 lba=0 count=0
10.000200000 io_flush_begin id=5 fd=7
10.000300000 io_flush_done id=5 fd=7 errno=0 ns=100000
10.000310000 disk_done id=5 error=0 error_lba=0 ns=210000
10.000320000 disk_done id=6 error=0 error_lba=0 ns=210000
10.000400000 disk_submit id=7 op=2 lba=0 count=0
10.000401000 disk_done id=7 error=0 error_lba=0 ns=1000
10.000500000 disk_submit id=8 op=2 lba=0 count=0
10.000600000 io_flush_begin id=8 fd=7
10.000700000 io_flush_done id=8 fd=7 errno=5 ns=100000
10.000800000 disk_done id=8 error=5 error_lba=0 ns=300000
10.000850000 trace_dropped id=0 events=3
10.000900000 disk_submit id=9 op=2 lba=0 count=0
END

expect() {
	grep -qE "$1" "$tmp/out" || fail "no line like '$1' in: $(cat "$tmp/out")"
}

"$spindle" trace "$tmp/t" >"$tmp/out" || fail "status $?"
expect '^guest flush 1 .*id 5 .*took +210.0 us ok .*host flush 1 .*100.0 us took +100.0 us ok$'
expect '^guest flush 2 .*id 6 .*host flush 1 '
expect '^guest flush 3 .*id 7 .*<- none'
expect '^guest flush 4 .*id 8 .*took +300.0 us EIO .*host flush 2 .*EIO$'
expect '^guest flush 5 .*id 9 .*did not end$'
expect '^5 guest flushes, 2 host flushes, 2 guest flushes without one$'
expect '^the trace lacks 3 events$'

"$spindle" trace --request 8 - <"$tmp/t" >"$tmp/out" || fail "status $?"
[ "$(wc -l <"$tmp/out")" = 4 ] || fail "request 8: $(cat "$tmp/out")"
expect '\+300.0 us disk_done'

"$spindle" trace --json "$tmp/t" >"$tmp/out" || fail "status $?"
expect '"lost":3'
expect '"id":8,"begin_ns":10000500000,"end_ns":10000800000,"errno":5,"host":1'

# What is no trace, or not there.
echo hello >"$tmp/no"
"$spindle" trace "$tmp/no" 2>"$tmp/out" && fail "a text is taken for a trace"
expect 'there are no events'
"$spindle" trace "$tmp/absent" 2>"$tmp/out" && fail "an absent file is read"
expect "cannot open '.*absent'"
"$spindle" trace --request 99 "$tmp/t" 2>"$tmp/out" && fail "99 is found"
expect 'no request 99'
"$spindle" trace 2>"$tmp/out"
[ $? = 2 ] || fail "no file is no usage error"
exit $failed
