// SPDX-License-Identifier: Apache-2.0
// fill: one object on its way from the peer into the store, read by any number of readers in any thread while it
// comes. It belongs to no reader: who leaves does not end it, and what it has is there for all of them.
//
//   ASKED    a peer is asked; nobody knows yet what comes
//   RUNS     the head is here, and the body comes
//   WHOLE    all of it is here, and in the store unless it was purged meanwhile
//   REFUSED  it is not for the cache: everybody asks for himself
//   FAILED   there was no answer, or its body broke off: what a reader has of it is not the whole
//   OVER     something else came of it: look into the store again
//
// What the store has no room for goes on in a window: readers still get all of it, no faster than the slowest takes it,
// and nothing is kept. Thread-safe; one lock for each fill.
#ifndef PERILUNE_SHARED_FILL_H
#define PERILUNE_SHARED_FILL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/list.h"
#include "shared/store.h"

struct cache;

enum fill_state { FILL_ASKED, FILL_RUNS, FILL_WHOLE, FILL_REFUSED, FILL_FAILED, FILL_OVER };
enum { FILL_WINDOW = 262144 };

/* Of one who waits for it, or fills it. `tell` is called under the lock of the fill, by any thread: there is news. */
struct fill_seat {
  struct list link;
  void (*tell)(struct fill_seat *seat);
  uint64_t at;    /* of the body: what is before it was read */
  bool is_reader; /* it wants the body */
};

struct fill {
  pthread_mutex_t lock;
  atomic_uint refs;
  struct cache *cache; /* reference */
  struct store *store; /* borrowed: of that */
  struct str key;      /* owned: what it was asked for by */
  uint64_t begun_ms;
  uint64_t number; /* of the purges then */
  bool is_listed;  /* of its table */
  struct fill *next;
  /* Under the lock: */
  enum fill_state state;
  char *head; /* owned; from RUNS on */
  size_t head_bytes;
  char *variant;   /* owned: which request fields it answers; NULL: any */
  uint64_t length; /* of the body, or STORE_LENGTH_UNKNOWN */
  struct store_writer *writer;
  struct store_lease lease;
  uint64_t kept;     /* bytes that the store has */
  bool overflows;    /* it has no room for more */
  struct buf window; /* what comes behind them, from window_at on */
  uint64_t window_at;
  struct list seats;
  struct fill_seat *filler; /* who is told when the window has room; NULL */
};

/* Holds the cache, whose store it is for. */
struct fill *fill_new(struct cache *cache, struct str key, uint64_t now_ms);
static inline struct fill *fill_hold(struct fill *f) {
  atomic_fetch_add(&f->refs, 1);
  return f;
}
void fill_release(struct fill *f);

/* The seat must leave before it goes. */
void fill_sit(struct fill *f, struct fill_seat *seat);
void fill_leave(struct fill *f, struct fill_seat *seat);
enum fill_state fill_state(struct fill *f);
/* The seat is a reader's from now on, which the window waits for. False: the window has gone on without it. */
bool fill_begin_reading(struct fill *f, struct fill_seat *seat);
/* The seat is the filler's: it is told of room, and of nothing else. */
void fill_set_filler(struct fill *f, struct fill_seat *seat);

/* --- the filler --- */

struct fill_head {
  struct str object_key; /* in the store */
  struct str head;
  struct str variant; /* .ptr NULL: any request */
  uint64_t length;
};
/* ASKED to RUNS. False: the store has no room, and nothing has changed. */
bool fill_run(struct fill *f, const struct fill_head *head);
/* Takes all of it, or nothing: the window is full, and the filler is told when it is not. */
bool fill_write(struct fill *f, struct str bytes);
/* Nobody reads what is kept nowhere. */
bool fill_is_vain(struct fill *f);
/* The seat of the filler, or of the one that asks, is the only one. Who fills is told when it becomes so. */
bool fill_is_unwanted(struct fill *f);
/* The body is whole. False: it is not as long as was announced, and the fill has failed. */
bool fill_finish(struct fill *f, bool is_published);
/* To REFUSED, FAILED or OVER; harmless once it has ended. */
void fill_end(struct fill *f, enum fill_state state);

/* --- readers --- */

/* FILL_READ: *slice is what comes next for the seat. It stays as long as the fill does, or is a copy in `copy`. The
 * seat moves on by fill_read_on. */
enum fill_io { FILL_READ, FILL_WAITS, FILL_END, FILL_BROKE };
enum fill_io fill_read(struct fill *f, struct fill_seat *seat, struct str *slice, struct buf *copy);
void fill_read_on(struct fill *f, struct fill_seat *seat, uint64_t bytes);

#endif
