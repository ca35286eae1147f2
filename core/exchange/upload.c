// SPDX-License-Identifier: Apache-2.0
// upload: keeps the credit. All times are those of the loop.
#include "exchange/upload.h"

#include "base/check.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "exchange/walk.h"
#include "net/timer.h"

/* Of credit, at least, however short body_timeout is. */
enum { GRACE_MS = 5000 };

static unsigned full(const struct settings *settings) {
  return settings->body_timeout_ms > GRACE_MS ? settings->body_timeout_ms : GRACE_MS;
}

static void spend(struct upload *u, uint64_t now_ms) {
  uint64_t waited_ms = u->runs && now_ms > u->since_ms ? now_ms - u->since_ms : 0;
  u->credit_ms = waited_ms < u->credit_ms ? u->credit_ms - (unsigned)waited_ms : 0;
  u->since_ms = now_ms;
}

/* Another attempt counts its bytes from 0. */
static uint64_t more(uint64_t now, uint64_t before) { return now > before ? now - before : 0; }

static void earn(struct upload *u, const struct exchange *x) {
  const unsigned most_ms = full(x->settings);
  uint64_t rate = x->settings->min_receive_rate, bytes = more(x->now.up.received, u->received);
  uint64_t credit_ms = u->credit_ms + bytes * 1000 / rate;
  if (!u->has_begun || x->down.written != u->written) credit_ms = most_ms;
  u->credit_ms = credit_ms < most_ms ? (unsigned)credit_ms : most_ms;
}

static uint64_t left_of_all(const struct exchange *x) {
  uint64_t now_ms = loop_now_ms(x->proxy->loop), end_ms = x->times.begun + x->settings->upload_timeout_ms;
  return end_ms > now_ms ? end_ms - now_ms : 0;
}

/* Before the peer is asked; with a short body_timeout it is asked in time, too. */
static unsigned pause_ms(const struct settings *settings) {
  unsigned half = settings->body_timeout_ms / 2;
  return settings->await_body_ms < half ? settings->await_body_ms : half;
}

unsigned upload_wait_ms(struct exchange *x) {
  struct upload *u = &x->upload;
  uint64_t wait_ms = x->settings->body_timeout_ms;
  spend(u, loop_now_ms(x->proxy->loop));
  if (x->settings->min_receive_rate) earn(u, x);
  u->received = x->now.up.received;
  u->written = x->down.written;
  u->has_begun = u->runs = true;
  if (x->settings->min_receive_rate && u->credit_ms < wait_ms) wait_ms = u->credit_ms;
  if (request_body_is_awaited(x) && pause_ms(x->settings) < wait_ms) wait_ms = pause_ms(x->settings);
  if (x->settings->upload_timeout_ms && left_of_all(x) < wait_ms) wait_ms = left_of_all(x);
  return (unsigned)wait_ms;
}

void upload_pause(struct exchange *x) {
  struct upload *u = &x->upload;
  CHECK(u->has_begun);
  spend(u, loop_now_ms(x->proxy->loop));
  u->runs = false;
}

bool upload_is_over(const struct exchange *x) {
  return x->settings->upload_timeout_ms && left_of_all(x) == 0;
}

const char *upload_why(const struct exchange *x) {
  const struct upload *u = &x->upload;
  uint64_t now_ms = loop_now_ms(x->proxy->loop);
  if (upload_is_over(x)) return "it takes longer than upload_timeout";
  bool is_slow = x->settings->min_receive_rate && u->runs && now_ms - u->since_ms >= u->credit_ms;
  return is_slow ? "it is slower than min_receive_rate" : NULL;
}
