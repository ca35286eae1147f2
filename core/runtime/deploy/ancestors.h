// SPDX-License-Identifier: Apache-2.0
// ancestors: the older processes that upgrades have left behind, which may take an hour to finish their tunnels. When
// the service is stopped, they must end, too. So the serving process and all its ancestors share one pipe: each holds
// the read end, only the serving process holds the write end. When that process ends, however it ends, the pipe
// closes and every ancestor sees it. Before that, a stop is signalled by bytes that nobody reads: one byte is a
// graceful stop, two are a stop at once. Then the serving process closes its own read end, and the pipe tells it when
// the last ancestor ended.
#ifndef PERILUNE_RUNTIME_ANCESTORS_H
#define PERILUNE_RUNTIME_ANCESTORS_H

#include <ev.h>
#include <stdbool.h>

#include "net/rewatch.h"

struct ancestors {
  ev_io watcher; /* once another serves: of the read end; once we stop: of the write end */
  struct rewatch rewatch;
  ev_timer look; /* in an ancestor that has been told: for a stop at once that follows */
  struct ev_loop *loop;
  void (*on_stopped)(void *owner, bool now);
  void (*on_gone)(void *owner);
  void *owner;
  bool are_awaited;        /* by us, who stop: some have not ended */
  int read_end, write_end; /* -1: none */
};

/* Takes over the pipe of our predecessor: descriptors `first` and `first` + 1. Below 0: there is no predecessor. */
void ancestors_init(struct ancestors *ancestors, int first);
/* Makes the pipe unless there is one, so that a successor can be given it. False, with errno. */
bool ancestors_ensure(struct ancestors *ancestors);
/* A successor serves, and we are an ancestor now: on_stopped is called when the serving process stops or has ended, and
 * again if it is to stop at once then. */
void ancestors_follow(struct ancestors *ancestors, struct ev_loop *loop,
                      void (*on_stopped)(void *owner, bool now), void *owner);
/* We stop serving: tells our ancestors. `are_awaited` says whether there are any; on_gone follows when all have ended.
 * May be called again, to stop them at once. */
void ancestors_stop(struct ancestors *ancestors, struct ev_loop *loop, bool now, void (*on_gone)(void *owner),
                    void *owner);
void ancestors_free(struct ancestors *ancestors);

#endif
