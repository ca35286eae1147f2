// SPDX-License-Identifier: Apache-2.0
// reaper: frees memory at a safe point of the loop. An object that closes inside an up-call may still be in use by its
// callers, so it is not freed there but put here, and freed when the loop has called everybody (invariant I5).
#ifndef PERILUNE_NET_REAPER_H
#define PERILUNE_NET_REAPER_H

#include <ev.h>

#include "base/list.h"

/* A member of every object that is freed by a reaper. */
struct reaped {
  struct list link;
  void (*free)(struct reaped *reaped);
};

struct reaper {
  ev_prepare watcher;
  struct ev_loop *loop;
  struct list waiting;
};

void reaper_init(struct reaper *reaper, struct ev_loop *loop);
/* Frees what is left and stops. */
void reaper_stop(struct reaper *reaper);
/* `free` is called with `reaped` before the loop waits again. */
void reaper_add(struct reaper *reaper, struct reaped *reaped, void (*free)(struct reaped *reaped));

#endif
