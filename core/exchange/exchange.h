// SPDX-License-Identifier: Apache-2.0
// exchange: one request and its response, the unit that has an arena, a ctx, a deadline and a log line.
//
// steps.c is the list of the steps of a request, in order. A step does one thing and returns NEXT, JUMPED, WAIT or
// DONE. Asynchronous events (connected, head arrived, hook finished, deadline) store their outcome in the exchange
// and call exchange_wake: one place runs the next step. Any failure goes through exchange_fail: one failure path.
#ifndef PERILUNE_EXCHANGE_EXCHANGE_H
#define PERILUNE_EXCHANGE_EXCHANGE_H

#include "base/arena.h"
#include "base/check.h"
#include "base/error.h"
#include "base/list.h"
#include "exchange/hooks.h"
#include "exchange/parts.h"
#include "http/message.h"
#include "shared/tried.h"

struct cache_visit;
struct codings;
struct kept;
struct proxy;
struct service;
struct settings;
struct shadow;
struct stream;

/* An answer of our own or of the policy instead of a peer's response. */
struct answer {
  struct response response; /* status, reason and fields; Content-Length is written from `content` */
  struct str content;       /* arena */
  size_t room;              /* of content, where it can grow in place */
  bool is_file;             /* its content is that of x->rare->file */
  bool is_streamed;         /* its content is that of x->rare->streamed, which is not known yet */
  bool has_length;          /* but its length is, of one that is streamed */
  uint64_t length;
  bool close;                /* close the connection behind it */
  unsigned short stands_for; /* the HTTP status that it says as grpc-status (grpc.h); 0: it says its own */
  bool resets;               /* there is none: the stream is reset, or the connection of HTTP/1 closed */
  uint32_t code;             /* by which it is reset (RFC 9113 section 7) */
};

enum hook_state { HOOK_IDLE, HOOK_WAITING, HOOK_FINISHED };

/* The walk, in order. Two arrows point back: a retry to upstream_peer, and keep-alive to the next exchange;
 * and an interim (1xx) response returns to read_response. From fail_to_connect on it is the failure path. */
#define STEP_TABLE(X)                                                                                        \
  X(early_request_filter)                                                                                    \
  X(request_filter)                                                                                          \
  X(cache_look_up)                                                                                           \
  X(proxy_upstream_filter)                                                                                   \
  X(await_body)                                                                                              \
  X(upstream_peer)                                                                                           \
  X(connect)                                                                                                 \
  X(connected_to_upstream)                                                                                   \
  X(upstream_request_filter)                                                                                 \
  X(send_request)                                                                                            \
  X(read_response)                                                                                           \
  X(upstream_response_filter)                                                                                \
  X(send_interim)                                                                                            \
  X(cache_take_head)                                                                                         \
  X(response_filter)                                                                                         \
  X(send_response)                                                                                           \
  X(relay_bodies)                                                                                            \
  X(fail_to_connect)                                                                                         \
  X(error_while_proxy)                                                                                       \
  X(fail_to_proxy)                                                                                           \
  X(send_answer)                                                                                             \
  X(logging)                                                                                                 \
  X(finish)

enum { EXCHANGE_MAGIC = 0xec5a1002 };

enum exchange_step {
#define X(name) STEP_##name,
  STEP_TABLE(X)
#undef X
};
enum step_result {
  STEP_NEXT,   /* on to the next step */
  STEP_JUMPED, /* x->step says where to go on, or what to do again */
  STEP_WAIT,   /* parked until exchange_run, which may have come already */
  STEP_DONE    /* the exchange is gone */
};

struct exchange_times { /* ms on the loop's clock; 0: not reached */
  uint64_t begun, ended;
  struct exchange_limit *limit; /* arena; of a request whose client gives it so much time (grpc.h) */
};

/* An exchange of the cache itself, without a client (cache_fill.c). */
enum background_kind {
  BACKGROUND_NONE,
  BACKGROUND_FILL,   /* it has taken over another's attempt, or copies: no walk, no log line */
  BACKGROUND_REFRESH /* it walks from proxy_upstream_filter to logging */
};

/* What a relay waited for when it was pumped last; the deadlines follow from it. */
enum transfer {
  TRANSFER_OFF,
  TRANSFER_READS,  /* for its source */
  TRANSFER_WRITES, /* for its sink */
  TRANSFER_FILTERS /* for a body filter of the policy */
};

/* What the client has been told so far. */
struct sent {
  unsigned short status; /* of the final head; 0: none yet */
  bool continued;        /* a 100 was sent, so the client will send the body it announced */
  bool informed;         /* an interim response was sent: no other peer may begin again */
  bool closes;           /* the client's connection closes behind the response */
  bool aborted;          /* the response ended short: the client must see that */
  bool promised;         /* the policy has fields for whichever final response is sent (hooks->promised) */
  unsigned peers_code;   /* why, where its peer has reset a stream of HTTP/2: the code of that; else 0 */
  unsigned grpc_status;  /* and 1; 0: none */
};

/* The request's body as far as it is in memory: for a retry, or because the policy reads it whole (request_body.c). */
struct request_body {
  struct buf replay;     /* its bytes sent so far, for a retry; or all of it, read before (bounded) */
  struct buf unfiltered; /* what was read before, on its way to the filter */
  bool is_read;          /* all of it is in `replay`, or has been */
  bool feeds_filter;     /* and `unfiltered` is what is read from now on */
  void (*on_body)(struct exchange *x); /* set while it is read */
};

/* In the order of use: what all steps look at, what the response's and the request's do, and what few exchanges
 * need. With many connections each cache line of it comes from memory again. */
struct exchange {
  OBJ_MAGIC;
  struct arena arena;                 /* holds the exchange itself too */
  struct list link;                   /* in proxy->exchanges */
  enum hook hook;                     /* the one that runs or ran last */
  enum error error;                   /* the failure that ended it, ERROR_NONE so far */
  unsigned char hook_state;           /* enum hook_state */
  unsigned char step;                 /* enum exchange_step */
  unsigned char up_state, down_state; /* enum transfer */
  unsigned short error_status;        /* a status that a hook chose for the failure; 0: the table's */
  struct sent sent;
  struct proxy *proxy;             /* borrowed: the worker's */
  struct stream *stream;           /* borrowed; NULL once the client is gone */
  const struct hooks *hooks;       /* borrowed from the policy, which `begin`/`end` hold */
  const struct settings *settings; /* likewise */
  struct policy_use *use;          /* likewise */
  void *script;                    /* owned by the hooks' implementation */
  struct answer *answer;           /* arena; set: this is sent instead of a peer's response */
  struct attempt *rival;           /* arena; an earlier attempt that may still answer first (hedge.c) */
  struct codings *codings;         /* arena; content codings that are undone or put on; NULL: none so far */
  struct kept *kept;         /* arena; an answer of error, while another backend is asked (elsewhere.c) */
  struct cache_visit *cache; /* arena; its way through the cache of its listener; NULL: there is none */
  unsigned attempts;         /* upstream_peer calls so far */
  enum error last_error;     /* of the last attempt that another followed: told where nobody is left to ask */
  bool running, again;       /* exchange_run: inside, and to be done once more */
  bool secure;               /* the client came by TLS */
  bool hedged;               /* there has been a hedge: no second one */
  bool tunnel;               /* after a 101, or a 2xx to CONNECT */
  bool is_shadow;            /* a dry run: nothing is sent, and it ends with its decision */
  unsigned char slow_hook; /* enum hook and 1: its call was the slowest so far; 0: none was (live_trace.h) */
  struct clock_hand clock; /* what the client owes */
  struct upload upload;    /* how slowly the request's body may come */
  struct hook_outcome outcome;
  struct exchange_times times;
  struct account account; /* what the metrics want to know */
  struct tried tried;     /* the backends of the attempts so far: added to when a lease begins */

  struct relay down;        /* the response's body, to the client */
  struct response response; /* the peer's, then edited by the response filters */
  struct heads heads;       /* what came with them */

  struct request request; /* as the client sent it, hop-by-hop fields removed */
  struct attempt now;     /* the one under way, or the last one */

  struct request_body body;
  struct shadow *shadow; /* held; while another policy is tried in its shadow (exchange/shadow) */
  struct rare *rare;     /* arena; what few exchanges have (exchange_rare); NULL: nothing of it */
};

/* --- for the hooks' implementation ---------------------------------------------------------------------- */

/* A hook that answered HOOK_WAIT has its outcome stored. Runs the exchange; the exchange may be gone
 * afterwards. */
void exchange_wake(struct exchange *x);
/* Takes `status` with an empty body as the answer; fields can be added to the result's response.headers,
 * content be set (arena memory of x). Replaces an earlier answer. False results are not possible; misuse is
 * the caller's to check with exchange_can_answer. */
struct answer *exchange_answer(struct exchange *x, unsigned status);
/* Bytes of the content of the answer, before it is encoded; of one that is not streamed. */
uint64_t exchange_content_bytes(const struct exchange *x);
/* Takes the end of the stream without an answer as the answer. */
void exchange_reset(struct exchange *x, uint32_t code);
/* No head was sent to the client yet. */
bool exchange_can_answer(const struct exchange *x);
/* "1.2.3.4:5678", "[::1]:80", "unix:" or "unknown" of the client, also of one that is gone. Arena or longer. */
struct str exchange_client_address(struct exchange *x);
/* The same without port and brackets. */
struct str exchange_client_host(struct exchange *x);
/* Makes room for what few exchanges have, where there is none. */
struct rare *exchange_rare(struct exchange *x);
/* Its client is that of another. */
void exchange_copy_client(struct exchange *to, struct exchange *from);
/* As exchange_client_host, but of the other end of the connection: the client, or a trusted proxy in front of us. */
struct str exchange_connection_host(struct exchange *x);

/* Is the request tried at another backend of its set after this error, where the policy does not decide? */
bool exchange_set_retries(const struct exchange *x, enum error error);

/* The request's body is here, or there is none. */
bool exchange_has_body(const struct exchange *x);
/* Reads it into memory before a peer is asked: `on_body` follows from the loop, or the exchange fails (more
 * than `limit` bytes: 413). Not where it is here already, nor once a part was sent. */
void exchange_read_body(struct exchange *x, size_t limit, void (*on_body)(struct exchange *x));
/* on_body will not be called. */
void exchange_cancel_body(struct exchange *x);
/* The whole, valid until a peer is asked; and another in its place. */
struct str exchange_body(const struct exchange *x);
void exchange_set_body(struct exchange *x, struct str text);

/* --- for streams and calls ------------------------------------------------------------------------------ */

/* A request has come on a stream, which has no exchange: this makes one. The caller sets x->stream and that stream's
 * exchange, and x->secure; fills in x->request, with text in x->arena and without what belongs to the connection; and
 * calls exchange_start, which runs it at once. `error`: the request could not be read (`why`: a static sentence, or
 * NULL), so it goes straight to the failure path. `arena`: what the request's text lies in already, which becomes the
 * exchange's; or an empty one. */
struct exchange *exchange_begin(struct proxy *proxy, struct service *service, struct arena arena);
void exchange_start(struct exchange *x, enum error error, const char *why);
/* Something an exchange waits for happened. Safe at any time; runs the steps unless they are running already.
 * The exchange may be gone afterwards. */
void exchange_run(struct exchange *x);
/* Ends the normal walk with `error`, which goes to the log, to the policy and then to the client, and runs
 * the exchange. `why` is more for the log; NULL: nothing. */
void exchange_fail_because(struct exchange *x, enum error error, const char *why) __attribute__((cold));
void exchange_fail(struct exchange *x, enum error error) __attribute__((cold));
/* The client is gone: no answer, but logging. The stream must not be used by the exchange any more. */
void exchange_client_gone(struct exchange *x, enum error error);
/* The worker ends, and the client is gone: a logging hook that still waits is given up. */
void exchange_abandon(struct exchange *x);
/* With an event of its call, before that is read: what follows looks at the exchange, at what lies behind it in its
 * arena, and at its stream. With many connections all of that has left the caches, and can come back while the
 * kernel reads. */
void exchange_prefetch(const struct exchange *x);
/* The proxy stops: a peer that has answered in full is not sent the rest of the request any more. */
void exchange_hasten(struct exchange *x);
/* The client has ended its direction: is that taken for its end altogether? A response under way shows it by itself. */
bool exchange_gives_up(const struct exchange *x);
/* Events of its stream, and of its call (transfer.c, deadline.c). False: it does not read, or write, just now;
 * true: it may be gone. */
bool exchange_stream_readable(struct exchange *x);
bool exchange_stream_writable(struct exchange *x);
void exchange_stream_due(struct exchange *x);
bool exchange_call_readable(struct exchange *x);
bool exchange_call_writable(struct exchange *x);
void exchange_call_due(struct exchange *x);
/* Events of the call of the rival (hedge.c). */
void hedge_readable(struct exchange *x);
void hedge_due(struct exchange *x);

#endif
