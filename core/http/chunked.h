// SPDX-License-Identifier: Apache-2.0
// chunked: the chunked transfer coding (RFC 9112 section 7.1), decoded in place and strictly: CRLF only,
// sizes below 2^63, extensions checked, bounded and dropped, trailers bounded.
// Whatever this accepts, llhttp in strict mode accepts with the same content, but for white space around
// extensions, which RFC 9112 tells us to accept; a fuzz driver holds the two side by side.
#ifndef PERILUNE_HTTP_CHUNKED_H
#define PERILUNE_HTTP_CHUNKED_H

#include "base/arena.h"
#include "http/headers.h"

enum chunked_state {
  CHUNKED_SIZE,       /* in the size digits */
  CHUNKED_SEMICOLON,  /* white space behind size or value: an extension must follow */
  CHUNKED_NAME_START, /* behind ";" */
  CHUNKED_NAME,
  CHUNKED_EQUALS,      /* white space behind a name: "=" or ";" must follow */
  CHUNKED_VALUE_START, /* behind "=" */
  CHUNKED_VALUE,
  CHUNKED_QUOTED,  /* inside a quoted-string */
  CHUNKED_ESCAPED, /* behind its backslash */
  CHUNKED_VALUE_END,
  CHUNKED_SIZE_LF,
  CHUNKED_DATA,
  CHUNKED_DATA_CR,
  CHUNKED_DATA_LF,
  CHUNKED_TRAILER, /* from behind the last chunk's line to the empty line */
  CHUNKED_DONE,
  CHUNKED_BAD
};

struct chunked {
  enum chunked_state state;
  uint64_t left;        /* bytes left of the current chunk */
  size_t line_bytes;    /* of the current size line so far: bounded */
  size_t overhead;      /* of all size lines, less what their chunks justify: bounded */
  size_t trailer_bytes; /* how far the unconsumed trailer section was looked at */
  bool takes_padding;   /* white space may end a size line (LENIENT_CHUNK_PADDING) */
};

/* A zeroed struct is a strict decoder at the start of a body. Decodes bytes[0..count) in place: payload is moved
 * together at the front. *payload says how many bytes of it there are, the return value how many bytes of
 * input were used. They are all, except: at CHUNKED_DONE the rest belongs to the next message; while in
 * CHUNKED_TRAILER the section is left in place until it is whole. The unused input stays where it was:
 * bytes[used..count). On CHUNKED_DONE with trailers, *trailers (if not NULL) is their section, empty line
 * included: a slice of `bytes`. */
size_t chunked_decode(struct chunked *c, char *bytes, size_t count, size_t *payload, struct str *trailers);

enum {
  CHUNKED_LINE_BYTES = 4096,
  CHUNKED_OVERHEAD_BYTES = 16384,
  CHUNKED_TRAILER_BYTES = 16384,
  CHUNKED_HEAD_BYTES = 20
};
/* Writes "<hex>\r\n" for a chunk of `length` bytes so that it ends at `end`, the buffer having
 * CHUNKED_HEAD_BYTES before it; returns its first byte. */
char *chunked_head(char *end, size_t length);

#endif
