/* SPDX-License-Identifier: BSD-2-Clause */
/* shutdown - the orderly end of a guest
 *
 * What:    asks every process to end, writes back and unmounts every file
 *          system that lies on a device, and turns the machine off. Also
 *          listens for the power button.
 * Model:   reboot(2); the generic netlink family "acpi_event", which has no
 *          header of its own in Linux: shutdown.c spells it out.
 * Threads: single-threaded, process 1 only.
 * Errors:  shutdown_now() does not return.
 */
#ifndef AGENT_SHUTDOWN_H
#define AGENT_SHUTDOWN_H

#include <stdbool.h>

/* cmd is RB_POWER_OFF, RB_AUTOBOOT or RB_HALT_SYSTEM. */
_Noreturn void shutdown_now(int cmd);

/* A descriptor that becomes readable on ACPI events, or -errno. */
int shutdown_button_open(void);

/* Reads one message; true when it says that the power button was pressed. */
bool shutdown_button_pressed(int fd);

#endif
