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
#include "base/ticks.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "shared/live_record.h"

struct cidr_set;

/* Steps that are noted, because they may take time of their own. Of the others, hooks, attempts and answers of peers
 * have notes, or those that wait make one. */
enum {
  LIVE_STEPS_TOLD = 1u << STEP_send_request | 1u << STEP_read_response | 1u << STEP_send_response |
                    1u << STEP_fail_to_connect | 1u << STEP_error_while_proxy | 1u << STEP_fail_to_proxy |
                    1u << STEP_send_answer
};

enum { LIVE_RULES_MOST = 7, LIVE_NOTES_MOST = 256, LIVE_CHUNK = 16, LIVE_PATTERN_BYTES = 256 };
enum { LIVE_STEPS = STEP_finish + 1, LIVE_KNOWN = 256 };

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

/* A client, which asks again and again, and for which rules it is one of theirs. */
struct live_known {
  uint8_t length, marks;
  char text[46];
};

/* One set for each worker, which owns it. */
struct live_rules {
  unsigned count;
  uint64_t version; /* another one after each change */
  /* What follows is live_trace_rule's: most exchanges fit none of them, which is to be seen soon. */
  uint8_t for_all;                    /* marks of those that ask nothing of the request */
  bool asks_request, asks_client;     /* there are others; some of them ask for the client */
  unsigned status_least, status_most; /* no other status fits one */
  uint64_t slower_us;                 /* nothing that is faster fits one */
  struct live_known known[LIVE_KNOWN];
  struct live_rule rules[LIVE_RULES_MOST];
};
void live_rules_free(struct live_rules *rules);

/* Takes the rules into use, instead of those before. In the worker's thread. NULL: nobody looks on. */
void live_trace_rule(struct proxy *proxy, struct live_rules *rules);

/* What it means beside that depends on its kind, as in shared/live_record.h. */
struct live_note {
  uint64_t ticks;
  uint32_t us;
  uint8_t kind, code;
  uint16_t length;  /* of the text; of a hook's note its number, as the text is known */
  const char *text; /* arena or static */
};

struct live_chunk { /* arena */
  struct live_chunk *next;
  unsigned count;
  struct live_note notes[LIVE_CHUNK];
};

/* The notes of one exchange. Most exchanges that are noted are thrown away when their outcome is known, so a note is a
 * few stores: no text is made, and nothing is written twice. */
struct live { /* arena */
  uint64_t version;
  uint8_t marks;          /* of the rules that may want it */
  unsigned count, missed; /* notes there is room for; that there was none for */
  uint64_t wait_began;    /* ticks */
  struct str wait;        /* arena */
  struct live_chunk *last;
  unsigned seen; /* steps, a bit for each, that began when `steps` says */
  uint64_t steps[LIVE_STEPS];
  struct live_chunk first;
};

/* The request is here: are notes made? Only where proxy->live is set. */
void live_trace_begin(struct exchange *x);
/* It has ended. Only where live_trace_is_wanted. */
void live_trace_end(struct exchange *x);
static inline bool live_trace_may_fit(const struct exchange *x) {
  const struct live_rules *rules = x->proxy->live;
  if (!rules) return false;
  return rules->version != x->account.live->version ||
         (x->sent.status >= rules->status_least && x->sent.status <= rules->status_most &&
          x->account.duration_us >= rules->slower_us);
}
static inline bool live_trace_is_wanted(const struct exchange *x) {
  return (x->account.live && live_trace_may_fit(x)) || x->error || x->sent.status >= 500 || x->slow_hook;
}

/* The rest only where x->account.live is set. Texts that are not static are copied by the caller, into the arena. */
void live_note(struct exchange *x, enum live_kind kind, unsigned code, struct str text);
/* A step that has been seen before is run again. */
void live_note_again(struct exchange *x, unsigned step) __attribute__((cold));
/* A step is run that may take time of its own. One that waits is run again and again. */
static inline void live_note_step(struct exchange *x, unsigned step) {
  struct live *live = x->account.live;
  unsigned bit = 1u << step;
  if (__builtin_expect(live->seen & bit, false)) {
    if (live->seen >= bit << 1) live_note_again(x, step);
    return;
  }
  live->seen |= bit;
  live->steps[step] = ticks_now();
}
/* A hook has ended that was called at `began`, and took so many ticks. */
void live_note_hook(struct exchange *x, enum hook hook, uint64_t began, uint64_t ticks, bool failed);
/* The attempt under way begins; it has its connection. */
void live_note_peer(struct exchange *x);
void live_note_connected(struct exchange *x);
/* Its response head is here: x->response. */
void live_note_answered(struct exchange *x);
/* `why` may be NULL. */
void live_note_failure(struct exchange *x, enum error error, const char *why) __attribute__((cold));
/* A hook begins to wait, in that line of the policy, and goes on. Both texts are copied; `place` may be NULL. */
void live_note_wait(struct exchange *x, const char *what, const char *place, unsigned line);
void live_note_wait_end(struct exchange *x);

/* live_encode.c: the record of an exchange for those marks, in room for SPAN_BYTES_MOST; how long it is. */
size_t live_encode(struct exchange *x, uint8_t marks, bool has_fields, char *to);

#endif
