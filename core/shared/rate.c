// SPDX-License-Identifier: Apache-2.0
// rate: the two windows and their change. The hard problem is that a caller must never combine the start of one
// window with the estimator of the other: both are in one atomic word, which is stored after the next window was
// emptied. A caller that is delayed between reading that word and counting counts in the window in which it
// began; nothing is lost within a window.
#include "shared/rate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"
#include "shared/estimator.h"

struct rate {
  const struct clock *clock; /* borrowed */
  uint64_t started_ms, interval_ms;
  unsigned slots;
  struct estimator *windows[2]; /* owned; red and blue */
  _Atomic uint64_t turned;      /* ms since started_ms at which the current window began, * 2 + its index */
  pthread_mutex_t turning;
};

/* What one call works with: read once, so that it is consistent. */
struct view {
  struct estimator *current, *previous; /* borrowed from rate */
  uint64_t past_ms; /* since the current window began; where this call turned the windows: since the one
                       before did */
};

static struct view turn(struct rate *r, uint64_t now_ms);

struct rate *rate_new(uint64_t interval_ms, unsigned hashes, unsigned slots, const struct clock *clock) {
  struct rate *r = memory_zalloc(sizeof *r);
  r->clock = clock;
  r->started_ms = clock_now_ms(clock);
  r->interval_ms = interval_ms ? interval_ms : 1;
  r->slots = slots;
  for (int i = 0; i < 2; i++) r->windows[i] = estimator_new(hashes, slots);
  pthread_mutex_init(&r->turning, NULL);
  return r;
}

void rate_free(struct rate *r) {
  if (!r) return;
  for (int i = 0; i < 2; i++) estimator_free(r->windows[i]);
  pthread_mutex_destroy(&r->turning);
  free(r);
}

uint64_t rate_interval_ms(const struct rate *r) { return r->interval_ms; }
unsigned rate_slots(const struct rate *r) { return r->slots; }

static struct view view_of(const struct rate *r, uint64_t turned, uint64_t now_ms) {
  uint64_t start_ms = turned >> 1;
  /* Another thread may have turned at a later time than the one this thread has read. */
  uint64_t past_ms = now_ms > start_ms ? now_ms - start_ms : 0;
  return (struct view){r->windows[turned & 1], r->windows[~turned & 1], past_ms};
}

/* The windows as they are now, turned if it is time. */
static struct view look(struct rate *r) {
  uint64_t now_ms = clock_now_ms(r->clock) - r->started_ms;
  struct view view = view_of(r, atomic_load_explicit(&r->turned, memory_order_acquire), now_ms);
  return view.past_ms < r->interval_ms ? view : turn(r, now_ms);
}

static struct view turn(struct rate *r, uint64_t now_ms) {
  pthread_mutex_lock(&r->turning);
  uint64_t turned = atomic_load_explicit(&r->turned, memory_order_relaxed);
  struct view view = view_of(r, turned, now_ms);
  if (view.past_ms >= r->interval_ms) { /* else another thread was first */
    estimator_reset(view.previous);
    if (view.past_ms >= 2 * r->interval_ms) estimator_reset(view.current); /* too old to be the last window */
    atomic_store_explicit(&r->turned, now_ms << 1 | (~turned & 1), memory_order_release);
    view = (struct view){view.previous, view.current, view.past_ms};
  }
  pthread_mutex_unlock(&r->turning);
  return view;
}

int64_t rate_observe(struct rate *r, struct str key, int64_t n) {
  return estimator_add(look(r).current, key, n);
}

static double per_second(const struct rate *r, double count) {
  return count * 1000.0 / (double)r->interval_ms;
}

double rate_per_second(struct rate *r, struct str key) {
  struct view view = look(r); /* where it is too old, the previous window is empty by now */
  return per_second(r, (double)estimator_get(view.previous, key));
}

struct rate_parts rate_parts(struct rate *r, struct str key) {
  struct view view = look(r);
  return (struct rate_parts){.previous = estimator_get(view.previous, key),
                             .current = estimator_get(view.current, key),
                             .fraction = (double)(view.past_ms % r->interval_ms) / (double)r->interval_ms};
}

double rate_proportional(struct rate *r, struct str key) {
  struct rate_parts parts = rate_parts(r, key);
  return per_second(r, (double)parts.previous * (1 - parts.fraction) + (double)parts.current);
}
