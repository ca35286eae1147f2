// SPDX-License-Identifier: Apache-2.0
// parser: bytes to messages. A head is first scanned for its end, byte for byte as it arrives, with the
// checks that no lenient parser may skip (bare CR or LF, NUL, control characters, length of line and head);
// once whole its fields are read by http/usual_lines, or, if a line of them is unusual, by llhttp in strict mode, with
// our own checks around it, so that every version of llhttp gives the same answer. Pure functions of bytes: no
// sockets, no clock.
#ifndef PERILUNE_HTTP_PARSER_H
#define PERILUNE_HTTP_PARSER_H

#include "base/error.h"
#include "http/message.h"

struct parser_limits {
  size_t head_bytes;   /* the whole head: 431 */
  size_t target_bytes; /* the request target: 414 */
  unsigned fields;     /* number of fields: 431 */
  unsigned lenient;    /* of responses: the deviations that are taken (http/lenient.h) */
};

/* What the first line of a head says, as lengths: they hold for every copy of the head. The scan reads the
 * line, and the parser takes it from here. */
struct first_line {
  size_t bytes;          /* with its end; 0: nobody has read it */
  size_t target;         /* bytes, one behind the method */
  unsigned char method;  /* bytes, at most METHOD_BYTES */
  unsigned char minor;   /* HTTP/1.minor */
  unsigned short status; /* of a response */
};

/* Where the scan of an incomplete head stands; zero it for each head. */
struct head_scan {
  size_t scanned;         /* bytes known to be fine */
  size_t line_start;      /* where the line that is being scanned began */
  size_t skipped;         /* bytes of empty lines (CRLF) before a request line (RFC 9112 section 2.2) */
  const char *why;        /* of HEAD_BAD, a static sentence for people; NULL: the error says it all */
  bool in_fields;         /* the first line is behind us */
  struct first_line line; /* from then on */
};

/* A whole head, without the empty lines before it. */
struct head {
  struct str text;
  struct first_line line; /* of its scan; or zero: the parser reads it itself */
};

enum head_result {
  HEAD_WHOLE, /* *length bytes from the start are the head, with its empty line, and with `skipped` bytes
                 before it */
  HEAD_MORE,  /* needs more bytes */
  HEAD_BAD    /* *error says why */
};

/* Looks for the end of the head in bytes[0..count), which starts where the message starts and grows between
 * calls. */
enum head_result head_scan_request(struct head_scan *scan, const char *bytes, size_t count,
                                   const struct parser_limits *limits, size_t *length, enum error *error);
/* The same for a response head; every fault is ERROR_BAD_RESPONSE. */
enum head_result head_scan_response(struct head_scan *scan, const char *bytes, size_t count,
                                    const struct parser_limits *limits, size_t *length, enum error *error);

/* Parses a whole head as scanned (from the request line to the empty line; where nobody has read the request
 * line, there may be empty lines before it). Slices in `request` point into the head's text; arrays come from
 * `arena`; both must outlive it. Does request line, fields, Host, target forms, framing (framing_of_request)
 * and the connection's persistence. On an error the request holds what was understood until then (for the
 * log), and *why (if not NULL) a static sentence for people. */
enum error parser_request(const struct head *head, struct arena *arena, const struct parser_limits *limits,
                          struct request *request, const char **why);

/* Of a head that broke the rules before it was whole: method, target and version, if its first line is there,
 * so that the answer fits the method and the log can name it. */
void parser_request_line(struct str head, const struct parser_limits *limits, struct request *request);

/* The same for a response to a request of `method`. An error is ERROR_BAD_RESPONSE. */
enum error parser_response(const struct head *head, struct arena *arena, const struct parser_limits *limits,
                           enum method method, struct response *response, const char **why);

/* Parses a trailer section (field lines and the empty line, no first line). False: malformed. */
bool parser_trailers(struct str section, struct arena *arena, const struct parser_limits *limits,
                     struct headers *trailers);

#endif
