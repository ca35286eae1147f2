// SPDX-License-Identifier: Apache-2.0
// request_body: reads a request's body into memory before a peer is asked, because the policy wants all of it. It is
// in x->body.replay, like the bytes that a retry needs, and is sent from there. With a request_body_filter that is
// not enough: a retry sends the output of the filter, so the bytes that it has not seen yet are kept separately
// (x->body.unfiltered).
#include <limits.h>

#include "exchange/codings.h"
#include "exchange/deadline.h"
#include "exchange/stream.h"
#include "exchange/upload.h"
#include "exchange/walk.h"
#include "net/timer.h"

/* A body of so many bytes is awaited before a peer is asked. */
enum { AWAITED_BYTES = 16384 };

bool exchange_has_body(const struct exchange *x) {
  return x->body.is_read || x->request.body.framing == FRAMING_NONE;
}

struct str exchange_body(const struct exchange *x) {
  return buf_len(&x->body.replay) ? buf_str(&x->body.replay) : (struct str){"", 0};
}

static bool wants_text(const struct exchange *x) {
  enum coding codings[DECODING_MOST];
  return x->hooks->decodes && codings_of_request(x, codings);
}

/* What counts is then the text, which may be shorter than its coding. */
static void read_as_text(struct exchange *x) {
  uint64_t most_bytes = x->now.up.limit;
  if (!x->now.up.filter) filter_request_to_text(x, most_bytes);
  x->now.up.limit = x->settings->body_bytes ? x->settings->body_bytes : UINT64_MAX;
}

/* It lies in x->body.replay, and is what the peer gets. */
static void take_text(struct exchange *x) {
  filter_none(&x->now.up);
  codings_strip(&x->request.headers);
  if (x->request.body.framing == FRAMING_LENGTH) x->request.body.length = buf_len(&x->body.replay);
}

/* Nothing is read from inside this call: a failure may end the exchange, which a running hook cannot have. */
void exchange_read_body(struct exchange *x, size_t limit, void (*on_body)(struct exchange *x)) {
  uint64_t allowed = x->settings->body_bytes;
  relay_restart(&x->now.up, FRAMING_NONE, (struct str){0}, (struct str){0});
  x->now.up.from = x->stream->source;
  x->now.up.to = (struct sink){0};
  x->now.up.copy.to = &x->body.replay;
  x->now.up.copy.limit = limit;
  x->now.up.limit = !allowed || limit < allowed ? limit : allowed;
  if (wants_text(x)) read_as_text(x);
  x->body.on_body = on_body;
  source_feed(&x->now.up.from);
}

/* The policy wants the body, so we ask for it in the peer's place (RFC 9110 section 10.1.1). The exchange may be
 * gone afterwards, with its client. */
static void ask_for_body(struct exchange *x) {
  source_feed(&x->now.up.from); /* a part of the body may have been read with the head */
  x->request.expects_continue = false;
  x->sent.continued = true;
  headers_remove_id(&x->request.headers, FIELD_EXPECT);
  respond_continue(x);
}

/* What is known to come is not read first. */
static bool is_known_too_large(const struct exchange *x) {
  return x->request.body.framing == FRAMING_LENGTH && !x->body.feeds_filter &&
         x->request.body.length > x->now.up.limit;
}

void request_body_pump(struct exchange *x) {
  if (is_known_too_large(x)) {
    exchange_fail(x, ERROR_BODY_TOO_LARGE);
    return;
  }
  if (x->request.expects_continue && !x->sent.continued)
    ask_for_body(x);
  else
    transfer_up(x);
}

void request_body_done(struct exchange *x) {
  void (*on_body)(struct exchange * x) = x->body.on_body;
  x->body.on_body = NULL;
  x->body.is_read = true;
  x->now.up.limit = x->settings->body_bytes;
  if (x->now.up.filter) take_text(x);
  deadline_watch(x);
  on_body(x);
}

void exchange_cancel_body(struct exchange *x) {
  if (!x->body.on_body) return;
  x->body.on_body = NULL;
  relay_stop(&x->now.up);
  x->up_state = TRANSFER_OFF;
}

void exchange_set_body(struct exchange *x, struct str text) {
  buf_clear(&x->body.replay);
  buf_append_str(&x->body.replay, text);
  if (x->request.body.framing != FRAMING_NONE || text.len)
    x->request.body = (struct body){FRAMING_LENGTH, text.len};
  x->body.is_read = true;
  x->now.up.trailers.section = (struct str){0};
  x->now.up.trailers.received = NULL;
}

/* A client that sends a small body slowly is not to hold a connection to a peer meanwhile, nor a place in its limits.
 * What came with the head costs nothing; a larger body, or one in chunks, may be a stream of which each part counts;
 * and what a client sends only once it is told to, the peer decides. One that pauses may wait for an answer. */
bool request_body_await(struct exchange *x) {
  const struct body *body = &x->request.body;
  bool is_small = body->framing == FRAMING_LENGTH && body->length <= AWAITED_BYTES;
  if (request_body_is_awaited(x)) return true;
  if (!is_small || x->body.is_read || x->is_shadow || !x->stream || x->request.expects_continue) return false;
  if (wants_text(x)) return false; /* what it becomes may be large, or come bit by bit */
  if (buf_len(x->stream->source.in) >= body->length || x->upload.was_awaited) return false;
  if (x->settings->await_body_ms == UINT_MAX) return false;
  x->upload.was_awaited = true;
  exchange_read_body(x, AWAITED_BYTES, exchange_run);
  return true;
}

bool request_body_is_awaited(const struct exchange *x) { return x->body.on_body == exchange_run; }

bool request_body_paused(struct exchange *x) {
  if (!request_body_is_awaited(x) || upload_why(x)) return false;
  exchange_cancel_body(x);
  x->now.up.limit = x->settings->body_bytes;
  x->now.up.copy.limit = RELAY_COPY_LIMIT;
  exchange_run(x);
  return true;
}

/* Before the first attempt: the whole body goes through the filter first. */
static void feed_filter(struct exchange *x) {
  struct trailers trailers = x->now.up.trailers;
  x->body.unfiltered = x->body.replay;
  x->body.replay = (struct buf){0};
  x->body.feeds_filter = true;
  struct body whole = {FRAMING_LENGTH, buf_len(&x->body.unfiltered)};
  relay_begin(&x->now.up, whole, FRAMING_NONE, (struct str){0}, (struct str){0});
  x->now.up.trailers = trailers;
}

void request_body_send(struct exchange *x) {
  if (x->body.is_read && !x->body.feeds_filter && filter_has_request(x)) feed_filter(x);
  if (x->body.feeds_filter)
    x->now.up.from = (struct source){.in = &x->body.unfiltered};
  else
    x->now.up.from = x->stream->source;
}
