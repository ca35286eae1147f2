// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: what a cache finds in a file that another process has left, or in the memory of one that goes on. The
// input is a list of changes to the bytes of a store that was sound: five bytes each, which say where and what. If the
// first byte is odd, the sums of all records are made right afterwards, as one who means harm would do it. What is
// found lies within the memory, is what was stored where sums were left alone, and the store can be filled again (which
// two more bits ask for, since it takes long).
#include <fcntl.h>
#include <unistd.h>

#include "base/memory.h"
#include "shared/store_parts.h"

#include "fuzz.h"

enum { BYTES = 1 << 20, EXTRA = 64, OBJECTS = 24, CHANGE = 5, BODY_STEP = 900 };

struct base {
  struct store_settings settings;
  char path[64];
  char *bytes;
  size_t count;
};

static struct str key_of(unsigned i, char room[16]) {
  return (struct str){room, (size_t)snprintf(room, 16, "key %u", i)};
}

static bool put(struct store *s, unsigned i, size_t bytes) {
  char room[16], *body = memory_alloc(bytes);
  memset(body, (int)('a' + i % 26), bytes);
  struct store_writer *w = store_begin(s, key_of(i, room), STR("head"), i % 2 ? bytes : STORE_LENGTH_UNKNOWN);
  bool is_put = w && store_write(w, (struct str){body, bytes});
  free(body);
  if (w && !is_put) store_drop(w);
  return is_put && store_finish(w);
}

static struct store *open_store(const struct store_settings *settings) {
  const char *why;
  struct store *s = store_new(settings, &why);
  REQUIRE(s);
  return s;
}

static void make_base(struct base *b) {
  snprintf(b->path, sizeof b->path, "/dev/shm/perilune-fuzz-%d", (int)getpid());
  b->settings = (struct store_settings){.bytes = BYTES, .extra_bytes = EXTRA, .path = b->path, .format = 1};
  unlink(b->path);
  struct store *s = open_store(&b->settings);
  for (unsigned i = 0; i < OBJECTS; i++) REQUIRE(put(s, i, i * BODY_STEP + 1));
  b->count = s->segments.file.bytes;
  b->bytes = memory_alloc(b->count);
  memcpy(b->bytes, s->segments.file.map, b->count);
  store_free(s);
  unlink(b->path);
}

/* --- the input --------------------------------------------------------------------------------------------- */

/* One of the numbers of a segment, a byte of the front of a record, or any byte. */
static char *place_of(struct store *s, unsigned kind, unsigned where) {
  struct segments *g = &s->segments;
  if (kind < 64) return (char *)&g->front->segments[kind % g->count] + where % sizeof(struct segment_front);
  if (kind >= 192)
    return g->memory + (size_t)(kind % 2 * 65536 + where) * 7 % ((size_t)g->count * g->bytes - 1);
  uint32_t at = 0, segment = kind % g->count, front = sizeof(struct record) + 8 * sizeof(struct record_piece);
  for (unsigned skip = where >> 12; skip && g->bytes - at > 2 * front; skip--) {
    struct record *r = (struct record *)(void *)segments_at(g, segment, at);
    if (!record_begins(r, g->bytes - at)) break;
    at += r->bytes;
  }
  uint32_t room = g->bytes - at < front ? g->bytes - at : front;
  return segments_at(g, segment, at) + where % (room - 1);
}

static void change(struct store *s, const uint8_t *data, size_t size) {
  for (size_t at = 1; at + CHANGE <= size; at += CHANGE)
    memcpy(place_of(s, data[at], (unsigned)data[at + 1] << 8 | data[at + 2]), data + at + 3, 2);
}

static void seal(struct store *s) {
  struct segments *g = &s->segments;
  for (uint32_t i = 0; i < g->count; i++)
    for (uint32_t at = 0; g->bytes - at > sizeof(struct record);) {
      struct record *r = (struct record *)(void *)segments_at(g, i, at);
      if (!record_begins(r, g->bytes - at)) break;
      uint64_t front =
          sizeof *r + (uint64_t)r->room * sizeof *r->pieces + r->key_bytes + (uint64_t)r->head_bytes;
      if (front <= r->bytes) {
        r->hash = store_hash(record_key(r));
        r->sum = record_sum(r);
      }
      at += r->bytes;
    }
}

/* --- what is found ----------------------------------------------------------------------------------------- */

static void require_within(const struct store *s, const struct store_lease *lease) {
  const char *from = s->segments.memory, *to = from + (size_t)s->segments.count * s->segments.bytes;
  REQUIRE(lease->head.ptr >= from && lease->head.ptr + lease->head.len <= to && lease->count <= STORE_PIECES);
  for (unsigned i = 0; i < lease->count; i++)
    REQUIRE(lease->pieces[i].bytes >= from &&
            lease->pieces[i].length <= (size_t)(to - lease->pieces[i].bytes));
}

static void require_body(const struct store_lease *lease, unsigned number) {
  REQUIRE(str_equal(lease->head, STR("head")) && lease->length == number * BODY_STEP + 1);
  for (unsigned i = 0; i < lease->count; i++)
    for (size_t at = 0; at < lease->pieces[i].length; at++)
      REQUIRE(lease->pieces[i].bytes[at] == (char)('a' + number % 26));
}

static void require_room(struct store *s) {
  for (unsigned i = 0; i < 2 * OBJECTS; i++) {
    while (store_maintain(s, BYTES)) continue;
    put(s, OBJECTS + i, i * BODY_STEP);
  }
}

static void require_sound(struct store *s, bool is_sealed) {
  char room[16];
  for (unsigned i = 0; i < OBJECTS; i++) {
    struct store_lease lease;
    if (!store_find(s, key_of(i, room), &lease)) continue;
    require_within(s, &lease);
    REQUIRE(store_lease_is_sound(&lease));
    if (!is_sealed) require_body(&lease, i);
    store_release(s, &lease);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct base base;
  if (!base.bytes) make_base(&base);
  if (!size) return 0;
  bool is_sealed = data[0] & 1;
  int fd = open(base.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  REQUIRE(fd >= 0 && write(fd, base.bytes, base.count) == (ssize_t)base.count);
  struct store_settings memory = base.settings;
  memory.path = NULL;
  struct store *left = open_store(&memory);
  memcpy(left->segments.file.map, base.bytes, base.count);
  change(left, data, size);
  if (is_sealed) seal(left);
  REQUIRE(pwrite(fd, left->segments.file.map, base.count, 0) == (ssize_t)base.count);
  close(fd);
  struct store *recovered = open_store(&base.settings);
  require_sound(recovered, is_sealed);
  if (data[0] & 2) require_room(recovered);
  store_free(recovered);
  unlink(base.path);
  memory.has_predecessor = true;
  memory.predecessor = store_descriptor(left);
  struct store *adopted = open_store(&memory);
  require_sound(adopted, is_sealed);
  if (data[0] & 4) require_room(adopted);
  store_free(adopted);
  store_free(left);
  return 0;
}
