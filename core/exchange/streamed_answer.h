// SPDX-License-Identifier: Apache-2.0
// streamed_answer: an answer whose content the policy writes piece by piece while the client reads it: server-sent
// events, or more than should be in memory at once. One exchange has one at most; it ends with the exchange.
//
// Its life: a hook begins it, and waits. For the walk that hook is over then (`leave`), so the walk goes on to send the
// answer's head; but what ran it, the writer, lives on. Once the head is on its way the writer is woken. It puts text,
// and waits where the client is behind by STREAMED_MOST bytes. When the writer is over, so is the answer. Where the
// client leaves first, a writer that waits for it is woken once more, to see that nobody reads; wherever else it
// waits, it is ended.
//
// Others may put text beside the writer, and wait: first come, first served. Where the writer leaves the answer open,
// they go on behind its end, until one of them says that nothing follows, or none has put anything for a time.
#ifndef PERILUNE_EXCHANGE_STREAMED_ANSWER_H
#define PERILUNE_EXCHANGE_STREAMED_ANSWER_H

#include "base/buf.h"
#include "base/error.h"
#include "base/list.h"
#include "net/timer.h"
#include "relay/flow.h"

struct exchange;

/* Of the text that was put, so much is kept at most beside what is on its way: of a stream of HTTP/2 twice as much in
 * all, or its share where there are many. */
enum { STREAMED_MOST = 32768 };

/* Who writes; each is called from the loop. */
struct streamed_writer {
  void (*leave)(
      void *owner); /* the hook has ended for the walk: calls exchange_wake, so the exchange may be gone */
  void (*wake)(
      void *owner);         /* what it waits for is there; it may be over afterwards (streamed_answer_over) */
  void (*end)(void *owner); /* ends it where it waits */
};

enum writer_state {
  WRITER_BEGINS, /* waits for the head to be on its way */
  WRITER_WORKS,  /* runs, or waits for something of its own */
  WRITER_WAITS,  /* waits in the queue of the answer */
  WRITER_OVER
};

/* Somebody who has put text, or flushes, and waits for the client. */
struct streamed_wait {
  struct list link;           /* in answer->waits, in the order of their coming */
  struct streamed_answer *of; /* borrowed; while it is in the list */
  struct str rest;            /* borrowed from who waits: what had no room so far */
  bool is_begun;              /* a part of what was put had room */
  bool is_flush;              /* until all that was put before has been written to the client */
  /* From the loop, once; it is in no list any more. */
  void (*wake)(struct streamed_wait *wait, bool is_closed);
};

struct streamed_answer {
  struct exchange *exchange;
  const struct streamed_writer *writer; /* static */
  void *owner;                          /* borrowed: the writer's */
  enum writer_state state;
  enum error error;         /* the writer failed so */
  struct buf in;            /* owned: what the relay looks at */
  struct buf next;          /* owned: what follows it */
  struct list waits;        /* borrowed: struct streamed_wait, the oldest first; their texts follow `next` */
  struct streamed_wait own; /* the writer's */
  struct headers *trailers; /* arena; NULL: none */
  uint64_t left;            /* where it has a length: bytes that were not put yet */
  unsigned open_ms;         /* how long it stays open without anything put; 0: it ends with its writer */
  struct timer turn;        /* something is to be done, from the loop */
  struct timer quiet;       /* it is open, and nothing was put */
  bool has_length;
  bool has_left;     /* the hook is over for the walk */
  bool has_begun;    /* the head is on its way */
  bool is_finished;  /* nothing is put any more */
  bool is_closed;    /* nobody reads any more */
  bool is_rehearsed; /* there is no client: all is kept in `next` */
  bool wants;        /* the relay does */
};

/* --- the writer's ----------------------------------------------------------------------------------------- */

/* x->answer is there, with its length if it has one; the hook waits now, until `wake`. In the arena. */
struct streamed_answer *streamed_answer_begin(struct exchange *x, const struct streamed_writer *writer,
                                              void *owner);
/* The content goes on with this. False: the writer waits, until `wake`, and the text stays where it is; or until
 * streamed_answer_forget. */
bool streamed_answer_put(struct streamed_answer *s, struct str text);
/* True: all of it has been written to the client's connection, or nobody reads. False: the writer waits for that. */
bool streamed_answer_flush(struct streamed_answer *s);
/* It does not wait any more, and goes on. Of a piece that has begun the rest is kept, unless its text `is_lost`: then
 * the answer ends short. */
void streamed_answer_stop_waiting(struct streamed_answer *s, bool is_lost);
/* Nothing follows but the trailers (arena; NULL: none), though the writer goes on. */
void streamed_answer_finish(struct streamed_answer *s, struct headers *trailers);
/* The end of the writer is not that of the answer, as long as something is put each `ms`. */
void streamed_answer_leave_open(struct streamed_answer *s, unsigned ms);
/* It has come to its end; with an error, the answer ends short. */
void streamed_answer_over(struct streamed_answer *s, enum error error);

/* --- others' ---------------------------------------------------------------------------------------------- */

/* Is the head on its way, so that others than the writer may put text? */
bool streamed_answer_is_shared(const struct streamed_answer *s);
/* Like put and flush. False: `wait` is in the queue, until it is woken or leaves. */
bool streamed_answer_put_beside(struct streamed_answer *s, struct str text, struct streamed_wait *wait);
bool streamed_answer_flush_beside(struct streamed_answer *s, struct streamed_wait *wait);
/* Like streamed_answer_stop_waiting. */
void streamed_wait_leave(struct streamed_wait *wait, bool is_lost);

/* --- the walk's ------------------------------------------------------------------------------------------- */

/* Has the exchange a writer that is not over, or an answer that was left open? */
bool streamed_answer_runs(const struct exchange *x);
/* Nobody reads any more. The writer is ended, at once or in the loop's next turn; exchange_run follows then. */
void streamed_answer_give_up(struct exchange *x);
/* The writer is ended here and now. */
void streamed_answer_cut(struct exchange *x);
/* The head is on its way, and the content comes from here. */
struct source streamed_answer_source(struct streamed_answer *s);
/* For a rehearsal: the same without a client, who would read all at once; and the content so far. */
void streamed_answer_rehearse(struct streamed_answer *s);
struct str streamed_answer_text(const struct streamed_answer *s);
/* The exchange ends. Harmless for NULL. */
void streamed_answer_end(struct streamed_answer *s);

#endif
