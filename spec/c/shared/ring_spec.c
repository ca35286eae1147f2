// SPDX-License-Identifier: Apache-2.0
// Units for shared/ring. Where keys go is in choose_spec.c; here are the circle's own parts.
#include "shared/ring.h"

#include <stdio.h>

#include "unit.h"

IT("computes CRC-32 as zlib does") {
  CHECK(crc32_of(STR("")) == 0 && crc32_of(STR("123456789")) == 0xcbf43926);
}

/* Pingora's test data: ten hosts. */
IT("finds the hosts of Pingora's ten") {
  char text[32];
  struct ring *ring = ring_new(10, 10);
  for (unsigned i = 1; i <= 10; i++) {
    snprintf(text, sizeof text, "127.0.0.%u:6443", i);
    ring_add(ring, str_of(text), i, 1, 10);
  }
  ring_close(ring);
  CHECK(ring->count <= 1600 && ring->count > 1590);
  CHECK(ring->points[ring_find(ring, STR("a"))].member == 10);
  CHECK(ring->points[ring_find(ring, STR("b"))].member == 5);
  for (unsigned i = 1; i < ring->count; i++) CHECK(ring->points[i - 1].hash < ring->points[i].hash);
  ring_free(ring);
}

/* The base of a point is crc32("host\0port"), then the point before: four bytes, the lowest first. */
static uint32_t first_point(const char *base, size_t length, struct str address) {
  char bytes[64] = {0};
  struct ring *ring = ring_new(1, 1);
  ring_add(ring, address, 0, 1, 1);
  uint32_t got = ring->points[0].hash;
  ring_free(ring);
  memcpy(bytes, base, length);
  return got == crc32_of((struct str){bytes, length + 4}) ? got : 0;
}

IT("divides an address as nginx does") {
  CHECK(first_point("1.2.3.4\0"
                    "80",
                    10, STR("1.2.3.4:80")));
  CHECK(first_point("[::1]\0"
                    "80",
                    8, STR("[::1]:80")));
  CHECK(first_point("name\0", 5, STR("name")));
  CHECK(first_point("/tmp/a:1\0", 9, STR("unix:/tmp/a:1")));
}

IT("gives each unit of weight 160 points, and scales weights that are too large") {
  struct ring *ring = ring_new(4, 2);
  ring_add(ring, STR("a:1"), 0, 3, 4);
  CHECK(ring->count == 480);
  ring_add(ring, STR("b:1"), 1, 1, 4);
  CHECK(ring->count == 640);
  ring_free(ring);
  ring = ring_new(130000, 3);
  ring_add(ring, STR("a:1"), 0, 65000, 130000);
  unsigned half = ring->count;
  ring_add(ring, STR("b:1"), 1, 64999, 130000);
  ring_add(ring, STR("c:1"), 2, 1, 130000);
  CHECK(half > 2000000 && half < 2200000 && ring->count <= ring->room && ring->count - half > 2000160);
  ring_free(ring);
}
