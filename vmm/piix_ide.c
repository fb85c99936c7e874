/* SPDX-License-Identifier: BSD-2-Clause */
/* piix_ide - the controller's PCI function, and the whole of it
 *
 * 82371AB data sheet 5.1. The timing registers are stored and do nothing:
 * data move as fast as memory does. Ports follow the command register, the
 * decode enable bits and BAR4.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/version.h"
#include "vmm/ide_int.h"
#include "vmm/piix4.h"

#define BMIBA	0x20
#define IDETIM0 0x40
#define IDETIM1 0x42
#define SIDETIM 0x44
#define UDMACTL 0x48 /* PIIX4 only, as UDMATIM */
#define UDMATIM 0x4a

#define IDETIM_DECODE 0x8000
#define BM_PORTS      16
#define BMIBA_PORT    0xfff0

static const struct channel_ports {
	u16 command, control;
} ports[IDE_CHANNELS] = {
    {IDE_COMMAND0, IDE_CONTROL0},
    {IDE_COMMAND1, IDE_CONTROL1},
};

/* --- ports -------------------------------------------------------------- */

static bool
add(struct ide *i, u16 port, u16 count, pio_read_fn read, pio_write_fn write,
    pio_string_fn string, void *dev)
{
	struct pio_region r = {.port = port,
			       .count = count,
			       .width_bytes = count == 1 ? 1 : 4,
			       .read = read,
			       .write = write,
			       .string = string,
			       .dev = dev};

	if (pio_add(i->pio, &r) == 0)
		return true;
	log_guest("guest placed IDE registers on ports in use, %xh",
		  (unsigned)port);
	return false;
}

static void
place_channel(struct ide *i, unsigned n, bool on)
{
	struct ide_channel *c = &i->channel[n];
	const struct channel_ports *p = &ports[n];

	if (on == i->placed[n])
		return;
	i->placed[n] = false;
	if (!on) {
		pio_remove(i->pio, p->command);
		pio_remove(i->pio, p->control);
		return;
	}
	if (!add(i, p->command, 8, ide_command_read, ide_command_write,
		 ide_data_string, c))
		return;
	if (add(i, p->control, 1, ide_control_read, ide_control_write, NULL, c))
		i->placed[n] = true;
	else
		pio_remove(i->pio, p->command);
}

/* The bus master leaves first: it may lie where a channel belongs. */
static void
place(struct ide *i)
{
	const u8 *cfg = i->pci.s.config;
	bool on = cfg[PCI_COMMAND] & PCI_COMMAND_IO;
	u16 port = on ? get_le16(cfg + BMIBA) & BMIBA_PORT : 0;

	if (i->bm_port != 0 && i->bm_port != port) {
		pio_remove(i->pio, i->bm_port);
		i->bm_port = 0;
	}
	for (unsigned n = 0; n < IDE_CHANNELS; n++)
		place_channel(i, n,
			      on && (get_le16(cfg + IDETIM0 + n * 2) &
				     IDETIM_DECODE));
	if (port != i->bm_port &&
	    add(i, port, BM_PORTS, ide_bm_read, ide_bm_write, NULL, i))
		i->bm_port = port;
}

static void
written(void *ctx, u8 reg, unsigned size_bytes)
{
	(void)reg;
	(void)size_bytes;
	place(ctx);
}

/* --- the function ------------------------------------------------------- */

static void
init_pci(struct ide *i, struct pci *bus)
{
	struct pci_function *f = &i->pci;
	bool piix4 = i->model == IDE_PIIX4;

	pci_function_init(f, 0x8086, piix4 ? 0x7111 : 0x7010, piix4 ? 1 : 0,
			  0x010180);
	f->writable[PCI_INTERRUPT_LINE] = 0;
	f->writable[PCI_COMMAND] =
	    PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	f->writable[BMIBA] = 0xf0;
	f->writable[BMIBA + 1] = 0xff;
	pci_writable(f, IDETIM0, IDETIM1 + 1, 0xff);
	f->writable[SIDETIM] = 0xff;
	if (piix4) {
		f->writable[UDMACTL] = 0x0f;
		pci_writable(f, UDMATIM, UDMATIM + 1, 0x33);
	}
	f->written = written;
	f->ctx = i;
	pci_add(bus, PCI_DEVFN(PIIX4_DEVICE, 1), f);
}

static void
reset_pci(struct ide *i)
{
	u8 *cfg = i->pci.s.config;

	put_le16(cfg + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	put_le16(cfg + PCI_STATUS, 0x0280);
	put_le32(cfg + BMIBA, IDE_BM_BASE | 1);
	memset(cfg + 0x40, 0, PCI_CONFIG_BYTES - 0x40);
	put_le16(cfg + IDETIM0, IDETIM_DECODE);
	put_le16(cfg + IDETIM1, IDETIM_DECODE);
	place(i);
}

void
ide_reset(struct ide *i)
{
	reset_pci(i);
	for (unsigned n = 0; n < IDE_CHANNELS; n++)
		ide_channel_reset(&i->channel[n]);
}

bool
ide_idle(const struct ide *i)
{
	for (unsigned n = 0; n < IDE_CHANNELS; n++)
		for (unsigned k = 0; k < IDE_REQUESTS; k++) {
			const struct ide_request *q = &i->channel[n].req[k];

			if (q->used && q->data)
				return false;
		}
	return true;
}

static void
init_drive(struct ide_drive *d, struct ide_channel *c, unsigned unit,
	   const struct ide_config *cfg)
{
	unsigned position = c->number * 2 + unit;

	d->channel = c;
	d->unit = unit;
	d->disk = cfg->disk[position];
	if (d->disk != NULL) {
		d->s.max_set = disk_sectors(d->disk);
	} else if (cfg->packet[position].ops != NULL) {
		d->packet = cfg->packet[position];
		d->packet.ops->attach(d->packet.dev, d);
	}
}

int
ide_open(struct ide **out, const struct ide_config *cfg, struct err *e)
{
	struct ide *i = calloc(1, sizeof(*i));
	const char *firmware =
	    cfg->firmware != NULL ? cfg->firmware : SPINDLE_VERSION;

	if (i == NULL)
		return err_set(e, -ENOMEM, "no memory for the disk controller");
	i->model = cfg->model;
	i->ram = cfg->ram;
	i->timers = cfg->timers;
	i->pio = cfg->pio;
	i->delay_ns = cfg->delay_ns;
	memcpy(i->firmware, firmware,
	       strnlen(firmware, sizeof(i->firmware) - 1));
	vtimer_add(i->timers, &i->test_timer, ide_smart_step, i);
	for (unsigned n = 0; n < IDE_CHANNELS; n++) {
		struct ide_channel *c = &i->channel[n];

		i->irq[n] = cfg->irq[n];
		c->ide = i;
		c->number = n;
		vtimer_add(i->timers, &c->delay, ide_delay_over, c);
		for (unsigned unit = 0; unit < 2; unit++)
			init_drive(&c->drive[unit], c, unit, cfg);
	}
	init_pci(i, cfg->pci);
	ide_reset(i);
	*out = i;
	return 0;
}

void
ide_close(struct ide *i)
{
	if (i == NULL)
		return;
	i->pci.s.config[PCI_COMMAND] = 0;
	place(i);
	free(i);
}
