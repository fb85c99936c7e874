# The payload that the driver tests run: guest/payload/*.[cS] made one flat
# image, and that an object whose symbols tests/test_driver.c uses. It is the
# same code in every MODE: no sanitizer runs without an operating system.
PAYLOAD := $B/guest/payload
PAYLOAD_OBJ := $(patsubst %,$B/%.o,$(basename $(wildcard guest/payload/*.[cS])))
PAYLOAD_CFLAGS := -std=gnu11 -O2 $(WARN) -ffreestanding -fno-pic -mno-red-zone \
	-mgeneral-regs-only -fno-stack-protector -fcf-protection=none -static \
	-fno-asynchronous-unwind-tables -fno-strict-aliasing -mcmodel=small \
	-I. -MMD -MP

$(PAYLOAD)/%.o: guest/payload/%.c | $(DEPS)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(PAYLOAD_CFLAGS) -c -o $@ $<
$(PAYLOAD)/%.o: guest/payload/%.S | $(DEPS)
	@mkdir -p $(@D)
	$(call say,AS)$(CC) $(PAYLOAD_CFLAGS) -c -o $@ $<

$(PAYLOAD)/payload.bin: $(PAYLOAD_OBJ) guest/payload/payload.ld
	$(call say,LD)ld --oformat binary -T guest/payload/payload.ld -o $@ \
		$(PAYLOAD_OBJ)
$(PAYLOAD)/payload_image.o: $(PAYLOAD)/payload.bin
	$(call say,LD)cd $(@D) && ld -r -b binary -z noexecstack \
		-o payload_image.o payload.bin

$B/tests/test_driver: $(PAYLOAD)/payload_image.o

-include $(PAYLOAD_OBJ:.o=.d)
