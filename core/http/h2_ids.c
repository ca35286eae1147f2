// SPDX-License-Identifier: Apache-2.0
// h2_ids: bits in rings, whose places are taken over by newer ids.
#include "http/h2_ids.h"

static unsigned place_of(int32_t id) { return (unsigned)id / 2 % H2_IDS_KEPT; }

static void set_bit(uint64_t *bits, int32_t id, bool on) {
  uint64_t bit = UINT64_C(1) << place_of(id) % 64, *word = &bits[place_of(id) / 64];
  *word = on ? *word | bit : *word & ~bit;
}

static bool has_bit(const uint64_t *bits, int32_t id) {
  return bits[place_of(id) / 64] >> place_of(id) % 64 & 1;
}

static bool is_kept(const struct h2_ids *ids, int32_t id) { return ids->last - id < 2 * H2_IDS_KEPT; }

enum h2_id_state h2_ids_state(const struct h2_ids *ids, int32_t id) {
  if (id > ids->last) return H2_ID_NEW;
  if (!is_kept(ids, id)) return H2_ID_OLD;
  if (!has_bit(ids->opened, id)) return H2_ID_NEVER;
  return has_bit(ids->reset, id) ? H2_ID_RESET : H2_ID_OPENED;
}

void h2_ids_open(struct h2_ids *ids, int32_t id) {
  int32_t from = ids->last ? ids->last + 2 : 1;
  if (id - from > 2 * H2_IDS_KEPT) from = id - 2 * H2_IDS_KEPT;
  for (int32_t skipped = from; skipped < id; skipped += 2) {
    set_bit(ids->opened, skipped, false);
    set_bit(ids->reset, skipped, false);
  }
  set_bit(ids->opened, id, true);
  set_bit(ids->reset, id, false);
  ids->last = id;
}

void h2_ids_note_reset(struct h2_ids *ids, int32_t id) {
  if (id <= ids->last && is_kept(ids, id)) set_bit(ids->reset, id, true);
}
