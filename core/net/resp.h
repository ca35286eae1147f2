// SPDX-License-Identifier: Apache-2.0
// resp: parses replies of Redis and Valkey, RESP2 and RESP3: only bytes, without connections or Lua. The reader of a
// connection scans what has arrived until a reply is complete, and then takes its tokens one after another. The scan
// remembers its position, so that bytes may come one by one, and those that were scanned may be gone.
//
// Nesting is bounded by RESP_DEPTH, a line by RESP_LINE_BYTES. Counts are bounded by what arrives: nothing is
// allocated for an announced count. The bytes of a reply are bounded by its reader. Streamed types of RESP3, which no
// server sends, are refused.
#ifndef PERILUNE_NET_RESP_H
#define PERILUNE_NET_RESP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { RESP_DEPTH = 16, RESP_LINE_BYTES = 65536 };

enum resp_result {
  RESP_MORE, /* more bytes are needed */
  RESP_WHOLE,
  RESP_BAD /* this is no reply */
};

/* A scan begins zeroed. */
struct resp_scan {
  size_t at;     /* what lies before it was looked at */
  size_t looked; /* of the line that begins there: so many bytes hold no line feed */
  uint64_t skip; /* bytes of a text that are to come, with the CR LF behind it */
  unsigned depth;
  unsigned attributes;       /* a bit for each level: it is an attribute, which the reply itself follows */
  bool is_push;              /* the reply is out of band */
  bool goes_on;              /* it has begun */
  uint64_t left[RESP_DEPTH]; /* elements of each level that are to come */
};

/* Goes on in `bytes`, the first of which is where the scan began or what resp_scan_forget has left. RESP_WHOLE: the
 * reply ends at s->at, and a further call begins with the next one. After RESP_BAD the scan is of no more use. */
enum resp_result resp_scan(struct resp_scan *s, const char *bytes, size_t count);
/* The first `count` bytes, at most s->at, are no longer there. */
static inline void resp_scan_forget(struct resp_scan *s, size_t count) { s->at -= count; }

/* One value, or what says that `count` values follow. */
struct resp_token {
  char type;       /* + - : $ * _ # , ( ! = % ~ > | */
  bool is_null;    /* of _ $ * */
  struct str text; /* the line behind the type; of $ ! =: the bytes, without the format of = */
  uint64_t count;  /* of * ~ >: elements; of % |: keys and values, each counted */
  size_t bytes;    /* that it takes in all */
};

/* The token that begins `bytes`. */
enum resp_result resp_token(struct str bytes, struct resp_token *token);

/* Of a token's text: digits with or without a sign that fit. */
bool resp_integer(struct str text, int64_t *number);

#endif
