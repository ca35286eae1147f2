// SPDX-License-Identifier: Apache-2.0
// h2_decoder: header blocks that come in to fields (HPACK, RFC 7541), for one direction of a connection. What has been
// found of a field is kept beside it in the table: a field that comes with each message is checked once.
#ifndef PERILUNE_HTTP_H2_DECODER_H
#define PERILUNE_HTTP_H2_DECODER_H

#include "base/buf.h"
#include "http/h2_head.h"

/* Of the table (section 4.1). Our SETTINGS do not name another size. */
enum { H2_DECODER_BYTES = 4096 };

struct h2_kept_field;
struct h2_repeats;

/* Zero is the start. */
struct h2_decoder {
  struct h2_kept_field **entries; /* owned; a ring by number */
  uint32_t places;                /* of the ring; a power of two */
  uint32_t inserted, count;       /* of entries: so far, and of those that are still there */
  size_t bytes;                   /* of the entries */
  size_t bytes_less;              /* by how much the other side has the table smaller than H2_DECODER_BYTES */
  struct buf scratch;             /* texts that had to be decoded, or outlive their entry */
  struct h2_found of_name;        /* of the literal that was read last, and took its name from a table */
  struct h2_repeats *repeats;     /* owned; NULL: none are kept */
};

/* A block, as far as it is read. */
struct h2_coded {
  const uint8_t *at, *end;
  bool has_begun; /* behind its first field */
};

struct h2_read_field {
  struct str name, value;
  bool is_sensitive;      /* a literal that is never to be indexed (section 6.2.3) */
  struct h2_found *found; /* what was found of it before; NULL: nothing was kept */
};

void h2_decoder_free(struct h2_decoder *d);
/* From here on it remembers the last literal of each name in the static table. This is for servers that repeat
 * literals in each response and never refer to the table (nginx). It is not for clients: the time that it takes would
 * tell one what another has sent. */
void h2_decoder_keep_repeats(struct h2_decoder *d);

enum h2_read {
  H2_READ_FIELD,
  H2_READ_END,
  H2_READ_FAULT /* no such block can have been meant: what comes behind it cannot be read (RFC 9113 section 4.3) */
};
/* The next field; its texts are valid until the next call. A block is read to its end, or nothing more is. */
enum h2_read h2_decoder_next(struct h2_decoder *d, struct h2_coded *block, struct h2_read_field *field);

#endif
