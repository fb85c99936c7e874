# Adds: the guest programs that bench_soft embeds, `make bench-cpu` and
# `make bench-disk`.
BLOB_CFLAGS := -std=gnu11 -O2 $(WARN) -ffreestanding -fno-pic -fno-pie \
	-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables

$B/bench/guest/blob.o: bench/guest/blob.c bench/blob.h | $(DEPS)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(BLOB_CFLAGS) -I. -c -o $@ $<
$B/bench/guest/blob.elf: $B/bench/guest/blob.o bench/guest/blob.ld
	$(call say,LINK)ld -static -nostdlib -T bench/guest/blob.ld \
		--no-warn-rwx-segments -o $@ $<
$B/bench/guest/blob.bin: $B/bench/guest/blob.elf
	$(call say,COPY)objcopy -O binary $< $@
$B/bench/guest/blobbin.o: bench/guest/blobbin.S $B/bench/guest/blob.bin
	$(call say,AS)$(CC) -I$B/bench/guest -c -o $@ $<
$B/bench/bench_soft: $B/bench/guest/blobbin.o

# The guest of bench_cpu: the Debian guest's initramfs, and behind it an
# archive with the programs and the script that runs them.
BENCH_GUEST := $(patsubst guest/bench/%.c,$G/bench/%,$(wildcard guest/bench/*.c))

$G/bench/%: guest/bench/%.c base/bits.h | $(DEPS)
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -o $@ $< -lm
$G/bench/initrd: $G/debian/initrd $G/mkcpio bench/guest/init.sh $(BENCH_GUEST)
	@{ echo "dir /bench 0755"; echo "dir /bench/programs 0755"; \
	echo "file /bench/init 0755 bench/guest/init.sh"; \
	for p in $(BENCH_GUEST); do \
	echo "file /bench/programs/$${p##*/} 0755 $$p"; done; } \
	| $G/mkcpio | cat $G/debian/initrd - >$@.part
	@mv $@.part $@

ROUNDS ?= 3
bench-cpu: build/spindle guest $B/bench/bench_cpu $G/bench/initrd ## Spindle beside QEMU's TCG, row by row (ROUNDS=3)
	@tools/deps bench
	@$B/bench/bench_cpu --rounds $(ROUNDS) --spindle $B/spindle \
		--kernel $G/debian/vmlinuz --initrd $G/bench/initrd $(BENCH_FLAGS)
bench-disk: build/spindle guest-tools $B/bench/bench_disk ## the IDE disk beside QEMU's, row by row (ROUNDS=3)
	@tools/deps bench
	@for d in soft $$($B/spindle run -v -- true 2>&1 | \
		sed -n 's/^spindle: driver: \(kvm\).*/\1/p'); do $B/bench/bench_disk --rounds $(ROUNDS) \
		--spindle $B/spindle --kernel $G/cloud/vmlinuz --driver $$d \
		--initrd $G/tools/initrd --dir build $(BENCH_FLAGS) || exit; done
bench-soft: $B/bench/bench_soft ## the software CPU alone, no kernel, in MIPS
	@$<
bench-iopool: $B/bench/bench_iopool ## what the I/O pool adds to a host's write and flush
	@$< $B/bench_iopool.img
bench-wcache: $B/bench/bench_wcache ## the write cache alone, over memory
	@$<

bench: bench-disk bench-iopool bench-wcache
.PHONY: bench-cpu bench-disk bench-iopool bench-wcache bench-soft
