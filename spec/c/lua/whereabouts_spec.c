// SPDX-License-Identifier: Apache-2.0
// Units for lua/vm/whereabouts: what is said of a turn, and how often its line is looked up.
#include "lua/vm/whereabouts.h"

#include <string.h>

#include "lua/vm/task.h"
#include "exchange/hooks.h"
#include "unit.h"

static const char *described(const struct watch *w) {
  static char text[256];
  whereabouts_describe(w, text, sizeof text);
  return text;
}

static void know(struct watch *w, unsigned turn, const char *file, int line) {
  char text[sizeof w->whereabouts.source] = "";
  memcpy(text, file, strlen(file));
  memcpy((void *)w->whereabouts.source, text, sizeof text);
  atomic_store(&w->whereabouts.line, line);
  atomic_store(&w->whereabouts.known, turn);
}

IT("names the hook with where it is defined, as long as its line is not known") {
  struct watch w = {.turns = 3, .hook = HOOK_request_filter, .place = "policy.lua:12"};
  CHECK_STR(str_of(described(&w)), "request_filter (defined at policy.lua:12)");
  CHECK(!whereabouts_are_known(&w));
}

IT("names the line of this turn, not that of an earlier one") {
  struct watch w = {.turns = 3, .hook = HOOK_request_filter, .place = "policy.lua:12"};
  know(&w, 1, "policy.lua", 14);
  CHECK_STR(str_of(described(&w)), "request_filter (defined at policy.lua:12)");
  know(&w, 3, "policy.lua", 15);
  CHECK_STR(str_of(described(&w)), "request_filter at policy.lua:15");
}

IT("says of a policy that is being loaded that it is its main chunk") {
  struct watch w = {.turns = 1, .hook = TASK_NO_HOOK, .loads = true};
  CHECK_STR(str_of(described(&w)), "the main chunk");
  know(&w, 1, "module.lua", 2);
  CHECK_STR(str_of(described(&w)), "the main chunk at module.lua:2");
}

IT("says of other work that it is background work") {
  struct watch w = {.turns = 1, .hook = TASK_NO_HOOK};
  CHECK_STR(str_of(described(&w)), "background work");
}

IT("wants a line a few times in a turn, and no more once it is known") {
  struct watch w = {.turns = 5};
  unsigned count = 0;
  while (count < 100 && whereabouts_want(&w, 5)) count++;
  CHECK(count == 8);
  CHECK(whereabouts_want(&w, 7));
  know(&w, 7, "policy.lua", 1);
  CHECK(!whereabouts_want(&w, 7));
}
