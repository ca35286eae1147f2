// SPDX-License-Identifier: Apache-2.0
// top/model: what a proxy says of itself now (runtime/observe/figures.h), ready to be drawn: seconds, facts, and tables
// whose counts have become rates by the answer before.
#ifndef PERILUNE_CLI_TOP_MODEL_H
#define PERILUNE_CLI_TOP_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum {
  TOP_SECONDS = 60,
  TOP_COLUMNS = 12,
  TOP_ROWS = 4096,
  TOP_TABLES = 8,
  TOP_FACTS = 16,
  TOP_FIGURES = 12
};

struct top_cell {
  struct str text; /* borrowed from the model's text; of numbers, as they came */
  double value;    /* of numbers; of a count: its rate */
};

struct top_row {
  struct top_cell cells[TOP_COLUMNS];
};

struct top_table {
  struct str name;
  struct str titles[TOP_COLUMNS];
  char kinds[TOP_COLUMNS]; /* t n c u b */
  unsigned columns, rows;
  struct top_row *items; /* owned */
};

enum top_figure {
  TOP_REQUESTS,
  TOP_NONE,
  TOP_1XX,
  TOP_2XX,
  TOP_3XX,
  TOP_4XX,
  TOP_5XX,
  TOP_P50,
  TOP_P90,
  TOP_P99,
  TOP_RECEIVED,
  TOP_SENT
};

struct top_model {
  char *text; /* owned */
  double at;  /* when it was asked for, in seconds */
  struct {
    struct str name, text;
  } facts[TOP_FACTS];
  unsigned fact_count, second_count, table_count;
  double seconds[TOP_SECONDS][TOP_FIGURES]; /* the latest is the last */
  struct top_table tables[TOP_TABLES];
};

/* Takes over `text`. `before` is the model of the answer before, or NULL. */
void top_model_read(struct top_model *m, char *text, double at, const struct top_model *before);
void top_model_free(struct top_model *m);
/* Empty: there is none. */
struct str top_fact(const struct top_model *m, const char *name);
/* Of the last whole second; 0: there is none. */
double top_latest(const struct top_model *m, enum top_figure figure);
/* The rows of a table that have the filter's text in one of their cells, in the order of a column. `order` has room for
 * all; returns how many. */
unsigned top_table_sort(const struct top_table *t, unsigned column, bool is_reversed, const char *filter,
                        unsigned *order);

#endif
