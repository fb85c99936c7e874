/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "tests/ide_rig.h"

static struct ide_rig rig;
static u16 word[256];

static void
open_with(const struct ide_rig_config *cfg)
{
	ide_rig_open(&rig, cfg);
}

static int
setup(void **state)
{
	static const struct ide_rig_config config = {
	    .drive = {[0] = {.present = true, .serial = "testdisk"}},
	};

	(void)state;
	open_with(&config);
	return 0;
}

static int
setup_unsafe(void **state)
{
	static const struct ide_rig_config config = {
	    .drive = {[0] = {.present = true, .cache = DISK_UNSAFE},
		      [1].present = true},
	};

	(void)state;
	open_with(&config);
	return 0;
}

static int
setup_piix3(void **state)
{
	static const struct ide_rig_config config = {
	    .model = IDE_PIIX3,
	    .drive = {[0] = {.present = true, .sectors = 7}},
	};

	(void)state;
	open_with(&config);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ide_rig_close(&rig);
	return 0;
}

static void
identify(unsigned drive)
{
	ata_select(&rig, drive, 0);
	ata_out(&rig, drive, ATA_COMMAND, 0xec);
	ata_pull(&rig, drive, word, sizeof(word));
	assert_int_equal(ata_in(&rig, drive, ATA_STATUS), OK);
}

static void
set_feature(u8 feature, u8 count)
{
	ata_feature(&rig, 0, 0xef, feature, count);
	ata_expect(&rig, 0, OK);
}

static void
expect_text(unsigned at, const char *text, unsigned count)
{
	char have[41], want[41];

	for (unsigned i = 0; i < count; i++)
		have[i] = (char)(word[at + i / 2] >> (i % 2 == 0 ? 8 : 0));
	have[count] = '\0';
	snprintf(want, sizeof(want), "%-*s", (int)count, text);
	assert_string_equal(have, want);
}

static void
test_ide_identify_says_who_it_is(void **state)
{
	(void)state;
	identify(0);
	assert_int_equal(word[0], 0x0040);
	expect_text(10, "testdisk", 20);
	expect_text(23, "0.1.0", 8);
	expect_text(27, "SPINDLE HARDDISK", 40);
	assert_int_equal(word[80], 0x00f0); /* "ATA-7" in Linux's log */
	assert_int_equal(word[217], 1);
	assert_int_equal(word[106], 0x4000); /* 512-byte sectors, all */
}

static void
test_ide_identify_checksum_is_right(void **state)
{
	u8 sum = 0;

	(void)state;
	identify(0);
	for (unsigned i = 0; i < 256; i++)
		sum = (u8)(sum + word[i] + (word[i] >> 8));
	assert_int_equal(sum, 0);
	assert_int_equal(word[255] & 0xff, 0xa5);
}

static void
test_ide_identify_has_every_size(void **state)
{
	(void)state;
	identify(0);
	assert_int_equal(word[60] | word[61] << 16, IDE_RIG_SECTORS);
	assert_int_equal(word[100] | word[101] << 16, IDE_RIG_SECTORS);
	assert_int_equal(word[102] | word[103], 0);
	assert_int_equal(word[3], 16);
	assert_int_equal(word[6], 63);
	assert_int_equal(word[1], IDE_RIG_SECTORS / (16 * 63));
	assert_int_equal(word[53], 7);
	assert_int_equal(word[55], 16);
	assert_int_equal(word[56], 63);
	assert_int_equal(word[57] | word[58] << 16, word[54] * 16 * 63);
}

static void
test_ide_identify_modes_of_the_piix4(void **state)
{
	(void)state;
	identify(0);
	assert_int_equal(word[88], 0x0007); /* UDMA/33 */
	assert_int_equal(word[63], 0x0007);
	assert_int_equal(word[49] & 0x0f00, 0x0f00);
	set_feature(0x03, 0x42);
	identify(0);
	assert_int_equal(word[88], 0x0407);
	assert_int_equal(word[63], 0x0007);
	set_feature(0x03, 0x21);
	identify(0);
	assert_int_equal(word[88], 0x0007);
	assert_int_equal(word[63], 0x0207);
}

static void
test_ide_identify_modes_of_the_piix3(void **state)
{
	(void)state;
	identify(0);
	assert_int_equal(word[88], 0);
	assert_int_equal(word[53], 3);
	assert_int_equal(word[93] & 0xdf61, 0x4041);
	assert_int_equal(word[63], 0x0007);
	assert_int_equal(word[1], 1); /* a very small disk has a cylinder */
	assert_int_equal(word[60], 7);
	ata_feature(&rig, 0, 0xef, 0x03, 0x42);
	ata_expect(&rig, 0, OK | ERR);
}

/* sd reads mode page 8 out of this. */
static void
test_ide_identify_word_85_follows_the_cache(void **state)
{
	(void)state;
	identify(0);
	assert_int_equal(word[82] & 0x20, 0x20);
	assert_int_equal(word[85] & 0x20, 0x20);
	set_feature(0x82, 0);
	identify(0);
	assert_int_equal(word[85] & 0x20, 0);
	ata_out(&rig, 0, ATA_CONTROL, SRST); /* a reset keeps it */
	ata_out(&rig, 0, ATA_CONTROL, 0);
	identify(0);
	assert_int_equal(word[85] & 0x20, 0);
	set_feature(0x02, 0);
	identify(0);
	assert_int_equal(word[85] & 0x20, 0x20);
}

static void
test_ide_identify_enabled_bits_follow_features(void **state)
{
	(void)state;
	identify(0);
	assert_int_equal(word[85] & 0x41, 0x41);
	assert_int_equal(word[86] & 0x208, 0);
	set_feature(0x55, 0);
	set_feature(0x05, 0x80);
	set_feature(0x42, 0xc0);
	identify(0);
	assert_int_equal(word[85] & 0x40, 0);
	assert_int_equal(word[86] & 0x208, 0x208);
	assert_int_equal(word[91] & 0xff, 0x80);
	assert_int_equal(word[94] & 0xff, 0xc0);
	set_feature(0xaa, 0);
	set_feature(0x85, 0);
	set_feature(0xc2, 0);
	identify(0);
	assert_int_equal(word[85] & 0x40, 0x40);
	assert_int_equal(word[86] & 0x208, 0);
}

/* Bits 14 and 15 of words 83, 84, 87: valid. FUA, logs, 48 bits. */
static void
test_ide_identify_command_sets_are_valid(void **state)
{
	(void)state;
	identify(0);
	assert_int_equal(word[83] >> 14, 1);
	assert_int_equal(word[84] >> 14, 1);
	assert_int_equal(word[87] >> 14, 1);
	assert_int_equal(word[83] & 0x3400, 0x3400);
	assert_int_equal(word[84] & 0x40, 0x40);
	assert_int_equal(word[87] & 0x40, 0x40);
	assert_int_equal(word[82] & 0x0002, 0); /* no security */
}

static void
test_ide_identify_multiple_is_current(void **state)
{
	(void)state;
	identify(0);
	assert_int_equal(word[47], 0x8010);
	assert_int_equal(word[59], 0x0110);
	ata_feature(&rig, 0, 0xc6, 0, 4);
	ata_expect(&rig, 0, OK);
	identify(0);
	assert_int_equal(word[59], 0x0104);
	ata_feature(&rig, 0, 0xc6, 0, 0);
	ata_expect(&rig, 0, OK);
	identify(0);
	assert_int_equal(word[59], 0);
}

static void
test_ide_identify_trim_as_the_disk_can(void **state)
{
	bool can = disk_can_discard(rig.disk[0]);

	(void)state;
	identify(0);
	assert_int_equal(word[169], can ? 1 : 0);
	assert_int_equal(word[69], can ? 0x4020 : 0);
	assert_int_equal(word[105], can ? 8 : 0);
}

/* SeaBIOS does not look for a slave that word 93 says is not there. */
static void
test_ide_seabios_word_93_tells_of_the_slave(void **state)
{
	(void)state;
	identify(0);
	assert_int_equal(word[93] & 0xdf61, 0x4041);
}

static void
test_ide_identify_tells_of_an_unsafe_disk(void **state)
{
	(void)state;
	identify(0);
	expect_text(27, "SPINDLE HARDDISK UNSAFE", 40);
	assert_int_not_equal(word[93] & 0xdf61, 0x4041); /* with a slave */
	identify(1);
	expect_text(27, "SPINDLE HARDDISK", 40);
	assert_int_equal(word[93] & 0xe000, 0x6000);
}

#define WITH(name, s) cmocka_unit_test_setup_teardown(name, s, teardown)
#define CASE(name)    WITH(name, setup)
#define UNSAFE(name)  WITH(name, setup_unsafe)
#define PIIX3(name)   WITH(name, setup_piix3)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_ide_identify_says_who_it_is),
	    CASE(test_ide_identify_checksum_is_right),
	    CASE(test_ide_identify_has_every_size),
	    CASE(test_ide_identify_modes_of_the_piix4),
	    PIIX3(test_ide_identify_modes_of_the_piix3),
	    CASE(test_ide_identify_word_85_follows_the_cache),
	    CASE(test_ide_identify_enabled_bits_follow_features),
	    CASE(test_ide_identify_command_sets_are_valid),
	    CASE(test_ide_identify_multiple_is_current),
	    CASE(test_ide_identify_trim_as_the_disk_can),
	    CASE(test_ide_seabios_word_93_tells_of_the_slave),
	    UNSAFE(test_ide_identify_tells_of_an_unsafe_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
