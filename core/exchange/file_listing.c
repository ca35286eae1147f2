// SPDX-License-Identifier: Apache-2.0
// file_listing: a folder as a page. Names come from whoever can write to the disk: they are escaped, in the text and in
// the references.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/date.h"
#include "base/memory.h"
#include "exchange/file_answer.h"
#include "http/file_path.h"
#include "net/beneath.h"

enum { ENTRIES_MOST = 10000 };

struct entry {
  char *name; /* owned */
  bool is_folder;
  off_t bytes;
  time_t modified;
};

struct entries {
  struct entry *items; /* owned */
  unsigned count, cap;
  bool is_cut;
};

struct place {
  const char *root, *path; /* the path is empty, or ends with a slash */
};

static void put_text(FILE *out, const char *text) {
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    if (c < ' ' || c == 127)
      fputc('?', out);
    else if (strchr("&<>\"'", c))
      fprintf(out, "&#%d;", c);
    else
      fputc(c, out);
  }
}

/* Folders first, then by name. */
static int compare(const void *a, const void *b) {
  const struct entry *left = a, *right = b;
  if (left->is_folder != right->is_folder) return left->is_folder ? -1 : 1;
  return strcmp(left->name, right->name);
}

/* Of what a link leads to, if that is below the root. */
static bool look_behind(const struct place *place, const char *name, struct stat *info) {
  char *path = NULL;
  if (asprintf(&path, "%s%s", place->path, name) < 0) return false;
  int fd = beneath_open(place->root, path, O_PATH, false);
  bool fine = fd >= 0 && fstat(fd, info) == 0;
  if (fd >= 0) close(fd);
  free(path);
  return fine;
}

/* What is neither a file nor a folder is not served, and not shown. */
static void add(struct entries *all, int folder, const struct place *place, const char *name) {
  struct stat info;
  if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return;
  if (S_ISLNK(info.st_mode) && !look_behind(place, name, &info)) return;
  if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) return;
  if (all->count == all->cap) {
    all->cap = all->cap ? all->cap * 2 : 64;
    all->items = memory_realloc(all->items, all->cap * sizeof *all->items);
  }
  all->items[all->count++] =
      (struct entry){str_to_cstring(str_of(name)), S_ISDIR(info.st_mode), info.st_size, info.st_mtim.tv_sec};
}

static void read_entries(struct entries *all, DIR *folder, const struct place *place, bool shows_hidden) {
  const struct dirent *entry;
  while ((entry = readdir(folder))) {
    if (entry->d_name[0] == '.' && (!shows_hidden || !entry->d_name[1] || !strcmp(entry->d_name, "..")))
      continue;
    all->is_cut = all->count == ENTRIES_MOST;
    if (all->is_cut) return;
    add(all, dirfd(folder), place, entry->d_name);
  }
}

static void put_entry(FILE *out, struct arena *arena, const struct entry *entry) {
  struct str reference = str_from(file_path_reference(str_of(entry->name), arena), 1);
  struct str date = date_text(DATE_ISO, entry->modified);
  const char *slash = entry->is_folder ? "/" : "";
  fputs("<tr><td><a href=\"./", out);
  for (size_t i = 0; i < reference.len; i++) {
    if (reference.ptr[i] == '&' || reference.ptr[i] == '\'')
      fprintf(out, "&#%d;", reference.ptr[i]);
    else
      fputc(reference.ptr[i], out);
  }
  fprintf(out, "%s\">", slash);
  put_text(out, entry->name);
  fprintf(out, "%s</a></td><td>", slash);
  if (!entry->is_folder) fprintf(out, "%lld", (long long)entry->bytes);
  fprintf(out, "</td><td>%.*s</td></tr>\n", STR_ARG(date));
}

static void put_page(FILE *out, const char *path, const struct entries *all) {
  struct arena arena;
  arena_init(&arena);
  fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width\"><title>/",
        out);
  put_text(out, path);
  fputs("</title><style>body{font-family:sans-serif;margin:2em}td{padding:.1em 1em .1em 0}"
        "td+td{text-align:right;color:#666}</style></head><body><h1>/",
        out);
  put_text(out, path);
  fputs("</h1><table>\n", out);
  if (*path) fputs("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n", out);
  for (unsigned i = 0; i < all->count; i++) put_entry(out, &arena, &all->items[i]);
  fputs("</table>", out);
  if (all->is_cut) fprintf(out, "<p>There are more than %d.</p>", ENTRIES_MOST);
  fputs("</body></html>\n", out);
  arena_free(&arena);
}

char *file_listing(const char *root, const char *path, bool shows_hidden, size_t *length) {
  struct entries all = {0};
  char *text = NULL;
  int fd = beneath_open(root, path, O_RDONLY | O_DIRECTORY, false);
  DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
  if (!folder) {
    int error = errno;
    if (fd >= 0) close(fd);
    errno = error ? error : ENOENT;
    return NULL;
  }
  read_entries(&all, folder, &(struct place){root, path}, shows_hidden);
  closedir(folder);
  qsort(all.items, all.count, sizeof *all.items, compare);
  FILE *out = open_memstream(&text, length);
  put_page(out, path, &all);
  fclose(out);
  for (unsigned i = 0; i < all.count; i++) free(all.items[i].name);
  free(all.items);
  return text;
}
