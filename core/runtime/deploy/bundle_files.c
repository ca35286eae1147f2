// SPDX-License-Identifier: Apache-2.0
// bundle_files: see bundle_files.h. No link is followed.
#include "runtime/deploy/bundle_files.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/private_file.h"
#include "base/safe_file.h"
#include "base/why.h"

enum { OPEN_MOST = 16 };

bool bundle_files_put(const char *folder, const char *path, struct str bytes, char **why) {
  char *full = why_text("%s/%s", folder, path), *name = strrchr(full, '/');
  *name = '\0';
  bool fine = private_folder_make(full);
  *name = '/';
  fine = fine && safe_replace(full, bytes);
  if (!fine) why_say(why, "%s: %s", full, safe_reason_new(errno));
  free(full);
  return fine;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
  (void)info, (void)kind, (void)where;
  remove(path);
  return 0;
}

void bundle_files_remove(const char *folder) { nftw(folder, remove_one, OPEN_MOST, FTW_DEPTH | FTW_PHYS); }

bool bundle_files_move(const char *from, const char *to, char **why) {
  bundle_files_remove(to);
  return rename(from, to) == 0 || why_say(why, "%s: %s", to, safe_reason_new(errno));
}

static int newest_first(const void *a, const void *b) {
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return (left < right) - (left > right);
}

void bundle_files_tidy(const char *folder, unsigned count, uint64_t kept) {
  const struct dirent *entry;
  uint64_t *versions = NULL, version;
  unsigned found = 0;
  DIR *dir = opendir(folder);
  while (dir && (entry = readdir(dir))) {
    if (!str_to_u64(str_of(entry->d_name), &version)) continue;
    versions = memory_realloc(versions, (found + 1) * sizeof *versions);
    versions[found++] = version;
  }
  if (dir) closedir(dir);
  if (found) qsort(versions, found, sizeof *versions, newest_first);
  for (unsigned i = count; i < found; i++) {
    if (versions[i] == kept) continue;
    char *path = why_text("%s/%llu", folder, (unsigned long long)versions[i]);
    char *head = why_text("%s.signed", path);
    bundle_files_remove(path);
    bundle_files_remove(head);
    free(head);
    free(path);
  }
  free(versions);
}
