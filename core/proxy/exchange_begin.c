// SPDX-License-Identifier: Apache-2.0
// exchange_begin: from a head in the client's input to an exchange that walks. A head that cannot be read makes an
// exchange as well, which begins on the failure path: so it is answered and logged like all others (invariant I7).
#include <stddef.h>

#include "base/check.h"
#include "base/random.h"
#include "http/framing.h"
#include "http/parser.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/proxy.h"
#include "proxy/shadow.h"
#include "proxy/walk.h"

/* Which exchanges a canary gets must be spread, not secret. */
static __attribute__((noinline)) bool is_for_canary(struct proxy *proxy, const struct service *service) {
  return random_below(&proxy->dice, 10000) < service->canary_share;
}

static const struct service_policy *choose_policy(struct proxy *proxy, const struct service *service) {
  bool canary = service->canary_share > 0 && is_for_canary(proxy, service);
  return canary ? &service->canary : &service->policy;
}

static struct exchange *begin_exchange(struct downstream *d) {
  struct exchange *x = exchange_new(d->proxy, choose_policy(d->proxy, d->service));
  x->downstream = d;
  x->secure = d->conn.tls != NULL;
  account_begin(x, d->service->traffic);
  d->exchange = x;
  d->proxy->exchange_count++;
  list_push_back(&d->proxy->exchanges, &x->link);
  return x;
}

static enum error read_head(struct exchange *x, const struct received *received, const char **why) {
  struct str bytes = {buf_ptr(&x->downstream->in) + received->skipped, received->length - received->skipped};
  const struct head head = {arena_dup(&x->arena, bytes), received->line};
  enum error error = parser_request(&head, &x->arena, &x->settings->head, &x->request, why);
  if (error != ERROR_NONE) return error;
  if (x->request.method == METHOD_CONNECT && !x->settings->allow_connect) return ERROR_METHOD_NOT_ALLOWED;
  if (headers_may_have(&x->request.headers, FIELD_UPGRADE)) negotiation_tell(x);
  framing_strip_request(&x->request);
  uint64_t limit = x->settings->body_bytes;
  if (limit && x->request.body.framing == FRAMING_LENGTH && x->request.body.length > limit)
    return ERROR_BODY_TOO_LARGE;
  return ERROR_NONE;
}

/* Of a head that could not be read: what of its first line is there. */
static __attribute__((cold)) void read_first_line(struct exchange *x, const struct downstream *d) {
  if (!buf_len(&d->in)) return;
  parser_request_line(arena_dup(&x->arena, buf_str(&d->in)), &x->settings->head, &x->request);
}

void exchange_begin(struct downstream *d, const struct received *received) {
  enum error error = received->error;
  const char *why = received->why;
  CHECK(!d->exchange && (error != ERROR_NONE || received->length >= received->skipped));
  struct exchange *x = begin_exchange(d);
  if (error == ERROR_NONE) {
    error = read_head(x, received, &why);
    buf_consume(&d->in, received->length);
    x->account.head_bytes = received->length - received->skipped;
  } else {
    read_first_line(x, d);
  }
  x->sent.closes = !x->request.keep_alive || exchange_ends_connection(x) ||
                   (x->settings->keepalive_requests && d->requests >= x->settings->keepalive_requests);
  relay_begin(&x->now.up, x->request.body, x->request.body.framing, (struct str){0}, (struct str){0});
  x->now.up.active = false;
  x->now.up.limit = x->settings->body_bytes;
  x->now.up.copy.limit = RELAY_COPY_LIMIT;
  x->policy_began = true;
  if (x->hooks->begin) x->hooks->begin(x);
  if (error == ERROR_NONE && d->service->shadow.use) shadow_begin(x);
  if (error == ERROR_NONE)
    exchange_run(x);
  else
    exchange_fail_because(x, error, why);
}

enum { CACHE_LINE = 64, BEHIND_BYTES = 1024 };

static inline void prefetch(const void *start, size_t bytes) {
  for (size_t at = 0; at < bytes; at += CACHE_LINE) __builtin_prefetch((const char *)start + at);
}

void exchange_prefetch(const struct exchange *x) {
  prefetch(x, offsetof(struct exchange, now.address));
  prefetch(x + 1, BEHIND_BYTES);
  if (x->downstream) prefetch(x->downstream, offsetof(struct downstream, attachment));
}
