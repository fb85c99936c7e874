#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# disk_init - /init where there is no agent to talk to: steps on ttyS1, or
# the program that the kernel command line has behind "--"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
if [ $# = 0 ]; then
	stty -F /dev/ttyS1 115200 raw -echo
	/disk/steps </dev/ttyS1 >/dev/ttyS1 2>&1
else
	"$@"
fi
poweroff -f
