// SPDX-License-Identifier: Apache-2.0
// top/model: lines of unknown words, and columns beyond what there is room for, are left out: the proxy may be a later
// version.
#include "cli/top/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* --- reading ------------------------------------------------------------------------------------------------ */

static double number_of(struct str text) {
  uint64_t number = 0;
  str_to_u64(text, &number);
  return (double)number;
}

static void read_fact(struct top_model *m, struct str rest) {
  struct str name;
  if (m->fact_count == TOP_FACTS || !str_split(&rest, '\t', &name)) return;
  m->facts[m->fact_count].name = name;
  m->facts[m->fact_count++].text = rest;
}

static void read_second(struct top_model *m, struct str rest) {
  struct str word;
  if (m->second_count == TOP_SECONDS) {
    memmove(m->seconds[0], m->seconds[1], sizeof m->seconds - sizeof m->seconds[0]);
    m->second_count--;
  }
  for (unsigned i = 0; i < TOP_FIGURES && str_split(&rest, '\t', &word); i++)
    m->seconds[m->second_count][i] = number_of(word);
  m->second_count++;
}

static void read_table(struct top_model *m, struct str rest) {
  struct str column;
  if (m->table_count == TOP_TABLES) return;
  struct top_table *t = &m->tables[m->table_count++];
  str_split(&rest, '\t', &t->name);
  while (rest.ptr && t->columns < TOP_COLUMNS && str_split(&rest, '\t', &column)) {
    size_t colon = str_find(column, ':');
    t->titles[t->columns] = (struct str){column.ptr, colon};
    t->kinds[t->columns++] = colon + 1 < column.len ? column.ptr[colon + 1] : 't';
  }
}

static void read_row(struct top_table *t, struct str rest) {
  if (t->rows == TOP_ROWS) return;
  if ((t->rows & (t->rows - 1)) == 0)
    t->items = memory_realloc(t->items, (t->rows ? 2 * t->rows : 1) * sizeof *t->items);
  struct top_row *row = &t->items[t->rows++];
  memset(row, 0, sizeof *row);
  for (unsigned i = 0; i < t->columns; i++) {
    if (!rest.ptr || !str_split(&rest, '\t', &row->cells[i].text)) row->cells[i].text = STR("");
    row->cells[i].value = number_of(row->cells[i].text);
  }
}

/* --- rates -------------------------------------------------------------------------------------------------- */

static const struct top_table *find_table(const struct top_model *m, struct str name) {
  for (unsigned i = 0; m && i < m->table_count; i++)
    if (str_equal(m->tables[i].name, name)) return &m->tables[i];
  return NULL;
}

/* The cells that are text, from the first one on, name a row. */
static bool is_same_row(const struct top_table *t, const struct top_row *a, const struct top_row *b) {
  for (unsigned i = 0; i < t->columns && t->kinds[i] == 't'; i++)
    if (!str_equal(a->cells[i].text, b->cells[i].text)) return false;
  return true;
}

/* Most rows stand where they stood. */
static const struct top_row *find_row(const struct top_table *old, const struct top_row *row, unsigned at) {
  if (at < old->rows && is_same_row(old, row, &old->items[at])) return &old->items[at];
  for (unsigned i = 0; i < old->rows; i++)
    if (is_same_row(old, row, &old->items[i])) return &old->items[i];
  return NULL;
}

static void count_rates(struct top_table *t, const struct top_table *old, double passed_s) {
  for (unsigned i = 0; i < t->rows; i++) {
    const struct top_row *before = old && old->columns == t->columns ? find_row(old, &t->items[i], i) : NULL;
    for (unsigned c = 0; c < t->columns; c++) {
      struct top_cell *cell = &t->items[i].cells[c];
      if (t->kinds[c] != 'c') continue;
      double more = before ? number_of(cell->text) - number_of(before->cells[c].text) : 0;
      cell->value = more > 0 && passed_s > 0 ? more / passed_s : 0;
    }
  }
}

/* --- life --------------------------------------------------------------------------------------------------- */

void top_model_read(struct top_model *m, char *text, double at, const struct top_model *before) {
  struct str rest = str_of(text), line, word;
  memset(m, 0, sizeof *m);
  m->text = text;
  m->at = at;
  while (str_split(&rest, '\n', &line)) {
    if (!str_split(&line, '\t', &word) || !line.ptr) continue;
    if (str_equal(word, STR("fact"))) read_fact(m, line);
    if (str_equal(word, STR("second"))) read_second(m, line);
    if (str_equal(word, STR("table"))) read_table(m, line);
    if (str_equal(word, STR("row")) && m->table_count) read_row(&m->tables[m->table_count - 1], line);
  }
  for (unsigned i = 0; i < m->table_count; i++)
    count_rates(&m->tables[i], find_table(before, m->tables[i].name), before ? at - before->at : 0);
}

void top_model_free(struct top_model *m) {
  for (unsigned i = 0; i < m->table_count; i++) free(m->tables[i].items);
  free(m->text);
  memset(m, 0, sizeof *m);
}

struct str top_fact(const struct top_model *m, const char *name) {
  for (unsigned i = 0; i < m->fact_count; i++)
    if (str_equal(m->facts[i].name, str_of(name))) return m->facts[i].text;
  return STR("");
}

double top_latest(const struct top_model *m, enum top_figure figure) {
  return m->second_count ? m->seconds[m->second_count - 1][figure] : 0;
}

/* --- order -------------------------------------------------------------------------------------------------- */

static struct {
  const struct top_table *table;
  unsigned column;
  bool is_reversed;
} wanted; /* of the qsort under way */

/* Numbers: the largest first; texts: in the order of letters. */
static int compare(const void *one, const void *other) {
  unsigned i = *(const unsigned *)one, k = *(const unsigned *)other;
  const struct top_cell *a = &wanted.table->items[i].cells[wanted.column];
  const struct top_cell *b = &wanted.table->items[k].cells[wanted.column];
  int result = wanted.table->kinds[wanted.column] == 't' ? str_compare(a->text, b->text)
                                                         : (a->value < b->value) - (a->value > b->value);
  if (wanted.is_reversed) result = -result;
  return result ? result : (i > k) - (i < k);
}

static bool has_text(const struct top_table *t, const struct top_row *row, const char *filter) {
  for (unsigned c = 0; c < t->columns; c++)
    if (t->kinds[c] == 't' && memmem(row->cells[c].text.ptr, row->cells[c].text.len, filter, strlen(filter)))
      return true;
  return !*filter;
}

unsigned top_table_sort(const struct top_table *t, unsigned column, bool is_reversed, const char *filter,
                        unsigned *order) {
  unsigned count = 0;
  for (unsigned i = 0; i < t->rows; i++)
    if (has_text(t, &t->items[i], filter)) order[count++] = i;
  wanted.table = t;
  wanted.column = column < t->columns ? column : 0;
  wanted.is_reversed = is_reversed;
  if (t->columns) qsort(order, count, sizeof *order, compare);
  return count;
}
