// SPDX-License-Identifier: Apache-2.0
// line: the first line of a message, taken apart strictly: single spaces, no white space at its ends, exact
// version (RFC 9112 sections 2.3, 3 and 4). Both the scan of an incomplete head and the parser use it.
#ifndef PERILUNE_HTTP_LINE_H
#define PERILUNE_HTTP_LINE_H

#include "base/error.h"
#include "base/str.h"

/* The longest method that is taken for one; any longer gets 501 (RFC 9112 section 3). */
enum { METHOD_BYTES = 64 };

struct request_line {
  struct str method, target;
  unsigned char minor; /* 0 or 1: what is above 1 is served as 1 (RFC 9110 section 2.5) */
};

struct status_line {
  unsigned short status;
  unsigned char minor;
  struct str reason;
};

/* `line` is without its CRLF. On an error `parts` holds what was understood; *why is a static sentence. */
enum error request_line_parse(struct str line, size_t target_bytes, struct request_line *parts,
                              const char **why);
/* Where the reason begins, if there is one. */
enum { STATUS_LINE_REASON = sizeof "HTTP/1.1 200 " - 1 };
/* `most`: the highest status that is one. */
bool status_line_parse(struct str line, unsigned most, struct status_line *parts, const char **why);

#endif
