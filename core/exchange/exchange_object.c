// SPDX-License-Identifier: Apache-2.0
// exchange_object: creates exchanges, and gives facts about them; everything that is not a step.
#include "base/check.h"
#include "exchange/codings.h"
#include "exchange/exchange.h"
#include "exchange/file_answer.h"
#include "exchange/proxy.h"
#include "exchange/recorder.h"
#include "exchange/room.h"
#include "exchange/stream.h"
#include "exchange/streamed_answer.h"
#include "exchange/walk.h"
#include "net/addr.h"
#include "net/timer.h"

#ifndef INVARIANTS
_Static_assert(sizeof(struct exchange) <= 2048, "glibc clears more by rep stosb, which is slow to begin");
#endif

struct exchange *exchange_new(struct proxy *proxy, const struct service_policy *policy, struct arena arena) {
  struct exchange *x = arena_zalloc(&arena, sizeof *x);
  x->arena = arena;
  x->proxy = proxy;
  x->hooks = policy->hooks;
  x->settings = policy->settings;
  x->use = policy->use;
  x->use->exchanges++;
  x->now.up.trailers.arena = x->down.trailers.arena = &x->arena;
  x->times.begun = loop_now_ms(proxy->loop);
  headers_init(&x->request.headers, &x->arena);
  OBJ_INIT(x, EXCHANGE_MAGIC);
  return x;
}

static void free_memory(struct exchange *x) {
  struct arena arena = x->arena; /* it holds the exchange */
  arena_free(&arena);
}

void exchange_free(struct exchange *x) {
  struct policy_use *use = x->use;
  buf_release(&x->body.replay);
  buf_release(&x->body.unfiltered);
  filter_none(&x->now.up);
  filter_none(&x->down);
  codings_end(x->codings, x);
  if (x->rare) file_answer_end(x->rare->file);
  if (x->rare) streamed_answer_end(x->rare->streamed);
  if (x->account.recording) recorder_drop(x);
  CHECK(use->exchanges > 0);
  OBJ_END(x, EXCHANGE_MAGIC);
  if (!x->cache || !handover_end(x)) free_memory(x);
  if (--use->exchanges == 0 && use->on_unused) use->on_unused(use);
}

bool exchange_can_answer(const struct exchange *x) {
  return !x->sent.status && x->stream && x->step != STEP_logging;
}

struct answer *exchange_answer(struct exchange *x, unsigned status) {
  CHECK_OBJ(x, EXCHANGE_MAGIC);
  CHECK(status >= 200 && status <= 999);
  struct answer *answer = arena_zalloc(&x->arena, sizeof *answer);
  answer->response.status = (unsigned short)status;
  answer->response.minor = 1;
  headers_init(&answer->response.headers, &x->arena);
  x->answer = answer;
  return answer;
}

uint64_t exchange_content_bytes(const struct exchange *x) {
  return x->answer->is_file ? x->rare->file->length : x->answer->content.len;
}

void exchange_reset(struct exchange *x, uint32_t code) {
  struct answer *answer = arena_zalloc(&x->arena, sizeof *answer);
  headers_init(&answer->response.headers, &x->arena);
  answer->resets = true;
  answer->code = code;
  x->answer = answer;
}

struct str exchange_client_address(struct exchange *x) {
  return x->rare && x->rare->client.ptr ? x->rare->client : stream_client(x->stream);
}

struct str exchange_client_host(struct exchange *x) {
  return addr_host_of_client(exchange_client_address(x));
}

struct str exchange_connection_host(struct exchange *x) {
  bool has_proxy = x->rare && x->rare->connection.ptr;
  return has_proxy ? addr_host_of_client(x->rare->connection) : exchange_client_host(x);
}

struct rare *exchange_rare(struct exchange *x) {
  if (!x->rare) x->rare = arena_zalloc(&x->arena, sizeof *x->rare);
  return x->rare;
}

void exchange_copy_client(struct exchange *to, struct exchange *from) {
  exchange_rare(to)->client = arena_dup(&to->arena, exchange_client_address(from));
  if (from->rare) to->rare->connection = arena_dup(&to->arena, from->rare->connection);
}

bool exchange_ends_connection(const struct exchange *x) {
  return x->proxy->stopping || room_is_low(x->proxy) || (x->stream && x->stream->service->closing);
}
