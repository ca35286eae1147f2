// SPDX-License-Identifier: Apache-2.0
// lease: begins and ends the counts. in_flight is decreased last: after that the backend may be gone. A retry is
// taken out of the budget while the attempt before it still runs, and given back when the retry itself ends.
#include "shared/lease.h"

#include "base/check.h"

/* What a failure counts for as latency, at least: a backend that fails fast must not draw requests. */
enum { FAILURE_US = 1000000 };

static void end_counts(struct lease *lease, enum lease_outcome outcome, uint64_t now_us);

void lease_begin(struct lease *lease, struct backends_view *view, unsigned index, uint64_t now_us) {
  struct backend *backend = backends_at(view, index);
  if (lease->view) end_counts(lease, LEASE_NEUTRAL, now_us);
  lease->view = backends_view_hold(view);
  lease->backend = backend;
  lease->begun_us = now_us;
  lease->answered_us = 0;
  lease->status = 0;
  lease->is_judged = false;
  lease->pending = true;
  atomic_fetch_add_explicit(&backend->in_flight, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&backend->pending, 1, memory_order_relaxed);
}

void lease_connected(struct lease *lease) {
  if (!lease->view || !lease->pending) return;
  lease->pending = false;
  unsigned pending = atomic_fetch_sub_explicit(&lease->backend->pending, 1, memory_order_relaxed);
  CHECK(pending > 0);
  (void)pending;
}

void lease_answered(struct lease *lease, unsigned status, uint64_t now_us) {
  if (!lease->answered_us) lease->answered_us = now_us;
  lease->status = status;
}

bool lease_judge_failed(struct lease *lease) {
  if (lease->view) lease->is_judged = true;
  return lease->view != NULL;
}

/* An attempt that was given up says only that it would have taken longer. */
static void observe(const struct lease *lease, enum lease_outcome outcome, uint64_t now_us) {
  uint64_t until_us = lease->answered_us ? lease->answered_us : now_us;
  double us = until_us > lease->begun_us ? (double)(until_us - lease->begun_us) : 0;
  uint64_t now_ms = backends_now_ms(lease->view->set);
  if (outcome == LEASE_FAILED && us < FAILURE_US) us = FAILURE_US;
  if (outcome == LEASE_NEUTRAL && us <= backend_latency_us(lease->backend, now_ms)) return;
  backend_observe(lease->backend, us, now_ms);
}

static void end_counts(struct lease *lease, enum lease_outcome outcome, uint64_t now_us) {
  /* Also where the policy ended the exchange because of that answer. */
  if (lease->is_judged || backend_status_is_failure(lease->status)) outcome = LEASE_FAILED;
  lease_connected(lease);
  observe(lease, outcome, now_us);
  if (outcome != LEASE_NEUTRAL) backends_report(lease->view, lease->backend, outcome == LEASE_FAILED);
  unsigned in_flight = atomic_fetch_sub_explicit(&lease->backend->in_flight, 1, memory_order_release);
  CHECK(in_flight > 0);
  (void)in_flight;
  backends_view_release(lease->view);
  lease->view = NULL;
}

static void give_retry(struct lease *lease) {
  backends_give_retry(lease->retry);
  backends_view_release(lease->retry);
  lease->retry = NULL;
}

void lease_end(struct lease *lease, enum lease_outcome outcome, uint64_t now_us) {
  if (lease->view) end_counts(lease, outcome, now_us);
  if (lease->retry && !lease->keeps_retry) give_retry(lease);
  lease->keeps_retry = false;
}

/* Where the backend is ejected by now, it gets no more requests: those that it had go elsewhere once, all at about the
 * same time where it was silent. That is no more work for the others than they would have had without it. */
static bool is_displaced(const struct lease *lease) {
  return !lease->view->rules.retry_all &&
         backend_is_ejected(lease->backend, backends_now_ms(lease->view->set));
}

/* An exchange that goes on retrying keeps the one it has. */
bool lease_take_retry(struct lease *lease) {
  if (!lease->view) return true;
  if (!lease->retry) {
    if (is_displaced(lease)) return true;
    if (!backends_take_retry(lease->view)) return false;
    lease->retry = backends_view_hold(lease->view);
  }
  lease->keeps_retry = true;
  return true;
}

bool lease_take_safe_retry(struct lease *lease) {
  if (lease->retry || (lease->view && lease->view->rules.retry_all)) return lease_take_retry(lease);
  return true;
}

void lease_pass_retry(struct lease *lease, struct lease *next) {
  *next = (struct lease){.retry = lease->retry};
  lease->retry = NULL;
  lease->keeps_retry = false;
}
