// SPDX-License-Identifier: Apache-2.0
// cache_fill: exchanges of the cache itself. One fills: it has taken over the attempt of the exchange that asked, or
// copies a body that is good for longer, and relays it into the store as any other exchange relays to its client. One
// refreshes: it walks from proxy_upstream_filter on, as if a client had asked. Both have a stream whose other end is
// the cache.
//
// The hard problem is memory: heads, texts and what a call has of its own lie in the arena of the exchange that asked,
// which may end first. Then that arena passes to the one that fills, and is freed with it.
#include "base/check.h"
#include "exchange/account.h"
#include "exchange/attempt.h"
#include "exchange/call.h"
#include "exchange/cache_parts.h"
#include "exchange/deadline.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/stream.h"
#include "exchange/trace.h"
#include "http/lenient.h"
#include "net/virtual_time.h"

enum { MAINTAIN_FACTOR = 2 };

/* --- the stream ------------------------------------------------------------------------------------------- */

/* Its service stays as long as there is something on it. */
static void end(struct stream *s) {
  struct service *service = s->service;
  s->exchange = NULL;
  timer_stop(&s->timer);
  if (--service->connections == 0 && service->closing && service->on_unused) service->on_unused(service);
}

static void reset(struct stream *s, enum error error) {
  struct exchange *x = s->exchange;
  end(s);
  exchange_client_gone(x, error);
}

/* Nobody is told of a head: interim ones, and answers of the policy, are dropped. */
static const struct stream_codec codec = {STREAM_SILENT, .end = end, .reset = reset};

static void on_due(struct timer *timer) {
  exchange_stream_due(CONTAINER_OF(timer, struct stream, timer)->exchange);
}

static void set_stream(struct exchange *x, struct service *service) {
  struct stream *s = arena_alloc(&x->arena, sizeof *s);
  *s = (struct stream){.codec = &codec, .exchange = x, .service = service};
  timer_init(&s->timer, x->proxy->loop, on_due);
  service->connections++;
  x->stream = s;
}

/* --- the sink --------------------------------------------------------------------------------------------- */

/* What was purged while it came is found by nobody. */
void cache_finish(struct exchange *x, struct fill *f) {
  struct cache_visit *v = x->cache;
  struct cache *cache = visit_cache(v);
  cache_hold_purges(cache, v->url);
  bool is_whole = fill_finish(f, cache_is_current(v, &v->facts));
  cache_let_purges(cache, v->url);
  if (!is_whole) cache_count(cache, broken, 1);
  cache_give_up_fill(v, FILL_FAILED); /* which has ended: it is in the list no more */
}

static enum io write_fill(struct sink *sink, const struct str *parts, const struct trailers *end,
                          size_t *moved) {
  struct exchange *x = sink->of;
  struct cache_visit *v = x->cache;
  struct fill *f = v->seat->fill;
  for (int i = 0; i < RELAY_PARTS; i++) {
    if (!parts[i].len) continue;
    if (!fill_write(f, parts[i])) return *moved ? IO_OK : IO_AGAIN;
    *moved += parts[i].len;
  }
  if (*moved) store_maintain(cache_store(visit_cache(v)), MAINTAIN_FACTOR * *moved);
  if (f->overflows) cache_unlist(visit_cache(v), f);
  if (end) cache_finish(x, f);
  return IO_OK;
}

static void want_room(struct sink *sink, bool on) { (void)sink, (void)on; /* the fill tells */ }

static const struct sink_ops sink_ops = {write_fill, want_room, NULL};

/* --- memory that two share -------------------------------------------------------------------------------- */

/* Two exchanges, of which one has taken over what the other one had; each has one of these. */
struct handover {
  struct handover *other; /* borrowed; NULL: it has ended */
  bool is_heir;
  struct arena arena; /* owned: of the other one, which has ended */
};

static void share_memory(struct exchange *f, struct exchange *x) {
  struct handover *of_f = arena_zalloc(&f->arena, sizeof *of_f);
  struct handover *of_x = arena_zalloc(&x->arena, sizeof *of_x);
  *of_f = (struct handover){.other = of_x, .is_heir = true};
  of_x->other = of_f;
  f->cache->handover = of_f;
  x->cache->handover = of_x;
}

/* What lies in the memory of the one that asked is the filler's as well, until both have ended. */
bool handover_end(struct exchange *x) {
  struct handover *h = x->cache->handover;
  if (!h) return false;
  if (h->other) h->other->other = NULL;
  if (h->other && !h->is_heir) {
    h->other->arena = x->arena;
    return true;
  }
  struct arena own = x->arena, left = h->arena; /* the one holds the exchange, the other h's */
  arena_free(&own);
  arena_free(&left);
  return true;
}

/* --- one that fills --------------------------------------------------------------------------------------- */

static void copy_request(struct exchange *to, const struct exchange *from) {
  to->request = from->request;
  headers_copy(&to->request.headers, &from->request.headers, &to->arena);
  headers_init(&to->request.nominated, &to->arena);
}

static struct exchange *background_new(struct exchange *x) {
  struct service_policy policy = {x->hooks, x->settings, x->use};
  struct exchange *b = exchange_new(x->proxy, &policy, (struct arena){0});
  b->secure = x->secure;
  exchange_copy_client(b, x);
  account_begin(b, x->account.traffic);
  set_stream(b, x->stream->service);
  x->proxy->exchange_count++;
  list_push_back(&x->proxy->exchanges, &b->link);
  return b;
}

static struct cache_visit *visit_of(struct exchange *b, const struct cache_visit *from,
                                    enum visit_state state) {
  struct cache_visit *v = arena_zalloc(&b->arena, sizeof *v);
  v->exchange = b;
  v->rules = from->rules;
  v->state = state;
  v->stage = STAGE_OVER;
  v->is_never_stale = from->is_never_stale;
  v->said = from->said;
  v->background = state == VISIT_FILLS ? BACKGROUND_FILL : BACKGROUND_REFRESH;
  v->url = arena_dup(&b->arena, from->url);
  v->key = arena_dup(&b->arena, from->key);
  v->object_key = arena_dup(&b->arena, from->object_key);
  v->number = from->number;
  v->facts = from->facts;
  b->cache = v;
  return v;
}

static void begin_script(struct exchange *b) {
  if (b->hooks->begin) b->hooks->begin(b);
}

/* Nothing of the response has been read but its head. */
static void begin_relay(struct exchange *f, struct body body) {
  f->down.to = (struct sink){.ops = &sink_ops, .of = f};
  f->down.trailers.allowed = false;
  f->down.trailers.nominated = &f->response.nominated;
  filter_response(f, FRAMING_CHUNKED);
  relay_begin(&f->down, body, FRAMING_CHUNKED, (struct str){0}, (struct str){0});
  f->sent.status = f->response.status;
  f->step = STEP_relay_bodies;
  begin_script(f);
}

/* The request has gone out whole; what the attempt knows of it is the call's. */
static void take_attempt(struct exchange *f, struct exchange *x) {
  struct attempt_times times = x->now.times;
  account_attempt(x);
  attempt_set_aside(x, &f->now);
  x->now.times = times;
  f->now.call->exchange = f;
  f->now.up.copy.to = NULL;
  f->now.up.filter = NULL;
  f->now.up.trailers.arena = &f->arena;
  f->now.up.from = (struct source){0};
  f->now.request = f->request;
  f->attempts = x->attempts;
}

void cache_hand_over(struct exchange *x, struct fill *fill) {
  x->cache->is_filler = virtual_time.on; /* a rehearsal fills by itself */
  if (virtual_time.on) return;
  struct exchange *f = background_new(x);
  struct cache_visit *v = visit_of(f, x->cache, VISIT_FILLS);
  copy_request(f, x);
  f->response = x->response;
  headers_copy(&f->response.headers, &x->response.headers, &f->arena);
  headers_init(&f->response.nominated, &f->arena);
  take_attempt(f, x);
  share_memory(f, x);
  cache_sit_as_filler(v, fill);
  f->down.from = f->now.call->source;
  begin_relay(f, f->down.from.ops ? (struct body){FRAMING_CLOSE, 0} : f->response.body);
  f->down.decoder.chunked.takes_padding = f->now.peer->options.lenient & LENIENT_CHUNK_PADDING;
  transfer_down(f);
}

/* In a rehearsal. */
static void copy_at_once(struct exchange *x, struct fill *fill) {
  struct cache_visit *v = x->cache;
  off_t place;
  uint64_t at = 0;
  for (struct str part; (part = store_lease_at(cache_store(visit_cache(v)), &v->lease, at, &place)).len;
       at += part.len)
    fill_write(fill, part);
  v->is_filler = true;
  cache_finish(x, fill);
}

/* What is read is held by a lease of its own. */
void cache_copy_body(struct exchange *x, struct fill *fill, struct str key) {
  if (virtual_time.on) {
    copy_at_once(x, fill);
    return;
  }
  struct exchange *f = background_new(x);
  struct cache_visit *v = visit_of(f, x->cache, VISIT_FILLS);
  copy_request(f, x);
  share_memory(f, x);
  cache_sit_as_filler(v, fill);
  v->has_lease = store_find(cache_store(visit_cache(v)), key, &v->lease);
  uint64_t length = v->has_lease && v->lease.length == fill->length ? fill->length : 0;
  cache_body_begin(v, 0, length);
  f->response.status = 200;
  f->now.up.decoder.ended = true;
  f->down.from = cache_source(f);
  begin_relay(f, (struct body){FRAMING_LENGTH, length});
  filter_none(&f->down);
  transfer_down(f);
}

enum background_kind cache_background(const struct exchange *x) { return x->cache->background; }

/* --- one that refreshes ----------------------------------------------------------------------------------- */

static void copy_text(struct exchange *b, const struct request *from) {
  struct request *r = &b->request;
  *r = *from;
  headers_init(&r->headers, &b->arena);
  headers_init(&r->nominated, &b->arena);
  for (unsigned i = 0; i < from->headers.count; i++)
    headers_add(&r->headers, arena_dup(&b->arena, from->headers.items[i].name),
                arena_dup(&b->arena, from->headers.items[i].value));
  r->method = METHOD_GET;
  r->method_name = STR("GET");
  r->target = arena_dup(&b->arena, r->target);
  r->authority = arena_dup(&b->arena, r->authority);
  r->body = (struct body){FRAMING_NONE, 0};
  r->upgrade = (struct str){0};
  r->expects_continue = false;
}

static void begin_walk(struct exchange *b) {
  struct body none = {FRAMING_NONE, 0};
  relay_begin(&b->now.up, none, none.framing, (struct str){0}, (struct str){0});
  b->now.up.active = false;
  b->now.up.copy.limit = RELAY_COPY_LIMIT;
  if (b->settings->tracing) trace_begin(b);
  begin_script(b);
  b->step = STEP_proxy_upstream_filter;
}

/* A lease of its own, since that of the client's exchange ends with it. */
static bool find_again(struct cache_visit *v) {
  v->has_lease = store_find(cache_store(visit_cache(v)), v->object_key, &v->lease);
  v->validates = v->has_lease && stored_read(v->lease.head, &v->stored, &v->facts, &v->exchange->arena);
  return v->validates;
}

/* False: somebody else does it, or what is to be refreshed is gone. */
static bool join_refresh(struct cache_visit *v) {
  bool is_ours = cache_sit(v, v->object_key) == CACHE_FILLS;
  v->is_collapsed = false;
  return is_ours && find_again(v);
}

static struct cache_visit *visit_of_refresh(struct exchange *b, const struct cache_visit *of) {
  struct cache_visit *v = visit_of(b, of, VISIT_FETCHES);
  v->result = CACHE_RESULT_EXPIRED;
  v->forward = CACHE_FORWARD_STALE;
  v->is_alone = true;
  return v;
}

bool cache_begin_refresh(struct exchange *b, const struct cache_visit *of) {
  return join_refresh(visit_of_refresh(b, of));
}

/* Somebody does it already, or does it now. */
void cache_refresh(struct cache_visit *of) {
  struct exchange *x = of->exchange;
  if (x->proxy->stopping || cache_is_filling(visit_cache(of), of->object_key)) return;
  of->wants_refresh = virtual_time.on; /* a rehearsal has another one for it */
  if (virtual_time.on) return;
  struct exchange *b = background_new(x);
  struct cache_visit *v = visit_of_refresh(b, of);
  copy_text(b, &x->request);
  begin_walk(b);
  if (join_refresh(v)) {
    exchange_run(b);
    return;
  }
  cache_give_up_fill(v, FILL_OVER);
  exchange_jump(b, STEP_finish);
  exchange_run(b);
}

/* --- one that has lost its client ------------------------------------------------------------------------- */

/* Of an exchange that asks or fills, and has no client. */
static bool is_unwanted(const struct exchange *x) {
  const struct cache_visit *v = x->cache;
  bool is_ours = v && v->seat && v->is_filler && x->stream && x->stream->codec == &codec;
  return is_ours && fill_is_unwanted(v->seat->fill);
}

void cache_stop(struct proxy *proxy) {
  LIST_EACH(node, &proxy->exchanges) {
    struct exchange *x = LIST_ENTRY(node, struct exchange, link);
    if (is_unwanted(x)) stream_reset(x->stream, ERROR_CLIENT_GONE);
  }
}

bool cache_goes_on_alone(struct exchange *x, enum error error) {
  struct cache_visit *v = x->cache;
  bool is_asking = v->state == VISIT_FETCHES && v->is_filler && x->step > STEP_cache_look_up &&
                   x->step <= STEP_cache_take_head && !x->sent.status && !v->is_alone;
  if (!is_asking || x->proxy->stopping) return false;
  v->is_alone = true;
  v->lost = error;
  relay_stop(&x->down);
  x->down_state = TRANSFER_OFF;
  set_stream(x, x->stream->service);
  return true;
}
