// SPDX-License-Identifier: Apache-2.0
// room: whether a worker has room for one more connection, and what it closes to make room. A client needs one
// descriptor, and a second one for its peer during a request; a worker is full when this would exceed its share
// (net/descriptors). If room is needed, spare connections to peers are closed first, then client connections that
// have been idle for longest, and only as many as are needed. If nothing can be closed, listeners pause, and the
// kernel queues new clients until a connection has closed or is idle.
//
// For a second after each shortage, answers say that their connection closes, so that no client is surprised.
#ifndef PERILUNE_EXCHANGE_ROOM_H
#define PERILUNE_EXCHANGE_ROOM_H

#include <stdbool.h>
#include <stdint.h>

struct proxy;
struct service;

struct room {
  bool is_awaited;                      /* a listener pauses: on_room is to be called once there is room */
  uint64_t low_until_ms;                /* answers close their connections */
  void (*on_room)(struct proxy *proxy); /* something has been freed; may be NULL */
};

/* May one more client be accepted on this service? Makes room for it where that helps, and counts it: downstream_new
 * follows, or room_for_nobody. False: on_room follows. `must`: it may in any case. */
bool room_for_client(struct proxy *proxy, struct service *service, bool must);
void room_for_nobody(struct service *service);
/* Before a connection to a peer is opened: makes room if it is wanted. False: there is none, and the caller waits. */
bool room_for_upstream(struct proxy *proxy);
/* Gives up one connection that nobody uses. False: there is none. */
bool room_make(struct proxy *proxy);
/* Parts of heads take too much memory: those that wait for longest are given up. */
void room_for_heads(struct proxy *proxy);
/* A client's connection has closed or is idle, or one to a peer has closed. */
void room_freed(struct proxy *proxy);
/* Do answers close their connections? */
bool room_is_low(const struct proxy *proxy);

#endif
