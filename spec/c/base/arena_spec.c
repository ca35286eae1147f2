// SPDX-License-Identifier: Apache-2.0
// Units for base/arena. They hold for both builds, with blocks and with one malloc per allocation.
#include "base/arena.h"

#include "unit.h"

IT("gives memory that is aligned, apart and kept until the end") {
  struct arena arena;
  unsigned char *pieces[300];
  arena_init(&arena);
  for (unsigned i = 0; i < 300; i++) {
    pieces[i] = arena_alloc(&arena, i);
    CHECK((uintptr_t)pieces[i] % 8 == 0);
    memset(pieces[i], (int)i, i);
  }
  for (unsigned i = 0; i < 300; i++)
    for (unsigned k = 0; k < i; k++)
      if (!CHECK(pieces[i][k] == (unsigned char)i)) return;
  arena_free(&arena);
}

IT("gives pieces larger than a block without giving up the room of the block before") {
  struct arena arena = {0};
  char *small = arena_alloc(&arena, 16), *large = arena_alloc(&arena, 100000),
       *next = arena_alloc(&arena, 16);
  memset(large, 1, 100000);
  memset(small, 2, 16);
  memset(next, 3, 16);
  CHECK(large[0] == 1 && large[99999] == 1 && small[15] == 2);
#ifndef ARENA_MALLOC
  CHECK(next == small + 16);
#endif
  arena_free(&arena);
}

IT("is empty after its end and can be used again") {
  struct arena arena = {0};
  arena_alloc(&arena, 10);
  arena_free(&arena);
  CHECK(!arena.blocks && !arena.next && !arena.end);
  arena_free(&arena);
  CHECK(arena_zalloc(&arena, 10));
  arena_free(&arena);
}

IT("zeroes what is asked to be zero, also memory used before") {
  struct arena arena = {0};
  for (int round = 0; round < 2; round++) {
    unsigned char *bytes = arena_zalloc(&arena, 1000);
    unsigned sum = 0;
    for (int i = 0; i < 1000; i++) sum += bytes[i];
    CHECK(sum == 0);
    memset(bytes, 0xff, 1000);
    arena_free(&arena);
  }
}

IT("copies text, terminated where asked") {
  struct arena arena = {0};
  char source[] = "abc";
  struct str copy = arena_dup(&arena, (struct str){source, 2});
  char *text = arena_cstring(&arena, (struct str){source, 2});
  source[0] = 'X';
  CHECK_STR(copy, "ab");
  CHECK(strcmp(text, "ab") == 0);
  CHECK(arena_dup(&arena, (struct str){0}).len == 0);
  CHECK(arena_cstring(&arena, (struct str){0})[0] == '\0');
  arena_free(&arena);
}

IT("formats text of any length") {
  struct arena arena = {0};
  CHECK_STR(arena_printf(&arena, "%s-%d", "a", 7), "a-7");
  CHECK(arena_printf(&arena, "%10000d", 1).len == 10000);
  CHECK_STR(arena_printf(&arena, "%s", ""), "");
  arena_free(&arena);
}
