// SPDX-License-Identifier: Apache-2.0
// store_write: one object being written. Its record comes first and is filled in last; its segments are pinned until
// then, so that nobody empties them. Bytes go to one piece after another; for a body of unknown length each piece is
// larger than the one before, and the unused rest of the last one is returned.
#include <stdlib.h>

#include <xxhash.h>

#include "base/memory.h"
#include "shared/store_parts.h"

enum { FIRST_PIECE = 16384 };

struct store_writer {
  struct store *store; /* borrowed */
  struct record *record;
  struct store_place place; /* of the record */
  uint64_t announced, written, most;
  uint64_t serial; /* 0: the next one */
  enum store_log log;
  unsigned count; /* pieces; the last one is being written */
  uint32_t room;  /* of the last one */
  bool has_failed;
  struct {
    struct store_place record; /* where its reservation begins */
    uint32_t taken, skipped;   /* bytes of that, and of them in front of the piece */
    uint32_t offset, length;
  } pieces[STORE_PIECES];
};

struct store_writer *store_begin(struct store *s, struct str key, struct str head, uint64_t length) {
  enum store_log log = index_remembers(&s->index, store_hash(key)) ? STORE_MAIN : STORE_SMALL;
  struct store_writer *w = store_begin_in(s, log, key, head, length);
  if (!w) atomic_fetch_add(&s->refused, 1);
  return w;
}

/* How large the next piece is at most, and at least: so that the pieces that are left are enough for the body. */
static uint32_t next_size(const struct store_writer *w, uint32_t *least) {
  uint64_t segment = w->store->segments.bytes, wanted = FIRST_PIECE, enough;
  if (w->announced != STORE_LENGTH_UNKNOWN) {
    wanted = w->announced - w->written;
    enough = wanted / (STORE_PIECES - w->count) + 1;
  } else {
    if (w->count) wanted = (uint64_t)w->pieces[w->count - 1].length * 2;
    enough = wanted / 2;
  }
  if (wanted > segment / 2) wanted = segment / 2;
  if (enough < segment / 8) enough = segment / 8;
  *least = (uint32_t)(enough < wanted ? enough : wanted);
  return (uint32_t)wanted;
}

static bool add_piece(struct store_writer *w, uint32_t in_front) {
  uint32_t least, taken;
  struct store_place place;
  if (w->count == STORE_PIECES) return false;
  uint32_t most = next_size(w, &least);
  if (!segments_reserve(&w->store->segments, w->log, in_front + least, in_front + most, &place, &taken))
    return false;
  w->pieces[w->count].record = place;
  w->pieces[w->count].taken = taken;
  w->pieces[w->count].skipped = in_front;
  w->pieces[w->count].offset = place.offset + in_front;
  w->pieces[w->count].length = 0;
  w->count++;
  w->room = taken - in_front;
  return true;
}

struct store_writer *store_begin_in(struct store *s, enum store_log log, struct str key, struct str head,
                                    uint64_t length) {
  uint64_t most = store_object_most(s), front = key.len + head.len;
  unsigned room = length <= s->segments.bytes / 8 ? 1 : STORE_PIECES;
  front += sizeof(struct record) + room * sizeof(struct record_piece);
  if (front > s->segments.bytes / 8 || (length != STORE_LENGTH_UNKNOWN && length > most - front)) return NULL;
  struct store_writer *w = memory_alloc(sizeof *w);
  *w = (struct store_writer){.store = s, .announced = length, .most = most - front, .log = log};
  if (!add_piece(w, (uint32_t)front)) {
    free(w);
    return NULL;
  }
  w->place = w->pieces[0].record;
  w->record = (struct record *)segments_at(&s->segments, w->place.segment, w->place.offset);
  w->record->hash = store_hash(key);
  w->record->key_bytes = (uint32_t)key.len;
  w->record->head_bytes = (uint32_t)head.len;
  w->record->room = room;
  if (key.len) memcpy((char *)(w->record->pieces + room), key.ptr, key.len);
  if (head.len) memcpy((char *)(w->record->pieces + room) + key.len, head.ptr, head.len);
  return w;
}

void store_set_serial(struct store_writer *w, uint64_t serial) { w->serial = serial; }

static bool fail(struct store_writer *w) {
  w->has_failed = true;
  return false;
}

bool store_write(struct store_writer *w, struct str bytes) {
  uint64_t most = w->announced < w->most ? w->announced : w->most;
  if (w->has_failed || bytes.len > most - w->written) return fail(w);
  while (bytes.len) {
    if (!w->room && !add_piece(w, sizeof(struct record))) return fail(w);
    uint32_t part = bytes.len < w->room ? (uint32_t)bytes.len : w->room;
    uint32_t at = w->pieces[w->count - 1].offset + w->pieces[w->count - 1].length;
    memcpy(segments_at(&w->store->segments, w->pieces[w->count - 1].record.segment, at), bytes.ptr, part);
    w->pieces[w->count - 1].length += part;
    w->room -= part;
    w->written += part;
    bytes = str_from(bytes, part);
  }
  return true;
}

static void trim_last(struct store_writer *w) {
  unsigned last = w->count - 1;
  uint32_t needed = w->pieces[last].skipped + w->pieces[last].length;
  segments_trim(&w->store->segments, w->pieces[last].record, w->pieces[last].taken, needed);
}

static void end(struct store_writer *w) {
  for (unsigned i = 0; i < w->count; i++) segments_unpin(&w->store->segments, w->pieces[i].record.segment);
  free(w);
}

void store_drop(struct store_writer *w) {
  w->pieces[w->count - 1].length = 0;
  trim_last(w);
  end(w);
}

static void fill_in(struct store_writer *w) {
  struct record *r = w->record;
  r->count = w->count;
  r->body_bytes = w->written;
  r->serial = w->serial ? w->serial : atomic_fetch_add(&w->store->segments.front->serial, 1) + 1;
  for (unsigned i = 0; i < w->count; i++) {
    struct store_place place = w->pieces[i].record;
    place.offset = w->pieces[i].offset;
    const char *bytes = segments_at(&w->store->segments, place.segment, place.offset);
    r->pieces[i] =
        (struct record_piece){place, w->pieces[i].length, (uint32_t)XXH3_64bits(bytes, w->pieces[i].length)};
  }
  r->sum = record_sum(r);
  atomic_store_explicit(&r->kind, RECORD_HEAD, memory_order_relaxed);
}

/* False: it is not what was announced. */
static bool complete(struct store_writer *w) {
  bool is_whole = !w->has_failed && (w->announced == STORE_LENGTH_UNKNOWN || w->written == w->announced);
  if (!is_whole) return false;
  CHECK(w->count <= w->record->room);
  trim_last(w);
  fill_in(w);
  return true;
}

/* The lock of the index makes all of it seen by who finds it there. */
bool store_finish(struct store_writer *w) {
  if (!complete(w)) {
    store_drop(w);
    return false;
  }
  index_put(w->store, w->record->hash, record_key(w->record), w->place);
  atomic_fetch_add(&w->store->stored, 1);
  end(w);
  return true;
}

bool store_finish_move(struct store_writer *w, struct store_place from, unsigned freq) {
  if (!complete(w)) {
    store_drop(w);
    return false;
  }
  bool has_moved = index_move(w->store, w->record->hash, from, w->place, freq);
  end(w);
  return has_moved;
}

uint64_t store_written(const struct store_writer *w) { return w->written; }

struct str store_written_at(const struct store_writer *w, uint64_t offset) {
  for (unsigned i = 0; i < w->count; i++) {
    uint32_t length = w->pieces[i].length;
    if (offset < length) {
      const char *bytes = segments_at(&w->store->segments, w->pieces[i].record.segment, w->pieces[i].offset);
      return (struct str){bytes + offset, (size_t)(length - offset)};
    }
    offset -= length;
  }
  return (struct str){0};
}

/* The pins of the writer are the lease's from now on. */
bool store_finish_leased(struct store_writer *w, bool is_published, struct store_lease *lease) {
  if (!complete(w)) return false;
  const struct record *r = w->record;
  *lease = (struct store_lease){
      .head = record_head(r), .length = r->body_bytes, .serial = r->serial, .count = r->count};
  for (unsigned i = 0; i < r->count; i++) {
    struct store_place place = r->pieces[i].place;
    lease->pieces[i] = (struct store_piece){segments_at(&w->store->segments, place.segment, place.offset),
                                            r->pieces[i].length, place.segment, r->pieces[i].sum};
  }
  if (is_published) {
    index_put(w->store, r->hash, record_key(r), w->place);
    atomic_fetch_add(&w->store->stored, 1);
  } else {
    atomic_store_explicit(&w->record->kind, RECORD_DEAD, memory_order_relaxed); /* nor by the next process */
  }
  free(w);
  return true;
}
