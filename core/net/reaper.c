// SPDX-License-Identifier: Apache-2.0
// reaper: an ev_prepare watcher that frees what is waiting. It does not keep the loop alive, and it is active only
// while there is something to free, which is rare.
#include "net/reaper.h"

#include "base/check.h"

static void free_all(struct reaper *reaper) {
  while (!list_is_empty(&reaper->waiting)) {
    struct reaped *reaped = LIST_ENTRY(reaper->waiting.next, struct reaped, link);
    list_remove(&reaped->link);
    reaped->free(reaped);
  }
}

static void stop_watcher(struct reaper *reaper) {
  if (!ev_is_active(&reaper->watcher)) return;
  ev_ref(reaper->loop);
  ev_prepare_stop(reaper->loop, &reaper->watcher);
}

static void on_prepare(struct ev_loop *loop, ev_prepare *watcher, int events) {
  struct reaper *reaper = (struct reaper *)watcher;
  (void)loop, (void)events;
  free_all(reaper);
  stop_watcher(reaper);
}

void reaper_init(struct reaper *reaper, struct ev_loop *loop) {
  list_init(&reaper->waiting);
  reaper->loop = loop;
  ev_prepare_init(&reaper->watcher, on_prepare);
}

void reaper_stop(struct reaper *reaper) {
  free_all(reaper);
  stop_watcher(reaper);
}

void reaper_add(struct reaper *reaper, struct reaped *reaped, void (*free)(struct reaped *reaped)) {
  CHECK(free && !reaped->free); /* added once */
  reaped->free = free;
  list_push_back(&reaper->waiting, &reaped->link);
  if (ev_is_active(&reaper->watcher)) return;
  ev_prepare_start(reaper->loop, &reaper->watcher);
  ev_unref(reaper->loop);
}
