#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# e2e_nested_kvm - the KVM driver on Linux's own KVM where no host has it
#
# QEMU's TCG emulates a processor with SVM; in it runs a Debian kernel with its
# kvm_amd module, on that tests/test_driver and a Debian guest. Slow: only with
# TEST_LONG=1 (make check-long). What is proven is how the driver gets along
# with the kernel's KVM, not with a real processor.
set -u

skip() {
	echo "skip: $*"
	exit 77
}

[ -n "${TEST_LONG:-}" ] || skip "takes minutes; make check-long runs it"
spindle=$(realpath "${SPINDLE:-build/spindle}")
guests=$(realpath "${SPINDLE_GUESTS:-build/guest}")
tests=$(dirname "$spindle")/tests
tmp=${TEST_TMP:-$(mktemp -d)}
for tool in qemu-system-x86_64 cpio dpkg-deb; do
	command -v $tool >/dev/null || skip "no $tool here"
done
deb=$(ls "$guests"/dl/linux-image-[0-9]*-amd64_*.deb 2>/dev/null |
	grep -v cloud | head -1)
[ -n "$deb" ] || skip "no Debian kernel package in '$guests/dl'"

# What TCG itself does otherwise than processors do (QEMU 7.2): a reserved
# page-table bit faults without P, #SS comes as #GP, unmasked SSE exceptions
# never come, LSTAR takes any address, INT n's error code is wrong.
known='page faults|FP exceptions|MSRs|SYSCALL, INT in ring 3'

root=$tmp/root
mkdir -p "$root"/{bin,dev,lib,lib64,proc,sys,tmp,m,guest}
dpkg-deb -x "$deb" "$tmp/deb" || exit 1
for m in virt/lib/irqbypass arch/x86/kvm/kvm drivers/crypto/ccp/ccp \
	arch/x86/kvm/kvm-amd; do
	cp "$tmp"/deb/lib/modules/*/kernel/$m.ko "$root/m/" || exit 1
done
cp "$(find "$guests/busybox" -type f -name busybox | head -1)" "$root/bin/" ||
	exit 1
cp "$spindle" "$root/bin/spindle" && cp "$tests/test_driver" "$root/bin/" ||
	exit 1
ldd "$spindle" "$tests/test_driver" | grep -o '/[^ :)]*\.so[^ )]*' | sort -u |
	while read -r lib; do
		mkdir -p "$root/$(dirname "$lib")"
		cp -L "$lib" "$root/$lib"
	done
cp "$guests/guests.tsv" "$root/guest/"
mkdir "$root/guest/debian"
cp "$guests"/debian/{vmlinuz,initrd} "$root/guest/debian/" || exit 1

cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev; mount -t proc none /proc; mount -t tmpfs none /tmp
for m in irqbypass kvm ccp kvm-amd; do insmod /m/$m.ko; done
TEST_DRIVER=kvm test_driver 2>&1
export SPINDLE_GUESTS=/guest
spindle run --guest debian --driver kvm --memory 256M -- \
	sh -c 'echo booted $(uname -r); grep timer /proc/interrupts' 2>&1
echo "end of run: $?"
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$tmp/initrd" || exit 1

log=$tmp/log
timeout 1500 qemu-system-x86_64 -M pc -cpu max -accel tcg -m 1024 -nographic \
	-no-reboot -nic none -kernel "$tmp"/deb/boot/vmlinuz-* \
	-initrd "$tmp/initrd" \
	-append "console=ttyS0 quiet panic=-1 mitigations=off" \
	</dev/null 2>&1 | tr -d '\r' >"$log"

failed=0
fail() {
	echo "FAILED: $*"
	failed=1
}
# Not as cmocka prints it: the runner would count those lines as its own.
grep -aE '^\[  (PASSED|FAILED|SKIPPED)|^guest check|^booted|timer$|^end of run' \
	"$log" | sed 's/^/inside: /'
passed=$(grep -aoE '^\[  PASSED  \] [0-9]+' "$log" | grep -oE '[0-9]+$')
[ "${passed:-0}" -ge 36 ] || fail "${passed:-no} cases passed, not 36"
other=$(grep -aE '^\[  FAILED  \] [a-z]' "$log" |
	grep -vE "\] kvm: ($known)$" | sort -u)
[ -z "$other" ] || fail "other cases than TCG's own: $other"
grep -qaE '^booted [0-9]+\.' "$log" || fail "the Debian guest did not boot"
grep -qaE 'IO-APIC +2-edge +timer' "$log" ||
	fail "the timer's interrupt is not at IOAPIC input 2"
grep -qa '^end of run: 0$' "$log" || fail "spindle run did not end with 0"
[ $failed = 0 ] || tail -40 "$log" | sed 's/^/inside: /'
exit $failed
