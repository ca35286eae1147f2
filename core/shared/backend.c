// SPDX-License-Identifier: Apache-2.0
// backend: the counters of one backend. The hard problem is to keep two numbers that belong together without a lock:
// an average and its time, or two counts and their window. Both halves are in one atomic word, which is replaced as a
// whole.
#include "shared/backend.h"

#include <math.h>

#include "base/log.h"
#include "base/memory.h"

static const double DECAY_MS = 10000;

/* --- rules ------------------------------------------------------------------------------------------- */

const struct backend_rules backend_rules_default = {
    .failures = 5,
    .window_ms = 10000,
    .min_requests = 20,
    .eject_ms = 10000,
    .eject_most_ms = 300000,
    .eject_percent = 50,
    .retry_percent = 50,
    .retry_min = 10,
    .retry_on = RETRY_ON_FAILURE | 1u << RETRY_BIT_500 | 1u << RETRY_BIT_502 | 1u << RETRY_BIT_503 |
                1u << RETRY_BIT_504,
};

unsigned backend_retry_on(unsigned status) {
  switch (status) {
#define X(number)                                                                                            \
  case number: return 1u << RETRY_BIT_##number;
    RETRY_STATUS_TABLE(X)
#undef X
  }
  return 0;
}

/* 501 and 505 say that the method or the version of the request is not known. */
bool backend_status_is_failure(unsigned status) { return status >= 500 && status != 501 && status != 505; }

/* --- life -------------------------------------------------------------------------------------------- */

struct backend *backend_new(struct str address, uint64_t hash) {
  struct backend *b = memory_zalloc(sizeof *b + address.len);
  if (address.len) memcpy(b + 1, address.ptr, address.len);
  b->address = (struct str){(const char *)(b + 1), address.len};
  b->hash = hash;
  atomic_init(&b->healthy, true);
  return b;
}

#define GET(member)        atomic_load_explicit(&(member), memory_order_relaxed)
#define SET(member, value) atomic_store_explicit(&(member), (value), memory_order_relaxed)

/* --- standing ---------------------------------------------------------------------------------------- */

bool backend_set_healthy(struct backend *b, bool healthy, uint64_t now_ms) {
  bool was_checked = atomic_exchange_explicit(&b->checked, true, memory_order_relaxed);
  bool changed = atomic_exchange_explicit(&b->healthy, healthy, memory_order_relaxed) != healthy;
  if (changed && healthy && was_checked) SET(b->returned_ms, now_ms);
  return changed;
}

void backend_set_enabled(struct backend *b, bool enabled) {
  if (enabled)
    atomic_fetch_and_explicit(&b->off, ~(unsigned)BACKEND_OFF_BY_POLICY, memory_order_relaxed);
  else
    atomic_fetch_or_explicit(&b->off, BACKEND_OFF_BY_POLICY, memory_order_relaxed);
}

bool backend_take_order(struct backend *b, struct order order, uint64_t now_ms) {
  unsigned wanted = 0, old = GET(b->off), fresh;
  if (order.use == ORDER_DRAIN) wanted = BACKEND_DRAINED;
  if (order.use == ORDER_DISABLE) wanted = BACKEND_DISABLED;
  do fresh = (old & BACKEND_OFF_BY_POLICY) | wanted;
  while (!atomic_compare_exchange_weak(&b->off, &old, fresh));
  if (old && !fresh) SET(b->returned_ms, now_ms);
  return atomic_exchange_explicit(&b->ordered_weight, order.weight, memory_order_relaxed) != order.weight;
}

bool backend_is_ejected(const struct backend *b, uint64_t now_ms) {
  return GET(b->ejected_until_ms) > now_ms;
}

/* The first worker that finds that the time is over ends it, and notes when. */
static bool serves_ejection(struct backend *b, uint64_t now_ms) {
  uint64_t until_ms = GET(b->ejected_until_ms);
  if (until_ms == 0) return false;
  if (until_ms > now_ms) return true;
  if (!atomic_compare_exchange_strong(&b->ejected_until_ms, &until_ms, 0)) return false;
  SET(b->returned_ms, now_ms);
  log_about(LOG_INFO, b->address, "backend %.*s is used again after its ejection", STR_ARG(b->address));
  return false;
}

bool backend_is_fit(struct backend *b, uint64_t now_ms) {
  return GET(b->healthy) && !serves_ejection(b, now_ms);
}

bool backend_is_full(const struct backend *b, const struct backend_rules *rules) {
  return (rules->max_in_flight && GET(b->in_flight) >= rules->max_in_flight) ||
         (rules->max_pending && GET(b->pending) >= rules->max_pending);
}

enum backend_standing backend_standing(struct backend *b, const struct backend_rules *rules,
                                       uint64_t now_ms) {
  if (!backend_is_fit(b, now_ms)) return BACKEND_UNFIT;
  if (backend_is_full(b, rules)) return BACKEND_FULL;
  return backend_ramp(b, rules, now_ms) < 1 ? BACKEND_RAMPING : BACKEND_FIT;
}

double backend_ramp(const struct backend *b, const struct backend_rules *rules, uint64_t now_ms) {
  uint64_t returned_ms = GET(b->returned_ms);
  if (!rules->slow_start_ms || returned_ms == 0) return 1;
  uint64_t back_ms = now_ms > returned_ms ? now_ms - returned_ms : 0;
  if (back_ms >= rules->slow_start_ms) return 1;
  double share = (double)back_ms / rules->slow_start_ms;
  return share < 0.05 ? 0.05 : share; /* or nothing would ever warm it up */
}

/* --- latency ----------------------------------------------------------------------------------------- */

/* Upper half: ms, modulo 2^32. Lower half: a float, in µs. */
static uint64_t pack_latency(double us, uint64_t now_ms) {
  float value = (float)us;
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return now_ms << 32 | bits;
}

static double decayed(uint64_t packed, uint64_t now_ms, double *fading) {
  uint32_t bits = (uint32_t)packed;
  float value;
  memcpy(&value, &bits, sizeof value);
  int32_t passed_ms = (int32_t)((uint32_t)now_ms - (uint32_t)(packed >> 32));
  *fading = passed_ms > 0 ? exp(-passed_ms / DECAY_MS) : 1;
  return (double)value * *fading;
}

void backend_observe(struct backend *b, double latency_us, uint64_t now_ms) {
  uint64_t old = GET(b->latency), fresh;
  do {
    double fading = 1, average = decayed(old, now_ms, &fading);
    average = latency_us > average ? latency_us : average + latency_us * (1 - fading);
    fresh = pack_latency(average, now_ms);
  } while (!atomic_compare_exchange_weak(&b->latency, &old, fresh));
}

double backend_latency_us(const struct backend *b, uint64_t now_ms) {
  double fading;
  return decayed(GET(b->latency), now_ms, &fading);
}

/* --- results ----------------------------------------------------------------------------------------- */

/* The window's number in the upper half, then 16 bits each for requests and errors. */
struct window {
  uint32_t number;
  unsigned requests, errors;
};

static struct window unpack_window(uint64_t packed) {
  return (struct window){(uint32_t)(packed >> 32), (unsigned)(packed >> 16) & 0xffff, packed & 0xffff};
}

static uint64_t pack_window(struct window w) {
  return (uint64_t)w.number << 32 | (uint64_t)w.requests << 16 | w.errors;
}

static struct window count(struct backend *b, const struct backend_rules *rules, bool failed,
                           uint64_t now_ms) {
  uint64_t old = GET(b->window);
  struct window w;
  do {
    w = unpack_window(old);
    uint32_t number = (uint32_t)(now_ms / rules->window_ms);
    if (w.number != number) w = (struct window){number, 0, 0};
    if (w.requests == 0xffff) w = (struct window){number, w.requests / 2, w.errors / 2};
    w.requests++;
    w.errors += failed;
  } while (!atomic_compare_exchange_weak(&b->window, &old, pack_window(w)));
  return w;
}

const char *backend_report(struct backend *b, const struct backend_rules *rules, bool failed,
                           uint64_t now_ms) {
  unsigned in_row = 0;
  if (failed)
    in_row = atomic_fetch_add_explicit(&b->failures, 1, memory_order_relaxed) + 1;
  else if (GET(b->failures))
    SET(b->failures, 0);
  if (rules->error_percent && rules->window_ms) {
    struct window w = count(b, rules, failed, now_ms);
    if (failed && w.requests >= rules->min_requests &&
        w.errors * 100ull >= (uint64_t)w.requests * rules->error_percent)
      return "too many errors in its window";
  }
  return rules->failures && in_row >= rules->failures ? "too many failures in a row" : NULL;
}

/* The time doubles while ejections follow each other; after a good time as long as the longest ejection it is
 * the first again. */
void backend_eject(struct backend *b, const struct backend_rules *rules, uint64_t now_ms) {
  uint64_t returned_ms = GET(b->returned_ms);
  unsigned before = GET(b->ejections);
  if (now_ms > returned_ms + rules->eject_most_ms) before = 0;
  uint64_t ms = (uint64_t)rules->eject_ms << (before < 20 ? before : 20);
  if (ms > rules->eject_most_ms) ms = rules->eject_most_ms;
  SET(b->ejections, before + 1);
  SET(b->failures, 0);
  SET(b->window, 0);
  SET(b->ejected_until_ms, now_ms + ms);
}
