/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/cdrom.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/mail.h"

#define CACHE_BYTES (16U << 20)
#define DISC_MIN    (ATAPI_BLOCK_BYTES / DISK_SECTOR_BYTES)

struct cdrom {
	unsigned position;	/* [const] */
	struct disk_config how; /* [const] path NULL */
	struct disks *disks;	/* [const] */
	struct disk *disc;	/* [vcpu] NULL: none */
	struct atapi atapi;	/* [vcpu] */
};

static int
open_disc(struct disk **out, const struct cdrom *c, const char *path,
	  struct err *e)
{
	struct disk_config cfg = c->how;
	struct disk *d;
	int rc;

	cfg.path = path;
	rc = disk_open(&d, &cfg, e);
	if (rc != 0)
		return rc;
	if (disk_sectors(d) < DISC_MIN) {
		(void)disk_close(d, NULL);
		return err_set(e, -EINVAL,
			       "'%s' is no disc: it has less than 2048 bytes",
			       path);
	}
	*out = d;
	return 0;
}

int
cdrom_open(struct cdrom **out, const struct cdrom_config *cfg,
	   struct disks *disks, struct err *e)
{
	struct cdrom *c = calloc(1, sizeof(*c));
	char serial[] = "CD-0000";
	int rc = 0;

	assert(cfg->position < DISKS_MAX);
	if (c == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	c->position = cfg->position;
	c->disks = disks;
	c->how = cfg->disc;
	c->how.path = NULL;
	c->how.read_only = c->how.shared = true;
	if (c->how.cache_bytes == 0)
		c->how.cache_bytes = CACHE_BYTES;
	serial[sizeof(serial) - 2] = (char)('0' + cfg->position);
	atapi_init(&c->atapi, serial);
	if (cfg->disc.path != NULL)
		rc = open_disc(&c->disc, c, cfg->disc.path, e);
	if (rc != 0) {
		free(c);
		return rc;
	}
	disks_set(disks, c->position, c->disc);
	atapi_first_medium(&c->atapi, c->disc);
	*out = c;
	return 0;
}

/* Nothing was written: a close that fails loses nothing. */
void
cdrom_close(struct cdrom *c)
{
	if (c == NULL)
		return;
	(void)disk_close(c->disc, NULL);
	free(c);
}

struct ide_packet
cdrom_packet(struct cdrom *c)
{
	return (struct ide_packet){&atapi_packet_ops, &c->atapi};
}

/* --- changing the disc -----------------------------------------------------
 */

struct change {
	struct cdrom *cdrom;
	bool force;
	struct disk *disc; /* in: the new one; out: the one to be closed */
	bool refused, asked;
};

static void
do_change(void *ctx, void *arg)
{
	struct change *ch = arg;
	struct cdrom *c = ch->cdrom;
	struct disk *old = c->disc;

	(void)ctx;
	if (atapi_locked(&c->atapi) && !ch->force && old != NULL) {
		ch->refused = ch->disc != NULL;
		ch->asked = !ch->refused;
		if (ch->asked)
			atapi_eject_request(&c->atapi);
		return;
	}
	disks_set(c->disks, c->position, ch->disc);
	atapi_medium(&c->atapi, ch->disc);
	c->disc = ch->disc;
	ch->disc = old;
}

int
cdrom_load(struct cdrom *c, const char *path, bool force, bool *asked,
	   struct err *e)
{
	struct change ch = {.cdrom = c, .force = force};
	int rc = path != NULL ? open_disc(&ch.disc, c, path, e) : 0;

	if (rc != 0)
		return rc;
	mail_call(c->disks->mail, do_change, &ch);
	(void)disk_close(ch.disc, NULL);
	*asked = ch.asked;
	if (ch.refused)
		return err_set(e, -EBUSY,
			       "the guest has locked the drive's door; 'eject' "
			       "asks it, 'force' opens it");
	return 0;
}
