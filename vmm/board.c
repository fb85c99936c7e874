/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "vmm/acpi_tables.h"
#include "vmm/devtest.h"
#include "vmm/machine_int.h"

/* --- the port map ------------------------------------------------------ */

static u32 debug_exit_read(void *dev, u16 port, unsigned size_bytes);
static void debug_exit_write(void *dev, u16 port, unsigned size_bytes, u32 v);

#define DEV(member) offsetof(struct machine, member)

static const struct port_row {
	u16 port, count;
	u8 width_bytes;
	pio_read_fn read;
	pio_write_fn write;
	size_t dev; /* offset in struct machine */
	bool is_pic;
} port_rows[] = {
    {0x020, 2, 1, i8259_read, i8259_write, DEV(pic), true},
    {0x040, 4, 1, i8254_read, i8254_write, DEV(pit), false},
    {0x060, 1, 1, i8042_read, i8042_write, DEV(kbd), false},
    {0x061, 1, 1, i8254_read, i8254_write, DEV(pit), false},
    {0x064, 1, 1, i8042_read, i8042_write, DEV(kbd), false},
    {0x070, 2, 1, mc146818_read, mc146818_write, DEV(rtc), false},
    {0x092, 1, 1, i8042_read, i8042_write, DEV(kbd), false},
    {0x0a0, 2, 1, i8259_read, i8259_write, DEV(pic), true},
    {0x2f8, 8, 1, i16550_read, i16550_write, DEV(serial[1].uart), false},
    {0x3f8, 8, 1, i16550_read, i16550_write, DEV(serial[0].uart), false},
    {0x4d0, 2, 1, i8259_read, i8259_write, DEV(pic), true},
    {MACHINE_DEBUG_EXIT_PORT, 1, 1, debug_exit_read, debug_exit_write, 0,
     false},
    /* PIIX4_PM_BASE: ACPI registers, placed by piix4.c */
    {0xcf8, 4, 4, piix4_cf8_read, piix4_cf8_write, DEV(piix), false},
    {0xcfc, 4, 4, pci_data_read, pci_data_write, DEV(pci), false},
};

static const u8 serial_irq[MACHINE_SERIALS] = {4, 3};

#define PIT_PIN 2 /* the I/O APIC input that IRQ 0 is wired to */

/* --- wires ------------------------------------------------------------- */

static void
isa_irq(void *ctx, unsigned irq, bool level)
{
	struct machine *m = ctx;

	if ((m->irq_line >> irq & 1) == level)
		return;
	m->irq_line ^= 1U << irq;
	if (m->devtest != NULL)
		devtest_irq(m->devtest, irq, level);
	if (m->irqchip == IRQCHIP_DRIVER) {
		m->ops->irq_line(m->hv, irq, level);
		return;
	}
	i8259_set(&m->pic, irq, level);
	if (m->irqchip == IRQCHIP_APIC)
		ioapic_set(&m->ioapic, irq == 0 ? PIT_PIN : irq, level);
}

static struct irqline
wire(struct machine *m, unsigned irq)
{
	return (struct irqline){.set = isa_irq, .ctx = m, .n = irq};
}

static void
want_reset(void *ctx)
{
	struct machine *m = ctx;

	m->reset_wanted = true;
}

static void
poweroff(void *ctx)
{
	machine_stop(ctx, MACHINE_POWEROFF, 0);
}

static void
lapic_eoi(void *ctx, u8 vector)
{
	struct machine *m = ctx;

	ioapic_eoi(&m->ioapic, vector);
}

static void
lapic_nmi(void *ctx)
{
	struct machine *m = ctx;

	m->ops->nmi(m->hv);
	m->halted = false;
}

/* A disk holds an error back: the guest stands still until somebody says
 * continue. */
static void
disk_stop(void *ctx, const char *text)
{
	struct machine *m = ctx;

	log_error("%s", text);
	snprintf(m->stopped, sizeof(m->stopped), "%s", text);
	m->paused = true;
	vclock_stop(&m->clock);
}

static u64
guest_tsc(void *ctx)
{
	struct machine *m = ctx;
	struct cpu_state s;

	m->ops->state_get(m->hv, &s);
	return s.tsc;
}

static u32
debug_exit_read(void *dev, u16 port, unsigned size_bytes)
{
	(void)dev;
	(void)port;
	(void)size_bytes;
	return 0xff;
}

static void
debug_exit_write(void *dev, u16 port, unsigned size_bytes, u32 v)
{
	(void)port;
	(void)size_bytes;
	machine_stop(dev, MACHINE_DEBUG_EXIT, (u8)v);
}

/* --- interrupts and MSRs ----------------------------------------------- */

static bool
pic_gets_through(const struct machine *m)
{
	return i8259_pending(&m->pic) &&
	       (m->irqchip == IRQCHIP_PIC || lapic_passes_extint(&m->lapic));
}

bool
board_irq_pending(const struct machine *m)
{
	assert(m->irqchip != IRQCHIP_DRIVER);
	return pic_gets_through(m) ||
	       (m->irqchip == IRQCHIP_APIC && lapic_vector(&m->lapic) >= 0);
}

u8
board_irq_ack(struct machine *m)
{
	int vector;

	if (pic_gets_through(m))
		return i8259_ack(&m->pic);
	vector = lapic_vector(&m->lapic);
	assert(vector >= 0);
	lapic_ack(&m->lapic, (u8)vector);
	return (u8)vector;
}

void
board_msr(struct machine *m, struct vm_exit *x)
{
	bool ok = false;

	if (m->irqchip == IRQCHIP_APIC && x->msr.write)
		ok = lapic_msr_write(&m->lapic, x->msr.index, x->msr.value);
	else if (m->irqchip == IRQCHIP_APIC)
		ok = lapic_msr_read(&m->lapic, x->msr.index, &x->msr.value);
	x->msr.fault = !ok;
	if (!ok)
		log_debug("guest %s unknown MSR %xh",
			  x->msr.write ? "writes" : "reads", x->msr.index);
}

void
board_flush(struct machine *m)
{
	for (int i = 0; i < MACHINE_SERIALS; i++)
		serial_flush(&m->serial[i]);
}

void
board_input(struct machine *m)
{
	for (int i = 0; i < MACHINE_SERIALS; i++)
		serial_pump(&m->serial[i]);
}

/* --- power-on ---------------------------------------------------------- */

static u64
wall_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (u64)ts.tv_sec * NS_PER_SEC + (u64)ts.tv_nsec;
}

/* What a BIOS leaves in CMOS about memory: KiB below and above 1 MiB, 64 KiB
 * blocks above 16 MiB and above 4 GiB. */
static void
fill_cmos(struct machine *m)
{
	u8 *ram = m->rtc.s.ram;
	u64 ext_kib = MIN((m->ram.low_end >> 10) - 1024, 0xffffULL);
	u64 blocks =
	    m->ram.low_end > 16 << 20 ? (m->ram.low_end - (16 << 20)) >> 16 : 0;
	u64 high = (m->ram.high_end - RAM_HIGH_BASE) >> 16;

	put_le16(ram + 0x15, 640);
	put_le16(ram + 0x17, (u16)ext_kib);
	put_le16(ram + 0x30, (u16)ext_kib);
	put_le16(ram + 0x34, (u16)blocks);
	ram[0x5b] = (u8)high;
	ram[0x5c] = (u8)(high >> 8);
	ram[0x5d] = (u8)(high >> 16);
}

static void
put_acpi(struct machine *m)
{
	struct acpi_config cfg = {
	    .ram_low_end = m->ram.low_end,
	    .has_apic = m->irqchip != IRQCHIP_PIC,
	    .irq0_gsi = m->irqchip == IRQCHIP_PIC ? 0 : PIT_PIN,
	};
	u8 *p = ram_at(&m->ram, ACPI_TABLES_GPA, ACPI_TABLES_BYTES);

	assert(p != NULL);
	acpi_tables_build(p, ACPI_TABLES_GPA, &cfg);
	ram_touched(&m->ram, ACPI_TABLES_GPA, ACPI_TABLES_BYTES);
}

static int
map_ports(struct machine *m)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(port_rows); i++) {
		const struct port_row *row = &port_rows[i];
		struct pio_region r = {
		    .port = row->port,
		    .count = row->count,
		    .width_bytes = row->width_bytes,
		    .read = row->read,
		    .write = row->write,
		    .dev = (char *)m + row->dev,
		};

		if (row->is_pic && m->irqchip == IRQCHIP_DRIVER)
			continue;
		rc = pio_add(&m->pio, &r);
	}
	return rc;
}

static int
map_apics(struct machine *m)
{
	struct mmio_region lapic = {LAPIC_GPA, LAPIC_SIZE, lapic_read,
				    lapic_write, &m->lapic};
	struct mmio_region ioapic = {IOAPIC_GPA, IOAPIC_SIZE, ioapic_read,
				     ioapic_write, &m->ioapic};
	struct lapic_wiring wiring = {.ctx = m,
				      .eoi = lapic_eoi,
				      .nmi = lapic_nmi,
				      .tsc = guest_tsc};
	int rc;

	if (m->irqchip != IRQCHIP_APIC)
		return 0;
	lapic_init(&m->lapic, &m->timers, &wiring);
	ioapic_init(&m->ioapic, &m->lapic);
	rc = mmio_add(&m->mmio, &lapic);
	return rc != 0 ? rc : mmio_add(&m->mmio, &ioapic);
}

/* Not for guests: a kernel that finds it believes to be elsewhere. */
static int
map_fw_cfg(struct machine *m)
{
	struct pio_region r = {
	    .port = FW_CFG_PORT,
	    .count = 2,
	    .width_bytes = 2,
	    .read = fw_cfg_read,
	    .write = fw_cfg_write,
	    .dev = &m->fw_cfg,
	};

	m->fw_cfg.ram_bytes = m->memory_bytes;
	return m->device_test ? pio_add(&m->pio, &r) : 0;
}

static int
open_ide(struct machine *m, const struct machine_config *cfg, struct err *e)
{
	struct ide_config ic = {
	    .model = cfg->piix3 ? IDE_PIIX3 : IDE_PIIX4,
	    .firmware = cfg->ide_firmware,
	    .delay_ns = cfg->ide_delay_ns,
	    .irq = {wire(m, IDE_IRQ0), wire(m, IDE_IRQ1)},
	    .ram = &m->ram,
	    .timers = &m->timers,
	    .pio = &m->pio,
	    .pci = &m->pci,
	};

	static_assert(DISKS_MAX == MACHINE_DISKS && IDE_DRIVES == DISKS_MAX,
		      "one place for each");
	memcpy(ic.disk, cfg->disk, sizeof(ic.disk));
	m->disks.mail = &m->mail;
	m->disks.timers = &m->timers;
	m->disks.stop = disk_stop;
	m->disks.ctx = m;
	disks_init(&m->disks, cfg->disk);
	if (cfg->cdrom != NULL) {
		int rc = cdrom_open(&m->cdrom, cfg->cdrom, &m->disks, e);

		if (rc != 0)
			return rc;
		assert(cfg->disk[cfg->cdrom->position] == NULL);
		ic.packet[cfg->cdrom->position] = cdrom_packet(m->cdrom);
	}
	return ide_open(&m->ide, &ic, e);
}

int
board_init(struct machine *m, const struct machine_config *cfg, struct err *e)
{
	int rc;

	vtimers_init(&m->timers, &m->clock);
	pio_init(&m->pio);
	mmio_init(&m->mmio);
	pci_init(&m->pci);
	i8259_reset(&m->pic);
	rc = map_apics(m);
	i8254_init(&m->pit, &m->timers, wire(m, 0));
	mc146818_init(&m->rtc, &m->timers, wire(m, 8), wall_clock_ns());
	fill_cmos(m);
	i8042_init(&m->kbd, wire(m, 1), wire(m, 12), want_reset, m);
	for (int i = 0; i < MACHINE_SERIALS; i++)
		serial_init(&m->serial[i], &m->timers, wire(m, serial_irq[i]),
			    cfg->serial[i]);
	acpi_pm_init(&m->acpi, &m->timers, wire(m, ACPI_SCI_IRQ), poweroff, m);
	i440fx_init(&m->bridge, &m->pci);
	m->piix.bus = &m->pci;
	m->piix.pio = &m->pio;
	m->piix.acpi = &m->acpi;
	m->piix.irq = isa_irq;
	m->piix.reset = want_reset;
	m->piix.ctx = m;
	piix4_init(&m->piix);
	if (rc == 0)
		rc = map_ports(m);
	if (rc == 0)
		rc = map_fw_cfg(m);
	if (rc != 0)
		return err_errno(e, rc, "cannot set up the board");
	return open_ide(m, cfg, e);
}

void
board_release(struct machine *m)
{
	ide_close(m->ide);
	for (int i = 0; i < MACHINE_SERIALS; i++)
		serial_release(&m->serial[i]);
}

/* ELCR as a BIOS sets it: what PCI and ACPI raise is level triggered. */
static void
set_elcr(struct machine *m)
{
	u32 level = BIT(ACPI_SCI_IRQ) | BIT(PIIX4_IRQ_AC) | BIT(PIIX4_IRQ_BD);

	i8259_write(&m->pic, 0x4d0, 1, level & 0xff);
	i8259_write(&m->pic, 0x4d1, 1, level >> 8);
}

void
board_reset(struct machine *m)
{
	i8259_reset(&m->pic);
	set_elcr(m);
	if (m->irqchip == IRQCHIP_APIC) {
		lapic_reset(&m->lapic);
		ioapic_reset(&m->ioapic);
	}
	i8254_reset(&m->pit);
	mc146818_reset(&m->rtc);
	i8042_reset(&m->kbd);
	for (int i = 0; i < MACHINE_SERIALS; i++)
		serial_reset(&m->serial[i]);
	acpi_pm_reset(&m->acpi);
	pci_reset(&m->pci);
	i440fx_reset(&m->bridge);
	piix4_reset(&m->piix);
	ide_reset(m->ide);
	put_acpi(m);
}
