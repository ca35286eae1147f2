// SPDX-License-Identifier: Apache-2.0
// live_trace: notes in the arena of their exchange, and the rules that decide what becomes of them.
#include "exchange/live_trace.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/glob.h"
#include "base/ticks.h"
#include "exchange/call.h"
#include "exchange/peer.h"
#include "exchange/walk.h"
#include "net/cidr.h"
#include "net/timer.h"
#include "shared/span_queue.h"

enum { KEPT_IN_A_SECOND = 5 };

/* --- rules ------------------------------------------------------------------------------------------------ */

void live_rules_free(struct live_rules *rules) {
  if (!rules) return;
  for (unsigned i = 0; i < rules->count; i++) cidr_set_free(rules->rules[i].client);
  free(rules);
}

void live_trace_rule(struct proxy *proxy, struct live_rules *rules) {
  live_rules_free(proxy->live);
  proxy->live = rules;
}

static bool fits(const char *pattern, struct str text) {
  return !*pattern || glob_matches(str_of(pattern), text);
}

/* By what is known before the first step. */
static bool fits_request(struct exchange *x, const struct live_rule *rule) {
  const struct request *r = &x->request;
  struct str path = {r->target.ptr, str_find(r->target, '?')};
  if (!fits(rule->path, path) || !fits(rule->host, r->authority) || !fits(rule->method, r->method_name))
    return false;
  return !rule->client || cidr_set_contains(rule->client, exchange_client_address(x)) == CIDR_INSIDE;
}

static uint8_t marks_of_request(struct exchange *x) {
  const struct live_rules *rules = x->proxy->live;
  uint8_t marks = 0;
  for (unsigned i = 0; rules && i < rules->count; i++)
    if (fits_request(x, &rules->rules[i])) marks |= rules->rules[i].mark;
  return marks;
}

static bool has_peer(const struct exchange *x, const char *pattern) {
  const struct live *live = x->account.live;
  for (const struct live_chunk *chunk = &live->first; chunk; chunk = chunk->next)
    for (unsigned i = 0; i < chunk->count; i++)
      if (chunk->notes[i].kind == LIVE_PEER && fits(pattern, chunk->notes[i].text)) return true;
  return false;
}

/* By what came of it. */
static bool fits_outcome(const struct exchange *x, const struct live_rule *rule) {
  unsigned status = x->sent.status;
  if (rule->status_to && (status < rule->status_from || status > rule->status_to)) return false;
  if (rule->slower_us && x->account.duration_us < rule->slower_us) return false;
  if (*rule->error && (!x->error || !fits(rule->error, str_of(error_info(x->error)->name)))) return false;
  return !*rule->peer || has_peer(x, rule->peer);
}

/* Rules may have come and gone meanwhile. */
static uint8_t marks_of(struct exchange *x, bool *has_fields) {
  const struct live_rules *rules = x->proxy->live;
  const struct live *live = x->account.live;
  uint8_t wanted, marks = 0;
  if (!live || !rules) return 0;
  wanted = live->version == rules->version ? live->marks : marks_of_request(x);
  for (unsigned i = 0; i < rules->count; i++) {
    const struct live_rule *rule = &rules->rules[i];
    if (!(wanted & rule->mark) || !fits_outcome(x, rule)) continue;
    marks |= rule->mark;
    *has_fields |= rule->has_fields;
  }
  return marks;
}

/* --- begin and end ---------------------------------------------------------------------------------------- */

void live_trace_begin(struct exchange *x) {
  uint8_t marks = marks_of_request(x);
  if (!marks) return;
  struct live *live = x->account.live = arena_alloc(&x->arena, sizeof *live);
  live->version = x->proxy->live->version;
  live->marks = marks;
  live->count = live->missed = 0;
  live->wait = (struct str){0};
  live->step = NULL;
  live->last = &live->first;
  live->first.next = NULL;
  live->first.count = 0;
}

/* A few in a second: the first of a flood say it all. */
static bool is_kept(struct exchange *x) {
  struct proxy *proxy = x->proxy;
  uint64_t second = loop_now_ms(proxy->loop) / 1000;
  bool has_failed = x->error && error_info(x->error)->side != SIDE_DOWNSTREAM; /* clients come and go */
  if (!has_failed && x->sent.status < 500 && !x->slow_hook) return false;
  if (proxy->live_kept_second != second) proxy->live_kept = 0;
  proxy->live_kept_second = second;
  return proxy->live_kept++ < KEPT_IN_A_SECOND;
}

void live_trace_end(struct exchange *x) {
  struct buf bytes = {0};
  bool has_fields = false;
  if (!x->proxy->live_queue || exchange_background(x)) return;
  uint8_t marks = marks_of(x, &has_fields);
  if (is_kept(x)) marks |= LIVE_KEPT;
  if (!marks) return;
  live_encode(x, marks, has_fields, &bytes);
  span_lane_put(span_queue_lane(x->proxy->live_queue, x->proxy->worker), buf_ptr(&bytes), buf_len(&bytes));
  buf_release(&bytes);
}

/* --- notes ------------------------------------------------------------------------------------------------ */

static __attribute__((noinline)) struct live_chunk *add_chunk(struct exchange *x) {
  struct live *live = x->account.live;
  struct live_chunk *chunk = live->last = live->last->next = arena_alloc(&x->arena, sizeof *chunk);
  chunk->next = NULL;
  chunk->count = 0;
  return chunk;
}

/* The one to be filled in; NULL: there are too many. */
static inline struct live_note *add(struct exchange *x) {
  struct live *live = x->account.live;
  struct live_chunk *chunk = live->last;
  if (live->count == LIVE_NOTES_MOST) {
    live->missed++;
    return NULL;
  }
  if (chunk->count == LIVE_CHUNK) chunk = add_chunk(x);
  live->count++;
  return &chunk->notes[chunk->count++];
}

static inline void note(struct exchange *x, struct live_note what) {
  struct live_note *added = add(x);
  if (added) *added = what;
}

void live_note(struct exchange *x, enum live_kind kind, unsigned code, struct str text) {
  note(x, (struct live_note){ticks_now(), 0, (uint8_t)kind, (uint8_t)code, text});
}

static struct live_note *latest(const struct exchange *x) {
  struct live_chunk *chunk = x->account.live->last;
  return chunk->count ? &chunk->notes[chunk->count - 1] : NULL;
}

/* Steps that wait are run again and again. */
void live_note_step(struct exchange *x, struct str name) {
  struct live *live = x->account.live;
  if (live->step == name.ptr) return;
  live->step = name.ptr;
  note(x, (struct live_note){ticks_now(), 0, LIVE_STEP, 0, name});
}

/* Pieces of a body come one behind the other: their time is one note's. */
void live_note_hook(struct exchange *x, const char *name, uint64_t began, bool failed) {
  struct live_note *last = latest(x);
  uint32_t us = (uint32_t)ticks_to_us(ticks_since(began));
  if (last && last->kind == LIVE_HOOK && last->text.ptr == name && !failed) {
    last->us += us;
    return;
  }
  note(x, (struct live_note){began, us, LIVE_HOOK, failed, str_of(name)});
}

void live_note_peer(struct exchange *x) {
  const struct peer *peer = x->now.peer;
  live_note(x, LIVE_PEER, peer->options.tls, arena_dup(&x->arena, peer->options.address));
}

void live_note_answered(struct exchange *x) {
  note(x, (struct live_note){ticks_now(), x->response.status, LIVE_ANSWERED, 0, {"", 0}});
}

void live_note_failure(struct exchange *x, enum error error, const char *why) {
  const struct error_info *info = error_info(error);
  live_note(x, LIVE_FAILED, 0,
            arena_printf(&x->arena, "%s: %s%s%.200s", info->name, info->text, why && *why ? ": " : "",
                         why ? why : ""));
}

/* The call of a hook may wait many times: for how long is noted at the end of each. */
void live_note_wait(struct exchange *x, const char *what, const char *place) {
  struct live *live = x->account.live;
  live->wait_began = ticks_now();
  live->wait = (struct str){0};
  if (live->count == LIVE_NOTES_MOST) return;
  live->wait = place ? arena_printf(&x->arena, "%.100s at %.200s", what, place)
                     : arena_printf(&x->arena, "%.100s", what);
}

void live_note_wait_end(struct exchange *x) {
  struct live *live = x->account.live;
  struct str what = live->wait;
  live->wait = (struct str){0};
  if (what.ptr)
    note(x, (struct live_note){live->wait_began, (uint32_t)ticks_to_us(ticks_since(live->wait_began)),
                               LIVE_WAIT, 0, what});
}
