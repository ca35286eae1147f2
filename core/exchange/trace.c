// SPDX-License-Identifier: Apache-2.0
// trace: ids, decisions, and the life of spans. The system gives each worker its random numbers once, so that ids cost
// no system call. A trace that begins here has in its first half a number of the worker's, by which no two workers of a
// fleet give the same ones, and in its second half one that the worker draws: a permutation, which gives none twice. By
// that half, samplers decide. Nobody needs ids to be secret.
//
// Most requests are not sampled: of those only the ids are made, and the line for the peer.
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

#define LINE_BEGIN "traceparent: 00-"
_Static_assert(sizeof LINE_BEGIN - 1 + SPAN_ID_TEXT == TRACE_LINE_BEGIN,
               "what all ids of a worker begin with");

/* --- ids -------------------------------------------------------------------------------------------------- */

void trace_seed(struct trace_ids *ids, uint64_t first, uint64_t dice) {
  ids->first = first + !first;
  ids->dice = dice;
  memcpy(ids->line, LINE_BEGIN, sizeof LINE_BEGIN - 1);
  trace_write_hex(ids->first, ids->line + sizeof LINE_BEGIN - 1);
}

static __attribute__((cold, noinline)) void seed(struct proxy *proxy) {
  uint64_t numbers[2];
  if (!random_fill(numbers, sizeof numbers, 0)) {
    struct timespec now; /* never, on a system that has come up */
    clock_gettime(CLOCK_REALTIME, &now);
    numbers[0] = (uint64_t)now.tv_nsec + proxy->worker;
    numbers[1] = (uint64_t)now.tv_sec ^ ticks_now();
  }
  trace_seed(&proxy->trace_ids, numbers[0], numbers[1]);
}

static inline uint64_t new_id(struct proxy *proxy) {
  uint64_t id = random_next(&proxy->trace_ids.dice);
  return id + !id;
}

/* --- begin ------------------------------------------------------------------------------------------------ */

static bool is_chosen(const struct trace *t) {
  return t->rules->samples_all || t->context.low < t->rules->threshold;
}

static struct span *new_span(struct exchange *x, enum span_kind kind, uint64_t begun) {
  struct span *span = arena_zalloc(&x->arena, sizeof *span);
  span->kind = kind;
  span->begun = begun;
  span->id = new_id(x->proxy);
  return span;
}

static void record(struct exchange *x) {
  struct trace *t = x->account.trace;
  enum span_kind kind = exchange_background(x) ? SPAN_INTERNAL : SPAN_SERVER;
  t->own = new_span(x, kind, x->account.began);
  t->own->parent = t->parent;
  t->is_plain = false;
  t->context.span = t->own->id;
}

/* Where it is not sampled, there is no span that needs an id of its own. */
static inline void new_trace(struct exchange *x) {
  struct trace *t = x->account.trace;
  t->is_plain = true;
  t->context.high = x->proxy->trace_ids.first;
  t->context.low = t->context.span = new_id(x->proxy);
  t->context.is_sampled = is_chosen(t);
}

/* What the client says of a trace, if it counts. */
static bool take_parent(struct exchange *x) {
  struct trace *t = x->account.trace;
  if (t->rules->parent == TRACE_IGNORE || !trace_context_read(&x->request.headers, &t->context)) return false;
  t->parent = t->context.span;
  t->is_remote_sampled = t->context.is_sampled;
  if (t->rules->parent == TRACE_JOIN) t->context.is_sampled = is_chosen(t);
  t->passes_on = !t->context.is_sampled && !t->is_remote_sampled && t->context.is_current;
  return true;
}

static __attribute__((noinline)) void begin_told(struct exchange *x) {
  struct trace *t = x->account.trace;
  bool has_parent = take_parent(x);
  if (!has_parent) new_trace(x);
  t->is_plain = false;
  if (headers_may_have(&x->request.headers, FIELD_TRACESTATE))
    t->drops_state = !has_parent || !trace_state_is_valid(&x->request.headers);
  if (!t->passes_on) t->context.span = new_id(x->proxy);
}

void trace_begin(struct exchange *x) {
  const uint32_t told = UINT32_C(1) << FIELD_TRACEPARENT | UINT32_C(1) << FIELD_TRACESTATE;
  struct trace *t = x->account.trace = arena_alloc(&x->arena, sizeof *t);
  t->rules = x->settings->tracing;
  t->parent = 0; /* one by one: as a whole it would take longer than all the rest */
  t->context.is_current = t->is_plain = t->is_remote_sampled = t->passes_on = t->drops_state = false;
  t->own = t->spans = NULL;
  t->count = t->missed = 0;
  t->grpc_code = GRPC_CODE_NONE;
  if (__builtin_expect(!x->proxy->trace_ids.first, false)) seed(x->proxy);
  if (__builtin_expect(x->request.headers.present & told, false))
    begin_told(x);
  else
    new_trace(x);
  if (__builtin_expect(t->context.is_sampled, false)) record(x);
}

/* --- attempts --------------------------------------------------------------------------------------------- */

static struct span *add_span(struct exchange *x, const struct span *parent, enum span_kind kind) {
  struct trace *t = x->account.trace;
  CHECK(t->context.is_sampled);
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
  CHECK(!x->now.span);
  struct span *span = x->now.span = add_span(x, NULL, SPAN_CLIENT);
  if (!span) return;
  span->is_attempt = true;
  span->grpc_code = GRPC_CODE_NONE;
  span->is_secure = x->now.peer->options.tls;
  span->address = arena_dup(&x->arena, x->now.peer->options.address);
  span->resend = x->attempts - 1;
}

enum { LINE_NAME = sizeof "traceparent: " - 1, LINE_BYTES = LINE_NAME + TRACEPARENT_TEXT };

static inline struct trace_context context_below(const struct exchange *x, const struct span *span) {
  struct trace_context context = x->account.trace->context;
  if (span) context.span = span->id;
  return context;
}

static void add_line(struct headers *h, const char *line) {
  struct str name = {line, LINE_NAME - 2}, value = {line + LINE_NAME, TRACEPARENT_TEXT};
  headers_add_field(h, name, value, FIELD_TRACEPARENT);
}

/* What the policy has set stays. */
static bool makes_way(struct headers *h, enum field_id id) {
  const struct field *field = headers_find_id(h, id);
  if (field && field->is_set) return false;
  if (field) headers_remove_id(h, id);
  return true;
}

static __attribute__((noinline)) void ask_otherwise(struct exchange *x) {
  const struct trace *t = x->account.trace;
  struct headers *h = &x->now.request.headers;
  if (!t->passes_on && makes_way(h, FIELD_TRACEPARENT)) {
    char *line = arena_alloc(&x->arena, LINE_BYTES);
    struct trace_context context = context_below(x, x->now.span);
    memcpy(line, "traceparent: ", LINE_NAME);
    trace_context_write(&context, line + LINE_NAME);
    add_line(h, line);
  }
  if (t->drops_state) makes_way(h, FIELD_TRACESTATE);
}

/* Most traces begin here, and are not sampled: of such an id the worker has the first half in digits, and the span has
 * the second half. */
void trace_ask(struct exchange *x) {
  const struct trace *t = x->account.trace;
  struct headers *h = &x->now.request.headers;
  bool is_usual = t->is_plain && !headers_may_have(h, FIELD_TRACEPARENT);
  if (__builtin_expect(!is_usual, false)) {
    ask_otherwise(x);
    return;
  }
  char *line = arena_alloc(&x->arena, LINE_BYTES), *at = line + TRACE_LINE_BEGIN;
  memcpy(line, x->proxy->trace_ids.line, TRACE_LINE_BEGIN);
  trace_write_hex(t->context.low, at);
  at[SPAN_ID_TEXT] = '-';
  memcpy(at + SPAN_ID_TEXT + 1, at, SPAN_ID_TEXT);
  memcpy(line + LINE_BYTES - 3, "-00", 3);
  add_line(h, line);
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

void trace_over(struct exchange *x) { span_close(x->account.trace->own); }

/* Near the end of the ring, or where it is full. */
static __attribute__((noinline)) void put_copy(struct exchange *x, const struct span *span,
                                               struct span_moment now, struct span_lane *lane) {
  char bytes[SPAN_BYTES_MOST];
  span_lane_put(lane, bytes, trace_encode(x, span, now, bytes));
}

static void put_span(struct exchange *x, const struct span *span, struct span_moment now,
                     struct span_lane *lane) {
  char *room = span_lane_room(lane);
  if (room)
    span_lane_commit(lane, trace_encode(x, span, now, room));
  else
    put_copy(x, span, now, lane);
}

void trace_end(struct exchange *x) {
  struct trace *t = x->account.trace;
  struct timespec now;
  CHECK(t->context.is_sampled);
  clock_gettime(CLOCK_REALTIME, &now);
  struct span_moment moment = {ticks_now(), (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec};
  trace_over(x);
  struct span_lane *lane = span_queue_lane(t->rules->queue, x->proxy->worker);
  put_span(x, t->own, moment, lane);
  for (const struct span *span = t->spans; span; span = span->next) put_span(x, span, moment, lane);
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
  if (!x->account.trace->context.is_sampled) return NULL;
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
  struct trace_context context = context_below(x, span);
  trace_context_write(&context, to);
}
