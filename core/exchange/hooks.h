// SPDX-License-Identifier: Apache-2.0
// hooks: the seam between the proxy and the policy. The proxy calls plain C function pointers; lua/vm/hooks.c
// implements them with Lua tasks, core/runtime/forward.c in C for a proxy without a script.
//
// A hook the policy does not define is NULL and costs nothing. A hook answers at once (HOOK_DONE,
// HOOK_FAILED), or says HOOK_WAIT and calls exchange_wake(x) once its outcome is stored; never both, and
// never from inside the call.
//
// Only answer_filter cannot make an exchange fail: the head is then sent as it was before the hook; the
// implementation of the hooks does this. It has no step, since two steps send a final head: see steps.c.
//
// The body hooks are called for each piece of a body, independently of the steps: see filter.c.
//
// To add a phase: a line in HOOK_TABLE (in the order of the steps), a step in steps.c, its call in lua/vm/hooks.c if
// its arguments are of a new shape, the type entry in lua/perilune/types.lua, an example and a spec. For a
// body: a line in BODY_HOOK_TABLE and its place in filter.c.
#ifndef PERILUNE_EXCHANGE_HOOKS_H
#define PERILUNE_EXCHANGE_HOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

struct cache_says;
struct exchange;
struct headers;
struct peer;
struct tls_identity;

#define HOOK_TABLE(X)                                                                                        \
  X(early_request_filter)     /* (session, ctx): first, before anything else */                              \
  X(request_filter)           /* (session, ctx): true = answered, go to logging */                           \
  X(request_cache_filter)     /* (session, ctx): false = without the cache; a table: what is different */    \
  X(cache_key_callback)       /* (session, ctx): what stands for path and query in the key */                \
  X(cache_vary_filter)        /* (session, ctx): what chooses among responses of a key, beside Vary */       \
  X(cache_hit_filter)         /* (session, response, is_fresh, ctx): "fresh", "expired" or "miss" */         \
  X(cache_miss)               /* (session, ctx): nothing is stored, a peer is asked next */                  \
  X(proxy_upstream_filter)    /* (session, ctx): false = do not ask a peer, 502 unless answered */           \
  X(upstream_peer)            /* (session, ctx): required; gives the peer */                                 \
  X(fail_to_connect)          /* (session, peer, ctx, error): error.retry = true/false decides */            \
  X(connected_to_upstream)    /* (session, reused, peer, ctx): also for reused connections */                \
  X(upstream_request_filter)  /* (session, request, ctx): edits the request of this attempt */               \
  X(upstream_response_filter) /* (session, response, ctx): head as the peer sent it, also 1xx */             \
  X(response_cache_filter)    /* (session, response, ctx): false = not stored; a table: how */               \
  X(should_serve_stale)       /* (session, error or nil, ctx): true or false */                              \
  X(response_filter)          /* (session, response, ctx): head as the client gets it */                     \
  X(error_while_proxy)        /* (session, peer, error, ctx, reused): after connect; error.retry decides */  \
  X(fail_to_proxy)            /* (session, error, ctx): may answer; may give a status */                     \
  X(answer_filter)            /* (session, response, ctx): each final head, of any origin; its fields */     \
  X(logging)                  /* (session, error or nil, ctx): always last, exactly once */

#define BODY_HOOK_TABLE(X)                                                                                   \
  X(request_body_filter)           /* (session, chunk, is_last, ctx): on its way to the peer */              \
  X(upstream_response_body_filter) /* the same: as the peer sends it */                                      \
  X(response_body_filter)          /* the same, behind it: as the client gets it */                          \
  X(response_trailer_filter)       /* (session, trailers, ctx): behind a chunked body; may give its end */

/* Asked for a connection, before there is an exchange: see greeting.c. */
#define GREETING_HOOK_TABLE(X)                                                                               \
  X(certificate) /* (hello, ctx): certificate, key and ttl; nil = the listener's own; false = refused */

enum hook {
#define X(name) HOOK_##name,
  HOOK_TABLE(X) BODY_HOOK_TABLE(X) GREETING_HOOK_TABLE(X)
#undef X
      HOOK_COUNT
};

enum hook_status {
  HOOK_DONE,  /* x->outcome holds what the hook decided */
  HOOK_WAIT,  /* exchange_wake(x) follows */
  HOOK_FAILED /* the policy failed: x->outcome.error says how; it has been logged with its traceback */
};

/* What hooks decide; zeroed before each call. */
struct hook_outcome {
  enum error error;  /* with HOOK_FAILED: SCRIPT, SCRIPT_TIMEOUT, BAD_PEER, NO_BACKEND */
  struct peer *peer; /* upstream_peer: a reference that passes to the exchange */
  unsigned
      hedge_ms;  /* upstream_peer: without an answer for so long, another peer is asked beside; 0: never */
  bool answered; /* request_filter returned true */
  bool refused;  /* proxy_upstream_filter returned false */
  bool decides_retry; /* fail_to_connect, error_while_proxy: `retry` overrides the table */
  bool retry;
  bool
      asks_again; /* upstream_response_filter: another attempt instead of this response, as long as it can be */
  unsigned short status;    /* fail_to_proxy, and errors raised with a status: 0 = as the table says */
  struct cache_says *cache; /* arena; of the hooks of the cache (cache_says.h); NULL: they said nothing */
};

/* How a policy fares in one worker, since the tally was zeroed. */
struct policy_tally {
  uint64_t exchanges;     /* ended */
  uint64_t script_errors; /* hooks that failed */
  uint64_t server_errors; /* answered with 500 or more */
  uint64_t latency_us;    /* sum over the exchanges, without tunnels */
};

/* What still uses a policy in one worker: a retired policy is closed once its last exchange, and its background work,
 * have ended. */
struct policy_use {
  unsigned exchanges; /* and whatever else is under way */
  unsigned jobs;      /* of these, runs of background work */
  struct policy_tally tally;
  /* NULL while the policy is in force; called from inside the last one's end. */
  void (*on_unused)(struct policy_use *use);
};

typedef enum hook_status hook_fn(struct exchange *x);

/* A piece of a body, or its trailers, on its way through one body hook. */
struct body_piece {
  struct exchange *x;       /* borrowed */
  enum hook hook;           /* which one is asked */
  struct str chunk;         /* in: borrowed until the answer */
  struct headers *trailers; /* in: of response_trailer_filter, which changes them in place */
  bool is_last;             /* in: nothing follows; the chunk may be empty then */
  bool unchanged;           /* out: the chunk goes on as it is */
  struct buf *out;          /* out: what goes on instead, appended by the hook; of trailers: in their place */
  enum error error;         /* out, with HOOK_FAILED */
  unsigned short status;    /* likewise: of an error raised with a status, else 0 */
  const char *why;          /* static, of a failure that is not the hook's; else NULL */
  void *script;             /* owned by the hooks' implementation, while it waits */
  uint64_t began;           /* ticks, for the metrics */
  void (*on_answer)(struct body_piece *piece, bool failed); /* of a rehearsal; NULL: filter.c goes on */
};

/* Answers as a hook_fn does; after HOOK_WAIT, body_piece_wake(piece) follows. */
typedef enum hook_status body_hook_fn(struct body_piece *piece);

/* A handshake that waits for the certificate for a name. */
struct certificate_request {
  struct str server_name,
      client;        /* in: borrowed while it lasts; the name is empty where the client has none */
  bool is_challenge; /* in: an authority wants to see that the name is ours (RFC 8737) */
  struct tls_identity *identity; /* out: a reference; NULL: the listener's own */
  unsigned ttl_s;                /* out: how long it is good for further connections; 0: for this one */
  bool refused;                  /* out: no handshake */
  const struct hooks *hooks;     /* borrowed: whose hook is asked */
  struct policy_use *use;        /* borrowed: of their policy, which stays while the request does */
  void *owner;                   /* borrowed: the downstream */
  void *script;                  /* owned by the hooks' implementation, while it waits */
};

/* Answers as a hook_fn does; after HOOK_WAIT, certificate_request_wake(request) follows. HOOK_FAILED refuses. */
typedef enum hook_status certificate_hook_fn(struct certificate_request *request);

enum { REQUEST_ID_BYTES = 65 };

struct hooks {
  bool asks_nobody; /* upstream_peer never gives a peer */
#define X(name) hook_fn *name;
  HOOK_TABLE(X)
#undef X
#define X(name) body_hook_fn *name;
  BODY_HOOK_TABLE(X)
#undef X
#define X(name) certificate_hook_fn *name;
  GREETING_HOOK_TABLE(X)
#undef X
  bool decodes; /* the body hooks get text: content codings are undone before them (codings.h) */
  /* Not phases: brackets around the life of each exchange (may be NULL). `begin` is called before the first
   * hook, `end` after logging: a task that still waits is cancelled, handles become invalid, x->script is
   * freed. `cancel` abandons a hook that waits because its exchange failed meanwhile; no wake follows. */
  void (*begin)(struct exchange *x);
  void (*cancel)(struct exchange *x);
  /* For the log: the id that the policy has given the request; leaves the text empty where it has given none. */
  void (*read_id)(struct exchange *x, char id[REQUEST_ID_BYTES]);
  /* The fields that the policy has promised for whichever response is sent, where x->sent.promised says that there are
   * some. */
  const struct headers *(*promised)(const struct exchange *x);
  void (*cancel_piece)(struct body_piece *piece);                  /* the same for a body hook that waits */
  void (*cancel_certificate)(struct certificate_request *request); /* and for that of a handshake */
  void (*end)(struct exchange *x);
  void *policy; /* borrowed: whose hooks these are; for the implementation */
};

const char *hook_name(enum hook hook);

/* filter.c: a body hook that said HOOK_WAIT has its answer in the piece. The exchange goes on, and may be
 * gone afterwards. */
void body_piece_wake(struct body_piece *piece, bool failed);
/* greeting.c: the same for a handshake. Its connection goes on, and may be gone afterwards, with the request. */
void certificate_request_wake(struct certificate_request *request, bool failed);

#endif
