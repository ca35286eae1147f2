// SPDX-License-Identifier: Apache-2.0
// span_queue: finished spans on their way to a collector, as the bytes in which they are sent. Workers put them in and
// never wait; the control worker takes batches out. One object serves all workers and all generations of the policy
// that ask for it, so a reload loses nothing.
//
// Words. lane: the ring of one worker, made when it has its first span; its thread alone puts in. reader: who takes
// batches out, in the control worker's thread alone; there may be several of different generations, but one batch at a
// time is out. A batch stays in the lanes until it is settled: so the memory is bounded by the lanes, a batch can be
// sent again, and if a reader ends, the next one sends what it had. user: a VM of a worker that may still put spans
// in; while there is one, the queue may fill again.
#ifndef PERILUNE_SHARED_SPAN_QUEUE_H
#define PERILUNE_SHARED_SPAN_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "shared/registry.h"

enum { SPAN_QUEUE_LEAST = 1 << 16, SPAN_BYTES_MOST = 8192, SPAN_WHY_BYTES = 200 };

struct span_queue;

/* Configuration: a struct span_queue_config; spans of as many bytes are kept for each worker. */
struct span_queue_config {
  size_t bytes;
};
extern const struct registry_kind span_queue_kind;

/* A lane lives as long as the queue. `worker` is the calling thread's. */
struct span_lane *span_queue_lane(struct span_queue *q, unsigned worker);
/* A span, as a member of ScopeSpans; where there is no room it is dropped, and counted. */
void span_lane_put(struct span_lane *lane, const char *bytes, size_t length);
/* The same without a copy: room for SPAN_BYTES_MOST in the ring itself, and the span that has been written there; NULL:
 * there is not so much in one piece. */
char *span_lane_room(struct span_lane *lane);
void span_lane_commit(struct span_lane *lane, size_t length);

void span_queue_add_user(struct span_queue *q);
void span_queue_remove_user(struct span_queue *q);
unsigned span_queue_users(const struct span_queue *q);

/* --- for readers, in the control worker's thread --- */

/* The newest one takes the queue over: the number by which it calls. */
unsigned span_queue_enter(struct span_queue *q);
/* A reader ends: a batch that it has out is the next one's. */
void span_queue_leave(struct span_queue *q, unsigned reader);
bool span_queue_is_newest(const struct span_queue *q, unsigned reader);
/* Bytes that wait in all lanes. Any thread. */
size_t span_queue_waiting(const struct span_queue *q);
/* Takes the oldest spans of each lane, `most` bytes at most, without the marks between them: *spans of them. `to` has
 * room for `most`. Returns their bytes; 0: there are none, or a batch is out. */
size_t span_queue_take(struct span_queue *q, unsigned reader, char *to, size_t most, unsigned *spans);
/* The batch that is out has gone; or it stays for another try, if `is_kept`. */
void span_queue_settle(struct span_queue *q, unsigned reader, bool is_kept);

/* --- figures --- */

struct span_figures {
  uint64_t recorded, dropped; /* spans: put in; for want of room not put in */
  uint64_t exported;          /* spans that the collector has taken */
  uint64_t refused;           /* spans that it refused, or that were given up after several tries */
  uint64_t batches;           /* sent and taken */
  uint64_t failures;          /* sendings that failed */
  bool is_down;               /* the last sending failed */
  char why[SPAN_WHY_BYTES];   /* of the last failure; "": there was none */
};
/* In the control worker's thread, as the next. */
struct span_figures span_queue_figures(const struct span_queue *q);
/* What came of a sending: `why` is empty if it was good. */
void span_queue_note(struct span_queue *q, uint64_t exported, uint64_t refused, struct str why);

#endif
