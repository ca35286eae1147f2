// SPDX-License-Identifier: Apache-2.0
// live_trace: what an exchange does, step by step, for people who look on with `perilune trace`. That has nothing to do
// with the spans of trace.h, which the policy asks for and a collector gets.
//
// While nobody looks on, proxy->live is NULL, no exchange has notes, and each place that would note something looks at
// one pointer. A rule says what is of interest. What is known at the begin (path, host, method, client) decides
// whether notes are made at all; the rest (status, time, peer, error) decides at the end whether they become a record
// (shared/live_record.h), which goes into the ring of the worker. Nothing waits: where the ring is full, the record is
// lost and counted.
//
// Failures, and the slowest calls of hooks, become records of what the exchange knows at its end anyway, also while
// nobody looks on; a few in a second.
#ifndef PERILUNE_EXCHANGE_LIVE_TRACE_H
#define PERILUNE_EXCHANGE_LIVE_TRACE_H

#include "base/error.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "shared/live_record.h"

struct cidr_set;

enum { LIVE_RULES_MOST = 7, LIVE_NOTES_MOST = 256, LIVE_CHUNK = 24, LIVE_PATTERN_BYTES = 256 };

/* What one tracer wants to see. Empty texts and zeroes: any. */
struct live_rule {
  char path[LIVE_PATTERN_BYTES], host[LIVE_PATTERN_BYTES], method[32];
  char peer[LIVE_PATTERN_BYTES], error[64];
  unsigned status_from, status_to;
  uint64_t slower_us;
  struct cidr_set *client; /* owned; NULL: any */
  bool has_fields;         /* fields are wanted, without their secrets */
  uint8_t mark;            /* its bit */
};

/* One set for each worker, which owns it. */
struct live_rules {
  unsigned count;
  uint64_t version; /* another one after each change */
  struct live_rule rules[LIVE_RULES_MOST];
};
void live_rules_free(struct live_rules *rules);

/* Takes the rules into use, instead of those before. In the worker's thread. NULL: nobody looks on. */
void live_trace_rule(struct proxy *proxy, struct live_rules *rules);

struct live_note {
  uint64_t ticks;
  uint32_t us;
  uint8_t kind, code;
  struct str text; /* arena or static */
};

struct live_chunk { /* arena */
  struct live_chunk *next;
  unsigned count;
  struct live_note notes[LIVE_CHUNK];
};

struct live { /* arena: the notes of one exchange */
  uint64_t version;
  uint8_t marks; /* of the rules that may want it */
  unsigned count, missed;
  uint64_t wait_began; /* ticks */
  struct str wait;     /* arena */
  const char *step;    /* static: the name of the last one noted */
  struct live_chunk *last;
  struct live_chunk first;
};

/* The request is here: are notes made? Only where proxy->live is set. */
void live_trace_begin(struct exchange *x) __attribute__((cold));
/* It has ended. Only where live_trace_is_wanted. */
void live_trace_end(struct exchange *x) __attribute__((cold));
static inline bool live_trace_is_wanted(const struct exchange *x) {
  return x->account.live || x->error || x->sent.status >= 500 || x->slow_hook;
}

/* The rest only where x->account.live is set. Texts that are not static are copied by the caller, into the arena. */
void live_note(struct exchange *x, enum live_kind kind, unsigned code, struct str text) __attribute__((cold));
/* A step begins, which has not done so before. */
void live_note_step(struct exchange *x, struct str name);
/* A hook has ended that was called at `began`. */
void live_note_hook(struct exchange *x, const char *name, uint64_t began, bool failed) __attribute__((cold));
/* The attempt under way begins. */
void live_note_peer(struct exchange *x) __attribute__((cold));
/* Its response head is here: x->response. */
void live_note_answered(struct exchange *x) __attribute__((cold));
/* `why` may be NULL. */
void live_note_failure(struct exchange *x, enum error error, const char *why) __attribute__((cold));
/* A hook begins to wait, and goes on. Both are copied; `place` may be NULL. */
void live_note_wait(struct exchange *x, const char *what, const char *place) __attribute__((cold));
void live_note_wait_end(struct exchange *x) __attribute__((cold));

/* live_encode.c: the record of an exchange for those marks; `out` is empty. */
void live_encode(struct exchange *x, uint8_t marks, bool has_fields, struct buf *out);

#endif
