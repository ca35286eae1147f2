// SPDX-License-Identifier: Apache-2.0
// downstream: one client connection, which serves exchanges one after another. It reads heads, hands each to
// an exchange, and decides what follows the exchange: the next head, a drain of the rest of a body, a
// lingering close.
#ifndef PERILUNE_PROXY_DOWNSTREAM_H
#define PERILUNE_PROXY_DOWNSTREAM_H

#include "base/buf.h"
#include "base/check.h"
#include "base/error.h"
#include "http/parser.h"
#include "net/addr.h"
#include "net/conn.h"
#include "net/reaper.h"
#include "net/timer.h"
#include "shared/census.h"
#include "proxy/relay.h"

struct exchange;
struct proxy;
struct service;

enum downstream_state {
  DOWNSTREAM_PREFACE,   /* a PROXY header is expected */
  DOWNSTREAM_HANDSHAKE, /* TLS */
  DOWNSTREAM_IDLE,      /* between requests, nothing of the next one read */
  DOWNSTREAM_HEAD,      /* part of a head was read */
  DOWNSTREAM_BUSY,      /* an exchange runs */
  DOWNSTREAM_DRAIN,     /* reads away the rest of a request body, then goes on */
  DOWNSTREAM_LINGER,    /* our direction has ended; reads away what still comes, then closes (RFC 9112
                           section 9.6) */
  DOWNSTREAM_CLOSED
};

/* What the hooks' implementation keeps of a connection. Told once, when it has closed and its exchange knows;
 * sets downstream->attachment to NULL itself. */
struct attachment {
  void (*on_close)(struct attachment *attachment);
};

enum { DOWNSTREAM_MAGIC = 0xd0321003 };

/* What each exchange looks at comes first. */
struct downstream {
  OBJ_MAGIC;
  struct conn conn;
  struct exchange *exchange; /* owned; NULL unless BUSY */
  struct proxy *proxy;       /* borrowed */
  struct service *service;   /* borrowed */
  enum downstream_state state;
  unsigned requests;  /* served so far, with the current one */
  bool half_closed;   /* the client ended its direction */
  unsigned head_held; /* bytes of `in` that count in proxy->heads_held: a part of a head is kept there */
  struct buf in;      /* bytes read and not used; holds no memory while idle */
  struct head_scan scan;
  struct timer timer;
  uint64_t head_due_ms;          /* of a head that has begun; 0: none has */
  unsigned empty_bytes;          /* of empty lines since the last request */
  uint64_t rest_until_ms;        /* when DRAIN and LINGER give up; 0: not begun */
  struct attachment *attachment; /* borrowed; NULL: none */
  struct list link;              /* in proxy->downstreams */
  struct reaped reaped;
  struct str client_text; /* owned; made when first asked for, with the next */
  struct str client_line; /* owned; "X-Forwarded-For: " and what claims_address makes of its host */
  struct certificate_request *asking; /* owned; NULL unless the handshake waits for a certificate */
  struct relay *drain;                /* owned; while DRAIN: the decoder of the rest */
  bool is_admitted;                   /* counted as one of its client's: */
  struct census_client admitted;
  socklen_t client_length;
  struct sockaddr_storage client;
};

/* Takes over an accepted socket. */
void downstream_new(struct proxy *proxy, struct service *service, int fd, const struct sockaddr *client,
                    socklen_t client_length);
/* One without a socket, for the single exchange of a rehearsal (rehearsal.c), which looks up there who its client is.
 * downstream_end_bare frees what it has come to own. */
void downstream_init_bare(struct downstream *d, struct proxy *proxy, struct service *service);
void downstream_end_bare(struct downstream *d);
/* Grace when stopping: a client that was served less than this ago may already have sent its next request. */
enum { LAST_REQUEST_MS = 1000 };
/* Connections that are idle close at once, or if they were busy in the last `patience_ms`, when these are over; the
 * others with their response. */
void downstream_stop(struct downstream *d, unsigned patience_ms);
/* Closes at once; a running exchange is told that the client is gone, or why it is as good as gone. */
void downstream_close(struct downstream *d);
/* The next request may come. While the proxy stops it will be the last; and it is waited for shortly. */
void downstream_await(struct downstream *d);
/* The part of a head that is there is answered with 408, and its memory given back. */
void downstream_give_up_head(struct downstream *d);
/* Ends our direction, and closes when the client has ended its own, or has had its time: what was sent is read. */
void downstream_linger(struct downstream *d);
void downstream_close_because(struct downstream *d, enum error error);

/* --- ending.c: what follows an exchange --- */

/* An event of the conn, or the timer, in state DRAIN or LINGER. */
void ending_readable(struct downstream *d);
void ending_writable(struct downstream *d);
void ending_due(struct downstream *d);
/* The proxy stops: it takes no longer than it must. */
void ending_hasten(struct downstream *d);
/* The connection is about to be closed, with x under way or just ended: a response that was cut off does
 * not look whole. */
void ending_shows_cut(struct downstream *d, const struct exchange *x);

/* --- greeting.c: what comes before the first request --- */

void greeting_begin(struct downstream *d);
/* The conn is ready, in state PREFACE or HANDSHAKE. */
void greeting_go_on(struct downstream *d);
/* The connection closes in state HANDSHAKE: nobody waits for a certificate any more. */
void greeting_end(struct downstream *d);
/* Somebody else than who has connected, as a PROXY header says; of length 0, nobody knows. Before the first request. */
void downstream_set_client(struct downstream *d, const struct sockaddr_storage *client, socklen_t length);
/* It was not done in time. */
void greeting_due(struct downstream *d);
/* The first request may come. */
void downstream_greeted(struct downstream *d);

/* --- for the exchange --- */

/* The client's address as addr_format_client writes it; lives as long as the connection. */
struct str downstream_client(struct downstream *d);
/* The line of it in requests, "X-Forwarded-For: 192.0.2.1"; lives as long. */
struct str downstream_client_line(struct downstream *d);

/* The exchange is over and about to be freed. What follows: the next request; or the rest of its body, which
 * is drained first; or the end of the connection, after what is on its way has been read by the client
 * (x->sent.closes, x->sent.aborted). */
void downstream_exchange_ended(struct downstream *d, const struct exchange *x);
/* Stops reading, writing and the deadline until they are asked for again. */
void downstream_quieten(struct downstream *d);

#endif
