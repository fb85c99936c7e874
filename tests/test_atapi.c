/* SPDX-License-Identifier: BSD-2-Clause */
/* test_atapi - the CD drive's protocol, its door and what it says of itself */
#include "tests/atapi_rig.h"

static struct cd_rig rig;

static int
setup(void **state)
{
	(void)state;
	cd_rig_open(&rig, CD_RIG_BLOCKS, NULL);
	return 0;
}

static int
setup_empty(void **state)
{
	(void)state;
	cd_rig_open(&rig, 0, NULL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	cd_rig_close(&rig);
	return 0;
}

/* A command of these bytes; the rest is 0. */
#define CDB(...) ((const u8[12]){__VA_ARGS__})

static const u8 test_unit_ready[12] = {0x00};
static const u8 poll_events[12] = {0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8};
static const u8 eject[12] = {0x1b, 0, 0, 0, 2};
static const u8 load[12] = {0x1b, 0, 0, 0, 3};
static const u8 lock[12] = {0x1e, 0, 0, 0, 1};
static const u8 unlock[12] = {0x1e};

static void
expect_event(u8 event, u8 status)
{
	cd_good(&rig, poll_events);
	assert_int_equal(rig.data_bytes, 8);
	assert_memory_equal(rig.data, "\0\6\4\x10", 4);
	assert_int_equal(rig.data[4], event);
	assert_int_equal(rig.data[5], status);
}

/* --- the ATA side ------------------------------------------------------------
 */

static void
test_atapi_signature_after_reset(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		ata_select(&rig.ide, CD, 0);
		assert_int_equal(ata_in(&rig.ide, CD, ATA_ERROR), 1);
		assert_int_equal(ata_in(&rig.ide, CD, ATA_COUNT), 1);
		assert_int_equal(ata_in(&rig.ide, CD, ATA_LOW), 1);
		assert_int_equal(ata_in(&rig.ide, CD, ATA_MID), 0x14);
		assert_int_equal(ata_in(&rig.ide, CD, ATA_HIGH), 0xeb);
		ata_out(&rig.ide, CD, ATA_CONTROL, SRST);
		ata_out(&rig.ide, CD, ATA_CONTROL, 0);
		(void)ata_wait(&rig.ide, CD);
	}
}

static void
test_atapi_identify_device_aborts_with_signature(void **state)
{
	(void)state;
	ata_select(&rig.ide, CD, 0);
	ata_out(&rig.ide, CD, ATA_COMMAND, 0xec);
	ata_expect(&rig.ide, CD, OK | ERR);
	assert_int_equal(ata_in(&rig.ide, CD, ATA_ERROR), ABRT);
	assert_int_equal(ata_in(&rig.ide, CD, ATA_MID), 0x14);
	assert_int_equal(ata_in(&rig.ide, CD, ATA_HIGH), 0xeb);
}

static void
test_atapi_identify_packet_device_names_the_drive(void **state)
{
	u8 data[512], sum = 0;

	(void)state;
	ata_select(&rig.ide, CD, 0);
	ata_out(&rig.ide, CD, ATA_COMMAND, 0xa1);
	ata_pull(&rig.ide, CD, data, sizeof(data));
	assert_int_equal(get_le16(data), 0x85c0);
	assert_memory_equal(data + 20, "DC0-00 1", 6);
	assert_memory_equal(data + 54, "PSNILD EVD-DOR M", 16);
	assert_true(get_le16(data + 98) & BIT(8)); /* DMA */
	for (int i = 0; i < 512; i++)
		sum = (u8)(sum + data[i]);
	assert_int_equal(sum, 0);
	assert_int_equal(data[510], 0xa5);
}

static void
test_atapi_reset_drops_a_command_in_its_data_phase(void **state)
{
	u8 cdb[12];

	(void)state;
	cd_read10(cdb, 0, 4);
	cd_send(&rig, cdb, 2048, 0);
	assert_int_equal(ata_wait(&rig.ide, CD), OK | DRQ);
	ata_out(&rig.ide, CD, ATA_COMMAND, 0x08); /* DEVICE RESET */
	assert_int_equal(ata_in(&rig.ide, CD, ATA_MID), 0x14);
	cd_good(&rig, cdb);
	cd_check_blocks(&rig, 0, 4, 0);
}

static void
test_atapi_unknown_command_is_refused(void **state)
{
	(void)state;
	cd_bad(&rig, CDB(0xff), 5, 0x2000);
	cd_bad(&rig, CDB(0x2a), 5, 0x2000);	     /* WRITE(10) */
	cd_bad(&rig, CDB(0xa4, [9] = 8), 5, 0x2000); /* REPORT KEY */
	assert_int_equal(ata_in(&rig.ide, CD, ATA_ERROR), 0);
}

static void
test_atapi_commands_without_effect_succeed(void **state)
{
	(void)state;
	cd_good(&rig, test_unit_ready);
	cd_good(&rig, CDB(0x35));			     /* SYNCHRONIZE */
	cd_good(&rig, CDB(0xbb, 0, 0xff, 0xff, 0xff, 0xff)); /* SET CD SPEED */
	cd_good(&rig, CDB(0xa7)); /* SET READ AHEAD */
	assert_int_equal(rig.data_bytes, 0);
}

/* --- sense data and attention
 * -------------------------------------------------- */

static void
test_atapi_sense_is_told_once_and_cleared_by_the_next_command(void **state)
{
	(void)state;
	cd_sense(&rig, 0, 0);
	cd_bad(&rig, CDB(0xff), 5, 0x2000);
	cd_sense(&rig, 0, 0);
	cd_send(&rig, CDB(0xff), 0xfffe, 0);
	assert_int_equal(cd_take(&rig), OK | ERR);
	cd_good(&rig, test_unit_ready);
	cd_sense(&rig, 0, 0);
}

static void
test_atapi_request_sense_is_cut_to_its_length(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0x03, 0, 0, 0, 5));
	assert_int_equal(rig.data_bytes, 5);
	cd_good(&rig, CDB(0x03, 0, 0, 0, 0));
	assert_int_equal(rig.data_bytes, 0);
	cd_good(&rig, CDB(0x03, 0, 0, 0, 255));
	assert_int_equal(rig.data_bytes, 18);
}

static void
test_atapi_no_power_on_attention(void **state)
{
	u8 cdb[12];

	(void)state;
	cd_read10(cdb, 0, 1);
	cd_good(&rig, cdb);
}

/* Windows XP believes a change of discs only so. */
static void
test_atapi_change_is_not_ready_then_attention_then_ready(void **state)
{
	u8 cdb[12];

	(void)state;
	cd_rig_change(&rig, 300, 1000);
	cd_bad(&rig, test_unit_ready, 2, 0x3a00);
	cd_bad(&rig, test_unit_ready, 6, 0x2800);
	cd_good(&rig, test_unit_ready);
	cd_read10(cdb, 299, 1);
	cd_good(&rig, cdb);
	cd_check_blocks(&rig, 299, 1, 1000);
	cd_read10(cdb, 300, 1);
	cd_bad(&rig, cdb, 5, 0x2100);
}

static void
test_atapi_change_lets_inquiry_and_events_through(void **state)
{
	(void)state;
	cd_rig_change(&rig, 300, 0);
	cd_good(&rig, CDB(0x12, 0, 0, 0, 36));
	cd_good(&rig, CDB(0x46, 0, 0, 0, 0, 0, 0, 0, 8));
	cd_bad(&rig, test_unit_ready, 2, 0x3a00);
	expect_event(2, 2); /* new media; there is a disc */
	expect_event(0, 2);
	cd_sense(&rig, 6, 0x2800); /* told here, and not again */
	cd_good(&rig, test_unit_ready);
}

/* Linux polls the event, and gives up a mount that meets "not ready" then. */
static void
test_atapi_polled_event_stands_for_not_ready(void **state)
{
	(void)state;
	cd_rig_change(&rig, 300, 0);
	expect_event(2, 2);
	cd_bad(&rig, test_unit_ready, 6, 0x2800);
	cd_good(&rig, test_unit_ready);
}

static void
test_atapi_empty_drive_is_not_ready(void **state)
{
	u8 cdb[12];

	(void)state;
	cd_bad(&rig, test_unit_ready, 2, 0x3a01);
	cd_read10(cdb, 0, 1);
	cd_bad(&rig, cdb, 2, 0x3a01);
	cd_bad(&rig, CDB(0x25), 2, 0x3a01);
	cd_bad(&rig, CDB(0x43, [8] = 12), 2, 0x3a01);
	expect_event(0, 0);
	cd_good(&rig, CDB(0x46, 0, 0, 0, 0, 0, 0, 0, 8));
	assert_int_equal(rig.data[6] << 8 | rig.data[7], 0); /* no profile */
	cd_rig_change(&rig, 10, 0);
	cd_bad(&rig, test_unit_ready, 6, 0x2800);
	cd_good(&rig, test_unit_ready);
}

/* --- the door
 * -------------------------------------------------------------------- */

static void
test_atapi_guest_ejects_and_loads(void **state)
{
	(void)state;
	cd_good(&rig, eject);
	cd_bad(&rig, test_unit_ready, 2, 0x3a02);
	expect_event(3, 1 | 2); /* removal; open, the disc on the tray */
	cd_good(&rig, CDB(0xbd, [9] = 8));
	assert_int_equal(rig.data[1], 0x10);
	cd_good(&rig, load);
	cd_bad(&rig, test_unit_ready, 6, 0x2800);
	cd_good(&rig, test_unit_ready);
	expect_event(2, 2);
	cd_good(&rig, eject); /* nobody looked in while it was open */
	cd_good(&rig, load);
	cd_bad(&rig, test_unit_ready, 2, 0x3a00);
	cd_bad(&rig, test_unit_ready, 6, 0x2800);
	cd_good(&rig, test_unit_ready);
}

static void
test_atapi_locked_door_stays_shut(void **state)
{
	(void)state;
	cd_good(&rig, lock);
	assert_true(atapi_locked(&rig.atapi));
	cd_bad(&rig, eject, 5, 0x5302);
	cd_good(&rig, test_unit_ready);
	atapi_eject_request(&rig.atapi);
	expect_event(1, 2);
	expect_event(0, 2);
	cd_good(&rig, unlock);
	cd_good(&rig, eject);
	cd_bad(&rig, test_unit_ready, 2, 0x3a02);
}

static void
test_atapi_disc_taken_by_force_unlocks(void **state)
{
	(void)state;
	cd_good(&rig, lock);
	cd_rig_change(&rig, 0, 0);
	expect_event(3, 1);
	assert_false(atapi_locked(&rig.atapi));
	cd_bad(&rig, test_unit_ready, 2, 0x3a02);
}

static void
test_atapi_start_stop_without_the_door_does_nothing(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0x1b, 0, 0, 0, 0));	 /* stop */
	cd_good(&rig, CDB(0x1b, 0, 0, 0, 1));	 /* start */
	cd_good(&rig, CDB(0x1b, 0, 0, 0, 0x22)); /* standby; LoEj is ignored */
	cd_good(&rig, test_unit_ready);
}

static void
test_atapi_events_must_be_polled(void **state)
{
	(void)state;
	cd_bad(&rig, CDB(0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8), 5, 0x2400);
	cd_good(&rig, CDB(0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8));
	assert_int_equal(rig.data_bytes, 4);
	assert_memory_equal(rig.data, "\0\2\x80\x10", 4);
}

static void
test_atapi_hard_reset_unlocks_and_srst_does_not(void **state)
{
	(void)state;
	cd_good(&rig, lock);
	ata_out(&rig.ide, CD, ATA_CONTROL, SRST);
	ata_out(&rig.ide, CD, ATA_CONTROL, 0);
	(void)ata_wait(&rig.ide, CD);
	assert_true(atapi_locked(&rig.atapi));
	ide_reset(rig.ide.ide);
	assert_false(atapi_locked(&rig.atapi));
	cd_good(&rig, test_unit_ready);
}

/* --- about the drive
 * ---------------------------------------------------------------- */

static void
test_atapi_inquiry_says_cd_drive(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0x12, 0, 0, 0, 96));
	assert_int_equal(rig.data_bytes, 36);
	assert_memory_equal(rig.data, "\x05\x80\x05\x32\x1f", 5);
	assert_memory_equal(rig.data + 8, "SPINDLE DVD-ROM         1.0 ", 28);
	cd_good(&rig, CDB(0x12, 0, 0, 0, 8));
	assert_int_equal(rig.data_bytes, 8);
	cd_bad(&rig, CDB(0x12, 0, 1, 0, 8), 5, 0x2400);
}

static void
test_atapi_inquiry_gives_product_data(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0x12, 1, 0, 0, 96));
	assert_int_equal(rig.data_bytes, 7);
	assert_memory_equal(rig.data, "\x05\0\0\3\0\x80\x83", 7);
	cd_good(&rig, CDB(0x12, 1, 0x80, 0, 96));
	assert_memory_equal(rig.data, "\x05\x80\0\7CD-0001", 11);
	cd_good(&rig, CDB(0x12, 1, 0x83, 0, 96));
	assert_memory_equal(rig.data + 8, "SPINDLE CD-0001", 15);
	cd_bad(&rig, CDB(0x12, 1, 0xb0, 0, 96), 5, 0x2400);
}

static void
test_atapi_mode_sense_has_both_forms(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0x5a, 0, 0x2a, 0, 0, 0, 0, 1, 0));
	assert_int_equal(rig.data_bytes, 8 + 22);
	assert_int_equal(rig.data[0] << 8 | rig.data[1], 28);
	assert_int_equal(rig.data[2], 0x01); /* a data disc */
	assert_int_equal(rig.data[8], 0x2a);
	assert_int_equal(rig.data[9], 20);
	assert_int_equal(rig.data[8 + 6], 0x29);
	cd_good(&rig, lock);
	cd_good(&rig, CDB(0x1a, 0, 0x2a, 0, 255));
	assert_int_equal(rig.data_bytes, 4 + 22);
	assert_int_equal(rig.data[0], 25);
	assert_int_equal(rig.data[4 + 6], 0x2b); /* locked */
	cd_good(&rig, CDB(0x5a, 0, 0x01, 0, 0, 0, 0, 0, 20));
	assert_memory_equal(rig.data + 8, "\x01\x0a\0\5", 4);
	cd_good(&rig, CDB(0x5a, 0, 0x41, 0, 0, 0, 0, 0, 20)); /* changeable */
	assert_memory_equal(rig.data + 8, "\x01\x0a\0\0", 4);
	cd_good(&rig, CDB(0x5a, 0, 0x3f, 0, 0, 0, 0, 1, 0));
	assert_int_equal(rig.data_bytes, 8 + 12 + 8 + 16 + 12 + 12 + 22);
}

static void
test_atapi_mode_sense_refuses_what_is_not_there(void **state)
{
	(void)state;
	cd_bad(&rig, CDB(0x5a, 0, 0xea, 0, 0, 0, 0, 0, 20), 5, 0x3900);
	cd_bad(&rig, CDB(0x5a, 0, 0x05, 0, 0, 0, 0, 0, 20), 5, 0x2400);
	cd_bad(&rig, CDB(0x1a, 0, 0x2a, 1, 20), 5, 0x2400);
}

static void
test_atapi_mode_select_is_taken(void **state)
{
	static const u8 list[20] = {[8] = 1, 10, 0, 7};

	(void)state;
	cd_send(&rig, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 20), 0xfffe, 0);
	assert_int_equal(ata_wait(&rig.ide, CD), OK | DRQ);
	assert_int_equal(ata_in(&rig.ide, CD, ATA_COUNT) & 3, 0); /* out */
	ata_push(&rig.ide, CD, list, sizeof(list));
	ata_expect(&rig.ide, CD, OK);
	cd_good(&rig, CDB(0x55, 0x10));
	cd_good(&rig, CDB(0x15, 0x10));
	cd_bad(&rig, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0x80, 0), 5, 0x1a00);
}

static void
test_atapi_configuration_lists_features(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0x46, 0, 0, 0, 0, 0, 0, 1, 0));
	assert_int_equal(rig.data[2] << 8 | rig.data[3], rig.data_bytes - 4);
	assert_memory_equal(rig.data + 6, "\0\x08", 2); /* CD-ROM */
	assert_memory_equal(rig.data + 8, "\0\0\3\x08\0\x10\0\0\0\x08\1\0", 12);
	cd_good(&rig, CDB(0x46, 2, 0, 3, 0, 0, 0, 1, 0)); /* one feature */
	assert_int_equal(rig.data_bytes, 16);
	assert_memory_equal(rig.data + 8, "\0\3\x0b\4\x29\0\0\0", 8);
	cd_good(&rig, CDB(0x46, 2, 0, 0x44, 0, 0, 0, 1, 0)); /* not ours */
	assert_int_equal(rig.data_bytes, 8);
	cd_good(&rig, CDB(0x46, 1, 0, 0x1e, 0, 0, 0, 1, 0)); /* current */
	assert_memory_equal(rig.data + 8, "\0\x1e\x09\4", 4);
	assert_memory_equal(rig.data + 16, "\1\0\3\0", 4);
	cd_bad(&rig, CDB(0x46, 3, 0, 0, 0, 0, 0, 1, 0), 5, 0x2400);
}

static void
test_atapi_mechanism_has_one_slot(void **state)
{
	(void)state;
	cd_good(&rig, CDB(0xbd, [9] = 8));
	assert_memory_equal(rig.data, "\0\0\0\0\0\1\0\0", 8);
}

#define CASE(f)	 cmocka_unit_test_setup_teardown(f, setup, teardown)
#define EMPTY(f) cmocka_unit_test_setup_teardown(f, setup_empty, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_atapi_signature_after_reset),
	    CASE(test_atapi_identify_device_aborts_with_signature),
	    CASE(test_atapi_identify_packet_device_names_the_drive),
	    CASE(test_atapi_reset_drops_a_command_in_its_data_phase),
	    CASE(test_atapi_unknown_command_is_refused),
	    CASE(test_atapi_commands_without_effect_succeed),
	    CASE(test_atapi_sense_is_told_once_and_cleared_by_the_next_command),
	    CASE(test_atapi_request_sense_is_cut_to_its_length),
	    CASE(test_atapi_no_power_on_attention),
	    CASE(test_atapi_change_is_not_ready_then_attention_then_ready),
	    CASE(test_atapi_change_lets_inquiry_and_events_through),
	    CASE(test_atapi_polled_event_stands_for_not_ready),
	    EMPTY(test_atapi_empty_drive_is_not_ready),
	    CASE(test_atapi_guest_ejects_and_loads),
	    CASE(test_atapi_locked_door_stays_shut),
	    CASE(test_atapi_disc_taken_by_force_unlocks),
	    CASE(test_atapi_start_stop_without_the_door_does_nothing),
	    CASE(test_atapi_events_must_be_polled),
	    CASE(test_atapi_hard_reset_unlocks_and_srst_does_not),
	    CASE(test_atapi_inquiry_says_cd_drive),
	    CASE(test_atapi_inquiry_gives_product_data),
	    CASE(test_atapi_mode_sense_has_both_forms),
	    CASE(test_atapi_mode_sense_refuses_what_is_not_there),
	    CASE(test_atapi_mode_select_is_taken),
	    CASE(test_atapi_configuration_lists_features),
	    CASE(test_atapi_mechanism_has_one_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
