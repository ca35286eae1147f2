// SPDX-License-Identifier: Apache-2.0
// downstream: one client connection, from accept to close: who the client is, how the connection is secured, and for
// how long it may do nothing. What is said on it is its protocol's (http1.h).
#ifndef PERILUNE_DOWNSTREAM_DOWNSTREAM_H
#define PERILUNE_DOWNSTREAM_DOWNSTREAM_H

#include "base/buf.h"
#include "base/check.h"
#include "base/error.h"
#include "exchange/stream.h"
#include "exchange/waits.h"
#include "http/parser.h"
#include "net/addr.h"
#include "net/conn.h"
#include "net/reaper.h"
#include "net/timer.h"
#include "shared/census.h"

struct http2;
struct relay;

enum downstream_state {
  DOWNSTREAM_PREFACE,   /* a PROXY header is expected */
  DOWNSTREAM_HANDSHAKE, /* TLS */
  DOWNSTREAM_IDLE,      /* between requests, nothing of the next one read */
  DOWNSTREAM_HEAD,      /* part of a head was read */
  DOWNSTREAM_BUSY,      /* an exchange runs */
  DOWNSTREAM_HTTP2,     /* it speaks HTTP/2: any number of exchanges, none too */
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
  struct stream stream; /* the one of HTTP/1, with an exchange while BUSY; its timer is that of all states */
  struct proxy *proxy;  /* borrowed */
  struct service *service; /* borrowed */
  enum downstream_state state;
  unsigned requests;  /* served so far, with the current one */
  bool half_closed;   /* the client ended its direction */
  unsigned head_held; /* bytes of a part of a head, which count in proxy->heads_held */
  struct buf in;      /* bytes read and not used; holds no memory while idle */
  struct head_scan scan;
  uint64_t head_due_ms;          /* of a head that has begun; 0, or anything in HTTP/2: none has */
  unsigned empty_bytes;          /* of empty lines since the last request */
  uint64_t rest_until_ms;        /* when DRAIN and LINGER give up; 0: not begun */
  struct attachment *attachment; /* borrowed; NULL: none */
  struct list link;              /* in proxy->downstreams */
  struct reaped reaped;
  struct str client_text; /* owned; made when first asked for, with the next */
  struct str client_line; /* owned; "X-Forwarded-For: " and what claims_address makes of its host */
  struct http2 *http2;    /* owned; NULL unless it speaks HTTP/2 */
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
/* Connections that are idle close at once, or if they were busy in the last `patience_ms`, when these are over; the
 * others with their response. */
void downstream_stop(struct downstream *d, unsigned patience_ms);
/* Closes at once; a running exchange is told that the client is gone, or why it is as good as gone. */
void downstream_close(struct downstream *d);
/* How long the next request may take to begin: `wait`, or less where it will be the last. */
unsigned downstream_idle_ms(const struct downstream *d, enum wait wait);
/* Nothing more is read from an idle client: it closes behind what is on its way. */
void downstream_end_idle(struct downstream *d);
/* Ends our direction, and closes when the client has ended its own, or has had its time: what was sent is read. */
void downstream_linger(struct downstream *d);
void downstream_close_because(struct downstream *d, enum error error);
/* It keeps a part of a head, or none any more. */
void downstream_hold_head(struct downstream *d, size_t bytes);

/* --- greeting.c: what comes before the first request --- */

void greeting_begin(struct downstream *d);
/* The conn is ready, in state PREFACE or HANDSHAKE. */
void greeting_go_on(struct downstream *d);
/* The connection closes in state HANDSHAKE: nobody waits for a certificate any more. */
void greeting_end(struct downstream *d);
/* It was not done in time. */
void greeting_due(struct downstream *d);

/* --- client.c: who the client is --- */

/* Somebody else than who has connected, as a PROXY header says; of length 0, nobody knows. Before the first request. */
void downstream_set_client(struct downstream *d, const struct sockaddr *client, socklen_t length);
/* As stream_client says. */
struct str downstream_client(struct downstream *d);
/* Frees the text of it. */
void downstream_forget_client(struct downstream *d);

#endif
