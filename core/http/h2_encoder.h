// SPDX-License-Identifier: Apache-2.0
// h2_encoder: fields to header blocks (HPACK, RFC 7541), for one direction of a connection. What it costs counts more
// than the last octet: texts are not Huffman coded, and a field goes into the table of the other side only when it
// comes for the second time. So dates, lengths and paths that never come back cost no table, and what comes with each
// message is one octet from the third time on. What gives access, and cookies, are in no table at all.
#ifndef PERILUNE_HTTP_H2_ENCODER_H
#define PERILUNE_HTTP_H2_ENCODER_H

#include "http/h2_head.h"

enum {
  H2_ENCODER_BYTES = 2048, /* of the other side's table that are used, as RFC 7541 section 4.1 counts them */
  H2_ENCODER_ENTRIES = 32,
  H2_ENCODER_SEEN = 64
};

struct h2_entry;

/* A field that came before, by its hash. */
struct h2_seen {
  uint32_t hash;
  uint32_t number; /* of its entry: in the static table, or behind that, as they were inserted; 0: none */
};

/* Zero is the start. */
struct h2_encoder {
  struct h2_entry *entries[H2_ENCODER_ENTRIES]; /* owned; a ring by number */
  struct h2_seen seen[H2_ENCODER_SEEN];
  uint32_t inserted, count; /* of entries: so far, and of those that are still there */
  size_t bytes;             /* of the entries */
  size_t bytes_less;        /* by how much the table has to be smaller than H2_ENCODER_BYTES */
};

void h2_encoder_free(struct h2_encoder *e);
/* The other side's SETTINGS_HEADER_TABLE_SIZE. That the block behind it says so (section 4.2) is the caller's to do. */
void h2_encoder_limit(struct h2_encoder *e, uint32_t bytes);
/* Bytes that the block has at most. */
size_t h2_encoder_most(const struct h2_fields *fields);
/* Writes the block; returns its end. Blocks are to be sent in the order in which they were made, and none left out. */
char *h2_encoder_put(struct h2_encoder *e, const struct h2_fields *fields, char *to);

#endif
