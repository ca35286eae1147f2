// SPDX-License-Identifier: Apache-2.0
// renewal: compares by validators, and merges by name.
#include "http/renewal.h"

#include "http/members.h"
#include "http/vary.h"

bool renewal_is_about(const struct headers *stored, const struct headers *answer, bool is_only_one,
                      int64_t now) {
  struct etag tag = etag_of(answer);
  int64_t modified, had;
  if (tag.opaque.len) {
    /* A strong tag is about exactly that one; a weak one about the same content in some form. */
    struct etag own = etag_of(stored);
    return etag_equal(own, tag, !tag.is_weak) && (is_only_one || own.is_weak == tag.is_weak);
  }
  if (date_of(answer, STR("Last-Modified"), now, &modified))
    return date_of(stored, STR("Last-Modified"), now, &had) && modified == had;
  return is_only_one;
}

/* Of an answer's field: does it replace the stored one? */
static bool replaces(const struct field *field, const struct storable_rules *rules) {
  static const struct str of_body[] = {STR_INIT("Content-Length"), STR_INIT("Content-Type"),
                                       STR_INIT("Content-Encoding"), STR_INIT("Content-Range")};
  if (storable_leaves_out(field, rules)) return false;
  for (size_t i = 0; i < sizeof of_body / sizeof *of_body; i++)
    if (str_equal_nocase(field->name, of_body[i])) return false;
  return true;
}

void renewal_merge(struct headers *to, const struct headers *stored, const struct headers *answer,
                   const struct storable_rules *rules, struct arena *arena) {
  headers_init(to, arena);
  for (unsigned i = 0; i < stored->count; i++) {
    const struct field *field = &stored->items[i];
    const struct field *newer = replaces(field, rules) ? headers_find(answer, field->name) : NULL;
    if (!newer) headers_add_field(to, field->name, field->value, field->id);
  }
  for (unsigned i = 0; i < answer->count; i++) {
    const struct field *field = &answer->items[i];
    if (replaces(field, rules)) headers_add_field(to, field->name, field->value, field->id);
  }
}

bool renewal_changes_vary(const struct headers *stored, const struct headers *answer) {
  struct vary before, now;
  if (!headers_find(answer, STR("Vary"))) return false;
  return !vary_parse(answer, &now) || !vary_parse(stored, &before) || !vary_is_same(&before, &now);
}
