// SPDX-License-Identifier: Apache-2.0
// csv: see csv.h. A row's text is copied, since quotes go; its fields are slices that are set once the text moves no
// more.
#include "base/csv.h"

#include <string.h>

void csv_begin(struct csv *csv, struct str text, char separator) {
  csv->rest = text;
  csv->separator = separator;
  csv->line = csv->next_line = 1;
  csv->count = 0;
  csv->text = (struct buf){0};
  if (str_starts_with(text, STR("\xef\xbb\xbf"))) csv->rest = str_from(text, 3);
}

void csv_end(struct csv *csv) { buf_release(&csv->text); }

static char take(struct csv *csv) {
  char c = csv->rest.ptr[0];
  csv->rest = str_from(csv->rest, 1);
  csv->next_line += c == '\n';
  return c;
}

/* Behind the opening quote, up to and with the closing one. */
static const char *read_quoted(struct csv *csv) {
  while (csv->rest.len) {
    char c = take(csv);
    if (c == '"' && (!csv->rest.len || csv->rest.ptr[0] != '"')) return NULL;
    if (c == '"') take(csv);
    buf_append(&csv->text, &c, 1);
    if (buf_len(&csv->text) > CSV_ROW_MOST) break;
  }
  return "a quote is not closed";
}

static bool is_at_end(const struct csv *csv) {
  char c = csv->rest.len ? csv->rest.ptr[0] : '\n';
  bool is_crlf = c == '\r' && csv->rest.len > 1 && csv->rest.ptr[1] == '\n';
  return c == csv->separator || c == '\n' || is_crlf;
}

static const char *read_field(struct csv *csv) {
  if (csv->rest.len && csv->rest.ptr[0] == '"') {
    take(csv);
    const char *why = read_quoted(csv);
    if (why) return why;
    return is_at_end(csv) ? NULL : "something stands behind the closing quote of a field";
  }
  const char *start = csv->rest.ptr;
  size_t length = 0;
  while (!is_at_end(csv)) {
    csv->rest = str_from(csv->rest, 1);
    length++;
  }
  buf_append(&csv->text, start, length);
  return NULL;
}

/* Behind a field: false where the row ends. */
static bool take_separator(struct csv *csv) {
  if (!csv->rest.len) return false;
  char c = take(csv);
  if (c == '\r') take(csv);
  return c == csv->separator;
}

static const char *read_row(struct csv *csv, size_t ends[CSV_FIELDS_MOST]) {
  do {
    if (csv->count == CSV_FIELDS_MOST) return "it has more than 256 fields";
    const char *why = read_field(csv);
    if (why) return why;
    if (buf_len(&csv->text) > CSV_ROW_MOST) return "it has more than a MiB";
    ends[csv->count++] = buf_len(&csv->text);
  } while (take_separator(csv));
  return NULL;
}

bool csv_next(struct csv *csv, const char **why) {
  size_t ends[CSV_FIELDS_MOST];
  *why = NULL;
  do {
    if (!csv->rest.len) return false;
    csv->line = csv->next_line;
    csv->count = 0;
    buf_clear(&csv->text);
    csv->text.start = csv->text.end = 0;
    *why = read_row(csv, ends);
    if (*why) return false;
  } while (csv->count == 1 && ends[0] == 0);
  for (unsigned i = 0; i < csv->count; i++) {
    size_t start = i ? ends[i - 1] : 0;
    csv->fields[i] = (struct str){csv->text.data ? csv->text.data + start : "", ends[i] - start};
  }
  return true;
}
