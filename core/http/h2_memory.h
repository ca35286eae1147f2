// SPDX-License-Identifier: Apache-2.0
// h2_memory: where nghttp2 keeps the state of one session. What it allocates at birth and hardly uses while the
// connection is idle (the buffer of a frame that goes out, an empty table of streams) lies in pages of its own, which
// h2_memory_rest gives back to the kernel: an idle connection would otherwise hold twice what it needs.
#ifndef PERILUNE_HTTP_H2_MEMORY_H
#define PERILUNE_HTTP_H2_MEMORY_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>

enum { H2_AREAS = 2 };

/* A member of the session, which outlives nghttp2's. */
struct h2_memory {
  char *pages; /* owned; of all areas */
  struct h2_area {
    char *at;
    size_t bytes; /* whole pages */
    bool is_scratch;
  } areas[H2_AREAS];
  size_t used; /* bytes of `pages` */
  bool is_born;
};

/* The allocator to give to nghttp2_session_*_new3. It ends the process where memory is exhausted. */
nghttp2_mem h2_memory_begin(struct h2_memory *memory);
/* nghttp2's session is made: what it allocates from here on has no pages of its own. */
void h2_memory_born(struct h2_memory *memory);
/* For when nothing is under way: no stream, no frame that is half written. Returns how many bytes went back to the
 * kernel. */
size_t h2_memory_rest(struct h2_memory *memory);
void h2_memory_end(struct h2_memory *memory);

#endif
