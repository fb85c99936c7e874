/* SPDX-License-Identifier: BSD-2-Clause */
/* fw_cfg - what a device test asks the firmware interface of a PC emulator
 *
 * What:    read-only items behind a selector: a write of 16 bits at port 510h
 *          selects one and goes to its start, each read of a byte at 511h
 *          takes the next. The signature, the size of the RAM and the number
 *          of processors are there; everything else, and what follows an
 *          item's end, reads as 0. Only in device-test mode: a guest never
 *          sees it.
 * Model:   the "traditional" interface of fw_cfg, docs/device-test.md.
 * Threads: the vCPU thread only.
 * Owns:    nothing.
 */
#ifndef VMM_FW_CFG_H
#define VMM_FW_CFG_H

#include "base/bits.h"

#define FW_CFG_PORT 0x510

#define FW_CFG_SIGNATURE 0x00 /* 4 bytes */
#define FW_CFG_ID	 0x01 /* u32: bit 0, this interface */
#define FW_CFG_RAM_SIZE	 0x03 /* u64, bytes */
#define FW_CFG_NB_CPUS	 0x05 /* u16 */

struct fw_cfg {
	u64 ram_bytes;
	u16 key;
	u32 at; /* the next byte of the item */
};

/* Ports 510h and 511h. */
u32 fw_cfg_read(void *dev, u16 port, unsigned size_bytes);
void fw_cfg_write(void *dev, u16 port, unsigned size_bytes, u32 v);

#endif
