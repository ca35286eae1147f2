// SPDX-License-Identifier: Apache-2.0
// framing: where does a message end, may the connection live on, and which fields are for this hop only.
// Invariant I9: framing is never forwarded but always written by the proxy; if a message's end is in doubt, the
// answer is an error. RFC 9112 sections 6 and 9, RFC 9110 section 7.6.1.
#ifndef PERILUNE_HTTP_FRAMING_H
#define PERILUNE_HTTP_FRAMING_H

#include "base/error.h"
#include "http/message.h"

/* More connection options than any sender has reason to name are an error, not work. */
enum { CONNECTION_OPTIONS = 64 };

/* As in headers.present. */
#define FRAMING_HOP_FIELDS                                                                                   \
  (UINT32_C(1) << FIELD_CONNECTION | UINT32_C(1) << FIELD_CONTENT_LENGTH |                                   \
   UINT32_C(1) << FIELD_TRANSFER_ENCODING | UINT32_C(1) << FIELD_KEEP_ALIVE |                                \
   UINT32_C(1) << FIELD_PROXY_CONNECTION | UINT32_C(1) << FIELD_TE | UINT32_C(1) << FIELD_UPGRADE |          \
   UINT32_C(1) << FIELD_HTTP2_SETTINGS)

/* Is this field always for one hop only? Such fields are removed on the way in, and never written from a
 * list. */
static inline bool framing_is_hop_field(enum field_id id) { return (FRAMING_HOP_FIELDS >> id & 1) != 0; }

/* Decide body, keep_alive, upgrade, expects_continue and accepts_trailers from the fields. */
enum error framing_of_request(struct request *request, const char **why);
/* `lenient`: the deviations that are taken (http/lenient.h). */
enum error framing_of_response(struct response *response, enum method method, unsigned lenient,
                               const char **why);

/* Remove what is for one hop only: Connection and the fields it nominates (but never Host, Content-Length and others
 * that are not the connection's to nominate: see framing.c), Keep-Alive, Proxy-Connection, TE, Transfer-Encoding,
 * Content-Length, Upgrade, HTTP2-Settings. What was nominated is kept in the message. Called right after parsing,
 * before the first hook; the decisions above have been taken by then. Content-Length is written from `body`.
 * Expect goes as well where no 100 (Continue) may be asked for. */
void framing_strip_request(struct request *request);
void framing_strip_response(struct response *response);

/* May this field stand in a trailer section that we forward (RFC 9110 sections 6.5.1 and 7.6.1)? `nominated`
 * may be NULL. */
bool framing_trailer_is_allowed(const struct field *field, const struct headers *nominated);

#endif
