/* SPDX-License-Identifier: BSD-2-Clause */
#include "hdd/lz4_run_int.h"

#include <errno.h>
#include <lz4.h>

u32
lz4_run_pack(u8 *out, const u8 *in, u32 blocks)
{
	u32 most = MIN(blocks * IMG_BLOCK / 4 * 3, LZ4_OUT_BYTES) - 4;
	u32 size_bytes, sectors;
	int n;

	assert(blocks != 0 && blocks <= IMG_RUN_BLOCKS);
	n = LZ4_compress_default((const char *)in, (char *)out + 4,
				 (int)(blocks * IMG_BLOCK), (int)most);
	if (n <= 0)
		return 0;
	size_bytes = (u32)n + 4;
	sectors = (size_bytes + IMG_SECTOR - 1) / IMG_SECTOR;
	put_le32(out, (u32)n);
	memset(out + size_bytes, 0, (size_t)sectors * IMG_SECTOR - size_bytes);
	return sectors;
}

int
lz4_run_unpack(u8 *out, u32 blocks, const u8 *in, u32 sectors)
{
	u32 n = get_le32(in);
	int want = (int)(blocks * IMG_BLOCK);

	assert(blocks <= IMG_RUN_BLOCKS && sectors != 0);
	if (n == 0 || n > sectors * IMG_SECTOR - 4)
		return -EBADMSG;
	if (LZ4_decompress_safe((const char *)in + 4, (char *)out, (int)n,
				want) != want)
		return -EBADMSG;
	return 0;
}
