// SPDX-License-Identifier: Apache-2.0
// ring: the points and the search. The CRC of a backend's name is computed once and continued for each point, since
// the input of each point is that name and the point before.
#include "shared/ring.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/memory.h"

enum { POINTS = 160, POINTS_MOST = 1 << 22 };

/* --- CRC-32 ------------------------------------------------------------------------------------------ */

static uint32_t table[256];

static void make_table(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
    table[i] = value;
  }
}

static uint32_t crc_go_on(uint32_t crc, struct str text) {
  for (size_t i = 0; i < text.len; i++) crc = table[(crc ^ (unsigned char)text.ptr[i]) & 0xff] ^ crc >> 8;
  return crc;
}

static void prepare(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_table);
}

uint32_t crc32_of(struct str text) {
  prepare();
  return ~crc_go_on(0xffffffffu, text);
}

/* --- making ------------------------------------------------------------------------------------------ */

struct ring *ring_new(uint64_t weight, unsigned members) {
  prepare();
  uint64_t room = weight * POINTS;
  if (room > POINTS_MOST) room = POINTS_MOST + (uint64_t)members * POINTS; /* each has 160 at least */
  struct ring *ring = memory_alloc(sizeof *ring + room * sizeof ring->points[0]);
  ring->count = 0;
  ring->room = (unsigned)room;
  return ring;
}

void ring_free(struct ring *ring) { free(ring); }

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* nginx's halves of a name: "host", "port"; without a port the whole is the host; of a unix socket its path.
 */
static void halves(struct str address, struct str *host, struct str *port) {
  *host = address;
  *port = (struct str){0};
  if (str_starts_with(address, STR("unix:"))) {
    *host = str_from(address, 5);
    return;
  }
  size_t at = address.len;
  while (at > 0 && is_digit(address.ptr[at - 1])) at--;
  if (at == 0 || address.ptr[at - 1] != ':') return;
  *host = (struct str){address.ptr, at - 1};
  *port = str_from(address, at);
}

void ring_add(struct ring *ring, struct str address, unsigned member, uint64_t weight, uint64_t total) {
  struct str host, port;
  halves(address, &host, &port);
  uint32_t base = crc_go_on(crc_go_on(crc_go_on(0xffffffffu, host), (struct str){"", 1}), port);
  uint64_t units = weight;
  if (total * POINTS > POINTS_MOST) units = weight * (POINTS_MOST / POINTS) / total;
  uint32_t before = 0;
  for (uint64_t i = 0; i < (units ? units : 1) * POINTS && ring->count < ring->room; i++) {
    unsigned char bytes[] = {(unsigned char)before, (unsigned char)(before >> 8),
                             (unsigned char)(before >> 16), (unsigned char)(before >> 24)};
    before = ~crc_go_on(base, (struct str){(const char *)bytes, sizeof bytes});
    ring->points[ring->count++] = (struct ring_point){before, member};
  }
}

/* One pass of a radix sort by eight bits from `shift` on. It keeps the order of equals. */
static void sort_by(const struct ring_point *from, struct ring_point *to, unsigned count, int shift) {
  unsigned places[257] = {0};
  for (unsigned i = 0; i < count; i++) places[(from[i].hash >> shift & 0xff) + 1]++;
  for (int i = 0; i < 256; i++) places[i + 1] += places[i];
  for (unsigned i = 0; i < count; i++) to[places[from[i].hash >> shift & 0xff]++] = from[i];
}

/* A million points take some ten milliseconds. Of equal points the first member's stays. */
void ring_close(struct ring *ring) {
  unsigned kept = 0;
  struct ring_point *other = memory_alloc((ring->count + 1) * sizeof *other);
  for (int shift = 0; shift < 32; shift += 16) {
    sort_by(ring->points, other, ring->count, shift);
    sort_by(other, ring->points, ring->count, shift + 8);
  }
  free(other);
  for (unsigned i = 0; i < ring->count; i++)
    if (kept == 0 || ring->points[kept - 1].hash != ring->points[i].hash)
      ring->points[kept++] = ring->points[i];
  ring->count = kept;
}

/* --- looking ----------------------------------------------------------------------------------------- */

unsigned ring_find(const struct ring *ring, struct str key) {
  uint32_t hash = crc32_of(key);
  unsigned low = 0, high = ring->count;
  while (low < high) {
    unsigned middle = low + (high - low) / 2;
    if (ring->points[middle].hash < hash)
      low = middle + 1;
    else
      high = middle;
  }
  return low == ring->count ? 0 : low;
}
