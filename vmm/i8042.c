/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/i8042.h"

#define DATA_PORT   0x60
#define STATUS_PORT 0x64
#define PORT92	    0x92

#define STATUS_OBF     BIT(0)
#define STATUS_SYS     BIT(2)
#define STATUS_COMMAND BIT(3)
#define STATUS_UNLOCK  BIT(4) /* the keyboard lock's key */
#define STATUS_AUX     BIT(5)

#define CB_IRQ1	 BIT(0)
#define CB_IRQ12 BIT(1)
#define CB_SYS	 BIT(2)

#define OUT_RESET_N BIT(0)
#define OUT_A20	    BIT(1)
#define OUT_DEFAULT 0xcf

#define P92_RESET BIT(0)
#define P92_A20	  BIT(1)

/* Controller commands, written to port 64h */
#define CMD_READ_RAM   0x20 /* ..3Fh */
#define CMD_WRITE_RAM  0x60 /* ..7Fh */
#define CMD_AUX_OFF    0xa7
#define CMD_AUX_ON     0xa8
#define CMD_AUX_TEST   0xa9
#define CMD_SELF_TEST  0xaa
#define CMD_KBD_TEST   0xab
#define CMD_KBD_OFF    0xad
#define CMD_KBD_ON     0xae
#define CMD_READ_IN    0xc0
#define CMD_READ_OUT   0xd0
#define CMD_WRITE_OUT  0xd1
#define CMD_KBD_LOOP   0xd2
#define CMD_AUX_LOOP   0xd3
#define CMD_AUX_WRITE  0xd4
#define CMD_PULSE      0xf0 /* ..FFh: bits 3..0 low pulse output bits */
#define CB_KBD_DISABLE BIT(4)
#define CB_AUX_DISABLE BIT(5)
#define SELF_TEST_OK   0x55
#define TEST_NO_CLOCK  0x01 /* interface test: clock line stuck low */

static void
update_irq(struct i8042 *k)
{
	bool kbd = k->s.out_full && !k->s.out_aux;
	bool aux = k->s.out_full && k->s.out_aux;

	irqline_set(&k->irq1, kbd && (k->s.ram[0] & CB_IRQ1));
	irqline_set(&k->irq12, aux && (k->s.ram[0] & CB_IRQ12));
}

static void
answer(struct i8042 *k, u8 v, bool aux)
{
	k->s.out = v;
	k->s.out_aux = aux;
	k->s.out_full = true;
	update_irq(k);
}

static void
write_output_port(struct i8042 *k, u8 v)
{
	k->s.output_port = v | OUT_RESET_N;
	if (!(v & OUT_RESET_N))
		k->reset(k->ctx);
}

static void
command(struct i8042 *k, u8 cmd)
{
	k->s.pending = 0;
	switch (cmd) {
	case CMD_READ_RAM ... CMD_READ_RAM + 31:
		answer(k, k->s.ram[cmd & 31], false);
		break;
	case CMD_WRITE_RAM ... CMD_WRITE_RAM + 31:
	case CMD_WRITE_OUT:
	case CMD_KBD_LOOP:
	case CMD_AUX_LOOP:
	case CMD_AUX_WRITE:
		k->s.pending = cmd;
		break;
	case CMD_AUX_OFF:
		k->s.ram[0] |= CB_AUX_DISABLE;
		break;
	case CMD_AUX_ON:
		k->s.ram[0] &= (u8)~CB_AUX_DISABLE;
		break;
	case CMD_AUX_TEST:
	case CMD_KBD_TEST:
		answer(k, TEST_NO_CLOCK, false);
		break;
	case CMD_SELF_TEST:
		k->s.ram[0] |= CB_SYS;
		answer(k, SELF_TEST_OK, false);
		break;
	case CMD_KBD_OFF:
		k->s.ram[0] |= CB_KBD_DISABLE;
		break;
	case CMD_KBD_ON:
		k->s.ram[0] &= (u8)~CB_KBD_DISABLE;
		break;
	case CMD_READ_IN:
		answer(k, 0x80, false); /* not locked */
		break;
	case CMD_READ_OUT:
		answer(k, k->s.output_port, false);
		break;
	case CMD_PULSE ... CMD_PULSE + 15:
		if (!(cmd & OUT_RESET_N))
			k->reset(k->ctx);
		break;
	default:
		break;
	}
}

static void
data(struct i8042 *k, u8 v)
{
	u8 cmd = k->s.pending;

	k->s.pending = 0;
	switch (cmd) {
	case CMD_WRITE_RAM ... CMD_WRITE_RAM + 31:
		k->s.ram[cmd & 31] = v;
		update_irq(k);
		break;
	case CMD_WRITE_OUT:
		write_output_port(k, v);
		break;
	case CMD_KBD_LOOP:
		answer(k, v, false);
		break;
	case CMD_AUX_LOOP:
		answer(k, v, true);
		break;
	default:
		break; /* for a keyboard or mouse that is not there */
	}
}

u32
i8042_read(void *dev, u16 port, unsigned size_bytes)
{
	struct i8042 *k = dev;
	u8 v;

	(void)size_bytes;
	switch (port) {
	case DATA_PORT:
		k->s.out_full = false;
		update_irq(k);
		return k->s.out;
	case PORT92:
		return k->s.output_port & OUT_A20 ? P92_A20 : 0;
	default:
		v = STATUS_UNLOCK;
		if (k->s.out_full)
			v |= STATUS_OBF | (k->s.out_aux ? STATUS_AUX : 0);
		if (k->s.ram[0] & CB_SYS)
			v |= STATUS_SYS;
		if (k->s.last_was_command)
			v |= STATUS_COMMAND;
		return v;
	}
}

void
i8042_write(void *dev, u16 port, unsigned size_bytes, u32 value)
{
	struct i8042 *k = dev;
	u8 v = (u8)value;

	(void)size_bytes;
	switch (port) {
	case DATA_PORT:
		k->s.last_was_command = false;
		data(k, v);
		break;
	case PORT92:
		k->s.output_port &= (u8)~OUT_A20;
		if (v & P92_A20)
			k->s.output_port |= OUT_A20;
		if (v & P92_RESET)
			k->reset(k->ctx);
		break;
	default:
		k->s.last_was_command = true;
		command(k, v);
	}
}

void
i8042_init(struct i8042 *k, struct irqline irq1, struct irqline irq12,
	   void (*reset)(void *ctx), void *ctx)
{
	k->irq1 = irq1;
	k->irq12 = irq12;
	k->reset = reset;
	k->ctx = ctx;
	i8042_reset(k);
}

void
i8042_reset(struct i8042 *k)
{
	memset(&k->s, 0, sizeof(k->s));
	/* as a BIOS leaves it: self test passed, both interfaces off */
	k->s.ram[0] = CB_SYS | CB_KBD_DISABLE | CB_AUX_DISABLE;
	k->s.output_port = OUT_DEFAULT;
	update_irq(k);
}
