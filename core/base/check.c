// SPDX-License-Identifier: Apache-2.0
// check: ends the process if an invariant is broken. The message goes directly to standard error, since the log itself
// may be broken.
#include "base/check.h"

#ifdef INVARIANTS
#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *file, int line, const char *condition) {
  fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, condition);
  abort();
}
#else
typedef int check_has_nothing_to_do; /* a translation unit is never empty */
#endif
