/* SPDX-License-Identifier: BSD-2-Clause */
/* ide_cmd - the table of commands, and how a command ends */
#include <errno.h>

#include "vmm/ide_int.h"
#include "vmm/vmm_trace.h"

static void nop(struct ide_drive *d);
static void ok(struct ide_drive *d);
static void diagnose(struct ide_drive *d);
static void buffer_read(struct ide_drive *d);
static void buffer_write(struct ide_drive *d);

/* Who knows a command, and what its data do */
#define D   ROW_DISK
#define P   ROW_PACKET
#define DP  (ROW_DISK | ROW_PACKET)
#define RD  (ROW_DISK | ROW_MEDIUM)
#define WR  (ROW_DISK | ROW_MEDIUM | ROW_WRITE)
#define EXT ROW_EXT
#define DMA ROW_DMA
#define MUL ROW_MULTI
#define FUA ROW_FUA

#define READ  ide_read, ide_read_moved, ide_read_done
#define WRITE ide_write, ide_write_moved, ide_write_done
#define RWDMA ide_dma_rw, ide_dma_rw_go, ide_dma_rw_done

/* Sections of ATA/ATAPI-7 volume 1; "ATA-n" where a command was obsolete by
 * then. What has no row is aborted. */
static const struct ide_row rows[256] = {
    [0x00] = {"NOP", nop, NULL, NULL, DP},		       /* 6.21 */
    [0x06] = {"DATA SET MANAGEMENT", ide_trim, ide_trim_moved, /* ACS-2 7.10 */
	      ide_trim_done, D | ROW_MEDIUM | ROW_WRITE | DMA},
    [0x08] = {"DEVICE RESET", ide_device_reset, NULL, NULL, P},	 /* 6.11 */
    [0x10 ... 0x1f] = {"RECALIBRATE", ide_seek, NULL, NULL, RD}, /* ATA-3 */
    [0x20] = {"READ SECTOR(S)", READ, RD},			 /* 6.35 */
    [0x21] = {"READ SECTOR(S) (no retry)", READ, RD},		 /* ATA-4 */
    [0x24] = {"READ SECTOR(S) EXT", READ, RD | EXT},		 /* 6.36 */
    [0x25] = {"READ DMA EXT", RWDMA, RD | EXT | DMA},		 /* 6.26 */
    [0x27] = {"READ NATIVE MAX ADDRESS EXT", ide_native_max,	 /* 6.33 */
	      NULL, NULL, D | EXT},
    [0x29] = {"READ MULTIPLE EXT", READ, RD | EXT | MUL}, /* 6.31 */
    [0x2f] = {"READ LOG EXT", ide_read_log,		  /* 6.29 */
	      ide_read_log_moved, NULL, D | EXT},
    [0x30] = {"WRITE SECTOR(S)", WRITE, WR},		/* 6.69 */
    [0x31] = {"WRITE SECTOR(S) (no retry)", WRITE, WR}, /* ATA-4 */
    [0x34] = {"WRITE SECTOR(S) EXT", WRITE, WR | EXT},	/* 6.70 */
    [0x35] = {"WRITE DMA EXT", RWDMA, WR | EXT | DMA},	/* 6.60 */
    [0x37] = {"SET MAX ADDRESS EXT", ide_set_max,	/* 6.50 */
	      NULL, NULL, D | EXT},
    [0x39] = {"WRITE MULTIPLE EXT", WRITE, WR | EXT | MUL}, /* 6.67 */
    [0x3c] = {"WRITE VERIFY", WRITE, WR | FUA},		    /* ATA-3 */
    [0x3d] = {"WRITE DMA FUA EXT", RWDMA,		    /* 6.61 */
	      WR | EXT | DMA | FUA},
    [0x40] = {"READ VERIFY SECTOR(S)", ide_verify, NULL, /* 6.37 */
	      ide_simple_done, RD},
    [0x41] = {"READ VERIFY SECTOR(S) (no retry)", ide_verify, NULL, /* ATA-4 */
	      ide_simple_done, RD},
    [0x42] = {"READ VERIFY SECTOR(S) EXT", ide_verify, NULL, /* 6.38 */
	      ide_simple_done, RD | EXT},
    [0x70 ... 0x7f] = {"SEEK", ide_seek, NULL, NULL, RD}, /* ATA-6 */
    [0x90] = {"EXECUTE DEVICE DIAGNOSTIC", diagnose, NULL, NULL, DP}, /* 6.13 */
    [0x91] = {"INITIALIZE DEVICE PARAMETERS", ide_set_parameters, /* ATA-5 */
	      NULL, NULL, D},
    [0x94] = {"STANDBY IMMEDIATE", ide_standby, NULL, /* ATA-3 for 94h-99h */
	      ide_standby_done, DP},
    [0x95] = {"IDLE IMMEDIATE", ide_power, NULL, NULL, DP},
    [0x96] = {"STANDBY", ide_standby, NULL, ide_standby_done, D},
    [0x97] = {"IDLE", ide_power, NULL, NULL, D},
    [0x98] = {"CHECK POWER MODE", ide_check_power, NULL, NULL, DP},
    [0x99] = {"SLEEP", ide_sleep, NULL, ide_sleep_done, DP},
    [0xa0] = {"PACKET", ide_packet, ide_packet_moved, NULL, P}, /* 6.24 */
    [0xa1] = {"IDENTIFY PACKET DEVICE", ide_packet_identify,	/* 6.18 */
	      ide_end_moved, NULL, P},
    [0xb0] = {"SMART", ide_smart, ide_smart_moved, NULL, D},	     /* 6.55 */
    [0xc4] = {"READ MULTIPLE", READ, RD | MUL},			     /* 6.30 */
    [0xc5] = {"WRITE MULTIPLE", WRITE, WR | MUL},		     /* 6.66 */
    [0xc6] = {"SET MULTIPLE MODE", ide_set_multiple, NULL, NULL, D}, /* 6.51 */
    [0xc8] = {"READ DMA", RWDMA, RD | DMA},			     /* 6.25 */
    [0xc9] = {"READ DMA (no retry)", RWDMA, RD | DMA},		     /* ATA-4 */
    [0xca] = {"WRITE DMA", RWDMA, WR | DMA},			     /* 6.59 */
    [0xcb] = {"WRITE DMA (no retry)", RWDMA, WR | DMA},		     /* ATA-4 */
    [0xce] = {"WRITE MULTIPLE FUA EXT", WRITE,			     /* 6.68 */
	      WR | EXT | MUL | FUA},
    [0xe0] = {"STANDBY IMMEDIATE", ide_standby, NULL, ide_standby_done,
	      DP},						    /* 6.57 */
    [0xe1] = {"IDLE IMMEDIATE", ide_power, NULL, NULL, DP},	    /* 6.20 */
    [0xe2] = {"STANDBY", ide_standby, NULL, ide_standby_done, D},   /* 6.56 */
    [0xe3] = {"IDLE", ide_power, NULL, NULL, D},		    /* 6.19 */
    [0xe4] = {"READ BUFFER", buffer_read, ide_end_moved, NULL, D},  /* 6.23 */
    [0xe5] = {"CHECK POWER MODE", ide_check_power, NULL, NULL, DP}, /* 6.6 */
    [0xe6] = {"SLEEP", ide_sleep, NULL, ide_sleep_done, DP},	    /* 6.54 */
    [0xe7] = {"FLUSH CACHE", ide_flush, NULL, ide_simple_done, DP}, /* 6.15 */
    [0xe8] = {"WRITE BUFFER", buffer_write, ide_end, NULL,	    /* 6.58 */
	      D | ROW_WRITE},
    [0xea] = {"FLUSH CACHE EXT", ide_flush, NULL, ide_simple_done, /* 6.16 */
	      D | EXT},
    [0xec] = {"IDENTIFY DEVICE", ide_identify, ide_end_moved, NULL, /* 6.17 */
	      D},
    [0xef] = {"SET FEATURES", ide_set_features, NULL,
	      ide_simple_done, /* 6.48 */
	      DP},
    [0xf5] = {"SECURITY FREEZE LOCK", ok, NULL, NULL, DP}, /* 6.43 */
    [0xf8] = {"READ NATIVE MAX ADDRESS", ide_native_max, NULL, NULL,
	      D},					      /* 6.32 */
    [0xf9] = {"SET MAX ADDRESS", ide_set_max, NULL, NULL, D}, /* 6.49 */
};

const struct ide_row *
ide_row(u8 opcode)
{
	return &rows[opcode];
}

static unsigned
position(const struct ide_drive *d)
{
	return d->channel->number * 2 + d->unit;
}

/* A drive of the wrong kind aborts IDENTIFY, with its signature, by which the
 * host knows it for what it is (6.17, 9.12). */
static void
refuse(struct ide_drive *d, u8 opcode)
{
	if (opcode == 0xec || opcode == 0xa1 || opcode == 0x20 ||
	    opcode == 0x24) {
		u8 device = d->s.device;

		ide_signature(d, 0);
		d->s.device = device;
	}
	ide_abort(d);
}

void
ide_command(struct ide_channel *c, u8 opcode)
{
	struct ide_drive *d = ide_selected(c);
	const struct ide_row *row = &rows[opcode];
	bool native = d->s.max_native;
	u64 lba = 0;

	assert(c->phase == IDE_IDLE);
	if (opcode == 0x90 && !ide_present(d))
		d = &c->drive[c->select ^ 1];
	if (!ide_present(d) || d->s.sleep)
		return;
	c->phase = IDE_BUSY;
	c->row = row;
	c->job = (struct ide_job){.id = trace_new_id(),
				  .opcode = opcode,
				  .ext = (row->flags & ROW_EXT) != 0,
				  .step = native};
	d->s.max_native = false;
	d->s.error = 0;
	d->s.status = STATUS_BSY | STATUS_DRDY | STATUS_DSC;
	ide_intrq(d, false);
	(void)ide_address(d, c->job.ext, &lba);
	TRACE(ide_command, c->job.id, position(d), opcode, lba);
	if (!(row->flags & (d->disk != NULL ? ROW_DISK : ROW_PACKET))) {
		refuse(d, opcode);
		return;
	}
	if (row->flags & ROW_MEDIUM)
		d->s.standby = false;
	row->start(d);
}

/* --- the end of a command ----------------------------------------------- */

/* Status and INTRQ, in this order. */
static void
tell(struct ide_drive *d, u8 status, bool intrq)
{
	struct ide_channel *c = d->channel;

	d->s.status = status;
	c->phase = IDE_IDLE;
	c->row = NULL;
	TRACE(ide_status, c->job.id, position(d), status, d->s.error);
	if (intrq)
		ide_intrq(d, true);
}

static void
end(struct ide_drive *d, u8 status)
{
	struct ide_channel *c = d->channel;
	struct ide *i = c->ide;

	assert(c->phase == IDE_BUSY && c->row != NULL);
	if (i->delay_ns == 0 || !(c->row->flags & ROW_MEDIUM)) {
		tell(d, status, true);
		return;
	}
	c->phase = IDE_DELAY;
	d->s.status = STATUS_BSY | STATUS_DRDY | STATUS_DSC;
	c->job.status = status;
	vtimer_arm(i->timers, &c->delay, vtimers_now(i->timers) + i->delay_ns);
}

void
ide_delay_over(void *channel)
{
	struct ide_channel *c = channel;

	if (c->phase == IDE_DELAY)
		tell(ide_selected(c), c->job.status, true);
}

void
ide_end(struct ide_drive *d)
{
	end(d, STATUS_DRDY | STATUS_DSC);
}

void
ide_end_silent(struct ide_drive *d, u8 status)
{
	tell(d, status, false);
}

/* After the last word of a PIO read there is nothing to be told. */
void
ide_end_moved(struct ide_drive *d)
{
	ide_end_silent(d, STATUS_DRDY | STATUS_DSC);
}

void
ide_fail(struct ide_drive *d, u8 error, u8 status)
{
	d->s.error = error;
	end(d, STATUS_DRDY | STATUS_DSC | STATUS_ERR | status);
}

void
ide_abort(struct ide_drive *d)
{
	ide_fail(d, ERROR_ABRT, 0);
}

/* A sector that cannot be read is UNC (disk-rules 21), one that is not there
 * IDNF, anything else ABRT: a write or a flush that fails is never retried by
 * the drive (disk-rules 10). The count register holds what was not moved. */
void
ide_fail_errno(struct ide_drive *d, int error, u64 error_lba)
{
	struct ide_channel *c = d->channel;
	struct ide_job *j = &c->job;
	u8 code = ERROR_ABRT;

	if (error == -ERANGE)
		code = ERROR_IDNF;
	else if (j->op == DISK_READ || j->op == DISK_VERIFY)
		code = ERROR_UNC;
	if (error_lba >= j->lba && error_lba - j->lba < j->count)
		ide_put_count(d, j->ext, j->count - (u32)(error_lba - j->lba));
	ide_put_address(d, j->ext, error_lba);
	d->s.error = code;
	ide_log_error(d, error_lba);
	ide_fail(d, code, 0);
}

void
ide_simple_done(struct ide_drive *d, int error, u64 error_lba)
{
	if (error != 0)
		ide_fail_errno(d, error, error_lba);
	else
		ide_end(d);
}

void
ide_forget(struct ide_channel *c)
{
	for (unsigned i = 0; i < IDE_REQUESTS; i++)
		c->req[i].dropped |= c->req[i].used;
	vtimer_disarm(c->ide->timers, &c->delay);
	if (c->dma.stop)
		c->dma.status &= (u8)~BM_ACTIVE;
	c->dma.stop = false;
	c->phase = IDE_BUSY;
	c->row = NULL;
}

/* --- commands that are too small for a file ----------------------------- */

/* 6.21: subcommand 00h exists to be aborted; the others work with queues. */
static void
nop(struct ide_drive *d)
{
	ide_abort(d);
}

static void
ok(struct ide_drive *d)
{
	ide_end(d);
}

/* Both drives run it, device 0 answers for both. */
static void
diagnose(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;
	struct ide_drive *first = &c->drive[0];
	u8 status;

	for (unsigned i = 0; i < 2; i++)
		if (ide_present(&c->drive[i]))
			ide_signature(&c->drive[i], 1);
	c->select = 0;
	if (!ide_present(first))
		first = d;
	status = first->s.status;
	tell(first, status, true);
}

static void
buffer_read(struct ide_drive *d)
{
	ide_pio_in(d, d->channel->buffer, DISK_SECTOR_BYTES, true);
}

static void
buffer_write(struct ide_drive *d)
{
	ide_pio_out(d, d->channel->buffer, DISK_SECTOR_BYTES, false);
}
