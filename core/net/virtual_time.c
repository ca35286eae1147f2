// SPDX-License-Identifier: Apache-2.0
// virtual_time: the timers that are set, in an array that is searched for the next one, since tests have few.
#include "net/virtual_time.h"

#include <stdlib.h>

#include "base/memory.h"
#include "net/timer.h"

struct virtual_time virtual_time;

static struct {
  struct timer **items; /* owned array of borrowed */
  unsigned count, cap;
} timers;

static uint64_t now_ms(const struct clock *self) {
  (void)self;
  return virtual_time.now_ms;
}
const struct clock clock_virtual = {now_ms};

void virtual_time_begin(uint64_t now) { virtual_time = (struct virtual_time){.on = true, .now_ms = now}; }

void virtual_time_add(struct timer *timer) {
  virtual_time_remove(timer);
  if (timers.count == timers.cap) {
    timers.cap = timers.cap ? timers.cap * 2 : 64;
    timers.items = memory_realloc(timers.items, timers.cap * sizeof *timers.items);
  }
  timers.items[timers.count++] = timer;
}

/* The order of the others stays: of those due at one time, the first that was set fires first. */
void virtual_time_remove(struct timer *timer) {
  unsigned kept = 0;
  for (unsigned i = 0; i < timers.count; i++)
    if (timers.items[i] != timer) timers.items[kept++] = timers.items[i];
  timers.count = kept;
  if (kept > 0) return;
  free(timers.items);
  timers.items = NULL;
  timers.cap = 0;
}

static uint64_t due_ms(const struct timer *timer) { return (uint64_t)(timer->due * 1000.0 + 0.5); }

static struct timer *next_due(void) {
  struct timer *next = NULL;
  for (unsigned i = 0; i < timers.count; i++) {
    struct timer *timer = timers.items[i];
    if (timer_is_set(timer) && (!next || due_ms(timer) < due_ms(next))) next = timer;
  }
  return next;
}

uint64_t virtual_time_left_ms(void) {
  const struct timer *next = next_due();
  if (!next) return UINT64_MAX;
  return due_ms(next) > virtual_time.now_ms ? due_ms(next) - virtual_time.now_ms : 0;
}

void virtual_time_advance(uint64_t ms) {
  uint64_t end = virtual_time.now_ms + ms;
  for (struct timer *timer; (timer = next_due()) && due_ms(timer) <= end;) {
    if (due_ms(timer) > virtual_time.now_ms) virtual_time.now_ms = due_ms(timer);
    virtual_time_remove(timer);
    timer->due = 0;
    timer->on_due(timer);
  }
  virtual_time.now_ms = end;
}
