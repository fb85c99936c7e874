/* SPDX-License-Identifier: BSD-2-Clause */
/* machine - a whole PC: RAM, board, vCPU thread, control socket
 *
 * What:    the public face of vmm/. Opens a machine from a configuration,
 *          runs it until the guest or somebody outside ends it, and says how
 *          it ended. After machine_close() nothing of it is left: no thread,
 *          no file, no socket, no terminal mode.
 * Model:   i440FX + PIIX4 PC (Intel 82441FX, 82371AB data sheets).
 * Units:   bytes.
 * Threads: open, run and close on one thread, which becomes the vCPU thread
 *          in run(); the functions that say so may be called from any thread.
 * Owns:    everything it opens; strings in the configuration are copied.
 * Errors:  -errno with a sentence in struct err.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include "base/err.h"
#include "hdd/disk.h"
#include "vmm/chardev.h"

struct cdrom_config;

#define MACHINE_SERIALS 2
#define MACHINE_DISKS	4 /* primary master, slave, secondary master, slave */

/* A byte written to this port ends the machine; the byte is its exit code. */
#define MACHINE_DEBUG_EXIT_PORT 0x501

struct machine_config {
	const char *name; /* NULL: "spindle" */
	u64 memory_bytes;
	const char *driver;   /* "auto", "kvm", "soft" */
	bool host_cpuid;      /* KVM only */
	bool no_lapic;	      /* PIC and PIT only */
	const char *kernel;   /* bzImage, or ELF64 with a PVH note */
	const char *initrd;   /* may be NULL */
	const char *append;   /* kernel command line, may be NULL */
	bool no_reboot;	      /* a guest's reboot ends the run */
	const char *ctl_path; /* control socket, may be NULL */
	/* Device-test socket, may be NULL. With one there is no processor: no
	 * kernel, no driver, and the virtual clock is stepped by hand
	 * (docs/device-test.md). The machine ends with its client. */
	const char *device_test;
	struct chardev *serial[MACHINE_SERIALS]; /* NULL: unconnected */
	struct disk *disk[MACHINE_DISKS]; /* NULL: none; they outlive it */
	const struct cdrom_config *cdrom; /* NULL: no CD drive */
	bool piix3;			  /* an older IDE controller: no UDMA */
	const char *ide_firmware; /* revision of its drives; NULL: ours */
	u64 ide_delay_ns;	  /* each access takes at least this long */
};

enum machine_end_kind {
	MACHINE_POWEROFF, /* ACPI S5 */
	MACHINE_REBOOT,	  /* reset with no_reboot set */
	MACHINE_TRIPLE_FAULT,
	MACHINE_DEBUG_EXIT, /* the debug-exit port; code is the byte written */
	MACHINE_QUIT,	    /* machine_quit() or the control socket */
	MACHINE_ERROR,	    /* the driver failed; text says how */
};

struct machine_end {
	enum machine_end_kind kind;
	int code;
	char text[4096]; /* for triple fault and error: with register dump */
};

struct machine_stats {
	u64 memory_bytes;
	u64 run_ns;	 /* virtual time since power-on */
	u64 host_cpu_ns; /* CPU time of this process */
	u64 exits, exits_io, exits_mmio, exits_hlt, exits_msr;
	u64 interrupts; /* injected */
	u64 insns;	/* retired, 0 when the driver cannot tell */
};

/* Strings belong to the machine and live as long. */
struct machine_info {
	const char *name, *driver, *driver_why;
	u64 memory_bytes;
	bool paused, ended;
	char stopped[400]; /* why a disk's policy paused it, or empty */
};

struct machine;

int machine_open(struct machine **out, const struct machine_config *cfg,
		 struct err *e);

/* One line: which driver was chosen, and why. Valid until close. */
const char *machine_driver_why(const struct machine *m);

/* Runs until the end. Signals are the caller's business. */
void machine_run(struct machine *m, struct machine_end *end);

void machine_close(struct machine *m);

/* Any thread, also from a signal handler (async-signal-safe). */
void machine_quit(struct machine *m);

/* Any thread. Each has happened when it returns; powerdown presses the ACPI
 * power button, what the guest makes of it is up to the guest. */
void machine_pause(struct machine *m);
void machine_continue(struct machine *m);
void machine_powerdown(struct machine *m);
void machine_stats(struct machine *m, struct machine_stats *st);
void machine_query(struct machine *m, struct machine_info *info);

/* Any thread: the disk at a position, or NULL. */
struct disk *machine_disk(const struct machine *m, unsigned position);

/* Any thread: another disc for the CD drive, or none with path NULL; see
 * cdrom_load(). -ENODEV without a drive. */
int machine_load_disc(struct machine *m, const char *path, bool force,
		      bool *asked, struct err *e) MUST_CHECK;

/* Any thread: gives the guest up to count bytes on serial port n; returns how
 * many were taken (0 when its buffer is full). */
size_t machine_serial_input(struct machine *m, unsigned n, const u8 *bytes,
			    size_t count);

#endif
