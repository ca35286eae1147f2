// SPDX-License-Identifier: Apache-2.0
// cache_rehearsal: runs the steps of the cache by themselves. Where they want another exchange, virtual time tells them
// that there is none (cache_fill.c).
#include "exchange/cache_rehearsal.h"

#include "exchange/cache_parts.h"

static enum cached_way way_of(unsigned char step) {
  if (step == STEP_response_filter) return CACHED_SERVES;
  if (step == STEP_send_answer) return CACHED_ANSWERS;
  if (step == STEP_upstream_peer) return CACHED_AGAIN;
  return step == STEP_logging ? CACHED_ENDS : CACHED_FAILS;
}

static enum cached_way run(struct exchange *x, enum exchange_step step,
                           enum step_result (*function)(struct exchange *x)) {
  x->step = (unsigned char)step;
  enum step_result result = function(x);
  if (result == STEP_WAIT) return CACHED_WAITS;
  return result == STEP_NEXT ? CACHED_ON : way_of(x->step);
}

enum cached_way cache_rehearse_look_up(struct exchange *x) {
  return x->settings->cache ? run(x, STEP_cache_look_up, cache_look_up) : CACHED_ON;
}

enum cached_way cache_rehearse_head(struct exchange *x) {
  return x->cache ? run(x, STEP_cache_take_head, cache_take_head) : CACHED_ON;
}

enum cached_way cache_rehearse_rescue(struct exchange *x) {
  return x->cache ? run(x, STEP_fail_to_proxy, cache_rescue) : CACHED_ON;
}

bool cache_rehearse_keeps(const struct exchange *x) {
  return x->cache && x->cache->seat && x->cache->is_filler && fill_state(x->cache->seat->fill) == FILL_RUNS;
}

/* An empty window takes any piece. */
bool cache_rehearse_body(struct exchange *x, struct str body) {
  struct fill *f = x->cache->seat->fill;
  if (body.len && !fill_write(f, body)) CHECK(false);
  cache_finish(x, f);
  return fill_state(f) == FILL_WHOLE;
}

struct str cache_rehearse_text(struct exchange *x) {
  struct source source = cache_source(x);
  struct buf text = {0};
  if (x->response.body.framing == FRAMING_NONE) return (struct str){"", 0};
  while (source.ops->read(&source, NULL) == IO_OK) {
    size_t bytes = buf_len(source.in);
    buf_append_str(&text, buf_str(source.in));
    source.ops->used(&source, bytes);
  }
  struct str copy = arena_dup(&x->arena, buf_str(&text));
  buf_release(&text);
  return copy;
}

bool cache_rehearse_wants_refresh(const struct exchange *x) { return x->cache && x->cache->wants_refresh; }

bool cache_rehearse_refresh(struct exchange *x, struct exchange *of) {
  of->cache->wants_refresh = false;
  return cache_begin_refresh(x, of->cache);
}
