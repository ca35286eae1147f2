// SPDX-License-Identifier: Apache-2.0
// path: see path.h.
#include "base/path.h"

#include <limits.h>
#include <unistd.h>

#include "base/why.h"

char *path_absolute(const char *name) {
  char here[PATH_MAX];
  bool is_absolute = name[0] == '/' || !getcwd(here, sizeof here);
  return is_absolute ? why_text("%s", name) : why_text("%s/%s", here, name);
}
