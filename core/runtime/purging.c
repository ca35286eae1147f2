// SPDX-License-Identifier: Apache-2.0
// purging: caches are found by their names in the registry, as policies find them. A purge takes no longer for many
// objects than for one (shared/purges.h), so the control worker does it at once.
#include "runtime/purging.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/why.h"
#include "exchange/cache.h"
#include "runtime/command.h"
#include "runtime/server.h"
#include "shared/cache_kept.h"
#include "shared/registry.h"

struct purging {
  struct cache_order order;
  struct str kind, cache;
  unsigned done, found; /* caches; and those where there was something */
};

static bool read_line(struct str line, struct purging *p) {
  static const char *const kinds[] = {"url", "prefix", "tag", "all"};
  struct str words, rest = line;
  bool is_whole = str_split(&rest, '\t', &words) && str_split(&words, ' ', &p->kind) && words.ptr &&
                  str_split(&rest, '\t', &p->cache);
  if (!is_whole) return false;
  p->order.what = rest.ptr ? rest : STR("");
  p->order.is_soft = str_equal(words, STR("soft"));
  for (unsigned kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
    if (!str_equal(p->kind, str_of(kinds[kind]))) continue;
    p->order.kind = (enum purge_kind)kind;
    return true;
  }
  return false;
}

/* NULL, or what is wrong. */
static const char *purge_one(struct purging *p, struct registry_entry *entry) {
  const struct kept_cache *kept = registry_object(entry);
  struct arena arena;
  bool was_there;
  if (!kept->cache || (p->cache.len && !str_equal(registry_name(entry), p->cache))) return NULL;
  arena_init(&arena);
  p->order.cache = kept->cache;
  const char *fault = cache_forget(&p->order, &arena, &was_there);
  p->done++;
  p->found += !fault && was_there;
  arena_free(&arena);
  return fault;
}

static char *refusal(const struct purging *p, struct registry_entry **entries, unsigned count) {
  char *names = NULL, *why;
  if (!count) return str_to_cstring(STR("no listener has a cache"));
  for (unsigned i = 0; i < count; i++) {
    char *longer =
        why_text("%s%s%.*s", names ? names : "", names ? ", " : "", STR_ARG(registry_name(entries[i])));
    free(names);
    names = longer;
  }
  why = why_text("there is no cache '%.*s'; there is %s", STR_ARG(p->cache), names);
  free(names);
  return why;
}

static void answer(struct command_client *client, const struct purging *p) {
  const char *missed = p->found ? "" : ", where nothing is kept under this very URL";
  char *text = why_text("purged%s: %.*s%s%.*s in %u cache%s%s\n", p->order.is_soft ? " softly" : "",
                        STR_ARG(p->kind), p->order.what.len ? " " : "", STR_ARG(p->order.what), p->done,
                        p->done == 1 ? "" : "s", missed);
  log_info("%.*s", (int)strlen(text) - 1, text);
  command_answer(client, EXIT_FINE, text);
  free(text);
}

void purging_obey(struct command_client *client, const char *line) {
  struct purging p = {.done = 0};
  struct server *s = command_server_of(client);
  const char *fault = NULL;
  unsigned count;
  if (!read_line(str_of(line), &p)) {
    command_answer(client, EXIT_BAD_INPUT, "malformed command\n");
    return;
  }
  struct registry_entry **entries = registry_hold_all(s->registry, cache_kind.name, &count);
  for (unsigned i = 0; i < count && !fault; i++) fault = purge_one(&p, entries[i]);
  if (fault)
    command_refuse(client, EXIT_BAD_INPUT, str_to_cstring(str_of(fault)));
  else if (!p.done)
    command_refuse(client, EXIT_FAILED, refusal(&p, entries, count));
  else
    answer(client, &p);
  for (unsigned i = 0; i < count; i++) registry_release(s->registry, entries[i]);
  free(entries);
}
