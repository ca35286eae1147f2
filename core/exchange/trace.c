// SPDX-License-Identifier: Apache-2.0
// trace: ids, decisions, and the life of spans. The ids come of a generator that is seeded by the system once for each
// worker: they cost no system call, no two workers of a fleet give the same ones, and nobody needs them to be secret.
#include "exchange/trace.h"

#include <time.h>

#include "base/check.h"
#include "base/random.h"
#include "base/ticks.h"
#include "exchange/call.h"
#include "exchange/exchange.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/settings.h"
#include "exchange/walk.h"
#include "http/encoder.h"
#include "http/grpc.h"
#include "shared/span_queue.h"

/* --- ids -------------------------------------------------------------------------------------------------- */

static __attribute__((cold)) void seed(struct proxy *proxy) {
  uint64_t *dice = proxy->trace_dice;
  if (random_fill(dice, sizeof proxy->trace_dice, 0)) return;
  struct timespec now; /* never, on a system that has come up */
  clock_gettime(CLOCK_REALTIME, &now);
  dice[0] = (uint64_t)now.tv_nsec + proxy->worker;
  dice[1] = (uint64_t)now.tv_sec ^ ticks_now();
}

static uint64_t new_id(struct proxy *proxy, unsigned which) {
  uint64_t id = random_next(&proxy->trace_dice[which]);
  return id ? id : 1;
}

/* --- begin ------------------------------------------------------------------------------------------------ */

static bool is_chosen(const struct trace *t) {
  return t->rules->samples_all || t->context.low < t->rules->threshold;
}

static struct span *new_span(struct exchange *x, enum span_kind kind, uint64_t begun) {
  struct span *span = arena_zalloc(&x->arena, sizeof *span);
  span->kind = kind;
  span->begun = begun;
  span->id = new_id(x->proxy, 1);
  return span;
}

static void record(struct exchange *x) {
  struct trace *t = x->account.trace;
  enum span_kind kind = exchange_background(x) ? SPAN_INTERNAL : SPAN_SERVER;
  t->own = new_span(x, kind, x->account.began);
  t->own->parent = t->parent;
  t->context.span = t->own->id;
}

/* What the client said, if it counts. */
static bool take_parent(struct exchange *x) {
  struct trace *t = x->account.trace;
  if (t->rules->parent == TRACE_IGNORE || !headers_may_have(&x->request.headers, FIELD_TRACEPARENT))
    return false;
  if (!trace_context_read(&x->request.headers, &t->context)) return false;
  t->parent = t->context.span;
  t->is_remote_sampled = t->context.is_sampled;
  return true;
}

static void new_trace(struct exchange *x) {
  struct trace_context *c = &x->account.trace->context;
  c->high = new_id(x->proxy, 0);
  c->low = new_id(x->proxy, 1);
}

static bool has_state(const struct exchange *x) {
  return headers_may_have(&x->request.headers, FIELD_TRACESTATE);
}

void trace_begin(struct exchange *x) {
  struct trace *t = x->account.trace = arena_zalloc(&x->arena, sizeof *t);
  t->rules = x->settings->tracing;
  t->grpc_code = GRPC_CODE_NONE;
  if (__builtin_expect(!x->proxy->trace_dice[0], false)) seed(x->proxy);
  bool has_parent = take_parent(x);
  if (!has_parent) new_trace(x);
  if (has_state(x)) t->drops_state = !has_parent || !trace_state_is_valid(&x->request.headers);
  bool follows = has_parent && t->rules->parent == TRACE_FOLLOW;
  t->context.is_sampled = follows ? t->is_remote_sampled : is_chosen(t);
  t->passes_on = has_parent && !t->context.is_sampled && !t->is_remote_sampled && t->context.is_current;
  if (t->context.is_sampled)
    record(x);
  else if (!t->passes_on)
    t->context.span = new_id(x->proxy, 1);
}

/* --- attempts --------------------------------------------------------------------------------------------- */

static struct span *add_span(struct exchange *x, const struct span *parent, enum span_kind kind) {
  struct trace *t = x->account.trace;
  if (!t->context.is_sampled) return NULL;
  if (t->count == SPANS_MOST) {
    t->missed++;
    return NULL;
  }
  struct span *span = new_span(x, kind, ticks_now());
  span->parent = parent ? parent->id : t->own->id;
  span->number = ++t->count;
  span->next = t->spans;
  return t->spans = span;
}

void trace_attempt(struct exchange *x) {
  struct span *span = x->now.span = add_span(x, NULL, SPAN_CLIENT);
  if (!span) return;
  span->is_attempt = true;
  span->grpc_code = GRPC_CODE_NONE;
  span->is_secure = x->now.peer->options.tls;
  span->address = arena_dup(&x->arena, x->now.peer->options.address);
  span->resend = x->attempts - 1;
}

enum { LINE_NAME = sizeof "traceparent: " - 1 };

/* What the policy has set stays. */
static void set_parent(struct exchange *x, struct headers *h) {
  const struct field *field = headers_find_id(h, FIELD_TRACEPARENT);
  if (field && field->is_set) return;
  if (field) headers_remove_id(h, FIELD_TRACEPARENT);
  char *line = arena_alloc(&x->arena, LINE_NAME + TRACEPARENT_TEXT);
  memcpy(line, "traceparent: ", LINE_NAME);
  trace_write(x, x->now.span, line + LINE_NAME);
  headers_add_line(h, FIELD_TRACEPARENT, (struct str){line, LINE_NAME + TRACEPARENT_TEXT});
}

void trace_ask(struct exchange *x) {
  const struct trace *t = x->account.trace;
  struct headers *h = &x->now.request.headers;
  if (!t->passes_on) set_parent(x, h);
  if (!t->drops_state) return;
  const struct field *field = headers_find_id(h, FIELD_TRACESTATE);
  if (field && !field->is_set) headers_remove_id(h, FIELD_TRACESTATE);
}

void trace_answered(struct exchange *x) {
  struct span *span = x->now.span;
  span->status = x->response.status;
  span->is_http2 = x->now.call->is_http2;
}

static void end_attempt(struct attempt *attempt, enum error error) {
  struct span *span = attempt->span;
  attempt->span = NULL;
  span->is_reused = attempt->reused;
  if (error) span->error = str_of(error_info(error)->name);
  span_close(span);
}

/* The trailers are the call's: they are gone by the time of the log. */
static void note_grpc(struct exchange *x) {
  struct headers kept;
  if (!x->account.trace || !x->sent.status || !x->now.call || !grpc_is_request(&x->request)) return;
  int code = grpc_status_in(&x->response.headers, GRPC_CODE_MOST);
  if (code < 0 && x->down.trailers.arena) {
    trailers_read(&x->down.trailers, &kept);
    code = grpc_status_in(&kept, GRPC_CODE_MOST);
  }
  if (code >= 0) x->account.trace->grpc_code = code;
}

void trace_attempt_end(struct exchange *x, enum error error) {
  note_grpc(x);
  x->now.span->grpc_code = x->account.trace ? x->account.trace->grpc_code : GRPC_CODE_NONE;
  end_attempt(&x->now, error);
}

void trace_attempt_drop(struct attempt *aside, enum error error) {
  aside->span->is_lost = !error && !aside->span->status;
  end_attempt(aside, error);
}

/* --- end -------------------------------------------------------------------------------------------------- */

void trace_over(struct exchange *x) {
  if (x->account.trace->own) span_close(x->account.trace->own);
}

void trace_end(struct exchange *x) {
  struct trace *t = x->account.trace;
  char bytes[SPAN_BYTES_MOST];
  struct timespec now;
  if (!t->context.is_sampled) return;
  clock_gettime(CLOCK_REALTIME, &now);
  struct span_moment moment = {ticks_now(), (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec};
  trace_over(x);
  struct span_lane *lane = span_queue_lane(t->rules->queue, x->proxy->worker);
  span_lane_put(lane, bytes, trace_encode(x, t->own, moment, bytes));
  for (const struct span *span = t->spans; span; span = span->next)
    span_lane_put(lane, bytes, trace_encode(x, span, moment, bytes));
}

/* --- for the policy ----------------------------------------------------------------------------------------- */

void trace_sample(struct exchange *x, bool is_sampled) {
  struct trace *t = x->account.trace;
  CHECK(t);
  if (is_sampled && !t->own) record(x);
  t->context.is_sampled = is_sampled;
  if (is_sampled || t->is_remote_sampled) t->passes_on = false;
}

struct span *trace_open(struct exchange *x, const struct span *parent, enum span_kind kind, struct str name) {
  struct span *span = add_span(x, parent, kind);
  if (span) span->name = arena_dup(&x->arena, name);
  return span;
}

void span_close(struct span *span) {
  if (!span->ended) span->ended = ticks_now();
}

struct span *trace_span(const struct exchange *x, unsigned number) {
  const struct trace *t = x->account.trace;
  if (!t || !t->context.is_sampled) return NULL;
  if (number == 0) return t->own;
  struct span *span = t->spans;
  while (span && span->number != number) span = span->next;
  return span;
}

struct span_attribute *span_attribute(const struct span *span, struct str key) {
  struct span_attribute *at = span->attributes;
  while (at && !str_equal(at->key, key)) at = at->next;
  return at;
}

size_t span_room_for(const struct span *span, struct str key, struct str value) {
  const struct span_attribute *at = span_attribute(span, key);
  if (!at && span->attribute_count == SPAN_ATTRIBUTES) return 0;
  size_t bytes = at ? 0 : sizeof *at + key.len;
  return !at || at->room < value.len ? bytes + arena_room_for(value) : bytes;
}

void span_set(struct exchange *x, struct span *span, struct str key, struct str value) {
  struct span_attribute *at = span_attribute(span, key);
  if (!at && span->attribute_count == SPAN_ATTRIBUTES) {
    span->attributes_missed++;
    return;
  }
  if (!at) {
    at = arena_zalloc(&x->arena, sizeof *at);
    at->key = arena_dup(&x->arena, key);
    at->next = span->attributes;
    span->attributes = at;
    span->attribute_count++;
  }
  if (at->room < value.len) {
    at->room = arena_room_for(value);
    at->value.ptr = arena_alloc(&x->arena, at->room);
  }
  if (value.len) memcpy((char *)at->value.ptr, value.ptr, value.len);
  at->value.len = value.len;
}

void trace_write(const struct exchange *x, const struct span *span, char to[TRACEPARENT_TEXT]) {
  struct trace_context context = x->account.trace->context;
  if (span) context.span = span->id;
  trace_context_write(&context, to);
}
