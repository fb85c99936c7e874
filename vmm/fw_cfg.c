/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/fw_cfg.h"

u32
fw_cfg_read(void *dev, u16 port, unsigned size_bytes)
{
	struct fw_cfg *f = dev;
	u8 item[8] = {0};
	u32 v;

	if (port == FW_CFG_PORT) /* the selector cannot be read */
		return (u32)BITS(8 * size_bytes - 1, 0);
	if (f->key == FW_CFG_SIGNATURE)
		memcpy(item, "QEMU", 4);
	else if (f->key == FW_CFG_ID)
		put_le32(item, 1);
	else if (f->key == FW_CFG_RAM_SIZE)
		put_le64(item, f->ram_bytes);
	else if (f->key == FW_CFG_NB_CPUS)
		put_le16(item, 1);
	v = f->at < sizeof(item) ? item[f->at] : 0;
	if (f->at < sizeof(item))
		f->at++;
	return v;
}

void
fw_cfg_write(void *dev, u16 port, unsigned size_bytes, u32 v)
{
	struct fw_cfg *f = dev;

	if (port != FW_CFG_PORT || size_bytes != 2)
		return;
	f->key = (u16)v;
	f->at = 0;
}
