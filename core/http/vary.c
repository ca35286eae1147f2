// SPDX-License-Identifier: Apache-2.0
// vary: names and keys. A key is written into a buffer on the stack with a bound, then copied.
#include "http/vary.h"

#include "http/members.h"

struct key {
  size_t length; /* above VARY_KEY_BYTES: it did not fit */
  char bytes[VARY_KEY_BYTES];
};

static void add(struct key *key, const char *bytes, size_t length) {
  size_t at = key->length;
  if (at > VARY_KEY_BYTES || length > VARY_KEY_BYTES - at) {
    key->length = VARY_KEY_BYTES + 1;
    return;
  }
  if (length) memcpy(key->bytes + at, bytes, length);
  key->length = at + length;
}

static int compare(struct str a, struct str b) {
  size_t shorter = a.len < b.len ? a.len : b.len;
  for (size_t i = 0; i < shorter; i++) {
    int difference = (unsigned char)ascii_lower(a.ptr[i]) - (unsigned char)ascii_lower(b.ptr[i]);
    if (difference) return difference;
  }
  return a.len < b.len ? -1 : a.len > b.len;
}

/* In its place, unless it is there. */
static bool insert(struct vary *vary, struct str name) {
  unsigned at = 0;
  int difference = -1;
  while (at < vary->count && (difference = compare(vary->names[at], name)) < 0) at++;
  if (at < vary->count && difference == 0) return true;
  if (vary->count == VARY_NAMES) return false;
  memmove(&vary->names[at + 1], &vary->names[at], (vary->count - at) * sizeof *vary->names);
  vary->names[at] = name;
  vary->count++;
  return true;
}

bool vary_parse(const struct headers *h, struct vary *vary) {
  struct members members = members_of(h, STR("Vary"));
  struct str name;
  vary->count = 0;
  while (members_next(&members, &name))
    if (!field_name_is_valid(name) || str_equal(name, STR("*")) || !insert(vary, name)) return false;
  return true;
}

bool vary_is_same(const struct vary *a, const struct vary *b) {
  if (a->count != b->count) return false;
  for (unsigned i = 0; i < a->count; i++)
    if (!str_equal_nocase(a->names[i], b->names[i])) return false;
  return true;
}

/* The set alone: two requests that accept the same are served by the same response, whatever they like best. */
static void add_codings(struct key *key, const struct headers *request, unsigned codings) {
  struct accept_encoding accept;
  accept_encoding_parse(request, &accept);
  unsigned set = accept_encoding_set(&accept, codings);
  for (enum coding id = 0; id < CODING_COUNT; id++) {
    if (!(set >> id & 1)) continue;
    add(key, coding_name(id).ptr, coding_name(id).len);
    add(key, ",", 1);
  }
}

/* All lines as one list, members with a comma between them and nothing else. */
static void add_values(struct key *key, const struct headers *request, struct str name) {
  struct members members = members_of(request, name);
  struct str member;
  bool is_first = true;
  while (members_next(&members, &member)) {
    if (!is_first) add(key, ",", 1);
    is_first = false;
    add(key, member.ptr, member.len);
  }
}

static void add_name(struct key *key, struct str name) {
  size_t from = key->length;
  add(key, name.ptr, name.len);
  if (key->length > VARY_KEY_BYTES) return;
  for (size_t at = from; at < key->length; at++) key->bytes[at] = ascii_lower(key->bytes[at]);
}

/* name "=" values LF, or name ";" LF where there is no such field. No name holds one of the three, no value an LF: so
 * the key reads in one way only. */
static void add_field(struct key *key, const struct headers *request, struct str name, unsigned codings) {
  bool is_encoding = codings && str_equal_nocase(name, STR("Accept-Encoding"));
  add_name(key, name);
  add(key, is_encoding || headers_find(request, name) ? "=" : ";", 1);
  if (is_encoding)
    add_codings(key, request, codings);
  else
    add_values(key, request, name);
  add(key, "\n", 1);
}

bool vary_key(const struct vary *vary, const struct headers *request, unsigned codings, struct arena *arena,
              struct str *key) {
  struct key written;
  written.length = 0;
  for (unsigned i = 0; i < vary->count; i++) add_field(&written, request, vary->names[i], codings);
  if (written.length > VARY_KEY_BYTES) return false;
  *key = arena_dup(arena, (struct str){written.bytes, written.length});
  return true;
}
