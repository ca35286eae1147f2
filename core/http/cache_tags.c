// SPDX-License-Identifier: Apache-2.0
// cache_tags: a field that is malformed is read as far as it can be: a name too many purges too much.
#include "http/cache_tags.h"

enum kind { KIND_NONE, KIND_WORDS, KIND_LIST, KIND_GROUPS, KIND_INVALIDATION };

static enum kind kind_of(const struct field *field) {
  if (field->id != FIELD_OTHER) return KIND_NONE;
  if (str_equal_nocase(field->name, STR("Surrogate-Key"))) return KIND_WORDS;
  if (str_equal_nocase(field->name, STR("Cache-Tag"))) return KIND_LIST;
  if (str_equal_nocase(field->name, STR("Cache-Groups"))) return KIND_GROUPS;
  return str_equal_nocase(field->name, STR("Cache-Group-Invalidation")) ? KIND_INVALIDATION : KIND_NONE;
}

void tag_walk_begin(struct tag_walk *w, const struct headers *h) { *w = (struct tag_walk){.headers = h}; }

void tag_walk_begin_invalidation(struct tag_walk *w, const struct headers *h) {
  *w = (struct tag_walk){.headers = h, .only_invalidation = true};
}

static bool is_wanted(const struct tag_walk *w, enum kind kind) {
  return kind != KIND_NONE && (kind == KIND_INVALIDATION) == w->only_invalidation;
}

static bool next_field(struct tag_walk *w) {
  while (w->at < w->headers->count) {
    const struct field *field = &w->headers->items[w->at++];
    enum kind kind = kind_of(field);
    if (!is_wanted(w, kind)) continue;
    w->kind = (unsigned char)kind;
    w->rest = field->value;
    return true;
  }
  return false;
}

/* Up to one of two characters, which is taken, too. */
static struct str take_until(struct str *rest, char one, char other) {
  size_t end = 0;
  while (end < rest->len && rest->ptr[end] != one && rest->ptr[end] != other) end++;
  struct str taken = {rest->ptr, end};
  *rest = str_from(*rest, end < rest->len ? end + 1 : end);
  return taken;
}

/* What stands between quotes; parameters and anything else in front of the next quote are passed over. */
static struct str take_string(struct str *rest) {
  take_until(rest, '"', '"');
  size_t end = 0;
  while (end < rest->len && rest->ptr[end] != '"')
    end += rest->ptr[end] == '\\' && end + 1 < rest->len ? 2 : 1;
  struct str taken = {rest->ptr, end};
  *rest = str_from(*rest, end < rest->len ? end + 1 : end);
  return taken;
}

static struct str take(struct tag_walk *w) {
  switch ((enum kind)w->kind) {
  case KIND_WORDS: return take_until(&w->rest, ' ', '\t');
  case KIND_LIST: return str_trim(take_until(&w->rest, ',', ','));
  case KIND_GROUPS:
  case KIND_INVALIDATION: return take_string(&w->rest);
  case KIND_NONE: break;
  }
  return (struct str){0};
}

bool tag_walk_next(struct tag_walk *w, struct str *name, bool *is_group) {
  for (;;) {
    while (!w->rest.len)
      if (!next_field(w)) return false;
    *name = take(w);
    *is_group = w->kind == KIND_GROUPS || w->kind == KIND_INVALIDATION;
    if (name->len) return true;
  }
}
