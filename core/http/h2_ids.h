// SPDX-License-Identifier: Apache-2.0
// h2_ids: which streams the other side of an HTTP/2 connection has opened of late, and which of them we have reset:
// what still comes for those was sent before it could know (RFC 9113 section 5.1).
#ifndef PERILUNE_HTTP_H2_IDS_H
#define PERILUNE_HTTP_H2_IDS_H

#include <stdbool.h>
#include <stdint.h>

enum { H2_IDS_KEPT = 512 };

enum h2_id_state {
  H2_ID_NEW,    /* higher than all before */
  H2_ID_NEVER,  /* lower, and there was none */
  H2_ID_OPENED, /* there was one */
  H2_ID_RESET,  /* and we have reset it */
  H2_ID_OLD     /* it is too long ago to tell */
};

/* A bit for each of the last ids. Zero is the start. */
struct h2_ids {
  uint64_t opened[H2_IDS_KEPT / 64], reset[H2_IDS_KEPT / 64];
  int32_t last;
};

/* `id` is odd. */
enum h2_id_state h2_ids_state(const struct h2_ids *ids, int32_t id);
/* It is new. Those that were skipped are closed without having been open (section 5.1.1). */
void h2_ids_open(struct h2_ids *ids, int32_t id);
void h2_ids_note_reset(struct h2_ids *ids, int32_t id);

#endif
