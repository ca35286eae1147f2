// SPDX-License-Identifier: Apache-2.0
// flame: frames with equal labels under the same frame are one. A frame "[C]" is named by what its line calls, because
// the proxy sees only that the line was in C when it was interrupted.
#include "cli/flame.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/why.h"

enum { DEPTH_MOST = 256, TOP = 10, LABEL_BYTES = 256 };

/* --- reading -------------------------------------------------------------------------------------------- */

/* "policy.lua:14 check" is line 14 of policy.lua; false: it is no line. */
static bool read_label(struct str label, struct str *path, unsigned *line) {
  size_t end = 0;
  while (end < label.len && label.ptr[end] != ' ') end++;
  size_t colon = end;
  while (colon > 0 && label.ptr[colon - 1] != ':') colon--;
  if (colon < 2) return false;
  uint64_t number;
  if (!str_to_u64((struct str){label.ptr + colon, end - colon}, &number)) return false;
  *path = (struct str){label.ptr, colon - 1};
  *line = (unsigned)number;
  return true;
}

struct str flame_source(struct flame *flame, struct str label) {
  struct str path;
  unsigned line;
  if (!read_label(label, &path, &line)) return (struct str){"", 0};
  return source_line(&flame->sources, path, line);
}

/* What "[C]" is under that frame. */
static struct str name_c(struct flame *flame, struct str above, char room[LABEL_BYTES]) {
  char names[LABEL_BYTES - 8];
  source_calls(flame_source(flame, above), names, sizeof names);
  int length = snprintf(room, LABEL_BYTES, "[C]%s%s", *names ? " " : "", names);
  return (struct str){room, (size_t)length};
}

static struct frame *child(struct flame *flame, struct frame *above, struct str label) {
  char room[LABEL_BYTES];
  if (str_equal(label, STR("[C]"))) label = name_c(flame, above->label, room);
  for (struct frame *f = above->below; f; f = f->next)
    if (str_equal(f->label, label)) return f;
  struct frame *frame = arena_zalloc(&flame->arena, sizeof *frame);
  frame->label = arena_dup(&flame->arena, label);
  frame->next = above->below;
  above->below = frame;
  return frame;
}

static void add(struct flame *flame, struct str stack, uint64_t us) {
  struct frame *at = &flame->root;
  struct str label;
  unsigned depth = 0;
  at->us += us;
  while (depth < DEPTH_MOST && str_split(&stack, ';', &label)) {
    at = child(flame, at, label);
    at->us += us;
    depth++;
  }
  if (depth > flame->depth) flame->depth = depth;
}

/* "# name value" */
static void read_fact(struct flame *flame, struct str line) {
  struct str name, value = str_from(line, 2);
  if (!str_split(&value, ' ', &name)) return;
  if (str_equal(name, STR("of"))) flame->is_wait = str_equal(value, STR("wait"));
  if (str_equal(name, STR("ms"))) str_to_u64(value, &flame->ms);
  if (str_equal(name, STR("workers"))) str_to_u64(value, &flame->workers);
  if (str_equal(name, STR("outside_us"))) str_to_u64(value, &flame->outside_us);
  if (str_equal(name, STR("directory"))) flame->sources.directory = value;
}

static bool read_stack(struct flame *flame, struct str line) {
  size_t space = line.len;
  uint64_t us;
  while (space > 0 && line.ptr[space - 1] != ' ') space--;
  if (space < 2 || !str_to_u64(str_from(line, space), &us)) return false;
  add(flame, (struct str){line.ptr, space - 1}, us);
  return true;
}

static int compare(const void *a, const void *b) {
  const struct frame *const *first = a, *const *second = b;
  if ((*first)->us != (*second)->us) return (*first)->us < (*second)->us ? 1 : -1;
  return str_compare((*first)->label, (*second)->label);
}

static void sort(struct flame *flame, struct frame *frame) {
  unsigned count = 0, i = 0;
  for (struct frame *f = frame->below; f; f = f->next) count++;
  if (!count) return;
  struct frame **all = arena_alloc(&flame->arena, count * sizeof(*all));
  for (struct frame *f = frame->below; f; f = f->next) all[i++] = f;
  qsort(all, count, sizeof(*all), compare);
  frame->below = all[0];
  for (i = 0; i < count; i++) {
    all[i]->next = i + 1 < count ? all[i + 1] : NULL;
    sort(flame, all[i]);
  }
}

bool flame_read(struct flame *flame, struct str text) {
  struct str line;
  *flame = (struct flame){.root.label = STR("all")};
  arena_init(&flame->arena);
  while (str_split(&text, '\n', &line)) {
    if (!line.len) continue;
    if (line.len > 2 && *line.ptr == '#')
      read_fact(flame, line);
    else if (!read_stack(flame, line))
      return false;
  }
  sort(flame, &flame->root);
  return true;
}

void flame_free(struct flame *flame) {
  source_lines_free(&flame->sources);
  arena_free(&flame->arena);
}

/* --- lines ---------------------------------------------------------------------------------------------- */

struct top {
  struct str line; /* "policy.lua:14" */
  uint64_t us;
};

struct tops {
  struct top *all; /* owned */
  unsigned count, room;
};

/* Ours, and what is no line, count for the policy's line that has called them. */
static struct str line_of(struct str label) {
  struct str path;
  unsigned line;
  size_t end = 0;
  if (!read_label(label, &path, &line) || str_starts_with(path, STR("perilune/")) ||
      str_starts_with(path, STR("scripts/")))
    return (struct str){NULL, 0};
  while (end < label.len && label.ptr[end] != ' ') end++;
  return (struct str){label.ptr, end};
}

static void count(struct tops *tops, struct str line, uint64_t us) {
  for (unsigned i = 0; i < tops->count; i++) {
    if (!str_equal(tops->all[i].line, line)) continue;
    tops->all[i].us += us;
    return;
  }
  if (tops->count == tops->room) {
    tops->room = tops->room ? 2 * tops->room : 64;
    tops->all = memory_realloc(tops->all, tops->room * sizeof *tops->all);
  }
  tops->all[tops->count++] = (struct top){line, us};
}

static void count_all(struct tops *tops, const struct frame *frame, struct str line) {
  uint64_t own_us = frame->us;
  struct str here = line_of(frame->label);
  if (here.ptr) line = here;
  for (const struct frame *f = frame->below; f; f = f->next) {
    own_us -= f->us;
    count_all(tops, f, line);
  }
  if (own_us) count(tops, line, own_us);
}

static int compare_tops(const void *a, const void *b) {
  const struct top *first = a, *second = b;
  if (first->us != second->us) return first->us < second->us ? 1 : -1;
  return str_compare(first->line, second->line);
}

void flame_print_top(struct flame *flame, FILE *out) {
  struct tops tops = {0};
  double all_us = flame->root.us ? (double)flame->root.us : 1;
  count_all(&tops, &flame->root, STR("(no line of the policy)"));
  qsort(tops.all, tops.count, sizeof *tops.all, compare_tops);
  for (unsigned i = 0; i < tops.count && i < TOP && tops.all[i].us; i++) {
    struct str source = flame_source(flame, tops.all[i].line);
    fprintf(out, "%6.1f %%  %10.1f ms  %-28.*s  %.*s\n", 100 * (double)tops.all[i].us / all_us,
            (double)tops.all[i].us / 1000, STR_ARG(tops.all[i].line),
            (int)(source.len < 70 ? source.len : 70), source.ptr);
  }
  free(tops.all);
}

/* --- folded --------------------------------------------------------------------------------------------- */

static void print_folded(const struct frame *frame, const char *above, FILE *out) {
  uint64_t own_us = frame->us;
  char *stack = why_text("%s%s%.*s", above, *above ? ";" : "", STR_ARG(frame->label));
  for (const struct frame *f = frame->below; f; f = f->next) {
    own_us -= f->us;
    print_folded(f, stack, out);
  }
  if (own_us) fprintf(out, "%s %llu\n", stack, (unsigned long long)own_us);
  free(stack);
}

void flame_print_folded(const struct flame *flame, FILE *out) {
  for (const struct frame *f = flame->root.below; f; f = f->next) print_folded(f, "", out);
}
