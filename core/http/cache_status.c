// SPDX-License-Identifier: Apache-2.0
// cache_status: writes one list member with its parameters.
#include "http/cache_status.h"

#include <inttypes.h>
#include <stdio.h>

#include "http/grammar.h"

static struct str forward_name(enum cache_forward forward) {
  static const struct str names[] = {
#define X(id, name) STR_INIT(name),
      CACHE_FORWARDS(X)
#undef X
  };
  return names[forward];
}

/* A string of a structured field; what it cannot hold becomes '?'. */
static struct str quoted(struct str text, struct arena *arena) {
  char *bytes = arena_alloc(arena, 2 * text.len + 2), *end = bytes;
  *end++ = '"';
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    if (c == '"' || c == '\\') *end++ = '\\';
    *end++ = c < 0x20 || c > 0x7e ? '?' : c;
  }
  *end++ = '"';
  return (struct str){bytes, (size_t)(end - bytes)};
}

static bool is_token(struct str text) {
  bool is_letter = text.len && ascii_lower(text.ptr[0]) >= 'a' && ascii_lower(text.ptr[0]) <= 'z';
  return is_letter && grammar_is_all(text, CLASS_TOKEN);
}

static struct str token_or_quoted(struct str text, struct arena *arena) {
  return is_token(text) ? text : quoted(text, arena);
}

/* "; ttl=-1" or nothing. */
static const char *number(char text[32], const char *format, bool is_there, int64_t value) {
  text[0] = 0;
  if (is_there) snprintf(text, 32, format, value);
  return text;
}

struct str cache_status_text(const struct cache_status *s, struct arena *arena) {
  char status[32], ttl[32];
  struct str name = token_or_quoted(s->cache, arena), forward = forward_name(s->forward), empty = STR("");
  struct str key = s->key.len ? quoted(s->key, arena) : empty;
  struct str detail = s->detail.len ? token_or_quoted(s->detail, arena) : empty;
  bool is_hit = s->forward == CACHE_FORWARD_NONE;
  return arena_printf(
      arena, "%.*s%s%.*s%s%s%s%s%s%.*s%s%.*s", STR_ARG(name), is_hit ? "; hit" : "; fwd=", STR_ARG(forward),
      number(status, "; fwd-status=%" PRId64, !is_hit && s->forward_status, s->forward_status),
      number(ttl, "; ttl=%" PRId64, s->has_ttl, s->ttl_s), s->stored && !is_hit ? "; stored" : "",
      s->collapsed && !is_hit ? "; collapsed" : "", key.len ? "; key=" : "", STR_ARG(key),
      detail.len ? "; detail=" : "", STR_ARG(detail));
}
