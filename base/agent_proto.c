/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/agent_proto.h"

#include <errno.h>

static const u32 crc_nibble[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
    0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
    0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

/* Continues a CRC; start with 0. */
u32
agent_crc32(u32 crc, const void *bytes, size_t count)
{
	const u8 *p = bytes;

	crc = ~crc;
	while (count-- != 0) {
		crc ^= *p++;
		crc = crc >> 4 ^ crc_nibble[crc & 15];
		crc = crc >> 4 ^ crc_nibble[crc & 15];
	}
	return ~crc;
}

void
agent_parser_init(struct agent_parser *p)
{
	p->count = 0;
	p->synced = false;
	p->broken = false;
	p->next_seq = 0;
}

static u32
frame_crc(const u8 *frame)
{
	u32 crc = agent_crc32(0, frame, 8);

	return agent_crc32(crc, frame + AGENT_HEADER_BYTES,
			   get_le16(frame + 4));
}

/* Is what has been read so far the beginning of a frame that may come now?
 * Before HELLO nothing else may, so at most AGENT_HELLO_BYTES of payload are
 * ever held while hunting for it. */
static bool
plausible(const struct agent_parser *p)
{
	const u8 *b = p->bytes;

	if ((p->count >= 1 && b[0] != AGENT_MAGIC0) ||
	    (p->count >= 2 && b[1] != AGENT_MAGIC1) ||
	    (p->count >= 4 && b[3] != p->next_seq))
		return false;
	if (p->count >= AGENT_HEADER_BYTES &&
	    (get_le16(b + 4) > AGENT_MAX_PAYLOAD || get_le16(b + 6) != 0))
		return false;
	if (!p->synced && p->count >= AGENT_HEADER_BYTES &&
	    (b[2] != AGENT_HELLO || get_le16(b + 4) != AGENT_HELLO_BYTES))
		return false;
	return true;
}

static bool
complete(const struct agent_parser *p)
{
	return p->count >= AGENT_HEADER_BYTES &&
	       p->count == AGENT_HEADER_BYTES + agent_frame_size(p);
}

/* Drops the first byte, and more until the rest may begin a HELLO. */
static void
hunt(struct agent_parser *p)
{
	assert(p->count <= AGENT_HEADER_BYTES + AGENT_HELLO_BYTES);
	do {
		p->count--;
		memmove(p->bytes, p->bytes + 1, p->count);
	} while (p->count != 0 && !plausible(p));
}

enum agent_event
agent_parser_feed(struct agent_parser *p, const u8 *bytes, size_t count,
		  size_t *used)
{
	*used = 0;
	if (complete(p)) /* the caller is done with the last frame */
		p->count = 0;
	while (*used < count && !p->broken) {
		size_t want = 1, n;

		if (p->count >= AGENT_HEADER_BYTES)
			want =
			    AGENT_HEADER_BYTES + agent_frame_size(p) - p->count;
		n = MIN(want, count - *used);
		memcpy(p->bytes + p->count, bytes + *used, n);
		p->count += n;
		*used += n;
		if (plausible(p) && !complete(p))
			continue;
		if (plausible(p) &&
		    frame_crc(p->bytes) == get_le32(p->bytes + 8)) {
			p->synced = true;
			p->next_seq++;
			return AGENT_FRAME;
		}
		if (p->synced)
			p->broken = true;
		else
			hunt(p);
	}
	return p->broken ? AGENT_BROKEN : AGENT_MORE;
}

size_t
agent_frame_seal(u8 *frame, u8 type, u8 seq, size_t size_bytes)
{
	assert(size_bytes <= AGENT_MAX_PAYLOAD);
	frame[0] = AGENT_MAGIC0;
	frame[1] = AGENT_MAGIC1;
	frame[2] = type;
	frame[3] = seq;
	put_le16(frame + 4, (u16)size_bytes);
	put_le16(frame + 6, 0);
	put_le32(frame + 8, frame_crc(frame));
	return AGENT_HEADER_BYTES + size_bytes;
}

/* Appends a vector of strings; *at grows. Returns how many, or -E2BIG. */
static int
pack_strings(u8 *payload, size_t *at, char *const *strings, int limit)
{
	int n = 0;

	for (; strings != NULL && strings[n] != NULL; n++) {
		size_t size_bytes = strlen(strings[n]) + 1;

		if (n >= limit || size_bytes > AGENT_MAX_PAYLOAD - *at)
			return -E2BIG;
		memcpy(payload + *at, strings[n], size_bytes);
		*at += size_bytes;
	}
	return n;
}

int
agent_exec_pack(u8 *payload, char *const *argv, char *const *env)
{
	size_t at = 8;
	int argc = pack_strings(payload, &at, argv, AGENT_MAX_STRINGS);
	int envc = argc < 0 ? argc
			    : pack_strings(payload, &at, env,
					   AGENT_MAX_STRINGS - argc);

	assert(argc != 0);
	if (envc < 0)
		return envc;
	put_le32(payload, (u32)argc);
	put_le32(payload + 4, (u32)envc);
	return (int)at;
}

int
agent_exec_unpack(const u8 *payload, size_t size_bytes,
		  char *strings[AGENT_MAX_STRINGS + 2], char ***env)
{
	size_t at = 8;
	u32 argc, envc, out = 0;

	if (size_bytes < 8)
		return -EBADMSG;
	argc = get_le32(payload);
	envc = get_le32(payload + 4);
	if (argc == 0 || argc > AGENT_MAX_STRINGS ||
	    envc > AGENT_MAX_STRINGS - argc)
		return -EBADMSG;
	for (u32 i = 0; i < argc + envc; i++) {
		const u8 *end = at < size_bytes
				    ? memchr(payload + at, 0, size_bytes - at)
				    : NULL;

		if (end == NULL)
			return -EBADMSG;
		if (i == argc)
			strings[out++] = NULL;
		strings[out++] = (char *)(uintptr_t)(payload + at);
		at = (size_t)(end - payload) + 1;
	}
	if (at != size_bytes)
		return -EBADMSG;
	if (envc == 0)
		strings[out++] = NULL;
	strings[out] = NULL;
	*env = strings + argc + 1;
	return (int)argc;
}
