/* SPDX-License-Identifier: BSD-2-Clause */
/* ide_feature - settings of a drive: features, power, geometry, SET MAX */
#include <errno.h>

#include "vmm/ide_int.h"

/* --- after a reset ------------------------------------------------------ */

/* The write cache stays as it is, which IDENTIFY word 85 tells (disk-rules
 * 16). SRST restores the rest only after SET FEATURES CCh (6.48.11). */
void
ide_defaults(struct ide_drive *d, bool hard)
{
	struct ide_drive_state *s = &d->s;
	u16 chs[3];

	s->standby = false;
	if (d->disk != NULL)
		ide_smart_reset(d, hard);
	if (hard) {
		s->max_sectors = s->max_set;
		s->max_set_once = false;
		s->max_native = false;
		s->revert = false;
		s->mode_pio = 0;
		s->mode_dma = 0;
	}
	if (!hard && !s->revert)
		return;
	s->multiple = IDE_MULTIPLE_MAX;
	s->lookahead = true;
	s->apm = 0;
	s->aam = 0;
	ide_geometry(d, chs);
	s->heads = chs[1];
	s->sectors = chs[2];
}

/* --- SET FEATURES, 6.48 ------------------------------------------------- */

/* 03h: PIO, multiword or ultra DMA, by the upper five bits of the count. */
static bool
set_mode(struct ide_drive *d, u8 v)
{
	bool ultra = d->channel->ide->model == IDE_PIIX4;
	u8 mode = v & 7;

	switch (v >> 3) {
	case 0: /* PIO default, and without IORDY */
		if (mode > 1)
			return false;
		d->s.mode_pio = v;
		return true;
	case 1:
		if (mode > 4)
			return false;
		d->s.mode_pio = v;
		return true;
	case 4:
		if (mode > 2)
			return false;
		d->s.mode_dma = v;
		return true;
	case 8:
		if (mode > 2 || !ultra)
			return false;
		d->s.mode_dma = v;
		return true;
	default:
		return false;
	}
}

static bool
set_level(u8 *setting, u8 v, u8 least, u8 most)
{
	if (v < least || v > most)
		return false;
	*setting = v;
	return true;
}

/* What only a disk has; false: refused. */
static bool
set_disk(struct ide_drive *d, u8 feature, u8 count)
{
	switch (feature) {
	case 0x05:
		return set_level(&d->s.apm, count, 0x01, 0xfe);
	case 0x85:
		d->s.apm = 0;
		return true;
	case 0x42:
		return set_level(&d->s.aam, count, 0x80, 0xfe);
	case 0xc2:
		d->s.aam = 0;
		return true;
	case 0x55:
		d->s.lookahead = false;
		return true;
	case 0xaa:
		d->s.lookahead = true;
		return true;
	default:
		return false;
	}
}

/* The features register is 0 afterwards: OS/2 does not write it again before
 * its next command. */
void
ide_set_features(struct ide_drive *d)
{
	u8 feature = d->s.features.now, count = d->s.count.now;
	bool ok = true;

	d->s.features.now = 0;
	if (d->disk != NULL && (feature == 0x02 || feature == 0x82)) {
		/* done when the disk has drained and flushed (15) */
		ide_submit(d, feature == 0x02 ? DISK_CACHE_ON : DISK_CACHE_OFF,
			   0, 0, 0, NULL, 0);
		return;
	}
	if (feature == 0x03)
		ok = set_mode(d, count);
	else if (feature == 0x66 || feature == 0xcc)
		d->s.revert = feature == 0xcc;
	else
		ok = d->disk != NULL && set_disk(d, feature, count);
	if (ok)
		ide_end(d);
	else
		ide_abort(d);
}

/* 6.51: a power of two that the buffer holds; 0 turns it off. */
void
ide_set_multiple(struct ide_drive *d)
{
	u8 n = d->s.count.now;

	if (n > IDE_MULTIPLE_MAX || (n & (n - 1)) != 0) {
		d->s.multiple = 0;
		ide_abort(d);
		return;
	}
	d->s.multiple = n;
	ide_end(d);
}

/* INITIALIZE DEVICE PARAMETERS, ATA-5 8.16 */
void
ide_set_parameters(struct ide_drive *d)
{
	u8 sectors = d->s.count.now;

	if (sectors == 0) {
		ide_abort(d);
		return;
	}
	d->s.sectors = sectors;
	d->s.heads = (u16)((d->s.device & DEVICE_HEAD) + 1);
	ide_end(d);
}

/* --- power, volume 1 4.6 ------------------------------------------------ */

/* IDLE, IDLE IMMEDIATE: awake. The standby timer that IDLE sets never runs
 * out: there is nothing to spin down. */
void
ide_power(struct ide_drive *d)
{
	d->s.standby = false;
	ide_end(d);
}

/* 6.6: 00h standby, FFh active or idle */
void
ide_check_power(struct ide_drive *d)
{
	d->s.count.now = d->s.standby ? 0x00 : 0xff;
	ide_end(d);
}

/* A drive that is about to be switched off has written everything down
 * (disk-rules 24). */
void
ide_standby(struct ide_drive *d)
{
	if (d->disk != NULL)
		ide_submit(d, DISK_FLUSH, 0, 0, 0, NULL, 0);
	else
		ide_standby_done(d, 0, 0);
}

void
ide_standby_done(struct ide_drive *d, int error, u64 error_lba)
{
	d->s.standby = error == 0;
	ide_simple_done(d, error, error_lba);
}

/* Only a reset wakes it. */
void
ide_sleep(struct ide_drive *d)
{
	if (d->disk != NULL)
		ide_submit(d, DISK_FLUSH, 0, 0, 0, NULL, 0);
	else
		ide_sleep_done(d, 0, 0);
}

void
ide_sleep_done(struct ide_drive *d, int error, u64 error_lba)
{
	d->s.sleep = error == 0;
	ide_simple_done(d, error, error_lba);
}

/* --- SET MAX, 6.32, 6.33, 6.49, 6.50 ------------------------------------ */

void
ide_native_max(struct ide_drive *d)
{
	bool ext = d->channel->job.ext;
	u64 last = disk_sectors(d->disk) - 1;

	if (!ext)
		last = MIN(last, (u64)IDE_LBA28_MAX);
	if (!ext)
		d->s.device |= DEVICE_LBA;
	ide_put_address(d, ext, last);
	d->s.max_native = true;
	ide_end(d);
}

/* Works only right after READ NATIVE MAX ADDRESS; a value that shall stay
 * (bit 0 of the count) can be given once. Features 01h-04h are its passwords,
 * which do not exist. */
void
ide_set_max(struct ide_drive *d)
{
	struct ide_job *j = &d->channel->job;
	bool keep = d->s.count.now & 1;
	u64 last = 0;

	if (j->step == 0 ||
	    (!j->ext && d->s.features.now >= 1 && d->s.features.now <= 4)) {
		ide_abort(d);
		return;
	}
	if (!ide_address(d, j->ext, &last) || last >= disk_sectors(d->disk) ||
	    (keep && d->s.max_set_once)) {
		ide_fail(d, ERROR_IDNF, 0);
		return;
	}
	d->s.max_sectors = last + 1;
	if (keep) {
		d->s.max_set = last + 1;
		d->s.max_set_once = true;
	}
	ide_end(d);
}
