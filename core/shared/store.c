// SPDX-License-Identifier: Apache-2.0
// store: finds objects and holds them for readers, and moves objects that were used out of segments that are emptied.
#include "shared/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/log.h"
#include "base/memory.h"
#include "shared/store_parts.h"

/* The index has a place for each object of that size. */
enum { AVERAGE_BYTES = 8192, OBJECT_PART = 16 };

struct store *store_new(const struct store_settings *settings, const char **why) {
  *why = "a store has at least 1 MiB";
  if (settings->bytes < STORE_LEAST_BYTES) return NULL;
  struct store *s = memory_zalloc_lines(sizeof *s);
  if (!segments_init(&s->segments, settings, why)) {
    free(s);
    return NULL;
  }
  index_init(&s->index, settings->bytes / AVERAGE_BYTES);
  pthread_mutex_init(&s->maintaining, NULL);
  s->emptying = s->segments.count;
  s->is_inherited = s->segments.file.is_old;
  if (s->segments.file.is_old) store_recover(s);
  if (settings->has_predecessor) s->is_inherited = store_adopt(s, settings->predecessor);
  store_file_settle(&s->segments.file, settings->path);
  return s;
}

void store_free(struct store *s) {
  if (!s) return;
  if (s->emptying < s->segments.count) segments_unpin(&s->segments, s->emptying);
  segments_free(&s->segments);
  index_free(&s->index);
  pthread_mutex_destroy(&s->maintaining);
  free(s);
}

const char *store_notice(const struct store *s) {
  const char *notice = s->segments.file.notice;
  return *notice ? notice : NULL;
}

bool store_is_inherited(const struct store *s) { return s->is_inherited; }
bool store_is_replaced(const struct store *s) {
  struct stat info;
  const struct store_file *f = &s->segments.file;
  return f->is_kept && fstat(f->descriptor, &info) == 0 && info.st_nlink == 0;
}

bool store_has_made_file(const struct store *s) {
  return s->segments.file.is_kept && s->segments.file.is_made && !store_is_replaced(s);
}

void *store_extra(const struct store *s) { return s->segments.file.map + s->segments.file.extra_at; }

void store_sync_extra(const struct store *s) {
  const struct store_file *f = &s->segments.file;
  if (f->is_kept && msync(f->map + f->extra_at, f->extra_end - f->extra_at, MS_SYNC))
    log_about(LOG_WARN, STR("store"), "the purges of a cache could not be written: %s", strerror(errno));
}

int store_descriptor(const struct store *s) { return s->segments.file.descriptor; }

int store_descriptor_to_send(const struct store *s) {
  return s->segments.file.exchanges_pages ? s->segments.file.descriptor : -1;
}

uint64_t store_object_most(const struct store *s) {
  return (uint64_t)s->segments.count * s->segments.bytes / OBJECT_PART;
}

void store_count(struct store *s, struct store_counts *counts) {
  struct segments *g = &s->segments;
  *counts = (struct store_counts){.segments = g->count};
  counts->stored = atomic_load(&s->stored);
  counts->moved = atomic_load(&s->moved);
  counts->moved_bytes = atomic_load(&s->moved_bytes);
  counts->refused = atomic_load(&s->refused);
  pthread_mutex_lock(&g->lock);
  counts->free_segments = g->free;
  counts->emptied = g->emptied;
  counts->emptied_small = g->emptied_small;
  counts->eviction_age_ms = g->eviction_age_ms;
  for (uint32_t i = 0; i < g->count; i++) {
    counts->held_segments += g->all[i].state == SEGMENT_HELD;
    counts->used_bytes += g->all[i].used;
  }
  pthread_mutex_unlock(&g->lock);
}

/* --- reading --- */

static void release(struct store *s, struct store_lease *lease, unsigned count) {
  for (unsigned i = 0; i < count; i++) segments_unpin(&s->segments, lease->pieces[i].segment);
  *lease = (struct store_lease){0};
}

/* The head's segment is pinned; with what the pieces take besides. False: one of them is gone, and nothing is held. */
static bool hold_pieces(struct store *s, const struct record *r, struct store_lease *lease) {
  lease->head = record_head(r);
  lease->length = r->body_bytes;
  lease->serial = r->serial;
  for (lease->count = 0; lease->count < r->count; lease->count++) {
    const struct record_piece *piece = &r->pieces[lease->count];
    if (lease->count > 0 && !segments_pin(&s->segments, piece->place)) {
      release(s, lease, lease->count);
      return false;
    }
    lease->pieces[lease->count] =
        (struct store_piece){.bytes = segments_at(&s->segments, piece->place.segment, piece->place.offset),
                             .length = piece->length,
                             .segment = piece->place.segment,
                             .sum = piece->sum};
  }
  return true;
}

/* Others can write to a file of the file system. What is in memory only this process writes, and it was checked when it
 * came from another one. */
static bool is_sound(const struct store *s, const struct record *r, bool is_unchecked) {
  if (r->count == 0 || r->count > STORE_PIECES) return false;
  return !(is_unchecked || s->segments.file.is_kept) || record_sum(r) == r->sum;
}

/* The first piece is in the head's segment always, and the pin of that is the lease's. */
static bool lease_record(struct store *s, const struct record *r, struct store_place place, bool is_unchecked,
                         struct store_lease *lease) {
  *lease = (struct store_lease){0};
  if (is_sound(s, r, is_unchecked)) return hold_pieces(s, r, lease);
  segments_unpin(&s->segments, place.segment);
  return false;
}

/* The first time that it is found. */
static bool check_body(struct store *s, uint64_t hash, struct store_place place,
                       const struct store_lease *lease) {
  bool is_whole = store_lease_is_sound(lease);
  if (is_whole) index_mark_sound(s, hash, place);
  return is_whole;
}

bool store_find(struct store *s, struct str key, struct store_lease *lease) {
  uint64_t hash = store_hash(key);
  struct store_place place;
  bool is_unchecked;
  const struct record *r = index_find(s, hash, key, &place, &is_unchecked);
  if (!r) return false;
  bool is_held = lease_record(s, r, place, is_unchecked, lease);
  if (is_held && (!is_unchecked || check_body(s, hash, place, lease))) return true;
  if (is_held) release(s, lease, lease->count);
  index_drop(s, hash, place);
  return false;
}

void store_release(struct store *s, struct store_lease *lease) { release(s, lease, lease->count); }

struct str store_lease_at(const struct store *s, const struct store_lease *lease, uint64_t offset,
                          off_t *place) {
  for (unsigned i = 0; i < lease->count; i++) {
    const struct store_piece *piece = &lease->pieces[i];
    if (offset < piece->length) {
      *place = (off_t)(piece->bytes - s->segments.file.map) + (off_t)offset;
      return (struct str){piece->bytes + offset, (size_t)(piece->length - offset)};
    }
    offset -= piece->length;
  }
  return (struct str){0};
}

bool store_lease_is_sound(const struct store_lease *lease) {
  uint64_t length = 0;
  for (unsigned i = 0; i < lease->count; i++) {
    const struct store_piece *piece = &lease->pieces[i];
    if ((uint32_t)XXH3_64bits(piece->bytes, piece->length) != piece->sum) return false;
    length += piece->length;
  }
  return length == lease->length;
}

bool store_remove(struct store *s, struct str key) { return index_remove(s, store_hash(key), key); }

/* --- emptying --- */

/* Written again in the main log. False: there is no room, or the key was stored or removed meanwhile. */
static bool move(struct store *s, const struct record *r, struct store_place place, unsigned freq,
                 size_t *bytes) {
  struct store_lease lease;
  if (!segments_pin(&s->segments, place) || !lease_record(s, r, place, true, &lease)) return false;
  bool is_sound = !s->segments.file.is_old || store_lease_is_sound(&lease);
  struct store_writer *w =
      is_sound ? store_begin_in(s, STORE_MAIN, record_key(r), lease.head, lease.length) : NULL;
  if (w) store_set_serial(w, r->serial);
  for (unsigned i = 0; w && i < lease.count; i++)
    store_write(w, (struct str){lease.pieces[i].bytes, (size_t)lease.pieces[i].length});
  *bytes += lease.length;
  bool has_moved = w && store_finish_move(w, place, freq);
  if (has_moved) {
    atomic_fetch_add(&s->moved, 1);
    atomic_fetch_add(&s->moved_bytes, lease.length);
  }
  store_release(s, &lease);
  return has_moved;
}

/* One object of the segment. Those of the small log stay when they were used at least twice, those of the main log
 * when they were used at all: staying costs a use, so that what is used no more goes in the end. Of a segment of the
 * main log at most three quarters stay: emptying it always gains room. */
static void look_at(struct store *s, const struct record *r, struct store_place place, size_t *bytes) {
  struct segment *segment = &s->segments.all[place.segment];
  bool is_small = segment->log == STORE_SMALL;
  int uses = index_uses(s, r->hash, place);
  if (uses < 0) return;
  size_t size = r->bytes + (r->count > 1 ? r->body_bytes : 0);
  bool has_budget = is_small || s->emptying_moved + size <= s->segments.bytes / 4 * 3;
  bool stays = uses >= (is_small ? 2 : 1) && has_budget;
  if (stays) stays = move(s, r, place, is_small ? 0 : (unsigned)uses - 1, bytes);
  if (stays)
    s->emptying_moved += size;
  else if (is_small)
    index_remember(&s->index, r->hash);
}

/* Records of a sealed segment that nobody writes to do not change. */
static bool walk(struct store *s, size_t most) {
  struct segments *g = &s->segments;
  struct segment *segment = &g->all[s->emptying];
  struct store_place place = {s->emptying, s->emptying_at, atomic_load(&segment->generation)};
  size_t bytes = 0;
  while (place.offset < segment->used && bytes < most) {
    const struct record *r = (const struct record *)segments_at(g, place.segment, place.offset);
    CHECK(r->bytes >= STORE_ALIGN && r->bytes % STORE_ALIGN == 0);
    if (atomic_load_explicit(&r->kind, memory_order_relaxed) == RECORD_HEAD) look_at(s, r, place, &bytes);
    place.offset += r->bytes;
  }
  s->emptying_at = place.offset;
  return place.offset < segment->used;
}

bool store_maintain(struct store *s, size_t bytes) {
  if (pthread_mutex_trylock(&s->maintaining)) return false;
  bool has_more = false;
  if (s->emptying == s->segments.count) {
    s->emptying = segments_next(&s->segments);
    s->emptying_at = s->emptying_moved = 0;
  }
  if (s->emptying < s->segments.count) {
    has_more = true;
    if (!walk(s, bytes)) {
      segments_empty(&s->segments, s->emptying);
      s->emptying = s->segments.count;
    }
  }
  pthread_mutex_unlock(&s->maintaining);
  return has_more;
}
