// SPDX-License-Identifier: Apache-2.0
// Units for runtime/deploy/changes: whether files were written while they were loaded.
#include "runtime/deploy/changes.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static void write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  if (CHECK(file != NULL)) fputs(text, file);
  if (file) fclose(file);
}

static bool has_changed(const char *path, const struct timespec *begin) {
  struct stamps *stamps = stamps_take(path);
  bool changed = stamps_have_changed(stamps, begin);
  stamps_free(stamps);
  return changed;
}

/* Since Linux 6.13 a file that was looked at gets a finer time, ahead of CLOCK_REALTIME_COARSE. */
IT("sees each write since the load began, also one of this moment to a file that was looked at before") {
  char path[UNIT_PATH_BYTES];
  struct timespec begin, tick = {0, 20000000};
  struct stat looked_at;
  unit_temporary(path, "changes");
  write_file(path, "old");
  nanosleep(&tick, NULL);
  clock_gettime(CLOCK_REALTIME_COARSE, &begin);
  CHECK(!has_changed(path, &begin));
  for (int i = 0; i < 100; i++) {
    CHECK(stat(path, &looked_at) == 0);
    write_file(path, "new");
    CHECK(has_changed(path, &begin));
  }
  unlink(path);
}
