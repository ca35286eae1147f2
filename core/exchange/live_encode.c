// SPDX-License-Identifier: Apache-2.0
// live_encode: the record of one exchange. It is as long as a ring's record may be: what has no room is counted. Fields
// are those of the end: the client's request as the policy has left it, what was added for the last peer, and the
// response as the client got it; without their secrets (http/secrets.h).
#include <time.h>
#include <xxhash.h>

#include "base/buf.h"
#include "base/ticks.h"
#include "exchange/cache.h"
#include "exchange/live_trace.h"
#include "exchange/stream.h"
#include "exchange/trace.h"
#include "exchange/walk.h"
#include "http/secrets.h"
#include "shared/span_queue.h"

/* A text takes so much of a record at most, so that one cannot take it all; the last count has room behind the rest. */
enum { TEXT_MOST = 2000, VERDICTS = 256, LAST_BYTES = 64, SHORT_MOST = 32 };

/* Where the next item goes. */
struct out {
  char *at, *end;  /* of the caller's room */
  unsigned missed; /* items that did not fit */
};

static inline bool has_room(struct out *o, size_t bytes) {
  if (__builtin_expect((size_t)(o->end - o->at) >= bytes, true)) return true;
  o->missed++;
  return false;
}

/* Most texts are short, and a record has twenty: a call for each would take longer than the copying. Its two pieces may
 * overlap. */
#define COPY_PIECES(type)                                                                                    \
  do {                                                                                                       \
    type first, last;                                                                                        \
    memcpy(&first, text.ptr, sizeof first);                                                                  \
    memcpy(&last, text.ptr + text.len - sizeof last, sizeof last);                                           \
    memcpy(to, &first, sizeof first);                                                                        \
    memcpy(to + text.len - sizeof last, &last, sizeof last);                                                 \
  } while (0)

static inline char *copy(char *to, struct str text) {
  if (text.len > SHORT_MOST)
    memcpy(to, text.ptr, text.len);
  else if (text.len >= sizeof(unsigned __int128))
    COPY_PIECES(unsigned __int128);
  else if (text.len >= sizeof(uint64_t))
    COPY_PIECES(uint64_t);
  else if (text.len >= sizeof(uint32_t))
    COPY_PIECES(uint32_t);
  else
    for (size_t i = 0; i < text.len; i++) to[i] = text.ptr[i];
  return to + text.len;
}

static inline void put_bytes(struct out *o, struct str text) { o->at = copy(o->at, text); }

/* Member by member: a copy would go by way of the stack. */
static inline void put_head(struct out *o, struct live_item_head head) {
  o->at[offsetof(struct live_item_head, kind)] = (char)head.kind;
  o->at[offsetof(struct live_item_head, code)] = (char)head.code;
  memcpy(o->at + offsetof(struct live_item_head, length), &head.length, sizeof head.length);
  memcpy(o->at + offsetof(struct live_item_head, at_us), &head.at_us, sizeof head.at_us);
  memcpy(o->at + offsetof(struct live_item_head, us), &head.us, sizeof head.us);
  o->at += sizeof head;
}

static inline void put_item(struct out *o, struct live_item_head head, struct str text) {
  if (text.len > TEXT_MOST) text.len = TEXT_MOST;
  if (!has_room(o, sizeof head + text.len)) return;
  head.length = (uint16_t)text.len;
  put_head(o, head);
  put_bytes(o, text);
}

static __attribute__((noinline)) void put_text(struct out *o, enum live_text code, struct str text) {
  if (text.len) put_item(o, (struct live_item_head){LIVE_TEXT, (uint8_t)code, 0, 0, 0}, text);
}

/* They come first, where there is room for all, or last. */
static inline __attribute__((always_inline)) void put_number(struct out *o, enum live_number code,
                                                             uint64_t number) {
  put_head(o, (struct live_item_head){LIVE_NUMBER, (uint8_t)code, sizeof number, 0, 0});
  memcpy(o->at, &number, sizeof number);
  o->at += sizeof number;
}

/* --- fields ----------------------------------------------------------------------------------------------- */

/* Names come again and again, and whether values of one may be secrets takes long to tell. Each numbered field has a
 * bit. */
static bool may_be_secret_of_id(const struct field *field) {
  static _Thread_local uint32_t known, secret;
  uint32_t bit = UINT32_C(1) << field->id;
  if (__builtin_expect(!(known & bit), false)) {
    known |= bit;
    if (secrets_may_be_of(field_name(field->id))) secret |= bit;
  }
  return secret & bit;
}

/* The others' verdicts have two places each, so that two names that are always together do not take each other's. */
static bool may_be_secret_of_name(struct str name) {
  static _Thread_local struct {
    uint64_t hash;
    bool may_be;
  } verdicts[VERDICTS];
  uint64_t hash = XXH3_64bits(name.ptr, name.len) | 1;
  unsigned at = (unsigned)(hash >> 8) % VERDICTS;
  if (verdicts[at].hash == hash) return verdicts[at].may_be;
  unsigned other = at ^ 1;
  if (verdicts[other].hash == hash) return verdicts[other].may_be;
  if (verdicts[at].hash && !verdicts[other].hash) at = other;
  verdicts[at].hash = hash;
  return verdicts[at].may_be = secrets_may_be_of(name);
}

static inline bool may_be_secret(const struct field *field) {
  if (!field->value.len) return false;
  return field->id != FIELD_OTHER ? may_be_secret_of_id(field) : may_be_secret_of_name(field->name);
}

/* Without its secrets, whose marks may be longer than they are. */
static __attribute__((noinline)) void put_cleaned(struct out *o, struct live_item_head head,
                                                  const struct field *field) {
  static const struct secrets plain = {0};
  struct buf line = {0};
  buf_append(&line, field->name.ptr, field->name.len);
  buf_append(&line, ": ", 2);
  secrets_put_value(&plain, &line, field->name, field->value);
  if (has_room(o, sizeof head + buf_len(&line))) {
    head.length = (uint16_t)buf_len(&line);
    put_head(o, head);
    put_bytes(o, buf_str(&line));
  }
  buf_release(&line);
}

static void put_field(struct out *o, enum live_fields list, const struct field *field) {
  size_t length = field->name.len + 2 + field->value.len;
  struct live_item_head head = {LIVE_FIELD, (uint8_t)list, (uint16_t)length, 0, 0};
  if (__builtin_expect(may_be_secret(field), false)) {
    put_cleaned(o, head, field);
    return;
  }
  if (!has_room(o, sizeof head + length)) return;
  put_head(o, head);
  put_bytes(o, field->name);
  memcpy(o->at, ": ", 2);
  o->at += 2;
  put_bytes(o, field->value);
}

/* Does the text lie behind `before` in the same bytes, with only `between` in between? One that is empty may have no
 * place. */
static inline bool follows(struct str text, struct str before, const char between[2]) {
  return (uintptr_t)text.ptr == (uintptr_t)before.ptr + before.len + 2 &&
         memcmp(before.ptr + before.len, between, 2) == 0;
}

/* As it was received. */
static inline bool is_in_one_piece(const struct field *field) {
  return follows(field->value, field->name, ": ");
}

/* Fields that lie one behind the other, and have no secrets, are one item. */
static void put_fields(struct out *o, enum live_fields list, const struct headers *h) {
  const struct field *end = h->items + h->count;
  for (const struct field *field = h->items, *last; field < end; field = last + 1) {
    last = field;
    if (!is_in_one_piece(field) || may_be_secret(field)) {
      put_field(o, list, field);
      continue;
    }
    while (last + 1 < end && follows(last[1].name, last->value, "\r\n") && is_in_one_piece(last + 1) &&
           !may_be_secret(last + 1))
      last++;
    size_t length = (size_t)(last->value.ptr + last->value.len - field->name.ptr);
    if ((size_t)(o->end - o->at) < sizeof(struct live_item_head) + length) {
      for (; field <= last; field++) put_field(o, list, field); /* as many as there is room for */
      continue;
    }
    put_head(o, (struct live_item_head){LIVE_FIELD, (uint8_t)list, (uint16_t)length, 0, 0});
    memcpy(o->at, field->name.ptr, length);
    o->at += length;
  }
}

static bool is_same(const struct field *a, const struct field *b) {
  return a->value.ptr == b->value.ptr && a->name.len == b->name.len;
}

/* Has it the same slice of memory? A copy of the headers has, mostly in the same place. */
static bool has_same(const struct headers *h, const struct field *field, unsigned place) {
  if (place < h->count && is_same(&h->items[place], field)) return true;
  for (unsigned i = 0; i < h->count; i++)
    if (is_same(&h->items[i], field)) return true;
  return false;
}

static void put_all_fields(struct exchange *x, struct out *o) {
  const struct headers *to_peer = &x->now.request.headers;
  const struct response *response = x->answer ? &x->answer->response : &x->response;
  put_fields(o, LIVE_FROM_CLIENT, &x->request.headers);
  for (unsigned i = 0; i < to_peer->count; i++)
    if (!has_same(&x->request.headers, &to_peer->items[i], i)) put_field(o, LIVE_TO_PEER, &to_peer->items[i]);
  if (x->sent.status) put_fields(o, LIVE_TO_CLIENT, &response->headers);
}

/* --- facts ------------------------------------------------------------------------------------------------ */

static struct str protocol_of(const struct request *request) {
  if (request->is_http2) return STR("HTTP/2");
  return request->minor ? STR("HTTP/1.1") : STR("HTTP/1.0");
}

static void put_target(struct out *o, struct str target) {
  static const struct secrets plain = {0};
  struct buf text = {0};
  if (!secrets_may_be_in(target)) {
    put_text(o, LIVE_TARGET, target);
    return;
  }
  secrets_put_target(&plain, &text, target);
  put_text(o, LIVE_TARGET, buf_str(&text));
  buf_release(&text);
}

static void put_trace_id(struct exchange *x, struct out *o) {
  char id[TRACE_ID_TEXT];
  if (!x->account.trace) return;
  trace_write_id(x->account.trace, id);
  put_text(o, LIVE_TRACE_ID, (struct str){id, sizeof id});
}

static void put_texts(struct exchange *x, struct out *o) {
  put_text(o, LIVE_CLIENT, exchange_client_address(x));
  put_text(o, LIVE_LISTENER, x->stream ? str_of(x->stream->service->address) : x->account.listener);
  put_text(o, LIVE_METHOD, x->request.method_name);
  if (x->request.method_name.len) put_text(o, LIVE_PROTOCOL, protocol_of(&x->request));
  put_text(o, LIVE_HOST, x->request.authority);
  if (x->request.target.len) put_target(o, x->request.target);
  if (!x->account.live) put_text(o, LIVE_UPSTREAM, x->now.address);
  if (x->error) put_text(o, LIVE_ERROR, str_of(error_info(x->error)->name));
  if (x->cache && cache_result_of(x)) put_text(o, LIVE_CACHE, str_of(cache_result_name(cache_result_of(x))));
  if (x->slow_hook) put_text(o, LIVE_SLOW_HOOK, str_of(hook_name(x->slow_hook - 1)));
  put_trace_id(x, o);
}

static void put_numbers(struct exchange *x, struct out *o) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
  put_number(o, LIVE_TIME_US, us - ticks_to_us(ticks_since(x->account.began)));
  put_number(o, LIVE_WORKER, x->proxy->worker);
  put_number(o, LIVE_STATUS, x->sent.status);
  put_number(o, LIVE_DURATION_US, x->account.duration_us);
  put_number(o, LIVE_RECEIVED, x->account.head_bytes + x->now.up.bytes);
  put_number(o, LIVE_SENT, x->down.written);
  put_number(o, LIVE_ATTEMPTS, x->attempts);
  if (x->account.first_byte_us) put_number(o, LIVE_FIRST_BYTE_US, x->account.first_byte_us);
}

static uint32_t us_since_begin(const struct exchange *x, uint64_t ticks) {
  return ticks > x->account.began ? (uint32_t)ticks_to_us(ticks - x->account.began) : 0;
}

static struct str text_of(const struct live_note *note) {
  if (note->kind == LIVE_HOOK) return str_of(hook_name((enum hook)note->length));
  return (struct str){note->text, note->length};
}

static inline void put_note(const struct exchange *x, struct out *o, const struct live_note *note) {
  uint64_t status = note->us;
  struct live_item_head head = {note->kind, note->code, 0, us_since_begin(x, note->ticks), note->us};
  bool is_status = note->kind == LIVE_ANSWERED;
  put_item(o, head, is_status ? (struct str){(const char *)&status, sizeof status} : text_of(note));
}

/* Those that have begun by then, of `seen`: what is left of them. */
static inline unsigned put_steps(const struct exchange *x, struct out *o, uint64_t until, unsigned seen) {
  const uint64_t *steps = x->account.live->steps;
  while (seen && steps[__builtin_ctz(seen)] <= until) {
    unsigned at = (unsigned)__builtin_ctz(seen);
    struct live_item_head head = {LIVE_STEP, 0, 0, us_since_begin(x, steps[at]), 0};
    put_item(o, head, exchange_step_name((enum exchange_step)at));
    seen &= seen - 1;
  }
  return seen;
}

/* In order, as far as readers cannot see it by the time. */
static void put_notes(const struct exchange *x, struct out *o) {
  const struct live *live = x->account.live;
  unsigned seen = live->seen;
  o->missed += live->missed;
  for (const struct live_chunk *chunk = &live->first; chunk; chunk = chunk->next) {
    bool is_last = chunk == live->last;
    for (unsigned i = 0; i < chunk->count + is_last; i++) { /* behind the last one, all other steps */
      const struct live_note *note = i < chunk->count ? &chunk->notes[i] : NULL;
      seen = put_steps(x, o, note ? note->ticks : UINT64_MAX, seen);
      if (note) put_note(x, o, note);
    }
  }
}

size_t live_encode(struct exchange *x, uint8_t marks, bool has_fields, char *to) {
  struct live_head head = {0, LIVE_VERSION, marks, x->proxy->live ? (uint8_t)x->proxy->live->version : 0};
  struct out o = {to + sizeof head, to + SPAN_BYTES_MOST - LAST_BYTES, 0};
  put_numbers(x, &o);
  put_texts(x, &o);
  if (x->account.live) put_notes(x, &o);
  if (has_fields) put_all_fields(x, &o);
  if (o.missed) put_number(&o, LIVE_MISSED, o.missed);
  head.bytes = (uint32_t)(o.at - to);
  memcpy(to, &head, sizeof head);
  return head.bytes;
}
