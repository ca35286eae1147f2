// SPDX-License-Identifier: Apache-2.0
// lineage: the processes that have followed one another by upgrades. After an upgrade the old process may take an
// hour to finish its tunnels; but when the service is stopped, it is to end with it. So all of them hold the read end
// of a pipe, and the one that serves alone holds the write end: when that closes, whichever way it ended, the others
// learn of it.
#ifndef PERILUNE_RUNTIME_LINEAGE_H
#define PERILUNE_RUNTIME_LINEAGE_H

#include <ev.h>
#include <stdbool.h>

struct lineage {
  ev_io reader; /* once another serves */
  struct ev_loop *loop;
  void (*on_stopped)(void *owner);
  void *owner;
  int read_end, write_end; /* -1: none */
};

/* Takes over the ends that a predecessor left, as descriptors `first` and the next; below 0: there is none. */
void lineage_init(struct lineage *lineage, int first);
/* Both ends are there, for a successor. False, with errno. */
bool lineage_ensure(struct lineage *lineage);
/* Another serves: on_stopped is called once it does so no more. */
void lineage_follow(struct lineage *lineage, struct ev_loop *loop, void (*on_stopped)(void *owner),
                    void *owner);
/* We serve no more: those who follow us learn of it. */
void lineage_stop(struct lineage *lineage);
void lineage_free(struct lineage *lineage);

#endif
