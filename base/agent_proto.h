/* SPDX-License-Identifier: BSD-2-Clause */
/* agent_proto - what the host and the agent in the guest say to each other
 *
 * What:    a stream of frames over a serial line (ttyS1 in the guest, serial
 *          port 1 outside), the same in both directions:
 *
 *              0  u8   magic0   D5h
 *              1  u8   magic1   A9h
 *              2  u8   type     enum agent_frame
 *              3  u8   sequence of this direction, 0 first, wraps
 *              4  u16  size_bytes of the payload, 0..AGENT_MAX_PAYLOAD
 *              6  u16  zero
 *              8  u32  CRC-32 (IEEE 802.3) of bytes 0..7 and the payload
 *             12       payload
 *
 *          Numbers are little-endian. The first frame of each direction is
 *          HELLO; until it has come a reader skips whatever is none (a boot
 *          loader or a kernel may have used the line). After it any broken
 *          frame is the end of the conversation.
 *
 *          One conversation runs commands one after another:
 *
 *              agent                            host
 *              HELLO{version, uptime_ns}  --->
 *                                         <---  HELLO{version, 0}
 *                                         <---  EXEC{argv, env}
 *              OUTPUT, ERROR_OUTPUT       --->
 *                                         <---  INPUT, CLOSE{0}, SIGNAL
 *              CREDIT{0, n}               <-->  CREDIT{1 or 2, n}
 *              EXIT{code, signal}         --->
 *                                         <---  EXEC again, or POWEROFF
 *
 *          Flow control: the sender of a stream may have AGENT_WINDOW bytes
 *          of it under way in each command, and is given room again by
 *          CREDIT{stream, n}, as the receiver hands bytes on. So neither side
 *          ever needs a larger buffer than the window, and a peer that sends
 *          more has broken the protocol. CLOSE{stream} by the sender is the
 *          end of the stream (only INPUT has one: the ends of the outputs are
 *          EXIT); by the receiver it says that nobody reads any more, and the
 *          sender drops the rest. Frames of a command that arrive after its
 *          EXIT was sent are ignored by the agent.
 * Units:   bytes; uptime in nanoseconds of the guest's CLOCK_BOOTTIME.
 * Threads: a struct agent_parser belongs to one thread.
 * Owns:    nothing; payloads lie in the parser until the next byte is fed.
 */
#ifndef BASE_AGENT_PROTO_H
#define BASE_AGENT_PROTO_H

#include "base/bits.h"

#define AGENT_VERSION	   1
#define AGENT_MAGIC0	   0xD5
#define AGENT_MAGIC1	   0xA9
#define AGENT_HEADER_BYTES 12
#define AGENT_MAX_PAYLOAD  16384
#define AGENT_MAX_FRAME	   (AGENT_HEADER_BYTES + AGENT_MAX_PAYLOAD)
#define AGENT_HELLO_BYTES  16
#define AGENT_WINDOW	   32768u

enum agent_frame {
	/* both ways, first */
	AGENT_HELLO = 1, /* u32 version, u32 zero, u64 uptime_ns */
	/* agent -> host */
	AGENT_OUTPUT = 2,	/* bytes of stdout */
	AGENT_ERROR_OUTPUT = 3, /* bytes of stderr */
	AGENT_EXIT = 4,		/* u32 code, u32 signal: one of them is 0 */
	/* both ways */
	AGENT_CREDIT = 8, /* u32 stream, u32 count: room for count more */
	AGENT_CLOSE = 9,  /* u32 stream */
	/* host -> agent */
	AGENT_EXEC = 16,     /* u32 argc, u32 envc, argc + envc strings,
				each ended by a zero byte; argc >= 1 */
	AGENT_INPUT = 17,    /* bytes for stdin */
	AGENT_SIGNAL = 18,   /* u32 Linux signal number, to the process group */
	AGENT_POWEROFF = 19, /* write back everything and turn off */
};

enum agent_stream { AGENT_STDIN, AGENT_STDOUT, AGENT_STDERR, AGENT_STREAMS };

/* Exit codes of a command that could not be run, as shells have them. */
#define AGENT_EXIT_CANNOT_RUN 126
#define AGENT_EXIT_NOT_FOUND  127

/* Bounds of what EXEC may carry. */
#define AGENT_MAX_STRINGS 1024

struct agent_parser {
	u8 bytes[AGENT_MAX_FRAME];
	size_t count; /* bytes of the frame under way */
	bool synced;  /* HELLO has been seen */
	bool broken;  /* and stays so */
	u8 next_seq;
};

enum agent_event {
	AGENT_MORE,  /* all bytes used, no frame complete */
	AGENT_FRAME, /* a frame is complete: agent_frame_*() */
	AGENT_BROKEN /* bad CRC, size, type field or a gap; for ever */
};

u32 agent_crc32(u32 crc, const void *bytes, size_t count);

void agent_parser_init(struct agent_parser *p);

/* Takes bytes until a frame is complete; *used says how many were taken. */
enum agent_event agent_parser_feed(struct agent_parser *p, const u8 *bytes,
				   size_t count, size_t *used);

/* The frame that the last AGENT_FRAME announced. */
static inline u8
agent_frame_type(const struct agent_parser *p)
{
	return p->bytes[2];
}

static inline size_t
agent_frame_size(const struct agent_parser *p)
{
	return get_le16(p->bytes + 4);
}

static inline const u8 *
agent_frame_payload(const struct agent_parser *p)
{
	return p->bytes + AGENT_HEADER_BYTES;
}

/* Writes header and CRC around the size_bytes of payload that already lie at
 * frame + AGENT_HEADER_BYTES. Returns the size of the whole frame. */
size_t agent_frame_seal(u8 *frame, u8 type, u8 seq, size_t size_bytes);

/* Lays argv and env (NULL-terminated arrays; env may be NULL) into an EXEC
 * payload of at most AGENT_MAX_PAYLOAD bytes. Returns its size or -E2BIG. */
int agent_exec_pack(u8 *payload, char *const *argv, char *const *env);

/* The other way: strings[] receives argc pointers, NULL, envc pointers, NULL
 * into payload; *env points at the second part. Returns argc, or -EBADMSG. */
int agent_exec_unpack(const u8 *payload, size_t size_bytes,
		      char *strings[AGENT_MAX_STRINGS + 2], char ***env);

#endif
