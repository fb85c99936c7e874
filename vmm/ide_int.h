/* SPDX-License-Identifier: BSD-2-Clause */
/* ide_int - what the files of the IDE controller share
 *
 * What:    struct ide holds the controller by value. ide_regs.c is what the
 *          guest sees at the ports, ide_cmd.c the table of commands and how
 *          they end, ide_media.c the commands that reach the medium,
 *          ide_xfer.c data by PIO and requests to the disk, ide_dma.c the bus
 *          master, ide_packet.c the PACKET protocol, ide_identify.c,
 *          ide_smart.c, ide_log.c, ide_trim.c and ide_feature.c what their
 *          names say, piix_ide.c the PCI function.
 * Model:   ATA/ATAPI-7 volumes 1 and 2; 82371AB data sheet.
 * Threads: the vCPU thread only.
 *
 * A channel has at most one command, that of its selected drive, and is in
 * one phase:
 *
 *      IDLE --ide_command()--> BUSY <--ide_pio_in/out(), all moved--> PIO
 *        ^                     |  ^
 *        |                     |  +-- ide_dma_run(), data moved --> DMA
 *        +------ide_end()------+-- ide_submit(), ide_disk_done() --> DISK
 *        +--(DELAY)<-----------+
 *      any --SRST set--> RESET --SRST cleared--> DRAIN --> IDLE
 *
 * IDLE   nothing to do; BSY and DRQ are clear in both drives.
 * BUSY   inside a function of these files, or waiting for a packet device.
 * PIO    DRQ: the guest reads or writes pio.data.
 * DMA    the command waits for the bus master to be started.
 * DISK   req is at the disk.
 * DELAY  done, and told to the guest when the timer fires.
 * RESET  SRST is held. DRAIN: it is over, but a request of the command before
 *        it is still in flight that reads or writes guest memory or the
 *        channel's buffer. BSY stays set until that is done: no byte moves
 *        after a reset has been reported, and no sector is written from memory
 *        that the guest uses for something else (disk-rules 2). Requests
 *        without data, a flush above all, go on by themselves, and only their
 *        answer is dropped: the reset is over at once, nothing is lost.
 *
 * Invariants:
 *  [I1] phase IDLE or RESET..DRAIN: no command; row is NULL.
 *  [I2] BSY or DRQ is set exactly outside of IDLE, in the selected drive or,
 *       in RESET and DRAIN, in both.
 *  [I3] a slot of req[] in use and not dropped belongs to the command in phase
 *       DISK; there is at most one.
 *  [I4] in PIO: at < burst_end <= size_bytes.
 *  [I5] the wire is intrq of the selected drive and not nIEN.
 */
#ifndef VMM_IDE_INT_H
#define VMM_IDE_INT_H

#include "vmm/ide.h"

/* Status, 6.9 (volume 2) */
#define STATUS_BSY  0x80
#define STATUS_DRDY 0x40
#define STATUS_DF   0x20
#define STATUS_DSC  0x10 /* obsolete in ATA-7; older drivers wait for it */
#define STATUS_DRQ  0x08
#define STATUS_ERR  0x01 /* CHK for packet devices */

/* Error, 6.4 */
#define ERROR_UNC  0x40
#define ERROR_IDNF 0x10
#define ERROR_ABRT 0x04

/* Device, 6.3; Device Control, 6.2 */
#define DEVICE_LBA   0x40
#define DEVICE_DEV   0x10
#define DEVICE_HEAD  0x0f
#define CONTROL_HOB  0x80
#define CONTROL_SRST 0x04
#define CONTROL_NIEN 0x02

/* Interrupt Reason: the count register of a packet device */
#define REASON_CD 0x01
#define REASON_IO 0x02

/* Bus master, 82371AB 5.2 */
#define BM_START     0x01
#define BM_TO_MEMORY 0x08
#define BM_ACTIVE    0x01
#define BM_ERROR     0x02
#define BM_INTR	     0x04
#define BM_CAPABLE   0x60

#define IDE_MULTIPLE_MAX 16
#define IDE_BUFFER_BYTES (IDE_MULTIPLE_MAX * DISK_SECTOR_BYTES)
#define IDE_PIECES_MAX	 8192 /* a PRD table is at most 64 KiB */
#define IDE_REQUESTS	 8    /* of a channel; all but one are dropped */
#define IDE_TRIM_BLOCKS	 8    /* sectors of DATA SET MANAGEMENT */
#define IDE_ERRORS_MAX	 5    /* in the SMART error log */
#define IDE_TESTS_MAX	 21   /* in the self-test log */
#define IDE_LBA28_MAX	 0x0fffffffU

enum ide_phase {
	IDE_IDLE,
	IDE_BUSY,
	IDE_PIO,
	IDE_DMA,
	IDE_DISK,
	IDE_DELAY,
	IDE_RESET,
	IDE_DRAIN,
};

/* A register that remembers what was written before it: for 48-bit addresses
 * the Command Block is two bytes deep (volume 1 6.2, HOB). */
struct ide_reg {
	u8 now, hob;
};

/* How the error log saw a command. */
struct ide_error_entry {
	u8 command, features, count, device, error, status;
	u64 lba;
	u32 life_ms; /* when it failed */
	u16 life_hours;
};

struct ide_test_entry {
	u8 number, status;
	u16 life_hours;
	u64 lba;
};

struct ide_drive_state {
	struct ide_reg features, count, lba[3];
	u8 device, status, error;
	bool intrq;
	/* settings */
	u8 multiple; /* sectors a block, 0: READ MULTIPLE is refused */
	u8 mode_pio; /* SET FEATURES 03h */
	u8 mode_dma; /* 20h+n multiword, 40h+n ultra, 0: none */
	u8 apm, aam; /* 0: off */
	bool lookahead, revert; /* CCh: SRST restores defaults */
	bool standby, sleep;
	u16 heads, sectors; /* INITIALIZE DEVICE PARAMETERS */
	/* SET MAX */
	u64 max_sectors; /* what the guest may use now */
	u64 max_set;	 /* that after a hardware reset */
	bool max_set_once;
	bool max_native; /* the last command was READ NATIVE MAX */
	/* SMART */
	bool smart, autosave;
	u8 test_status, test_number;
	bool test_captive;	/* its command waits for it */
	u64 test_lba, test_end; /* what is still to be verified */
	u32 test_count, test_bad;
	struct ide_test_entry test_log[IDE_TESTS_MAX]; /* ring */
	/* errors since power-on */
	u32 error_count;
	struct ide_error_entry error_log[IDE_ERRORS_MAX]; /* ring */
};

struct ide_channel;

struct ide_drive {
	struct ide_drive_state s;
	struct ide_channel *channel;
	unsigned unit;
	struct disk *disk;	  /* NULL: no ATA disk */
	struct ide_packet packet; /* ops NULL: no packet device */
	struct disk_req test;	  /* of the self-test */
	bool testing;		  /* test is at the disk */
	bool test_stale;	  /* ... and nobody waits for it any more */
};

/* One slot for a request at the disk. */
struct ide_request {
	struct disk_req r;
	struct ide_channel *channel;
	bool used;
	bool dropped; /* its command is gone */
	bool data;    /* it has an iov */
};

/* Data on their way by PIO. */
struct ide_pio {
	u8 *data; /* the channel's buffer or a packet device's */
	u32 size_bytes, at;
	u32 burst_end; /* DRQ falls here; size_bytes but for packet devices */
	bool out;      /* guest to device */
};

/* The bus master of a channel. */
struct ide_dma {
	u8 command, status;
	u32 table;    /* Descriptor Table Pointer */
	u32 index;    /* the PRD that comes next */
	u32 left_gpa; /* what is left of the one before */
	u32 left_bytes;
	bool end;  /* that was the last */
	bool stop; /* START was cleared while data were in flight */
	/* the memory of the data in flight */
	unsigned pieces;
	u64 bytes;
	struct iovec iov[IDE_PIECES_MAX];
	u32 gpa[IDE_PIECES_MAX];
};

/* The command that runs, beyond its row. */
struct ide_job {
	u64 id; /* in the trace */
	u8 opcode;
	u8 status;	 /* to be told when the delay is over */
	enum disk_op op; /* of the request that runs or ran last */
	u64 lba;	 /* of the sector that comes next */
	u32 count;	 /* sectors still to be moved */
	u32 block;	 /* of these, by the request or DRQ block that runs */
	u32 step;	 /* for commands with several steps */
	bool ext;	 /* 48-bit registers */
	bool packet_dma;
	bool moving; /* a loop of the command runs further down the stack */
	u16 limit;   /* byte count limit of PACKET */
};

struct ide_row;

struct ide_channel {
	struct ide *ide;
	unsigned number;
	struct ide_drive drive[2];
	u8 select; /* which drive the device register names */
	u8 control;
	bool wire; /* level of INTRQ */
	enum ide_phase phase;
	const struct ide_row *row;
	struct ide_job job;
	struct ide_pio pio;
	struct ide_dma dma;
	struct vtimer delay;
	struct ide_request req[IDE_REQUESTS];
	struct iovec buffer_iov;
	u8 buffer[IDE_BUFFER_BYTES] __attribute__((aligned(64)));
};

struct ide {
	struct pci_function pci;
	enum ide_model model;
	struct ram *ram;
	struct vtimers *timers;
	struct pio *pio;
	struct irqline irq[IDE_CHANNELS];
	u64 delay_ns;
	char firmware[9];
	u16 bm_port; /* 0: nowhere */
	bool placed[IDE_CHANNELS];
	struct vtimer test_timer;
	struct ide_channel channel[IDE_CHANNELS];
};

/* One command. What it does not use is NULL. */
struct ide_row {
	const char *name;
	/* The command register was written; BSY is set. */
	void (*start)(struct ide_drive *d);
	/* The data phase is over; BSY is set. */
	void (*moved)(struct ide_drive *d);
	/* The request is done; BSY is set. error is 0 or -errno. */
	void (*done)(struct ide_drive *d, int error, u64 error_lba);
	u8 flags;
};

#define ROW_DISK   BIT(0) /* ATA disks know it */
#define ROW_PACKET BIT(1) /* packet devices do */
#define ROW_EXT	   BIT(2) /* 48-bit */
#define ROW_WRITE  BIT(3) /* data go to the device */
#define ROW_DMA	   BIT(4)
#define ROW_MULTI  BIT(5)
#define ROW_FUA	   BIT(6)
#define ROW_MEDIUM BIT(7) /* takes at least delay_ns; leaves standby */

static inline bool
ide_present(const struct ide_drive *d)
{
	return d->disk != NULL || d->packet.ops != NULL;
}

static inline struct ide_drive *
ide_selected(struct ide_channel *c)
{
	return &c->drive[c->select];
}

/* --- ide_regs.c --------------------------------------------------------- */

u32 ide_command_read(void *dev, u16 port, unsigned size_bytes);
void ide_command_write(void *dev, u16 port, unsigned size_bytes, u32 v);
u32 ide_control_read(void *dev, u16 port, unsigned size_bytes);
void ide_control_write(void *dev, u16 port, unsigned size_bytes, u32 v);

/* Asserts the invariants, for tests. */
void ide_check(const struct ide *i);

/* INTRQ of a drive; the wire follows while it is selected. */
void ide_intrq(struct ide_drive *d, bool on);

/* The registers as after a reset, 9.12; error is the diagnostic code. */
void ide_signature(struct ide_drive *d, u8 error);

/* Everything in a channel that a hardware reset clears. */
void ide_channel_reset(struct ide_channel *c);

/* A dropped request is done: a reset that waited for it may be over. */
void ide_drained(struct ide_channel *c);

/* --- ide_cmd.c ---------------------------------------------------------- */

/* The command register was written, phase is IDLE. */
void ide_command(struct ide_channel *c, u8 opcode);
const struct ide_row *ide_row(u8 opcode);

/* The command ends: status with DRDY, and INTRQ. The first is success; error
 * is the error register, status is added to the status register. */
void ide_end(struct ide_drive *d);
void ide_abort(struct ide_drive *d); /* ABRT */
void ide_fail(struct ide_drive *d, u8 error, u8 status);

/* The command ends because the disk said so: errno to status and error
 * register, with the address of the first bad sector, in this one place. */
void ide_fail_errno(struct ide_drive *d, int error, u64 error_lba);

/* Without INTRQ, where the standard wants none. */
void ide_end_silent(struct ide_drive *d, u8 status);

void ide_end_moved(struct ide_drive *d);

void ide_delay_over(void *channel);

/* The command is forgotten; its request, if any, is dropped. Phase becomes
 * BUSY; the caller says what is next. */
void ide_forget(struct ide_channel *c);

/* --- ide_media.c -------------------------------------------------------- */

/* The address registers, 28 or 48 bits or CHS, as sectors; false when a CHS
 * address is none. And back. */
bool ide_address(const struct ide_drive *d, bool ext, u64 *lba);
void ide_put_address(struct ide_drive *d, bool ext, u64 lba);
u32 ide_count(const struct ide_drive *d, bool ext);
void ide_put_count(struct ide_drive *d, bool ext, u32 count);

void ide_read(struct ide_drive *d);
void ide_read_moved(struct ide_drive *d);
void ide_read_done(struct ide_drive *d, int error, u64 error_lba);
void ide_write(struct ide_drive *d);
void ide_write_moved(struct ide_drive *d);
void ide_write_done(struct ide_drive *d, int error, u64 error_lba);
void ide_dma_rw(struct ide_drive *d);
void ide_dma_rw_go(struct ide_drive *d);
void ide_dma_rw_done(struct ide_drive *d, int error, u64 error_lba);
void ide_verify(struct ide_drive *d);
void ide_flush(struct ide_drive *d);
void ide_seek(struct ide_drive *d);

/* done() of commands that end with their only request. */
void ide_simple_done(struct ide_drive *d, int error, u64 error_lba);

/* --- ide_xfer.c --------------------------------------------------------- */

/* A data phase: DRQ, the guest moves size_bytes at data, then row->moved().
 * intrq: announced by INTRQ. */
void ide_pio_in(struct ide_drive *d, u8 *data, u32 size_bytes, bool intrq);
void ide_pio_out(struct ide_drive *d, u8 *data, u32 size_bytes, bool intrq);

/* The data register. */
u32 ide_data_read(struct ide_channel *c, unsigned size_bytes);
void ide_data_write(struct ide_channel *c, unsigned size_bytes, u32 v);
u32 ide_data_string(void *dev, u16 port, unsigned size_bytes, bool write,
		    u8 *data, u32 count);

/* One request to the disk, then row->done(). iov may be NULL. */
void ide_submit(struct ide_drive *d, enum disk_op op, u32 flags, u64 lba,
		u32 count, const struct iovec *iov, unsigned iov_count);

/* --- ide_dma.c ---------------------------------------------------------- */

u32 ide_bm_read(void *dev, u16 port, unsigned size_bytes);
void ide_bm_write(void *dev, u16 port, unsigned size_bytes, u32 v);

/* The command has data for the bus master: phase DMA until that is started,
 * then row->moved() with BSY set. */
void ide_dma_wait(struct ide_drive *d);

enum ide_dma_got {
	IDE_DMA_OK,
	IDE_DMA_SHORT, /* the table ends before: bytes says where */
	IDE_DMA_ERROR, /* not memory */
	IDE_DMA_OFF,   /* the PCI function may not master the bus */
};

/* The next bytes of memory that the PRD table names, into dma.iov. */
enum ide_dma_got ide_dma_gather(struct ide_channel *c, u64 bytes);

/* Only the first bytes of it. */
void ide_dma_cut(struct ide_channel *c, u64 bytes);

/* Data went into what dma.iov names: the driver is told. */
void ide_dma_touched(struct ide_channel *c);

/* The transfer is over, however it went: Active and Error follow. */
void ide_dma_over(struct ide_channel *c, bool error);

/* size_bytes between data and the memory that the table names. */
enum ide_dma_got ide_dma_copy(struct ide_channel *c, u8 *data, u64 size_bytes,
			      bool to_memory);

/* As power-on leaves it; SRST leaves the bus master alone. */
void ide_dma_reset(struct ide_channel *c);

/* The table was too short: the drive is done, nobody is told. */
void ide_dma_short(struct ide_drive *d);

/* --- ide_packet.c: for packet devices ----------------------------------- */

void ide_packet(struct ide_drive *d);
void ide_packet_moved(struct ide_drive *d);
void ide_packet_burst(struct ide_drive *d); /* the next DRQ by PIO */
void ide_packet_identify(struct ide_drive *d);
void ide_device_reset(struct ide_drive *d);

/* The device has, or wants, size_bytes (not 0) at data, which stay until
 * moved(). By DMA or, in bursts of the byte count limit, by PIO. May be called
 * several times for a command, from packet(), moved() or later. */
void ide_packet_in(struct ide_drive *d, u8 *data, u32 size_bytes);
void ide_packet_out(struct ide_drive *d, u8 *data, u32 size_bytes);

/* The command is over. error is the error register, sense key << 4 and ABRT,
 * or 0 for success; anything else sets CHK. */
void ide_packet_done(struct ide_drive *d, u8 error);

/* --- ide_identify.c, ide_feature.c, ide_smart.c, ide_log.c, ide_trim.c -- */

void ide_identify(struct ide_drive *d);

/* What every drive on the channel says of transfer modes, and words 80, 81 */
void ide_identify_modes(const struct ide_drive *d, u16 *word);
void ide_identify_checksum(u16 *word);

/* The last byte of a sector of a log or of SMART: the sum of all is 0. */
void ide_checksum_sector(u8 *data);

/* count characters, two a word, the first in the high byte, blanks behind. */
void ide_identify_text(u16 *word, const char *text, unsigned count);

/* Cylinders, heads, sectors by default, of 16383/16/63 at most. */
void ide_geometry(const struct ide_drive *d, u16 chs[3]);

void ide_defaults(struct ide_drive *d, bool hard);
void ide_set_features(struct ide_drive *d);
void ide_set_multiple(struct ide_drive *d);
void ide_set_parameters(struct ide_drive *d);
void ide_power(struct ide_drive *d);
void ide_check_power(struct ide_drive *d);
void ide_standby(struct ide_drive *d);
void ide_standby_done(struct ide_drive *d, int error, u64 error_lba);
void ide_sleep(struct ide_drive *d);
void ide_sleep_done(struct ide_drive *d, int error, u64 error_lba);
void ide_native_max(struct ide_drive *d);
void ide_set_max(struct ide_drive *d);

void ide_smart(struct ide_drive *d);
void ide_smart_moved(struct ide_drive *d);

void ide_smart_reset(struct ide_drive *d, bool hard);

/* The background self-test takes its next step. */
void ide_smart_step(void *ide);
void ide_smart_test_done(struct disk_req *r);

/* One sector of a log of READ LOG EXT or SMART READ LOG; false: none. */
bool ide_log_page(const struct ide_drive *d, u8 log, u32 page, bool ext,
		  u8 *data);
void ide_log_error(struct ide_drive *d, u64 lba);
void ide_read_log(struct ide_drive *d);
void ide_read_log_moved(struct ide_drive *d);

void ide_trim(struct ide_drive *d);
void ide_trim_moved(struct ide_drive *d);
void ide_trim_done(struct ide_drive *d, int error, u64 error_lba);

#endif
