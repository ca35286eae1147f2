// SPDX-License-Identifier: Apache-2.0
// cache_wait: seats at fills. News come from the filler's thread as messages, one at a time for each seat, and are
// looked at in the worker's own. A seat may be left while its message is on the way: then the message frees it.
//
// Every wait has an end: that of a response by the fill's own exchange, which has the peer's deadlines; that for a
// response by lock_wait. Whose time is over takes the fill's place, and asks a peer himself: others wait for that one.
#include <stdlib.h>

#include "base/memory.h"
#include "exchange/cache_parts.h"
#include "exchange/live_trace.h"
#include "exchange/proxy.h"

static void on_news(struct message *message, void *receiver);

/* --- seats ------------------------------------------------------------------------------------------------ */

static void tell(struct fill_seat *seat) {
  struct cache_seat *s = CONTAINER_OF(seat, struct cache_seat, seat);
  if (atomic_exchange(&s->is_told, true)) return;
  if (!mailbox_post(s->mailbox, &s->message)) atomic_store(&s->is_told, false); /* the worker has ended */
}

static struct cache_seat *seat_new(struct cache_visit *v) {
  struct cache_seat *s = memory_zalloc(sizeof *s);
  CHECK(!v->seat);
  s->message.run = on_news;
  s->seat.tell = tell;
  s->visit = v;
  s->mailbox = v->exchange->proxy->mailbox;
  v->seat = s;
  return s;
}

static void seat_free(struct cache_seat *s) {
  fill_release(s->fill);
  free(s);
}

enum cache_join cache_sit(struct cache_visit *v, struct str key) {
  struct cache_seat *s = seat_new(v);
  enum cache_join result = cache_join(visit_cache(v), key, &s->seat, &s->fill);
  if (result == CACHE_WAITS && !cache_may_join(v, s->fill)) {
    cache_unlist(visit_cache(v), s->fill);
    cache_leave(v);
    s = seat_new(v);
    result = cache_join(visit_cache(v), key, &s->seat, &s->fill);
  }
  v->is_filler = result == CACHE_FILLS;
  v->is_collapsed = result == CACHE_WAITS;
  if (v->is_collapsed) cache_count(visit_cache(v), collapsed, 1);
  if (v->is_collapsed) cache_wake_later(v, v->rules->lock_wait_ms);
  return result;
}

void cache_sit_alone(struct cache_visit *v) {
  struct cache_seat *s = seat_new(v);
  s->fill = cache_fill_alone(visit_cache(v), v->object_key, &s->seat);
  v->is_filler = true;
}

void cache_sit_as_filler(struct cache_visit *v, struct fill *fill) {
  struct cache_seat *s = seat_new(v);
  s->fill = fill_hold(fill);
  fill_sit(fill, &s->seat);
  fill_set_filler(fill, &s->seat);
  v->is_filler = true;
}

void cache_leave(struct cache_visit *v) {
  struct cache_seat *s = v->seat;
  if (!s) return;
  CHECK(!v->is_filler);
  v->seat = NULL;
  fill_leave(s->fill, &s->seat);
  s->visit = NULL;
  if (!atomic_load(&s->is_told)) seat_free(s);
}

static void look(struct cache_visit *v) {
  switch (v->state) {
  case VISIT_WAITS: exchange_run(v->exchange); break;
  case VISIT_READS:
  case VISIT_FILLS: cache_body_news(v); break;
  case VISIT_PASSES:
  case VISIT_FETCHES: break;
  }
}

static void on_news(struct message *message, void *receiver) {
  struct cache_seat *s = (struct cache_seat *)message;
  (void)receiver;
  atomic_store(&s->is_told, false);
  if (s->visit)
    look(s->visit);
  else
    seat_free(s);
}

/* --- time ------------------------------------------------------------------------------------------------- */

static void on_due(struct timer *timer) { look(CONTAINER_OF(timer, struct cache_visit, timer)); }

void cache_wake_later(struct cache_visit *v, unsigned ms) {
  if (!v->has_timer) timer_init(&v->timer, v->exchange->proxy->loop, on_due);
  v->has_timer = true;
  timer_set(&v->timer, ms);
}

/* --- waiting ---------------------------------------------------------------------------------------------- */

/* A variant that the request would not choose is another's response. */
static bool is_chosen(struct cache_visit *v, const struct fill *f) {
  struct vary vary;
  struct str text;
  struct exchange *x = v->exchange;
  if (!f->variant) return true;
  if (!vary_parse(&v->stored.headers, &vary)) return false;
  return vary_key(&vary, &x->request.headers, CACHE_CODINGS, &x->arena, &text) &&
         str_equal(text, str_of(f->variant));
}

/* The head is not written any more once it can be read. */
bool cache_take_fill(struct cache_visit *v) {
  struct fill *f = v->seat->fill;
  cache_drop_lease(v);
  return stored_read((struct str){f->head, f->head_bytes}, &v->stored, &v->facts, &v->exchange->arena) &&
         is_chosen(v, f);
}

enum step_result cache_serve_fill(struct cache_visit *v, enum cache_result result) {
  struct fill *f = v->seat->fill;
  if (!fill_begin_reading(f, &v->seat->seat)) return cache_pass(v);
  v->result = result;
  v->state = VISIT_READS;
  if (v->has_timer) timer_clear(&v->timer);
  cache_answer(v, f->length);
  exchange_jump(v->exchange, STEP_response_filter);
  return STEP_JUMPED;
}

static enum step_result read_fill(struct cache_visit *v) {
  if (!cache_take_fill(v)) return cache_look_again(v);
  if (!freshness_holds(&v->facts.freshness, cache_kept_ms(v))) return cache_pass(v);
  cache_count(visit_cache(v), hits, 1);
  return cache_serve_fill(v, CACHE_RESULT_HIT);
}

/* The one who asked a peer got no answer: what is there may do instead, else one of those who waited is next. */
static enum step_result after_failure(struct cache_visit *v) {
  bool is_asked = v->exchange->hooks->should_serve_stale || v->is_never_stale; /* of its own error */
  bool may_be_stale = !is_asked && v->has_lease && reuse_on_error(&v->facts.freshness, cache_kept_ms(v), 0);
  if (!may_be_stale) return cache_look_again(v);
  cache_leave(v);
  cache_count(visit_cache(v), stale, 1);
  return cache_serve(v, CACHE_RESULT_STALE);
}

static enum step_result wait_on(struct cache_visit *v) {
  if (v->exchange->account.live) live_note_step(v->exchange, STEP_cache_look_up);
  if (timer_is_set(&v->timer)) return STEP_WAIT;
  cache_count(visit_cache(v), lock_timeouts, 1);
  cache_unlist(visit_cache(v), v->seat->fill);
  return cache_look_again(v);
}

enum step_result cache_await(struct cache_visit *v) {
  switch (fill_state(v->seat->fill)) {
  case FILL_ASKED: return wait_on(v);
  case FILL_RUNS:
  case FILL_WHOLE: return read_fill(v);
  case FILL_REFUSED: return cache_pass(v);
  case FILL_FAILED: return after_failure(v);
  case FILL_OVER: break;
  }
  return cache_look_again(v);
}
