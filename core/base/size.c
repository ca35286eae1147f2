// SPDX-License-Identifier: Apache-2.0
// size: digits, then a letter that stands for a power of 1024.
#include "base/size.h"

bool size_parse(struct str text, uint64_t *bytes) {
  static const char letters[] = "kmgt";
  size_t digits = 0;
  unsigned shift = 0;
  while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') digits++;
  struct str unit = str_from(text, digits);
  if (!str_to_u64((struct str){text.ptr, digits}, bytes)) return false;
  const char *letter = unit.len ? strchr(letters, ascii_lower(unit.ptr[0])) : NULL;
  if (letter) {
    shift = 10 * (unsigned)(letter - letters + 1);
    unit = str_from(unit, 1);
  }
  bool is_plain =
      unit.len == 0 || str_equal_nocase(unit, STR("b")) || (letter && str_equal_nocase(unit, STR("ib")));
  if (!is_plain || *bytes > UINT64_MAX >> shift) return false;
  *bytes <<= shift;
  return true;
}
