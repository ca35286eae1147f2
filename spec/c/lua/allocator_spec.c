// SPDX-License-Identifier: Apache-2.0
// The memory of a Lua state: pieces of all sizes, counted and capped.
#include "lua/vm/allocator.h"

#include <stdint.h>

#include "unit.h"

static bool is_filled(const unsigned char *bytes, size_t count, unsigned char with) {
  for (size_t i = 0; i < count; i++)
    if (bytes[i] != with) return false;
  return true;
}

IT("keeps contents while pieces grow and shrink across its sizes") {
  struct allocator a = {.cap_bytes = 1 << 20};
  static const size_t sizes[] = {1, 16, 17, 100, 512, 513, 4000, 600, 512, 30, 8};
  size_t had = 0;
  unsigned char *piece = NULL;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    piece = allocator_run(&a, piece, had, sizes[i]);
    if (!CHECK(piece != NULL)) return;
    CHECK(is_filled(piece, had < sizes[i] ? had : sizes[i], 7));
    CHECK((uintptr_t)piece % 16 == 0 && a.used_bytes == sizes[i]);
    memset(piece, 7, sizes[i]);
    had = sizes[i];
  }
  allocator_run(&a, piece, had, 0);
  CHECK(a.used_bytes == 0);
  allocator_free(&a);
}

IT("gives no piece twice") {
  enum { COUNT = 5000 };
  static unsigned char *pieces[COUNT];
  struct allocator a = {.cap_bytes = 100 << 20};
  for (unsigned round = 0; round < 2; round++) {
    for (unsigned i = 0; i < COUNT; i++) {
      pieces[i] = allocator_run(&a, NULL, 0, i % 700 + 1);
      memset(pieces[i], (int)i, i % 700 + 1);
    }
    bool holds = true;
    for (unsigned i = 0; i < COUNT; i++) {
      holds = holds && is_filled(pieces[i], i % 700 + 1, (unsigned char)i);
      allocator_run(&a, pieces[i], i % 700 + 1, 0);
    }
    CHECK(holds);
  }
  CHECK(a.used_bytes == 0);
  allocator_free(&a);
}

IT("refuses what goes beyond the cap, and leaves what there is") {
  struct allocator a = {.cap_bytes = 1000};
  char *piece = allocator_run(&a, NULL, 0, 600);
  strcpy(piece, "kept");
  CHECK(allocator_run(&a, NULL, 0, 401) == NULL);
  CHECK(allocator_run(&a, piece, 600, 1001) == NULL);
  CHECK(strcmp(piece, "kept") == 0 && a.used_bytes == 600);
  char *other = allocator_run(&a, NULL, 0, 400);
  CHECK(other != NULL);
  allocator_run(&a, piece, 600, 0);
  allocator_run(&a, other, 400, 0);
  allocator_free(&a);
}
