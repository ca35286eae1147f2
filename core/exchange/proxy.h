// SPDX-License-Identifier: Apache-2.0
// proxy: what one worker's exchanges have in common. One per worker, touched by its thread only (invariant
// I1).
//
// Words. downstream: a client's connection. exchange: one request and its response. upstream: a connection to
// a peer, for one attempt of an exchange or idle in the peer's pool. service: one listening address with the
// hooks and settings in force there now. To add a phase: start in exchange/hooks.h.
#ifndef PERILUNE_EXCHANGE_PROXY_H
#define PERILUNE_EXCHANGE_PROXY_H

#include "base/list.h"
#include "exchange/room.h"
#include "exchange/settings.h"
#include "http/coding.h"
#include "net/coalesce.h"
#include "net/outbox.h"
#include "net/reaper.h"
#include "net/turns.h"

struct census;
struct siblings;
struct ev_loop;
struct mailbox;
struct open_file_cache;
struct resolver;
struct hooks;
struct live_rules;
struct peer;
struct policy_use;
struct recorder;
struct shadow_report;
struct span_queue;
struct tally;
struct tls_context;
struct traffic;

enum { PEER_BUCKETS = 256, PEER_GUESSES = 32 };

/* What an exchange has of a policy: all of it borrowed, and counted in `use`. */
struct service_policy {
  const struct hooks *hooks;
  const struct settings *settings;
  struct policy_use *use;
};

/* A reload changes policy and tls in place: the next exchange and the next connection use the new ones. */
struct service {
  struct service_policy policy; /* the one in force */
  struct tls_context *tls;      /* owned reference; NULL: plain */
  struct traffic *traffic;      /* borrowed from the metrics: what is counted of it */
  struct service_policy canary; /* while one runs: canary_share of 10,000 exchanges use it instead */
  unsigned canary_share;        /* 0 without one */
  struct service_policy shadow; /* while a policy is tried in the shadow; shadow.use is NULL without one */
  struct shadow_report *shadow_report; /* the worker's */
  unsigned connections;                /* open downstreams */
  struct census *census; /* borrowed from the metrics: those of all workers; NULL: not counted */
  bool is_faulty;        /* it should speak TLS, and has no certificates: connections are closed */
  bool closing;          /* no longer listened on: answers close their connection */
  void (*on_unused)(
      struct service *service); /* told when closing and the last connection has closed; may be NULL */
  char address[264];            /* as listened on, for logs */
};

/* What ids of traces are made of (trace.c). */
enum { TRACE_LINE_BEGIN = 32 };
struct trace_ids {
  uint64_t first;              /* the first half of each; 0: not known yet */
  uint64_t dice;               /* state of a random generator, for the rest */
  char line[TRACE_LINE_BEGIN]; /* what a traceparent of it begins with, its name included */
};

struct proxy {
  struct ev_loop *loop;      /* borrowed */
  struct resolver *resolver; /* owned */
  struct reaper reaper;
  struct list downstreams; /* all open client connections */
  struct list exchanges;   /* all, also those that only wait to be logged */
  unsigned downstream_count, exchange_count, upstream_count;
  unsigned fresh_count;      /* downstreams without a request so far */
  size_t heads_held;         /* bytes of buffers with parts of heads */
  unsigned idle_count;       /* upstreams in pools */
  size_t window_spare;       /* bytes by which windows of responses over HTTP/2 may still grow */
  unsigned background_count; /* runs of the policy's own work under way, of all generations */
  struct list spare_peers;   /* unreferenced, least recently used last */
  unsigned spare_count;
  struct siblings *siblings; /* borrowed: whom it may ask for connections; NULL: nobody */
  struct mailbox *mailbox;   /* borrowed: the worker's; NULL without siblings */
  unsigned *late;            /* owned; by sibling: questions that it has not answered yet, after BORROW_MS */
  struct recorder *recorder; /* borrowed from the worker; NULL: nobody records (recorder.h) */
  struct tally *tally;       /* borrowed from the metrics: what this worker counts */
  unsigned worker;           /* id, for logs */
  uint64_t dice;             /* state of a random generator, for canaries */
  struct trace_ids trace_ids;
  struct live_rules *live;              /* owned; what people look on at (live_trace.h); NULL: nobody does */
  struct span_queue *live_queue;        /* borrowed: where that goes; NULL: nowhere */
  uint64_t live_kept_second;            /* in which so many */
  unsigned live_kept;                   /* records went there without anybody looking on */
  bool stopping;                        /* no new requests: answers close their connection */
  unsigned patience_ms;                 /* stopping: how long a connection may be idle that was not told so */
  void (*on_idle)(struct proxy *proxy); /* told when stopping and nothing is left to do; may be NULL */
  void (*on_background_end)(struct proxy *proxy); /* told when the last of it has ended; may be NULL */
  void *owner;
  struct peer *peer_guesses[PEER_GUESSES]; /* borrowed: of the last calls of peer_intern */
  struct peer *peers[PEER_BUCKETS];
  struct open_file_cache *files; /* owned; NULL: none was opened so far */
  struct room room;
  struct outbox outbox;
  struct coalesce coalesce;
  struct turns turns; /* of whoever encodes or decodes */
  struct coding_pool encoders, decoders;
};

void proxy_init(struct proxy *proxy, struct ev_loop *loop, unsigned worker);
/* The service is no longer listened on: its idle connections close now, busy ones behind their response. May
 * call on_unused. */
void service_close(struct proxy *proxy, struct service *service);
/* Begins to drain: busy connections close behind their response; idle ones that were busy in the last `patience_ms`
 * get the rest of that for one more request, the others close now. */
void proxy_stop(struct proxy *proxy, unsigned patience_ms);
/* A connection or an exchange has ended: calls on_idle if it was the last. */
void proxy_ease(struct proxy *proxy);
/* A run of background work begins, and ends: calls on_idle if it was the last of all that was under way. */
void proxy_begin_background(struct proxy *proxy);
void proxy_end_background(struct proxy *proxy);
/* Closes all connections, whatever is under way. Afterwards no hook is called any more. */
void proxy_close(struct proxy *proxy);
/* Frees the rest, once nothing uses the resolver any more. */
void proxy_free(struct proxy *proxy);

#endif
