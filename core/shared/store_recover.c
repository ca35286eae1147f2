// SPDX-License-Identifier: Apache-2.0
// store_recover: the index of a store that another process has left, made from the records in its segments. Nothing
// there is believed: a record counts if it lies where it may, its sum is right, and its pieces are in segments that
// were not emptied since. Bodies are checked when they are found first. Of two records of one key, the one that was
// stored later counts.
#include "shared/store_parts.h"

/* --- what is not believed --------------------------------------------------------------------------------- */

bool record_begins(const struct record *r, uint32_t room) {
  uint32_t kind = atomic_load_explicit(&r->kind, memory_order_relaxed);
  return (kind == RECORD_HEAD || kind == RECORD_DEAD) && r->bytes >= STORE_ALIGN &&
         r->bytes % STORE_ALIGN == 0 && r->bytes <= room;
}

bool record_is_sound(const struct record *r, uint32_t bytes) {
  if (r->room > STORE_PIECES || !r->count || r->count > r->room) return false;
  uint64_t front = sizeof *r + r->room * sizeof *r->pieces + (uint64_t)r->key_bytes + r->head_bytes;
  return front <= bytes && record_sum(r) == r->sum && r->hash == store_hash(record_key(r));
}

bool record_piece_is_placed(const struct record_piece *piece, uint32_t count, uint32_t bytes) {
  struct store_place place = piece->place;
  return place.segment < count && place.offset <= bytes && piece->length <= bytes - place.offset;
}

/* --- recovering ------------------------------------------------------------------------------------------- */

static bool is_there(const struct segments *g, const struct record_piece *piece) {
  return record_piece_is_placed(piece, g->count, g->bytes) &&
         piece->place.generation == atomic_load(&g->all[piece->place.segment].generation);
}

static bool has_pieces(const struct segments *g, const struct record *r, struct store_place place) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < r->count; i++) {
    if (!is_there(g, &r->pieces[i])) return false;
    bytes += r->pieces[i].length;
  }
  return bytes == r->body_bytes && r->pieces[0].place.segment == place.segment;
}

/* NULL: from there on there is none. */
static const struct record *record_at(const struct segments *g, struct store_place place) {
  if (g->bytes - place.offset < sizeof(struct record)) return NULL;
  const struct record *r = (const struct record *)(const void *)segments_at(g, place.segment, place.offset);
  return record_begins(r, g->bytes - place.offset) ? r : NULL;
}

static void recover_segment(struct store *s, uint32_t i) {
  struct segments *g = &s->segments;
  struct store_place place = {i, 0, atomic_load(&g->all[i].generation)};
  const struct record *r;
  while (place.offset < g->bytes && (r = record_at(g, place))) {
    bool is_head = atomic_load_explicit(&r->kind, memory_order_relaxed) == RECORD_HEAD;
    if (is_head && record_is_sound(r, r->bytes) && has_pieces(g, r, place)) index_recover(s, r, place);
    place.offset += r->bytes;
  }
  segments_recover(g, i, place.offset);
}

void store_recover(struct store *s) {
  for (uint32_t i = 0; i < s->segments.count; i++) recover_segment(s, i);
}
