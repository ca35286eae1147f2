// SPDX-License-Identifier: Apache-2.0
// The names that a response can be purged by.
#include "http/cache_tags.h"

#include <stdio.h>

#include "unit.h"

static struct str names(const char *name, const char *value, bool is_invalidation) {
  static char text[256];
  struct arena arena;
  struct headers h;
  struct tag_walk walk;
  struct str tag;
  bool is_group;
  arena_init(&arena);
  headers_init(&h, &arena);
  headers_add(&h, str_of(name), str_of(value));
  text[0] = '\0';
  if (is_invalidation)
    tag_walk_begin_invalidation(&walk, &h);
  else
    tag_walk_begin(&walk, &h);
  while (tag_walk_next(&walk, &tag, &is_group))
    snprintf(text + strlen(text), sizeof text - strlen(text), "%s%.*s|", is_group ? "g:" : "", STR_ARG(tag));
  arena_free(&arena);
  return str_of(text);
}

IT("are the words of Surrogate-Key, and the members of Cache-Tag") {
  CHECK_STR(names("Surrogate-Key", " a  b-c\td ", false), "a|b-c|d|");
  CHECK_STR(names("cache-tag", "a, b c ,,d", false), "a|b c|d|");
  CHECK_STR(names("Cache-Tag", "", false), "");
  CHECK_STR(names("X-Tag", "a", false), "");
}

IT("are the strings of Cache-Groups (RFC 9875 section 2), also of a malformed one") {
  CHECK_STR(names("Cache-Groups", "\"a\", \"b, c\";x=1,\"\"", false), "g:a|g:b, c|");
  CHECK_STR(names("Cache-Groups", "\"a\\\"b\"", false), "g:a\\\"b|");
  CHECK_STR(names("Cache-Groups", "\"open", false), "g:open|");
  CHECK_STR(names("Cache-Groups", "token", false), "");
}

IT("are told apart from those that an answer invalidates (RFC 9875 section 3)") {
  CHECK_STR(names("Cache-Group-Invalidation", "\"a\"", false), "");
  CHECK_STR(names("Cache-Group-Invalidation", "\"a\"", true), "g:a|");
  CHECK_STR(names("Cache-Groups", "\"a\"", true), "");
}
