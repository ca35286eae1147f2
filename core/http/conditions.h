// SPDX-License-Identifier: Apache-2.0
// conditions: conditional requests against a stored response (RFC 9110 section 13, RFC 9111 section 4.3).
#ifndef PERILUNE_HTTP_CONDITIONS_H
#define PERILUNE_HTTP_CONDITIONS_H

#include "http/etag.h"
#include "http/message.h"

/* What a stored response can be compared by. Text is borrowed from its fields. */
struct validators {
  struct etag etag;
  /* Seconds since 1970. */
  int64_t date;      /* Date, or when it came in */
  int64_t modified;  /* Last-Modified, else `date` (RFC 9111 section 4.3.2) */
  bool has_modified; /* it is of a Last-Modified */
};

enum condition {
  CONDITION_NONE,         /* nothing asked, or nothing that can be answered: as without conditions */
  CONDITION_NOT_MODIFIED, /* 304 */
  CONDITION_FAILED,       /* 412 */
  CONDITION_FORWARD       /* only the origin can tell */
};

void validators_of(struct validators *v, const struct headers *response, int64_t received);

/* As a cache answers them: If-Match and If-Unmodified-Since are for the origin, If-None-Match counts before
 * If-Modified-Since. `status`: of the stored response; conditions hold only for what would be a 2xx. */
enum condition condition_for_cache(const struct request *request, unsigned status, const struct validators *v,
                                   int64_t now);
/* As an origin answers them, in the order of RFC 9110 section 13.2.2. */
enum condition condition_for_origin(const struct request *request, unsigned status,
                                    const struct validators *v, int64_t now);
/* May a Range count (section 13.1.5)? Without If-Range it may; with one, only for exactly this representation. */
bool condition_if_range(const struct headers *request, const struct validators *v, int64_t now);

/* Conditions of our own, for validating a stored response: If-None-Match, If-Modified-Since. Those of the client,
 * and its ranges, are taken out first. Text is borrowed from `stored`. */
void condition_ask(struct headers *request, const struct headers *stored);
/* Takes out all conditions and ranges. */
void condition_strip(struct headers *request);
/* Takes out what is of the representation's content, which a 304 does not have (RFC 9110 section 15.4.5). The others
 * are sent with a 304, too: what the client keeps is updated by them. */
void condition_leave_out(struct headers *response);

#endif
