// SPDX-License-Identifier: Apache-2.0
// reload_log: the last loads and reloads of the policy: which came into force, which did not, and why. For status and
// metrics. Used by the control worker only.
#ifndef PERILUNE_RUNTIME_RELOAD_LOG_H
#define PERILUNE_RUNTIME_RELOAD_LOG_H

#include <stdbool.h>
#include <time.h>

enum { RELOAD_LOG_ENTRIES = 16, RELOAD_LOG_TEXT = 400 };

struct reload_log_entry {
  time_t at;
  unsigned generation; /* in force afterwards */
  bool fine;
  char text[RELOAD_LOG_TEXT]; /* one line */
};

struct reload_log {
  struct reload_log_entry entries[RELOAD_LOG_ENTRIES]; /* a ring */
  unsigned fine, failed;                               /* how many since the start */
};

/* `text` is cut at its first line feed, and copied. */
void reload_log_note(struct reload_log *reload_log, unsigned generation, bool fine, const char *text);
/* From the newest (0) on; NULL: there is none. */
const struct reload_log_entry *reload_log_entry(const struct reload_log *reload_log, unsigned age);

#endif
