// SPDX-License-Identifier: Apache-2.0
// recorder: what is taken down is text in a piece of memory of the exchange's own, since the recording may end, and
// another begin, before the exchange does.
#include "exchange/recorder.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/random.h"
#include "exchange/cache.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "exchange/stream.h"
#include "net/timer.h"
#include "shared/recording.h"

enum { HEAD_MOST = 128 << 10 };

struct recording_of {
  uint64_t number; /* of the recording */
  uint64_t at_ms, first_byte_ms;
  struct buf head, answer;
  struct str listener;
};

/* A head that is larger loses its last fields: it would be no HTTP otherwise. */
static void put_fields(struct buf *out, const struct secrets *secrets, const struct headers *headers) {
  for (unsigned i = 0; i < headers->count && buf_len(out) < HEAD_MOST; i++) {
    const struct field *field = &headers->items[i];
    buf_append_str(out, field->name);
    buf_append_str(out, STR(": "));
    secrets_put_value(secrets, out, field->name, field->value);
    buf_append_str(out, STR("\r\n"));
  }
  buf_append_str(out, STR("\r\n"));
}

/* What HTTP/2 says in pseudo-fields stands in Host already. */
static void put_request(struct buf *out, const struct secrets *secrets, const struct request *request) {
  buf_append_str(out, request->method_name);
  buf_append_str(out, STR(" "));
  secrets_put_target(secrets, out, request->target);
  buf_append_str(out, request->minor ? STR(" HTTP/1.1\r\n") : STR(" HTTP/1.0\r\n"));
  put_fields(out, secrets, &request->headers);
}

void recorder_begin(struct exchange *x) {
  struct proxy *proxy = x->proxy;
  const struct recorder *r = proxy->recorder;
  if (random_below(&proxy->dice, 10000) >= r->share) return;
  struct recording_of *taken = memory_zalloc(sizeof *taken);
  taken->number = r->number;
  taken->at_ms = x->times.begun > r->began_ms ? x->times.begun - r->began_ms : 0;
  taken->listener = arena_dup(&x->arena, str_of(x->stream->service->address));
  put_request(&taken->head, &r->secrets, &x->request);
  x->account.recording = taken;
}

void recorder_answer(struct exchange *x) {
  struct recording_of *taken = x->account.recording;
  const struct recorder *r = x->proxy->recorder;
  char line[64];
  if (!r || x->response.status < 200) return;
  buf_release(&taken->answer);
  int length = snprintf(line, sizeof line, "HTTP/1.1 %u ", x->response.status);
  buf_append(&taken->answer, line, (size_t)length);
  buf_append_str(&taken->answer, x->response.reason);
  buf_append_str(&taken->answer, STR("\r\n"));
  put_fields(&taken->answer, &r->secrets, &x->response.headers);
  uint64_t sent = x->now.times.request_sent, first = x->now.times.first_byte;
  taken->first_byte_ms = sent && first > sent ? first - sent : 0;
}

/* Of a filter's output the recording would say that the client has sent it. */
static struct str body_of(const struct exchange *x, const struct recorder *r, uint64_t *is_cut) {
  struct str body = exchange_body(x);
  const struct body *said = &x->request.body;
  if (x->hooks->request_body_filter) body.len = 0;
  *is_cut =
      said->framing == FRAMING_LENGTH ? body.len < said->length : said->framing != FRAMING_NONE && !body.len;
  if (body.len > r->body_most) *is_cut = 1;
  if (body.len > r->body_most) body.len = r->body_most;
  return body;
}

/* No peer has given what the client got. */
static bool is_from_cache(const struct exchange *x, const struct recording_of *taken) {
  if (!x->cache || buf_len(&taken->answer)) return false;
  enum cache_result result = cache_result_of(x);
  return result == CACHE_RESULT_HIT || result == CACHE_RESULT_STALE || result == CACHE_RESULT_UPDATING;
}

void recorder_end(struct exchange *x) {
  struct recording_of *taken = x->account.recording;
  struct recorder *r = x->proxy->recorder;
  if (r && r->number == taken->number) {
    struct buf bytes = {0};
    struct recorded recorded = {.at_ms = taken->at_ms,
                                .first_byte_ms = taken->first_byte_ms,
                                .status = x->sent.status,
                                .attempts = x->attempts,
                                .secure = x->secure,
                                .is_cached = is_from_cache(x, taken),
                                .listener = taken->listener,
                                .client = exchange_client_address(x),
                                .head = buf_str(&taken->head),
                                .peer = x->now.address};
    if (buf_len(&taken->answer)) recorded.answer = buf_str(&taken->answer);
    if (x->error != ERROR_NONE) recorded.error = str_of(error_info(x->error)->name);
    recorded.body = body_of(x, r, &recorded.is_cut);
    recorded_put(&bytes, &recorded);
    r->on_request(r, buf_str(&bytes));
    buf_release(&bytes);
  }
  recorder_drop(x);
}

void recorder_drop(struct exchange *x) {
  struct recording_of *taken = x->account.recording;
  x->account.recording = NULL;
  buf_release(&taken->head);
  buf_release(&taken->answer);
  free(taken);
}
