// SPDX-License-Identifier: Apache-2.0
// streamed_answer: an answer whose content the policy writes piece by piece while the client reads it: server-sent
// events, or more than should be in memory at once. One exchange has one at most; it ends with the exchange.
//
// Its life: a hook begins it, and waits. For the walk that hook is over then (`leave`), so the walk goes on to send the
// answer's head; but what ran it, the writer, lives on. Once the head is on its way the writer is woken. It puts text,
// and waits where the client is behind by STREAMED_MOST bytes. When the writer is over, so is the answer. Where the
// client leaves first, a writer that waits for it is woken once more, to see that nobody reads; wherever else it
// waits, it is ended.
#ifndef PERILUNE_EXCHANGE_STREAMED_ANSWER_H
#define PERILUNE_EXCHANGE_STREAMED_ANSWER_H

#include "base/buf.h"
#include "base/error.h"
#include "net/timer.h"
#include "relay/flow.h"

struct exchange;

/* Of the text that was put, so much is kept at most beside what is on its way. */
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
  WRITER_ROOM,   /* waits until all it put has been taken */
  WRITER_EMPTY,  /* waits until all that was taken has been written to the client */
  WRITER_OVER
};

struct streamed_answer {
  struct exchange *exchange;
  const struct streamed_writer *writer; /* static */
  void *owner;                          /* borrowed: the writer's */
  enum writer_state state;
  enum error error;  /* the writer failed so */
  struct buf in;     /* owned: what the relay looks at */
  struct buf next;   /* owned: what follows it */
  struct str rest;   /* borrowed from the writer, which waits: what had no room so far */
  struct timer turn; /* something is to be done, from the loop */
  bool has_left;     /* the hook is over for the walk */
  bool has_begun;    /* the head is on its way */
  bool is_finished;  /* nothing is put any more */
  bool is_closed;    /* nobody reads any more */
  bool is_rehearsed; /* there is no client: all is kept in `next` */
  bool wants;        /* the relay does */
};

/* --- the writer's ----------------------------------------------------------------------------------------- */

/* x->answer is there; the hook waits now, until `wake`. In the arena. */
struct streamed_answer *streamed_answer_begin(struct exchange *x, const struct streamed_writer *writer,
                                              void *owner);
/* The content goes on with this. False: the writer waits, until `wake`, and the text stays where it is; or until
 * streamed_answer_forget. */
bool streamed_answer_put(struct streamed_answer *s, struct str text);
/* True: all of it has been written to the client's connection, or nobody reads. False: the writer waits for that. */
bool streamed_answer_flush(struct streamed_answer *s);
/* It does not wait any more: it is ended. */
void streamed_answer_forget(struct streamed_answer *s);
/* Nothing follows, though the writer goes on. */
void streamed_answer_finish(struct streamed_answer *s);
/* It has come to its end; with an error, the answer ends short. */
void streamed_answer_over(struct streamed_answer *s, enum error error);

/* --- the walk's ------------------------------------------------------------------------------------------- */

/* Has the exchange a writer that is not over? */
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
