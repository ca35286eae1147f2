// SPDX-License-Identifier: Apache-2.0
// log_throttle: which lines of the log are written at once, and which are only counted. Lines of one kind about one
// subject share a key. The first LOG_THROTTLE_LINES of a key in LOG_THROTTLE_MS are written. Further ones are
// counted, and reported when that time is over: "8,812 more in 10 s: TEXT". Only base/log uses this; others call
// log_line and log_about.
#ifndef PERILUNE_BASE_LOG_THROTTLE_H
#define PERILUNE_BASE_LOG_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

enum { LOG_THROTTLE_LINES = 5, LOG_THROTTLE_MS = 10000, LOG_THROTTLE_TEXT = 512 };
enum { LOG_THROTTLE_KEYS = 512, LOG_THROTTLE_KINDS = 512 };

enum log_verdict {
  LOG_PASSES,
  LOG_WANTS_SAMPLE, /* counted, as the first of its key: log_throttle_keep follows with its text */
  LOG_COUNTED
};

/* What was left out of one key. */
struct log_left_out {
  uint64_t lines; /* 0: nothing */
  uint64_t over_ms;
  enum log_level level;
  char text[LOG_THROTTLE_TEXT]; /* the first line of the first; empty: that is being written just now */
};

/* What a line is. `key` equals `kind` if the line has no subject. Neither is 0. */
struct log_class {
  uint64_t kind, key;
};

/* Judges a line; thread-safe, as all here. If its key's time is over, *due is what is to be reported before it. */
enum log_verdict log_throttle_judge(struct log_class line, enum log_level level, struct log_left_out *due);
/* The text of a line that wanted a sample; copied. */
void log_throttle_keep(struct log_class line, const char *text);
/* Lines that were left out since the process began. */
uint64_t log_throttle_total(void);
/* The next key with something to report, from *at on, which starts at 0: where its time is over, or `all`. False:
 * there is no more. */
bool log_throttle_next(unsigned *at, bool all, struct log_left_out *due);

#endif
