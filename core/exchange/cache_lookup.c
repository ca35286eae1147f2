// SPDX-License-Identifier: Apache-2.0
// cache_lookup: from a request to one of four ways: a hit; a wait for somebody else's fetch; a fetch of our own; or
// past the cache. The hard problem is that between two looks everything may have changed, in other threads: so after
// each wait it begins anew, a few times at most.
#include "exchange/cache_parts.h"

#include "base/clock.h"
#include "exchange/proxy.h"
#include "http/ranges.h"

enum { ROUNDS_MOST = 4, WAIT_MS = 5000, REFUSAL_MS = 120000, VARIANTS = 16, FAR_BYTES = 8 << 20 };

const struct cache_rules cache_rules_default = {
    .lock_wait_ms = WAIT_MS, .refusal_ms = REFUSAL_MS, .max_variants = VARIANTS};

const char *cache_result_name(enum cache_result result) {
  static const char *const names[] = {
#define X(id, name) name,
      CACHE_RESULTS(X)
#undef X
  };
  return names[result];
}

enum cache_result cache_result_of(const struct exchange *x) {
  return x->cache ? x->cache->result : CACHE_RESULT_NONE;
}

static uint64_t kept_by_wall(const struct cache_visit *v) {
  int64_t kept_ms = clock_wall_ms() - v->facts.wall_ms;
  return kept_ms > 0 ? (uint64_t)kept_ms : 0;
}

/* The steady clock counts from the start of the machine. So of what a process has put into a file before, it shows
 * too little, and never too much. The time of day may have been set back: the longer of both is closer to the truth,
 * and makes nothing fresh that is not. */
uint64_t cache_kept_ms(const struct cache_visit *v) {
  const struct cache *cache = visit_cache(v);
  uint64_t now = cache_now_ms(cache), kept_ms = now > v->facts.since_ms ? now - v->facts.since_ms : 0;
  if (!cache_outlives_machine(cache) || !cache_is_inherited(cache, v->facts.number)) return kept_ms;
  uint64_t wall_ms = kept_by_wall(v);
  return wall_ms > kept_ms ? wall_ms : kept_ms;
}

/* --- what is there ---------------------------------------------------------------------------------------- */

void cache_drop_lease(struct cache_visit *v) {
  if (v->coded) store_release(cache_store(visit_cache(v)), v->coded);
  v->coded = NULL;
  if (v->has_lease) store_release(cache_store(visit_cache(v)), &v->lease);
  v->has_lease = v->validates = false;
}

static bool hold(struct cache_visit *v, struct str key) {
  CHECK(!v->has_lease);
  v->has_lease = store_find(cache_store(visit_cache(v)), key, &v->lease);
  return v->has_lease;
}

/* What was found says which fields choose: the key that these make, and what is there under that. */
static bool find_variant(struct cache_visit *v, uint64_t *since) {
  struct stored_vary stored;
  struct str text;
  struct exchange *x = v->exchange;
  bool is_fine = stored_read_vary(v->lease.head, &stored) &&
                 vary_key(&stored.vary, &x->request.headers, CACHE_CODINGS, &x->arena, &text);
  if (is_fine) cache_key_choose(v, text);
  cache_drop_lease(v);
  if (!is_fine) return false;
  *since = stored.number;
  v->forward = CACHE_FORWARD_VARY_MISS;
  return hold(v, v->object_key);
}

static void begin_look(struct cache_visit *v) {
  cache_drop_lease(v);
  v->object_key = v->key;
  v->forward = CACHE_FORWARD_URI_MISS;
  v->number = purges_number(cache_purges(visit_cache(v)));
}

/* Looks for what is stored; true: it is in v->stored. */
static bool is_stored(struct cache_visit *v) {
  begin_look(v);
  uint64_t since = 0;
  if (!hold(v, v->key)) return false;
  if (stored_is_vary(v->lease.head) && !find_variant(v, &since)) return false;
  bool is_fine = stored_read(v->lease.head, &v->stored, &v->facts, &v->exchange->arena) &&
                 v->facts.number >= since && !cache_is_forgotten(v);
  if (!is_fine) cache_drop_lease(v);
  return is_fine;
}

/* --- the ways --------------------------------------------------------------------------------------------- */

enum step_result cache_serve(struct cache_visit *v, enum cache_result result) {
  v->result = result;
  v->state = VISIT_READS;
  bool is_asked = result == CACHE_RESULT_REVALIDATED || result == CACHE_RESULT_STALE;
  if (!is_asked) v->forward = CACHE_FORWARD_NONE;
  if (result == CACHE_RESULT_REVALIDATED) v->forward_status = 304;
  cache_answer(v, v->lease.length);
  exchange_jump(v->exchange, STEP_response_filter);
  return STEP_JUMPED;
}

/* RFC 9111 section 5.2.1.7. */
static enum step_result refuse(struct cache_visit *v) {
  struct answer *answer = exchange_answer(v->exchange, 504);
  headers_add(&answer->response.headers, STR("Content-Type"), STR("text/plain"));
  answer->content = STR("504 the client wants it from the cache only, and it is not there\n");
  cache_drop_lease(v);
  v->state = VISIT_PASSES;
  exchange_jump(v->exchange, STEP_send_answer);
  return STEP_JUMPED;
}

/* Is the range so far from the start that the client should not wait until all before it has been fetched? */
static bool is_far(const struct cache_visit *v) {
  const struct field *field = headers_find(&v->exchange->request.headers, STR("Range"));
  struct ranges ranges;
  if (!field || v->has_lease) return false;
  if (ranges_parse(field->value, UINT64_MAX / 2, &ranges) != RANGES_SOME) return false;
  return ranges.items[0].first > FAR_BYTES;
}

/* The response will most likely not be kept: then the peer gets the client's request as it is, with its range or
 * condition. */
static bool is_pointless(const struct cache_visit *v) {
  const struct headers *h = &v->exchange->request.headers;
  bool is_partial = headers_find(h, STR("Range")) || headers_find(h, STR("If-None-Match")) ||
                    headers_find(h, STR("If-Modified-Since")) || v->was_head;
  return is_far(v) || (is_partial && !v->has_lease && cache_remembers_refusal(visit_cache(v), v->key));
}

/* A client with credentials mostly gets a response that is only for itself: nobody else should wait for it. */
static bool is_personal(const struct cache_visit *v) {
  return headers_find(&v->exchange->request.headers, STR("Authorization")) != NULL ||
         cache_remembers_refusal(visit_cache(v), v->key);
}

static enum reuse judge(const struct cache_visit *v) {
  static const struct reuse_rules rules = {.obeys_request = false};
  switch (v->force) {
  case CACHE_FORCE_FRESH: return REUSE_FRESH;
  case CACHE_FORCE_EXPIRED: return REUSE_VALIDATE;
  case CACHE_FORCE_NONE:
  case CACHE_FORCE_MISS: break;
  }
  return reuse_decide(&v->facts.freshness, cache_kept_ms(v), &v->asked, &rules);
}

static enum step_result go_to(struct cache_visit *v, enum visit_stage stage) {
  v->stage = stage;
  return STEP_NEXT;
}

enum step_result cache_pass(struct cache_visit *v) {
  cache_leave(v);
  cache_drop_lease(v);
  v->state = VISIT_PASSES;
  if (!v->result) v->result = CACHE_RESULT_BYPASS;
  cache_count(visit_cache(v), bypasses, 1);
  return go_to(v, STAGE_OVER);
}

static enum step_result fetch(struct cache_visit *v) {
  v->state = VISIT_FETCHES;
  v->result = v->has_lease ? CACHE_RESULT_EXPIRED : CACHE_RESULT_MISS;
  v->validates = v->has_lease;
  if (v->has_lease) v->forward = CACHE_FORWARD_STALE;
  cache_count(visit_cache(v), misses, 1);
  return go_to(v, v->has_lease ? STAGE_OVER : STAGE_MISS);
}

static enum step_result hit(struct cache_visit *v) {
  cache_count(visit_cache(v), hits, 1);
  return cache_serve(v, CACHE_RESULT_HIT);
}

enum step_result cache_look_again(struct cache_visit *v) {
  cache_leave(v);
  return ++v->rounds > ROUNDS_MOST ? cache_pass(v) : go_to(v, STAGE_FIND);
}

/* --- the stages ------------------------------------------------------------------------------------------- */

static enum step_result admit(struct cache_visit *v) {
  bool is_in = v->is_for_cache;
  enum step_result result = is_in ? cache_ask_admission(v, &is_in) : STEP_NEXT;
  if (result != STEP_NEXT) return result;
  v->is_for_cache = is_in;
  return is_in || v->invalidates ? go_to(v, STAGE_KEY) : cache_pass(v);
}

static enum step_result find_key(struct cache_visit *v) {
  enum step_result result = cache_ask_key(v);
  if (result != STEP_NEXT) return result;
  return v->is_for_cache ? go_to(v, STAGE_VARY) : cache_pass(v);
}

static enum step_result find_variance(struct cache_visit *v) {
  enum step_result result = cache_ask_variance(v);
  return result == STEP_NEXT ? go_to(v, STAGE_FIND) : result;
}

static enum step_result find(struct cache_visit *v) {
  if (v->force != CACHE_FORCE_MISS) return go_to(v, is_stored(v) ? STAGE_HIT : STAGE_JOIN);
  begin_look(v);
  return go_to(v, STAGE_JOIN);
}

static enum step_result look_at_hit(struct cache_visit *v) {
  enum step_result result = cache_ask_hit(v);
  if (result != STEP_NEXT) return result;
  if (v->force == CACHE_FORCE_MISS) {
    cache_drop_lease(v);
    return go_to(v, STAGE_JOIN);
  }
  return judge(v) == REUSE_FRESH ? hit(v) : go_to(v, STAGE_STALE);
}

static enum step_result look_at_stale(struct cache_visit *v) {
  bool is_served;
  enum step_result result = cache_ask_stale(v, ERROR_NONE, judge(v) == REUSE_WHILE_REVALIDATE, &is_served);
  if (result != STEP_NEXT) return result;
  if (!is_served) return go_to(v, STAGE_JOIN);
  cache_count(visit_cache(v), stale, 1);
  cache_refresh(v);
  return cache_serve(v, CACHE_RESULT_UPDATING);
}

static enum step_result join(struct cache_visit *v) {
  if (v->has_lease) v->forward = CACHE_FORWARD_STALE;
  if (cache_control_has(&v->asked, CACHE_ONLY_IF_CACHED)) return refuse(v);
  if (is_pointless(v)) return cache_pass(v);
  if (is_personal(v)) {
    cache_sit_alone(v);
    return fetch(v);
  }
  if (cache_sit(v, v->object_key) == CACHE_WAITS) {
    v->state = VISIT_WAITS;
    return go_to(v, STAGE_AWAIT);
  }
  if (v->force || !is_stored(v) || judge(v) != REUSE_FRESH) return fetch(v);
  cache_give_up_fill(v, FILL_OVER); /* somebody was done with it between our two looks */
  cache_leave(v);
  return go_to(v, STAGE_HIT);
}

static enum step_result report_miss(struct cache_visit *v) {
  enum step_result result = cache_ask_miss(v);
  return result == STEP_NEXT ? go_to(v, STAGE_OVER) : result;
}

/* --- the step --------------------------------------------------------------------------------------------- */

static struct cache_visit *visit_new(struct exchange *x) {
  struct cache_visit *v = arena_zalloc(&x->arena, sizeof *v);
  v->exchange = x;
  v->rules = x->settings->cache;
  v->was_head = x->request.method == METHOD_HEAD;
  x->cache = v;
  v->is_for_cache = cache_key_make(v);
  return v;
}

static enum step_result run_stage(struct cache_visit *v) {
  switch (v->stage) {
  case STAGE_ADMIT: return admit(v);
  case STAGE_KEY: return find_key(v);
  case STAGE_VARY: return find_variance(v);
  case STAGE_FIND: return find(v);
  case STAGE_HIT: return look_at_hit(v);
  case STAGE_STALE: return look_at_stale(v);
  case STAGE_JOIN: return join(v);
  case STAGE_AWAIT: return cache_await(v);
  case STAGE_MISS: return report_miss(v);
  case STAGE_OVER: break;
  }
  return STEP_NEXT;
}

enum step_result cache_look_up(struct exchange *x) {
  struct cache_visit *v = x->cache ? x->cache : visit_new(x);
  enum step_result result = STEP_NEXT;
  while (result == STEP_NEXT && v->stage != STAGE_OVER) result = run_stage(v);
  return result;
}

void cache_end(struct exchange *x) {
  struct cache_visit *v = x->cache;
  cache_give_up_fill(v, FILL_FAILED);
  cache_leave(v);
  cache_drop_lease(v);
  cache_body_end(v);
  if (v->has_timer) timer_stop(&v->timer);
  v->has_timer = false;
}
