// SPDX-License-Identifier: Apache-2.0
// Units for base/memory, in both builds.
#include "base/memory.h"

#include <stdlib.h>

#include "unit.h"

IT("gives memory also for nothing, zeroed where asked, and moves it as it grows") {
  char *none = memory_alloc(0), *zeroed = memory_zalloc(64);
  CHECK(none && zeroed);
  int sum = 0;
  for (int i = 0; i < 64; i++) sum += zeroed[i];
  CHECK(sum == 0);
  memcpy(zeroed, "kept", 5);
  zeroed = memory_realloc(zeroed, 100000);
  CHECK(strcmp(zeroed, "kept") == 0);
  free(none);
  free(zeroed);
}

IT("gives blocks of at least the size that was asked for, all of it usable") {
  size_t wanted[] = {1, 4096, 4097, 16384, 16385, BLOCK_LARGEST, BLOCK_LARGEST + 1, 1000000};
  for (unsigned i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    size_t size = 0;
    char *block = block_alloc(wanted[i], &size);
    CHECK(size >= wanted[i]);
    memset(block, 0xaa, size);
    block_free(block, size);
  }
  memory_thread_end();
}

#ifndef ARENA_MALLOC
IT("gives a block again that was given back") {
  size_t size, other;
  void *first = block_alloc(4000, &size);
  block_free(first, size);
  void *again = block_alloc(100, &other);
  CHECK(again == first && other == size);
  block_free(again, other);
  memory_thread_end();
}
#endif

IT("takes more blocks back than it keeps, and can go on after giving all to the system") {
  enum { MANY = 1500 };
  static void *blocks[MANY];
  size_t size = 0;
  for (int i = 0; i < MANY; i++) blocks[i] = block_alloc(4096, &size);
  for (int i = 0; i < MANY; i++) block_free(blocks[i], size);
  memory_thread_end();
  void *block = block_alloc(4096, &size);
  CHECK(size >= 4096);
  block_free(block, size);
  memory_thread_end();
}
