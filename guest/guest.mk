# The guests: kernels out of Debian packages, initramfs made here. Included by
# the Makefile; everything lies under build/guest, whatever the mode.
G := build/guest
GUEST_CC ?= $(CC)
GUEST_CFLAGS := -std=gnu11 -O2 -static -s $(WARN) -I. -D_GNU_SOURCE
AGENT_SRC := $(wildcard guest/agent/*.c) base/agent_proto.c
AGENT_HDR := $(wildcard guest/agent/*.h) base/agent_proto.h base/bits.h

guest: $G/guests.tsv ## make the guests out of Debian packages

$G/guests.tsv: guest/guests.tsv $G/debian/initrd $G/cloud/initrd
	@cp $< $@

# The default guest first. A kernel is fetched once; `make guest-clean` forgets.
$G/debian/root/release: guest/fetch.sh
	@mkdir -p $(@D)/..
	@guest/fetch.sh kernel linux-image-amd64 $(@D)

$G/cloud/root/release: guest/fetch.sh
	@mkdir -p $(@D)/..
	@guest/fetch.sh kernel linux-image-cloud-amd64 $(@D)

$G/busybox/busybox: guest/fetch.sh
	@mkdir -p $G
	@guest/fetch.sh busybox $(@D)

$G/%/vmlinuz: $G/%/root/release
	@cp $G/$*/root/boot/vmlinuz-$$(cat $<) $@

$G/%/initrd: $G/%/root/release $G/%/vmlinuz $G/busybox/busybox $G/agent \
    $G/mkcpio guest/image.sh $(wildcard guest/etc/*)
	guest/image.sh $(<D) $G/busybox/busybox $G/agent $G/mkcpio >$@.part
	@mv $@.part $@

$G/agent: $(AGENT_SRC) $(AGENT_HDR)
	@mkdir -p $(@D)
	$(GUEST_CC) $(GUEST_CFLAGS) -o $@ $(AGENT_SRC)

$G/mkcpio: guest/mkcpio.c base/bits.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 $(WARN) -I. -D_GNU_SOURCE -o $@ $<

guest-clean: ## forget the guests and what was downloaded for them
	rm -rf $G

.PHONY: guest guest-clean
.PRECIOUS: $G/%/vmlinuz $G/%/initrd
