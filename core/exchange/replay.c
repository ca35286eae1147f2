// SPDX-License-Identifier: Apache-2.0
// replay: a hook that waits gets the time that it wants, at once. One that waits for what is no timer, as for a name
// server, would wait for ever: its request is left out.
#include "exchange/replay.h"

#include <stdio.h>
#include <string.h>

#include "exchange/exchange.h"
#include "exchange/peer.h"
#include "exchange/rehearsal.h"
#include "exchange/settings.h"
#include "exchange/streamed_answer.h"
#include "net/addr.h"
#include "net/virtual_time.h"
#include "shared/recording.h"

enum { WAIT_MOST_MS = 3600000, ATTEMPTS_MOST = 16, STREAMED_MS = 60000, STREAMED_BYTES = 65536 };

struct walk {
  const struct replay_place *place;
  const struct recorded *recorded;
  struct rehearsal *r;
  struct exchange *x;
  struct replay_decision *d;
  unsigned longest_ms;
  bool is_over;
};

static void end_as(struct walk *w, enum replay_kind kind, enum hook hook) {
  w->d->kind = kind;
  w->d->hook = hook;
  w->is_over = true;
}

/* --- one hook ------------------------------------------------------------------------------------------- */

/* False: it would never end. */
static bool let_it_wait(struct walk *w, enum hook hook) {
  uint64_t since_ms = virtual_time.now_ms;
  while (rehearsal_waits(w->r)) {
    uint64_t left_ms = virtual_time_left_ms();
    if (left_ms == UINT64_MAX || virtual_time.now_ms - since_ms + left_ms > WAIT_MOST_MS) return false;
    virtual_time_advance(left_ms);
  }
  unsigned waited_ms = (unsigned)(virtual_time.now_ms - since_ms);
  w->d->waited_ms += waited_ms;
  if (waited_ms > w->longest_ms) {
    w->longest_ms = waited_ms;
    w->d->waiter = hook;
  }
  return true;
}

/* Calls it to its end. True: the walk goes on behind it. */
static bool call(struct walk *w, enum hook hook) {
  struct exchange *x = w->x;
  bool answered = x->answer != NULL;
  if (w->place->on_step) w->place->on_step(w->place->owner, hook, x, false);
  bool waits = rehearsal_call(w->r, hook) == HOOK_WAIT;
  if (waits && w->place->on_wait) w->place->on_wait(w->place->owner);
  if (waits && !let_it_wait(w, hook)) {
    end_as(w, REPLAY_UNKNOWN, hook);
    return false;
  }
  if (w->place->on_step) w->place->on_step(w->place->owner, hook, x, true);
  if (x->outcome.error != ERROR_NONE) {
    w->d->error = x->outcome.error;
    w->d->status = x->outcome.status;
    end_as(w, REPLAY_FAILS, hook);
  } else if (x->answer && !answered) {
    end_as(w, REPLAY_ANSWERS, hook);
  }
  return !w->is_over;
}

static bool filter_body(struct walk *w) {
  if (rehearsal_filter(w->r, HOOK_request_body_filter, w->recorded->body, true) != HOOK_WAIT ||
      let_it_wait(w, HOOK_request_body_filter))
    return true;
  end_as(w, REPLAY_UNKNOWN, HOOK_request_body_filter);
  return false;
}

/* --- attempts ------------------------------------------------------------------------------------------- */

static void note_peer(struct walk *w) {
  const struct peer *peer = w->x->now.peer;
  if (!peer) return;
  const struct peer_options *o = &peer->options;
  snprintf(w->d->peer, sizeof w->d->peer, "%.*s%s%.*s", (int)(o->address.len < 56 ? o->address.len : 56),
           o->address.ptr, o->tls ? " tls=" : "", o->tls ? (int)(o->sni.len < 32 ? o->sni.len : 32) : 0,
           o->tls && o->sni.ptr ? o->sni.ptr : "");
}

static enum error recorded_error(const struct recorded *r) {
  enum error error = ERROR_NONE;
  if (r->answer.len || !r->error.len) return ERROR_NONE;
  while (error < ERROR_COUNT && !str_equal(r->error, str_of(error_info(error)->name))) error++;
  return error < ERROR_COUNT ? error : ERROR_NONE;
}

static bool is_of_connecting(enum error error) {
  static const enum error all[] = {ERROR_RESOLVE_FAILED,  ERROR_CONNECT_REFUSED, ERROR_CONNECT_FAILED,
                                   ERROR_CONNECT_TIMEOUT, ERROR_TLS_FAILED,      ERROR_TLS_TIMEOUT,
                                   ERROR_CERTIFICATE,     ERROR_LOCAL_SHORTAGE};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i] == error) return true;
  return false;
}

/* Of the peer, not of the policy or of the client. */
static bool is_of_peer(enum error error) {
  return error == ERROR_FIRST_BYTE_TIMEOUT || error == ERROR_UPSTREAM_CLOSED || is_of_connecting(error);
}

/* The attempt failed. True: another one follows. */
static bool fail_attempt(struct walk *w, enum hook hook, enum error error) {
  w->d->error = rehearsal_fail(w->r, error);
  if (!call(w, hook)) return false;
  if (rehearsal_retries(w->r) && w->d->attempts < ATTEMPTS_MOST) return true;
  end_as(w, REPLAY_FAILS, hook);
  return false;
}

/* True: another attempt follows. */
static bool attempt(struct walk *w) {
  enum error error = recorded_error(w->recorded);
  const char *why;
  if (!call(w, HOOK_upstream_peer)) return false;
  w->d->attempts++;
  note_peer(w);
  if (is_of_connecting(error)) return fail_attempt(w, HOOK_fail_to_connect, error);
  if (!call(w, HOOK_connected_to_upstream) || !call(w, HOOK_upstream_request_filter) || !filter_body(w))
    return false;
  if (is_of_peer(error)) return fail_attempt(w, HOOK_error_while_proxy, error);
  struct str head = w->recorded->answer.len ? w->recorded->answer : STR("HTTP/1.1 200 OK\r\n\r\n");
  if (!rehearsal_respond(w->r, head, &why)) {
    end_as(w, REPLAY_UNKNOWN, HOOK_upstream_peer);
    return false;
  }
  if (rehearsal_may_ask_another(w->r)) {
    rehearsal_fail(w->r, ERROR_ANSWERED_ERROR);
    if (!call(w, HOOK_error_while_proxy)) return false;
    if (rehearsal_retries(w->r) && w->d->attempts < ATTEMPTS_MOST) return true;
  }
  if (!call(w, HOOK_upstream_response_filter) || !call(w, HOOK_response_filter)) return false;
  end_as(w, REPLAY_ASKS, HOOK_upstream_peer);
  return false;
}

/* --- the whole ------------------------------------------------------------------------------------------ */

static void put_fields(struct buf *out, const struct headers *headers) {
  for (unsigned i = 0; i < headers->count; i++) {
    buf_append_str(out, headers->items[i].name);
    buf_append(out, ": ", 2);
    buf_append_str(out, headers->items[i].value);
    buf_append(out, "\n", 1);
  }
}

static void put_request(struct buf *out, const struct request *request) {
  buf_append_str(out, request->method_name);
  buf_append(out, " ", 1);
  buf_append_str(out, request->target);
  buf_append(out, "\n", 1);
  put_fields(out, &request->headers);
}

/* What the policy writes as it goes: the beginning, for a client that leaves after a minute. */
static struct str streamed_text(struct exchange *x) {
  struct streamed_answer *s = x->rare->streamed;
  uint64_t until_ms = virtual_time.now_ms + STREAMED_MS, left_ms;
  streamed_answer_rehearse(s);
  while (streamed_answer_runs(x) && streamed_answer_text(s).len < STREAMED_BYTES &&
         (left_ms = virtual_time_left_ms()) <= until_ms - virtual_time.now_ms)
    virtual_time_advance(left_ms);
  streamed_answer_give_up(x);
  virtual_time_advance(0);
  struct str text = streamed_answer_text(s);
  if (text.len > STREAMED_BYTES) text.len = STREAMED_BYTES;
  return text;
}

/* What has failed is answered as the policy says, or as the table does. */
static void answer_failure(struct walk *w) {
  enum hook hook = w->d->hook;
  unsigned status = w->d->status;
  w->is_over = false;
  w->x->answer = NULL;
  w->d->error = rehearsal_fail(w->r, w->d->error);
  call(w, HOOK_fail_to_proxy);
  if (w->d->kind == REPLAY_UNKNOWN) return;
  end_as(w, REPLAY_FAILS, hook);
  rehearsal_answer_failure(w->r, w->x->outcome.status ? w->x->outcome.status : status);
}

static void finish(struct walk *w) {
  struct exchange *x = w->x;
  struct replay_decision *d = w->d;
  if (d->kind == REPLAY_FAILS) answer_failure(w);
  if (d->kind == REPLAY_UNKNOWN) return;
  if (x->now.request.method_name.len) put_request(&d->request, &x->now.request);
  enum replay_kind kind = d->kind;
  enum hook hook = d->hook;
  call(w, HOOK_answer_filter);
  d->kind = kind;
  d->hook = hook;
  const struct response *response = x->answer ? &x->answer->response : &x->response;
  d->status = response->status;
  put_fields(&d->response, &response->headers);
  if (x->answer) buf_append_str(&d->response, x->answer->is_streamed ? streamed_text(x) : x->answer->content);
  call(w, HOOK_logging);
  d->kind = d->kind == REPLAY_UNKNOWN ? REPLAY_UNKNOWN : kind;
  d->hook = hook;
}

static void walk(struct walk *w) {
  bool goes_on = call(w, HOOK_early_request_filter) && call(w, HOOK_request_filter) &&
                 call(w, HOOK_proxy_upstream_filter);
  if (goes_on && w->x->outcome.refused) {
    w->d->error = ERROR_UPSTREAM_REFUSED;
    end_as(w, REPLAY_FAILS, HOOK_proxy_upstream_filter);
    goes_on = false;
  }
  while (goes_on) goes_on = attempt(w);
  finish(w);
}

/* Everything but the memory of the buffers. */
static void begin(struct replay_decision *d) {
  struct buf request = d->request, response = d->response;
  request.start = request.end = response.start = response.end = 0;
  *d = (struct replay_decision){.kind = REPLAY_UNKNOWN, .request = request, .response = response};
}

void replay_decide(const struct replay_place *place, const struct recorded *recorded,
                   struct replay_decision *d) {
  struct walk w = {.place = place, .recorded = recorded, .d = d};
  const char *why = NULL;
  struct addr addr;
  begin(d);
  if (!addr_parse_client(recorded->client, &addr, &why)) /* "unix:", "unknown" */
    addr_parse(STR("127.0.0.1:1"), &addr, &why);
  struct rehearsal_setup setup = {place->proxy,   place->hooks,   place->settings, &addr,
                                  recorded->head, recorded->body, recorded->secure};
  w.r = rehearsal_new(&setup, &why);
  if (!w.r) return;
  w.x = rehearsal_exchange(w.r);
  walk(&w);
  rehearsal_free(w.r);
}
