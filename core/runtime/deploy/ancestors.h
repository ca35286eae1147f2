// SPDX-License-Identifier: Apache-2.0
// ancestors: the older processes that upgrades have left behind, which may take an hour to finish their tunnels. When
// the service is stopped, they must end, too. So the serving process and all its ancestors share one pipe: each holds
// the read end, only the serving process holds the write end. When that process ends, however it ends, the pipe closes
// and every ancestor sees it.
#ifndef PERILUNE_RUNTIME_ANCESTORS_H
#define PERILUNE_RUNTIME_ANCESTORS_H

#include <ev.h>
#include <stdbool.h>

struct ancestors {
  ev_io reader; /* once another serves */
  struct ev_loop *loop;
  void (*on_stopped)(void *owner);
  void *owner;
  int read_end, write_end; /* -1: none */
};

/* Takes over the pipe of our predecessor: descriptors `first` and `first` + 1. Below 0: there is no predecessor. */
void ancestors_init(struct ancestors *ancestors, int first);
/* Makes the pipe unless there is one, so that a successor can be given it. False, with errno. */
bool ancestors_ensure(struct ancestors *ancestors);
/* A successor serves, and we are an ancestor now: on_stopped is called when the serving process has ended. */
void ancestors_follow(struct ancestors *ancestors, struct ev_loop *loop, void (*on_stopped)(void *owner),
                      void *owner);
/* We stop serving: tells our ancestors. */
void ancestors_stop(struct ancestors *ancestors);
void ancestors_free(struct ancestors *ancestors);

#endif
