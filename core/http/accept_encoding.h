// SPDX-License-Identifier: Apache-2.0
// accept_encoding: which content coding a client is sent (RFC 9110 section 12.5.3). What a request says becomes one
// small struct of weights; who asks for a response then chooses from it.
#ifndef PERILUNE_HTTP_ACCEPT_ENCODING_H
#define PERILUNE_HTTP_ACCEPT_ENCODING_H

#include "http/coding.h"
#include "http/headers.h"

/* Thousandths; 0: not acceptable. */
struct accept_encoding {
  uint16_t weights[CODING_COUNT];
};

/* A member that is malformed is ignored. Without the field, and with an empty one, only identity is acceptable: a
 * client that does not say so is not sent a coding. */
void accept_encoding_parse(const struct headers *h, struct accept_encoding *accept);
/* The best of the codings in `offered`. Identity where nothing is acceptable, identity included: what the client can
 * read is then in doubt, and this is kinder than 406. */
enum coding accept_encoding_choose(const struct accept_encoding *accept, unsigned offered);
/* Those of `offered` that are acceptable: what a cache keys by in place of the field's text. */
unsigned accept_encoding_set(const struct accept_encoding *accept, unsigned offered);

#endif
