// SPDX-License-Identifier: Apache-2.0
// error: the failure table as data.
#include "base/error.h"

static const struct error_info table[] = {
#define X(id, name, side, status, retry, text) {name, text, status, SIDE_##side, RETRY_##retry},
    ERROR_TABLE(X)
#undef X
};

const struct error_info *error_info(enum error error) { return &table[error]; }

const char *error_side_name(enum error_side side) {
  static const char *const names[] = {"downstream", "upstream", "internal"};
  return names[side];
}
