// SPDX-License-Identifier: Apache-2.0
// cache_control: reads the directives. The one hard problem is bad input: see the rule in the header.
#include "http/cache_control.h"

#include "http/claims.h"
#include "http/grammar.h"
#include "http/members.h"
#include "http/structured.h"

enum kind { LEAST, MOST, GRACE, STALE, RESTRICTS, PERMITS };

static const struct {
  struct str name;
  enum kind kind;
} directives[] = {
#define X(id, name, kind) {STR_INIT(name), kind},
    CACHE_DIRECTIVES(X)
#undef X
};
_Static_assert(CACHE_DIRECTIVE_COUNT <= 32, "cache_control.present has a bit per directive");

static void parse_field(const struct headers *h, struct cache_control *cc);
static bool parse_targeted(struct str text, struct cache_control *cc);

void cache_control_of_request(const struct headers *h, struct cache_control *cc) {
  struct str member;
  *cc = (struct cache_control){0};
  if (headers_find(h, STR("Cache-Control"))) {
    parse_field(h, cc);
    return;
  }
  struct members members = members_of(h, STR("Pragma"));
  while (members_next(&members, &member))
    if (str_equal_nocase(member, STR("no-cache"))) cc->present |= 1u << CACHE_NO_CACHE;
}

void cache_control_of_response(const struct headers *h, const struct str *targets, unsigned count,
                               struct arena *arena, struct cache_control *cc) {
  for (unsigned i = 0; i < count; i++)
    if (parse_targeted(field_joined(h, targets[i], arena), cc)) return;
  *cc = (struct cache_control){0};
  parse_field(h, cc);
}

bool delta_seconds_parse(struct str text, uint32_t *seconds) {
  uint64_t sum = 0;
  for (size_t i = 0; i < text.len; i++) {
    if (!grammar_is_digit(text.ptr[i])) return false;
    sum = sum * 10 + (uint64_t)(text.ptr[i] - '0');
    if (sum > CACHE_SECONDS_MOST) sum = CACHE_SECONDS_MOST;
  }
  *seconds = (uint32_t)sum;
  return text.len > 0;
}

static enum cache_directive directive_of(struct str name) {
  enum cache_directive id = 0;
  while (id < CACHE_DIRECTIVE_COUNT && !str_equal_nocase(name, directives[id].name)) id++;
  return id;
}

static void set_seconds(struct cache_control *cc, enum cache_directive id, uint32_t seconds) {
  bool is_first = !cache_control_has(cc, id), is_most = directives[id].kind == MOST;
  uint32_t had = cc->seconds[id];
  if (is_first || (is_most ? seconds > had : seconds < had)) cc->seconds[id] = seconds;
  cc->present |= 1u << id;
}

/* `seconds` is NULL where there is no number. */
static void set(struct cache_control *cc, enum cache_directive id, const uint32_t *seconds,
                bool has_argument) {
  switch (directives[id].kind) {
  case LEAST: set_seconds(cc, id, seconds ? *seconds : 0); return;
  case MOST: set_seconds(cc, id, seconds ? *seconds : CACHE_SECONDS_MOST); return;
  case STALE:
    if (!has_argument) set_seconds(cc, id, CACHE_SECONDS_MOST);
    __attribute__((fallthrough));
  case GRACE:
    if (seconds) set_seconds(cc, id, *seconds);
    return;
  case RESTRICTS:
  case PERMITS: cc->present |= 1u << id; return;
  }
}

/* name, name=token or name="quoted"; anything else behind the name is odd. */
static void parse_member(struct str member, struct cache_control *cc) {
  struct str name = member_token(member), rest = str_from(member, name.len);
  enum cache_directive id = directive_of(name);
  uint32_t seconds;
  if (id == CACHE_DIRECTIVE_COUNT) return;
  bool has_argument = rest.len > 0 && rest.ptr[0] == '=';
  if (rest.len && !has_argument && directives[id].kind == PERMITS) return;
  bool is_number = has_argument && delta_seconds_parse(member_unquoted(str_from(rest, 1)), &seconds);
  set(cc, id, is_number ? &seconds : NULL, rest.len > 0);
}

/* A quote that nothing closes: what restricts counts, wherever in it. */
static void parse_unclosed(struct str text, struct cache_control *cc) {
  struct str member;
  while (grammar_list_next(&text, &member)) {
    enum cache_directive id = directive_of(member_token(member));
    if (id < CACHE_DIRECTIVE_COUNT && directives[id].kind == RESTRICTS) set(cc, id, NULL, false);
  }
}

static void parse_field(const struct headers *h, struct cache_control *cc) {
  struct members members = members_of(h, STR("Cache-Control"));
  struct str member;
  while (members_next(&members, &member)) {
    parse_member(member, cc);
    if (!claims_is_closed(member)) parse_unclosed(member, cc);
  }
}

/* Seconds are integers; a negative one is 0. False: another type. */
static bool set_targeted(struct cache_control *cc, enum cache_directive id,
                         const struct structured_value *value) {
  bool is_boolean = value->type == STRUCTURED_BOOLEAN, is_bare = is_boolean && value->number;
  cc->present &= ~(1u << id); /* the last one of a key counts */
  if (is_boolean && !value->number) return id >= CACHE_SECONDS;
  if (id >= CACHE_SECONDS || (is_bare && directives[id].kind == STALE)) {
    set(cc, id, NULL, false);
    return true;
  }
  if (value->type != STRUCTURED_INTEGER) return false;
  uint32_t seconds = delta_seconds_of(value->number);
  set(cc, id, &seconds, true);
  return true;
}

/* A targeted field is a dictionary; with a mistake in it, or empty, it is not there (RFC 9213 section 2.1). */
static bool parse_targeted(struct str text, struct cache_control *cc) {
  struct structured reader = structured_begin(text);
  struct structured_value value;
  struct str key;
  bool is_any = false;
  *cc = (struct cache_control){.is_targeted = true};
  while (structured_next_entry(&reader, &key, &value)) {
    enum cache_directive id = directive_of(key);
    is_any = true;
    if (id < CACHE_DIRECTIVE_COUNT && !set_targeted(cc, id, &value)) return false;
  }
  return is_any && !reader.failed;
}
