// SPDX-License-Identifier: Apache-2.0
// changes: compares the state before with the state now. A file has changed when its time, size or number has: an
// editor that writes a new file in place of the old one changes all three.
#include "runtime/deploy/changes.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/safe_file.h"
#include "base/str.h"
#include "runtime/config.h"
#include "runtime/listening.h"
#include "shared/registry.h"

/* --- files ----------------------------------------------------------------------------------------------- */

struct stamp {
  char *path; /* owned */
  struct stat info;
};

struct stamps {
  struct stamp *all; /* owned array */
  unsigned count;
};

struct stamps *stamps_take(const char *lines) {
  struct stamps *s = memory_zalloc(sizeof *s);
  struct str rest = str_of(lines), path;
  while (lines && str_split(&rest, '\n', &path)) {
    if (!path.len) continue;
    struct stamp stamp = {.path = str_to_cstring(path)};
    if (stat(stamp.path, &stamp.info) != 0) stamp.info = (struct stat){0};
    s->all = memory_realloc(s->all, (s->count + 1) * sizeof *s->all);
    s->all[s->count++] = stamp;
  }
  return s;
}

static bool is_later(const struct timespec *a, const struct timespec *b) {
  return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/* A time in the future tells nothing. The one that is set by rename() is that of the inode. `now` is the fine clock's:
 * since Linux 6.13 the times of files that are looked at are ahead of the coarse one. */
bool stamps_have_changed(const struct stamps *s, const struct timespec *begin) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  for (unsigned i = 0; i < s->count; i++) {
    const struct timespec *at = &s->all[i].info.st_ctim;
    if (!is_later(begin, at) && !is_later(at, &now)) return true;
  }
  return false;
}

void stamps_free(struct stamps *s) {
  if (!s) return;
  for (unsigned i = 0; i < s->count; i++) free(s->all[i].path);
  free(s->all);
  free(s);
}

static const struct stamp *find(const struct stamps *s, const char *path) {
  for (unsigned i = 0; s && i < s->count; i++)
    if (strcmp(s->all[i].path, path) == 0) return &s->all[i];
  return NULL;
}

void changes_of_files(const struct stamps *before, const struct stamps *now, FILE *out) {
  for (unsigned i = 0; i < now->count; i++) {
    const struct stamp *old = find(before, now->all[i].path);
    if (!old)
      fprintf(out, "  new: %s\n", now->all[i].path);
    else if (!file_is_unchanged(&old->info, &now->all[i].info))
      fprintf(out, "  changed: %s\n", now->all[i].path);
  }
  for (unsigned i = 0; before && i < before->count; i++)
    if (!find(now, before->all[i].path)) fprintf(out, "  no longer used: %s\n", before->all[i].path);
}

/* --- listeners ------------------------------------------------------------------------------------------- */

static bool is_kept(const struct listening *now, unsigned index) {
  for (unsigned i = 0; i < now->count; i++)
    if (now->entries[i].kept == (int)index) return true;
  return false;
}

static const char *kind_of(const struct listening_entry *entry) {
  if (entry->fault) return " (TLS, without certificates)";
  return entry->tls ? " (TLS)" : "";
}

void changes_of_listeners(const struct listening *before, const struct listening *now, FILE *out) {
  for (unsigned i = 0; i < now->count; i++)
    if (now->entries[i].kept < 0)
      fprintf(out, "  listening on %s%s\n", now->entries[i].address, kind_of(&now->entries[i]));
  for (unsigned i = 0; before && i < before->count; i++)
    if (!is_kept(now, i)) fprintf(out, "  no longer listening on %s\n", before->entries[i].address);
}

/* --- settings -------------------------------------------------------------------------------------------- */

void changes_of_settings(const struct config *running, const struct config *now, FILE *out) {
  for (int i = 0; i < CONFIG_COUNT; i++) {
    const struct config_value *old = &running->values[i], *new = &now->values[i];
    if (old->origin == CONFIG_FROM_COMMAND_LINE || strcmp(old->text, new->text) == 0) continue;
    fprintf(out, "  %s = %s comes into force with 'perilune upgrade'\n", config_name(i),
            new->text[0] ? new->text : "\"\"");
  }
}

/* --- shared state ---------------------------------------------------------------------------------------- */

enum { NAMES_SAID = 5 };

static const struct {
  const char *kind; /* of the registry */
  const char *one, *many;
} kinds[] = {
    {"dict", "dict", "dicts"},
    {"rate", "rate", "rates"},
    {"counter", "counter", "counters"},
    {"counts", "rate limit", "rate limits"},
    {"limiter", "limiter", "limiters"},
    {"quota", "limit of the cluster", "limits of the cluster"},
    {"inflight", "count of what is in flight", "counts of what is in flight"},
    {"metric", "metric", "metrics"},
    {"backends", "set of backends", "sets of backends"},
};

/* "2 dicts (sessions, switches)"; nothing where there is none. */
static void write_kind(struct registry *registry, size_t kind, FILE *out) {
  unsigned count;
  struct registry_entry **entries = registry_hold_all(registry, kinds[kind].kind, &count);
  if (count)
    fprintf(out, "%s%u %s (", ftell(out) ? ", " : "", count, count == 1 ? kinds[kind].one : kinds[kind].many);
  for (unsigned i = 0; i < count; i++) {
    struct str name = registry_name(entries[i]);
    if (i < NAMES_SAID) fprintf(out, "%s%.*s", i ? ", " : "", STR_ARG(name));
    registry_release(registry, entries[i]);
  }
  if (count > NAMES_SAID) fprintf(out, " and %u more", count - NAMES_SAID);
  if (count) fputc(')', out);
  free(entries);
}

char *changes_of_successor(struct registry *registry) {
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) write_kind(registry, kind, out);
  fclose(out);
  if (bytes) return text;
  free(text);
  return NULL;
}
