/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "vmm/acpi_tables.h"
#include "vmm/control.h"
#include "vmm/devtest.h"
#include "vmm/machine_int.h"

#define NOLAPIC "nolapic"

static void
kick(void *ctx)
{
	struct machine *m = ctx;

	if (m->hv != NULL)
		m->ops->kick(m->hv);
}

/* --- opening ----------------------------------------------------------- */

static bool
is_soft(const struct machine *m)
{
	return strcmp(m->ops->name, "soft") == 0;
}

/* The kernel's command line. A machine without a local APIC must say so: CPUID
 * is the same for all and shows one. */
static int
open_boot(struct machine *m, const struct machine_config *cfg, struct err *e)
{
	const char *append = cfg->append != NULL ? cfg->append : "";
	const char *extra = m->irqchip == IRQCHIP_PIC ? NOLAPIC : "";
	bool both = append[0] != 0 && extra[0] != 0;
	struct boot_config bc = {
	    .kernel = cfg->kernel,
	    .initrd = cfg->initrd,
	    .can_enter_32 = !is_soft(m),
	};
	char *cmdline;
	int rc;

	if (asprintf(&cmdline, "%s%s%s", append, both ? " " : "", extra) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	bc.cmdline = cmdline;
	rc = boot_open(&m->boot, &bc, e);
	free(cmdline);
	return rc;
}

/* A driver that never has an irqchip leaves the TSC deadline MSR to us and
 * ticks at the virtual clock's pace, which our local APIC relies on. One that
 * could have an irqchip and has none here does neither: PIC only. */
static enum irqchip
find_irqchip(const struct machine *m, bool no_lapic)
{
	if (no_lapic)
		return IRQCHIP_PIC;
	if (m->ops->irq_line == NULL)
		return IRQCHIP_APIC;
	return m->ops->has_irqchip(m->hv) ? IRQCHIP_DRIVER : IRQCHIP_PIC;
}

static bool
has_disk(const struct machine_config *cfg)
{
	bool has = cfg->cdrom != NULL;

	for (unsigned i = 0; i < MACHINE_DISKS; i++)
		has = has || cfg->disk[i] != NULL;
	return has;
}

static int
open_all(struct machine *m, const struct machine_config *cfg, struct err *e)
{
	struct hv_config hc = {
	    .clock = &m->clock,
	    .host_cpuid = cfg->host_cpuid,
	    .want_irqchip = !cfg->no_lapic,
	};
	int rc;

	if (cfg->kernel == NULL && cfg->device_test == NULL)
		return err_set(e, -EINVAL, "no kernel was given");
	m->name = strdup(cfg->name != NULL ? cfg->name : "spindle");
	if (m->name == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	m->no_reboot = cfg->no_reboot;
	m->device_test = cfg->device_test != NULL;
	m->memory_bytes = cfg->memory_bytes;
	rc = ram_init(&m->ram, cfg->memory_bytes, e);
	if (rc == 0 && (!is_soft(m) || has_disk(cfg)))
		ram_want_huge(&m->ram);
	if (rc == 0)
		rc = m->ops->create(&m->hv, &hc, e);
	if (rc == 0)
		rc = ram_map(&m->ram, m->hv, e);
	if (rc != 0)
		return rc;
	m->irqchip = find_irqchip(m, cfg->no_lapic);
	rc = board_init(m, cfg, e);
	if (rc == 0 && !m->device_test)
		rc = open_boot(m, cfg, e);
	if (rc == 0)
		rc = machine_reset(m, e);
	if (rc == 0 && cfg->ctl_path != NULL)
		rc = control_open(&m->control, cfg->ctl_path, m, e);
	if (rc == 0 && m->device_test)
		rc = devtest_open(&m->devtest, cfg->device_test, m, e);
	return rc;
}

int
machine_open_ops(struct machine **out, const struct machine_config *cfg,
		 const struct hv_ops *ops, struct err *e)
{
	struct machine *m = calloc(1, sizeof(*m));
	int rc;

	if (m == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	m->ops = ops;
	vclock_init(&m->clock, 0);
	atomic_init(&m->quit, false);
	mail_init(&m->mail, kick, m);
	rc = open_all(m, cfg, e);
	if (rc != 0) {
		machine_close(m);
		return rc;
	}
	*out = m;
	return 0;
}

int
machine_open(struct machine **out, const struct machine_config *cfg,
	     struct err *e)
{
	const char *driver = cfg->driver != NULL ? cfg->driver : "auto";
	const struct hv_ops *ops;
	char why[200] = "";
	int rc;

	/* one whose interrupt controllers are the board's; it never runs */
	if (cfg->device_test != NULL)
		driver = "soft";
	rc = hv_choose(&ops, driver, why, e);

	if (rc == 0)
		rc = machine_open_ops(out, cfg, ops, e);
	if (rc == 0)
		memcpy((*out)->why, why, sizeof(why));
	return rc;
}

const char *
machine_driver_why(const struct machine *m)
{
	return m->why;
}

void
machine_close(struct machine *m)
{
	if (m == NULL)
		return;
	devtest_close(m->devtest);
	control_close(m->control);
	if (m->disks.mail != NULL)
		disks_release(&m->disks);
	boot_close(m->boot);
	board_release(m);
	cdrom_close(m->cdrom);
	if (m->hv != NULL)
		m->ops->destroy(m->hv);
	ram_release(&m->ram);
	mail_release(&m->mail);
	free(m->name);
	free(m);
}

/* --- running ----------------------------------------------------------- */

int
machine_reset(struct machine *m, struct err *e)
{
	struct cpu_state s;
	int rc;

	m->reset_wanted = false;
	m->halted = false;
	ram_clear(&m->ram);
	board_reset(m);
	if (m->device_test)
		return 0;
	rc = boot_load(m->boot, &m->ram, ACPI_TABLES_GPA, &s, e);
	if (rc != 0)
		return rc;
	s.tsc = vclock_now_ns(&m->clock);
	rc = m->ops->state_set(m->hv, &s);
	if (rc != 0)
		return err_errno(e, rc,
				 "the %s driver refuses to start the "
				 "processor",
				 m->ops->name);
	m->window = false;
	if (m->irqchip != IRQCHIP_DRIVER)
		m->ops->request_irq_window(m->hv, false);
	return 0;
}

void
machine_stop(struct machine *m, enum machine_end_kind kind, int code)
{
	if (m->ended)
		return;
	m->ended = true;
	m->end.kind = kind;
	m->end.code = code;
	m->end.text[0] = '\0';
}

void
machine_run(struct machine *m, struct machine_end *end)
{
	int slack = prctl(PR_GET_TIMERSLACK);

	/* a guest's timer interrupt is late by what the host's sleep is late */
	(void)prctl(PR_SET_TIMERSLACK, 1UL);
	mail_begin(&m->mail);
	if (!m->paused && !m->device_test)
		vclock_start(&m->clock);
	vcpu_loop(m);
	vclock_stop(&m->clock);
	board_flush(m);
	mail_end(&m->mail);
	if (slack > 0)
		(void)prctl(PR_SET_TIMERSLACK, (unsigned long)slack);
	*end = m->end;
}

/* --- other threads ----------------------------------------------------- */

void
machine_quit(struct machine *m)
{
	int saved = errno; /* a signal handler leaves it alone */

	atomic_store(&m->quit, true);
	mail_wake(&m->mail);
	errno = saved;
}

static void
do_pause(void *ctx, void *arg)
{
	struct machine *m = ctx;

	(void)arg;
	m->paused = true;
	vclock_stop(&m->clock);
	board_flush(m);
}

static void
do_continue(void *ctx, void *arg)
{
	struct machine *m = ctx;

	(void)arg;
	m->paused = false;
	m->stopped[0] = '\0';
	if (m->mail.open && !m->ended && !m->device_test)
		vclock_start(&m->clock);
	disks_retry(&m->disks);
}

static void
do_powerdown(void *ctx, void *arg)
{
	struct machine *m = ctx;

	(void)arg;
	acpi_pm_button(&m->acpi);
}

static void
do_stats(void *ctx, void *arg)
{
	struct machine *m = ctx;
	struct machine_stats *st = arg;
	struct hv_stats hs = {0};

	m->ops->stats(m->hv, &hs);
	*st = m->stats;
	st->memory_bytes = m->memory_bytes;
	st->run_ns = vclock_now_ns(&m->clock);
	st->host_cpu_ns = clock_cpu_ns();
	st->insns = hs.insns;
}

static void
do_query(void *ctx, void *arg)
{
	struct machine *m = ctx;
	struct machine_info *info = arg;

	info->name = m->name;
	info->driver = m->ops->name;
	info->driver_why = m->why;
	info->memory_bytes = m->memory_bytes;
	info->paused = m->paused;
	info->ended = m->ended;
	memcpy(info->stopped, m->stopped, sizeof(info->stopped));
}

void
machine_pause(struct machine *m)
{
	mail_call(&m->mail, do_pause, NULL);
}

void
machine_continue(struct machine *m)
{
	mail_call(&m->mail, do_continue, NULL);
}

void
machine_powerdown(struct machine *m)
{
	mail_call(&m->mail, do_powerdown, NULL);
}

void
machine_stats(struct machine *m, struct machine_stats *st)
{
	mail_call(&m->mail, do_stats, st);
}

void
machine_query(struct machine *m, struct machine_info *info)
{
	mail_call(&m->mail, do_query, info);
}

struct disk *
machine_disk(const struct machine *m, unsigned position)
{
	assert(position < MACHINE_DISKS);
	return m->disks.slot[position].disk;
}

int
machine_load_disc(struct machine *m, const char *path, bool force, bool *asked,
		  struct err *e)
{
	if (m->cdrom == NULL)
		return err_set(e, -ENODEV,
			       "this machine has no CD drive (--cdrom)");
	return cdrom_load(m->cdrom, path, force, asked, e);
}

size_t
machine_serial_input(struct machine *m, unsigned n, const u8 *bytes,
		     size_t count)
{
	size_t taken;

	assert(n < MACHINE_SERIALS);
	taken = serial_input(&m->serial[n], bytes, count);
	if (taken != 0)
		mail_wake(&m->mail);
	return taken;
}
