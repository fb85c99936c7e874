/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/agent_proto.h"

/* A stream of count frames: HELLO, then OUTPUT frames of growing size. */
static size_t
make_stream(u8 *stream, unsigned count)
{
	size_t at = 0;

	for (unsigned i = 0; i < count; i++) {
		u8 *payload = stream + at + AGENT_HEADER_BYTES;
		size_t size_bytes = i == 0 ? AGENT_HELLO_BYTES : i * 37;

		for (size_t j = 0; j < size_bytes; j++)
			payload[j] = (u8)(i + j);
		at += agent_frame_seal(stream + at,
				       i == 0 ? AGENT_HELLO : AGENT_OUTPUT,
				       (u8)i, size_bytes);
	}
	return at;
}

/* Feeds in pieces of step bytes; returns how many frames came out. */
static unsigned
count_frames(struct agent_parser *p, const u8 *stream, size_t size_bytes,
	     size_t step, bool *broken)
{
	unsigned frames = 0;

	*broken = false;
	for (size_t at = 0; at < size_bytes;) {
		size_t used;
		enum agent_event event =
		    agent_parser_feed(p, stream + at,
				      MIN(step, size_bytes - at), &used);

		assert_true(used <= MIN(step, size_bytes - at));
		at += used;
		frames += event == AGENT_FRAME;
		if (event == AGENT_BROKEN) {
			*broken = true;
			break;
		}
		assert_true(used != 0);
	}
	return frames;
}

static void
test_agent_proto_crc_is_that_of_ieee_802_3(void **state)
{
	(void)state;
	assert_int_equal(agent_crc32(0, "123456789", 9), 0xcbf43926);
	assert_int_equal(agent_crc32(agent_crc32(0, "1234", 4), "56789", 5),
			 0xcbf43926);
	assert_int_equal(agent_crc32(0, "", 0), 0);
}

static void
test_agent_proto_parser_finds_frames_in_any_pieces(void **state)
{
	static u8 stream[65536];
	size_t size_bytes = make_stream(stream, 40);
	struct agent_parser p;
	bool broken;

	(void)state;
	for (size_t step = 1; step < 200; step += 1 + step / 7) {
		agent_parser_init(&p);
		assert_int_equal(count_frames(&p, stream, size_bytes, step,
					      &broken),
				 40);
		assert_false(broken);
	}
}

static void
test_agent_proto_frame_is_handed_out_whole(void **state)
{
	u8 frame[AGENT_MAX_FRAME];
	struct agent_parser p;
	size_t used, count;

	(void)state;
	memset(frame + AGENT_HEADER_BYTES, 0x5a, AGENT_HELLO_BYTES);
	count = agent_frame_seal(frame, AGENT_HELLO, 0, AGENT_HELLO_BYTES);
	agent_parser_init(&p);
	assert_int_equal(agent_parser_feed(&p, frame, count, &used),
			 AGENT_FRAME);
	assert_int_equal(used, count);
	assert_int_equal(agent_frame_type(&p), AGENT_HELLO);
	assert_int_equal(agent_frame_size(&p), AGENT_HELLO_BYTES);
	assert_memory_equal(agent_frame_payload(&p), frame + AGENT_HEADER_BYTES,
			    AGENT_HELLO_BYTES);

	for (size_t i = 0; i < AGENT_MAX_PAYLOAD; i++)
		frame[AGENT_HEADER_BYTES + i] = (u8)(i * 3);
	count = agent_frame_seal(frame, AGENT_OUTPUT, 1, AGENT_MAX_PAYLOAD);
	assert_int_equal(agent_parser_feed(&p, frame, count, &used),
			 AGENT_FRAME);
	assert_int_equal(agent_frame_size(&p), AGENT_MAX_PAYLOAD);
	assert_memory_equal(agent_frame_payload(&p), frame + AGENT_HEADER_BYTES,
			    AGENT_MAX_PAYLOAD);
	count = agent_frame_seal(frame, AGENT_EXIT, 2, 0);
	assert_int_equal(agent_parser_feed(&p, frame, count, &used),
			 AGENT_FRAME);
	assert_int_equal(agent_frame_size(&p), 0);
}

/* Noise, also noise that looks like the beginning of a HELLO. */
static void
test_agent_proto_parser_skips_what_comes_before_hello(void **state)
{
	static const u8 noise[] = {'b',
				   'o',
				   'o',
				   't',
				   AGENT_MAGIC0,
				   AGENT_MAGIC0,
				   AGENT_MAGIC1,
				   AGENT_MAGIC0,
				   AGENT_MAGIC1,
				   AGENT_HELLO,
				   0,
				   16,
				   0,
				   0,
				   0,
				   1,
				   2,
				   3,
				   4,
				   5,
				   AGENT_MAGIC0,
				   AGENT_MAGIC1,
				   AGENT_HELLO,
				   0,
				   16,
				   0,
				   AGENT_MAGIC0,
				   AGENT_MAGIC1,
				   AGENT_OUTPUT,
				   0,
				   0,
				   0,
				   AGENT_MAGIC0};
	static u8 stream[4096];
	struct agent_parser p;
	size_t size_bytes;
	bool broken;

	(void)state;
	memcpy(stream, noise, sizeof(noise));
	size_bytes = sizeof(noise) + make_stream(stream + sizeof(noise), 5);
	for (size_t step = 1; step < 50; step += 3) {
		agent_parser_init(&p);
		assert_int_equal(count_frames(&p, stream, size_bytes, step,
					      &broken),
				 5);
		assert_false(broken);
	}
}

/* Whatever byte is damaged after HELLO, the frames before it come out, the
 * damaged one does not, and the parser stays broken. */
static void
test_agent_proto_parser_notices_every_damaged_byte(void **state)
{
	static u8 stream[4096];
	size_t size_bytes = make_stream(stream, 4), used;
	struct agent_parser p;
	bool broken;

	(void)state;
	for (size_t i = AGENT_HEADER_BYTES + AGENT_HELLO_BYTES; i < size_bytes;
	     i++) {
		unsigned frames;

		/* A size that grew leaves the parser waiting: any frame that
		 * follows breaks it. */
		static u8 longer[4096 + AGENT_MAX_FRAME];

		memset(longer, 0, sizeof(longer));
		memcpy(longer, stream, size_bytes);
		longer[i] ^= 0x10;
		agent_parser_init(&p);
		frames = count_frames(&p, longer, sizeof(longer), 64, &broken);
		assert_true(broken);
		assert_true(frames < 4);
		assert_int_equal(agent_parser_feed(&p, stream, size_bytes,
						   &used),
				 AGENT_BROKEN);
	}
}

static void
test_agent_proto_parser_breaks_on_a_lost_frame(void **state)
{
	u8 frame[64];
	struct agent_parser p;
	size_t used, count;

	(void)state;
	agent_parser_init(&p);
	memset(frame, 0, sizeof(frame));
	count = agent_frame_seal(frame, AGENT_HELLO, 0, AGENT_HELLO_BYTES);
	assert_int_equal(agent_parser_feed(&p, frame, count, &used),
			 AGENT_FRAME);
	count = agent_frame_seal(frame, AGENT_OUTPUT, 2, 5);
	assert_int_equal(agent_parser_feed(&p, frame, count, &used),
			 AGENT_BROKEN);
}

/* What is reserved is zero, also when the CRC agrees with it. */
static void
test_agent_proto_parser_breaks_on_a_reserved_bit(void **state)
{
	u8 frame[64] = {0};
	struct agent_parser p;
	size_t used, count;
	u32 crc;

	(void)state;
	agent_parser_init(&p);
	count = agent_frame_seal(frame, AGENT_HELLO, 0, AGENT_HELLO_BYTES);
	assert_int_equal(agent_parser_feed(&p, frame, count, &used),
			 AGENT_FRAME);
	count = agent_frame_seal(frame, AGENT_OUTPUT, 1, 5);
	frame[7] = 0x80;
	crc = agent_crc32(0, frame, 8);
	put_le32(frame + 8, agent_crc32(crc, frame + AGENT_HEADER_BYTES, 5));
	assert_int_equal(agent_parser_feed(&p, frame, count, &used),
			 AGENT_BROKEN);
}

static void
test_agent_proto_exec_survives_the_round_trip(void **state)
{
	static char *const argv[] = {"sh", "-c", "echo \"$1\"", "", "x", NULL};
	static char *const env[] = {"TERM=vt100", "EMPTY=", NULL};
	u8 payload[AGENT_MAX_PAYLOAD];
	char *strings[AGENT_MAX_STRINGS + 2], **env_out;
	int size_bytes = agent_exec_pack(payload, argv, env);

	(void)state;
	assert_true(size_bytes > 0);
	assert_int_equal(agent_exec_unpack(payload, (size_t)size_bytes, strings,
					   &env_out),
			 5);
	for (int i = 0; i < 5; i++)
		assert_string_equal(strings[i], argv[i]);
	assert_null(strings[5]);
	assert_string_equal(env_out[0], env[0]);
	assert_string_equal(env_out[1], env[1]);
	assert_null(env_out[2]);

	size_bytes = agent_exec_pack(payload, argv, NULL);
	assert_int_equal(agent_exec_unpack(payload, (size_t)size_bytes, strings,
					   &env_out),
			 5);
	assert_null(strings[5]);
	assert_null(env_out[0]);
}

static void
test_agent_proto_exec_refuses_what_does_not_fit(void **state)
{
	static char long_word[AGENT_MAX_PAYLOAD];
	char *argv[AGENT_MAX_STRINGS + 2];
	u8 payload[AGENT_MAX_PAYLOAD];

	(void)state;
	memset(long_word, 'a', sizeof(long_word) - 1);
	argv[0] = long_word;
	argv[1] = NULL;
	assert_int_equal(agent_exec_pack(payload, argv, NULL), -E2BIG);
	long_word[AGENT_MAX_PAYLOAD - 9] = '\0'; /* 8 and the last zero */
	assert_int_equal(agent_exec_pack(payload, argv, NULL),
			 AGENT_MAX_PAYLOAD);
	for (int i = 0; i <= AGENT_MAX_STRINGS; i++)
		argv[i] = "x";
	argv[AGENT_MAX_STRINGS + 1] = NULL;
	assert_int_equal(agent_exec_pack(payload, argv, NULL), -E2BIG);
	argv[AGENT_MAX_STRINGS] = NULL;
	assert_true(agent_exec_pack(payload, argv, NULL) > 0);
}

static void
test_agent_proto_exec_refuses_every_broken_payload(void **state)
{
	static char *const argv[] = {"one", "two", NULL};
	static char *const env[] = {"A=1", NULL};
	u8 payload[AGENT_MAX_PAYLOAD], bad[64];
	char *strings[AGENT_MAX_STRINGS + 2], **env_out;
	size_t size_bytes = (size_t)agent_exec_pack(payload, argv, env);

	(void)state;
	for (size_t n = 0; n < size_bytes; n++)
		assert_int_equal(agent_exec_unpack(payload, n, strings,
						   &env_out),
				 -EBADMSG);
	memcpy(bad, payload, size_bytes);
	bad[size_bytes] = 0; /* one string too many */
	assert_int_equal(agent_exec_unpack(bad, size_bytes + 1, strings,
					   &env_out),
			 -EBADMSG);
	put_le32(bad, 0); /* no argv[0] */
	assert_int_equal(agent_exec_unpack(bad, size_bytes, strings, &env_out),
			 -EBADMSG);
	put_le32(bad, UINT32_MAX);
	put_le32(bad + 4, 2); /* the sum wraps */
	assert_int_equal(agent_exec_unpack(bad, size_bytes, strings, &env_out),
			 -EBADMSG);
	memset(payload, 0, sizeof(payload)); /* empty strings, one too many */
	put_le32(payload, 1);
	put_le32(payload + 4, AGENT_MAX_STRINGS);
	assert_int_equal(agent_exec_unpack(payload, 8 + 1 + AGENT_MAX_STRINGS,
					   strings, &env_out),
			 -EBADMSG);
	put_le32(payload + 4, AGENT_MAX_STRINGS - 1);
	assert_int_equal(agent_exec_unpack(payload, 8 + AGENT_MAX_STRINGS,
					   strings, &env_out),
			 1);
	put_le32(bad, AGENT_MAX_STRINGS);
	put_le32(bad + 4, 1);
	assert_int_equal(agent_exec_unpack(bad, size_bytes, strings, &env_out),
			 -EBADMSG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_agent_proto_crc_is_that_of_ieee_802_3),
	    cmocka_unit_test(
		test_agent_proto_parser_finds_frames_in_any_pieces),
	    cmocka_unit_test(test_agent_proto_frame_is_handed_out_whole),
	    cmocka_unit_test(
		test_agent_proto_parser_skips_what_comes_before_hello),
	    cmocka_unit_test(
		test_agent_proto_parser_notices_every_damaged_byte),
	    cmocka_unit_test(test_agent_proto_parser_breaks_on_a_lost_frame),
	    cmocka_unit_test(test_agent_proto_parser_breaks_on_a_reserved_bit),
	    cmocka_unit_test(test_agent_proto_exec_survives_the_round_trip),
	    cmocka_unit_test(test_agent_proto_exec_refuses_what_does_not_fit),
	    cmocka_unit_test(
		test_agent_proto_exec_refuses_every_broken_payload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
