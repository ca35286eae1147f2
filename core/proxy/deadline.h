// SPDX-License-Identifier: Apache-2.0
// deadline: who owes the next byte? While an exchange runs, each of its two connections has one clock. Which wait the
// clock belongs to is derived from the exchange's state each time that something moved, and from nothing else; who
// owes, which setting gives the time, and what its end means is one table (deadline.c). The rule: a clock never runs
// while the proxy itself, or its policy, is what everybody waits for, and it begins anew afterwards. A clock is put
// back by progress of its own wait only.
//
// To add a wait: an id here, a line in the table, a line in client_wait or peer_wait.
#ifndef PERILUNE_PROXY_DEADLINE_H
#define PERILUNE_PROXY_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

struct exchange;
struct settings;

enum owes { OWES_NOBODY, OWES_CLIENT, OWES_PEER, OWES_EITHER, OWES_POLICY, OWES_RESOLVER };

enum wait {
  WAIT_NOTHING,
  WAIT_POLICY, /* a hook or a body filter has not answered yet */
  /* A client, before and behind an exchange (downstream.c, greeting.c). */
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
  unsigned char wait;  /* enum wait; what the connection's timer was set for */
  unsigned char looks; /* at what is not taken, without progress */
  uint64_t held;       /* bytes that were not taken at the last look */
  uint64_t mark;       /* progress when the timer was set */
};

/* Sets both clocks to what the exchange waits for now. */
void deadline_watch(struct exchange *x);
/* The wait for response heads is over, or begins anew with the next attempt or the next part of the request. */
void deadline_head_came(struct exchange *x);
void deadline_request_sent(struct exchange *x);

/* By the settings of the listener; for waits outside an exchange. */
unsigned wait_ms(enum wait wait, const struct settings *settings);

#endif
