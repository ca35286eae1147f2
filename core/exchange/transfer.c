// SPDX-License-Identifier: Apache-2.0
// transfer: the bodies of an exchange, in both directions at the same time. It interprets the results of the relays:
// of the request (up) and of the response (down). The hard problem is that either direction may end, fail
// or stall before the other: a final response while the client still uploads, a peer that stops reading but has
// answered, a client that is gone.
//
// A client that writes all of its request before it reads must not be blocked because nobody reads the rest. So if
// the peer takes no more, and the client does not take the response either, the rest of the request is read and
// dropped at the same time (up without a sink); otherwise the stream does this after the exchange.
#include "base/check.h"
#include "exchange/attempt.h"
#include "exchange/call.h"
#include "exchange/deadline.h"
#include "exchange/file_answer.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/stream.h"
#include "exchange/streamed_answer.h"
#include "exchange/walk.h"
#include "net/timer.h"

static bool waits_for_head(const struct exchange *x) { return x->step == STEP_read_response; }

static bool is_body_step(const struct exchange *x) {
  return x->step >= STEP_send_request && x->step <= STEP_relay_bodies;
}

/* --- the end of the peer's part ------------------------------------------------------------------------- */

bool transfer_is_hopeless(const struct exchange *x) {
  return x->request.expects_continue && !x->sent.continued && !x->now.up.decoder.ended;
}

bool transfer_has_answered(const struct exchange *x) { return x->sent.status && x->down.done; }

bool transfer_peer_has_answered(const struct exchange *x) {
  return x->sent.status && !x->tunnel && (x->down.done || x->down.decoder.ended);
}

static bool is_sending(const struct exchange *x) { return x->now.up.active && sink_is_there(&x->now.up.to); }

static bool reads_away(const struct exchange *x) {
  return x->now.up.active && !sink_is_there(&x->now.up.to) && !x->body.on_body;
}

/* Once the response is whole the connection goes back: at once, so that it serves others while the client
 * still reads; or behind the rest of the request, for a peer that answered early and reads on. */
static void end_peer_part(struct exchange *x) {
  if (!x->now.call || !transfer_peer_has_answered(x)) return;
  attempt_answered(x);
  if (!x->down.done) return; /* what lies in its buffer is on its way */
  bool persists = x->response.keep_alive && x->response.body.framing != FRAMING_CLOSE;
  bool request_whole = x->now.up.done && sink_is_there(&x->now.up.to);
  if (persists && is_sending(x) && !transfer_is_hopeless(x)) return;
  attempt_end(x, persists && request_whole);
}

/* --- the tunnel ----------------------------------------------------------------------------------------- */

/* The request is through to its end, and what follows is the tunnel's. */
static void begin_tunnel_up(struct exchange *x) {
  struct body tunnel = {FRAMING_TUNNEL, 0};
  relay_begin(&x->now.up, tunnel, FRAMING_TUNNEL, (struct str){0}, (struct str){0});
  x->now.up.from = x->stream->source;
  x->now.up.copy.to = NULL;
  x->now.up.limit = 0;
  x->now.up.at_once = true;
  filter_none(&x->now.up);
  buf_release(&x->body.replay); /* nothing is repeated from here on */
}

/* The peer may switch before the whole request has come to it; the client then ends it first (RFC 9110 section 7.8). */
static bool is_before_tunnel(const struct exchange *x) {
  return x->tunnel && x->now.up.decoder.body.framing != FRAMING_TUNNEL;
}

void transfer_tunnel(struct exchange *x) {
  x->tunnel = x->sent.closes = true;
  if (!x->now.up.active) begin_tunnel_up(x);
}

/* --- the rest of a request that nobody wants ------------------------------------------------------------ */

static void read_on(struct exchange *x) {
  enum relay_result result = relay_pump(&x->now.up);
  x->up_state = TRANSFER_OFF; /* whether it comes or not */
  if (result == RELAY_READING) return;
  if (result != RELAY_DONE) x->sent.closes = true;
  relay_stop(&x->now.up);
  source_want(&x->now.up.from, false);
}

static void read_away(struct exchange *x) {
  if (x->now.up.decoder.ended || x->tunnel || transfer_is_hopeless(x)) return;
  filter_none(&x->now.up);
  relay_read_away(&x->now.up, &x->stream->source);
  read_on(x);
}

/* The response goes on without the call that it was read from. */
static void keep_rest_of_response(struct exchange *x) {
  buf_release(&x->body.unfiltered); /* of a request that is sent no further */
  x->now.call->codec->take_rest(x->now.call, &x->body.unfiltered);
  x->down.from = (struct source){.in = &x->body.unfiltered};
}

void transfer_give_up_peer(struct exchange *x) {
  relay_stop(&x->now.up);
  x->now.call->codec->cut(x->now.call);
  if (x->down.active) keep_rest_of_response(x);
  attempt_end(x, false);
  if (x->down.active) read_away(x);
  deadline_watch(x);
  if (!x->down.active) exchange_run(x);
}

void transfer_stop_sending(struct exchange *x) {
  relay_stop(&x->now.up);
  read_away(x);
  deadline_watch(x);
}

void exchange_hasten(struct exchange *x) {
  if (x->now.call && is_sending(x) && transfer_peer_has_answered(x)) transfer_give_up_peer(x);
}

void transfer_end_tunnel(struct exchange *x) {
  relay_stop(&x->now.up);
  relay_stop(&x->down);
  x->up_state = x->down_state = TRANSFER_OFF;
  exchange_run(x);
}

/* --- up: request body to the peer ----------------------------------------------------------------------- */

static void up_done(struct exchange *x) {
  x->up_state = TRANSFER_OFF;
  if (x->body.on_body) return;
  x->now.times.request_sent = loop_now_ms(x->proxy->loop);
  deadline_request_sent(x);
  if (x->tunnel && x->now.call) sink_shut(&x->now.up.to);
  end_peer_part(x);
}

/* The peer takes no more, which is no failure yet: it may have answered already, or said last words in a
 * tunnel. What it sent decides. */
static void up_refused(struct exchange *x) {
  x->up_state = TRANSFER_OFF;
  x->now.readable = true;
  relay_stop(&x->now.up);
  source_want(&x->now.up.from, false);
  end_peer_part(x);
}

static void client_ended(struct exchange *x, enum relay_result result) {
  if (result == RELAY_TRUNCATED && !x->tunnel)
    exchange_fail(x, ERROR_REQUEST_TRUNCATED);
  else
    stream_reset(x->stream, ERROR_CLIENT_GONE);
}

void transfer_up(struct exchange *x) {
  CHECK_OBJ(x, EXCHANGE_MAGIC);
  if (reads_away(x)) {
    read_on(x);
    return;
  }
  enum relay_result result = relay_pump(&x->now.up);
  if (result == RELAY_DONE && is_before_tunnel(x)) {
    begin_tunnel_up(x);
    result = relay_pump(&x->now.up);
  }
  switch (result) {
  case RELAY_READING: x->up_state = TRANSFER_READS; break;
  case RELAY_WRITING: x->up_state = TRANSFER_WRITES; break;
  case RELAY_FILTERING: x->up_state = TRANSFER_FILTERS; break;
  case RELAY_DONE: up_done(x); break;
  case RELAY_SINK_ERROR: up_refused(x); break;
  case RELAY_MALFORMED: exchange_fail(x, ERROR_BAD_CHUNK); return;
  case RELAY_TOO_LARGE: exchange_fail(x, ERROR_BODY_TOO_LARGE); return;
  case RELAY_FILTER_FAILED: filter_fail(x, &x->now.up); return;
  case RELAY_UNSAFE: exchange_fail_because(x, ERROR_UNSAFE_HEAD, "trailers of the request"); return;
  case RELAY_TRUNCATED:
  case RELAY_SOURCE_ERROR: client_ended(x, result); return;
  }
  if (result == RELAY_DONE && x->body.on_body) {
    if (!x->down.active) request_body_done(x); /* else the 100 is still on its way */
    return;
  }
  bool is_watched_next = !x->now.up.active && x->step <= STEP_read_response; /* which waits for the head */
  if (!is_watched_next) deadline_watch(x);
  if (!x->now.up.active) exchange_run(x);
}

/* --- down: response body to the client ------------------------------------------------------------------ */

static void down_done(struct exchange *x) {
  x->down_state = TRANSFER_OFF;
  if (x->tunnel && x->stream) sink_shut(&x->down.to);
}

void transfer_down(struct exchange *x) {
  CHECK_OBJ(x, EXCHANGE_MAGIC);
  CHECK(x->stream);
  enum relay_result result = relay_pump(&x->down);
  switch (result) {
  case RELAY_READING: x->down_state = TRANSFER_READS; break;
  case RELAY_WRITING: x->down_state = TRANSFER_WRITES; break;
  case RELAY_FILTERING: x->down_state = TRANSFER_FILTERS; break;
  case RELAY_DONE: down_done(x); break;
  case RELAY_SINK_ERROR: stream_reset(x->stream, ERROR_CLIENT_GONE); return;
  case RELAY_FILTER_FAILED: filter_fail(x, &x->down); return;
  case RELAY_UNSAFE: exchange_fail_because(x, ERROR_UNSAFE_HEAD, "trailers of the response"); return;
  case RELAY_MALFORMED:
    respond_forget_unsent(x);
    exchange_fail_because(x, ERROR_BAD_RESPONSE, "broken chunks");
    return;
  case RELAY_TOO_LARGE:
  case RELAY_TRUNCATED:
  case RELAY_SOURCE_ERROR:
    if (!x->tunnel) {
      bool broke = result == RELAY_SOURCE_ERROR && x->now.call;
      enum error error = ERROR_RESPONSE_TRUNCATED;
      const char *why = broke ? x->now.call->codec->why(x->now.call, &error) : NULL;
      exchange_fail_because(x, error, x->answer && x->answer->is_file ? FILE_BROKE : why);
      return;
    }
    relay_stop(&x->now.up);
    x->up_state = x->down_state = TRANSFER_OFF;
    break;
  }
  end_peer_part(x);
  bool is_stuck = result == RELAY_WRITING && x->sent.status && !x->now.up.active;
  if (is_stuck) read_away(x);
  if (!x->down.active && reads_away(x)) relay_stop(&x->now.up); /* the stream goes on */
  bool is_over = !x->down.active && !x->now.up.active && !timer_is_set(&x->stream->timer);
  if (!is_over) deadline_watch(x);
  if (x->body.on_body && !x->now.up.active)
    request_body_done(x);
  else if (!x->down.active)
    exchange_run(x);
}

bool transfer_is_done(const struct exchange *x) { return !x->down.active && !x->now.up.active; }

/* --- events --------------------------------------------------------------------------------------------- */

bool exchange_gives_up(const struct exchange *x) {
  bool is_written = streamed_answer_runs(x) && !transfer_has_answered(x);
  if (x->tunnel || (x->sent.status && !is_written)) return false;
  switch (x->settings->abort_on_close) {
  case ABORT_IN_HOOKS: return is_written || x->hook_state == HOOK_WAITING;
  case ABORT_ALWAYS: return true;
  case ABORT_NEVER: break;
  }
  return false;
}

bool exchange_stream_readable(struct exchange *x) {
  if (x->body.on_body)
    request_body_pump(x);
  else if (x->now.up.active && (is_body_step(x) || reads_away(x)))
    transfer_up(x);
  else
    return false;
  return true;
}

bool exchange_stream_writable(struct exchange *x) {
  if (!x->down.active) return false;
  transfer_down(x);
  return true;
}

bool exchange_call_readable(struct exchange *x) {
  if (waits_for_head(x)) {
    x->now.readable = true;
    exchange_run(x);
    return true;
  }
  if (x->down.active && source_has_more(&x->down.from)) {
    transfer_down(x);
    return true;
  }
  if (x->step < STEP_send_request) x->now.readable = true;
  return false;
}

bool exchange_call_writable(struct exchange *x) {
  if (!x->now.up.active || !is_body_step(x)) return false;
  transfer_up(x);
  return true;
}
