// SPDX-License-Identifier: Apache-2.0
// upstream: one connection to a peer. While an exchange uses it, it belongs to that exchange; idle it belongs
// to the peer's list, watched for the peer closing it. It is never in both.
#ifndef PERILUNE_PROXY_UPSTREAM_H
#define PERILUNE_PROXY_UPSTREAM_H

#include "base/buf.h"
#include "http/parser.h"
#include "net/connect.h"
#include "net/reaper.h"

struct exchange;
struct peer;
struct proxy;

enum upstream_state { UPSTREAM_CONNECTING, UPSTREAM_READY, UPSTREAM_IDLE, UPSTREAM_CLOSED };

struct upstream {
  struct conn conn;
  struct grave grave;
  struct proxy *proxy;       /* borrowed */
  struct peer *peer;         /* reference */
  struct exchange *exchange; /* borrowed; NULL while idle */
  struct connect *connect;   /* owned; while connecting */
  struct list link;          /* in peer->idle */
  struct buf in;             /* bytes read and not used */
  struct head_scan scan;     /* of the response head */
  struct timer timer;
  enum upstream_state state;
  unsigned served;     /* exchanges before this one */
  unsigned idle_since; /* conn_turn when it was given back */
};

/* A connection to the exchange's peer: from the pool (state READY), or a new one (CONNECTING: exchange_wake
 * follows when it is READY, exchange_fail when it failed). Sets x->upstream. */
void upstream_open(struct exchange *x);
/* The attempt is over: back into the pool if `reusable` and nothing is left unread, else closed. Clears
 * x->upstream. */
void upstream_give_back(struct exchange *x, bool reusable);
/* Reads towards the response head. IO_OK: the head is whole, `length` bytes at the start of `in`.
 * IO_AGAIN: waits, reader on. IO_EOF, IO_ERROR: the connection ended; *error says how (also for a bad head).
 */
enum io upstream_read_head(struct upstream *u, const struct parser_limits *limits, size_t *length,
                           enum error *error);
/* No events until it is given back or asked to read again. */
void upstream_quieten(struct upstream *u);
/* Closes all idle connections to a peer. */
void upstream_close_idle(struct peer *peer);

#endif
