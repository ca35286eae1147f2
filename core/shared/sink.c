// SPDX-License-Identifier: Apache-2.0
// sink: a ring of bytes for each lane, and the thread that empties them. A lane's writer moves `head`, the
// thread moves `tail`, so neither needs a lock. A writer wakes the thread only if it sleeps; the thread
// sleeps only after it has set `asleep` and then found all lanes empty: `asleep` and `head` are sequentially
// consistent, so one of the two sees the other.
#include "shared/sink.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/why.h"
#include "shared/outlet.h"

enum { RING_BYTES = 1 << 18, PATIENCE_MS = 10 };

struct lane {
  _Alignas(64) _Atomic size_t head; /* bytes ever put in: the writer's */
  char *ring;                       /* owned */
  _Alignas(64) _Atomic size_t tail; /* bytes ever taken out: the thread's */
};

struct sink {
  struct outlet outlet;
  unsigned lane_count;
  bool is_patient;
  int wake; /* an eventfd */
  pthread_t thread;
  _Alignas(64) atomic_bool asleep, reopens, finishes, done;
  _Atomic uint64_t dropped, ends_at_ms;
  struct lane lanes[];
};

static void *run(void *sink);

/* --- life ----------------------------------------------------------------------------------------------- */

static int start(struct sink *s) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int code = pthread_create(&s->thread, NULL, run, s);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (code == 0) pthread_setname_np(s->thread, "log");
  return code;
}

static void release(struct sink *s) {
  for (unsigned i = 0; i < s->lane_count; i++) free(s->lanes[i].ring);
  outlet_close(&s->outlet);
  if (s->wake >= 0) close(s->wake);
  free(s);
}

struct sink *sink_open(const char *target, unsigned lanes, bool is_patient, char **why) {
  struct outlet outlet;
  if (!outlet_open(&outlet, target, why)) return NULL;
  struct sink *s = memory_zalloc_lines(sizeof *s + lanes * sizeof s->lanes[0]);
  s->outlet = outlet;
  s->lane_count = lanes;
  s->is_patient = is_patient;
  s->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  int code = s->wake < 0 ? errno : 0;
  for (unsigned i = 0; i < lanes; i++) s->lanes[i].ring = memory_alloc(RING_BYTES);
  if (code == 0) code = start(s);
  if (code == 0) return s;
  why_say(why, "%.300s: cannot start its thread: %s", target, strerror(code));
  release(s);
  return NULL;
}

int sink_file(const struct sink *s) { return s->outlet.kind == OUTLET_FILE ? s->outlet.fd : -1; }
bool sink_is_syslog(const struct sink *s) { return s->outlet.kind == OUTLET_SYSLOG; }
uint64_t sink_dropped(const struct sink *s) { return atomic_load(&s->dropped); }
bool sink_is_done(const struct sink *s) { return atomic_load(&s->done); }

void sink_undo(const struct sink *s) { outlet_undo(&s->outlet); }

static void wake(struct sink *s) {
  uint64_t one = 1;
  ssize_t written = write(s->wake, &one, sizeof one);
  (void)written; /* it is full of wakes already */
}

void sink_reopen(struct sink *s) {
  atomic_store(&s->reopens, true);
  wake(s);
}

void sink_finish(struct sink *s, unsigned ms) {
  atomic_store(&s->ends_at_ms, clock_now_ms(&clock_system) + ms);
  atomic_store(&s->finishes, true);
  wake(s);
}

/* A write that blocks for ever, on a device that cannot be polled, keeps its thread; then that is left behind.
 */
void sink_free(struct sink *s) {
  uint64_t now_ms = clock_now_ms(&clock_system), ends_at_ms = atomic_load(&s->ends_at_ms);
  if (!clock_await(&s->done, (unsigned)(ends_at_ms > now_ms ? ends_at_ms - now_ms : 0) + 100)) return;
  pthread_join(s->thread, NULL);
  release(s);
}

/* --- the writers ---------------------------------------------------------------------------------------- */

static void put(struct lane *lane, size_t at, const char *bytes, size_t length) {
  size_t from = at % RING_BYTES, first = RING_BYTES - from < length ? RING_BYTES - from : length;
  memcpy(lane->ring + from, bytes, first);
  memcpy(lane->ring, bytes + first, length - first);
}

void sink_write(struct sink *s, unsigned number, enum sink_priority priority, const char *line,
                size_t length) {
  struct lane *lane = &s->lanes[number];
  size_t head = atomic_load_explicit(&lane->head, memory_order_relaxed), mark = sink_is_syslog(s);
  size_t used = head - atomic_load_explicit(&lane->tail, memory_order_acquire);
  if (used + mark + length > RING_BYTES) {
    atomic_fetch_add_explicit(&s->dropped, 1, memory_order_relaxed);
    return;
  }
  char digit = (char)('0' + priority);
  if (mark) put(lane, head, &digit, 1);
  put(lane, head + mark, line, length);
  atomic_store(&lane->head, head + mark + length);
  if (atomic_load(&s->asleep) && atomic_exchange(&s->asleep, false)) wake(s);
}

/* --- the thread ----------------------------------------------------------------------------------------- */

static bool is_over(const struct sink *s) {
  return atomic_load(&s->finishes) && clock_now_ms(&clock_system) >= atomic_load(&s->ends_at_ms);
}

static void forget_wakes(struct sink *s) {
  uint64_t count;
  ssize_t got = read(s->wake, &count, sizeof count);
  (void)got;
}

static void reopen(struct sink *s) {
  if (atomic_exchange(&s->reopens, false)) outlet_reopen(&s->outlet);
}

/* The outlet takes nothing now: until it does, or something else is to be done. */
static void await_outlet(struct sink *s) {
  struct pollfd watched[] = {{.fd = s->outlet.fd, .events = POLLOUT}, {.fd = s->wake, .events = POLLIN}};
  poll(watched, 2, atomic_load(&s->finishes) ? 20 : 1000);
  if (watched[1].revents) forget_wakes(s);
  reopen(s);
}

/* What a lane holds goes out as a whole before another's turn: it ends with a line. */
static void empty(struct sink *s, struct lane *lane) {
  size_t tail = atomic_load_explicit(&lane->tail, memory_order_relaxed);
  size_t head = atomic_load_explicit(&lane->head, memory_order_acquire);
  while (tail < head && !is_over(s)) {
    size_t from = tail % RING_BYTES,
           first = RING_BYTES - from < head - tail ? RING_BYTES - from : head - tail;
    struct str parts[] = {{lane->ring + from, first}, {lane->ring, head - tail - first}};
    size_t taken = 0, dropped = 0;
    if (!outlet_write(&s->outlet, parts, &taken, &dropped)) await_outlet(s);
    tail += taken;
    atomic_store_explicit(&lane->tail, tail, memory_order_release);
    if (dropped) atomic_fetch_add(&s->dropped, dropped);
  }
}

static bool is_empty(const struct sink *s) {
  for (unsigned i = 0; i < s->lane_count; i++)
    if (atomic_load(&s->lanes[i].head) != atomic_load(&s->lanes[i].tail)) return false;
  return true;
}

static void await_lines(struct sink *s, int timeout_ms) {
  struct pollfd watched = {.fd = s->wake, .events = POLLIN};
  if (poll(&watched, 1, timeout_ms) > 0) forget_wakes(s);
}

static void sleep_until_woken(struct sink *s) {
  atomic_store(&s->asleep, true);
  if (is_empty(s) && !atomic_load(&s->finishes) && !atomic_load(&s->reopens)) await_lines(s, -1);
  atomic_store(&s->asleep, false);
}

static void *run(void *argument) {
  struct sink *s = argument;
  while (!is_over(s)) {
    bool had_lines = !is_empty(s);
    for (unsigned i = 0; i < s->lane_count; i++) empty(s, &s->lanes[i]);
    reopen(s);
    if (atomic_load(&s->finishes) && is_empty(s)) break;
    if (had_lines && s->is_patient)
      await_lines(s, PATIENCE_MS);
    else if (!had_lines)
      sleep_until_woken(s);
  }
  atomic_store(&s->done, true);
  return NULL;
}
