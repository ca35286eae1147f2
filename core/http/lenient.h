// SPDX-License-Identifier: Apache-2.0
// lenient: deviations from RFC 9112 that are accepted in a peer's responses. Each has a name, by which a policy
// allows it for a peer. Deviations whose meaning is not in doubt are allowed by default; those that two parties could
// read in two ways are not. Requests are never read leniently.
//
// To add one: a line here, its place in scan, parser, framing or chunked, and its entry in lua/perilune/types.lua.
#ifndef PERILUNE_HTTP_LENIENT_H
#define PERILUNE_HTTP_LENIENT_H

#include "base/str.h"

/* X(ID, name, is allowed from the start) */
#define LENIENT_TABLE(X)                                                                                     \
  X(CHUNK_PADDING, "chunk_padding", true) /* white space behind the size of a chunk */                       \
  X(ODD_STATUS, "odd_status", true)       /* 600 to 999, which says no more than another final status */     \
  X(MANY_FIELDS, "many_fields", true)     /* LENIENT_FIELDS instead of the listener's limit */               \
  X(BARE_LF, "bare_lf", false)            /* lines of a head that end with LF alone */                       \
  X(OBS_FOLD, "obs_fold", false)          /* fields that go on in the next line */                           \
  X(BOTH_LENGTHS, "both_lengths", false)  /* Content-Length beside chunked: the chunks count */              \
  X(NO_CLOSE_NOTIFY, "no_close_notify", false) /* TLS that ends without saying so; for net/tls */

enum lenient_bit {
#define X(id, name, allowed) LENIENT_BIT_##id,
  LENIENT_TABLE(X)
#undef X
      LENIENT_BITS
};
enum {
#define X(id, name, allowed) LENIENT_##id = 1 << LENIENT_BIT_##id,
  LENIENT_TABLE(X)
#undef X
      LENIENT_DEFAULT = 0
#define X(id, name, allowed) | (allowed) << LENIENT_BIT_##id
  LENIENT_TABLE(X)
#undef X
};
enum { LENIENT_FIELDS = 1000, LENIENT_STATUS_MOST = 999, STATUS_MOST = 599 };

static inline unsigned lenient_status_most(unsigned allowed) {
  return allowed & LENIENT_ODD_STATUS ? LENIENT_STATUS_MOST : STATUS_MOST;
}

/* A head as RFC 9112 has it, of one with the deviations that are allowed: lines that end with LF alone, and folded
 * ones, which become one with a space (section 5.2). What is not allowed stays as it is. In arena memory, unless there
 * is nothing to mend. */
struct arena;
struct str lenient_mend(struct str head, unsigned allowed, struct arena *arena);

#endif
