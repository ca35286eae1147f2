// SPDX-License-Identifier: Apache-2.0
// Units for base/csv.
#include "base/csv.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

/* All rows as "line:field|field", each with an end of line; behind them in which line it ended early. */
static struct str read_rows(const char *text, char separator, struct buf *out) {
  struct csv csv;
  const char *why = NULL;
  char line[32];
  csv_begin(&csv, str_of(text), separator);
  while (csv_next(&csv, &why)) {
    buf_append(out, line, (size_t)snprintf(line, sizeof line, "%u:", csv.line));
    for (unsigned i = 0; i < csv.count; i++) {
      if (i) buf_append_str(out, STR("|"));
      buf_append_str(out, csv.fields[i]);
    }
    buf_append_str(out, STR("\n"));
  }
  if (why) buf_append(out, line, (size_t)snprintf(line, sizeof line, "bad: %u", csv.line));
  csv_end(&csv);
  return (struct str){buf_ptr(out), buf_len(out)};
}

static void check_rows(const char *text, const char *wanted) {
  struct buf out = {0};
  CHECK_STR(read_rows(text, ',', &out), wanted);
  buf_release(&out);
}

IT("reads rows, and passes over empty lines, whatever ends them") {
  check_rows("", "");
  check_rows("a,b\nc,d", "1:a|b\n2:c|d\n");
  check_rows("a,b\r\n\r\n\n,\r\nx\n", "1:a|b\n4:|\n5:x\n");
  check_rows("\xef\xbb\xbf"
             "a,b\n",
             "1:a|b\n");
}

IT("takes separators, quotes and ends of lines in quoted fields for text, and counts their lines") {
  check_rows("\"a,b\",\"say \"\"x\"\"\"\nc,d\n", "1:a,b|say \"x\"\n2:c|d\n");
  check_rows("\"one\ntwo\",b\nc,d\n", "1:one\ntwo|b\n3:c|d\n");
  check_rows("\"\",x\n", "1:|x\n");
}

IT("separates by the character that it is told") {
  struct buf out = {0};
  CHECK_STR(read_rows("a,b;c\n", ';', &out), "1:a,b|c\n");
  buf_release(&out);
}

/* Is the text refused in that line? */
static bool is_refused(const char *text, unsigned line) {
  struct csv csv;
  const char *why = NULL;
  csv_begin(&csv, str_of(text), ',');
  while (csv_next(&csv, &why)) {
  }
  bool refused = why && csv.line == line;
  csv_end(&csv);
  return refused;
}

IT("says in which line a quote does not end, or text follows one, or there are too many fields") {
  char many[CSV_FIELDS_MOST + 2];
  memset(many, ',', sizeof many - 1);
  many[sizeof many - 1] = '\0';
  CHECK(is_refused("a,b\n\"c,d\n", 2));
  CHECK(is_refused("\"a\"b,c\n", 1));
  CHECK(is_refused(many, 1));
  many[CSV_FIELDS_MOST - 1] = '\0';
  CHECK(!is_refused(many, 1));
}
