#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# e2e_flush - a flush is a flush, counted from outside
#
# What the host's kernel sees of a guest's flushes and writes, not what our
# own counters say: strace for the pool of threads, the kernel's io_uring
# trace points for the ring (whose calls strace does not see), and flush
# requests of the block layer where the disk is a loop device. Events since a
# mark are read as a word: W a write, F a flush that the host has done.
#
# The same expectations are then held against cache=unsafe, where no flush
# reaches the host: each that wants one must fail, or this test tests nothing.
set -u
. "$(dirname "$0")/guest_steps.sh"
steps_need
disk=$tmp/disk.raw
calls=fdatasync,fsync,pwrite64,pwritev,pwritev2,lseek,clone,clone3,fork,vfork
calls+=,io_uring_setup
tracing=/sys/kernel/tracing
instance=
loop=
control=
caught=0 missed=0

cleanup() {
	[ -z "$steps_pid" ] || kill "$steps_pid" 2>/dev/null
	[ -z "$instance" ] || rmdir "$instance" 2>/dev/null
	[ -z "$loop" ] || losetup -d "$loop"
}
trap cleanup EXIT

skip_part() {
	echo "not tried here: $*"
}

# -- what the host's kernel saw ----------------------------------------------

# A call counts where it ends. With RWF_DSYNC a write is its own flush.
strace_word() {
	awk '
		/<unfinished/ { next }
		/(pwrite64|pwritev2?)(\(| resumed).*= [0-9]+$/ {
			printf "W"
			if (/RWF_DSYNC/)
				printf "F"
		}
		/f(data)?sync(\(| resumed).*= 0$/ { printf "F" }' \
		"$tmp/strace" 2>/dev/null
}

# A write counts where it is submitted, a flush when it is done.
ring_word() {
	[ -n "$instance" ] || return
	awk '
		/io_uring_submit_req:/ && /opcode WRITE/ { printf "W" }
		/io_uring_submit_req:/ && /opcode FSYNC/ {
			match($0, /req [^,]*/)
			flush[substr($0, RSTART, RLENGTH)] = 1
		}
		/io_uring_complete:/ && /result 0,/ {
			match($0, /req [^,]*/)
			req = substr($0, RSTART, RLENGTH)
			if (req in flush) {
				printf "F"
				delete flush[req]
			}
		}' "$instance/trace"
}

mark() {
	strace_seen=$(strace_word)
	ring_seen=$(ring_word)
}

since() {
	local s r
	s=$(strace_word) r=$(ring_word)
	echo "${s:${#strace_seen}}${r:${#ring_seen}}"
}

# -- expectations --------------------------------------------------------------

# A held expectation says so only when it fails, or when it should have.
judge() {
	local held=$1 wants_flush=$2
	shift 2
	if [ -z "$control" ]; then
		[ "$held" = 1 ] || fail "$*"
	elif [ "$wants_flush" = 1 ]; then
		if [ "$held" = 1 ]; then
			missed=$((missed + 1))
			echo "control: held without a flush: $*"
		else
			caught=$((caught + 1))
		fi
	fi
}

# min max command...: the host flushes min to max times for it. What is set up
# before is in $before.
flushes() {
	local min=$1 max=$2 word n held=0
	shift 2
	[ -z "$before" ] || must "$before"
	mark
	must "$*"
	word=$(since)
	n=${word//[!F]/}
	n=${#n}
	[ "$n" -ge "$min" ] && [ "$n" -le "$max" ] && held=1
	judge $held $((min > 0)) \
		"$backend: $min to $max flushes, not $n ($word): $*"
}

dirty='diskop /dev/sda write 1048576 4096 1'

flush_checks() {
	local word held
	before=$dirty
	flushes 1 1 'diskop /dev/sda flush-ext'
	before=
	flushes 0 0 'diskop /dev/sda flush-ext' # nothing was written since
	before=$dirty
	flushes 1 1 'diskop /dev/sda flush'
	flushes 1 1 'hdparm -F /dev/sda'
	flushes 1 1 'diskop /dev/sda standby'
	before='diskop /dev/sda flush-ext'
	flushes 0 0 'diskop /dev/sda write 2097152 4096 8'
	before='diskop /dev/sda flush-ext'
	flushes 1 1 'diskop /dev/sda write 2097152 4096 1 fsync'
	flushes 1 1 'diskop /dev/sda write 2097152 4096 1 fdatasync'
	flushes 8 8 'diskop /dev/sda write 2097152 4096 8 fsync'
	flushes 1 1 'diskop /dev/sda fua 8192 8'
	before='diskop /dev/sda flush-ext'
	flushes 0 0 'diskop /dev/sda check 2097152 4096 8'
	before=$dirty
	flushes 1 2 'hdparm -W0 /dev/sda'
	before=
	flushes 16 16 'diskop /dev/sda write 3145728 4096 16'
	word=$(since)
	held=0
	[[ $word =~ ^(W+F){16}$ ]] && held=1
	judge $held 1 "$backend: each write is durable before the next: $word"
	must 'hdparm -W1 /dev/sda'
}

# A file system's flushes: on its journal, and behind it.
file_checks() {
	before='mkfs.ext4 -q -F /dev/sda 65536 && mount /dev/sda /mnt &&
		cp /etc/passwd /mnt/'
	flushes 1 20 'sync'
	before='cp /etc/group /mnt/; sync'
	flushes 1 20 'dd if=/etc/passwd of=/mnt/b conv=fsync 2>/dev/null'
	must 'umount /mnt'
}

# 256 small writes side by side are one large one or two.
merge_check() {
	local word writes
	must 'diskop /dev/sda flush-ext'
	mark
	must 'diskop /dev/sda write 16777216 4096 256'
	must 'diskop /dev/sda flush-ext'
	word=$(since)
	writes=${word//[!W]/}
	[ ${#writes} -ge 1 ] && [ ${#writes} -le 2 ] ||
		fail "$backend: 256 writes came to the host as ${#writes}: $word"
	must 'diskop /dev/sda check 16777216 4096 256'
	echo "$backend: 256 linear writes of 4 KiB: ${#writes} on the host"
}

# -- machines ------------------------------------------------------------------

# The threads that are there when the guest is up are all there ever are.
trace_ring() {
	local pid
	instance=
	[ "$backend" = uring ] || return 0
	mkdir "$tracing/instances/spindle.$$" || return 1
	instance=$tracing/instances/spindle.$$
	pid=$(pgrep -P "$steps_pid")
	ls "/proc/$pid/task" >"$instance/set_event_pid" &&
		echo 1 >"$instance/options/event-fork" &&
		echo 1 >"$instance/events/io_uring/io_uring_submit_req/enable" &&
		echo 1 >"$instance/events/io_uring/io_uring_complete/enable"
}

untrace_ring() {
	[ -z "$instance" ] || rmdir "$instance"
	instance=
}

# options...: all expectations, on one machine.
machine() {
	local started word
	steps_wrap=(strace -f --seccomp-bpf -qq -o "$tmp/strace"
		-e "trace=$calls" -e signal=none)
	steps_start --io "$backend" --disk "$1"
	if ! trace_ring; then
		skip_part "$backend: its trace points cannot be turned on"
		steps_end
		return
	fi
	started=$(wc -l <"$tmp/strace")
	must 'modprobe ext4'
	flush_checks
	file_checks
	[ -n "$control" ] || merge_check
	tail -n +"$((started + 1))" "$tmp/strace" |
		grep -E '(lseek|clone3?|v?fork)\(' >"$tmp/bad" &&
		fail "$backend: calls on the I/O path: $(head -n 3 "$tmp/bad")"
	must "$dirty"
	mark
	steps_end || fail "the machine ended with $?: $(tail "$tmp/steps.err")"
	word=$(since)
	[[ $word == *F* ]]
	judge $((1 - $?)) 1 "$backend: the end of the machine flushes: $word"
	untrace_ring
	[ -n "$control" ] || echo "$backend: flushes are flushes"
}

# All calls of the process, during many writes that fit into the cache.
calls_per_write() {
	local from to n=4096
	steps_wrap=(strace -f -qq -o "$tmp/strace" -e signal=none)
	steps_start --io "$backend" --disk "$disk,cache=writeback"
	must 'diskop /dev/sda write 0 4096 256 && diskop /dev/sda flush-ext'
	from=$(wc -l <"$tmp/strace")
	must "diskop /dev/sda write 33554432 4096 $n"
	to=$(wc -l <"$tmp/strace")
	steps_end || fail "the machine ended with $?: $(tail "$tmp/steps.err")"
	echo "$backend: $((to - from)) system calls for $n linear writes," \
		"$(awk "BEGIN { print ($to - $from) / $n }") each"
	[ $((20 * (to - from))) -lt $n ] || {
		fail "$backend: more than 0.05 calls for a write; most are"
		tail -n +"$from" "$tmp/strace" | head -n $((to - from)) |
			sed 's/^[0-9]* *//; s/(.*//' | sort | uniq -c |
			sort -rn | head -n 5
	}
}

# The block layer's own words, for a disk that is a block device.
block_layer() {
	local n minor
	loop=$(losetup -f --show --direct-io=on "$disk" 2>/dev/null) ||
		loop=$(losetup -f --show "$disk" 2>/dev/null) || {
		loop=
		skip_part 'the block layer: no loop device can be made'
		return
	}
	if ! mkdir "$tracing/instances/spindle.$$" 2>/dev/null; then
		skip_part 'the block layer: tracefs is not writable'
		return
	fi
	instance=$tracing/instances/spindle.$$
	minor=$(stat -c %T "$loop")
	echo "dev == $(((7 << 20) + 16#$minor)) && rwbs ~ \"F*\"" \
		>"$instance/events/block/block_rq_issue/filter"
	echo 1 >"$instance/events/block/block_rq_issue/enable"
	steps_wrap=()
	steps_start --io auto --disk "$loop,cache=writeback"
	must "$dirty && diskop /dev/sda flush-ext"
	echo >"$instance/trace"
	must "$dirty"
	for n in 1 2; do # dirty, then clean
		must 'diskop /dev/sda flush-ext'
		[ "$(grep -c block_rq_issue "$instance/trace")" = 1 ] ||
			fail "flush $n: not 1 flush request: $(
				grep -v '^#' "$instance/trace")"
	done
	must 'diskop /dev/sda write 2097152 4096 8 fsync'
	[ "$(grep -c block_rq_issue "$instance/trace")" = 9 ] ||
		fail "8 fsyncs: not 8 flush requests"
	steps_end || fail "the machine ended with $?: $(tail "$tmp/steps.err")"
	untrace_ring
	echo "block layer: each flush is one flush request of $loop"
}

backends() {
	local all=threads
	if ! grep -q . "$tracing/available_events" 2>/dev/null &&
		! mount -t tracefs tracefs $tracing 2>/dev/null; then
		skip_part 'uring: tracefs cannot be mounted'
	elif ! grep -q io_uring:io_uring_submit_req \
		$tracing/available_events; then
		skip_part 'uring: the kernel has no such trace points'
	else
		all="threads uring"
	fi >&2
	echo "$all"
}

if ! strace -f -qq -o /dev/null true 2>/dev/null; then
	echo 'skip: strace, which counts the calls, is missing or may not trace'
	exit 77
fi
truncate -s 256M "$disk"
for backend in $(backends); do
	control=
	machine "$disk,cache=writeback"
	calls_per_write
	control=1
	machine "$disk,cache=unsafe"
done
echo "control: cache=unsafe was caught $caught times, missed $missed times"
[ "$missed" = 0 ] && [ "$caught" -gt 0 ] ||
	fail "the test did not notice a disk without flushes"
block_layer
exit $failed
