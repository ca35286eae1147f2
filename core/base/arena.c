// SPDX-License-Identifier: Apache-2.0
// arena: a chain of blocks from base/memory; a large request gets a block of its own size. With ARENA_MALLOC
// each allocation is its own block, so that a sanitizer sees every overflow and every use after the arena's
// end.
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/number.h"

struct arena_block {
  struct arena_block *next;
  size_t size;
};

#ifndef ARENA_MALLOC
enum { BLOCK_BYTES = 4096 };
#endif

void arena_init(struct arena *arena) { *arena = (struct arena){0}; }

void arena_init_roaming(struct arena *arena) { *arena = (struct arena){.roams = true}; }

void arena_free(struct arena *arena) {
  while (arena->blocks) {
    struct arena_block *block = arena->blocks;
    arena->blocks = block->next;
    if (arena->roams)
      free(block);
    else
      block_free(block, block->size);
  }
  arena->next = arena->end = NULL;
  CHECK(!arena->blocks);
}

static struct arena_block *add_block(struct arena *arena, size_t bytes) {
  size_t size = sizeof(struct arena_block) + bytes;
  struct arena_block *block = arena->roams ? memory_alloc(size) : block_alloc(size, &size);
  block->next = arena->blocks;
  block->size = size;
  arena->blocks = block;
  return block;
}

void *arena_extend(struct arena *arena, size_t bytes) {
#ifndef ARENA_MALLOC
  size_t wanted = sizeof(struct arena_block) + bytes;
  struct arena_block *block = add_block(arena, wanted > BLOCK_BYTES ? bytes : BLOCK_BYTES - sizeof *block);
  char *at = (char *)(block + 1), *end = (char *)block + block->size;
  if (end - (at + bytes) >= arena->end - arena->next) { /* keep bumping where more room is left */
    arena->next = at + bytes;
    arena->end = end;
  }
  return at;
#else
  return add_block(arena, bytes) + 1;
#endif
}

void *arena_zalloc(struct arena *arena, size_t bytes) { return memset(arena_alloc(arena, bytes), 0, bytes); }

struct str arena_dup(struct arena *arena, struct str text) {
  char *copy = arena_alloc(arena, text.len);
  if (text.len) memcpy(copy, text.ptr, text.len);
  return (struct str){copy, text.len};
}

char *arena_cstring(struct arena *arena, struct str text) {
  char *copy = arena_alloc(arena, text.len + 1);
  if (text.len) memcpy(copy, text.ptr, text.len);
  copy[text.len] = '\0';
  return copy;
}

size_t arena_room_for(struct str text) {
  size_t room = 32;
  while (room < text.len) room *= 2;
  return room;
}

struct str arena_number(struct arena *arena, unsigned long long number) {
  char digits[NUMBER_DIGITS], *end = digits + sizeof digits;
  const char *at = number_digits(number, end);
  return arena_dup(arena, (struct str){at, (size_t)(end - at)});
}

struct str arena_printf(struct arena *arena, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int length = vsnprintf(NULL, 0, format, args);
  va_end(args);
  char *text = arena_alloc(arena, (size_t)length + 1);
  vsnprintf(text, (size_t)length + 1, format, again);
  va_end(again);
  return (struct str){text, (size_t)length};
}
