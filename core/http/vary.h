// SPDX-License-Identifier: Apache-2.0
// vary: which request fields chose a response, and the key by which another request matches it (RFC 9111 section 4.1).
//
// The key is text, not a hash, and it is unambiguous: two requests that differ in a field never have the same key,
// and a store that uses a hash of it can compare the key itself.
#ifndef PERILUNE_HTTP_VARY_H
#define PERILUNE_HTTP_VARY_H

#include "http/accept_encoding.h"

/* What is more than this varies on too much to be worth keeping. */
enum { VARY_NAMES = 16, VARY_KEY_BYTES = 8192 };

struct vary {
  unsigned count;
  /* Slices of the response's fields, in order without regard to case, none twice. */
  struct str names[VARY_NAMES];
};

/* False: no other request matches it: "*", a name that is none, or too many names. */
bool vary_parse(const struct headers *h, struct vary *vary);
/* The key of a request, in arena memory; empty where nothing varies. It is the same however the members of a field are
 * spread over lines, and whatever white space stands around their commas (section 4.1). Of Accept-Encoding it says only
 * which of the `codings` are accepted; with CODINGS_NONE, that is a field like any other. False: the key would be
 * longer than VARY_KEY_BYTES, so no response is chosen by it. */
bool vary_key(const struct vary *vary, const struct headers *request, unsigned codings, struct arena *arena,
              struct str *key);
/* Do two responses vary on the same? */
bool vary_is_same(const struct vary *a, const struct vary *b);

#endif
