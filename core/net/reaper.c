// SPDX-License-Identifier: Apache-2.0
// reaper: an ev_prepare watcher that empties the list of graves; it does not keep the loop alive.
#include "net/reaper.h"

#include "base/check.h"

static void bury(struct reaper *reaper) {
  while (!list_is_empty(&reaper->graves)) {
    struct grave *grave = LIST_ENTRY(reaper->graves.next, struct grave, link);
    list_remove(&grave->link);
    grave->free(grave);
  }
}

static void on_prepare(struct ev_loop *loop, ev_prepare *watcher, int events) {
  (void)loop, (void)events;
  bury((struct reaper *)watcher);
}

void reaper_init(struct reaper *reaper, struct ev_loop *loop) {
  list_init(&reaper->graves);
  reaper->loop = loop;
  ev_prepare_init(&reaper->watcher, on_prepare);
  ev_prepare_start(loop, &reaper->watcher);
  ev_unref(loop);
}

void reaper_stop(struct reaper *reaper) {
  bury(reaper);
  ev_ref(reaper->loop);
  ev_prepare_stop(reaper->loop, &reaper->watcher);
}

void reaper_add(struct reaper *reaper, struct grave *grave, void (*free)(struct grave *grave)) {
  CHECK(free && !grave->free); /* dies once */
  grave->free = free;
  list_push_back(&reaper->graves, &grave->link);
}
