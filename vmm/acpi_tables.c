/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/acpi_tables.h"

#include "vmm/acpi_pm.h"
#include "vmm/aml.h"
#include "vmm/ioapic.h"
#include "vmm/piix4.h"

/* Places in the block; the DSDT takes the rest. */
enum {
	RSDP_AT = 0x000,
	RSDT_AT = 0x040,
	XSDT_AT = 0x080,
	FADT_AT = 0x100,
	FACS_AT = 0x240,
	MADT_AT = 0x280,
	DSDT_AT = 0x400
};

#define HEADER_BYTES 36
#define RSDP_BYTES   36
#define FADT_BYTES   244
#define FACS_BYTES   64
#define FADT_DSDT    140 /* X_DSDT's place, for the pointers below */

#define PCI_WINDOW_END 0xfebfffffU /* the I/O APIC's megabyte begins */
#define PCI_SLOTS      32

struct fadt_field {
	u16 off;
	u8 size_bytes;
	u64 value;
};

/* ACPI 5.2.9, table 5-33. What is not listed is zero. */
#define FADT_FLAGS \
	(BIT(0) /* WBINVD works */ | BIT(2) /* C1 works */ | \
	 BIT(5) /* no sleep button */ | BIT(8) /* 32-bit timer */ | \
	 BIT(10) /* reset register */)
#define FADT_BOOT \
	(BIT(0) /* ISA devices */ | BIT(2) /* no VGA */ | BIT(3) /* no MSI */)
#define GAS_IO(bits) (1ULL | (u64)(bits) << 8)

static const struct fadt_field fadt_fields[] = {
    {45, 1, 1}, /* preferred profile: desktop */
    {46, 2, ACPI_SCI_IRQ},
    {56, 4, PIIX4_PM_BASE + ACPI_PM_EVT},
    {64, 4, PIIX4_PM_BASE + ACPI_PM_CNT},
    {76, 4, PIIX4_PM_BASE + ACPI_PM_TMR},
    {88, 1, 4},	    /* PM1_EVT_LEN */
    {89, 1, 2},	    /* PM1_CNT_LEN */
    {91, 1, 4},	    /* PM_TMR_LEN */
    {96, 2, 0xfff}, /* no C2 */
    {98, 2, 0xfff}, /* no C3 */
    {108, 1, 0x32}, /* CMOS byte of the century */
    {109, 2, FADT_BOOT},
    {112, 4, FADT_FLAGS},
    {116, 2, GAS_IO(8)}, /* RESET_REG */
    {120, 8, 0xcf9},
    {128, 1, 6},	  /* RESET_VALUE */
    {148, 2, GAS_IO(32)}, /* X_PM1a_EVT_BLK */
    {152, 8, PIIX4_PM_BASE + ACPI_PM_EVT},
    {172, 2, GAS_IO(16)}, /* X_PM1a_CNT_BLK */
    {176, 8, PIIX4_PM_BASE + ACPI_PM_CNT},
    {208, 2, GAS_IO(32)}, /* X_PM_TMR_BLK */
    {212, 8, PIIX4_PM_BASE + ACPI_PM_TMR},
};

static u8
checksum(const u8 *p, size_t count)
{
	u8 sum = 0;

	while (count-- != 0)
		sum += *p++;
	return (u8)-sum;
}

/* The header that most tables begin with, ACPI 5.2.6. Last, for the sum. */
static void
seal(u8 *t, const char *signature, u32 size_bytes, u8 revision)
{
	memcpy(t, signature, 4);
	put_le32(t + 4, size_bytes);
	t[8] = revision;
	t[9] = 0;
	memcpy(t + 10, "SPNDL ", 6);
	memcpy(t + 16, "SPINDLE ", 8);
	put_le32(t + 24, 1);
	memcpy(t + 28, "SPDL", 4);
	put_le32(t + 32, 1);
	t[9] = checksum(t, size_bytes);
}

static void
build_rsdp(u8 *block, u32 gpa)
{
	u8 *t = block + RSDP_AT;

	memcpy(t, "RSD PTR ", 8);
	memcpy(t + 9, "SPNDL ", 6);
	t[15] = 2;
	put_le32(t + 16, gpa + RSDT_AT);
	put_le32(t + 20, RSDP_BYTES);
	put_le64(t + 24, gpa + XSDT_AT);
	t[8] = checksum(t, 20);
	t[32] = checksum(t, RSDP_BYTES);
}

/* RSDT and XSDT: pointers to the other tables, of 4 and of 8 bytes. */
static void
build_root(u8 *block, u32 gpa, bool has_madt)
{
	static const u16 at[] = {FADT_AT, MADT_AT};
	u32 count = has_madt ? 2 : 1;

	for (u32 i = 0; i < count; i++) {
		put_le32(block + RSDT_AT + HEADER_BYTES + 4 * i, gpa + at[i]);
		put_le64(block + XSDT_AT + HEADER_BYTES + 8 * i, gpa + at[i]);
	}
	seal(block + RSDT_AT, "RSDT", HEADER_BYTES + 4 * count, 1);
	seal(block + XSDT_AT, "XSDT", HEADER_BYTES + 8 * count, 1);
}

static void
build_fadt(u8 *block, u32 gpa)
{
	u8 *t = block + FADT_AT, *facs = block + FACS_AT;

	for (size_t i = 0; i < ARRAY_SIZE(fadt_fields); i++)
		memcpy(t + fadt_fields[i].off, &fadt_fields[i].value,
		       fadt_fields[i].size_bytes);
	put_le32(t + 36, gpa + FACS_AT);
	put_le32(t + 40, gpa + DSDT_AT);
	put_le64(t + FADT_DSDT, gpa + DSDT_AT);
	seal(t, "FACP", FADT_BYTES, 3);

	memcpy(facs, "FACS", 4);
	put_le32(facs + 4, FACS_BYTES);
	facs[32] = 1; /* version */
}

/* --- MADT, ACPI 5.2.12 -------------------------------------------------- */

#define MADT_PCAT_COMPAT 1 /* there is an 8259 pair, too */
#define MPS_BUS_DEFAULT	 0x0
#define MPS_HIGH_LEVEL	 0xd

static u8 *
madt_override(u8 *p, u8 irq, u32 gsi, u16 flags)
{
	p[0] = 2;
	p[1] = 10;
	p[2] = 0; /* ISA */
	p[3] = irq;
	put_le32(p + 4, gsi);
	put_le16(p + 8, flags);
	return p + p[1];
}

static void
build_madt(u8 *block, const struct acpi_config *cfg)
{
	u8 *t = block + MADT_AT, *p = t + HEADER_BYTES;

	put_le32(p, (u32)LAPIC_GPA);
	put_le32(p + 4, MADT_PCAT_COMPAT);
	p += 8;
	p[0] = 0; /* processor: ACPI id 0, APIC id 0, enabled */
	p[1] = 8;
	p[4] = 1;
	p += p[1];
	p[0] = 1; /* I/O APIC, id 0, first GSI 0 */
	p[1] = 12;
	put_le32(p + 4, (u32)IOAPIC_GPA);
	p += p[1];
	if (cfg->irq0_gsi != 0)
		p = madt_override(p, 0, cfg->irq0_gsi, MPS_BUS_DEFAULT);
	p = madt_override(p, ACPI_SCI_IRQ, ACPI_SCI_IRQ, MPS_HIGH_LEVEL);
	p[0] = 4; /* NMI at LINT1 of all processors */
	p[1] = 6;
	p[2] = 0xff;
	p[5] = 1;
	p += p[1];
	assert(p <= block + DSDT_AT);
	seal(t, "APIC", (u32)(p - t), 3);
}

/* --- DSDT --------------------------------------------------------------- */

static void
isa_device(struct aml *a, const char *name, const char *hid, u64 uid,
	   const struct aml_resources *r)
{
	aml_device(a, name);
	aml_name(a, "_HID");
	aml_eisa_id(a, hid);
	aml_name_integer(a, "_UID", uid);
	aml_crs(a, r);
	aml_close(a);
}

static void
uart(struct aml *a, const char *name, u64 uid, u16 port, unsigned irq)
{
	struct aml_resources r = {.used = 0};

	aml_res_io(&r, port, 8);
	aml_res_irq(&r, irq);
	isa_device(a, name, "PNP0501", uid, &r);
}

static void
isa_bus(struct aml *a)
{
	struct aml_resources rtc = {.used = 0}, board = {.used = 0};

	aml_device(a, "ISA_");
	aml_name_integer(a, "_ADR", PIIX4_DEVICE << 16);
	uart(a, "COM1", 1, 0x3f8, 4);
	uart(a, "COM2", 2, 0x2f8, 3);
	aml_res_io(&rtc, 0x70, 2);
	aml_res_irq(&rtc, 8);
	isa_device(a, "RTC_", "PNP0B00", 0, &rtc);
	/* ports of the board that no driver claims */
	aml_res_io(&board, 0x92, 1);
	aml_res_io(&board, 0x4d0, 2);
	aml_res_io(&board, PIIX4_PM_BASE, ACPI_PM_PORTS);
	isa_device(a, "MBRD", "PNP0C02", 1, &board);
	aml_close(a);
}

/* _PRT: device n's INTx goes to PIRQ (n + x - 1) mod 4, as slots are wired,
 * and PIRQs are hard-wired to GSIs. */
static void
pci_routes(struct aml *a)
{
	static const u8 gsi[4] = {PIIX4_IRQ_AC, PIIX4_IRQ_BD, PIIX4_IRQ_AC,
				  PIIX4_IRQ_BD};

	aml_name(a, "_PRT");
	aml_package(a, (PCI_SLOTS - 1) * 4);
	for (u32 slot = 1; slot < PCI_SLOTS; slot++)
		for (u32 pin = 0; pin < 4; pin++) {
			aml_package(a, 4);
			aml_integer(a, slot << 16 | 0xffff);
			aml_integer(a, pin);
			aml_integer(a, 0);
			/* the southbridge's own INTA# is the SCI */
			if (slot == PIIX4_DEVICE && pin == 0)
				aml_integer(a, ACPI_SCI_IRQ);
			else
				aml_integer(a, gsi[(slot + pin - 1) & 3]);
			aml_close(a);
		}
	aml_close(a);
}

static void
pci_root(struct aml *a, const struct acpi_config *cfg)
{
	struct aml_resources r = {.used = 0};

	aml_device(a, "PCI0");
	aml_name(a, "_HID");
	aml_eisa_id(a, "PNP0A03");
	aml_name_integer(a, "_ADR", 0);
	aml_name_integer(a, "_UID", 0);
	aml_res_word(&r, AML_BUS, 0, 0xff);
	aml_res_io(&r, 0xcf8, 8);
	aml_res_word(&r, AML_IO, 0, 0xcf7);
	aml_res_word(&r, AML_IO, 0xd00, 0xffff);
	aml_res_dword(&r, 0xa0000, 0xbffff);
	aml_res_dword(&r, (u32)cfg->ram_low_end, PCI_WINDOW_END);
	aml_crs(a, &r);
	pci_routes(a);
	isa_bus(a);
	aml_close(a);
}

static void
build_dsdt(u8 *block, const struct acpi_config *cfg)
{
	u8 *t = block + DSDT_AT;
	struct aml a;

	aml_init(&a, t + HEADER_BYTES,
		 ACPI_TABLES_BYTES - DSDT_AT - HEADER_BYTES);
	aml_name(&a, "\\_S5_");
	aml_package(&a, 4);
	aml_integer(&a, ACPI_S5_TYPE); /* for PM1a */
	aml_integer(&a, ACPI_S5_TYPE); /* for PM1b, which is absent */
	aml_integer(&a, 0);
	aml_integer(&a, 0);
	aml_close(&a);
	aml_scope(&a, "\\_SB_");
	aml_device(&a, "CPU0");
	aml_name(&a, "_HID");
	aml_string(&a, "ACPI0007");
	aml_name_integer(&a, "_UID", 0);
	aml_close(&a);
	pci_root(&a, cfg);
	aml_close(&a);
	assert(a.depth == 0);
	/* revision 2: integers have 64 bits */
	seal(t, "DSDT", (u32)(HEADER_BYTES + a.used), 2);
}

void
acpi_tables_build(u8 *block, u32 gpa, const struct acpi_config *cfg)
{
	memset(block, 0, ACPI_TABLES_BYTES);
	build_dsdt(block, cfg);
	build_fadt(block, gpa);
	if (cfg->has_apic)
		build_madt(block, cfg);
	build_root(block, gpa, cfg->has_apic);
	build_rsdp(block, gpa);
}
