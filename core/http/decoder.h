// SPDX-License-Identifier: Apache-2.0
// decoder: takes one message body out of the incoming bytes, for any framing (RFC 9112 section 6). It stores no
// bytes: they belong to the caller, and are decoded in place.
#ifndef PERILUNE_HTTP_DECODER_H
#define PERILUNE_HTTP_DECODER_H

#include "base/check.h"
#include "http/chunked.h"
#include "http/message.h"

struct decoder {
  struct body body;
  bool ended;             /* the message has been decoded to its end */
  uint64_t left;          /* of FRAMING_LENGTH */
  struct chunked chunked; /* of FRAMING_CHUNKED */
};

/* What of the bytes belongs to the message: see chunked_decode. */
struct decoded {
  size_t used, payload;
  struct str trailers; /* of the last piece: a slice of the bytes; empty: none */
};

static inline void decoder_begin(struct decoder *d, struct body body) {
  bool is_length = body.framing == FRAMING_LENGTH;
  *d = (struct decoder){.body = body};
  d->left = is_length ? body.length : 0;
  d->ended = body.framing == FRAMING_NONE || (is_length && body.length == 0);
}

/* `bytes` of the payload have gone by. */
static inline void decoder_pass(struct decoder *d, uint64_t bytes) {
  if (d->body.framing != FRAMING_LENGTH) return;
  CHECK(bytes <= d->left);
  d->left -= bytes;
  d->ended = d->left == 0;
}

/* For decoder_take. */
bool decoder_take_chunks(struct decoder *d, char *bytes, size_t count, struct decoded *piece);

/* The next piece, of bytes[0..count): its payload is at their front then. False: the framing is broken. */
static inline bool decoder_take(struct decoder *d, char *bytes, size_t count, struct decoded *piece) {
  *piece = (struct decoded){0};
  if (d->ended) return true;
  if (d->body.framing == FRAMING_CHUNKED) return decoder_take_chunks(d, bytes, count, piece);
  size_t payload = d->body.framing == FRAMING_LENGTH && count > d->left ? (size_t)d->left : count;
  decoder_pass(d, payload);
  piece->used = piece->payload = payload;
  return true;
}

/* Nothing follows. False: the message has not come to its end. */
static inline bool decoder_source_ended(struct decoder *d) {
  d->ended = d->ended || d->body.framing == FRAMING_CLOSE || d->body.framing == FRAMING_TUNNEL;
  return d->ended;
}

#endif
