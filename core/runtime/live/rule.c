// SPDX-License-Identifier: Apache-2.0
// live/rule: each word has a reader that says what it wants instead.
#include "runtime/live/rule.h"

#include <stdlib.h>

#include "base/duration.h"
#include "base/why.h"
#include "net/cidr.h"

/* --- values ----------------------------------------------------------------------------------------------- */

static bool copy(struct str value, char *room, size_t bytes) {
  if (value.len >= bytes) return false;
  memcpy(room, value.ptr, value.len);
  room[value.len] = '\0';
  return true;
}

/* "503" or "5xx". */
static bool read_bound(struct str text, unsigned *from, unsigned *to) {
  uint64_t number;
  bool is_class = text.len == 3 && str_equal_nocase(str_from(text, 1), STR("xx"));
  if (is_class) text.len = 1;
  if (!str_to_u64(text, &number) || number > (is_class ? 9 : 999)) return false;
  *from = (unsigned)number * (is_class ? 100 : 1);
  *to = is_class ? *from + 99 : *from;
  return true;
}

static bool read_status(struct str value, struct live_rule *rule) {
  struct str first, rest = value;
  unsigned from, to;
  if (!str_split(&rest, '-', &first) || !read_bound(first, &rule->status_from, &rule->status_to))
    return false;
  if (!rest.ptr) return true;
  if (!read_bound(rest, &from, &to) || from < rule->status_from) return false;
  rule->status_to = to;
  return true;
}

static bool read_slower(struct str value, struct live_rule *rule) {
  char *text = str_to_cstring(value);
  unsigned ms = 0;
  bool is_good = duration_read(text, &ms);
  free(text);
  rule->slower_us = (uint64_t)ms * 1000;
  return is_good;
}

static bool read_client(struct str value, struct live_wish *wish) {
  struct cidr_set *set = cidr_set_new();
  const char *why;
  bool is_good = cidr_set_add(set, value, &why) && copy(value, wish->client, sizeof wish->client);
  cidr_set_free(set);
  return is_good;
}

static bool read_count(struct str value, struct live_wish *wish) {
  uint64_t count;
  if (!str_to_u64(value, &count) || count < 1 || count > 1000000000) return false;
  wish->count = (unsigned)count;
  return true;
}

/* --- words ------------------------------------------------------------------------------------------------ */

#define IS(word) str_equal(name, STR(word))

/* NULL: fine. Else what it wants; "": there is no such word. */
static const char *read_word(struct str name, struct str value, struct live_wish *w) {
  struct live_rule *rule = &w->rule;
  if (!value.len) return "a value behind '='";
  if (IS("path")) return copy(value, rule->path, sizeof rule->path) ? NULL : "a shorter pattern";
  if (IS("host")) return copy(value, rule->host, sizeof rule->host) ? NULL : "a shorter pattern";
  if (IS("method")) return copy(value, rule->method, sizeof rule->method) ? NULL : "a shorter pattern";
  if (IS("peer")) return copy(value, rule->peer, sizeof rule->peer) ? NULL : "a shorter pattern";
  if (IS("error")) return copy(value, rule->error, sizeof rule->error) ? NULL : "a shorter pattern";
  if (IS("status")) return read_status(value, rule) ? NULL : "a status such as 503, 5xx or 400-499";
  if (IS("slower")) return read_slower(value, rule) ? NULL : DURATION_WORDS;
  if (IS("client")) return read_client(value, w) ? NULL : "an address or a network such as 10.0.0.0/8";
  if (IS("count")) return read_count(value, w) ? NULL : "a whole number of at least 1";
  if (!IS("fields")) return "";
  rule->has_fields = str_equal(value, STR("yes"));
  return NULL;
}

bool live_wish_read(struct str line, struct live_wish *wish, char **why) {
  struct str word, name;
  *wish = (struct live_wish){.rule.has_fields = true};
  while (str_split(&line, '\t', &word)) {
    struct str value = word;
    if (!word.len) continue;
    str_split(&value, '=', &name);
    const char *wants = value.ptr ? read_word(name, value, wish) : "";
    if (!wants) continue;
    if (*wants) return why_say(why, "%.*s wants %s, not '%.*s'", STR_ARG(name), wants, STR_ARG(value));
    return why_say(why,
                   "a condition is path=, host=, method=, peer=, error=, status=, slower= or client= with a "
                   "value behind it, not '%.*s'",
                   STR_ARG(word));
  }
  return true;
}

struct live_rule live_wish_rule(const struct live_wish *wish) {
  struct live_rule rule = wish->rule;
  const char *why;
  if (!*wish->client) return rule;
  rule.client = cidr_set_new();
  cidr_set_add(rule.client, str_of(wish->client), &why);
  cidr_set_seal(rule.client);
  return rule;
}
