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

/* A text takes so much of a record at most, so that one cannot take it all. */
enum { TEXT_MOST = 2000, VERDICTS = 256 };

/* There is room for a whole record from the first item on. */
static inline void put(struct buf *out, struct live_item_head head, struct str text) {
  char *to = buf_tail(out);
  memcpy(to, &head, sizeof head);
  if (text.len) memcpy(to + sizeof head, text.ptr, text.len);
  buf_commit(out, sizeof head + text.len);
}

/* The same for bytes of an item. */
static inline void put_bytes(struct buf *out, struct str bytes) {
  if (bytes.len) memcpy(buf_tail(out), bytes.ptr, bytes.len);
  buf_commit(out, bytes.len);
}

static bool has_room(const struct buf *out, size_t bytes) {
  return buf_len(out) + sizeof(struct live_item_head) + bytes <=
         SPAN_BYTES_MOST - 64; /* the last count has room */
}

static bool put_item(struct buf *out, struct live_item_head head, struct str text) {
  if (text.len > TEXT_MOST) text.len = TEXT_MOST;
  if (!has_room(out, text.len)) return false;
  head.length = (uint16_t)text.len;
  put(out, head, text);
  return true;
}

static void put_text(struct buf *out, enum live_text code, struct str text) {
  if (text.len) put_item(out, (struct live_item_head){LIVE_TEXT, (uint8_t)code, 0, 0, 0}, text);
}

static void put_number(struct buf *out, enum live_number code, uint64_t number) {
  struct live_item_head head = {LIVE_NUMBER, (uint8_t)code, sizeof number, 0, 0};
  put(out, head, (struct str){(const char *)&number, sizeof number});
}

/* --- fields ----------------------------------------------------------------------------------------------- */

/* Names come again and again, and whether values of one may be secrets takes long to tell. A verdict has two places, so
 * that two names that are always together do not take each other's. */
static bool may_be_secret(struct str name) {
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

static void put_field(struct buf *out, enum live_fields list, const struct field *field, unsigned *missed) {
  static const struct secrets plain = {0};
  struct live_item_head head = {LIVE_FIELD, (uint8_t)list, 0, 0, 0};
  size_t begin = buf_len(out);
  if (!has_room(out, field->name.len + 2 + field->value.len + 32)) {
    ++*missed;
    return;
  }
  buf_commit(out, sizeof head); /* written below */
  put_bytes(out, field->name);
  put_bytes(out, STR(": "));
  if (field->value.len && may_be_secret(field->name))
    secrets_put_value(&plain, out, field->name, field->value);
  else
    put_bytes(out, field->value);
  size_t length = buf_len(out) - begin - sizeof head;
  if (length > UINT16_MAX || buf_len(out) > SPAN_BYTES_MOST - 64) { /* marks are longer than what they hide */
    out->end = out->start + begin;
    ++*missed;
    return;
  }
  head.length = (uint16_t)length;
  memcpy(buf_ptr(out) + begin, &head, sizeof head);
}

static void put_fields(struct buf *out, enum live_fields list, const struct headers *h, unsigned *missed) {
  for (unsigned i = 0; i < h->count; i++) put_field(out, list, &h->items[i], missed);
}

/* The same slice of memory, as a copy of the headers has it. */
static bool has_same(const struct headers *h, const struct field *field) {
  for (unsigned i = 0; i < h->count; i++)
    if (h->items[i].value.ptr == field->value.ptr && h->items[i].name.len == field->name.len) return true;
  return false;
}

static void put_all_fields(struct exchange *x, struct buf *out, unsigned *missed) {
  const struct headers *to_peer = &x->now.request.headers;
  const struct response *response = x->answer ? &x->answer->response : &x->response;
  put_fields(out, LIVE_FROM_CLIENT, &x->request.headers, missed);
  for (unsigned i = 0; i < to_peer->count; i++)
    if (!has_same(&x->request.headers, &to_peer->items[i]))
      put_field(out, LIVE_TO_PEER, &to_peer->items[i], missed);
  if (x->sent.status) put_fields(out, LIVE_TO_CLIENT, &response->headers, missed);
}

/* --- facts ------------------------------------------------------------------------------------------------ */

static struct str protocol_of(const struct request *request) {
  if (request->is_http2) return STR("HTTP/2");
  return request->minor ? STR("HTTP/1.1") : STR("HTTP/1.0");
}

static void put_target(struct buf *out, struct str target) {
  static const struct secrets plain = {0};
  struct buf text = {0};
  if (!secrets_may_be_in(target)) {
    put_text(out, LIVE_TARGET, target);
    return;
  }
  secrets_put_target(&plain, &text, target);
  put_text(out, LIVE_TARGET, buf_str(&text));
  buf_release(&text);
}

static void put_trace_id(struct exchange *x, struct buf *out) {
  char id[TRACE_ID_TEXT];
  if (!x->account.trace) return;
  trace_write_id(x->account.trace, id);
  put_text(out, LIVE_TRACE_ID, (struct str){id, sizeof id});
}

static void put_texts(struct exchange *x, struct buf *out) {
  put_text(out, LIVE_CLIENT, exchange_client_address(x));
  put_text(out, LIVE_LISTENER, x->stream ? str_of(x->stream->service->address) : x->account.listener);
  put_text(out, LIVE_METHOD, x->request.method_name);
  if (x->request.method_name.len) put_text(out, LIVE_PROTOCOL, protocol_of(&x->request));
  put_text(out, LIVE_HOST, x->request.authority);
  if (x->request.target.len) put_target(out, x->request.target);
  if (!x->account.live) put_text(out, LIVE_UPSTREAM, x->now.address);
  if (x->error) put_text(out, LIVE_ERROR, str_of(error_info(x->error)->name));
  if (x->cache && cache_result_of(x))
    put_text(out, LIVE_CACHE, str_of(cache_result_name(cache_result_of(x))));
  if (x->slow_hook) put_text(out, LIVE_SLOW_HOOK, str_of(hook_name(x->slow_hook - 1)));
  put_trace_id(x, out);
}

static void put_numbers(struct exchange *x, struct buf *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
  put_number(out, LIVE_TIME_US, us - ticks_to_us(ticks_since(x->account.began)));
  put_number(out, LIVE_WORKER, x->proxy->worker);
  put_number(out, LIVE_STATUS, x->sent.status);
  put_number(out, LIVE_DURATION_US, x->account.duration_us);
  put_number(out, LIVE_RECEIVED, x->account.head_bytes + x->now.up.bytes);
  put_number(out, LIVE_SENT, x->down.written);
  put_number(out, LIVE_ATTEMPTS, x->attempts);
  if (x->account.first_byte_us) put_number(out, LIVE_FIRST_BYTE_US, x->account.first_byte_us);
}

static uint32_t us_since_begin(const struct exchange *x, uint64_t ticks) {
  return ticks > x->account.began ? (uint32_t)ticks_to_us(ticks - x->account.began) : 0;
}

static struct str text_of(const struct live_note *note) {
  if (note->kind == LIVE_HOOK) return str_of(hook_name((enum hook)note->length));
  return (struct str){note->text, note->length};
}

static void put_note(const struct exchange *x, struct buf *out, const struct live_note *note,
                     unsigned *missed) {
  uint64_t status = note->us;
  struct live_item_head head = {note->kind, note->code, 0, us_since_begin(x, note->ticks), note->us};
  bool is_status = note->kind == LIVE_ANSWERED;
  *missed +=
      !put_item(out, head, is_status ? (struct str){(const char *)&status, sizeof status} : text_of(note));
}

/* Those that have begun by then, without those in `*seen`. */
static void put_steps(const struct exchange *x, struct buf *out, uint64_t until, unsigned *seen,
                      unsigned *missed) {
  const uint64_t *steps = x->account.live->steps;
  for (; *seen; *seen &= *seen - 1) {
    unsigned at = (unsigned)__builtin_ctz(*seen);
    if (steps[at] > until) return;
    struct live_item_head head = {LIVE_STEP, 0, 0, us_since_begin(x, steps[at]), 0};
    *missed += !put_item(out, head, exchange_step_name((enum exchange_step)at));
  }
}

/* In order, as far as readers cannot see it by the time. */
static void put_notes(const struct exchange *x, struct buf *out, unsigned *missed) {
  const struct live *live = x->account.live;
  unsigned seen = live->seen;
  *missed += live->missed;
  for (const struct live_chunk *chunk = &live->first; chunk; chunk = chunk->next)
    for (unsigned i = 0; i < chunk->count; i++) {
      put_steps(x, out, chunk->notes[i].ticks, &seen, missed);
      put_note(x, out, &chunk->notes[i], missed);
    }
  put_steps(x, out, UINT64_MAX, &seen, missed);
}

void live_encode(struct exchange *x, uint8_t marks, bool has_fields, struct buf *out) {
  struct live_head head = {0, LIVE_VERSION, marks, x->proxy->live ? (uint8_t)x->proxy->live->version : 0};
  unsigned missed = 0;
  buf_reserve(out, SPAN_BYTES_MOST);
  buf_append(out, &head, sizeof head);
  put_numbers(x, out);
  put_texts(x, out);
  if (x->account.live) put_notes(x, out, &missed);
  if (has_fields) put_all_fields(x, out, &missed);
  if (missed) put_number(out, LIVE_MISSED, missed);
  head.bytes = (uint32_t)buf_len(out);
  memcpy(buf_ptr(out), &head, sizeof head);
}
