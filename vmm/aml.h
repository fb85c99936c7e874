/* SPDX-License-Identifier: BSD-2-Clause */
/* aml - writes ACPI machine language
 *
 * What:    appends AML terms to a buffer, one call a term, nested terms between
 *          aml_open-like calls and aml_close(). Only what our DSDT needs. A
 *          buffer that is too small is a bug of the caller's, not an error.
 * Model:   ACPI 6.4 chapter 20 (AML grammar), 6.4 (resource data types).
 * Threads: the struct belongs to the caller.
 * Owns:    nothing; the buffer is the caller's.
 */
#ifndef VMM_AML_H
#define VMM_AML_H

#include "base/bits.h"

#define AML_DEPTH     8
#define AML_RESOURCES 256

struct aml {
	u8 *buf;
	size_t size_bytes, used;
	size_t opened[AML_DEPTH]; /* where each open term's PkgLength is */
	unsigned depth;
};

void aml_init(struct aml *a, u8 *buf, size_t size_bytes);

/* Scope(path), Device(name): terms follow until aml_close(). path is one name
 * segment, or the root and one segment ("\\_SB_"); segments have 4 letters. */
void aml_scope(struct aml *a, const char *path);
void aml_device(struct aml *a, const char *name);
void aml_close(struct aml *a);

/* Name(name, object): the object follows. */
void aml_name(struct aml *a, const char *name);

/* Package of count objects, which follow until aml_close(). */
void aml_package(struct aml *a, u8 count);

void aml_integer(struct aml *a, u64 v);
void aml_string(struct aml *a, const char *s);
void aml_eisa_id(struct aml *a, const char *id); /* "PNP0A03" */

static inline void
aml_name_integer(struct aml *a, const char *name, u64 v)
{
	aml_name(a, name);
	aml_integer(a, v);
}

/* Resource templates, built apart and then appended as a buffer object. */
struct aml_resources {
	u8 bytes[AML_RESOURCES];
	size_t used;
};

enum aml_space { AML_MEMORY, AML_IO, AML_BUS };

void aml_res_io(struct aml_resources *r, u16 port, u8 count);
void aml_res_irq(struct aml_resources *r, unsigned irq); /* edge, high */
/* A window a bridge passes on: [first, last], produced, fixed. */
void aml_res_word(struct aml_resources *r, enum aml_space space, u16 first,
		  u16 last);
void aml_res_dword(struct aml_resources *r, u32 first, u32 last);

/* Name(_CRS, ResourceTemplate) */
void aml_crs(struct aml *a, const struct aml_resources *r);

#endif
