// SPDX-License-Identifier: Apache-2.0
// datagram: a UDP or unix datagram socket that is connected to one peer, so that only what that sends is received. It
// keeps nothing: what does not fit into the receiver's room is cut, as datagrams are.
#ifndef PERILUNE_NET_DATAGRAM_H
#define PERILUNE_NET_DATAGRAM_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct addr;

enum { DATAGRAM_MOST = 65507 }; /* bytes of one over IPv4 */

struct datagram {
  struct ev_loop *loop; /* borrowed */
  ev_io reader;
  int fd;        /* owned; -1: closed */
  bool is_blind; /* the last event was that it cannot be watched: ENOMEM */
  /* Called while datagram_want is on and one has come, or an error. */
  void (*on_readable)(struct datagram *d);
};

/* To an IP address or a unix socket, not a name. False: errno says why. */
bool datagram_open(struct datagram *d, struct ev_loop *loop, const struct addr *to,
                   void (*on_readable)(struct datagram *d));
/* 0, or an errno. A full buffer of the kernel drops it, as the network may: that is no error. */
int datagram_send(struct datagram *d, struct str text);
/* 0, EAGAIN or another errno (ECONNREFUSED: nobody listens there). */
int datagram_receive(struct datagram *d, char *room, size_t bytes, size_t *got);
/* 0: one is there; else as datagram_receive. An error is told by one of the two, once. */
int datagram_look(const struct datagram *d);
void datagram_want(struct datagram *d, bool on);
/* Idempotent. */
void datagram_close(struct datagram *d);

#endif
