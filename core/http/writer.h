// SPDX-License-Identifier: Apache-2.0
// writer: messages to bytes. The inverse of the parser: what is written here parses back to the same message.
// Writes Content-Length or Transfer-Encoding from `body`, and Connection, itself; expects them stripped from
// the fields.
//
// All heads pass through here: if any part (method, target, reason, names, values) has CR, LF, NUL or another control
// character except tab, or a request has two Host fields, nothing is written and the result is empty (ptr NULL). The
// caller fails its exchange with ERROR_UNSAFE_HEAD.
#ifndef PERILUNE_HTTP_WRITER_H
#define PERILUNE_HTTP_WRITER_H

#include "http/message.h"

/* The connection's part of a head, which the sender decides. */
struct writer_hop {
  bool close;         /* Connection: close */
  bool keep_alive;    /* Connection: keep-alive, for HTTP/1.0 receivers */
  bool te_trailers;   /* TE: trailers, nominated (requests) */
  struct str upgrade; /* Upgrade and Connection: upgrade, where not empty */
};

/* The whole head in arena memory, always as HTTP/1.1. `body` says what the sender will send. */
struct str writer_request(struct arena *arena, const struct request *request, struct body body,
                          const struct writer_hop *hop);
/* Responses that cannot have a body (1xx, 204) get no framing field. For a response to HEAD and for 304 a
 * known length is written if `body` is FRAMING_LENGTH, nothing for FRAMING_NONE. */
struct str writer_response(struct arena *arena, const struct response *response, struct body body,
                           const struct writer_hop *hop);
/* Trailer fields and the empty line: what follows "0\r\n". NULL or empty headers give "\r\n". */
struct str writer_trailers(struct arena *arena, const struct headers *trailers);

#endif
