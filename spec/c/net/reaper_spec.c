// SPDX-License-Identifier: Apache-2.0
// Units for net/reaper.
#include "net/reaper.h"

#include <stdlib.h>

#include "base/container.h"
#include "unit.h"

struct thing {
  struct reaped reaped;
  int *freed;
};

static void free_thing(struct reaped *reaped) {
  struct thing *thing = CONTAINER_OF(reaped, struct thing, reaped);
  ++*thing->freed;
  free(thing);
}

static void close_thing(struct reaper *reaper, int *freed) {
  struct thing *thing = calloc(1, sizeof *thing);
  thing->freed = freed;
  reaper_add(reaper, &thing->reaped, free_thing);
}

IT("frees what was closed before the loop waits, and has no watcher while there is nothing") {
  struct ev_loop *loop = ev_loop_new(0);
  struct reaper reaper;
  int freed = 0;
  reaper_init(&reaper, loop);
  for (int turn = 1; turn <= 2; turn++) {
    CHECK(!ev_is_active(&reaper.watcher));
    close_thing(&reaper, &freed);
    close_thing(&reaper, &freed);
    CHECK(ev_is_active(&reaper.watcher) && freed == 2 * turn - 2);
    ev_run(loop, EVRUN_NOWAIT);
    CHECK(freed == 2 * turn);
  }
  CHECK(!ev_run(loop, 0)); /* it does not keep the loop alive */
  close_thing(&reaper, &freed);
  reaper_stop(&reaper);
  CHECK(freed == 5 && !ev_is_active(&reaper.watcher));
  ev_loop_destroy(loop);
}
