// SPDX-License-Identifier: Apache-2.0
// cache_head: a final head of the peer's, for one who asked for the cache: it says that what is stored is still good;
// it is an error, and what is stored is better; or it is new. The policy is asked in between, so the step may be run
// several times for one head: how far it has come is in the visit.
#include <time.h>

#include "exchange/attempt.h"
#include "exchange/cache_parts.h"
#include "exchange/proxy.h"
#include "http/renewal.h"

/* --- still good ------------------------------------------------------------------------------------------- */

static enum step_result ask_anew(struct cache_visit *v) {
  struct exchange *x = v->exchange;
  attempt_end(x, x->response.keep_alive && x->now.up.done);
  cache_drop_lease(v);
  v->validates = false;
  exchange_jump(x, STEP_upstream_peer);
  return STEP_JUMPED;
}

static bool is_about(const struct cache_visit *v) {
  const struct headers *fields = &v->exchange->response.headers;
  return renewal_is_about(&v->stored.headers, fields, true, time(NULL)) &&
         !renewal_changes_vary(&v->stored.headers, fields);
}

/* --- errors ----------------------------------------------------------------------------------------------- */

static enum step_result serve_stale(struct cache_visit *v, unsigned status) {
  struct exchange *x = v->exchange;
  v->forward_status = status;
  cache_give_up_fill(v, FILL_FAILED);
  cache_leave(v);
  if (v->is_alone) return cache_leave_alone(x);
  attempt_end(x, false);
  cache_count(visit_cache(v), stale, 1);
  return cache_serve(v, CACHE_RESULT_STALE);
}

static bool may_stand_in(const struct cache_visit *v) {
  return v->state == VISIT_FETCHES && v->has_lease && !v->exchange->sent.status;
}

/* STEP_NEXT: it may not. */
static enum step_result stand_in(struct cache_visit *v, enum error cause, unsigned status) {
  bool is_served, otherwise = reuse_on_error(&v->facts.freshness, cache_kept_ms(v), status);
  enum step_result result = cache_ask_stale(v, cause, otherwise, &is_served);
  return result == STEP_NEXT && is_served ? serve_stale(v, status) : result;
}

/* --- the step --------------------------------------------------------------------------------------------- */

static enum head_stage first_look(struct cache_visit *v) {
  const struct exchange *x = v->exchange;
  if (!v->renews && may_stand_in(v) && reuse_is_error(x->response.status)) return HEAD_STALE;
  if (!v->renews) cache_set_defaults(v);
  return HEAD_ASKS;
}

static enum step_result take(struct cache_visit *v) {
  struct exchange *x = v->exchange;
  bool is_out;
  enum step_result result = STEP_NEXT;
  if (v->head_stage == HEAD_STALE) result = stand_in(v, ERROR_ANSWERED_ERROR, x->response.status);
  if (result != STEP_NEXT) return result;
  if (v->head_stage == HEAD_STALE) cache_set_defaults(v);
  v->head_stage = HEAD_ASKS;
  result = cache_ask_storing(v, &is_out);
  if (result != STEP_NEXT) return result;
  return v->renews ? cache_settle_renewed(v, is_out) : cache_settle(v, is_out);
}

enum step_result cache_take_head(struct exchange *x) {
  struct cache_visit *v = x->cache;
  if (v->state != VISIT_FETCHES) {
    cache_invalidate(v);
    if (v->state == VISIT_PASSES) cache_say_status(v, &x->response.headers);
    return STEP_NEXT;
  }
  if (v->head_stage == HEAD_NEW) {
    bool is_renewal = v->validates && x->response.status == 304;
    if (is_renewal && !is_about(v)) return ask_anew(v);
    cache_note_arrival(v);
    if (is_renewal) cache_merge(v);
    v->head_stage = first_look(v);
  }
  return take(v);
}

enum step_result cache_rescue(struct exchange *x) {
  struct cache_visit *v = x->cache;
  bool is_asking = x->hook_state != HOOK_IDLE && x->hook == HOOK_should_serve_stale;
  bool is_of_peer = error_info(x->error)->side == SIDE_UPSTREAM || x->error == ERROR_NO_BACKEND;
  if (x->hook_state != HOOK_IDLE && !is_asking) return STEP_NEXT;
  if (!is_of_peer || v->is_alone || v->is_beyond_rescue || !may_stand_in(v)) return STEP_NEXT;
  x->answer = NULL;
  enum step_result result = stand_in(v, x->error, 0);
  v->is_beyond_rescue = result == STEP_NEXT;
  if (result != STEP_JUMPED) return result;
  x->error = ERROR_NONE;
  x->error_status = 0;
  return STEP_JUMPED;
}

void cache_answered(struct exchange *x) { cache_give_up_fill(x->cache, FILL_FAILED); }
