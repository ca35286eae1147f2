// SPDX-License-Identifier: Apache-2.0
// upstream: one connection to a peer. While an exchange uses it, it belongs to that exchange; idle it belongs
// to the pool (pool.h), watched for the peer closing it. It is never in both. An idle one may move to another
// worker, which has none: see borrow.h.
#ifndef PERILUNE_PROXY_UPSTREAM_H
#define PERILUNE_PROXY_UPSTREAM_H

#include "base/buf.h"
#include "base/check.h"
#include "http/parser.h"
#include "net/connect.h"
#include "net/reaper.h"

struct exchange;
struct borrow;
struct peer;
struct proxy;
struct settings;

enum upstream_state {
  UPSTREAM_BORROWING, /* a sibling was asked for one; there is no connection yet */
  UPSTREAM_CONNECTING,
  UPSTREAM_READY,
  UPSTREAM_IDLE,
  UPSTREAM_CLOSED
};

enum { UPSTREAM_MAGIC = 0x0b521004 };

/* What each exchange looks at comes first. */
struct upstream {
  OBJ_MAGIC;
  struct conn conn;
  struct exchange *exchange; /* borrowed; NULL while idle */
  struct proxy *proxy;       /* borrowed */
  struct peer *peer;         /* reference */
  enum upstream_state state;
  unsigned served;       /* exchanges before this one, in this worker */
  unsigned idle_since;   /* conn_turn when it was given back */
  struct buf in;         /* bytes read and not used */
  struct head_scan scan; /* of the response head */
  struct timer timer;
  struct list link; /* in peer->idle */
  struct reaped reaped;
  struct borrow *borrow;   /* borrowed; while BORROWING (NULL: the worker ends) */
  struct connect *connect; /* owned; while CONNECTING */
  unsigned asked;          /* siblings, while BORROWING */
  uint64_t room_until_ms;  /* while CONNECTING without `connect`: waits for a descriptor or a port */
  bool is_kept; /* with the answer that it has given: no event of it is of interest (elsewhere.c) */
};

/* A connection to the exchange's peer: from the pool (state READY); or from a sibling's, or a new one
 * (BORROWING, CONNECTING: exchange_run follows when it is READY, exchange_fail when it failed). Sets
 * x->now.upstream, which may be another one when it is READY. */
void upstream_open(struct exchange *x);
/* The attempt is over. It goes back into the pool if it is `reusable`, nothing is unread or unsent and its peer keeps
 * idle connections; else it is closed. Clears x->now.upstream. */
void upstream_release(struct exchange *x, bool reusable);
/* Closes one that is not the current one of its exchange. */
void upstream_discard(struct upstream *u);
/* Those of the settings, with what the peer may do beyond. */
struct parser_limits upstream_limits(const struct upstream *u, const struct settings *settings);
/* Reads towards the response head. IO_OK: the head is whole, `length` bytes at the start of `in`.
 * IO_AGAIN: waits, reader on. IO_EOF, IO_ERROR: the connection ended; *error says how (also for a bad head).
 */
enum io upstream_read_head(struct upstream *u, const struct parser_limits *limits, size_t *length,
                           enum error *error);
/* Closes it, wherever it is; its memory goes at the end of the turn. Idempotent. */
void upstream_close(struct upstream *u);
/* No events until it is given back or asked to read again. */
void upstream_quieten(struct upstream *u);
/* --- for borrow.c --- */

/* The answer to an upstream that is BORROWING; NULL: the sibling has none. Takes `detached` over. Runs the
 * exchange, or goes on to another sibling or to connecting. */
void upstream_answered(struct upstream *u, struct detached_conn *detached);
/* Nobody waits for it: it becomes an idle one of the peer. Passes over. */
void upstream_keep(struct proxy *proxy, struct peer *peer, struct detached_conn *detached);

#endif
