// SPDX-License-Identifier: Apache-2.0
// span_queue: a ring of bytes for each worker. A record is its length in four bytes and the span, and may go round the
// end. The worker moves `head`, the reader moves `tail`; `taken` is the end of the batch that is out.
#include "shared/span_queue.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "shared/cell.h"

enum { QUEUE_MAGIC = 0x59a2001, LANES_MOST = 1024 };

struct span_lane {
  _Alignas(64) _Atomic size_t head; /* bytes ever put in: the worker's, as the next two */
  cell recorded, dropped;
  size_t bytes;                     /* a power of two */
  char *ring;                       /* owned */
  _Alignas(64) _Atomic size_t tail; /* bytes ever settled: the reader's, as the next */
  size_t taken;
};

struct span_queue {
  OBJ_MAGIC;
  size_t bytes;
  _Atomic(struct span_lane *) lanes[LANES_MOST]; /* owned */
  atomic_uint users;
  atomic_uint end; /* one more than the number of the last lane that was made: readers look no further */
  unsigned newest; /* reader: control worker's thread, as all that follows */
  unsigned holder; /* the reader whose batch is out; 0: none is */
  unsigned turn;   /* the lane with which the next batch begins: a full one must not keep others out */
  struct span_figures figures;
};

/* --- life ------------------------------------------------------------------------------------------------- */

static size_t ring_bytes(size_t wanted) {
  size_t bytes = SPAN_QUEUE_LEAST;
  while (bytes < wanted) bytes *= 2;
  return bytes;
}

static void *make(const void *config) {
  struct span_queue *q = memory_zalloc(sizeof *q);
  q->bytes = ring_bytes(((const struct span_queue_config *)config)->bytes);
  OBJ_INIT(q, QUEUE_MAGIC);
  return q;
}

static void release(void *object) {
  struct span_queue *q = object;
  CHECK_OBJ(q, QUEUE_MAGIC);
  for (unsigned i = 0; i < LANES_MOST; i++) {
    struct span_lane *lane = atomic_load(&q->lanes[i]);
    if (lane) free(lane->ring);
    free(lane);
  }
  OBJ_END(q, QUEUE_MAGIC);
  free(q);
}

static bool fits(const void *object, const void *config) {
  return ((const struct span_queue *)object)->bytes ==
         ring_bytes(((const struct span_queue_config *)config)->bytes);
}

const struct registry_kind span_queue_kind = {"tracing", make, release, fits, NULL};

/* --- workers ---------------------------------------------------------------------------------------------- */

struct span_lane *span_queue_lane(struct span_queue *q, unsigned worker) {
  CHECK_OBJ(q, QUEUE_MAGIC);
  unsigned number = worker % LANES_MOST;
  struct span_lane *lane = atomic_load_explicit(&q->lanes[number], memory_order_acquire);
  if (lane) return lane;
  lane = memory_zalloc_lines(sizeof *lane);
  lane->bytes = q->bytes;
  lane->ring = memory_alloc(q->bytes);
  atomic_store_explicit(&q->lanes[number], lane, memory_order_release);
  unsigned end = atomic_load(&q->end);
  while (end <= number && !atomic_compare_exchange_weak(&q->end, &end, number + 1)) continue;
  return lane;
}

static void copy_in(struct span_lane *lane, size_t at, const void *bytes, size_t length) {
  size_t from = at & (lane->bytes - 1), first = lane->bytes - from < length ? lane->bytes - from : length;
  memcpy(lane->ring + from, bytes, first);
  memcpy(lane->ring, (const char *)bytes + first, length - first);
}

void span_lane_put(struct span_lane *lane, const char *bytes, size_t length) {
  uint32_t mark = (uint32_t)length;
  size_t head = atomic_load_explicit(&lane->head, memory_order_relaxed);
  size_t used = head - atomic_load_explicit(&lane->tail, memory_order_acquire);
  CHECK(length <= SPAN_BYTES_MOST);
  if (used + sizeof mark + length > lane->bytes) {
    cell_add(&lane->dropped, 1);
    return;
  }
  copy_in(lane, head, &mark, sizeof mark);
  copy_in(lane, head + sizeof mark, bytes, length);
  cell_add(&lane->recorded, 1);
  atomic_store_explicit(&lane->head, head + sizeof mark + length, memory_order_release);
}

char *span_lane_room(struct span_lane *lane) {
  const size_t most = sizeof(uint32_t) + SPAN_BYTES_MOST;
  size_t head = atomic_load_explicit(&lane->head, memory_order_relaxed), from = head & (lane->bytes - 1);
  size_t used = head - atomic_load_explicit(&lane->tail, memory_order_acquire);
  if (lane->bytes - from < most || lane->bytes - used < most) return NULL;
  return lane->ring + from + sizeof(uint32_t);
}

void span_lane_commit(struct span_lane *lane, size_t length) {
  uint32_t mark = (uint32_t)length;
  size_t head = atomic_load_explicit(&lane->head, memory_order_relaxed);
  CHECK(length <= SPAN_BYTES_MOST);
  memcpy(lane->ring + (head & (lane->bytes - 1)), &mark, sizeof mark);
  cell_add(&lane->recorded, 1);
  atomic_store_explicit(&lane->head, head + sizeof mark + length, memory_order_release);
}

void span_queue_add_user(struct span_queue *q) { atomic_fetch_add(&q->users, 1); }

void span_queue_remove_user(struct span_queue *q) {
  CHECK(atomic_load(&q->users) > 0);
  atomic_fetch_sub(&q->users, 1);
}

unsigned span_queue_users(const struct span_queue *q) { return atomic_load(&q->users); }

/* --- readers ---------------------------------------------------------------------------------------------- */

unsigned span_queue_enter(struct span_queue *q) {
  CHECK_OBJ(q, QUEUE_MAGIC);
  return ++q->newest;
}

void span_queue_leave(struct span_queue *q, unsigned reader) {
  if (reader && q->holder == reader) span_queue_settle(q, reader, true);
}

bool span_queue_is_newest(const struct span_queue *q, unsigned reader) { return q->newest == reader; }

static unsigned end_of(const struct span_queue *q) {
  return atomic_load_explicit(&q->end, memory_order_acquire);
}

static struct span_lane *lane_at(const struct span_queue *q, unsigned number) {
  return atomic_load_explicit(&q->lanes[number], memory_order_acquire);
}

size_t span_queue_waiting(const struct span_queue *q) {
  size_t sum = 0;
  for (unsigned i = 0; i < end_of(q); i++) {
    const struct span_lane *lane = lane_at(q, i);
    if (!lane) continue;
    size_t tail = atomic_load_explicit(&lane->tail, memory_order_acquire);
    sum += atomic_load_explicit(&lane->head, memory_order_acquire) - tail;
  }
  return sum;
}

static void copy_out(const struct span_lane *lane, size_t at, void *to, size_t length) {
  size_t from = at & (lane->bytes - 1), first = lane->bytes - from < length ? lane->bytes - from : length;
  memcpy(to, lane->ring + from, first);
  memcpy((char *)to + first, lane->ring, length - first);
}

/* As many whole spans as there is room for. */
static size_t take_from(struct span_lane *lane, char *to, size_t room, unsigned *spans) {
  size_t head = atomic_load_explicit(&lane->head, memory_order_acquire), filled = 0;
  uint32_t length;
  while (lane->taken != head) {
    copy_out(lane, lane->taken, &length, sizeof length);
    CHECK(length <= SPAN_BYTES_MOST);
    if (filled + length > room) break;
    copy_out(lane, lane->taken + sizeof length, to + filled, length);
    lane->taken += sizeof length + length;
    filled += length;
    ++*spans;
  }
  return filled;
}

size_t span_queue_take(struct span_queue *q, unsigned reader, char *to, size_t most, unsigned *spans) {
  size_t filled = 0;
  CHECK_OBJ(q, QUEUE_MAGIC);
  CHECK(reader);
  *spans = 0;
  if (q->holder) return 0;
  for (unsigned i = 0; i < end_of(q); i++) {
    struct span_lane *lane = lane_at(q, (q->turn + i) % end_of(q));
    if (!lane) continue;
    if (!filled) q->turn = (q->turn + i + 1) % end_of(q);
    filled += take_from(lane, to + filled, most - filled, spans);
  }
  if (*spans) q->holder = reader;
  return filled;
}

void span_queue_settle(struct span_queue *q, unsigned reader, bool is_kept) {
  CHECK(q->holder == reader);
  q->holder = 0;
  for (unsigned i = 0; i < end_of(q); i++) {
    struct span_lane *lane = lane_at(q, i);
    if (!lane) continue;
    if (is_kept)
      lane->taken = atomic_load_explicit(&lane->tail, memory_order_relaxed);
    else
      atomic_store_explicit(&lane->tail, lane->taken, memory_order_release);
  }
}

/* --- figures ---------------------------------------------------------------------------------------------- */

struct span_figures span_queue_figures(const struct span_queue *q) {
  struct span_figures sum = q->figures;
  for (unsigned i = 0; i < end_of(q); i++) {
    const struct span_lane *lane = lane_at(q, i);
    if (!lane) continue;
    sum.recorded += cell_get(&lane->recorded);
    sum.dropped += cell_get(&lane->dropped);
  }
  return sum;
}

void span_queue_note(struct span_queue *q, uint64_t exported, uint64_t refused, struct str why) {
  struct span_figures *f = &q->figures;
  f->exported += exported;
  f->refused += refused;
  f->batches += exported > 0;
  f->is_down = why.len > 0;
  if (!why.len) return;
  f->failures++;
  size_t length = why.len < sizeof f->why ? why.len : sizeof f->why - 1;
  memcpy(f->why, why.ptr, length);
  f->why[length] = '\0';
}
