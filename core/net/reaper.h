// SPDX-License-Identifier: Apache-2.0
// reaper: the safe point of the loop at which memory is freed. What closes inside an up-call is put here and
// freed once the loop has called everybody (invariant I5).
#ifndef PERILUNE_NET_REAPER_H
#define PERILUNE_NET_REAPER_H

#include <ev.h>

#include "base/list.h"

struct grave {
  struct list link;
  void (*free)(struct grave *grave);
};

struct reaper {
  ev_prepare watcher;
  struct ev_loop *loop;
  struct list graves;
};

void reaper_init(struct reaper *reaper, struct ev_loop *loop);
/* Frees what is left and stops. */
void reaper_stop(struct reaper *reaper);
/* `free` is called with `grave` before the loop waits again. */
void reaper_add(struct reaper *reaper, struct grave *grave, void (*free)(struct grave *grave));

#endif
