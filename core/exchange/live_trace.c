// SPDX-License-Identifier: Apache-2.0
// live_trace: notes in the arena of their exchange, and the rules that decide what becomes of them.
#include "exchange/live_trace.h"

#include <limits.h>
#include <stdlib.h>

#include "base/glob.h"
#include "base/number.h"
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

/* No exchange fits the rules that does not fit these bounds. */
static void bound(struct live_rules *rules) {
  rules->status_least = UINT_MAX;
  rules->slower_us = UINT64_MAX;
  for (unsigned i = 0; i < rules->count; i++) {
    const struct live_rule *rule = &rules->rules[i];
    unsigned most = rule->status_to ? rule->status_to : UINT_MAX;
    bool asks_request = *rule->path || *rule->host || *rule->method || rule->client;
    rules->asks_request |= asks_request;
    rules->asks_client |= rule->client != NULL;
    if (!asks_request) rules->for_all |= rule->mark;
    if (rule->status_from < rules->status_least) rules->status_least = rule->status_from;
    if (most > rules->status_most) rules->status_most = most;
    if (rule->slower_us < rules->slower_us) rules->slower_us = rule->slower_us;
  }
}

void live_trace_rule(struct proxy *proxy, struct live_rules *rules) {
  live_rules_free(proxy->live);
  if (rules) bound(rules);
  proxy->live = rules;
}

static bool fits(const char *pattern, struct str text) {
  return !*pattern || glob_matches(str_of(pattern), text);
}

static uint8_t marks_of_client(const struct live_rules *rules, struct str client) {
  uint8_t marks = 0;
  for (unsigned i = 0; i < rules->count; i++) {
    const struct live_rule *rule = &rules->rules[i];
    if (!rule->client || cidr_set_contains(rule->client, client) == CIDR_INSIDE) marks |= rule->mark;
  }
  return marks;
}

/* To read an address takes longer than to see that it is the one that this connection had before. */
static uint8_t marks_of_known(struct live_rules *rules, struct str client) {
  struct live_known *known = &rules->known[((uintptr_t)client.ptr >> 4) % LIVE_KNOWN];
  if (known->length && str_equal((struct str){known->text, known->length}, client)) return known->marks;
  uint8_t marks = marks_of_client(rules, client);
  if (client.len > sizeof known->text) return marks;
  memcpy(known->text, client.ptr, client.len);
  known->length = (uint8_t)client.len;
  return known->marks = marks;
}

/* By what is known before the first step, but for the client. */
static bool fits_request(struct exchange *x, const struct live_rule *rule) {
  const struct request *r = &x->request;
  if (*rule->path && !fits(rule->path, (struct str){r->target.ptr, str_find(r->target, '?')})) return false;
  return fits(rule->host, r->authority) && fits(rule->method, r->method_name);
}

static __attribute__((noinline)) uint8_t marks_of_request(struct exchange *x) {
  struct live_rules *rules = x->proxy->live;
  uint8_t marks = rules->asks_client ? marks_of_known(rules, exchange_client_address(x)) : UINT8_MAX,
          fitting = 0;
  for (unsigned i = 0; i < rules->count; i++) {
    const struct live_rule *rule = &rules->rules[i];
    if ((marks & rule->mark) && fits_request(x, rule)) fitting |= rule->mark;
  }
  return fitting;
}

static inline uint8_t marks_at_begin(struct exchange *x) {
  const struct live_rules *rules = x->proxy->live;
  return rules->asks_request ? marks_of_request(x) : rules->for_all;
}

static bool has_peer(const struct exchange *x, const char *pattern) {
  const struct live *live = x->account.live;
  for (const struct live_chunk *chunk = &live->first; chunk; chunk = chunk->next)
    for (unsigned i = 0; i < chunk->count; i++) {
      const struct live_note *note = &chunk->notes[i];
      if (note->kind == LIVE_PEER && fits(pattern, (struct str){note->text, note->length})) return true;
    }
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
  wanted = live->version == rules->version ? live->marks : marks_at_begin(x);
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
  uint8_t marks = marks_at_begin(x);
  if (!marks) return;
  struct live *live = x->account.live = arena_alloc(&x->arena, sizeof *live);
  live->version = x->proxy->live->version;
  live->marks = marks;
  live->count = LIVE_CHUNK;
  live->missed = 0;
  live->seen = 0;
  live->wait = (struct str){0};
  live->last = &live->first;
  live->first.next = NULL;
  live->first.count = 0;
}

/* A few in a second: the first of a flood say it all. */
static __attribute__((cold)) bool is_among_first(struct proxy *proxy) {
  uint64_t second = loop_now_ms(proxy->loop) / 1000;
  if (proxy->live_kept_second != second) proxy->live_kept = 0;
  proxy->live_kept_second = second;
  return proxy->live_kept++ < KEPT_IN_A_SECOND;
}

static bool is_kept(const struct exchange *x) {
  bool has_failed = x->error && error_info(x->error)->side != SIDE_DOWNSTREAM; /* clients come and go */
  return (has_failed || x->sent.status >= 500 || x->slow_hook) && is_among_first(x->proxy);
}

/* Near the end of the ring, or where it is full. */
static __attribute__((noinline)) void put_copy(struct exchange *x, struct span_lane *lane, uint8_t marks,
                                               bool has_fields) {
  char bytes[SPAN_BYTES_MOST];
  size_t length = live_encode(x, marks, has_fields, bytes);
  span_lane_put(lane, bytes, length);
}

static __attribute__((noinline)) void put(struct exchange *x, uint8_t marks, bool has_fields) {
  struct span_lane *lane = span_queue_lane(x->proxy->live_queue, x->proxy->worker);
  char *room = span_lane_room(lane);
  if (room)
    span_lane_commit(lane, live_encode(x, marks, has_fields, room));
  else
    put_copy(x, lane, marks, has_fields);
}

void live_trace_end(struct exchange *x) {
  bool has_fields = false;
  if (!x->proxy->live_queue || exchange_background(x)) return;
  uint8_t marks = marks_of(x, &has_fields);
  if (is_kept(x)) marks |= LIVE_KEPT;
  if (marks) put(x, marks, has_fields);
}

/* --- notes ------------------------------------------------------------------------------------------------ */

/* The last chunk is full. */
static __attribute__((noinline, cold)) void note_in_next(struct exchange *x, struct live_note what) {
  struct live *live = x->account.live;
  if (live->count >= LIVE_NOTES_MOST) {
    live->missed++;
    return;
  }
  struct live_chunk *chunk = live->last = live->last->next = arena_alloc(&x->arena, sizeof *chunk);
  chunk->next = NULL;
  chunk->count = 1;
  chunk->notes[0] = what;
  live->count += LIVE_CHUNK;
}

static inline void note(struct exchange *x, struct live_note what) {
  struct live_chunk *chunk = x->account.live->last;
  if (__builtin_expect(chunk->count == LIVE_CHUNK, false))
    note_in_next(x, what);
  else
    chunk->notes[chunk->count++] = what;
}

void live_note(struct exchange *x, enum live_kind kind, unsigned code, struct str text) {
  note(x, (struct live_note){ticks_now(), 0, (uint8_t)kind, (uint8_t)code, (uint16_t)text.len, text.ptr});
}

/* The walk has gone back: what was seen from there on becomes notes, and is to be seen anew. */
void live_note_again(struct exchange *x, unsigned step) {
  struct live *live = x->account.live;
  for (unsigned at = step; at < LIVE_STEPS; at++) {
    struct str name = exchange_step_name((enum exchange_step)at);
    if (live->seen >> at & 1)
      note(x, (struct live_note){live->steps[at], 0, LIVE_STEP, 0, (uint16_t)name.len, name.ptr});
  }
  live->seen &= (1u << step) - 1;
  live_note_step(x, step);
}

/* Pieces of a body come one behind the other: their time is one note's. */
static __attribute__((cold)) bool adds_to_last(struct exchange *x, enum hook hook, uint32_t us) {
  struct live_chunk *chunk = x->account.live->last;
  struct live_note *last = &chunk->notes[chunk->count - 1];
  if (!chunk->count || last->kind != LIVE_HOOK || last->length != hook) return false;
  last->us += us;
  return true;
}

void live_note_hook(struct exchange *x, enum hook hook, uint64_t began, uint64_t ticks, bool failed) {
  uint32_t us = (uint32_t)ticks_to_us(ticks);
  bool is_of_body = hook >= HOOK_request_body_filter;
  if (!is_of_body || failed || !adds_to_last(x, hook, us))
    note(x, (struct live_note){began, us, LIVE_HOOK, failed, (uint16_t)hook, ""});
}

void live_note_peer(struct exchange *x) { live_note(x, LIVE_PEER, x->now.peer->options.tls, x->now.address); }

/* One that was there takes no time. */
void live_note_connected(struct exchange *x) {
  const struct live_chunk *chunk = x->account.live->last;
  bool is_at_once = x->now.reused && chunk->count && chunk->notes[chunk->count - 1].kind == LIVE_PEER;
  uint64_t ticks = is_at_once ? chunk->notes[chunk->count - 1].ticks : ticks_now();
  note(x, (struct live_note){ticks, 0, LIVE_CONNECTED, x->now.reused, 0, ""});
}

void live_note_answered(struct exchange *x) {
  note(x, (struct live_note){ticks_now(), x->response.status, LIVE_ANSWERED, 0, 0, ""});
}

void live_note_failure(struct exchange *x, enum error error, const char *why) {
  const struct error_info *info = error_info(error);
  live_note(x, LIVE_FAILED, 0,
            arena_printf(&x->arena, "%s: %s%s%.200s", info->name, info->text, why && *why ? ": " : "",
                         why ? why : ""));
}

enum { WHAT_MOST = 100, PLACE_MOST = 200 };

static char *copy(char *to, const char *text, size_t most) {
  size_t length = strnlen(text, most);
  memcpy(to, text, length);
  return to + length;
}

/* "redis:call at edge.lua:12"; without a format, as a hook may wait at each request. */
static struct str wait_text(struct arena *arena, const char *what, const char *place, unsigned line) {
  char text[WHAT_MOST + PLACE_MOST + 32], *end = copy(text, what, WHAT_MOST);
  if (place) {
    char room[NUMBER_DIGITS], *digits = number_digits(line, room + sizeof room);
    end = copy(end, " at ", 4);
    end = copy(end, place, PLACE_MOST);
    *end++ = ':';
    end = copy(end, digits, (size_t)(room + sizeof room - digits));
  }
  return arena_dup(arena, (struct str){text, (size_t)(end - text)});
}

/* The call of a hook may wait many times: for how long is noted at the end of each. */
void live_note_wait(struct exchange *x, const char *what, const char *place, unsigned line) {
  struct live *live = x->account.live;
  live->wait_began = ticks_now();
  live->wait = (struct str){0};
  if (live->count < LIVE_NOTES_MOST || live->last->count < LIVE_CHUNK)
    live->wait = wait_text(&x->arena, what, place, line);
}

void live_note_wait_end(struct exchange *x) {
  struct live *live = x->account.live;
  struct str what = live->wait;
  live->wait = (struct str){0};
  if (what.ptr)
    note(x, (struct live_note){live->wait_began, (uint32_t)ticks_to_us(ticks_since(live->wait_began)),
                               LIVE_WAIT, 0, (uint16_t)what.len, what.ptr});
}
