// SPDX-License-Identifier: Apache-2.0
// http2: HTTP/2 to peers. http2_peer.c knows all connections to one peer and which of them takes the next call,
// http2_connection.c is one connection, http2_call.c what an exchange knows of the protocol (exchange/call.h), and
// http2_tunnel.c what is special where it asks for a tunnel.
//
// Words. opening: a connection that does not take calls yet: it connects, shakes hands, or waits for the peer's first
// SETTINGS. room: how many calls more a connection takes now. waiting: a call for which no connection has room so far.
// tunnel: a request behind which, if the peer accepts it, a tunnel begins (http2_tunnel.c).
//
// Who owns what. An upstream owns its connection (struct http2_connection), and that its session. A call lives in its
// exchange's arena and is that exchange's; it is in one list at a time, of the peer's waiting calls or of those of its
// connection, until it is released. A connection that is lost keeps its session, with what has come of responses, until
// the last of its calls is released.
#ifndef PERILUNE_UPSTREAM_HTTP2_H
#define PERILUNE_UPSTREAM_HTTP2_H

#include "exchange/call.h"
#include "http/h2_session.h"
#include "net/reaper.h"

struct exchange;
struct peer;
struct peer_figures;
struct proxy;
struct upstream;

enum {
  HTTP2_STREAMS_FIRST = 1,  /* before SETTINGS have said how many the peer takes: it must take one */
  HTTP2_STREAMS_MOST = 100, /* of one connection, whatever the peer allows */
  HTTP2_SPARE = 16 << 20,   /* of a worker: bytes by which the windows of responses may grow in all */
  HTTP2_REQUIRED_MS = 5 * 60 * 1000, /* for which a peer that wants HTTP/1.1 is asked over nothing else */
};

enum http2_tunnel {
  HTTP2_TUNNEL_NONE,
  HTTP2_TUNNEL_CONNECT,  /* RFC 9113 section 8.5 */
  HTTP2_TUNNEL_EXTENDED, /* an Upgrade, as RFC 8441 has it: of peers that offer it */
  HTTP2_TUNNEL_UNSAID    /* an Upgrade that HTTP/2 cannot say: behind a body, or of another method than GET */
};

/* A peer that may speak HTTP/2; of one worker. */
struct http2_peer {
  struct list connections; /* of struct http2_connection: those that take calls, or will */
  struct list waiting;     /* of struct http2_call; oldest first */
  unsigned waiting_count, opening;
  unsigned streams;             /* that its last SETTINGS allow, at most HTTP2_STREAMS_MOST; 0: not known */
  bool chooses_http1;           /* where it has the choice: as far as its last handshake said */
  uint64_t http1_until_ms;      /* it has said HTTP_1_1_REQUIRED */
  struct peer_figures *figures; /* of its address; NULL: none are kept */
  unsigned shown_connections, shown_streams; /* of ours, in them */
  uint64_t resets;                           /* of the peer's, that are not shown yet */
  bool is_serving;                           /* waiting calls are given out, further up the stack */
};

struct http2_connection {
  struct upstream *upstream;  /* borrowed: it owns this */
  struct h2_session *session; /* owned; NULL while it connects */
  struct list link;           /* in http2_peer->connections */
  struct list calls, fed;  /* of struct http2_call: all of it; those that are to be told of what they have */
  unsigned unsent;         /* calls of it without a stream so far */
  unsigned served;         /* calls so far */
  uint64_t written;        /* bytes that the kernel has taken */
  struct reaped at_end;    /* of the turn: what was made in it is written */
  struct http2_call *told; /* the one that is being told of its news; NULL: it is released */
  struct arena texts;      /* while it connects: names for TLS */
  struct parser_limits head;   /* of responses: those of whom it was opened for */
  uint64_t began;              /* ticks: connecting */
  uint64_t heard_ms, asked_ms; /* when something came last, and when a PING was sent last */
  enum error error;            /* once it is lost: what its calls fail with */
  bool is_opening;             /* counted as such */
  bool flushes, is_flushing;   /* at_end is on its way; inside of it */
  bool awaits_pong;
  bool is_mute;  /* nothing can be written any more; what has come is read */
  char why[160]; /* more of `error`; may be empty */
};

struct http2_call {
  struct call call;                    /* first */
  struct peer *peer;                   /* borrowed: the attempt holds it */
  struct http2_connection *connection; /* borrowed; NULL: it waits for one */
  struct h2_stream *h2;                /* borrowed until it is released; NULL: the request has not begun */
  struct list link, fed_link;
  struct parser_limits limits; /* of its response's heads */
  struct h2_fields
      head; /* arena; of the request, until it is sent: it waits for what comes first behind it */
  enum method method;
  enum http2_tunnel tunnel; /* that its request asks for */
  struct str protocol;      /* arena; of an extended one */
  enum error refusal;       /* why its request was not sent; ERROR_NONE */
  struct h2_head *next;     /* a response head that was found and not taken; NULL: none */
  struct buf nothing;       /* what has come, before there is a stream */
  bool wants_read;
  bool is_over;     /* nothing more comes, and nothing can be sent */
  bool had_no_room; /* when its request was to be sent */
};

/* --- http2_peer.c --- */

struct http2_peer *http2_peer_new(struct str address);
void http2_peer_free(struct http2_peer *p);
/* Opens a call for the attempt under way, as call_open says. False: the peer is one of HTTP/1.1, as far as is known. */
bool http2_peer_open(struct exchange *x);
/* What its waiting calls wait for. */
enum wait http2_peer_awaits(const struct http2_peer *p);
/* `u`, which it has opened, is of no use: it closes, and the calls that waited for it fail. */
void http2_peer_give_up(struct upstream *u, enum error error, const char *why);
/* `u`, which it has opened, is connected or cannot be. */
void http2_peer_connected(struct upstream *u, enum error error);
/* It waits for a descriptor or a port, and it is time to look again. */
void http2_peer_look_for_room(struct upstream *u);
/* A connection has room, or one less is there: waiting calls are given out, and others opened for the rest. */
void http2_peer_serve(struct proxy *proxy, struct peer *peer);
/* A connection of another way has turned out to speak HTTP/2: that of an exchange, whose call it replaces. */
void http2_peer_adopt(struct upstream *u);
/* The peer has said that it takes so many calls at once on this connection. */
void http2_peer_settled(struct http2_connection *h, unsigned streams);
/* The connection takes no calls any more. Harmless again. */
void http2_peer_leave(struct http2_connection *h);
/* The peer wants HTTP/1.1: later attempts go over that for a while, where they may choose. */
void http2_peer_required_http1(struct peer *peer, uint64_t now_ms);
/* May it be asked over HTTP/1.1 as well? */
bool http2_peer_has_choice(const struct peer *peer);
/* Adds its connections that speak HTTP/2, those of them without calls, and all calls; and states them for the metrics.
 */
struct http2_counts {
  unsigned connections, idle, calls;
};
void http2_peer_count(struct http2_peer *p, struct http2_counts *counts);
/* Closes one that nobody uses or waits for; false: there is none. */
bool http2_peer_close_idle(struct http2_peer *p);

/* --- http2_connection.c --- */

struct http2_connection *http2_connection_new(struct upstream *u);
/* It has no calls. */
void http2_connection_free(struct http2_connection *h);
/* It is connected, and speaks HTTP/2 from here on. */
void http2_connection_begin(struct http2_connection *h);
bool http2_connection_is_open(const struct http2_connection *h);
static inline bool http2_connection_is_idle(const struct http2_connection *h) {
  return list_is_empty(&h->calls);
}
unsigned http2_connection_room(const struct http2_connection *h);
/* What was made goes out at the end of this turn, and calls that are fed are told. */
void http2_connection_flush_later(struct http2_connection *h);
/* A call begins on it, and is released. */
void http2_connection_enter(struct http2_connection *h, struct http2_call *c);
void http2_connection_left(struct http2_connection *h);
/* Says GOAWAY and closes; it is idle. */
void http2_connection_end(struct http2_connection *h);
/* Events of it. */
void http2_connection_due(struct http2_connection *h);

/* --- http2_call.c --- */

struct http2_call *http2_call_new(struct exchange *x);
/* A connection has taken it: its request may be sent. */
void http2_call_ready(struct http2_call *c, struct http2_connection *h);
/* It is in no list any more, and its timer is off. */
void http2_call_detach(struct http2_call *c);
/* Its connection is lost: it is told at the end of the turn. */
void http2_call_lost(struct http2_call *c);
/* It has news. */
void http2_call_tell(struct http2_call *c, unsigned news);

/* --- http2_tunnel.c --- */

enum http2_tunnel http2_tunnel_of(const struct request *request);
/* The request becomes what HTTP/2 has in its place, and the call knows which tunnel it asks for. */
void http2_tunnel_prepare(struct http2_call *c, struct request *request, struct body *body);
/* Why the prepared request must not be sent on this connection. ERROR_NONE: it may. */
enum error http2_tunnel_refusal(const struct http2_call *c);
const char *http2_tunnel_why(enum error refusal);
/* What the request says of its end is not the stream's: a tunnel may follow. */
bool http2_tunnel_may_follow(const struct http2_call *c);
/* A head has come: a 2xx becomes what the exchange knows as the beginning of the tunnel, any other final one leaves
 * none to wait for. */
void http2_tunnel_answered(struct http2_call *c, struct response *response);

#endif
