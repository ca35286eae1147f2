// SPDX-License-Identifier: Apache-2.0
// Units for net/virtual_time, and for timers under it.
#include "net/virtual_time.h"

#include <stddef.h>

#include "base/container.h"
#include "base/list.h"
#include "net/timer.h"
#include "unit.h"

struct event {
  struct timer timer;
  char name;
  uint64_t again_ms;
};

static char order[16];
static unsigned fired;

static void on_due(struct timer *timer) {
  struct event *event = CONTAINER_OF(timer, struct event, timer);
  order[fired++] = event->name;
  order[fired] = '\0';
  if (event->again_ms) timer_set(timer, event->again_ms);
}

static void event_init(struct event *event, char name, uint64_t ms) {
  *event = (struct event){.name = name};
  timer_init(&event->timer, NULL, on_due);
  timer_set(&event->timer, ms);
}

static void begin(void) {
  virtual_time_begin(1000);
  fired = 0;
  order[0] = '\0';
}

/* Other units want real time. */
static void end(void) { virtual_time.on = false; }

IT("fires timers in the order in which they are due, and only once") {
  struct event a, b, c;
  begin();
  event_init(&a, 'a', 30);
  event_init(&b, 'b', 10);
  event_init(&c, 'c', 10);
  CHECK(virtual_time_left_ms() == 10);
  virtual_time_advance(9);
  CHECK_STR(str_of(order), "");
  virtual_time_advance(1);
  CHECK_STR(str_of(order), "bc");
  virtual_time_advance(100);
  CHECK_STR(str_of(order), "bca");
  CHECK(virtual_time_left_ms() == UINT64_MAX && loop_now_ms(NULL) == 1110);
  end();
}

IT("lets a timer that is set while time passes fire in the same advance") {
  struct event a;
  begin();
  event_init(&a, 'a', 10);
  a.again_ms = 20;
  virtual_time_advance(50);
  CHECK_STR(str_of(order), "aaa");
  timer_stop(&a.timer);
  CHECK(virtual_time_left_ms() == UINT64_MAX);
  end();
}

IT("forgets timers that are cleared or stopped") {
  struct event a, b;
  begin();
  event_init(&a, 'a', 10);
  event_init(&b, 'b', 10);
  timer_clear(&a.timer);
  timer_stop(&b.timer);
  virtual_time_advance(50);
  CHECK_STR(str_of(order), "");
  timer_stop(&a.timer);
  end();
}
