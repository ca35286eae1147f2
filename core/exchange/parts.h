// SPDX-License-Identifier: Apache-2.0
// parts: the parts of struct exchange, as plain data. Each part belongs to the file that its comment names.
#ifndef PERILUNE_EXCHANGE_PARTS_H
#define PERILUNE_EXCHANGE_PARTS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/str.h"
#include "exchange/waits.h"
#include "http/message.h"
#include "relay/relay.h"
#include "shared/lease.h"

struct call;
struct file_answer;
struct live;
struct log_field;
struct peer;
struct recording_of;
struct span;
struct streamed_answer;
struct trace;
struct traffic;

struct attempt_times { /* ms on the loop's clock; 0: not reached */
  uint64_t connect_begun, connected, request_sent, first_byte;
};

/* One try at one peer (attempt.h). In the order of use, as struct exchange. */
struct attempt {
  struct peer *peer; /* reference, from upstream_peer to the end */
  struct call *call; /* owned, from connecting to the end */
  bool connected;
  bool reused;             /* the connection is from the pool */
  bool readable;           /* the peer has sent something: the head is worth reading */
  unsigned hedge_ms;       /* without an answer for so long, another peer is asked as well; 0: never */
  struct clock_hand clock; /* what the peer owes */
  uint64_t head_due_ms;    /* of the response head that is awaited; 0: it is not */
  uint64_t heads_until_ms; /* interim responses put head_due_ms back, but not beyond this; 0: not yet known */
  uint64_t hedge_due_ms;   /* when another peer is asked as well; 0: never */
  uint64_t began;          /* ticks: connecting, later sending the request */
  struct attempt_times times;
  struct lease lease;     /* of the backend; upstream_peer may begin it, attempt_end ends it */
  struct request request; /* the copy that upstream_request_filter edits */
  struct relay up;        /* the request's body, to the peer */
  struct str address;     /* arena; of the last attempt, as the policy wrote it */
  struct span *span;      /* arena; what is recorded of it (trace.h); NULL: nothing */
};

/* The metrics' part of an exchange (account.h). */
struct account {
  struct trace *trace;            /* arena; NULL: the request is part of none (trace.h) */
  struct live *live;              /* arena; NULL: nobody looks on (live_trace.h) */
  struct recording_of *recording; /* owned; while it is taken down (recorder.h); NULL: it is not */
  struct traffic *traffic;        /* borrowed from the metrics: of its listener */
  uint64_t head_bytes;            /* of the request, as received; 0: it could not be read */
  uint64_t began;                 /* ticks */
  uint64_t hook_began;            /* ticks: of the one that waits */
  uint64_t first_byte_us;         /* of the last attempt that had one */
  uint64_t duration_us;           /* of the exchange, once it is over */
  time_t ended_at;                /* for the access log only, as is what follows */
  struct str listener;            /* arena; none where the client is gone */
  struct str peer;                /* arena: address of the last one asked */
  struct str peer_protocol;       /* static: what was spoken with it; none where it was not connected */
  struct str asked_target; /* of the client; none where the policy has changed nothing of the request line */
  struct str asked_method; /* of the client, as asked_target */
  struct log_field *log_fields; /* arena: what the policy adds to the line */
};

/* Of the peer's response heads. */
struct heads {
  size_t bytes;       /* of all heads of the attempts so far (bounded) */
  struct body stated; /* length that a response without body states (HEAD, 304) */
};

/* What few exchanges have. Arena, with all text. */
struct rare {
  struct str client; /* its address, once it is gone, of a shadow, and behind proxies; empty: the stream's */
  struct str
      connection; /* of the trusted proxy that has connected for it (real_client); empty: it has itself */
  struct file_answer *file; /* whose content the answer is, or was to be (file_answer.h); NULL: none */
  struct streamed_answer
      *streamed; /* whose content the policy writes as it goes (streamed_answer.h); NULL: none */
};

/* How slowly the body of its request may come (upload.h). */
struct upload {
  uint64_t since_ms;          /* the credit is used up from then on, while `runs` */
  uint64_t received, written; /* bytes of the body, and of the response, when it was counted last */
  unsigned credit_ms;
  bool has_begun, runs;
  bool was_awaited; /* before a peer was asked (request_body.c) */
};

#endif
