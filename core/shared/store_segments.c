// SPDX-License-Identifier: Apache-2.0
// store_segments: the memory, cut into segments. The hard problem is to know that nobody reads what is about to
// change: a reader pins a segment first and then checks the generation; to empty a segment, the generation is raised
// first and then the pins are checked. Both are sequentially consistent, so at least one of the two sees the other.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "shared/store_parts.h"

enum {
  SEGMENTS = 64,
  SEGMENTS_LEAST = 8,
  SEGMENT_MOST = 8 << 20,
  PAGE = 4096,
  LARGE_LEAST = 64 << 20, /* with a segment for each huge page there are enough of them */
  FREE_LEAST = 2,
  SMALL_PART = 10
};

static uint32_t segment_size(size_t bytes, size_t wanted) {
  size_t size = wanted ? wanted : bytes / SEGMENTS;
  if (size > SEGMENT_MOST) size = SEGMENT_MOST;
  if (size > bytes / SEGMENTS_LEAST) size = bytes / SEGMENTS_LEAST;
  if (!wanted && bytes >= (size_t)LARGE_LEAST) {
    size_t pages = size / STORE_PAGE_MOST;
    return (uint32_t)(pages ? pages : 1) * STORE_PAGE_MOST;
  }
  return (uint32_t)(size / PAGE * PAGE);
}

bool segments_init(struct segments *g, const struct store_settings *settings, const char **why) {
  size_t bytes = settings->bytes;
  *g = (struct segments){.file.descriptor = -1, .bytes = segment_size(bytes, settings->segment_bytes)};
  *why = "it is larger than the memory of this machine";
  if (!settings->path && bytes / PAGE > (size_t)sysconf(_SC_PHYS_PAGES)) return false;
  *why = "there would be too many segments";
  if (bytes / g->bytes > UINT16_MAX) return false;
  g->count = (uint32_t)(bytes / g->bytes);
  g->free = g->open[STORE_SMALL] = g->open[STORE_MAIN] = g->count;
  g->small_most = g->count / SMALL_PART > 1 ? g->count / SMALL_PART : 1;
  struct store_file_wanted wanted = {settings->path, settings->has_predecessor, g->bytes,
                                     g->count,       settings->extra_bytes,     settings->format};
  if (!store_file_open(&g->file, &wanted, why)) {
    segments_free(g);
    return false;
  }
  g->front = store_file_front(&g->file);
  g->memory = g->file.map + g->file.front_bytes;
  pthread_mutex_init(&g->lock, NULL);
  g->all = memory_zalloc_lines(g->count * sizeof *g->all);
  for (uint32_t i = 0; i < g->count; i++) {
    uint32_t generation = atomic_load(&g->front->segments[i].generation);
    atomic_init(&g->all[i].generation, generation ? generation : 1);
  }
  return true;
}

void segments_free(struct segments *g) {
  for (uint32_t i = 0; g->all && i < g->count; i++) CHECK(atomic_load(&g->all[i].pins) == 0);
  if (g->all) pthread_mutex_destroy(&g->lock);
  store_file_close(&g->file);
  free(g->all);
  *g = (struct segments){.file.descriptor = -1};
}

/* --- pins --- */

bool segments_pin(struct segments *g, struct store_place place) {
  struct segment *segment = &g->all[place.segment];
  atomic_fetch_add(&segment->pins, 1);
  if (atomic_load(&segment->generation) == place.generation) return true;
  atomic_fetch_sub(&segment->pins, 1);
  return false;
}

void segments_unpin(struct segments *g, uint32_t segment) {
  uint32_t had = atomic_fetch_sub(&g->all[segment].pins, 1);
  CHECK(had > 0);
  (void)had;
}

/* --- free segments --- */

/* The pages that were sent may be in sockets still; they live on there, and the segment gets others. False: there is no
 * memory for these now. */
static bool exchange_pages(struct segments *g, uint32_t i) {
  off_t at = (off_t)g->file.front_bytes + (off_t)i * g->bytes;
  int fd = g->file.descriptor;
  if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, g->bytes) == 0) {
    if (g->file.exchanges_pages) store_file_take_huge(&g->file, (size_t)at, g->bytes);
    return fallocate(fd, FALLOC_FL_KEEP_SIZE, at, g->bytes) == 0;
  }
  if (errno != EOPNOTSUPP) return false;
  memset(segments_at(g, i, 0), 0, g->bytes); /* no such file is read by sendfile (exchanges_pages) */
  return true;
}

static void set_free(struct segments *g, uint32_t i) {
  g->all[i].state = SEGMENT_FREE;
  g->all[i].used = 0;
  g->free++;
}

/* With the lock held, which is let go of meanwhile: the pages of a large segment take milliseconds. */
static void clean(struct segments *g, uint32_t i) {
  struct segment *segment = &g->all[i];
  if (segment->state != SEGMENT_HELD || atomic_load(&segment->pins)) return;
  segment->state = SEGMENT_CLEANED;
  pthread_mutex_unlock(&g->lock);
  bool has_pages = exchange_pages(g, i);
  pthread_mutex_lock(&g->lock);
  CHECK(segment->state == SEGMENT_CLEANED);
  segment->state = SEGMENT_HELD;
  if (has_pages) set_free(g, i);
}

/* With the lock held, as clean. What somebody still read may be free now. False: there is one that gets no new pages,
 * as where the disk is full: to empty others would gain nothing. */
static bool look_at_held(struct segments *g) {
  bool gets_pages = true;
  for (uint32_t i = 0; i < g->count; i++) {
    clean(g, i);
    if (g->all[i].state == SEGMENT_HELD && !atomic_load(&g->all[i].pins)) gets_pages = false;
  }
  return gets_pages;
}

/* With the lock held. g->count: none. */
static uint32_t oldest_of(struct segments *g, enum store_log log) {
  uint32_t oldest = g->count;
  for (uint32_t i = 0; i < g->count; i++) {
    struct segment *segment = &g->all[i];
    if (segment->state != SEGMENT_SEALED || segment->log != log || atomic_load(&segment->pins)) continue;
    if (oldest == g->count || segment->order < g->all[oldest].order) oldest = i;
  }
  return oldest;
}

/* With the lock held: the oldest that nobody holds, of the log that has too many; else of the other one. */
static uint32_t choose(struct segments *g) {
  enum store_log log = g->of_log[STORE_SMALL] > g->small_most ? STORE_SMALL : STORE_MAIN;
  uint32_t chosen = oldest_of(g, log);
  return chosen < g->count ? chosen : oldest_of(g, log == STORE_SMALL ? STORE_MAIN : STORE_SMALL);
}

/* With the lock held, as clean; ends a pin of the caller. */
static void empty(struct segments *g, uint32_t i) {
  struct segment *segment = &g->all[i];
  CHECK(segment->state == SEGMENT_SEALED);
  atomic_store(&g->front->segments[i].generation, atomic_fetch_add(&segment->generation, 1) + 1);
  g->of_log[segment->log]--;
  g->emptied++;
  g->emptied_small += segment->log == STORE_SMALL;
  g->eviction_age_ms = clock_now_ms(&clock_system) - segment->opened_ms;
  segment->state = SEGMENT_HELD;
  atomic_fetch_sub(&segment->pins, 1);
  clean(g, i);
}

uint32_t segments_next(struct segments *g) {
  pthread_mutex_lock(&g->lock);
  bool gains = look_at_held(g) && g->free < FREE_LEAST;
  uint32_t chosen = gains ? choose(g) : g->count;
  if (chosen < g->count) atomic_fetch_add(&g->all[chosen].pins, 1);
  pthread_mutex_unlock(&g->lock);
  return chosen;
}

void segments_empty(struct segments *g, uint32_t segment) {
  pthread_mutex_lock(&g->lock);
  empty(g, segment);
  pthread_mutex_unlock(&g->lock);
}

void segments_recover(struct segments *g, uint32_t i, uint32_t used) {
  struct segment *segment = &g->all[i];
  const struct segment_front *front = &g->front->segments[i];
  CHECK(segment->state == SEGMENT_FREE);
  if (!used) { /* whatever is in it is no record */
    if (front->order) exchange_pages(g, i);
    return;
  }
  segment->state = SEGMENT_SEALED;
  segment->log = front->log == STORE_MAIN ? STORE_MAIN : STORE_SMALL;
  segment->order = front->order;
  segment->used = used;
  segment->opened_ms = clock_now_ms(&clock_system);
  if (g->order < front->order) g->order = front->order;
  g->of_log[segment->log]++;
  g->free--;
}

/* --- room --- */

/* With the lock held, as clean. Each turn has one segment less to empty. */
static bool make_free(struct segments *g) {
  while (look_at_held(g) && !g->free) {
    uint32_t oldest = choose(g);
    if (oldest == g->count) return false;
    atomic_fetch_add(&g->all[oldest].pins, 1);
    empty(g, oldest);
  }
  return g->free > 0;
}

/* With the lock held, and a segment free. */
static void open_segment(struct segments *g, enum store_log log) {
  uint32_t i = 0;
  while (g->all[i].state != SEGMENT_FREE) i++;
  g->all[i].state = SEGMENT_OPEN;
  g->all[i].log = log;
  g->all[i].order = ++g->order;
  g->front->segments[i].order = g->order;
  g->front->segments[i].log = log;
  atomic_store(&g->front->segments[i].generation, atomic_load(&g->all[i].generation));
  g->all[i].opened_ms = clock_now_ms(&clock_system);
  g->free--;
  g->of_log[log]++;
  g->open[log] = i;
}

static void seal(struct segments *g, enum store_log log) {
  if (g->open[log] < g->count) g->all[g->open[log]].state = SEGMENT_SEALED;
  g->open[log] = g->count;
}

static uint32_t room_in(const struct segments *g, enum store_log log) {
  return g->open[log] < g->count ? g->bytes - g->all[g->open[log]].used : 0;
}

static uint32_t aligned(uint32_t bytes) { return (bytes + STORE_ALIGN - 1) / STORE_ALIGN * STORE_ALIGN; }

/* With the lock held, as clean: others may have opened a segment of the log meanwhile. */
static bool make_room(struct segments *g, enum store_log log, uint32_t bytes) {
  while (room_in(g, log) < bytes) {
    seal(g, log);
    if (!g->free && !make_free(g)) return false;
    if (g->open[log] == g->count) open_segment(g, log);
  }
  return true;
}

static void take_room(struct segments *g, enum store_log log, uint32_t most, struct store_place *place,
                      uint32_t *taken) {
  struct segment *segment = &g->all[g->open[log]];
  uint32_t room = room_in(g, log);
  *taken = most < room ? aligned(most) : room;
  *place = (struct store_place){g->open[log], segment->used, atomic_load(&segment->generation)};
  segment->used += *taken;
  atomic_fetch_add(&segment->pins, 1);
  struct record *record = (struct record *)segments_at(g, place->segment, place->offset);
  atomic_store_explicit(&record->kind, RECORD_DEAD, memory_order_relaxed);
  record->bytes = *taken;
}

bool segments_reserve(struct segments *g, enum store_log log, uint32_t least, uint32_t most,
                      struct store_place *place, uint32_t *taken) {
  if (least > g->bytes) return false;
  pthread_mutex_lock(&g->lock);
  bool has_room = make_room(g, log, aligned(least));
  if (has_room) take_room(g, log, most, place, taken);
  pthread_mutex_unlock(&g->lock);
  return has_room;
}

void segments_trim(struct segments *g, struct store_place place, uint32_t taken, uint32_t needed) {
  struct segment *segment = &g->all[place.segment];
  needed = aligned(needed);
  pthread_mutex_lock(&g->lock);
  bool is_last = segment->state == SEGMENT_OPEN && place.offset + taken == segment->used && needed < taken;
  if (is_last) {
    segment->used = place.offset + needed;
    ((struct record *)segments_at(g, place.segment, place.offset))->bytes = needed;
  }
  pthread_mutex_unlock(&g->lock);
}
