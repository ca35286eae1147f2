// SPDX-License-Identifier: Apache-2.0
// trace: an exchange as a part of a distributed trace. What the client says (traceparent, tracestate) is read and
// checked; whether the trace is sampled is decided; each attempt tells its peer. Of a sampled exchange a SERVER span, a
// CLIENT span for each attempt, and what the policy adds are recorded, and put into the queue for the collector when
// the exchange is over (trace_encode.c has their form).
//
// Without tracing in the listener's settings an exchange has no trace, and all of this is a look at one pointer. A
// trace and its spans lie in the arena of their exchange. An attempt points at its span, and may take it along to
// another exchange, which shares that arena (cache_fill.c): so a span knows when it ended, and an exchange ends those
// that still run.
#ifndef PERILUNE_EXCHANGE_TRACE_H
#define PERILUNE_EXCHANGE_TRACE_H

#include "base/error.h"
#include "exchange/parts.h"
#include "http/trace_context.h"

struct exchange;
struct span_queue;
struct trace_ids;

enum trace_parent {
  TRACE_FOLLOW, /* the client's trace goes on, and is sampled if the client samples it */
  TRACE_JOIN,   /* it goes on, but the ratio decides */
  TRACE_IGNORE  /* a new trace begins, whatever the client says */
};

/* What the policy says of it; borrowed from the policy. */
struct tracing {
  struct span_queue *queue; /* borrowed: of all workers */
  uint64_t threshold;       /* sampled is a trace whose id has less than this in its second half, */
  bool samples_all;         /* or any */
  enum trace_parent parent;
};

enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER = 2, SPAN_CLIENT = 3 };
/* Of one exchange; of one span that the policy adds; and their bytes. Longer values are cut. */
enum { SPANS_MOST = 128, SPAN_ATTRIBUTES = 32, SPAN_KEY_BYTES = 64, SPAN_VALUE_BYTES = 1000 };

struct span_attribute { /* arena, as all that it points to */
  struct span_attribute *next;
  struct str key;
  struct str value; /* as AnyValue of OTLP */
  size_t room;
};

enum { GRPC_CODE_NONE = -1, GRPC_CODE_MOST = 16 };

struct span {        /* arena */
  struct span *next; /* older */
  unsigned number;   /* of its trace; 0: the exchange itself */
  enum span_kind kind;
  uint64_t id, parent;
  uint64_t begun, ended; /* ticks; 0: it runs */
  struct str name;       /* arena or static; empty: the method */
  struct str error;      /* static or arena: what went wrong; empty: nothing so far */
  struct str address;    /* arena: of an attempt's peer, or of a call */
  struct str url;        /* arena: of a call, without the query; of an attempt it is made of what is known */
  unsigned status;       /* of the response; 0: none came */
  int grpc_code;         /* of an attempt; GRPC_CODE_NONE: it had none */
  unsigned resend;       /* how many attempts went before */
  bool is_attempt, is_secure, is_http2, is_reused, is_lost;
  unsigned attribute_count, attributes_missed;
  struct span_attribute *attributes; /* newest first */
};

struct trace {                  /* arena */
  const struct tracing *rules;  /* borrowed */
  struct trace_context context; /* with the id of our own span; is_sampled is what we decide */
  uint64_t parent;              /* the client's span; 0: the trace begins here */
  bool is_plain;          /* it begins here, the client has said nothing of any, and nothing is recorded */
  bool is_remote_sampled; /* what the client said */
  bool passes_on;         /* what the client sent goes on as it is */
  bool drops_state;       /* its tracestate does not */
  struct span *own;       /* of the exchange; NULL where nothing is recorded */
  struct span *spans;     /* all others, newest first */
  unsigned count, missed; /* of them; that there was no room for */
  int grpc_code;          /* that its response ended with; GRPC_CODE_NONE */
};

/* The ids that a worker gives begin with `first` and go on with what the dice says (trace.c). So does a worker whose
 * traces are to be the same again. */
void trace_seed(struct trace_ids *ids, uint64_t first, uint64_t dice);

/* The request is here. Only where x->settings->tracing is set. */
void trace_begin(struct exchange *x);
/* Is the exchange sampled, as far as is known now? Most are not, and then there is little to do: ask this first. */
static inline bool trace_is_sampled(const struct trace *t) {
  return __builtin_expect(t && t->context.is_sampled, false);
}
/* x->now begins; only where it is sampled. */
void trace_attempt(struct exchange *x);
/* The request of x->now is to be sent: x->now.request gets the fields. */
void trace_ask(struct exchange *x);
/* The peer has answered with x->response. */
void trace_answered(struct exchange *x);
/* x->now is over, and its call still there; `error`: why, if it failed. It has no span any more. */
void trace_attempt_end(struct exchange *x, enum error error);
/* One that stands aside is over, for that reason; none: another one was faster. */
void trace_attempt_drop(struct attempt *aside, enum error error);
/* The exchange is over; only where its own span is there. And its hooks have said all they want: its spans go into the
 * queue; only where it is sampled. */
void trace_over(struct exchange *x);
void trace_end(struct exchange *x);

/* --- for the policy --- */

/* Overrides what was decided. What was sent to peers so far stays said. */
void trace_sample(struct exchange *x, bool is_sampled);
/* Another span below `parent` (NULL: the exchange's own); NULL: nothing is recorded, or there are too many. Copies. */
struct span *trace_open(struct exchange *x, const struct span *parent, enum span_kind kind, struct str name);
void span_close(struct span *span);
/* Number 0 is the exchange's own; NULL: it is not recorded. */
struct span *trace_span(const struct exchange *x, unsigned number);
/* NULL: it has none of that key. */
struct span_attribute *span_attribute(const struct span *span, struct str key);
/* Sets an attribute; `value` is an AnyValue of SPAN_ANY_BYTES at most; empty: one of ours is left out. Copies, into as
 * many bytes of the arena as span_room_for says. A span that has as many as it may have counts it only. */
enum { SPAN_ANY_BYTES = SPAN_VALUE_BYTES + 4 };
size_t span_room_for(const struct span *span, struct str key, struct str value);
void span_set(struct exchange *x, struct span *span, struct str key, struct str value);
/* 32 digits. */
static inline void trace_write_id(const struct trace *t, char to[TRACE_ID_TEXT]) {
  trace_write_hex(t->context.high, to);
  trace_write_hex(t->context.low, to + 16);
}
/* What a request says that the policy makes itself, below `span` (NULL: the exchange's own): TRACEPARENT_TEXT bytes. */
void trace_write(const struct exchange *x, const struct span *span, char to[TRACEPARENT_TEXT]);

/* --- trace_encode.c --- */

/* The bytes of one, in room for SPAN_BYTES_MOST (shared/span_queue.h). `now_ns` is the time of day of `now_ticks`. */
struct span_moment {
  uint64_t ticks, ns;
};
size_t trace_encode(struct exchange *x, const struct span *span, struct span_moment now, char *to);

#endif
