// SPDX-License-Identifier: Apache-2.0
// store_adopt: takes over what is in the store of another process, which goes on using it: a copy, object by object.
// The hard problem is that the other one may empty a segment at any time: so everything is copied first, and looked at
// then; what was changed under our hands has a wrong sum, and does not count. What belongs to the store as a whole
// comes last: an object that was purged while we copied is purged here, too.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <xxhash.h>

#include "base/memory.h"
#include "shared/store_parts.h"

struct adoption {
  struct store *store; /* borrowed */
  const struct store_front *front;
  const char *segments; /* mapped; of the other one */
  uint64_t *record;     /* owned: a copy of one, up to a segment's bytes */
  char *piece;          /* owned: the same of a piece */
};

static const char *at(const struct adoption *a, uint32_t segment, uint32_t offset) {
  return a->segments + (size_t)segment * a->front->segment_bytes + offset;
}

static bool copy_piece(const struct adoption *a, const struct record_piece *piece, struct store_writer *w) {
  if (!record_piece_is_placed(piece, a->front->count, a->front->segment_bytes)) return false;
  memcpy(a->piece, at(a, piece->place.segment, piece->place.offset), piece->length);
  if ((uint32_t)XXH3_64bits(a->piece, piece->length) != piece->sum) return false;
  return store_write(w, (struct str){a->piece, piece->length});
}

/* Another one of its key may have come from another segment. */
static bool is_superseded(struct store *s, const struct record *r) {
  struct store_place place;
  bool is_unchecked;
  const struct record *there = index_find(s, r->hash, record_key(r), &place, &is_unchecked);
  bool is_later = there && there->serial >= r->serial;
  if (there) segments_unpin(&s->segments, place.segment);
  return is_later;
}

static void copy_object(struct adoption *a, const struct record *r, enum store_log log) {
  if (is_superseded(a->store, r)) return;
  struct store_writer *w = store_begin_in(a->store, log, record_key(r), record_head(r), r->body_bytes);
  if (!w) return;
  store_set_serial(w, r->serial);
  bool is_whole = true;
  for (uint32_t i = 0; i < r->count && is_whole; i++) is_whole = copy_piece(a, &r->pieces[i], w);
  if (is_whole)
    store_finish(w);
  else
    store_drop(w);
}

/* How many bytes there are to the next record; 0: there is none. */
static uint32_t copy_record(struct adoption *a, uint32_t segment, uint32_t offset) {
  uint32_t room = a->front->segment_bytes - offset;
  struct record front;
  if (room < sizeof front) return 0;
  memcpy(&front, at(a, segment, offset), sizeof front);
  if (!record_begins(&front, room)) return 0;
  uint32_t bytes = front.bytes;
  if (atomic_load_explicit(&front.kind, memory_order_relaxed) != RECORD_HEAD) return bytes;
  memcpy(a->record, at(a, segment, offset), bytes);
  const struct record *r = (const struct record *)(const void *)a->record;
  enum store_log log = a->front->segments[segment].log == STORE_MAIN ? STORE_MAIN : STORE_SMALL;
  if (record_is_sound(r, bytes)) copy_object(a, r, log);
  return bytes;
}

static void copy_all(struct adoption *a) {
  for (uint32_t i = 0; i < a->front->count; i++) {
    uint32_t offset = 0, bytes;
    while (offset < a->front->segment_bytes && (bytes = copy_record(a, i, offset))) offset += bytes;
  }
}

/* It is a store like ours: of the same size, and with the same things in it. */
static bool is_alike(const struct store *s, const char *map, size_t bytes) {
  const struct store_file *ours = &s->segments.file;
  return bytes == ours->bytes && memcmp(map, ours->map, offsetof(struct store_front, serial)) == 0;
}

bool store_adopt(struct store *s, int descriptor) {
  struct stat info;
  struct store_file *ours = &s->segments.file;
  if (fstat(descriptor, &info) || (size_t)info.st_size != ours->bytes) return false;
  char *map = mmap(NULL, ours->bytes, PROT_READ, MAP_SHARED, descriptor, 0);
  if (map == MAP_FAILED) return false;
  bool is_fine = is_alike(s, map, (size_t)info.st_size);
  if (is_fine) {
    struct adoption a = {.store = s, .front = (const struct store_front *)(void *)map};
    a.segments = map + ours->front_bytes;
    a.record = memory_alloc(a.front->segment_bytes);
    a.piece = memory_alloc(a.front->segment_bytes);
    copy_all(&a);
    uint64_t serial = atomic_load(&((struct store_front *)(void *)map)->serial);
    if (atomic_load(&s->segments.front->serial) < serial) atomic_store(&s->segments.front->serial, serial);
    memcpy(ours->map + ours->extra_at, map + ours->extra_at, ours->extra_end - ours->extra_at);
    free(a.record);
    free(a.piece);
  }
  munmap(map, ours->bytes);
  return is_fine;
}
