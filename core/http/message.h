// SPDX-License-Identifier: Apache-2.0
// message: a parsed request and a parsed response. Plain data; parser.c fills it in, framing.c completes it,
// the policy changes it, writer.c writes it.
#ifndef PERILUNE_HTTP_MESSAGE_H
#define PERILUNE_HTTP_MESSAGE_H

#include "http/headers.h"

enum method {
  METHOD_OTHER, /* a valid token that the proxy attaches no meaning to */
  METHOD_GET,
  METHOD_HEAD,
  METHOD_POST,
  METHOD_PUT,
  METHOD_DELETE,
  METHOD_CONNECT,
  METHOD_OPTIONS,
  METHOD_TRACE,
  METHOD_PATCH
};

/* How a message's end is found (RFC 9112 section 6.3). */
enum framing {
  FRAMING_NONE,   /* no body */
  FRAMING_LENGTH, /* `length` bytes, which may be 0 */
  FRAMING_CHUNKED,
  FRAMING_CLOSE, /* responses only: until the connection closes */
  FRAMING_TUNNEL /* after a 101, or a 2xx to CONNECT: bytes until either side closes */
};

struct body {
  enum framing framing;
  uint64_t length; /* bytes; meaningful for FRAMING_LENGTH */
};

struct request {
  struct str method_name; /* as received */
  enum method method;
  unsigned char minor; /* HTTP/1.minor; 1 of HTTP/2 */
  bool is_http2;
  bool
      is_extended_connect; /* of HTTP/2, whose `upgrade` this is: a 2xx says that the tunnel is there (RFC 8441) */
  struct str target;       /* what is forwarded: origin-form "/a?b", or "*" , or authority for CONNECT */
  struct str authority; /* host[:port] the client asked for: of the absolute-form target, else of Host; may be
                           empty on 1.0 */
  struct headers headers;
  struct body body;
  struct str upgrade; /* protocols of Upgrade that can be tunnelled, when Connection names it; else empty */
  uint64_t max_forwards; /* of a TRACE or OPTIONS (RFC 9110 section 7.6.2), if it has_max_forwards */
  bool has_max_forwards;
  bool keep_alive;          /* the client allows another request on this connection */
  bool expects_continue;    /* Expect: 100-continue on HTTP/1.1, and a body follows */
  bool accepts_trailers;    /* TE: trailers */
  bool may_nominate;        /* Connection has options that are not HTTP's own */
  struct headers nominated; /* names only: what Connection nominated; not for trailers either */
};

struct response {
  unsigned short status;
  unsigned char minor; /* HTTP/1.minor; 1 of HTTP/2 */
  bool is_http2;
  struct str reason; /* as received; may be empty */
  struct headers headers;
  struct body body;
  struct body announced; /* what its fields say of the body: as `body`, but for HEAD and 304 the length that a
                            GET would have got (FRAMING_LENGTH), or FRAMING_NONE where they do not tell; it is
                            what the writer is given */
  struct str upgrade;    /* of a 101, and what a 426 asks for */
  struct headers nominated;
  bool may_nominate; /* as of a request */
  bool keep_alive;   /* the peer's connection may be used again after this response */
};

/* GET and HEAD: a cache may answer, and a condition may hold (RFC 9110 section 13). */
static inline bool method_is_read(enum method m) { return m == METHOD_GET || m == METHOD_HEAD; }

/* RFC 9110 section 9.2.2: a repeated request has the effect of one. */
static inline bool method_is_idempotent(enum method m) {
  return m == METHOD_GET || m == METHOD_HEAD || m == METHOD_PUT || m == METHOD_DELETE ||
         m == METHOD_OPTIONS || m == METHOD_TRACE;
}

enum method method_of(struct str name);
/* Are there bytes of its body, as far as its head says? */
static inline bool request_has_body(const struct request *request) {
  struct body body = request->body;
  return body.framing == FRAMING_CHUNKED || (body.framing == FRAMING_LENGTH && body.length > 0);
}
/* Nothing follows the head of a final response to HEAD, of a 204, and of a 304 (RFC 9112 section 6.3). */
static inline bool response_has_no_body(enum method asked, unsigned status) {
  return asked == METHOD_HEAD || status == 204 || status == 304;
}
/* The standard reason phrase, "" for an unknown status. */
struct str status_reason(unsigned status);

#endif
