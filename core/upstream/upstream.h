// SPDX-License-Identifier: Apache-2.0
// upstream: one connection to a peer. While an exchange uses it, it belongs to that exchange; idle it belongs
// to the pool (pool.h), watched for the peer closing it. It is never in both. An idle one may move to another
// worker, which has none: see borrow.h. One that speaks HTTP/2 is used by many exchanges at a time: see http2.h.
#ifndef PERILUNE_UPSTREAM_UPSTREAM_H
#define PERILUNE_UPSTREAM_UPSTREAM_H

#include "base/buf.h"
#include "base/check.h"
#include "exchange/call.h"
#include "http/parser.h"
#include "net/connect.h"
#include "net/reaper.h"

struct borrow;
struct http2_connection;
struct peer;
struct proxy;

enum upstream_state {
  UPSTREAM_BORROWING, /* a sibling was asked for one; there is no connection yet */
  UPSTREAM_CONNECTING,
  UPSTREAM_READY,
  UPSTREAM_IDLE,
  UPSTREAM_HTTP2, /* whether calls use it or not */
  UPSTREAM_CLOSED
};

enum { UPSTREAM_MAGIC = 0x0b521004 };

/* What each exchange looks at comes first. */
struct upstream {
  OBJ_MAGIC;
  struct conn conn;
  struct call call;    /* the one of HTTP/1; its exchange is NULL while idle, its timer that of all states */
  struct proxy *proxy; /* borrowed */
  struct peer *peer;   /* reference */
  enum upstream_state state;
  unsigned served;             /* exchanges before this one, in this worker */
  unsigned idle_since;         /* conn_turn when it was given back */
  struct buf in;               /* bytes read and not used */
  struct head_scan scan;       /* of the response head */
  struct parser_limits limits; /* of it: those of the settings, with what the peer may do beyond */
  size_t head_length;          /* of the one that is whole at the start of `in`; 0: none is */
  struct list link;            /* in peer->idle */
  struct reaped reaped;
  struct http2_connection *http2; /* owned; of one that speaks HTTP/2, or may turn out to; else NULL */
  struct borrow *borrow;          /* borrowed; while BORROWING (NULL: the worker ends) */
  struct connect *connect;        /* owned; while CONNECTING */
  unsigned asked;                 /* siblings, while BORROWING */
  uint64_t room_until_ms;         /* while CONNECTING without `connect`: waits for a descriptor or a port */
};

/* Goes over to another state: the one place that does. */
static inline void upstream_enter(struct upstream *u, enum upstream_state state) {
  u->state = state;
  u->call.is_ready = state == UPSTREAM_READY;
}

/* connection.c: one that is not connected yet; what it does for that is the caller's, who enters the state. */
struct upstream *upstream_new(struct proxy *proxy, struct peer *peer);
/* Connects. `texts` lives until it is connected; `preface` goes before all else. */
void upstream_connect(struct upstream *u, struct arena *texts, struct str preface);
/* After such an error, which may be none, or instead of connecting: it waits for what this machine lacks, and its timer
 * fires when it is time to look again. False: that is not the reason, or it has waited long enough. */
bool upstream_waits_for_room(struct upstream *u, enum error error);
enum wait upstream_awaits(const struct upstream *u);
/* It is connected and speaks HTTP/1: READY. */
void upstream_begin_http1(struct upstream *u);
/* Of one that is closed: nothing of it is needed any more. */
void upstream_reap(struct upstream *u);
/* http1.c: makes its call one of HTTP/1. */
void http1_call_init(struct upstream *u);
/* Closes it, wherever it is; its memory goes at the end of the turn. Idempotent. */
void upstream_close(struct upstream *u);

/* --- for borrow.c --- */

/* The answer to an upstream that is BORROWING; NULL: the sibling has none. Takes `detached` over. Runs the
 * exchange, or goes on to another sibling or to connecting. */
void upstream_answered(struct upstream *u, struct detached_conn *detached);
/* Nobody waits for it: it becomes an idle one of the peer. Passes over. */
void upstream_keep(struct proxy *proxy, struct peer *peer, struct detached_conn *detached);

#endif
