/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/boot_rig.h"
#include "tests/vmm_rig.h"
#include "vmm/acpi_tables.h"

#define GPA 0xf0000

static u8 block[ACPI_TABLES_BYTES];

static int
setup(void **state)
{
	struct acpi_config cfg = {.ram_low_end = 512 << 20,
				  .has_apic = true,
				  .irq0_gsi = 2};

	(void)state;
	acpi_tables_build(block, GPA, &cfg);
	return 0;
}

static u8
sum(const u8 *p, size_t count)
{
	u8 s = 0;

	while (count-- != 0)
		s += *p++;
	return s;
}

/* The table at gpa, after the checks that an operating system makes. */
static const u8 *
table(u64 gpa, const char *signature)
{
	const u8 *t;

	assert_in_range(gpa, GPA, GPA + ACPI_TABLES_BYTES - 36);
	t = block + (gpa - GPA);
	assert_memory_equal(t, signature, 4);
	assert_in_range(get_le32(t + 4), 36, GPA + ACPI_TABLES_BYTES - gpa);
	assert_int_equal(sum(t, get_le32(t + 4)), 0);
	return t;
}

/* Finds a table through the XSDT, NULL if it is not listed. */
static const u8 *
listed(const char *signature)
{
	const u8 *xsdt = table(get_le64(block + 24), "XSDT");
	u32 n = (get_le32(xsdt + 4) - 36) / 8;

	for (u32 i = 0; i < n; i++) {
		u64 gpa = get_le64(xsdt + 36 + 8 * i);

		if (memcmp(block + (gpa - GPA), signature, 4) == 0)
			return table(gpa, signature);
	}
	return NULL;
}

static void
test_acpi_tables_chain_holds_together(void **state)
{
	const u8 *rsdt, *xsdt, *fadt, *facs;

	(void)state;
	assert_memory_equal(block, "RSD PTR ", 8);
	assert_int_equal(sum(block, 20), 0);
	assert_int_equal(sum(block, 36), 0);
	rsdt = table(get_le32(block + 16), "RSDT");
	xsdt = table(get_le64(block + 24), "XSDT");
	assert_int_equal((get_le32(rsdt + 4) - 36) / 4,
			 (get_le32(xsdt + 4) - 36) / 8);
	for (u32 i = 0; i < (get_le32(rsdt + 4) - 36) / 4; i++)
		assert_int_equal(get_le32(rsdt + 36 + 4 * i),
				 get_le64(xsdt + 36 + 8 * i));
	fadt = listed("FACP");
	assert_non_null(fadt);
	table(get_le32(fadt + 40), "DSDT");
	assert_int_equal(get_le64(fadt + 140), get_le32(fadt + 40));
	assert_int_equal(get_le32(fadt + 36) % 64, 0);
	facs = block + (get_le32(fadt + 36) - GPA);
	assert_memory_equal(facs, "FACS", 4);
	assert_int_equal(get_le32(facs + 4), 64);
}

/* What the tables say is where the chips are. */
static void
test_acpi_tables_name_the_boards_ports(void **state)
{
	const u8 *fadt = listed("FACP");

	(void)state;
	assert_int_equal(get_le16(fadt + 46), 9);
	assert_int_equal(get_le32(fadt + 48), 0); /* no SMI */
	assert_int_equal(get_le32(fadt + 56), 0x600);
	assert_int_equal(get_le32(fadt + 64), 0x604);
	assert_int_equal(get_le32(fadt + 76), 0x608);
	assert_int_equal(get_le64(fadt + 120), 0xcf9);
	assert_int_equal(fadt[128], 0x06);
	assert_int_equal(fadt[108], 0x32);
}

static void
test_acpi_tables_madt_lists_the_interrupt_controllers(void **state)
{
	const u8 *madt = listed("APIC"), *p, *end;
	unsigned seen = 0;

	(void)state;
	assert_non_null(madt);
	assert_int_equal(get_le32(madt + 36), 0xfee00000);
	end = madt + get_le32(madt + 4);
	for (p = madt + 44; p < end; p += p[1]) {
		assert_in_range(p[1], 2, end - p);
		seen |= 1U << p[0];
		if (p[0] == 1)
			assert_int_equal(get_le32(p + 4), 0xfec00000);
		if (p[0] == 2 && p[3] == 0)
			assert_int_equal(get_le32(p + 4), 2);
		if (p[0] == 2 && p[3] == 9)
			assert_int_equal(get_le16(p + 8), 0xd);
	}
	assert_ptr_equal(p, end);
	assert_int_equal(seen, 0x17);
}

static void
test_acpi_tables_machine_without_apic_has_no_madt(void **state)
{
	struct acpi_config cfg = {.ram_low_end = 512 << 20};

	(void)state;
	acpi_tables_build(block, GPA, &cfg);
	assert_null(listed("APIC"));
	assert_non_null(listed("FACP"));
}

/* ACPICA's own disassembler reads every table without a complaint, and its
 * compiler accepts what came out. */
static void
test_acpi_tables_satisfy_iasl(void **state)
{
	static const char *const names[] = {"FACP", "APIC"};
	char cmd[1024];
	const u8 *dsdt;

	(void)state;
	if (system("command -v iasl >/dev/null") != 0) {
		print_message("skip: iasl (acpica-tools) is not installed\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const u8 *t = listed(names[i]);

		snprintf(cmd, sizeof(cmd),
			 "cd $(dirname '%s') && iasl -d t.aml >t.log 2>&1 && "
			 "! grep -iE 'error|warning|invalid|unknown' t.dsl",
			 rig_file("t.aml", t, get_le32(t + 4)));
		assert_int_equal(system(cmd), 0);
	}
	dsdt = table(get_le32(listed("FACP") + 40), "DSDT");
	snprintf(cmd, sizeof(cmd),
		 "cd $(dirname '%s') && iasl -d t.aml >t.log 2>&1 && "
		 "iasl -p t2 t.dsl >t.log 2>&1 && "
		 "grep -q ' 0 Errors' t.log && "
		 "grep -q 'Device (COM2)' t.dsl; rc=$?; "
		 "rm -f t.aml t.dsl t.log t2.*; exit $rc",
		 rig_file("t.aml", dsdt, get_le32(dsdt + 4)));
	assert_int_equal(system(cmd), 0);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_acpi_tables_chain_holds_together),
	    CASE(test_acpi_tables_name_the_boards_ports),
	    CASE(test_acpi_tables_madt_lists_the_interrupt_controllers),
	    CASE(test_acpi_tables_machine_without_apic_has_no_madt),
	    CASE(test_acpi_tables_satisfy_iasl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
