// SPDX-License-Identifier: Apache-2.0
// cache_hooks: the policy's say in the cache: one function for each hook, which calls it and takes what it said into
// the visit. A hook may wait, so each is called again until it has ended. What a hook says holds for this exchange
// alone: where it differs from the rules of the cache, the visit gets rules of its own.
#include "exchange/cache_parts.h"

/* Of the hook that has just ended. NULL: nothing. */
static const struct cache_says *said_of(const struct cache_visit *v) { return v->exchange->outcome.cache; }

static enum cache_verdict verdict_of(const struct cache_says *says) {
  return says ? says->verdict : CACHE_VERDICT_NONE;
}

/* --- a request -------------------------------------------------------------------------------------------- */

static void take_rules(struct cache_visit *v, const struct cache_says *says) {
  struct cache_rules *rules = arena_alloc(&v->exchange->arena, sizeof *rules);
  *rules = *v->rules;
  if (says->has_lock_wait) rules->lock_wait_ms = says->lock_wait_ms;
  if (says->object_most) rules->object_most = says->object_most;
  if (says->has_ttl) rules->default_s = says->ttl_s;
  rules->has_default |= says->has_ttl;
  v->rules = rules;
  v->is_never_stale = says->is_never_stale;
  if (says->refreshes) v->force = CACHE_FORCE_MISS;
  if (says->only_if_cached) v->asked.present |= 1u << CACHE_ONLY_IF_CACHED;
}

enum step_result cache_ask_admission(struct cache_visit *v, bool *is_in) {
  struct exchange *x = v->exchange;
  hook_fn *hook = x->hooks->request_cache_filter;
  *is_in = true;
  if (!hook) return STEP_NEXT;
  enum step_result result = exchange_hook(x, HOOK_request_cache_filter, hook);
  if (result != STEP_NEXT) return result;
  const struct cache_says *says = said_of(v);
  *is_in = verdict_of(says) != CACHE_VERDICT_NO;
  if (says && *is_in) take_rules(v, says);
  v->said = says;
  return STEP_NEXT;
}

/* For one that gives a text: `take` gets it. */
static enum step_result ask_text(struct cache_visit *v, enum hook id, hook_fn *hook,
                                 void (*take)(struct cache_visit *v, struct str text)) {
  if (!hook) return STEP_NEXT;
  enum step_result result = exchange_hook(v->exchange, id, hook);
  if (result == STEP_NEXT && said_of(v)) take(v, said_of(v)->text);
  return result;
}

enum step_result cache_ask_key(struct cache_visit *v) {
  return ask_text(v, HOOK_cache_key_callback, v->exchange->hooks->cache_key_callback, cache_key_replace);
}

enum step_result cache_ask_variance(struct cache_visit *v) {
  return ask_text(v, HOOK_cache_vary_filter, v->exchange->hooks->cache_vary_filter, cache_key_extend);
}

/* --- what is stored --------------------------------------------------------------------------------------- */

/* The response of the exchange is what was found while the hook looks at it. */
static void show(struct cache_visit *v, bool is_shown) {
  struct exchange *x = v->exchange;
  if (is_shown) {
    x->response = v->stored;
    return;
  }
  x->response = (struct response){0};
  headers_init(&x->response.headers, &x->arena);
  headers_init(&x->response.nominated, &x->arena);
}

enum step_result cache_ask_hit(struct cache_visit *v) {
  struct exchange *x = v->exchange;
  if (!x->hooks->cache_hit_filter) return STEP_NEXT;
  if (x->hook_state == HOOK_IDLE) show(v, true);
  enum step_result result = exchange_hook(x, HOOK_cache_hit_filter, x->hooks->cache_hit_filter);
  if (result != STEP_NEXT) return result;
  show(v, false);
  v->force = said_of(v) ? said_of(v)->force : CACHE_FORCE_NONE;
  if (v->force == CACHE_FORCE_EXPIRED) v->is_never_stale = true;
  return STEP_NEXT;
}

enum step_result cache_ask_miss(struct cache_visit *v) {
  struct exchange *x = v->exchange;
  return x->hooks->cache_miss ? exchange_hook(x, HOOK_cache_miss, x->hooks->cache_miss) : STEP_NEXT;
}

enum step_result cache_ask_stale(struct cache_visit *v, enum error cause, bool otherwise, bool *is_served) {
  struct exchange *x = v->exchange;
  *is_served = otherwise && !v->is_never_stale;
  if (!x->hooks->should_serve_stale || v->is_never_stale) return STEP_NEXT;
  v->cause = cause;
  switch (exchange_hook_status(x, HOOK_should_serve_stale, x->hooks->should_serve_stale)) {
  case HOOK_WAIT: return STEP_WAIT;
  case HOOK_FAILED: *is_served = false; return STEP_NEXT; /* which is in the log */
  case HOOK_DONE: break;
  }
  enum cache_verdict verdict = verdict_of(said_of(v));
  if (verdict != CACHE_VERDICT_NONE) *is_served = verdict == CACHE_VERDICT_YES;
  return STEP_NEXT;
}

/* --- a response ------------------------------------------------------------------------------------------- */

static void strip(struct exchange *x, const struct cache_says *says) {
  for (unsigned i = 0; i < says->strip_count; i++) headers_remove(&x->response.headers, says->strip[i]);
}

enum step_result cache_ask_storing(struct cache_visit *v, bool *is_out) {
  struct exchange *x = v->exchange;
  *is_out = false;
  if (!x->hooks->response_cache_filter) return STEP_NEXT;
  enum step_result result = exchange_hook(x, HOOK_response_cache_filter, x->hooks->response_cache_filter);
  if (result != STEP_NEXT) return result;
  v->says = said_of(v);
  *is_out = verdict_of(v->says) == CACHE_VERDICT_NO;
  if (v->says) strip(x, v->says);
  return STEP_NEXT;
}

/* --- what hooks ask --------------------------------------------------------------------------------------- */

bool cache_found_is_fresh(const struct exchange *x) {
  const struct cache_visit *v = x->cache;
  return v && v->has_lease && freshness_holds(&v->facts.freshness, cache_kept_ms(v));
}

enum error cache_stale_cause(const struct exchange *x) { return x->cache ? x->cache->cause : x->error; }

bool cache_response_age(const struct exchange *x, double *age_s, double *left_s) {
  const struct cache_visit *v = x->cache;
  if (!v || !(v->state == VISIT_READS || v->has_lease)) return false;
  *age_s = (double)freshness_age_ms(&v->facts.freshness, cache_kept_ms(v)) / 1000;
  *left_s = (double)freshness_left_ms(&v->facts.freshness, cache_kept_ms(v)) / 1000;
  return true;
}
