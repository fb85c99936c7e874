# The guests: kernels out of Debian packages, initramfs made here. Included by
# the Makefile; everything lies under build/guest, whatever the mode.
G := build/guest
GUEST_CFLAGS := -std=gnu11 -O2 -static -s -pthread $(WARN) -I. -D_GNU_SOURCE
AGENT_SRC := $(wildcard guest/agent/*.c) base/agent_proto.c
UTEST_SRC := $(wildcard guest/tests/*.c)
# What every guest has in /usr/bin: the userland tests and micro-benchmarks.
GUEST_BIN := $(addprefix $G/bin/,utest utest32 lat mips)

guest: $G/guests.tsv ## make the guests out of Debian packages

$G/guests.tsv: guest/guests.tsv $G/debian/initrd $G/cloud/initrd
	@cp $< $@

# The default guest first. A kernel is fetched once; `make guest-clean` forgets.
$G/debian/root/release: guest/fetch.sh | $(DEPS)
	@mkdir -p $(@D)/..
	@guest/fetch.sh kernel linux-image-amd64 $(@D)

$G/cloud/root/release: guest/fetch.sh | $(DEPS)
	@mkdir -p $(@D)/..
	@guest/fetch.sh kernel linux-image-cloud-amd64 $(@D)

$G/busybox/busybox: guest/fetch.sh | $(DEPS)
	@mkdir -p $G
	@guest/fetch.sh busybox $(@D)

$G/%/vmlinuz: $G/%/root/release
	@cp $G/$*/root/boot/vmlinuz-$$(cat $<) $@

$G/%/initrd: $G/%/root/release $G/%/vmlinuz $G/busybox/busybox $G/agent \
    $G/mkcpio $(GUEST_BIN) guest/image.sh $(wildcard guest/etc/*)
	$(call say,IMAGE)guest/image.sh $(<D) $G/busybox/busybox $G/agent \
		$G/mkcpio $(GUEST_BIN) >$@.part && mv $@.part $@

$G/agent: $(AGENT_SRC) $(wildcard guest/agent/*.h base/*.h) | $(DEPS)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(GUEST_CFLAGS) -o $@ $(AGENT_SRC)

$G/bin/utest: $(UTEST_SRC) $(wildcard guest/tests/*.h) base/bits.h | $(DEPS)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(GUEST_CFLAGS) -o $@ $(UTEST_SRC) -lm

# Where no 32-bit C library is installed the test says so and is skipped.
$G/bin/utest32: $(UTEST_SRC) $(wildcard guest/tests/*.h) base/bits.h | $(DEPS)
	@mkdir -p $(@D)
	$(call say,CC)if echo 'int main(void) { return 0; }' | \
		$(CC) -m32 -static -x c - -o $@ 2>/dev/null; then \
		$(CC) -m32 -msse2 $(GUEST_CFLAGS) -o $@ $(UTEST_SRC) -lm; \
	else printf '#!/bin/sh\necho "skip: %s"\nexit 77\n' \
		'made without a 32-bit C library (gcc-multilib)' >$@; \
		chmod +x $@; fi

$G/bin/%: guest/bench/%.c base/bits.h | $(DEPS)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(GUEST_CFLAGS) -o $@ $<

$G/mkcpio: guest/mkcpio.c base/bits.h | $(DEPS)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -std=gnu11 -O2 $(WARN) -I. -D_GNU_SOURCE -o $@ $<

# The guest with disk tools, a list of its own: SPINDLE_GUESTS=build/guest/tools.
TOOLS_BIN := $G/tools/bin/diskop

check check-long: guest-tools

guest-tools: $G/tools/guests.tsv ## make the guest with fio and other disk tools

$G/tools/guests.tsv: guest/disk/tools.tsv $G/tools/initrd $G/cloud/vmlinuz
	@cp $< $@

$G/tools/root/usr/bin/fio: guest/disk/packages guest/fetch.sh | $(DEPS)
	@mkdir -p $G/tools
	@guest/fetch.sh packages $< $G/tools/root
	@touch $@

$G/tools/tree/disk/init: $G/tools/root/usr/bin/fio guest/disk/tree.sh \
    guest/disk/standin.sh $(wildcard guest/disk/*.sh guest/disk/*.fio)
	$(call say,TREE)guest/disk/tree.sh $G/tools/root $G/tools/tree

$G/tools/bin/%: guest/disk/%.c base/bits.h | $(DEPS)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(GUEST_CFLAGS) -o $@ $<

$G/tools/initrd: $G/cloud/root/release $G/busybox/busybox $G/agent $G/mkcpio \
    $(TOOLS_BIN) $G/tools/tree/disk/init guest/image.sh $(wildcard guest/etc/*)
	$(call say,IMAGE)MORE_MODULES='sg udf' MORE_TREE=$G/tools/tree \
		guest/image.sh $(<D) $G/busybox/busybox $G/agent $G/mkcpio \
		$(TOOLS_BIN) >$@.part && mv $@.part $@

guest-clean: ## forget the guests and what was downloaded for them
	rm -rf $G

.PHONY: guest guest-tools guest-clean
.PRECIOUS: $G/%/vmlinuz $G/%/initrd
