// SPDX-License-Identifier: Apache-2.0
// encoder: the chunked coding around a payload on its way out, with the trailer section after the last chunk (RFC 9112
// section 7.1). The other framings add nothing. It copies no payload, and keeps no state.
#ifndef PERILUNE_HTTP_ENCODER_H
#define PERILUNE_HTTP_ENCODER_H

#include "base/arena.h"
#include "http/chunked.h"
#include "http/headers.h"

/* The trailers of a message on its way. */
struct trailers {
  bool allowed;                    /* they go on */
  struct str section;              /* as received; arena */
  const struct headers *received;  /* borrowed; the same where it was no text, else NULL */
  struct headers *fields;          /* borrowed; NULL, or what is sent instead of these */
  const struct headers *nominated; /* borrowed or NULL: fields that may not be among them */
  struct arena *arena;             /* borrowed; NULL: none are kept */
};

/* The fields that were received, those that may be forwarded; in its arena. */
void trailers_read(const struct trailers *trailers, struct headers *kept);

/* Makes `fields` what goes on, or NULL where nothing does. False: they must not be written. */
bool trailers_settle(struct trailers *trailers);

/* What goes before and behind a payload; head is in the room that the caller gives, tail in the arena or static. */
struct chunk_frame {
  struct str head, tail;
};

/* Around `payload` bytes (0: none), with the end of the message where it `ends`. False: the trailers must not be
 * written, and the end of the message is not. */
bool encoder_frame(size_t payload, bool ends, const struct trailers *trailers, char room[CHUNKED_HEAD_BYTES],
                   struct chunk_frame *frame);

#endif
