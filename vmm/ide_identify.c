/* SPDX-License-Identifier: BSD-2-Clause */
/* ide_identify - IDENTIFY DEVICE
 *
 * Each word as ATA/ATAPI-7 volume 1 6.17 has it; those that came later name
 * their standard. What a word says is true: a bit that is set here has its
 * command in ide_cmd.c, and one that says "enabled" is computed.
 */
#include "vmm/ide_int.h"

#define SECTOR_WORDS 256

/* Words 82-84, Command sets supported; 85-87, enabled. Bit 14 of the second
 * and third says that they are valid. */
#define SET1_NOP       BIT(14)
#define SET1_READ_BUF  BIT(13)
#define SET1_WRITE_BUF BIT(12)
#define SET1_HPA       BIT(10)
#define SET1_LOOKAHEAD BIT(6)
#define SET1_CACHE     BIT(5)
#define SET1_POWER     BIT(3)
#define SET1_SMART     BIT(0)
#define SET1 \
	(SET1_NOP | SET1_READ_BUF | SET1_WRITE_BUF | SET1_HPA | \
	 SET1_LOOKAHEAD | SET1_CACHE | SET1_POWER | SET1_SMART)

#define SET2_FLUSH_EXT BIT(13)
#define SET2_FLUSH     BIT(12)
#define SET2_LBA48     BIT(10)
#define SET2_AAM       BIT(9)
#define SET2_APM       BIT(3)
#define SET2	       (SET2_FLUSH_EXT | SET2_FLUSH | SET2_LBA48 | SET2_AAM | SET2_APM)

#define SET3_FUA       BIT(6)
#define SET3_LOG       BIT(5)
#define SET3_TEST      BIT(1)
#define SET3_ERROR_LOG BIT(0)
#define SET3	       (SET3_FUA | SET3_LOG | SET3_TEST | SET3_ERROR_LOG)

#define VALID BIT(14)

static void
put32(u16 *word, u32 v)
{
	word[0] = (u16)v;
	word[1] = (u16)(v >> 16);
}

void
ide_identify_text(u16 *word, const char *text, unsigned count)
{
	size_t size = strlen(text);

	for (unsigned i = 0; i < count; i++) {
		u8 c = i < size ? (u8)text[i] : ' ';

		if (i % 2 == 0)
			word[i / 2] = (u16)(c << 8);
		else
			word[i / 2] |= c;
	}
}

/* The sum of all 512 bytes is 0; word 255 begins with A5h. */
void
ide_identify_checksum(u16 *word)
{
	u8 sum = 0xa5;

	for (unsigned i = 0; i < SECTOR_WORDS - 1; i++)
		sum = (u8)(sum + word[i] + (word[i] >> 8));
	word[SECTOR_WORDS - 1] = (u16)((u8)-sum << 8 | 0xa5);
}

/* Word 93. Device 0 tells whether device 1 answered; with bit 6 it answers
 * for it, and BIOSes need not wait for a drive that is not there. The cable
 * has 80 wires, and jumpers say who is who. */
static u16
reset_result(const struct ide_drive *d)
{
	bool slave = ide_present(&d->channel->drive[1]);

	if (d->unit == 1)
		return 0x6b00;
	return slave ? 0x603b : 0x604b;
}

void
ide_identify_modes(const struct ide_drive *d, u16 *word)
{
	const struct ide_drive_state *s = &d->s;
	bool ultra = d->channel->ide->model == IDE_PIIX4;

	word[49] |= 0x0f00; /* DMA, LBA, IORDY and that it can be disabled */
	word[51] = 0x0200;
	word[53] |= ultra ? 0x0006 : 0x0002;
	word[63] = 0x0007;
	if ((s->mode_dma & 0xf8) == 0x20)
		word[63] |= (u16)(0x0100 << (s->mode_dma & 7));
	word[64] = 0x0003; /* PIO modes 3 and 4 */
	for (unsigned i = 65; i <= 68; i++)
		word[i] = 120; /* ns a cycle */
	word[80] = 0x00f0;     /* ATA/ATAPI-4 to -7 */
	word[81] = 0x0021;     /* T13/1532D revision 4a */
	word[93] = reset_result(d);
	if (!ultra)
		return;
	word[88] = 0x0007; /* the PIIX4 ends at UDMA/33 */
	if ((s->mode_dma & 0xf8) == 0x40)
		word[88] |= (u16)(0x0100 << (s->mode_dma & 7));
}

void
ide_geometry(const struct ide_drive *d, u16 chs[3])
{
	u64 cylinders = d->s.max_sectors / (16 * 63);

	chs[0] = (u16)MAX(1ULL, MIN(cylinders, 16383ULL));
	chs[1] = 16;
	chs[2] = 63;
}

static void
put_geometry(const struct ide_drive *d, u16 *word)
{
	const struct ide_drive_state *s = &d->s;
	u32 track = (u32)s->heads * s->sectors;
	u16 chs[3];
	u32 cylinders;

	ide_geometry(d, chs);
	word[1] = chs[0];
	word[3] = chs[1];
	word[6] = chs[2];
	cylinders = (u32)MIN(MIN(s->max_sectors, 16514064ULL) / track, 65535U);
	word[53] |= 1;
	word[54] = (u16)cylinders;
	word[55] = s->heads;
	word[56] = s->sectors;
	put32(&word[57], cylinders * track);
	put32(&word[60], (u32)MIN(s->max_sectors, (u64)IDE_LBA28_MAX));
	put32(&word[100], (u32)s->max_sectors);
	put32(&word[102], (u32)(s->max_sectors >> 32));
}

static void
put_sets(const struct ide_drive *d, u16 *word)
{
	const struct ide_drive_state *s = &d->s;

	word[82] = SET1;
	word[83] = SET2 | VALID;
	word[84] = SET3 | VALID;
	word[85] = SET1 & ~(SET1_LOOKAHEAD | SET1_CACHE | SET1_SMART);
	if (s->lookahead)
		word[85] |= SET1_LOOKAHEAD;
	if (disk_cache_is_on(d->disk))
		word[85] |= SET1_CACHE;
	if (s->smart)
		word[85] |= SET1_SMART;
	word[86] = SET2_FLUSH_EXT | SET2_FLUSH | SET2_LBA48;
	if (s->aam != 0)
		word[86] |= SET2_AAM;
	if (s->apm != 0)
		word[86] |= SET2_APM;
	word[87] = SET3 | VALID;
	word[91] = s->apm;
	word[94] = (u16)(0x8000 | s->aam);
}

/* ACS-2: TRIM, and that what was trimmed reads as zeros for ever, which
 * disk-rules 19 makes true. */
static void
put_trim(const struct ide_drive *d, u16 *word)
{
	if (!disk_can_discard(d->disk))
		return;
	word[69] = BIT(14) | BIT(5);
	word[105] = IDE_TRIM_BLOCKS;
	word[169] = BIT(0);
}

void
ide_identify(struct ide_drive *d)
{
	struct ide_channel *c = d->channel;
	u16 word[SECTOR_WORDS] = {0};

	word[0] = 0x0040; /* an ATA device, not removable */
	ide_identify_text(&word[10], disk_serial(d->disk), 20);
	word[20] = 3; /* retired: a buffer that reads ahead, */
	word[21] = IDE_BUFFER_BYTES / DISK_SECTOR_BYTES;
	word[22] = 4; /* and vendor bytes of READ LONG */
	ide_identify_text(&word[23], c->ide->firmware, 8);
	ide_identify_text(&word[27],
			  disk_is_unsafe(d->disk) ? "SPINDLE HARDDISK UNSAFE"
						  : "SPINDLE HARDDISK",
			  40);
	word[47] = 0x8000 | IDE_MULTIPLE_MAX;
	word[50] = VALID;
	word[52] = 0x0200;
	word[59] = d->s.multiple != 0 ? 0x0100 | d->s.multiple : 0;
	put_geometry(d, word);
	ide_identify_modes(d, word);
	put_sets(d, word);
	put_trim(d, word);
	word[106] = VALID; /* a physical sector is a logical one */
	word[119] = word[120] = VALID;
	word[217] = 1; /* ACS-2: nothing rotates */
	ide_identify_checksum(word);
	memcpy(c->buffer, word, sizeof(word));
	ide_pio_in(d, c->buffer, sizeof(word), true);
}
