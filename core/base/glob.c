// SPDX-License-Identifier: Apache-2.0
// glob: where a text does not fit behind a star, the latest star takes one byte more. Earlier ones need not.
#include "base/glob.h"

bool glob_matches(struct str pattern, struct str text) {
  size_t p = 0, t = 0, star = pattern.len, taken = 0;
  while (t < text.len) {
    if (p < pattern.len && pattern.ptr[p] == '*') {
      star = p++;
      taken = t;
    } else if (p < pattern.len && (pattern.ptr[p] == '?' || pattern.ptr[p] == text.ptr[t])) {
      p++;
      t++;
    } else if (star < pattern.len) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.len && pattern.ptr[p] == '*') p++;
  return p == pattern.len;
}
