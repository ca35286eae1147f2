// SPDX-License-Identifier: Apache-2.0
// stacks: a table of open addressing. Its texts are pieces of malloc of their own: a profile has some hundred of them.
#include "shared/stacks.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/memory.h"

enum { ROOM_FIRST = 64, LINE_MORE_BYTES = 64 };

struct stack_sum {
  char *text; /* owned; NULL: a free place */
  uint32_t length;
  uint64_t hash, us;
};

static struct stack_sum *find(const struct stacks *s, struct str text, uint64_t hash) {
  unsigned at = (unsigned)hash & (s->room - 1);
  while (s->all[at].text) {
    struct stack_sum *sum = &s->all[at];
    if (sum->hash == hash && sum->length == text.len && memcmp(sum->text, text.ptr, text.len) == 0) break;
    at = (at + 1) & (s->room - 1);
  }
  return &s->all[at];
}

static void grow(struct stacks *s) {
  struct stacks larger = {.room = s->room ? 2 * s->room : ROOM_FIRST, .count = s->count};
  larger.all = memory_zalloc(larger.room * sizeof *larger.all);
  for (unsigned i = 0; i < s->room; i++)
    if (s->all[i].text)
      *find(&larger, (struct str){s->all[i].text, s->all[i].length}, s->all[i].hash) = s->all[i];
  free(s->all);
  *s = larger;
}

void stacks_add(struct stacks *s, struct str text, uint64_t us) {
  if (text.len > STACKS_TEXT_MOST) text.len = STACKS_TEXT_MOST;
  uint64_t hash = XXH3_64bits(text.ptr, text.len);
  if (2 * s->count >= s->room) grow(s);
  struct stack_sum *sum = find(s, text, hash);
  if (!sum->text && s->count >= STACKS_MOST) {
    text = STR(STACKS_REST);
    hash = XXH3_64bits(text.ptr, text.len);
    sum = find(s, text, hash);
  }
  if (!sum->text) {
    *sum = (struct stack_sum){str_to_cstring(text), (uint32_t)text.len, hash, 0};
    s->count++;
  }
  sum->us += us;
}

void stacks_merge(struct stacks *into, const struct stacks *from, double factor) {
  for (unsigned i = 0; i < from->room; i++) {
    const struct stack_sum *sum = &from->all[i];
    if (sum->text)
      stacks_add(into, (struct str){sum->text, sum->length}, (uint64_t)((double)sum->us * factor + 0.5));
  }
}

static int compare(const void *a, const void *b) {
  const struct stack_sum *const *first = a, *const *second = b;
  if ((*first)->us != (*second)->us) return (*first)->us < (*second)->us ? 1 : -1;
  return strcmp((*first)->text, (*second)->text);
}

void stacks_write(const struct stacks *s, size_t most, FILE *out) {
  const struct stack_sum **sorted = memory_alloc((s->count + 1) * sizeof(*sorted));
  unsigned count = 0;
  uint64_t rest_us = 0;
  for (unsigned i = 0; i < s->room; i++)
    if (s->all[i].text && s->all[i].us) sorted[count++] = &s->all[i];
  qsort(sorted, count, sizeof(*sorted), compare);
  for (unsigned i = 0; i < count; i++) {
    if (sorted[i]->length + LINE_MORE_BYTES > most)
      rest_us += sorted[i]->us;
    else
      most -= (size_t)fprintf(out, "%s %llu\n", sorted[i]->text, (unsigned long long)sorted[i]->us);
  }
  if (rest_us) fprintf(out, STACKS_REST " %llu\n", (unsigned long long)rest_us);
  free(sorted);
}

void stacks_free(struct stacks *s) {
  for (unsigned i = 0; i < s->room; i++) free(s->all[i].text);
  free(s->all);
  *s = (struct stacks){0};
}
