// SPDX-License-Identifier: Apache-2.0
// respond: heads to the client: interim ones, the peer's response, and the proxy's own answers. It decides the
// framing for the client, and whether its connection stays open; the peer's framing is never forwarded
// (invariant I9).
#include "base/check.h"
#include "base/date.h"
#include "exchange/call.h"
#include "exchange/codings.h"
#include "exchange/file_answer.h"
#include "exchange/grpc.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/stream.h"
#include "exchange/streamed_answer.h"
#include "exchange/walk.h"
#include "http/framing.h"
#include "http/lenient.h"
#include "http/writer.h"
#include "net/timer.h"

#define METHODS_ALLOWED STR("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE")

/* What the policy has promised, before it was known which response it would be. Cookies are added to those that are
 * there; other fields take their place. */
static __attribute__((cold)) void keep_promise(struct headers *headers, const struct headers *promised) {
  for (unsigned i = 0; i < promised->count; i++)
    if (!str_equal_nocase(promised->items[i].name, STR("Set-Cookie")))
      headers_remove(headers, promised->items[i].name);
  for (unsigned i = 0; i < promised->count; i++) {
    const struct field *field = &promised->items[i];
    headers_add_field(headers, field->name, field->value, field->id);
  }
}

/* The next message's Date and Via, where they are ours to add (RFC 9110 sections 6.6.1 and 7.6.3). */
static void add_own_fields(struct exchange *x, struct headers *headers, bool is_forwarded) {
  if (x->sent.promised && x->script) keep_promise(headers, x->hooks->promised(x));
  if (!headers_find_id(headers, FIELD_DATE))
    headers_add_id(headers, FIELD_DATE, arena_dup(&x->arena, date_text(DATE_HTTP, time(NULL))));
  if (is_forwarded && x->settings->via) forwarded_add_via(headers, &x->response);
}

/* Is the peer to take the rest of the request? Not where it refuses, nor where it closes behind its response. */
static bool peer_reads_on(const struct exchange *x, const struct response *response) {
  return x->now.up.active && response->status < 400 && response->keep_alive;
}

/* A head and where it goes, with the body behind it. */
struct outgoing {
  struct str text;
  struct sink sink;
};

static bool write_head(struct exchange *x, const struct stream_head *head, struct outgoing *out) {
  return x->stream->codec->head(x->stream, head, &out->text, &out->sink);
}

/* Nothing is written yet: transfer_down follows, after which the exchange may have failed. */
static void begin_down(struct exchange *x, const struct outgoing *outgoing, struct body body,
                       enum framing out, struct str first) {
  CHECK(x->stream && !x->down.active); /* one head at a time */
  relay_begin(&x->down, body, out, outgoing->text, first);
  x->down.decoder.chunked.takes_padding = x->now.peer && x->now.peer->options.lenient & LENIENT_CHUNK_PADDING;
  x->down.to = outgoing->sink;
}

/* The same for what is all here: a head, and content of our own. */
static void send_whole(struct exchange *x, const struct outgoing *outgoing, enum framing out,
                       struct str content) {
  x->down.from = (struct source){0};
  filter_none(&x->down);
  begin_down(x, outgoing, (struct body){FRAMING_NONE, 0}, out, content);
  transfer_down(x);
}

void respond_forget_unsent(struct exchange *x) {
  if (!x->down.written) x->sent.status = 0;
}

/* --- interim -------------------------------------------------------------------------------------------- */

void respond_interim(struct exchange *x) {
  const struct stream_head head = {.kind = HEAD_INTERIM, .response = &x->response, .body = {FRAMING_NONE, 0}};
  struct outgoing out;
  if (!write_head(x, &head, &out)) {
    exchange_fail_because(x, ERROR_UNSAFE_HEAD, "interim response");
    return;
  }
  if (x->response.status == 100) x->sent.continued = true;
  x->sent.informed = true;
  send_whole(x, &out, FRAMING_NONE, (struct str){0});
}

void respond_continue(struct exchange *x) {
  const struct stream_head head = {.kind = HEAD_INTERIM};
  struct outgoing out;
  write_head(x, &head, &out);
  send_whole(x, &out, FRAMING_NONE, (struct str){0});
}

/* --- the peer's response -------------------------------------------------------------------------------- */

/* Might content codings have to do with the response? */
static inline bool has_codings(const struct exchange *x) {
  return x->settings->compression || x->hooks->decodes || x->codings;
}

/* What the client gets for what the peer sends. */
static enum framing framing_for_client(const struct exchange *x) {
  switch (x->response.body.framing) {
  case FRAMING_NONE:
  case FRAMING_TUNNEL: return x->response.body.framing;
  case FRAMING_LENGTH:
    if (!filter_has_response(x) && !codings_change_length(x->codings)) return FRAMING_LENGTH;
    break; /* what a filter will make of the length is not known */
  case FRAMING_CHUNKED:
  case FRAMING_CLOSE: break;
  }
  return x->stream->codec->framing(x->stream);
}

static struct body stated_body(const struct exchange *x, enum framing out) {
  if (response_has_no_body(x->request.method, x->response.status)) {
    bool is_in_doubt = filter_has_response(x) || codings_change_length(x->codings);
    return is_in_doubt ? (struct body){FRAMING_NONE, 0} : x->heads.stated;
  }
  return (struct body){out, x->response.body.length};
}

/* RFC 9110 section 7.8: a server that was told to expect a 100 sends it before its 101, or the client would keep the
 * rest of its request to itself, which must go before the tunnel's bytes. Where it did not, we do. */
static void begin_tunnel(struct exchange *x, bool continues) {
  transfer_tunnel(x);
  if (continues) x->sent.continued = true;
}

/* A source that is no conn tells its end itself. */
static struct body body_of_source(const struct exchange *x) {
  if (x->response.body.framing == FRAMING_TUNNEL) return (struct body){FRAMING_TUNNEL, 0};
  return x->down.from.ops ? (struct body){FRAMING_CLOSE, 0} : x->response.body;
}

/* HTTP/1.1 has trailers in chunks alone, HTTP/2 behind every body. */
static bool takes_trailers(const struct outgoing *outgoing, enum framing out) {
  return out == FRAMING_CHUNKED || (out == FRAMING_LENGTH && outgoing->sink.ops);
}

void respond_response(struct exchange *x) {
  struct response *response = &x->response;
  bool is_stored = x->cache && cache_has_response(x);
  CHECK(!x->sent.status && (x->now.call || is_stored));
  bool tunnels = response->body.framing == FRAMING_TUNNEL;
  if (has_codings(x) && !tunnels) codings_settle(x, response);
  enum framing out = framing_for_client(x);
  add_own_fields(x, &response->headers, true);
  const struct stream_head head = {.kind = tunnels ? HEAD_TUNNEL : HEAD_FINAL,
                                   .response = response,
                                   .body = stated_body(x, out),
                                   .continues = tunnels && x->request.expects_continue && !x->sent.continued,
                                   .is_taken = peer_reads_on(x, response)};
  struct outgoing outgoing;
  if (!write_head(x, &head, &outgoing)) {
    exchange_fail_because(x, ERROR_UNSAFE_HEAD, "response");
    return;
  }
  if (tunnels) begin_tunnel(x, head.continues);
  x->sent.status = response->status;
  x->down.from = is_stored ? cache_source(x) : x->now.call->source;
  x->down.trailers.allowed = takes_trailers(&outgoing, out);
  x->down.trailers.nominated = &response->nominated;
  x->down.at_once = x->sent.closes;
  filter_response(x, out);
  begin_down(x, &outgoing, body_of_source(x), out, (struct str){0});
  transfer_down(x);
  if (tunnels && x->stream && x->now.call && x->now.up.active) transfer_up(x);
}

/* HEAD is told what a GET would be: that the length is not known. */
static enum framing answer_framing(const struct exchange *x) {
  bool is_sent = x->answer->is_streamed ? x->request.method != METHOD_HEAD : x->codings->encoder.is_held;
  return is_sent ? x->stream->codec->framing(x->stream) : FRAMING_NONE;
}

/* An answer of our own whose content is encoded on its way. */
static void send_encoded(struct exchange *x, const struct outgoing *outgoing, struct str content) {
  struct codings *codings = x->codings;
  buf_append_str(&codings->content, content);
  filter_answer(x);
  x->down.from = (struct source){.in = &codings->content};
  begin_down(x, outgoing, (struct body){FRAMING_LENGTH, content.len}, x->stream->codec->framing(x->stream),
             (struct str){0});
  transfer_down(x);
}

/* One whose content is a file, or is written by the policy while it is sent; encoded or not. */
static void send_source(struct exchange *x, const struct outgoing *outgoing) {
  bool is_encoded = x->codings && x->codings->encoder.is_held, is_file = x->answer->is_file;
  bool has_length = (is_file || x->answer->has_length) && !is_encoded;
  enum framing out = has_length ? FRAMING_LENGTH : x->stream->codec->framing(x->stream);
  filter_none(&x->down);
  if (is_encoded) filter_answer(x);
  x->down.from = is_file ? file_source(x->rare->file) : streamed_answer_source(x->rare->streamed);
  x->down.trailers.allowed = !is_file && takes_trailers(outgoing, out);
  x->down.trailers.nominated = NULL;
  begin_down(x, outgoing, (struct body){FRAMING_CLOSE, 0}, out, (struct str){0});
  transfer_down(x);
}

/* --- answers of our own --------------------------------------------------------------------------------- */

/* What follows the head, before it is encoded. */
static struct body answer_body(const struct exchange *x) {
  if (x->answer->is_streamed && !x->answer->has_length) return (struct body){FRAMING_CHUNKED, 0};
  if (x->answer->is_streamed) return (struct body){FRAMING_LENGTH, x->answer->length};
  return (struct body){FRAMING_LENGTH, exchange_content_bytes(x)};
}

/* As codings see it: a response with that body. */
static void settle_answer(struct exchange *x) {
  struct answer *answer = x->answer;
  answer->response.announced = answer->response.body = answer_body(x);
  codings_settle(x, &answer->response);
}

static bool answer_head(struct exchange *x, struct outgoing *out) {
  const struct answer *answer = x->answer;
  struct body body = answer_body(x);
  bool is_bare = answer->response.status == 304 || answer->stands_for; /* no length is said of no body */
  if (is_bare && !body.length) body.framing = FRAMING_NONE;
  if (has_codings(x)) settle_answer(x);
  bool has_length = !answer->is_streamed || answer->has_length;
  if (!has_length || codings_change_length(x->codings)) body.framing = answer_framing(x);
  if (answer->close) x->sent.closes = true;
  add_own_fields(x, &x->answer->response.headers, false);
  const struct stream_head head = {.kind = HEAD_FINAL, .response = &answer->response, .body = body};
  return write_head(x, &head, out);
}

/* Nothing was sent, and the walk is at its end: a plain answer takes the place of the one that must not be written. */
static __attribute__((cold)) bool head_instead(struct exchange *x, struct outgoing *out) {
  exchange_report(x, ERROR_UNSAFE_HEAD, "answer");
  if (x->error == ERROR_NONE) x->error = ERROR_UNSAFE_HEAD;
  x->answer = NULL;
  x->error_status = error_info(ERROR_UNSAFE_HEAD)->status;
  respond_failure(x);
  grpc_answer(x);
  return answer_head(x, out);
}

void respond_answer(struct exchange *x) {
  struct outgoing out;
  bool is_written = answer_head(x, &out) || head_instead(x, &out);
  CHECK(is_written && !x->sent.status);
  (void)is_written;
  struct answer *answer = x->answer;
  unsigned status = answer->response.status;
  bool silent = response_has_no_body(x->request.method, status);
  x->sent.status = (unsigned short)status;
  x->response = answer->response;
  if (!answer->is_streamed || silent) streamed_answer_cut(x); /* nobody will read it */
  if ((answer->is_file || answer->is_streamed) && !silent)
    send_source(x, &out);
  else if (x->codings && x->codings->encoder.is_held)
    send_encoded(x, &out, answer->content);
  else
    send_whole(x, &out, FRAMING_LENGTH, silent ? (struct str){0} : answer->content);
}

void respond_show_head(struct exchange *x) {
  const struct answer *answer = x->answer;
  if (!answer) return;
  x->response = answer->response;
  x->response.body = answer_body(x);
}

void respond_take_head(struct exchange *x) {
  if (x->answer) x->answer->response.headers = x->response.headers;
}

static void reflect(struct exchange *x, struct answer *answer) {
  struct request *request = &x->request;
  struct writer_hop hop = {0};
  headers_remove_id(&request->headers, FIELD_COOKIE);
  headers_remove(&request->headers, STR("Authorization"));
  headers_remove_id(&request->headers, FIELD_PROXY_AUTHORIZATION);
  headers_add(&answer->response.headers, STR("Content-Type"), STR("message/http"));
  answer->content = writer_request(&x->arena, request, (struct body){FRAMING_NONE, 0}, &hop);
  CHECK(answer->content.ptr); /* it is as the parser took it */
}

void respond_as_final_recipient(struct exchange *x) {
  struct answer *answer = exchange_answer(x, 200);
  if (x->request.method == METHOD_TRACE)
    reflect(x, answer);
  else
    headers_add(&answer->response.headers, STR("Allow"), METHODS_ALLOWED);
}

/* RFC 9110 section 15.5.6: a 405 says what is allowed. Section 15.6.4: a 503 may say when to come back. */
static void add_explanation(struct exchange *x, struct headers *headers) {
  headers_add(headers, STR("Content-Type"), STR("text/plain"));
  if (x->error == ERROR_METHOD_NOT_ALLOWED) headers_add(headers, STR("Allow"), METHODS_ALLOWED);
  if (x->error == ERROR_OVERLOADED) headers_add(headers, STR("Retry-After"), STR("1"));
}

void respond_failure(struct exchange *x) {
  const struct error_info *info = error_info(x->error);
  unsigned status = x->error_status ? x->error_status : info->status;
  if (info->side == SIDE_DOWNSTREAM) x->sent.closes = true;
  if (x->answer || status == 0 || !exchange_can_answer(x)) return;
  struct answer *answer = exchange_answer(x, status);
  struct str reason = status_reason(status);
  add_explanation(x, &answer->response.headers);
  answer->content = arena_printf(&x->arena, "%u %.*s\n", status, STR_ARG(reason));
}
