# Adds: the guest programs that bench_soft embeds, and `make bench-cpu`.
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
