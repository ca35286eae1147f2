// SPDX-License-Identifier: Apache-2.0
// rewatch: a watcher of what is no connection (a pipe, inotify), for which the kernel may have no memory. Then libev
// has stopped it, and says so once: nobody would be told any more. It is tried again after a moment, until there is.
#ifndef PERILUNE_NET_REWATCH_H
#define PERILUNE_NET_REWATCH_H

#include <ev.h>
#include <stdbool.h>

struct rewatch {
  ev_timer again;
  ev_io *watcher; /* borrowed: they live and stop together */
};

void rewatch_init(struct rewatch *r, ev_io *watcher);
/* Called first in the watcher's callback. True: that is what the event says, and nothing else has happened. */
bool rewatch_is_needed(struct rewatch *r, struct ev_loop *loop, int events);
/* Stops the watcher. */
void rewatch_stop(struct rewatch *r, struct ev_loop *loop);

#endif
