// SPDX-License-Identifier: Apache-2.0
// duration: a length of time as people write it: "30" (seconds), "30s", "500ms", "5m", "1h", also with a fraction.
#ifndef PERILUNE_BASE_DURATION_H
#define PERILUNE_BASE_DURATION_H

#include <stdbool.h>

/* What it is, for a message: "wants ..."; of an option of Lua, which may be a number as well. */
#define DURATION_WORDS "a time such as 30, 30s, 500ms, 5m or 1h"
#define DURATION_WANTED                                                                                      \
  "a number of seconds of at least 0.001, or a text such as '500ms', '30s', '5m' or '1h'"

#define DURATION_MOST_MS 4000000000u

/* False: it is none, below 1 ms, or DURATION_MOST_MS or longer; *ms is as it was. */
bool duration_read(const char *text, unsigned *ms);
/* The same of a number of seconds. */
bool duration_of_seconds(double seconds, unsigned *ms);
/* Of a text that is none: "; the shortest is 1ms" or the longest, where it is a time; else "". */
const char *duration_hint(const char *text);

#endif
