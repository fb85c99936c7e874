/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vmm_rig.h"
#include "vmm/pci.h"

static struct pci bus;
static struct pci_function fn;
static unsigned hook_calls, hook_reg, hook_bytes;

static void
written(void *ctx, u8 reg, unsigned size_bytes)
{
	assert_ptr_equal(ctx, &fn);
	hook_calls++;
	hook_reg = reg;
	hook_bytes = size_bytes;
}

static void
select_reg(unsigned bus_no, u8 devfn, u8 reg)
{
	pci_address_write(&bus, 0xcf8, 4,
			  0x80000000 | bus_no << 16 | (u32)devfn << 8 |
			      (reg & 0xfc));
}

static u32
get(u8 devfn, u8 reg, unsigned size_bytes)
{
	select_reg(0, devfn, reg);
	return pci_data_read(&bus, (u16)(0xcfc + (reg & 3)), size_bytes);
}

static void
put(u8 devfn, u8 reg, unsigned size_bytes, u32 v)
{
	select_reg(0, devfn, reg);
	pci_data_write(&bus, (u16)(0xcfc + (reg & 3)), size_bytes, v);
}

static int
setup(void **state)
{
	(void)state;
	pci_init(&bus);
	pci_function_init(&fn, 0x8086, 0x1234, 0x56, 0x010180);
	fn.written = written;
	fn.ctx = &fn;
	pci_add(&bus, PCI_DEVFN(3, 1), &fn);
	hook_calls = 0;
	return 0;
}

static void
test_pci_identity_reads_in_every_width(void **state)
{
	const u8 df = PCI_DEVFN(3, 1);

	(void)state;
	assert_int_equal(get(df, 0, 4), 0x12348086);
	assert_int_equal(get(df, 2, 2), 0x1234);
	assert_int_equal(get(df, 1, 1), 0x80);
	assert_int_equal(get(df, 8, 4), 0x01018056);
	assert_int_equal(get(df, 0x0b, 1), 0x01);
}

static void
test_pci_absent_functions_read_ones(void **state)
{
	(void)state;
	assert_int_equal(get(PCI_DEVFN(3, 0), 0, 4), 0xffffffff);
	select_reg(1, PCI_DEVFN(3, 1), 0);
	assert_int_equal(pci_data_read(&bus, 0xcfc, 4), 0xffffffff);
	pci_data_write(&bus, 0xcfc, 4, 0);
	/* address register not enabled */
	pci_address_write(&bus, 0xcf8, 4, PCI_DEVFN(3, 1) << 8);
	assert_int_equal(pci_data_read(&bus, 0xcfc, 4), 0xffffffff);
}

static void
test_pci_address_register_takes_only_whole_words(void **state)
{
	(void)state;
	pci_address_write(&bus, 0xcf8, 4, 0xffffffff);
	assert_int_equal(pci_address_read(&bus, 0xcf8, 4), 0x80fffffc);
	pci_address_write(&bus, 0xcf8, 1, 0);
	pci_address_write(&bus, 0xcfa, 2, 0);
	assert_int_equal(pci_address_read(&bus, 0xcf8, 4), 0x80fffffc);
	assert_int_equal(pci_address_read(&bus, 0xcf8, 2), 0xffffffff);
}

static void
test_pci_writes_reach_only_writable_bits(void **state)
{
	const u8 df = PCI_DEVFN(3, 1);

	(void)state;
	put(df, 0, 4, 0);
	assert_int_equal(get(df, 0, 4), 0x12348086);
	pci_writable(&fn, 0x40, 0x43, 0x0f);
	put(df, 0x40, 4, 0xffffffff);
	assert_int_equal(get(df, 0x40, 4), 0x0f0f0f0f);
	put(df, 0x41, 2, 0);
	assert_int_equal(get(df, 0x40, 4), 0x0f00000f);
	put(df, 0x3c, 1, 11);
	assert_int_equal(get(df, 0x3c, 1), 11);
}

static void
test_pci_write_hook_learns_what_was_written(void **state)
{
	(void)state;
	put(PCI_DEVFN(3, 1), 0x42, 2, 0);
	assert_int_equal(hook_calls, 1);
	assert_int_equal(hook_reg, 0x42);
	assert_int_equal(hook_bytes, 2);
}

static void
test_pci_access_beyond_the_end_reads_ones(void **state)
{
	(void)state;
	select_reg(0, PCI_DEVFN(3, 1), 0xfc);
	assert_int_equal(pci_data_read(&bus, 0xcff, 2), 0xffffffff);
	pci_data_write(&bus, 0xcff, 2, 0);
	assert_int_equal(hook_calls, 0);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_pci_identity_reads_in_every_width),
	    CASE(test_pci_absent_functions_read_ones),
	    CASE(test_pci_address_register_takes_only_whole_words),
	    CASE(test_pci_writes_reach_only_writable_bits),
	    CASE(test_pci_write_hook_learns_what_was_written),
	    CASE(test_pci_access_beyond_the_end_reads_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
