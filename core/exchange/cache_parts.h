// SPDX-License-Identifier: Apache-2.0
// cache_parts: what the files of the cache share with the walk (cache_walk) and with each other.
#ifndef PERILUNE_EXCHANGE_CACHE_PARTS_H
#define PERILUNE_EXCHANGE_CACHE_PARTS_H

#include "exchange/cache.h"
#include "exchange/cache_says.h"
#include "exchange/walk.h"
#include "http/reuse.h"
#include "http/stored.h"
#include "net/mailbox.h"
#include "net/timer.h"
#include "shared/cache.h"

enum visit_state {
  VISIT_PASSES,  /* the cache has no part in it */
  VISIT_WAITS,   /* for somebody else's fetch */
  VISIT_FETCHES, /* a peer is asked, and the fill is ours */
  VISIT_READS,   /* the response is the cache's */
  VISIT_FILLS    /* of the exchange that fills */
};

/* How far the step cache_look_up has come; each may wait. */
enum visit_stage {
  STAGE_ADMIT, /* request_cache_filter */
  STAGE_KEY,   /* cache_key_callback */
  STAGE_VARY,  /* cache_vary_filter */
  STAGE_FIND,  /* looks into the store */
  STAGE_HIT,   /* cache_hit_filter */
  STAGE_STALE, /* should_serve_stale, for a refresh in the background */
  STAGE_JOIN,  /* somebody has to ask a peer */
  STAGE_AWAIT, /* somebody else does */
  STAGE_MISS,  /* cache_miss */
  STAGE_OVER   /* on to the next step */
};
/* The same of the step cache_take_head, for each attempt. */
enum head_stage { HEAD_NEW, HEAD_STALE, HEAD_ASKS };

/* A seat at a fill, which news may be on the way to when it is left: so it is no part of the exchange. */
struct cache_seat {
  struct message message; /* first */
  struct fill_seat seat;
  struct fill *fill;         /* reference */
  struct cache_visit *visit; /* borrowed; NULL: left */
  struct mailbox *mailbox;   /* borrowed: the worker's */
  atomic_bool is_told;       /* the message is on its way */
};

/* A piece of a body: text, or a run of the stored bytes. */
struct cache_piece {
  struct str text; /* arena; .ptr NULL: */
  uint64_t first, bytes;
};

/* Where the body of the response comes from. */
struct cache_body {
  struct buf in;              /* what the relay looks at; its memory is borrowed */
  struct buf copy;            /* owned */
  struct cache_piece *pieces; /* arena */
  unsigned count, at;
  uint64_t done;     /* of the current one */
  bool wants;        /* the relay waits for more */
  bool is_dry;       /* there was none at the last look */
  bool is_only_read; /* it cannot be sent by sendfile */
};

/* When the head of the peer came in, by the time of day and by the clock of the cache. A hook may then take its time,
 * so it is read once: the Date that a response is given, its age, and the time from which it is kept agree. */
struct cache_arrival {
  struct freshness_times times;
  uint64_t since_ms;
};

/* One exchange and the cache; arena. */
struct cache_visit {
  struct exchange *exchange;
  const struct cache_rules *rules;
  enum visit_state state;
  enum visit_stage stage;
  enum head_stage head_stage;
  enum cache_force force;
  enum error cause; /* that should_serve_stale is told of */
  enum cache_result result;
  enum cache_forward forward;
  unsigned forward_status; /* of the peer, where that is not what the client gets; 0 */
  bool is_filler;          /* the fill of its seat is its own to end */
  bool is_for_cache;       /* as far as the request goes */
  bool invalidates;        /* an unsafe method */
  bool was_head;           /* HEAD, fetched by GET */
  bool is_collapsed;       /* it waited for another's fetch */
  bool is_alone;           /* it has lost its client */
  bool renews;             /* the peer has said 304: x->response is what is stored, as it is from now on */
  bool peer_keeps;         /* then: its connection may go on */
  bool wants_refresh;      /* of a rehearsal: what was served is to be fetched anew */
  bool is_never_stale;     /* the policy says so, of this request */
  bool is_beyond_rescue;   /* should_serve_stale has said so of its error */
  enum error lost;         /* how */
  unsigned rounds;         /* of looking up */
  struct str url;          /* scheme, host and target: what is purged by */
  struct str key;          /* with what else may choose the response beside its Vary */
  struct str object_key;   /* with that */
  struct str refusal;      /* static: why the response is not kept; empty: it is, or nothing is said */
  uint64_t number;         /* of the purges, when it was looked up */
  struct cache_arrival arrival;
  struct cache_control asked;
  const struct cache_says *says; /* arena: of response_cache_filter; NULL */
  const struct cache_says *said; /* arena: of request_cache_filter; NULL */
  enum background_kind background;
  struct handover *handover; /* arena; another exchange shares its memory (cache_fill.c); NULL */
  struct cache_seat *seat;   /* at a fill, or NULL */
  struct timer timer;        /* of a wait; and of a body that has more to give than one turn may take */
  bool has_timer, has_lease, validates;
  struct store_lease lease;  /* what was found, until the exchange ends */
  struct store_lease *coded; /* arena: the body of it in a coding, which is sent instead; NULL */
  struct response stored;    /* of it, or of the fill; text in the store */
  struct stored_facts facts;
  struct cache_body body;
};

static inline struct cache *visit_cache(const struct cache_visit *v) { return v->rules->cache; }

/* --- cache_key.c --- */
/* False: the request is past the cache altogether. */
bool cache_key_make(struct cache_visit *v);
/* `text` stands for path and query in the key from now on; and `text` is part of it. */
void cache_key_replace(struct cache_visit *v, struct str text);
void cache_key_extend(struct cache_visit *v, struct str text);
/* The key of the response that was chosen by Vary: `variant` is of vary_key. */
void cache_key_choose(struct cache_visit *v, struct str variant);
/* Of another target of the same scheme and host. */
struct str cache_key_of(struct exchange *x, struct str target);
enum { CACHE_CODINGS = CODINGS_GZIP | CODINGS_BR | CODINGS_ZSTD };

/* --- cache_purge.c --- */
/* The names that the response can be purged by, into its facts. */
void cache_take_tags(const struct cache_visit *v, const struct headers *h, struct stored_facts *facts);
/* Was what was found (v->facts) purged? Softly: its lifetime is over. */
bool cache_is_forgotten(struct cache_visit *v);
/* May it be published? Between cache_hold_purges and cache_let_purges of v->url. */
bool cache_is_current(const struct cache_visit *v, const struct stored_facts *facts);
/* Was nothing of it purged since the fill began? */
bool cache_may_join(const struct cache_visit *v, const struct fill *fill);
void cache_invalidate(struct cache_visit *v);

/* --- cache_hooks.c: each calls a hook of the policy, and takes what it said. STEP_NEXT: on. --- */
/* *is_in: the request is for the cache. */
enum step_result cache_ask_admission(struct cache_visit *v, bool *is_in);
enum step_result cache_ask_key(struct cache_visit *v);
enum step_result cache_ask_variance(struct cache_visit *v);
enum step_result cache_ask_hit(struct cache_visit *v);
enum step_result cache_ask_miss(struct cache_visit *v);
/* What x->response is, and how it is kept; *is_out: not at all. */
enum step_result cache_ask_storing(struct cache_visit *v, bool *is_out);
/* May what is stored be served stale because of `cause`, or, without one, while it is fetched anew? `otherwise`: what
 * the response itself says. STEP_WAIT, or STEP_NEXT with the answer in *is_served. */
enum step_result cache_ask_stale(struct cache_visit *v, enum error cause, bool otherwise, bool *is_served);

/* --- cache_lookup.c --- */
void cache_drop_lease(struct cache_visit *v);
enum step_result cache_serve(struct cache_visit *v, enum cache_result result);
uint64_t cache_kept_ms(const struct cache_visit *v);
/* Past the cache: a peer is asked for this request alone. */
enum step_result cache_pass(struct cache_visit *v);
/* Again, from the start; past the cache where that was done too often. */
enum step_result cache_look_again(struct cache_visit *v);

/* --- cache_wait.c --- */
enum cache_join cache_sit(struct cache_visit *v, struct str key);
void cache_sit_alone(struct cache_visit *v);
/* The visit of the exchange that fills takes a seat where it is told that there is room; it is the filler from then
 * on. */
void cache_sit_as_filler(struct cache_visit *v, struct fill *fill);
/* Harmless without a seat. */
void cache_leave(struct cache_visit *v);
/* The fill of its seat can be read by this visit: v->stored is its head. */
bool cache_take_fill(struct cache_visit *v);
enum step_result cache_await(struct cache_visit *v);
/* The response is read from the fill of its seat. */
enum step_result cache_serve_fill(struct cache_visit *v, enum cache_result result);
void cache_wake_later(struct cache_visit *v, unsigned ms);

/* --- cache_answer.c --- */
/* v->stored becomes x->response, as this request wants it. `length` of the whole body, or STORE_LENGTH_UNKNOWN. */
void cache_answer(struct cache_visit *v, uint64_t length);
/* Adds Cache-Status where the policy wants it. */
void cache_say_status(struct cache_visit *v, struct headers *h);

/* --- cache_body.c --- */
/* The body is this run of what is stored. */
void cache_body_begin(struct cache_visit *v, uint64_t first, uint64_t bytes);
void cache_body_end(struct cache_visit *v);
/* There may be more of a fill than there was. */
void cache_body_news(struct cache_visit *v);

/* --- cache_store.c --- */
/* The fill is over for us: whoever waits is told so. */
void cache_give_up_fill(struct cache_visit *v, enum fill_state state);
/* x->response is for the cache, or not. */
enum step_result cache_settle(struct cache_visit *v, bool is_out);
/* The same of what is stored, which the peer has said is still good. */
enum step_result cache_settle_renewed(struct cache_visit *v, bool is_out);
/* It has lost its client, and what it was to fetch is there: it ends. */
enum step_result cache_leave_alone(struct exchange *x);
/* The head of the peer is here: what is found out of it later counts from now. */
void cache_note_arrival(struct cache_visit *v);
/* The fields that each stored response has. */
void cache_set_defaults(struct cache_visit *v);
/* x->response, a 304, becomes what is stored, as it is from now on. */
void cache_merge(struct cache_visit *v);

/* --- cache_fill.c --- */
/* The attempt under way fills v's fill, in an exchange of its own. */
void cache_hand_over(struct exchange *x, struct fill *fill);
/* The body of what is stored under `key` goes into the fill. */
void cache_copy_body(struct exchange *x, struct fill *fill, struct str key);
/* The body is through. */
void cache_finish(struct exchange *x, struct fill *fill);
void cache_refresh(struct cache_visit *v);
/* The same for a rehearsal: `b` asks for what `of` was served stale, from proxy_upstream_filter on. False: somebody
 * else does. */
bool cache_begin_refresh(struct exchange *b, const struct cache_visit *of);

#endif
