// SPDX-License-Identifier: Apache-2.0
// listener: a listening socket on one worker's loop. Each worker has its own socket of an IP address
// (SO_REUSEPORT), so the kernel spreads connections. For a unix path, all workers share one socket.
#ifndef PERILUNE_NET_LISTENER_H
#define PERILUNE_NET_LISTENER_H

#include <ev.h>

#include "net/addr.h"
#include "net/timer.h"

struct listener {
  ev_io watcher;
  struct timer pause; /* there is no room, or no descriptor: accepting waits a little */
  struct ev_loop *loop;
  int fd; /* owned */
  void (*on_accept)(struct listener *l, int fd, const struct sockaddr *client, socklen_t length);
  /* Before each accept: is there room for one more? False: accepting pauses until listener_resume, and looks again by
   * itself every now and then. `must`: it is accepted in any case. NULL: there always is. */
  bool (*may_accept)(struct listener *l, bool must);
  void (*on_vain)(
      struct listener *l); /* after may_accept: nobody was there, or it failed; NULL: nothing to undo */
};

/* Opens `count` listening sockets for one address into fds[]; with port 0 all get the same free port. A
 * socket file that nobody listens on is replaced. False: nothing stays open, *why is a thread-local sentence.
 */
bool listener_open(const struct addr *addr, int *fds, unsigned count, const char **why);
/* Starts accepting; takes over `fd`. `on_accept` owns the accepted, non-blocking socket. */
void listener_start(struct listener *l, struct ev_loop *loop, int fd,
                    void (*on_accept)(struct listener *l, int fd, const struct sockaddr *client,
                                      socklen_t length));
/* There is room: accepts at once, if it was paused. */
void listener_resume(struct listener *l);
/* Accepts all that the kernel has queued. A connection that is queued when its socket closes is reset. */
void listener_drain(struct listener *l);
/* Stops accepting and closes the socket. */
void listener_stop(struct listener *l);

#endif
