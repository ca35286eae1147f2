// SPDX-License-Identifier: Apache-2.0
// h2_memory: where nghttp2 keeps the state of one session. What it allocates at birth lies in pages of its own: some 9
// KiB of state, most of it zero or unused while the connection is idle, and a buffer of 16 KiB for the frame that goes
// out. h2_memory_rest keeps what is not zero elsewhere, in about 1 KiB, and gives the pages back to the kernel;
// h2_memory_wake puts it back where it was. What comes later (streams, fields of HPACK's tables) are pieces of
// base/memory.
#ifndef PERILUNE_HTTP_H2_MEMORY_H
#define PERILUNE_HTTP_H2_MEMORY_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A member of the session, which outlives nghttp2's. */
struct h2_memory {
  char *pages;      /* owned; first what is kept, then buffers that hold nothing between frames */
  size_t kept;      /* bytes of the former */
  size_t scratch;   /* where the latter begin */
  uint64_t *packed; /* owned; NULL: awake */
  bool is_born;
};

/* The allocator to give to nghttp2_session_*_new3. It ends the process where memory is exhausted. */
nghttp2_mem h2_memory_begin(struct h2_memory *memory);
/* nghttp2's session is made: what it allocates from here on has no pages of its own. */
void h2_memory_born(struct h2_memory *memory);
/* For when nothing is under way: no frame that is half written. Until h2_memory_wake nobody may look at the session.
 * Returns how many bytes went back to the kernel; 0: it rests already. */
size_t h2_memory_rest(struct h2_memory *memory);
/* Harmless where it is awake. */
static inline void h2_memory_wake(struct h2_memory *memory);
void h2_memory_end(struct h2_memory *memory);

/* Of h2_memory_wake, where it rests. */
void h2_memory_unpack(struct h2_memory *memory);
static inline void h2_memory_wake(struct h2_memory *memory) {
  if (memory->packed) h2_memory_unpack(memory);
}

#endif
