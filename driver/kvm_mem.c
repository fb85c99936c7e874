/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver/kvm_int.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>

#include "base/range.h"

#define PAGE_SHIFT 12
#define PAGE_BYTES BIT(PAGE_SHIFT)

static u64
slot_pages(const struct kvm_slot *sl)
{
	return sl->size_bytes >> PAGE_SHIFT;
}

/* Bitmaps are whole 64-bit words, as KVM_GET_DIRTY_LOG (4.8) writes them. */
static u64
slot_words(const struct kvm_slot *sl)
{
	return (slot_pages(sl) + 63) / 64;
}

static void
drop_slot(struct kvm_slot *sl)
{
	free(sl->fetched);
	free(sl->by_device);
	memset(sl, 0, sizeof(*sl));
}

/* Tells the kernel what the slot is (4.35). A size of 0 removes it. */
static int
tell(struct kvm *k, unsigned slot, const struct kvm_slot *sl, bool logging)
{
	struct kvm_userspace_memory_region r = {
	    .slot = slot,
	    .guest_phys_addr = sl->gpa,
	    .memory_size = sl->size_bytes,
	    .userspace_addr = (uintptr_t)sl->host,
	};

	if (sl->flags & HV_MEM_READONLY)
		r.flags |= KVM_MEM_READONLY;
	if (logging)
		r.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	return kvm_ioctl(k->vm_fd, KVM_SET_USER_MEMORY_REGION, &r);
}

static bool
overlaps_another(const struct kvm *k, unsigned slot, u64 gpa, u64 size_bytes)
{
	for (unsigned i = 0; i < HV_MAX_SLOTS; i++)
		if (i != slot && range_overlap(gpa, size_bytes, k->slot[i].gpa,
					       k->slot[i].size_bytes))
			return true;
	return false;
}

int
kvm_mem_map(struct hv *hv, unsigned slot, u64 gpa, u64 size_bytes, void *host,
	    u64 flags)
{
	struct kvm *k = kvm_of(hv);
	struct kvm_slot *sl;
	int r;

	if (slot >= HV_MAX_SLOTS)
		return -ENOSPC;
	sl = &k->slot[slot];
	if ((gpa | size_bytes | (uintptr_t)host) & (PAGE_BYTES - 1) ||
	    !range_inside(gpa, size_bytes, BIT(52)) ||
	    (flags & ~HV_MEM_READONLY) ||
	    (flags & HV_MEM_READONLY && !k->has_readonly) ||
	    overlaps_another(k, slot, gpa, size_bytes))
		return -EINVAL;
	/* a slot changes its place or size only by being removed first */
	if (sl->size_bytes) {
		sl->size_bytes = 0;
		r = tell(k, slot, sl, false);
		drop_slot(sl);
		if (r < 0)
			return r;
	}
	if (!size_bytes)
		return 0;
	sl->gpa = gpa;
	sl->size_bytes = size_bytes;
	sl->host = host;
	sl->flags = flags;
	sl->fetched = calloc(slot_words(sl), sizeof(u64));
	sl->by_device = calloc(slot_words(sl), sizeof(u64));
	r = sl->fetched && sl->by_device ? tell(k, slot, sl, false) : -ENOMEM;
	if (r < 0)
		drop_slot(sl);
	return r;
}

int
kvm_dirty_log(struct hv *hv, unsigned slot, bool on)
{
	struct kvm *k = kvm_of(hv);
	struct kvm_slot *sl;
	int r;

	if (slot >= HV_MAX_SLOTS || !k->slot[slot].size_bytes)
		return -EINVAL;
	sl = &k->slot[slot];
	if (on == sl->logging)
		return 0;
	if (on)
		for (u64 i = 0; i < slot_words(sl); i++)
			atomic_store_explicit(&sl->by_device[i], 0,
					      memory_order_relaxed);
	r = tell(k, slot, sl, on);
	if (r == 0)
		atomic_store_explicit(&sl->logging, on, memory_order_release);
	return r;
}

int
kvm_dirty_get(struct hv *hv, unsigned slot, u64 *bitmap)
{
	struct kvm *k = kvm_of(hv);
	struct kvm_dirty_log log = {.slot = slot};
	struct kvm_slot *sl;
	int r;

	if (slot >= HV_MAX_SLOTS || !k->slot[slot].logging)
		return -EINVAL;
	sl = &k->slot[slot];
	log.dirty_bitmap = sl->fetched;
	r = kvm_ioctl(k->vm_fd, KVM_GET_DIRTY_LOG, &log);
	if (r < 0)
		return r;
	for (u64 i = 0; i < slot_words(sl); i++)
		bitmap[i] |= sl->fetched[i] |
			     atomic_exchange_explicit(&sl->by_device[i], 0,
						      memory_order_acquire);
	return 0;
}

/* The kernel does not see a device's stores: they are logged here. Any thread;
 * the release of the bit pairs with the acquire of kvm_dirty_get(): whoever
 * sees the bit sees the bytes. Slots do not come and go while devices run. */
void
kvm_ram_written(struct hv *hv, u64 gpa, u64 size_bytes)
{
	struct kvm *k = kvm_of(hv);

	for (unsigned i = 0; i < HV_MAX_SLOTS; i++) {
		struct kvm_slot *sl = &k->slot[i];
		u64 from, to;

		if (!atomic_load_explicit(&sl->logging, memory_order_acquire) ||
		    !size_bytes ||
		    !range_overlap(gpa, size_bytes, sl->gpa, sl->size_bytes))
			continue;
		from = gpa > sl->gpa ? gpa - sl->gpa : 0;
		to = MIN(gpa + size_bytes - sl->gpa, sl->size_bytes);
		for (u64 page = from >> PAGE_SHIFT; page << PAGE_SHIFT < to;
		     page++)
			atomic_fetch_or_explicit(&sl->by_device[page / 64],
						 BIT(page % 64),
						 memory_order_release);
	}
}

void
kvm_mem_release(struct kvm *k)
{
	for (unsigned i = 0; i < HV_MAX_SLOTS; i++)
		drop_slot(&k->slot[i]);
}
