// SPDX-License-Identifier: Apache-2.0
// cache_store: what becomes of the head that a peer has sent to one who asked for the cache: it is kept, and its body
// goes into the store; it renews what is stored; or it is not for the cache, and whoever waits for it asks for himself.
#include <stdlib.h>

#include "base/clock.h"
#include "base/date.h"
#include "exchange/attempt.h"
#include "exchange/cache_parts.h"
#include "exchange/proxy.h"
#include "http/conditions.h"
#include "http/members.h"
#include "http/renewal.h"
#include "http/storable.h"

static const struct storable_rules storable_rules;

void cache_give_up_fill(struct cache_visit *v, enum fill_state state) {
  if (!v->is_filler) return;
  v->is_filler = false;
  cache_unlist(visit_cache(v), v->seat->fill);
  fill_end(v->seat->fill, state);
}

/* --- how fresh it is -------------------------------------------------------------------------------------- */

static void control_of(struct exchange *x, const struct headers *h, struct cache_control *cc) {
  static const struct str targets[] = {STR_INIT("Perilune-Cache-Control"), STR_INIT("CDN-Cache-Control")};
  cache_control_of_response(h, targets, 2, &x->arena, cc);
}

/* What response_cache_filter says of it counts, whatever the response says itself. */
static void obey(struct freshness *f, const struct cache_says *says) {
  uint32_t old_s = (uint32_t)(f->initial_age_ms / 1000);
  if (says->has_ttl) {
    f->lifetime_s = says->ttl_s < CACHE_SECONDS_MOST - old_s ? says->ttl_s + old_s : CACHE_SECONDS_MOST;
    f->source = FRESHNESS_POLICY;
    f->is_validated_always = false;
  }
  if (says->has_while_revalidate) f->while_revalidate_s = says->while_revalidate_s;
  if (says->has_if_error) f->if_error_s = says->if_error_s;
  if (says->has_while_revalidate || says->has_if_error) f->is_never_stale = false;
}

void cache_note_arrival(struct cache_visit *v) {
  uint64_t now = loop_now_ms(v->exchange->proxy->loop), sent = v->exchange->now.times.request_sent;
  int64_t wall = clock_wall_ms(), delay = sent && now > sent ? (int64_t)(now - sent) : 0;
  v->arrival = (struct cache_arrival){{wall - delay, wall}, cache_now_ms(visit_cache(v))};
}

/* Of the response whose arrival was noted. */
static void facts_of(struct cache_visit *v, const struct response *response, const struct cache_control *cc,
                     struct stored_facts *facts) {
  const struct cache_rules *r = v->rules;
  struct freshness_rules rules = {.grace_beside_s_maxage = r->grace_beside_s_maxage,
                                  .has_default = r->has_default,
                                  .default_s = r->default_s};
  facts->since_ms = v->arrival.since_ms;
  facts->wall_ms = v->arrival.times.response_ms;
  facts->number = v->number;
  facts->tag_count = 0;
  facts->has_more_tags = false;
  cache_take_tags(v, &response->headers, facts);
  freshness_of(&facts->freshness, response, cc, v->arrival.times, &rules);
  if (v->says) obey(&facts->freshness, v->says);
}

/* A HEAD was fetched by GET; and what a policy tells its peers of itself is not the client's. */
static enum storable judge(struct cache_visit *v, const struct response *response,
                           const struct cache_control *cc, const struct freshness *freshness) {
  struct request asked = v->exchange->request;
  asked.method = METHOD_GET;
  return storable(&asked, &v->asked, response, cc, freshness, &storable_rules);
}

/* --- refused ---------------------------------------------------------------------------------------------- */

/* Is it so for every request of that key, most likely? */
static bool is_lasting(enum storable reason, unsigned status) {
  switch (reason) {
  case STORABLE_METHOD:
  case STORABLE_REQUEST_BODY:
  case STORABLE_REQUEST_NO_STORE:
  case STORABLE_AUTHORIZATION:
  case STORABLE_YES: return false;
  case STORABLE_STATUS:
  case STORABLE_NOT_UNDERSTOOD:
  case STORABLE_NO_STORE:
  case STORABLE_PRIVATE:
  case STORABLE_SET_COOKIE:
  case STORABLE_VARY:
  case STORABLE_NO_FRESHNESS:
  case STORABLE_COUNT: break;
  }
  return status < 500;
}

/* The client has asked by HEAD, and we by GET: its body is not for anybody. */
static void drop_body(struct exchange *x) {
  x->response.body = (struct body){FRAMING_NONE, 0};
  x->response.keep_alive = false;
}

enum step_result cache_leave_alone(struct exchange *x) {
  x->error = x->cache->lost;
  attempt_end(x, false);
  exchange_jump(x, STEP_logging);
  return STEP_JUMPED;
}

/* `why`: static, for Cache-Status; NULL: nothing to tell. */
static enum step_result refuse(struct cache_visit *v, const char *why, bool is_remembered) {
  struct exchange *x = v->exchange;
  v->refusal = str_of(why);
  cache_count(visit_cache(v), refused, 1);
  if (is_remembered) cache_remember_refusal(visit_cache(v), v->key, v->rules->refusal_ms);
  if (v->has_lease && x->response.status < 500) store_remove(cache_store(visit_cache(v)), v->object_key);
  cache_give_up_fill(v, FILL_REFUSED);
  cache_leave(v);
  cache_drop_lease(v);
  v->state = VISIT_PASSES;
  if (v->is_alone) return cache_leave_alone(x);
  if (v->was_head) drop_body(x);
  cache_say_status(v, &x->response.headers);
  return STEP_NEXT;
}

/* --- kept ------------------------------------------------------------------------------------------------- */

/* A coding is chosen by the request, also where its response does not say so. */
static void add_vary(struct exchange *x) {
  struct headers *h = &x->response.headers;
  struct str coding = field_alone(h, STR("Content-Encoding"));
  struct vary vary;
  if (!headers_find(h, STR("Content-Encoding")) || str_equal_nocase(coding, STR("identity"))) return;
  if (!vary_parse(h, &vary)) return;
  for (unsigned i = 0; i < vary.count; i++)
    if (str_equal_nocase(vary.names[i], STR("Accept-Encoding"))) return;
  headers_add(h, STR("Vary"), STR("Accept-Encoding"));
}

/* RFC 9110 section 6.6.1. A copy: hooks may wait before it is written, and the next second's text takes its place. */
static void add_date(const struct cache_visit *v, struct headers *h) {
  if (headers_find_id(h, FIELD_DATE)) return;
  struct str text = date_text(DATE_HTTP, (time_t)(v->arrival.times.response_ms / 1000));
  headers_add_id(h, FIELD_DATE, arena_dup(&v->exchange->arena, text));
}

/* One more of the variants of the key; the oldest goes where they are too many. */
static void add_variant(struct cache_visit *v, struct stored_vary *stored, uint64_t hash) {
  unsigned most = v->rules->max_variants < STORED_VARIANTS ? v->rules->max_variants : STORED_VARIANTS,
           kept = 0;
  for (unsigned i = 0; i < stored->count; i++)
    if (stored->variants[i] != hash) stored->variants[kept++] = stored->variants[i];
  while (kept >= most) {
    store_remove_hash(cache_store(visit_cache(v)), stored->variants[0]);
    memmove(stored->variants, stored->variants + 1, --kept * sizeof *stored->variants);
  }
  stored->variants[kept++] = hash;
  stored->count = kept;
}

/* Stores, under the key itself, which fields choose the response. If two workers do so at the same time, one variant
 * may be lost from the list; it is then evicted like anything that is not used. */
static void write_vary(struct cache_visit *v, const struct vary *vary) {
  struct store *store = cache_store(visit_cache(v));
  struct stored_vary stored = {.count = 0};
  struct store_lease lease;
  bool was_there = store_find(store, v->key, &lease);
  bool is_same = was_there && stored_read_vary(lease.head, &stored) && vary_is_same(&stored.vary, vary);
  if (!is_same) stored.count = 0;
  if (!is_same || stored.number > v->number) stored.number = v->number;
  stored.vary = *vary;
  add_variant(v, &stored, store_hash(v->object_key));
  struct str row = stored_write_vary(&stored);
  struct store_writer *w = store_begin(store, v->key, row, 0);
  if (w) store_finish(w);
  if (was_there) store_release(store, &lease);
  free((char *)row.ptr);
}

/* Unless its URL was purged since its peer was asked. */
static void publish_vary(struct cache_visit *v, const struct vary *vary, const struct stored_facts *facts) {
  cache_hold_purges(visit_cache(v), v->url);
  if (cache_is_current(v, facts)) write_vary(v, vary);
  cache_let_purges(visit_cache(v), v->url);
}

/* The keys under which it is stored. False: no request would find it. */
static bool choose_keys(struct cache_visit *v, const struct headers *h, struct vary *vary,
                        struct str *variant) {
  struct exchange *x = v->exchange;
  v->object_key = v->key;
  *variant = (struct str){0};
  if (!vary_parse(h, vary)) return false;
  if (!vary->count) return true;
  if (!vary_key(vary, &x->request.headers, CACHE_CODINGS, &x->arena, variant)) return false;
  cache_key_choose(v, *variant);
  return true;
}

static uint64_t length_of(const struct exchange *x, const struct body *body) {
  if (x->hooks->upstream_response_body_filter && body->framing != FRAMING_NONE) return STORE_LENGTH_UNKNOWN;
  if (body->framing == FRAMING_NONE) return 0;
  return body->framing == FRAMING_LENGTH ? body->length : STORE_LENGTH_UNKNOWN;
}

/* A response that is stale at once is only for the request that asked. Those who wait ask for themselves, all at
 * once. */
static void be_alone(struct cache_visit *v) {
  cache_give_up_fill(v, FILL_REFUSED);
  cache_leave(v);
  cache_sit_alone(v);
}

/* The fill has a head, and waits for its body. */
static bool run_fill(struct cache_visit *v, const struct response *response, const struct stored_facts *facts,
                     uint64_t length) {
  struct vary vary;
  struct str variant, row = {0};
  if (!choose_keys(v, &response->headers, &vary, &variant)) return false;
  if (!freshness_holds(&facts->freshness, 0)) be_alone(v);
  row = stored_write(response, facts);
  if (!row.ptr) return false;
  struct fill_head head = {v->object_key, row, variant, length};
  if (vary.count) publish_vary(v, &vary, facts);
  bool runs = fill_run(v->seat->fill, &head);
  free((char *)row.ptr);
  if (runs) cache_forget_refusal(visit_cache(v), v->key);
  return runs;
}

static bool is_too_large(const struct cache_visit *v, uint64_t length) {
  uint64_t most = store_object_most(cache_store(visit_cache(v)));
  if (v->rules->object_most && v->rules->object_most < most) most = v->rules->object_most;
  return length != STORE_LENGTH_UNKNOWN && length > most;
}

static enum step_result keep(struct cache_visit *v, struct stored_facts *facts) {
  struct exchange *x = v->exchange;
  struct response stripped = x->response;
  uint64_t length = length_of(x, &x->response.body);
  headers_copy(&stripped.headers, &x->response.headers, &x->arena);
  storable_strip(&stripped.headers, &storable_rules);
  bool is_large = is_too_large(v, length);
  /* The policy's hook wants decoded text, and the exchange that fills does not decode. */
  bool is_hidden = x->hooks->decodes && x->hooks->upstream_response_body_filter &&
                   headers_find(&x->response.headers, STR("Content-Encoding"));
  if (is_hidden || is_large || x->now.up.active || !run_fill(v, &stripped, facts, length))
    return refuse(v, is_large ? "too_large" : NULL, is_large);
  struct fill *fill = v->seat->fill;
  v->is_filler = false;
  v->facts = *facts;
  if (!v->is_alone) fill_begin_reading(fill, &v->seat->seat); /* before a window could go on without it */
  cache_hand_over(x, fill);
  if (v->is_alone) return cache_leave_alone(x);
  cache_drop_lease(v);
  if (!cache_take_fill(v)) CHECK(false);
  return cache_serve_fill(v, v->result);
}

/* --- renewed ---------------------------------------------------------------------------------------------- */

/* Of the response as it is from now on, the body is what was stored. */
static void store_renewed(struct cache_visit *v, const struct response *renewed,
                          const struct stored_facts *facts) {
  struct fill *fill;
  struct str key = v->object_key;
  if (!run_fill(v, renewed, facts, v->lease.length)) {
    store_remove(cache_store(visit_cache(v)), key);
    cache_give_up_fill(v, FILL_OVER);
    return;
  }
  fill = v->seat->fill;
  v->is_filler = false;
  v->facts = *facts;
  cache_copy_body(v->exchange, fill, key);
}

enum step_result cache_settle_renewed(struct cache_visit *v, bool is_out) {
  struct exchange *x = v->exchange;
  struct response renewed = x->response;
  struct cache_control cc;
  struct stored_facts facts;
  bool peer_keeps = v->peer_keeps && x->now.up.done;
  control_of(x, &renewed.headers, &cc);
  facts_of(v, &renewed, &cc, &facts);
  storable_strip(&renewed.headers, &storable_rules);
  bool is_kept = !is_out && !judge(v, &renewed, &cc, &facts.freshness);
  if (is_kept)
    store_renewed(v, &renewed, &facts);
  else
    store_remove(cache_store(visit_cache(v)), v->object_key);
  cache_give_up_fill(v, FILL_REFUSED);
  cache_leave(v);
  cache_count(visit_cache(v), revalidated, 1);
  if (v->is_alone) return cache_leave_alone(x);
  attempt_end(x, peer_keeps);
  v->stored = renewed;
  v->facts = facts;
  return cache_serve(v, CACHE_RESULT_REVALIDATED);
}

/* --- new -------------------------------------------------------------------------------------------------- */

enum step_result cache_settle(struct cache_visit *v, bool is_out) {
  struct exchange *x = v->exchange;
  struct cache_control cc;
  struct stored_facts facts;
  if (is_out) return refuse(v, "policy", x->response.status < 500);
  control_of(x, &x->response.headers, &cc);
  facts_of(v, &x->response, &cc, &facts);
  enum storable reason = judge(v, &x->response, &cc, &facts.freshness);
  if (!reason) return keep(v, &facts);
  return refuse(v, storable_name(reason), is_lasting(reason, x->response.status));
}

void cache_set_defaults(struct cache_visit *v) {
  add_vary(v->exchange);
  add_date(v, &v->exchange->response.headers);
}

/* The field is not stored, but it counts for the age (RFC 9111 section 4.2.3). */
static void add_age(struct headers *to, const struct headers *answer) {
  for (unsigned i = 0; i < answer->count; i++)
    if (str_equal_nocase(answer->items[i].name, STR("Age")))
      headers_add(to, answer->items[i].name, answer->items[i].value);
}

void cache_merge(struct cache_visit *v) {
  struct exchange *x = v->exchange;
  struct response renewed = v->stored;
  add_date(v, &x->response.headers);
  renewal_merge(&renewed.headers, &v->stored.headers, &x->response.headers, &storable_rules, &x->arena);
  add_age(&renewed.headers, &x->response.headers);
  v->peer_keeps = x->response.keep_alive;
  v->renews = true;
  x->response = renewed;
}
