// SPDX-License-Identifier: Apache-2.0
// deadline: the table of waits, and how an exchange's state sets its two clocks. The hard problem is that both
// directions move at the same time, and a slow side also stops the other one: so a side is blamed only if nothing
// else stops it.
#include "exchange/deadline.h"

#include <stddef.h>

#include "base/check.h"
#include "base/error.h"
#include "exchange/call.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/stream.h"
#include "exchange/streamed_answer.h"
#include "exchange/upload.h"
#include "exchange/walk.h"
#include "net/timer.h"

enum {
  HEADS_MOST = 3, /* first_byte_timeouts, for a head with all its interim responses */
  LEFTOVER_MS =
      50, /* a peer that has answered takes LEFTOVER_BYTES of the rest in this time, or none of it */
  LEFTOVER_BYTES = 65536, /* also what a kernel may hold back before it says that there is room again */
  REST_PAUSE_MS = 2000,
  LOOK_MS = 1
};

/* --- the table -------------------------------------------------------------------------------------------- */

enum owes { OWES_NOBODY, OWES_CLIENT, OWES_PEER, OWES_EITHER, OWES_POLICY, OWES_RESOLVER };
enum time_of { NO_TIME, OF_LISTENER, OF_PEER, FIXED };

struct wait_info {
  enum owes owes;
  enum time_of time_of;
  size_t time; /* ms, or where in struct settings or struct peer_options */
  enum error error;
};

#define LISTENER(member) OF_LISTENER, offsetof(struct settings, member)
#define PEER(member)     OF_PEER, offsetof(struct peer_options, member)
#define MS(ms)           FIXED, ms

/* Errors: what an exchange fails with when the time is over. NONE: the connection just ends, or what is said
 * behind it. */
static const struct wait_info table[WAIT_COUNT] = {
    [WAIT_NOTHING] = {OWES_NOBODY, NO_TIME, 0, ERROR_NONE},
    [WAIT_POLICY] = {OWES_POLICY, NO_TIME, 0, ERROR_NONE},
    [WAIT_PREFACE] = {OWES_CLIENT, LISTENER(head_timeout_ms), ERROR_NONE},
    [WAIT_HANDSHAKE] = {OWES_CLIENT, LISTENER(handshake_timeout_ms), ERROR_NONE},
    [WAIT_FIRST] = {OWES_CLIENT, LISTENER(head_timeout_ms), ERROR_NONE},
    [WAIT_NEXT] = {OWES_CLIENT, LISTENER(keepalive_timeout_ms), ERROR_NONE},
    [WAIT_LAST] = {OWES_CLIENT, MS(LAST_REQUEST_MS), ERROR_NONE},
    [WAIT_REQUEST_HEAD] = {OWES_CLIENT, LISTENER(head_timeout_ms), ERROR_REQUEST_TIMEOUT},
    [WAIT_ANSWER_TAKEN] = {OWES_CLIENT, LISTENER(send_timeout_ms), ERROR_NONE},
    [WAIT_REST] = {OWES_CLIENT, MS(REST_PAUSE_MS), ERROR_NONE},
    [WAIT_REQUEST_BODY] = {OWES_CLIENT, LISTENER(body_timeout_ms), ERROR_BODY_TIMEOUT},
    [WAIT_RESPONSE_TAKEN] = {OWES_CLIENT, LISTENER(send_timeout_ms), ERROR_CLIENT_STALLED},
    [WAIT_ROOM] = {OWES_NOBODY, NO_TIME, 0, ERROR_NONE},    /* for as long as a connection may take */
    [WAIT_SIBLING] = {OWES_NOBODY, NO_TIME, 0, ERROR_NONE}, /* then it connects itself */
    [WAIT_NAME] = {OWES_RESOLVER, PEER(connect_timeout_ms), ERROR_CONNECT_TIMEOUT},
    [WAIT_CONNECTION] = {OWES_PEER, PEER(connect_timeout_ms), ERROR_CONNECT_TIMEOUT},
    [WAIT_PEER_HANDSHAKE] = {OWES_PEER, PEER(handshake_timeout_ms), ERROR_TLS_TIMEOUT},
    [WAIT_REQUEST_TAKEN] = {OWES_PEER, PEER(send_timeout_ms), ERROR_UPSTREAM_SEND_TIMEOUT},
    [WAIT_LEFTOVER_TAKEN] = {OWES_PEER, MS(LEFTOVER_MS), ERROR_NONE}, /* it is given up */
    [WAIT_GO_AHEAD] = {OWES_PEER, PEER(first_byte_timeout_ms), ERROR_FIRST_BYTE_TIMEOUT},
    [WAIT_RESPONSE_HEAD] = {OWES_PEER, PEER(first_byte_timeout_ms), ERROR_FIRST_BYTE_TIMEOUT},
    [WAIT_RESPONSE_BODY] = {OWES_PEER, PEER(read_timeout_ms), ERROR_READ_TIMEOUT},
    [WAIT_TUNNEL] = {OWES_EITHER, LISTENER(tunnel_timeout_ms), ERROR_NONE}, /* an idle one just ends */
};

static enum owes wait_owes(enum wait wait) { return table[wait].owes; }

static unsigned time_of(enum wait wait, const struct settings *settings, const struct peer_options *options) {
  const struct wait_info *info = &table[wait];
  const void *from = info->time_of == OF_PEER ? (const void *)options : settings;
  if (info->time_of == FIXED) return (unsigned)info->time;
  CHECK(info->time_of != NO_TIME && from);
  return *(const unsigned *)((const char *)from + info->time);
}

unsigned wait_ms(enum wait wait, const struct settings *settings) { return time_of(wait, settings, NULL); }

static unsigned peer_ms(const struct exchange *x, enum wait wait) {
  return time_of(wait, x->settings, &x->now.peer->options);
}

/* --- from the state to the wait --------------------------------------------------------------------------- */

/* A hook that reads the body waits for the client. */
static bool policy_is_awaited(const struct exchange *x) {
  if (x->up_state == TRANSFER_FILTERS || x->down_state == TRANSFER_FILTERS) return true;
  if (x->down_state == TRANSFER_READS && streamed_answer_runs(x)) return true;
  return x->hook_state == HOOK_WAITING && !x->body.on_body;
}

/* A client that expects a 100 (Continue) owes its body once that was sent, or once it has begun the body without
 * it. */
static bool client_was_asked(const struct exchange *x) {
  return !x->request.expects_continue || x->sent.continued || x->now.up.received || x->now.up.bytes;
}

static enum wait client_wait(const struct exchange *x) {
  if (x->tunnel) return WAIT_NOTHING; /* the peer's clock is that of both */
  if (policy_is_awaited(x)) return WAIT_POLICY;
  if (x->down_state == TRANSFER_WRITES) return WAIT_RESPONSE_TAKEN;
  return x->up_state == TRANSFER_READS && client_was_asked(x) ? WAIT_REQUEST_BODY : WAIT_NOTHING;
}

/* A peer whose response the client does not take may itself wait for us before it takes more of the request. */
static enum wait peer_wait(const struct exchange *x) {
  const struct call *call = x->now.call;
  if (!call) return WAIT_NOTHING;
  if (!call->is_ready) return call_awaits(call);
  if (x->tunnel) return WAIT_TUNNEL;
  if (policy_is_awaited(x)) return WAIT_POLICY;
  if (x->up_state == TRANSFER_WRITES && (transfer_peer_has_answered(x) || x->sent.status >= 400))
    return WAIT_LEFTOVER_TAKEN;
  if (x->down_state == TRANSFER_WRITES) return WAIT_NOTHING;
  if (x->up_state == TRANSFER_WRITES) return WAIT_REQUEST_TAKEN;
  bool client_sends = x->up_state == TRANSFER_READS;
  if (client_sends && client_was_asked(x)) return WAIT_NOTHING;
  if (x->step == STEP_read_response) return client_sends ? WAIT_GO_AHEAD : WAIT_RESPONSE_HEAD;
  return x->down_state == TRANSFER_READS ? WAIT_RESPONSE_BODY : WAIT_NOTHING;
}

/* --- the clocks ------------------------------------------------------------------------------------------- */

static void run_clock(struct clock_hand *hand, struct timer *timer, enum wait wait, uint64_t mark,
                      unsigned ms) {
  if (hand->wait == wait && hand->mark == mark && timer_is_set(timer)) return;
  *hand = (struct clock_hand){.wait = (unsigned char)wait, .mark = mark};
  timer_set(timer, ms);
}

static void stop_clock(struct clock_hand *hand, struct timer *timer, enum wait wait) {
  hand->wait = (unsigned char)wait;
  timer_clear(timer);
}

/* What the client has really taken: written, less what the kernel still holds. */
static uint64_t taken(const struct exchange *x) {
  return x->down.written - x->stream->codec->unsent(x->stream);
}

/* Kernels open a full window again in steps, however steadily it is read: the rate is that over a longer time. */
static unsigned rate_window_ms(const struct settings *settings) {
  uint64_t ms = (uint64_t)LEFTOVER_BYTES * 1000 / settings->min_send_rate;
  if (ms > settings->send_timeout_ms) ms = settings->send_timeout_ms;
  return ms < 1000 ? 1000 : (unsigned)ms;
}

/* A window of the least rate, which later writes do not move. */
static void watch_rate(struct exchange *x) {
  struct clock_hand *hand = &x->clock;
  struct timer *timer = &x->stream->timer;
  if (hand->wait == WAIT_RESPONSE_TAKEN && timer_is_set(timer)) return;
  *hand = (struct clock_hand){.wait = WAIT_RESPONSE_TAKEN, .mark = taken(x)};
  timer_set(timer, rate_window_ms(x->settings));
}

static void watch_client(struct exchange *x) {
  struct clock_hand *hand = &x->clock;
  struct timer *timer = &x->stream->timer;
  enum wait wait = client_wait(x);
  if (x->upload.runs && wait != WAIT_REQUEST_BODY) upload_pause(x);
  if (wait_owes(wait) != OWES_CLIENT)
    stop_clock(hand, timer, wait);
  else if (wait == WAIT_RESPONSE_TAKEN && x->settings->min_send_rate)
    watch_rate(x);
  else if (wait == WAIT_RESPONSE_TAKEN)
    run_clock(hand, timer, wait, x->down.written, wait_ms(wait, x->settings) / 2);
  else /* the client may wait for more of the response before it sends more of the request */
    run_clock(hand, timer, wait, x->now.up.received + x->down.written, upload_wait_ms(x));
}

/* The whole head has one deadline, which its single bytes do not move. */
static void watch_head(struct exchange *x, enum wait wait) {
  struct attempt *a = &x->now;
  uint64_t now = loop_now_ms(x->proxy->loop);
  unsigned ms = peer_ms(x, wait);
  if (!a->heads_until_ms) a->heads_until_ms = now + (uint64_t)ms * HEADS_MOST;
  if (!a->head_due_ms) {
    a->head_due_ms = now + ms < a->heads_until_ms ? now + ms : a->heads_until_ms;
    hedge_wait(x);
  }
  uint64_t due_ms = a->head_due_ms;
  if (a->hedge_due_ms && a->hedge_due_ms < due_ms) due_ms = a->hedge_due_ms;
  run_clock(&a->clock, &a->call->timer, wait, due_ms, due_ms > now ? (unsigned)(due_ms - now) : 0);
}

static void watch_peer(struct exchange *x) {
  struct clock_hand *hand = &x->now.clock;
  struct timer *timer = &x->now.call->timer;
  enum wait wait = peer_wait(x);
  uint64_t moved = x->now.up.received + x->down.received;
  if (wait == WAIT_GO_AHEAD || wait == WAIT_RESPONSE_HEAD)
    watch_head(x, wait);
  else if (wait == WAIT_RESPONSE_BODY || wait == WAIT_TUNNEL)
    run_clock(hand, timer, wait, moved, peer_ms(x, wait));
  else if (wait == WAIT_REQUEST_TAKEN)
    run_clock(hand, timer, wait, x->now.up.written, peer_ms(x, wait) / 2);
  else if (wait == WAIT_LEFTOVER_TAKEN) /* one window; progress does not move it */
    run_clock(hand, timer, wait, hand->wait == wait ? hand->mark : x->now.up.written, peer_ms(x, wait));
  else if (x->now.call->is_ready)
    stop_clock(hand, timer, wait);
}

void deadline_watch(struct exchange *x) {
  if (x->stream) watch_client(x);
  if (x->now.call) watch_peer(x);
}

void deadline_head_came(struct exchange *x) { x->now.head_due_ms = 0; }

void deadline_request_sent(struct exchange *x) { x->now.head_due_ms = x->now.heads_until_ms = 0; }

/* --- the end of a time ------------------------------------------------------------------------------------ */

/* Something has come that the loop did not tell yet. */
static bool has_come(bool is_ready, struct timer *timer) {
  if (is_ready) timer_set(timer, LOOK_MS);
  return is_ready;
}

static bool client_has_come(struct exchange *x) {
  return has_come(x->stream->codec->is_ready(x->stream), &x->stream->timer);
}

/* A steady reader may leave a full socket full for long: what counts is what its kernel takes. Called twice in each
 * timeout; true: it has taken something, or it is too early to say. */
static bool is_taking(struct clock_hand *hand, uint64_t held) {
  bool progress = hand->looks && held < hand->held;
  hand->held = held;
  hand->looks = progress ? 1 : hand->looks + 1;
  return hand->looks < 3;
}

static bool client_is_taking(struct exchange *x) {
  struct clock_hand *hand = &x->clock;
  struct timer *timer = &x->stream->timer;
  uint64_t rate = x->settings->min_send_rate, window_ms = rate ? rate_window_ms(x->settings) : 0;
  if (rate && (taken(x) - hand->mark) * 1000 < rate * window_ms) return false;
  if (rate) {
    watch_rate(x); /* its time is over, so this is the next window */
    return true;
  }
  if (!is_taking(hand, x->stream->codec->unsent(x->stream))) return false;
  timer_set(timer, wait_ms(WAIT_RESPONSE_TAKEN, x->settings) / 2);
  return true;
}

static bool peer_is_taking(struct exchange *x) {
  if (!is_taking(&x->now.clock, x->now.call->codec->unsent(x->now.call))) return false;
  timer_set(&x->now.call->timer, peer_ms(x, WAIT_REQUEST_TAKEN) / 2);
  return true;
}

void exchange_stream_due(struct exchange *x) {
  enum wait wait = x->clock.wait;
  if (wait_owes(wait) != OWES_CLIENT) return;
  if (wait == WAIT_RESPONSE_TAKEN) {
    if (!client_is_taking(x)) stream_reset(x->stream, table[wait].error);
  } else if (upload_is_over(x) || !client_has_come(x)) {
    if (!request_body_paused(x)) exchange_fail_because(x, table[wait].error, upload_why(x));
  }
}

static void leftover_due(struct exchange *x) {
  struct clock_hand *hand = &x->now.clock;
  if (x->now.up.written - hand->mark < LEFTOVER_BYTES) {
    if (transfer_peer_has_answered(x))
      transfer_give_up_peer(x);
    else
      transfer_stop_sending(x); /* it refuses, at length */
    return;
  }
  hand->wait = WAIT_NOTHING;
  deadline_watch(x);
}

void exchange_call_due(struct exchange *x) {
  enum wait wait = x->now.clock.wait;
  struct call *call = x->now.call;
  if (hedge_is_due(x)) {
    hedge_begin(x);
    return;
  }
  if (wait == WAIT_LEFTOVER_TAKEN) {
    leftover_due(x);
    return;
  }
  if (wait_owes(wait) != OWES_PEER && wait_owes(wait) != OWES_EITHER) return;
  if (wait == WAIT_REQUEST_TAKEN ? peer_is_taking(x) : has_come(call->codec->is_ready(call), &call->timer))
    return;
  if (wait == WAIT_TUNNEL)
    transfer_end_tunnel(x);
  else if (wait == WAIT_REQUEST_TAKEN && x->sent.status)
    transfer_stop_sending(x);
  else
    exchange_fail(x, table[wait].error);
}
