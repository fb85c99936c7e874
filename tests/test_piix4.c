/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vmm_rig.h"
#include "vmm/i440fx.h"
#include "vmm/piix4.h"

#define ISA PCI_DEVFN(PIIX4_DEVICE, 0)
#define PM  PCI_DEVFN(PIIX4_DEVICE, 3)

static struct vmm_rig rig;
static struct pci bus;
static struct pio pio;
static struct acpi_pm acpi;
static struct i440fx bridge;
static struct piix4 piix;
static struct rig_line sci;
static bool irq[16];
static unsigned irq_sets, resets;

static void
set_irq(void *ctx, unsigned n, bool level)
{
	(void)ctx;
	irq[n] = level;
	irq_sets++;
}

static void
reset(void *ctx)
{
	(void)ctx;
	resets++;
}

static void
put(u8 devfn, u8 reg, unsigned size_bytes, u32 v)
{
	piix4_cf8_write(&piix, 0xcf8, 4,
			0x80000000 | (u32)devfn << 8 | (reg & 0xfc));
	pci_data_write(&bus, (u16)(0xcfc + (reg & 3)), size_bytes, v);
}

static u32
get(u8 devfn, u8 reg, unsigned size_bytes)
{
	piix4_cf8_write(&piix, 0xcf8, 4,
			0x80000000 | (u32)devfn << 8 | (reg & 0xfc));
	return pci_data_read(&bus, (u16)(0xcfc + (reg & 3)), size_bytes);
}

static int
setup(void **state)
{
	(void)state;
	rig_init(&rig);
	pci_init(&bus);
	pio_init(&pio);
	acpi_pm_init(&acpi, &rig.timers, rig_wire(&sci), reset, NULL);
	i440fx_init(&bridge, &bus);
	memset(&piix, 0, sizeof(piix));
	piix.bus = &bus;
	piix.pio = &pio;
	piix.acpi = &acpi;
	piix.irq = set_irq;
	piix.reset = reset;
	piix4_init(&piix);
	memset(irq, 0, sizeof(irq));
	irq_sets = resets = 0;
	return 0;
}

static void
test_piix4_and_bridge_have_their_identities(void **state)
{
	(void)state;
	assert_int_equal(get(PCI_DEVFN(0, 0), 0, 4), 0x12378086);
	assert_int_equal(get(PCI_DEVFN(0, 0), 0x0a, 2), 0x0600);
	assert_int_equal(get(ISA, 0, 4), 0x71108086);
	assert_int_equal(get(ISA, 0x0a, 2), 0x0601);
	assert_int_equal(get(ISA, 0x0e, 1), 0x80); /* has more functions */
	assert_int_equal(get(PM, 0, 4), 0x71138086);
	assert_int_equal(get(PM, 0x0a, 2), 0x0680);
	assert_int_equal(get(PM, 0x3c, 2), 0x0109);
}

static void
test_piix4_routes_pirqs_as_firmware_would(void **state)
{
	(void)state;
	piix4_pirq(&piix, 0, true);
	assert_true(irq[10]);
	piix4_pirq(&piix, 1, true);
	assert_true(irq[11]);
	piix4_pirq(&piix, 2, true); /* shares 10 */
	piix4_pirq(&piix, 0, false);
	assert_true(irq[10]);
	piix4_pirq(&piix, 2, false);
	assert_false(irq[10]);
	assert_true(irq[11]);
}

static void
test_piix4_rerouting_moves_an_asserted_interrupt(void **state)
{
	(void)state;
	piix4_pirq(&piix, 0, true);
	put(ISA, 0x60, 1, 5);
	assert_false(irq[10]);
	assert_true(irq[5]);
	put(ISA, 0x60, 1, 0x80); /* disabled */
	assert_false(irq[5]);
	put(ISA, 0x60, 1, 0x02); /* an IRQ that cannot be: no routing */
	assert_false(irq[2]);
	put(ISA, 0x60, 4, 0x0b0b0b0b);
	assert_true(irq[11]);
}

/* Interrupts that no PIRQ has to do with belong to ISA devices. */
static void
test_piix4_rerouting_touches_no_other_interrupt(void **state)
{
	(void)state;
	irq[4] = true;
	put(ISA, 0x60, 1, 5);
	put(ISA, 0x61, 1, 7);
	assert_true(irq[4]);
	irq_sets = 0;
	put(ISA, 0x4e, 2, 0x1234);
	put(ISA, 0x60, 1, 5);
	assert_int_equal(irq_sets, 0);
}

static void
test_piix4_places_the_acpi_registers(void **state)
{
	(void)state;
	assert_int_equal(pio_read(&pio, 0x604, 2), 0x0001);
	assert_int_equal(get(PM, 0x40, 4), 0x601);
	put(PM, 0x40, 4, 0xb000);
	assert_int_equal(get(PM, 0x40, 4), 0xb001);
	assert_int_equal(pio_read(&pio, 0x604, 2), 0xffff);
	assert_int_equal(pio_read(&pio, 0xb004, 2), 0x0001);
	put(PM, 0x80, 1, 0);
	assert_int_equal(pio_read(&pio, 0xb004, 2), 0xffff);
	put(PM, 0x80, 1, 1);
	assert_int_equal(pio_read(&pio, 0xb004, 2), 0x0001);
}

static void
test_piix4_acpi_registers_on_taken_ports_go_nowhere(void **state)
{
	struct pio_region r = {.port = 0x3f8,
			       .count = 8,
			       .width_bytes = 4,
			       .read = acpi_pm_read,
			       .write = acpi_pm_write,
			       .dev = &acpi};

	(void)state;
	assert_int_equal(pio_add(&pio, &r), 0);
	put(PM, 0x40, 4, 0x3c0);
	assert_int_equal(pio_read(&pio, 0x3c4, 2), 0xffff);
	put(PM, 0x40, 4, 0x600);
	assert_int_equal(pio_read(&pio, 0x604, 2), 0x0001);
}

static void
test_piix4_cf9_resets_on_the_rising_edge(void **state)
{
	(void)state;
	piix4_cf8_write(&piix, 0xcf9, 1, 0x02);
	assert_int_equal(resets, 0);
	piix4_cf8_write(&piix, 0xcf9, 1, 0x06);
	assert_int_equal(resets, 1);
	assert_int_equal(piix4_cf8_read(&piix, 0xcf9, 1), 0x06);
	piix4_cf8_write(&piix, 0xcf9, 1, 0x06);
	assert_int_equal(resets, 1);
	piix4_cf8_write(&piix, 0xcf9, 1, 0x00);
	piix4_cf8_write(&piix, 0xcf9, 1, 0x04);
	assert_int_equal(resets, 2);
	/* not through the address register */
	piix4_reset(&piix);
	piix4_cf8_write(&piix, 0xcf8, 4, 0x80000600);
	assert_int_equal(resets, 2);
	assert_int_equal(piix4_cf8_read(&piix, 0xcf8, 4), 0x80000600);
}

static void
test_piix4_reset_brings_back_what_firmware_set(void **state)
{
	(void)state;
	put(ISA, 0x60, 4, 0x80808080);
	put(PM, 0x40, 4, 0x1000);
	piix4_reset(&piix);
	assert_int_equal(get(ISA, 0x60, 4), 0x0b0a0b0a);
	assert_int_equal(pio_read(&pio, 0x604, 2), 0x0001);
	assert_int_equal(pio_read(&pio, 0x1004, 2), 0xffff);
}

static void
test_piix4_bridge_memory_attributes_read_back(void **state)
{
	(void)state;
	assert_int_equal(get(0, 0x59, 1), 0x33);
	put(0, 0x59, 1, 0x11);
	assert_int_equal(get(0, 0x59, 1), 0x11);
	i440fx_reset(&bridge);
	assert_int_equal(get(0, 0x59, 1), 0x33);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_piix4_and_bridge_have_their_identities),
	    CASE(test_piix4_routes_pirqs_as_firmware_would),
	    CASE(test_piix4_rerouting_moves_an_asserted_interrupt),
	    CASE(test_piix4_rerouting_touches_no_other_interrupt),
	    CASE(test_piix4_places_the_acpi_registers),
	    CASE(test_piix4_acpi_registers_on_taken_ports_go_nowhere),
	    CASE(test_piix4_cf9_resets_on_the_rising_edge),
	    CASE(test_piix4_reset_brings_back_what_firmware_set),
	    CASE(test_piix4_bridge_memory_attributes_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
