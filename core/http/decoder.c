// SPDX-License-Identifier: Apache-2.0
// decoder: chunked is the only framing that needs more than counting.
#include "http/decoder.h"

bool decoder_take_chunks(struct decoder *d, char *bytes, size_t count, struct decoded *piece) {
  piece->used = chunked_decode(&d->chunked, bytes, count, &piece->payload, &piece->trailers);
  d->ended = d->chunked.state == CHUNKED_DONE;
  return d->chunked.state != CHUNKED_BAD;
}
