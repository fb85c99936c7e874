/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/ide_rig.h"
#include "vmm/ide_int.h"

#define BUFFER 0x100000U
#define CHUNK  65536U

/* A packet device whose data count up, in pieces of a size it is told. */
static struct device {
	struct ide_drive *drive;
	u32 left, piece, resets;
	u8 error, next;
	bool dma, out;
	u8 data[CHUNK];
} device;

static struct ide_rig rig;

static void
attach(void *dev, struct ide_drive *d)
{
	struct device *p = dev;

	p->drive = d;
}

static void
identify(void *dev, u16 *word)
{
	(void)dev;
	word[0] = 0x8580;
}

/* The next piece, or the end. */
static void
go_on(struct device *p)
{
	u32 n = MIN(p->left, p->piece);

	if (n == 0) {
		ide_packet_done(p->drive, p->error);
		return;
	}
	p->left -= n;
	if (p->out) {
		ide_packet_out(p->drive, p->data, n);
		return;
	}
	for (u32 i = 0; i < n; i++)
		p->data[i] = p->next++;
	ide_packet_in(p->drive, p->data, n);
}

/* Bytes 2-5 how much, 6-9 in pieces of what size, 1 the error, 0 direction */
static void
packet(void *dev, const u8 cdb[12], bool dma)
{
	struct device *p = dev;

	p->left = get_le32(cdb + 2);
	p->piece = get_le32(cdb + 6);
	p->error = cdb[1];
	p->out = cdb[0] == 1;
	p->dma = dma;
	p->next = 0;
	go_on(p);
}

static void
moved(void *dev)
{
	go_on(dev);
}

static void
forget(void *dev, bool hard)
{
	struct device *p = dev;

	p->resets += !hard;
}

static const struct ide_packet_ops ops = {attach, identify, packet, moved,
					  forget};

static int
setup(void **state)
{
	const struct ide_rig_config config = {
	    .drive = {[0].present = true},
	    .packet = {[1] = {&ops, &device}},
	};

	(void)state;
	memset(&device, 0, sizeof(device));
	ide_rig_open(&rig, &config);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ide_rig_close(&rig);
	return 0;
}

static u8
in(enum ata_reg reg)
{
	return ata_in(&rig, 1, reg);
}

static void
send(u8 feature, u16 limit, u8 how, u8 error, u32 bytes, u32 piece)
{
	u8 cdb[12] = {how, error};

	put_le32(cdb + 2, bytes);
	put_le32(cdb + 6, piece);
	ata_select(&rig, 1, 0);
	ata_out(&rig, 1, ATA_FEATURES, feature);
	ata_out(&rig, 1, ATA_MID, (u8)limit);
	ata_out(&rig, 1, ATA_HIGH, (u8)(limit >> 8));
	ata_out(&rig, 1, ATA_COMMAND, 0xa0);
	assert_int_equal(in(ATA_ALT), OK | DRQ);
	assert_int_equal(in(ATA_COUNT), 1); /* CD: a packet is wanted */
	assert_false(rig.irq[0].level);
	for (unsigned i = 0; i < 12; i += 2)
		ata_out16(&rig, 1, get_le16(cdb + i));
}

static u16
burst(void)
{
	return (u16)(in(ATA_MID) | in(ATA_HIGH) << 8);
}

static void
expect_done(u8 status, u8 error)
{
	assert_true(rig.irq[0].level);
	assert_int_equal(in(ATA_STATUS), status);
	assert_int_equal(in(ATA_ERROR), error);
	assert_int_equal(in(ATA_COUNT), 3); /* CD and IO: the end */
	assert_false(rig.irq[0].level);
}

static void
test_ide_packet_signature(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		ata_select(&rig, 1, 0);
		assert_int_equal(in(ATA_ALT), i < 2 ? 0 : OK | ERR);
		assert_int_equal(in(ATA_COUNT), 1);
		assert_int_equal(in(ATA_LOW), 1);
		assert_int_equal(in(ATA_MID), 0x14);
		assert_int_equal(in(ATA_HIGH), 0xeb);
		if (i == 0) {
			ata_out(&rig, 1, ATA_CONTROL, SRST);
			ata_out(&rig, 1, ATA_CONTROL, 0);
		} else if (i == 1) {
			ata_out(&rig, 1, ATA_MID, 0);
			ata_out(&rig, 1, ATA_COMMAND, 0xec);
			assert_int_equal(in(ATA_STATUS), OK | ERR);
			assert_int_equal(in(ATA_ERROR), ABRT);
		}
	}
}

/* FreeBSD looks at the interrupt reason with each DRQ. */
static void
test_ide_packet_bursts_obey_the_byte_count(void **state)
{
	u8 next = 0;

	(void)state;
	send(0, 1000, 0, 0, 2500, CHUNK);
	for (u32 left = 2500; left != 0;) {
		u32 n = MIN(left, 1000U);

		assert_true(rig.irq[0].level);
		assert_int_equal(in(ATA_STATUS), OK | DRQ);
		assert_int_equal(in(ATA_COUNT), 2); /* IO */
		assert_int_equal(burst(), n);
		for (u32 i = 0; i < n; i += 2) {
			u16 v = ata_in16(&rig, 1);

			assert_int_equal(v & 0xff, next++);
			assert_int_equal(v >> 8, next++);
		}
		left -= n;
	}
	expect_done(OK, 0);
}

/* An odd limit is used up to the even number below it, but for the end; one
 * of 0 or FFFFh is as much as there can be. */
static void
test_ide_packet_odd_limits(void **state)
{
	static const struct {
		u16 limit;
		u32 bytes;
		u16 bursts[3];
	} cases[] = {
	    {7, 15, {6, 6, 3}},	    {1, 4, {2, 2}},
	    {15, 15, {15}},	    {16, 15, {15}},
	    {0, 65535, {65534, 1}}, {0xffff, 65536, {65534, 2}},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		send(0, cases[i].limit, 0, 0, cases[i].bytes, CHUNK);
		for (unsigned k = 0; k < 3 && cases[i].bursts[k] != 0; k++) {
			u32 n = cases[i].bursts[k];

			assert_int_equal(in(ATA_STATUS), OK | DRQ);
			assert_int_equal(burst(), n);
			for (u32 at = 0; at < n; at += 2)
				(void)ata_in16(&rig, 1);
		}
		expect_done(OK, 0);
	}
}

static void
test_ide_packet_takes_data(void **state)
{
	(void)state;
	send(0, 100, 1, 0, 150, CHUNK);
	for (u32 n = 0; n < 75; n++) {
		assert_int_equal(in(ATA_ALT), OK | DRQ);
		assert_int_equal(in(ATA_COUNT), 0);
		ata_out16(&rig, 1, (u16)(n * 2 | (n * 2 + 1) << 8));
	}
	expect_done(OK, 0);
	/* the second burst went on where the first ended */
	for (u32 i = 0; i < 150; i++)
		assert_int_equal(device.data[i], i);
}

static void
test_ide_packet_error_is_the_sense_key(void **state)
{
	(void)state;
	send(0, 100, 0, 0x24, 0, CHUNK);
	expect_done(OK | ERR, 0x24);
	/* overlap is refused, before a packet is asked for */
	ata_out(&rig, 1, ATA_FEATURES, 2);
	ata_out(&rig, 1, ATA_COMMAND, 0xa0);
	assert_int_equal(in(ATA_STATUS), OK | ERR);
	assert_int_equal(in(ATA_ERROR), ABRT);
}

static void
dma(u32 bytes, u32 piece, u32 prd_bytes)
{
	struct rig_prd prd[16];
	unsigned n = 0;

	for (u32 at = 0; at < prd_bytes; at += 65536, n++)
		prd[n] = (struct rig_prd){BUFFER + at,
					  MIN(prd_bytes - at, 65536U) & 0xffff};
	prd[n - 1].size |= PRD_LAST;
	bm_table(&rig, 1, 0x1000, prd, n);
	send(1, 0, 0, 0, bytes, piece);
	assert_true(device.dma);
	bm_start(&rig, 1, true);
}

/* Thousands of pieces by one command: a loop, not a tower on the stack. */
static void
test_ide_packet_dma_in_many_pieces(void **state)
{
	const u8 *ram = ram_at(&rig.ram, BUFFER, 16 * 65536);

	(void)state;
	dma(16 * 65536, 2, 16 * 65536);
	expect_done(OK, 0);
	assert_int_equal(bm_in(&rig, 1, 2), 0x64);
	for (u32 i = 0; i < 16 * 65536; i++)
		assert_int_equal(ram[i], i & 0xff);
	bm_stop(&rig, 1);
	dma(4096, 2048, 8192); /* less than the table has room for */
	expect_done(OK, 0);
	assert_int_equal(bm_in(&rig, 1, 2), 0x65);
}

static void
test_ide_packet_dma_with_a_short_table(void **state)
{
	(void)state;
	dma(4096, 1000, 3000);
	assert_int_equal(in(ATA_STATUS), OK);
	assert_false(rig.irq[0].level);
	assert_int_equal(bm_in(&rig, 1, 2), 0x60);
	assert_int_equal(device.resets, 1);
	assert_int_equal(ram_at(&rig.ram, BUFFER, 3000)[2999], 2999 & 0xff);
}

static void
test_ide_packet_dma_to_no_memory(void **state)
{
	const struct rig_prd prd = {IDE_RIG_RAM, 4096 | PRD_LAST};

	(void)state;
	bm_table(&rig, 1, 0x1000, &prd, 1);
	send(1, 0, 0, 0, 4096, 4096);
	bm_start(&rig, 1, true);
	assert_true(rig.irq[0].level);
	assert_int_equal(in(ATA_STATUS), OK | ERR);
	assert_int_equal(bm_in(&rig, 1, 2), 0x66);
	assert_int_equal(device.resets, 1);
}

/* At any time, without INTRQ (FreeBSD), and the drive stays selected. */
static void
test_ide_packet_device_reset(void **state)
{
	(void)state;
	send(0, 1000, 0, 0, 2500, CHUNK);
	assert_int_equal(in(ATA_STATUS), OK | DRQ);
	(void)ata_in16(&rig, 1);
	ata_out(&rig, 1, ATA_COMMAND, 0x08);
	assert_int_equal(in(ATA_ALT), 0);
	assert_int_equal(in(ATA_ERROR), 1);
	assert_int_equal(in(ATA_MID), 0x14);
	assert_int_equal(in(ATA_DEVICE)&0x10, 0x10);
	assert_false(rig.irq[0].level);
	assert_int_equal(device.resets, 1);
	assert_int_equal(ata_in16(&rig, 1), 0);
	ide_check(rig.ide);
}

static void
test_ide_packet_srst_in_a_transfer(void **state)
{
	(void)state;
	send(0, 1000, 0, 0, 2500, CHUNK);
	ata_out(&rig, 1, ATA_CONTROL, SRST);
	assert_int_equal(device.resets, 1);
	ata_out(&rig, 1, ATA_CONTROL, 0);
	ata_select(&rig, 1, 0);
	assert_int_equal(in(ATA_ALT), 0);
	assert_int_equal(ata_in16(&rig, 1), 0);
	ide_check(rig.ide);
}

static void
test_ide_packet_identify_has_modes_and_checksum(void **state)
{
	u16 word[256];
	u8 sum = 0;

	(void)state;
	ata_select(&rig, 1, 0);
	ata_out(&rig, 1, ATA_COMMAND, 0xa1);
	ata_pull(&rig, 1, word, sizeof(word));
	for (unsigned i = 0; i < 256; i++)
		sum = (u8)(sum + word[i] + (word[i] >> 8));
	assert_int_equal(sum, 0);
	assert_int_equal(word[0], 0x8580);
	assert_int_equal(word[80], 0x00f0);
	assert_int_equal(word[88], 0x0007);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_ide_packet_signature),
	    CASE(test_ide_packet_bursts_obey_the_byte_count),
	    CASE(test_ide_packet_odd_limits),
	    CASE(test_ide_packet_takes_data),
	    CASE(test_ide_packet_error_is_the_sense_key),
	    CASE(test_ide_packet_dma_in_many_pieces),
	    CASE(test_ide_packet_dma_with_a_short_table),
	    CASE(test_ide_packet_dma_to_no_memory),
	    CASE(test_ide_packet_device_reset),
	    CASE(test_ide_packet_srst_in_a_transfer),
	    CASE(test_ide_packet_identify_has_modes_and_checksum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
