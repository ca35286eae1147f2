// SPDX-License-Identifier: Apache-2.0
// chronicle: which generations came into force and which did not, and why: the last ones, for status and
// metrics. Belongs to the control worker.
#ifndef PERILUNE_RUNTIME_CHRONICLE_H
#define PERILUNE_RUNTIME_CHRONICLE_H

#include <stdbool.h>
#include <time.h>

enum { CHRONICLE_ENTRIES = 16, CHRONICLE_TEXT = 400 };

struct chronicle_entry {
  time_t at;
  unsigned generation; /* in force afterwards */
  bool fine;
  char text[CHRONICLE_TEXT]; /* one line */
};

struct chronicle {
  struct chronicle_entry entries[CHRONICLE_ENTRIES]; /* a ring */
  unsigned fine, failed;                             /* how many there were ever */
};

/* `text` is cut at its first line feed, and copied. */
void chronicle_note(struct chronicle *chronicle, unsigned generation, bool fine, const char *text);
/* From the newest (0) on; NULL: there is none. */
const struct chronicle_entry *chronicle_entry(const struct chronicle *chronicle, unsigned age);

#endif
