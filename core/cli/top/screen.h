// SPDX-License-Identifier: Apache-2.0
// top/screen: draws a model on a terminal, and reads keys. The one door to ncurses.
#ifndef PERILUNE_CLI_TOP_SCREEN_H
#define PERILUNE_CLI_TOP_SCREEN_H

#include "cli/top/model.h"

enum { TOP_FILTER_BYTES = 64 };

/* What the user has chosen. */
struct top_choice {
  unsigned table, column, first; /* the table shown, the column it is in order of, the first row shown */
  bool is_reversed, is_paused, is_typing; /* a filter */
  char filter[TOP_FILTER_BYTES];
};

/* False: this is no terminal; that was said. */
bool screen_begin(void);
void screen_end(void);
void screen_draw(const struct top_model *m, struct top_choice *choice, const char *trouble);
/* Waits for a key for so long, and does what it says. False: the user wants to leave. */
bool screen_key(const struct top_model *m, struct top_choice *choice, int wait_ms);

#endif
