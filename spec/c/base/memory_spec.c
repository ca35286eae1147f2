// SPDX-License-Identifier: Apache-2.0
// Units for base/memory, in both builds.
#include "base/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* Seconds of this thread's CPU that many copies take at best. */
static double cost_of_copies(char *to, const char *from, size_t bytes) {
  double best = 1;
  for (int round = 0; round < 20; round++) {
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    for (int i = 0; i < 20; i++) memory_copy(to, from, bytes);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    double took = (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
    if (took < best) best = took;
  }
  return best;
}

IT("copies long bodies whole, and no slower where both lie alike in their pages") {
  enum { BYTES = 16384 };
  static const size_t lengths[] = {0, 1, MEMORY_STEP, MEMORY_STEP + 1, 3 * MEMORY_STEP, BYTES};
  char *from = aligned_alloc(MEMORY_PAGE, BYTES), *to = aligned_alloc(MEMORY_PAGE, 2 * BYTES);
  for (int i = 0; i < BYTES; i++) from[i] = (char)(i * 31 >> 3);
  for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    memset(to, '-', (size_t)2 * BYTES);
    memory_copy(to + 9, from, lengths[i]);
    CHECK(memcmp(to + 9, from, lengths[i]) == 0 && to[8] == '-' && to[9 + lengths[i]] == '-');
  }
  CHECK(cost_of_copies(to + 9, from, BYTES) < 5 * cost_of_copies(to + 1000, from, BYTES));
  free(from);
  free(to);
}

IT("gives whole cache lines, zeroed") {
  size_t wanted[] = {0, 1, MEMORY_LINE, MEMORY_LINE + 1, 1000};
  for (unsigned i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    char *lines = memory_zalloc_lines(wanted[i]);
    CHECK((uintptr_t)lines % MEMORY_LINE == 0);
    for (size_t k = 0; k < wanted[i]; k++) CHECK(lines[k] == 0);
    memset(lines, 'x', (wanted[i] + MEMORY_LINE - 1) / MEMORY_LINE * MEMORY_LINE);
    free(lines);
  }
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

/* In KB: what is mapped in of files that cannot be written to. */
static unsigned text_kb(void) {
  FILE *file = fopen("/proc/self/smaps", "re");
  char line[512];
  unsigned kb = 0, sum = 0;
  bool counts = false;
  while (file && fgets(line, sizeof line, file)) {
    char rights[5];
    if (sscanf(line, "%*x-%*x %4s", rights) == 1) counts = rights[1] == '-' && strchr(line, '/');
    if (counts && sscanf(line, "Rss: %u kB", &kb) == 1) sum += kb;
  }
  if (file) fclose(file);
  return sum;
}

static volatile int written = 1;

IT("lets go of program and libraries as they are in their files, and of nothing that was written") {
  unsigned before = text_kb();
  written = 2;
  memory_drop_text();
  unsigned after = text_kb();
  CHECK(before > 0 && after < before / 2);
  CHECK(written == 2);
}

IT("gives pieces, zeroed where asked, that keep their content as they grow") {
  enum { MANY = 300 };
  char *pieces[MANY];
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < MANY; i++) {
      pieces[i] = i % 2 ? piece_zalloc((size_t)i * 5) : piece_alloc((size_t)i * 5);
      for (int k = 0; i % 2 && k < i * 5; k++) CHECK(pieces[i][k] == 0);
      memset(pieces[i], 'a' + i % 26, (size_t)i * 5);
    }
    for (int i = 0; i < MANY; i++) {
      pieces[i] = piece_realloc(pieces[i], (size_t)i * 7);
      for (int k = 0; k < i * 5; k++) CHECK(pieces[i][k] == 'a' + i % 26);
      memset(pieces[i], 'x', (size_t)i * 7);
    }
    for (int i = 0; i < MANY; i++) piece_free(pieces[i]);
  }
  char *none = piece_realloc(NULL, 10);
  memset(none, 'x', 10);
  piece_free(none);
  piece_free(NULL);
  memory_thread_end();
}
