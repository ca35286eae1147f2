// SPDX-License-Identifier: Apache-2.0
// exchange_begin: makes an exchange for a client's stream and starts its steps. If the head could not be read, it
// starts on the failure path, so it is answered and logged like all others (invariant I7).
#include <stddef.h>

#include "base/check.h"
#include "base/random.h"
#include "exchange/account.h"
#include "exchange/grpc.h"
#include "exchange/live_trace.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "exchange/real_client.h"
#include "exchange/recorder.h"
#include "exchange/shadow.h"
#include "exchange/stream.h"
#include "exchange/trace.h"
#include "exchange/walk.h"

/* Which exchanges a canary gets must be spread, not secret. */
static __attribute__((noinline)) bool is_for_canary(struct proxy *proxy, const struct service *service) {
  return random_below(&proxy->dice, 10000) < service->canary_share;
}

static const struct service_policy *choose_policy(struct proxy *proxy, const struct service *service) {
  bool canary = service->canary_share > 0 && is_for_canary(proxy, service);
  return canary ? &service->canary : &service->policy;
}

struct exchange *exchange_begin(struct proxy *proxy, struct service *service, struct arena arena) {
  struct exchange *x = exchange_new(proxy, choose_policy(proxy, service), arena);
  account_begin(x, service->traffic);
  proxy->exchange_count++;
  list_push_back(&proxy->exchanges, &x->link);
  return x;
}

/* What the listener does not take of what could be read. */
static enum error fault_of(const struct exchange *x) {
  uint64_t limit = x->settings->body_bytes;
  if (x->request.method == METHOD_CONNECT && !x->settings->allow_connect) return ERROR_METHOD_NOT_ALLOWED;
  if (limit && x->request.body.framing == FRAMING_LENGTH && x->request.body.length > limit)
    return ERROR_BODY_TOO_LARGE;
  return ERROR_NONE;
}

void exchange_start(struct exchange *x, enum error error, const char *why) {
  struct body body = x->request.body;
  CHECK(x->stream && x->stream->exchange == x);
  if (error == ERROR_NONE) {
    error = fault_of(x);
    if (x->settings->trusted_proxies) real_client_find(x);
  }
  /* A source that is no conn tells its end itself, behind trailers, also where the length is known before. */
  if (x->stream->source.ops && body.framing != FRAMING_NONE) body.framing = FRAMING_CLOSE;
  relay_begin(&x->now.up, body, body.framing, (struct str){0}, (struct str){0});
  x->now.up.active = false;
  x->now.up.limit = x->settings->body_bytes;
  x->now.up.copy.limit = RELAY_COPY_LIMIT;
  if (x->proxy->recorder && error == ERROR_NONE) recorder_begin(x);
  if (x->settings->tracing) trace_begin(x);
  if (__builtin_expect(x->proxy->live != NULL, false)) live_trace_begin(x);
  if (x->hooks->begin) x->hooks->begin(x);
  if (error == ERROR_NONE) grpc_begin(x);
  if (error == ERROR_NONE && x->stream->service->shadow.use) shadow_begin(x);
  if (error == ERROR_NONE)
    exchange_run(x);
  else
    exchange_fail_because(x, error, why);
}

/* Of a stream that is a member of its connection, what is before and behind it. */
enum { CACHE_LINE = 64, BEHIND_BYTES = 1024, STREAM_BEFORE = 256, STREAM_BEHIND = 256 };

static inline void prefetch(const void *start, size_t bytes) {
#pragma GCC unroll 32
  for (size_t at = 0; at < bytes; at += CACHE_LINE) __builtin_prefetch((const char *)start + at);
}

void exchange_prefetch(const struct exchange *x) {
  prefetch(x, offsetof(struct exchange, now.address));
  prefetch(x + 1, BEHIND_BYTES);
  if (x->stream) prefetch((const char *)x->stream - STREAM_BEFORE, STREAM_BEFORE + STREAM_BEHIND);
}
