// SPDX-License-Identifier: Apache-2.0
// Units for base/error: what must hold for every line of the table.
#include "base/error.h"

#include <stdio.h>

#include "unit.h"

enum {
#define X(id, name, side, status, retry, text) COUNT_##id,
  ERROR_TABLE(X)
#undef X
      LINES
};
static const enum error after_last = (enum error)LINES;

IT("has no error as the first of the table") {
  CHECK(ERROR_NONE == 0);
  CHECK_STR(str_of(error_info(ERROR_NONE)->name), "none");
  CHECK(error_info(ERROR_NONE)->status == 0);
}

IT("gives each failure a name of its own, fit for metrics and Lua, and a text") {
  for (enum error a = 0; a < after_last; a++) {
    const struct error_info *info = error_info(a);
    CHECK(info->text[0] != '\0');
    CHECK(info->name[0] != '\0' && info->name[strspn(info->name, "abcdefghijklmnopqrstuvwxyz_")] == '\0');
    for (enum error b = 0; b < a; b++) CHECK(strcmp(info->name, error_info(b)->name) != 0);
  }
}

IT("answers a client's fault with 4xx, a peer's with 502 or 504, our own with 5xx, a reset with nothing") {
  for (enum error error = ERROR_NONE + 1; error < after_last; error++) {
    const struct error_info *info = error_info(error);
    unsigned status = info->status;
    bool is_deadline = error == ERROR_DEADLINE && status == 504;
    switch (info->side) {
    case SIDE_DOWNSTREAM:
      CHECK(status == 0 || status / 100 == 4 || status == 501 || status == 505 || is_deadline);
      break;
    case SIDE_UPSTREAM: CHECK(status == 502 || status == 504); break;
    case SIDE_INTERNAL: CHECK(error == ERROR_RESET ? status == 0 : status / 100 == 5); break;
    }
  }
}

IT("never retries what the client or we are to blame for, but for what this machine lacks for one connection "
   "only") {
  for (enum error error = 0; error < after_last; error++) {
    const struct error_info *info = error_info(error);
    bool is_lack = error == ERROR_NO_PORT || (error == ERROR_LOCAL_SHORTAGE && info->retry == RETRY_REUSED);
    CHECK(info->retry == RETRY_NEVER || info->side == SIDE_UPSTREAM || is_lack);
  }
  CHECK(error_info(ERROR_CONNECT_REFUSED)->retry == RETRY_ALWAYS);
  CHECK(error_info(ERROR_UPSTREAM_CLOSED)->retry == RETRY_REUSED);
  CHECK(error_info(ERROR_BAD_RESPONSE)->retry == RETRY_NEVER);
}

IT("names the sides") {
  CHECK_STR(str_of(error_side_name(SIDE_DOWNSTREAM)), "downstream");
  CHECK_STR(str_of(error_side_name(SIDE_UPSTREAM)), "upstream");
  CHECK_STR(str_of(error_side_name(SIDE_INTERNAL)), "internal");
}
