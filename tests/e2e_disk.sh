#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# e2e_disk - a stock kernel and everybody's disk tools on our IDE disk
#
# In the guest `tools`: what libata says of drive and controller, hdparm,
# smartctl, TRIM, three file systems, fio with verification, a CD, errors of
# the host as the guest sees them, and data that outlive the machine.
# TEST_LONG=1 verifies for 30 minutes (VERIFY_S) instead of 60 seconds.
set -u
. "$(dirname "$0")/guest_steps.sh"
steps_need
verify_s=${VERIFY_S:-$([ -n "${TEST_LONG:-}" ] && echo 1800 || echo 60)}
disk=$tmp/disk.raw

# No line of the kernel about anything that went wrong on the way.
quiet_kernel() {
	must 'dmesg'
	says_no 'lost interrupt|frozen|exception Emask|soft reset|failed command'
	says_no 'I/O error|BUG:|Oops|Call Trace|hung task'
}

identity() {
	local mode=UDMA_2 # UDMA/33; QEMU's PIIX3 has no Ultra DMA
	[ "${TEST_VM:-}" != qemu ] || mode=MW_DMA_2
	must 'dmesg'
	says 'ata1\.00: ATA-7: .*, max UDMA/'
	says 'ata1\.00: 1048576 sectors, .*LBA48'
	says 'sda\] Write cache: enabled, read cache: enabled, doesn.t support DPO'
	must 'cat /sys/class/ata_device/dev1.0/xfer_mode'
	says "^XFER_$mode$"
	must 'hdparm -I /dev/sda'
	says 'LBA48 +user addressable sectors: +1048576'
	says '\*[[:space:]]+Mandatory FLUSH_CACHE[[:space:]]*$'
	says '\*[[:space:]]+FLUSH_CACHE_EXT'
	says '\*[[:space:]]+SMART feature set'
	says '[[:space:]]Write cache'
	must 'blockdev --getsize64 /dev/sda'
	says '^536870912$'
	must 'lsblk -dno NAME,TYPE,SIZE /dev/sda'
	says 'sda +disk +512M'
}

write_cache() {
	local on off
	must 'diskop /dev/sda word 85'
	on=$((16#${said%%$'\n'*}))
	must 'hdparm -W0 /dev/sda'
	says 'write-caching = +0 \(off\)'
	must 'diskop /dev/sda word 85'
	off=$((16#${said%%$'\n'*}))
	[ $((on & 32)) = 32 ] && [ $((on ^ off)) = 32 ] ||
		fail "word 85 was $on with the write cache, $off without it"
	must 'dmesg | tail -n 5'
	says 'sda\] Write cache: disabled'
	must 'cat /sys/block/sda/queue/write_cache'
	says '^write through$'
	must 'diskop /dev/sda write 0 4096 64'
	must 'hdparm -W1 /dev/sda'
	must 'dmesg | tail -n 5'
	says 'sda\] Write cache: enabled'
	must 'diskop /dev/sda write 262144 4096 64 fsync'
	must 'diskop /dev/sda check 0 4096 128'
}

tools() {
	must 'hdparm -F /dev/sda'
	must 'hdparm -t /dev/sda'
	says 'Timing buffered disk reads: .* MB/sec'
	must 'smartctl -a /dev/sda'
	says 'SMART overall-health self-assessment test result: PASSED'
	says 'SMART Attributes Data Structure revision'
	says 'No Errors Logged'
	must 'diskop /dev/sda standby'
	must 'diskop /dev/sda check 0 4096 1' # wakes up by itself
}

trim() {
	must 'diskop /dev/sda write 0 65536 16'
	must '/usr/sbin/blkdiscard -f -o 65536 -l 917504 /dev/sda'
	must 'diskop /dev/sda check 0 65536 1'
	must 'diskop /dev/sda check 983040 65536 1'
	[ "${TEST_VM:-}" = qemu ] || # does not promise zeros
		must 'dd if=/dev/sda bs=65536 skip=1 count=14 2>/dev/null |
			tr -d "\000" | wc -c | grep -x 0'
	must '/usr/sbin/blkdiscard -f /dev/sda'
}

# name mkfs fsck: a tree is copied, and is the same in a second mount.
file_system() {
	must "modprobe $1 && $2 /dev/sda >/tmp/mkfs.log 2>&1"
	must "mount -t $1 /dev/sda /mnt"
	must 'mkdir /mnt/tree && cp -a /bin /lib /usr /mnt/tree/ && sync'
	must 'cp /mnt/tree/usr/sbin/fio /mnt/removed && rm /mnt/removed'
	must 'umount /mnt'
	must "mount -t $1 /dev/sda /mnt"
	must 'for d in bin lib usr; do
		diff -r /$d /mnt/tree/$d; done | head -n 5 >/tmp/diff;
		! [ -s /tmp/diff ] && [ -x /mnt/tree/usr/sbin/fio ]'
	must 'umount /mnt'
	must "$3 /dev/sda >/tmp/fsck.log 2>&1"
	echo "$1: made, filled, compared, checked"
}

# seconds seed: fio ends at the first block that is not what was written.
verify() {
	local log
	step "fio --name=mixed --filename=/dev/sda --size=256m --direct=1" \
		"--rw=randrw --bsrange=512-128k --blockalign=512" \
		"--rwmixread=30 --fsync=64 --verify=crc32c --verify_fatal=1" \
		"--verify_backlog=256 --time_based --runtime=$1" \
		"--randseed=$2 --output=/tmp/fio.log --eta=never" ||
		fail "fio found something else than it had written"
	step 'grep -E "IOPS=|err=|verify:|bad" /tmp/fio.log'
	log=$(grep -E 'IOPS=' <<<"$said" | tr -s ' \n' ' ')
	[ -n "$log" ] || fail "fio did nothing: $said"
	echo "verified for $1 s, seed $2:$log"
}

machine_ends() {
	steps_end || fail "the machine ended with $?: $(tail "$tmp/steps.err")"
}

first_machine() {
	steps_start --disk "$disk,cache=writeback"
	identity
	write_cache
	tools
	trim
	file_system ext4 'mkfs.ext4 -F' 'fsck.ext4 -f -n'
	file_system xfs 'mkfs.xfs -f' 'xfs_repair -n'
	file_system btrfs 'mkfs.btrfs -f' 'btrfs check'
	steps_limit_s=$((verify_s + 240)) # fio verifies what is left at the end
	verify "$verify_s" 1
	quiet_kernel
	must 'smartctl -H /dev/sda'
	must 'diskop /dev/sda write 0 65536 32'
	machine_ends
}

# What was written, not flushed by anybody, and left to the machine's end.
second_machine() {
	steps_start --disk "$disk,cache=none"
	must 'diskop /dev/sda check 0 65536 32'
	must 'diskop /dev/sda write 2097152 65536 32'
	must 'diskop /dev/sda check 2097152 65536 32'
	verify 5 2
	must 'diskop /dev/sda write 0 65536 64'
	quiet_kernel
	machine_ends
}

# A medium that cannot be read at one place: the sector's own error, in every
# word that libata says about it.
bad_sector() {
	steps_start --disk \
		"$disk,cache=none,fault=read:EIO:off=1052160-1052672"
	must 'diskop /dev/sda check 0 65536 1'
	step 'diskop /dev/sda ata-read 2050 8' &&
		fail "a bad sector was read without an error"
	says 'status 51 error 40 lba (7|2055)$'
	step 'dd if=/dev/sda of=/dev/null bs=4096 skip=256 count=1' &&
		fail "a bad sector was read without an error"
	must 'dmesg'
	says 'error: \{ UNC \}'
	says 'res 51/40:[0-9a-f]*:07:08:00/'
	says 'I/O error, dev sda, sector 2055 '
	must 'diskop /dev/sda check 2097152 65536 1'
	machine_ends
}

# A CD in the manner of an installer's: Rock Ridge, Joliet, a boot record.
make_cd() {
	mkdir -p "$tmp/cd/install.amd" "$tmp/cd/isolinux"
	head -c 5000000 /dev/urandom >"$tmp/cd/install.amd/initrd.gz"
	head -c 2048 /dev/urandom >"$tmp/cd/isolinux/isolinux.bin"
	ln -s install.amd "$tmp/cd/a_link"
	(cd "$tmp/cd" && find . -type f -exec md5sum {} + >../md5sum.txt)
	mv "$tmp/md5sum.txt" "$tmp/cd/"
	xorriso -as mkisofs -quiet -r -J -V 'Debian test amd64 n' \
		-b isolinux/isolinux.bin -no-emul-boot -boot-load-size 4 \
		-o "$tmp/cd.iso" "$tmp/cd" 2>"$tmp/xorriso.log" ||
		fail "xorriso: $(tail -n 3 "$tmp/xorriso.log")"
}

cd_rom() {
	if ! command -v xorriso >/dev/null; then
		echo "no CD is tried: xorriso is missing (tools/deps)"
		return
	fi
	make_cd
	steps_start --disk "$disk" --cdrom "$tmp/cd.iso"
	must 'dmesg'
	says 'ata[12]\.0[01]: ATAPI: '
	must 'modprobe isofs && mount -t iso9660 -o ro /dev/sr0 /mnt'
	must 'cd /mnt && wc -c <a_link/initrd.gz'
	says '^5000000$'
	must 'md5sum -c md5sum.txt >/tmp/md5 && cd / && umount /mnt'
	must 'dd if=/dev/sr0 bs=2048 2>/dev/null | md5sum'
	says "^$(md5sum <"$tmp/cd.iso" | cut -d' ' -f1)"
	quiet_kernel
	machine_ends
}

truncate -s 512M "$disk"
for part in ${PARTS:-first_machine second_machine bad_sector cd_rom}; do
	[ "${TEST_VM:-}$part" = qemubad_sector ] || $part
done
exit $failed
