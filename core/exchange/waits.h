// SPDX-License-Identifier: Apache-2.0
// waits: all that an exchange, or a connection before and behind it, may wait for with a deadline (deadline.h).
#ifndef PERILUNE_EXCHANGE_WAITS_H
#define PERILUNE_EXCHANGE_WAITS_H

#include <stdint.h>

enum wait {
  WAIT_NOTHING,
  WAIT_POLICY, /* a hook or a body filter has not answered yet */
  /* A client, before and behind an exchange (core/downstream). */
  WAIT_PREFACE,      /* its PROXY header */
  WAIT_HANDSHAKE,    /* TLS, with the certificate that a hook may look up */
  WAIT_FIRST,        /* the first request on a connection */
  WAIT_NEXT,         /* the next one */
  WAIT_LAST,         /* the next one, which will be the last */
  WAIT_REQUEST_HEAD, /* the rest of a head */
  WAIT_ANSWER_TAKEN, /* it takes what was written before the end of the connection */
  WAIT_REST,         /* it ends, where what still comes is read away */
  /* A client, in an exchange. */
  WAIT_REQUEST_BODY,   /* more of the body, which it was asked for */
  WAIT_RESPONSE_TAKEN, /* it takes some of the response */
  /* A peer. */
  WAIT_ROOM,           /* nobody: this machine lacks a descriptor or a port (room.h) */
  WAIT_SIBLING,        /* another worker says whether it lends a connection (borrow.c) */
  WAIT_NAME,           /* the resolver (net/connect.c) */
  WAIT_CONNECTION,     /* net/connect.c */
  WAIT_PEER_HANDSHAKE, /* net/connect.c */
  WAIT_REQUEST_TAKEN,  /* it takes some of the request */
  WAIT_LEFTOVER_TAKEN, /* it has answered in full or refused, and takes the rest of the request all the same */
  WAIT_GO_AHEAD,       /* 100 (Continue), or an answer, before the client sends its body */
  WAIT_RESPONSE_HEAD,  /* all of the request has been sent */
  WAIT_RESPONSE_BODY,  /* more of the body */
  WAIT_TUNNEL,         /* either side */
  WAIT_COUNT
};

/* Grace when stopping: a client that was served less than this ago may already have sent its next request. */
enum { LAST_REQUEST_MS = 1000 };

/* One side's clock. */
struct clock_hand {
  unsigned char wait;  /* enum wait; what the timer of the stream or the call was set for */
  unsigned char looks; /* at what is not taken, without progress */
  uint64_t held;       /* bytes that were not taken at the last look */
  uint64_t mark;       /* progress when the timer was set */
};

#endif
