#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# steps - runs what is asked for, a line a command, and says how it went
#
# What a line prints comes back, and then "=done STATUS". So a host can look
# at its own side between two steps.
modprobe -a ata_piix sd_mod sr_mod
n=0
while ! [ -b /dev/sda ] && ! [ -b /dev/sr0 ] && [ $n -lt 100 ]; do
	usleep 50000
	n=$((n + 1))
done
echo "=ready"
while read -r line; do
	eval "$line"
	echo "=done $?"
done
