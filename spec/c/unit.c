// SPDX-License-Identifier: Apache-2.0
// unit: runs the registered units in order of file and line; see unit.h. An argument runs only the units
// whose file or sentence contains it.
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct unit *first, **last = &first;
static bool current_failed;

void unit_register(struct unit *unit) {
  *last = unit;
  last = &unit->next;
}

bool unit_check(bool holds, const char *file, int line, const char *expression) {
  if (holds) return true;
  current_failed = true;
  printf("%s:%d: does not hold: %s\n", file, line, expression);
  return false;
}

bool unit_check_str(struct str got, struct str wanted, const char *file, int line) {
  if (str_equal(got, wanted)) return true;
  current_failed = true;
  printf("%s:%d: got \"%.*s\", wanted \"%.*s\"\n", file, line, STR_ARG(got), STR_ARG(wanted));
  return false;
}

void unit_temporary(char path[UNIT_PATH_BYTES], const char *name) {
  const char *directory = getenv("TMPDIR");
  int length = snprintf(path, UNIT_PATH_BYTES, "%s/%s", directory ? directory : "/tmp", name);
  if (length >= UNIT_PATH_BYTES) {
    fprintf(stderr, "TMPDIR is too long: %s\n", directory);
    abort();
  }
}

int main(int count, char **arguments) {
  const char *wanted = count > 1 ? arguments[1] : "";
  unsigned passed = 0, failed = 0;
  setvbuf(stdout, NULL, _IOLBF, 0); /* a unit may end the program, and nothing said before is lost */
  for (const struct unit *unit = first; unit; unit = unit->next) {
    if (!strstr(unit->file, wanted) && !strstr(unit->sentence, wanted)) continue;
    current_failed = false;
    unit->run();
    if (current_failed) printf("FAILED %s: %s\n", unit->file, unit->sentence);
    if (current_failed)
      failed++;
    else
      passed++;
  }
  printf("%u passed, %u failed\n", passed, failed);
  return failed ? 1 : 0;
}
