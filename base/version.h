/* SPDX-License-Identifier: BSD-2-Clause */
/* version - which Spindle this is
 *
 * What:    what --version prints and what disks tell as their firmware's
 *          revision; at most 8 characters, so that it fits there.
 * Threads: none.
 * Owns:    nothing.
 */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define SPINDLE_VERSION "0.1.0"

#endif
