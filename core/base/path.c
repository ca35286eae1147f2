// SPDX-License-Identifier: Apache-2.0
// path: see path.h.
#include "base/path.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/why.h"

char *path_absolute(const char *name) {
  char here[PATH_MAX];
  bool is_absolute = name[0] == '/' || !getcwd(here, sizeof here);
  return is_absolute ? why_text("%s", name) : why_text("%s/%s", here, name);
}

bool path_is_script(const char *name) {
  size_t length = strlen(name);
  return length > 4 && strcmp(name + length - 4, ".lua") == 0;
}
