// SPDX-License-Identifier: Apache-2.0
// What a purge concerns: everything from before it that belongs to what was purged, and nothing else.
#include "shared/purges.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

enum { STORE_BYTES = 8 << 20 };

static struct purge_table *new_table(void) {
  return purges_init(calloc(1, purges_bytes(STORE_BYTES)), STORE_BYTES);
}

static enum purge_found look(const struct purge_table *p, uint64_t number, const char *key,
                             bool looks_at_key) {
  uint64_t tags[] = {7, 8};
  int64_t ms;
  struct purge_object object = {.number = number, .key = str_of(key), .tags = tags, .tag_count = 2};
  object.looks_at_key = looks_at_key;
  return purges_look(p, &object, &ms);
}

IT("finds what is older than a purge of its key, its prefix, its tag or of all, and nothing newer") {
  struct purge_table *p = new_table();
  CHECK(look(p, 0, "http\na\n/x", true) == PURGE_NOTHING);
  purges_add_key(p, STR("http\na\n/x"), false, 0);
  CHECK(look(p, 0, "http\na\n/x", true) == PURGE_HARD && look(p, 1, "http\na\n/x", true) == PURGE_NOTHING);
  CHECK(look(p, 0, "http\na\n/y", true) == PURGE_NOTHING &&
        look(p, 0, "http\na\n/x", false) == PURGE_NOTHING);
  purges_add_prefix(p, STR("http\na\n/x"), false, 0);
  CHECK(look(p, 1, "http\na\n/x", false) == PURGE_HARD && look(p, 1, "http\na\n/xyz", false) == PURGE_HARD);
  CHECK(look(p, 1, "http\na\n/y", false) == PURGE_NOTHING &&
        look(p, 2, "http\na\n/xyz", false) == PURGE_NOTHING);
  purges_add_tag(p, 8, false, 0);
  purges_add_tag(p, 9, false, 0);
  CHECK(look(p, 2, "http\na\n/y", false) == PURGE_HARD && look(p, 3, "http\na\n/y", false) == PURGE_NOTHING);
  purges_add_all(p, false, 0);
  CHECK(look(p, 4, "http\nb\n/", false) == PURGE_HARD && look(p, 5, "http\nb\n/", false) == PURGE_NOTHING);
  free(p);
}

IT("tells soft purges from hard ones, and since when") {
  struct purge_table *p = new_table();
  struct purge_object object = {.number = 0, .key = STR("http\na\n/x")};
  int64_t ms = 0;
  purges_add_key(p, object.key, true, 500);
  CHECK(purges_look(p, &object, &ms) == PURGE_SOFT && ms == 500);
  purges_add_prefix(p, STR("http\na\n"), true, 700);
  CHECK(purges_look(p, &object, &ms) == PURGE_SOFT && ms == 500);
  object.number = 2;
  CHECK(purges_look(p, &object, &ms) == PURGE_NOTHING);
  purges_add_all(p, false, 0);
  CHECK(purges_look(p, &object, &ms) == PURGE_HARD);
  free(p);
}

IT("concerns what has more tags than are known with each purge of a tag") {
  struct purge_table *p = new_table();
  struct purge_object object = {.number = 0, .key = STR("k"), .has_more_tags = true};
  int64_t ms;
  purges_add_prefix(p, STR("x"), false, 0);
  CHECK(purges_look(p, &object, &ms) == PURGE_NOTHING);
  purges_add_tag(p, 1, false, 0);
  CHECK(purges_look(p, &object, &ms) == PURGE_HARD);
  free(p);
}

IT("never misses a prefix, however many there were and however long they are") {
  struct purge_table *p = new_table();
  char key[PURGE_PREFIX_MOST + 8];
  memset(key, 'a', sizeof key);
  for (size_t length = 1; length <= PURGE_PREFIX_MOST; length += 37) {
    uint64_t before = purges_number(p);
    purges_add_prefix(p, (struct str){key, length}, false, 0);
    struct purge_object object = {.number = before, .key = {key, sizeof key}};
    int64_t ms;
    CHECK(purges_look(p, &object, &ms) == PURGE_HARD);
    object.key.len = length - 1;
    if (length > 1) CHECK(purges_look(p, &object, &ms) == PURGE_NOTHING);
  }
  free(p);
}
