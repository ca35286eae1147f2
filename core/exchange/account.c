// SPDX-License-Identifier: Apache-2.0
// account: adds to the worker's tally and to the listener's traffic.
#include "exchange/account.h"

#include "exchange/access_log.h"
#include "exchange/call.h"
#include "exchange/exchange.h"
#include "exchange/live_trace.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/settings.h"
#include "exchange/stream.h"
#include "net/timer.h"
#include "shared/metrics.h"

_Static_assert((int)HOOK_COUNT <= (int)TALLY_HOOKS, "each hook has a place in the tally");

enum { LONG_US = 1001 }; /* of a hook: the clocks of its turn would be wrong by that */

void account_begin(struct exchange *x, struct traffic *traffic) {
  x->account.traffic = traffic;
  x->account.began = ticks_now();
}

void account_upstream(struct exchange *x) {
  struct tally *tally = x->proxy->tally;
  cell_add(x->now.reused ? &tally->upstream_reused : &tally->upstream_opened, 1);
  if (!x->now.reused) x->now.began = ticks_now();
}

static uint64_t us_since(uint64_t begun) { return ticks_to_us(ticks_since(begun)); }

void account_connected(struct exchange *x) {
  histogram_add(&x->proxy->tally->connect, us_since(x->now.began));
}

void account_first_byte(struct exchange *x) {
  x->account.first_byte_us = us_since(x->now.began);
  histogram_add(&x->proxy->tally->first_byte, x->account.first_byte_us);
}

/* The peer itself may be forgotten before the line is written. */
void account_attempt(struct exchange *x) {
  if (!x->settings->access_log) return;
  x->account.peer = arena_dup(&x->arena, x->now.peer->options.address);
  x->account.peer_protocol = (struct str){0};
  if (x->now.call && x->now.connected)
    x->account.peer_protocol = x->now.call->is_http2 ? STR("HTTP/2.0") : STR("HTTP/1.1");
}

void account_failure(struct exchange *x, enum error error) {
  if (!x->is_shadow) cell_add(&x->proxy->tally->failures[error], 1);
}

/* Calls that take no time to speak of are of no interest. */
static void note_slowest(struct exchange *x, enum hook hook, struct hook_tally *tally, uint64_t ticks) {
  cell_set(&tally->slowest, ticks);
  if (ticks_reach(ticks, LONG_US)) x->slow_hook = (unsigned char)(hook + 1);
}

/* One that failed, took long, or is nobody's. */
static __attribute__((cold, noinline)) void account_rare(struct exchange *x, enum hook hook, uint64_t began,
                                                         uint64_t ticks, bool failed) {
  struct hook_tally *tally = &x->proxy->tally->hooks[hook];
  if (ticks_reach(ticks, LONG_US)) loop_update_now(x->proxy->loop); /* what is set next counts from now */
  enum error error = hook == HOOK_upstream_peer ? x->outcome.error : ERROR_SCRIPT;
  /* That no backend may be asked is no error of the hook. */
  bool is_fault = failed && error != ERROR_NO_BACKEND && error != ERROR_OVERLOADED;
  if (is_fault) x->use->tally.script_errors++;
  if (x->is_shadow) return;
  if (x->account.live) live_note_hook(x, hook, began, ticks, failed);
  cell_add(&tally->calls, 1);
  cell_add(&tally->ticks, ticks);
  if (ticks > cell_get(&tally->slowest)) note_slowest(x, hook, tally, ticks);
  if (is_fault) cell_add(&tally->errors, 1);
}

void account_hook(struct exchange *x, enum hook hook, uint64_t began, bool failed) {
  struct hook_tally *tally = &x->proxy->tally->hooks[hook];
  uint64_t ticks = ticks_since(began);
  if (failed || x->is_shadow || ticks > cell_get(&tally->slowest) || ticks_reach(ticks, LONG_US)) {
    account_rare(x, hook, began, ticks, failed);
    return;
  }
  if (__builtin_expect(x->account.live != NULL, false)) live_note_hook(x, hook, began, ticks, failed);
  cell_add(&tally->calls, 1);
  cell_add(&tally->ticks, ticks);
}

/* The client may be gone, and time pass, before the hook logging has ended and the line is written. */
static void note_end(struct exchange *x) {
  x->account.ended_at = time(NULL);
  if (x->stream) x->account.listener = arena_dup(&x->arena, str_of(x->stream->service->address));
}

/* A tunnel lasts as long as its ends want: that is no latency. */
void account_exchange(struct exchange *x) {
  struct traffic *traffic = x->account.traffic;
  unsigned status = x->answer && x->answer->stands_for ? x->answer->stands_for : x->sent.status;
  cell_add(&traffic->statuses[status < TRAFFIC_STATUSES ? status : 0], 1);
  cell_add(&traffic->received, x->account.head_bytes + x->now.up.bytes);
  cell_add(&traffic->sent, x->down.written);
  x->account.duration_us = us_since(x->account.began);
  uint64_t us = x->tunnel ? 0 : x->account.duration_us;
  if (!x->tunnel) {
    histogram_add(&traffic->duration, us);
    coalesce_add(&x->proxy->coalesce, us);
  }
  x->use->tally.exchanges++;
  x->use->tally.server_errors += status >= 500;
  x->use->tally.latency_us += us;
  if (x->settings->access_log) note_end(x);
}

void account_line(struct exchange *x) {
  if (x->settings->access_log) access_log_write(x->settings->access_log, x);
}
