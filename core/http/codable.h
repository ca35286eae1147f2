// SPDX-License-Identifier: Apache-2.0
// codable: may this response be coded while it is sent, and how must its fields change? accept_encoding says which
// codings a client accepts, and coding does the work on the bytes.
#ifndef PERILUNE_HTTP_CODABLE_H
#define PERILUNE_HTTP_CODABLE_H

#include "http/accept_encoding.h"
#include "http/message.h"

/* X(ID, name): why a response is sent as it is; the first that applies. */
#define CODABLE_REASONS(X)                                                                                   \
  X(YES, "codable")                                                                                          \
  X(TUNNEL, "tunnel")             /* CONNECT, upgrades */                                                    \
  X(STATUS, "status")             /* interim, or without a body of its own */                                \
  X(CODED, "coded")               /* already, or in a way that nobody knows */                               \
  X(NO_TRANSFORM, "no_transform") /* RFC 9111 sections 5.2.1.6 and 5.2.2.6 */                                \
  X(RANGE, "range")               /* asked for, or sent */                                                   \
  X(TYPE, "type")                 /* it does not get smaller, or has a framing of its own, as gRPC has */    \
  X(SMALL, "small")                                                                                          \
  X(OLD_CLIENT, "old_client")     /* HTTP/1.0 */                                                             \
  X(CROSS_SITE, "cross_site")     /* lengths could tell a secret (BREACH) */                                 \
  X(NOT_ACCEPTED, "not_accepted") /* by the client */

enum codable {
#define X(id, name) CODABLE_##id,
  CODABLE_REASONS(X)
#undef X
      CODABLE_COUNT
};

struct codable_rules {
  unsigned offered;        /* set of codings; identity is always there */
  uint64_t least_bytes;    /* smaller ones are sent as they are: CODABLE_LEAST is the usual */
  const struct str *types; /* "text/css", "text/" for all of text; borrowed. NULL: those of codable_type */
  unsigned type_count;
  bool takes_all_types;  /* but those with a framing of their own */
  bool codes_cross_site; /* also what may hold a secret, and is asked for from another site without a click */
};
enum { CODABLE_LEAST = 1024 };

struct codable_choice {
  enum codable reason;
  enum coding coding; /* identity unless `reason` is CODABLE_YES */
  bool varies;        /* another client might get another coding: the answer must say Vary: Accept-Encoding */
  bool weakens;       /* the entity tag: it is that of a coded answer */
  bool flushes_at_once; /* events: each piece is flushed */
};

/* `request` is the client's. The response's `announced` body says its length. */
struct codable_choice codable_choose(const struct request *request, const struct response *response,
                                     const struct codable_rules *rules);
const char *codable_name(enum codable reason);

/* Changes the fields of a response as the choice has it: Content-Encoding, no length, no ranges, no digests of
 * what is no longer sent, a weak ETag; and Vary. For a HEAD, too; of a 304 it changes Vary and ETag. What is new
 * is in the headers' arena. */
void codable_apply(struct headers *h, const struct codable_choice *choice);
/* Names Accept-Encoding in Vary, unless it or "*" is there. */
void codable_vary(struct headers *h);

/* What the tag is of has changed: another representation, which only compares weakly with it. */
void codable_weaken(struct headers *h);

/* A body's codings, from the first that was applied to the last, by Content-Encoding; identity is left out. At most
 * `most`; CODING_COUNT stands for one that is unknown. Returns how many there are, which may be more than `most`. */
unsigned codings_of(const struct headers *h, enum coding *codings, unsigned most);

/* Does a body of this type get smaller? Without parameters: "text/css". */
bool codable_type(struct str content_type);

#endif
