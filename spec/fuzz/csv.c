// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: base/csv. What is read reads back as the same when it is written with quotes; what is wrong is in a line
// that the text has. The first byte is the separator.
#include "base/csv.h"

#include "base/buf.h"
#include "fuzz.h"

static void append_quoted(struct buf *out, struct str field) {
  buf_append_str(out, STR("\""));
  for (size_t i = 0; i < field.len; i++) {
    if (field.ptr[i] == '"') buf_append_str(out, STR("\""));
    buf_append(out, &field.ptr[i], 1);
  }
  buf_append_str(out, STR("\""));
}

static void append_row(struct buf *out, const struct csv *csv) {
  REQUIRE(csv->count >= 1 && csv->count <= CSV_FIELDS_MOST);
  for (unsigned i = 0; i < csv->count; i++) {
    if (i) buf_append(out, &csv->separator, 1);
    append_quoted(out, csv->fields[i]);
  }
  buf_append_str(out, STR("\n"));
}

static void require_same(const struct csv *a, const struct csv *b) {
  REQUIRE(a->count == b->count);
  for (unsigned i = 0; i < a->count; i++) REQUIRE(str_equal(a->fields[i], b->fields[i]));
}

static void read_back(struct str text, char separator, struct str written) {
  struct csv one, other;
  const char *why;
  csv_begin(&one, text, separator);
  csv_begin(&other, written, separator);
  while (csv_next(&one, &why)) {
    REQUIRE(csv_next(&other, &why) && !why);
    require_same(&one, &other);
  }
  REQUIRE(!csv_next(&other, &why) && !why);
  csv_end(&one);
  csv_end(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char separator = size && strchr(",;\t|", data[0]) && data[0] ? (char)data[0] : ',';
  struct str text = size ? fuzz_copy(data + 1, size - 1) : fuzz_copy("", 0);
  struct buf written = {0};
  struct csv csv;
  const char *why;
  unsigned lines = 1;
  for (size_t i = 0; i < text.len; i++) lines += text.ptr[i] == '\n';
  csv_begin(&csv, text, separator);
  while (csv_next(&csv, &why)) append_row(&written, &csv);
  REQUIRE(csv.line >= 1 && csv.line <= lines);
  csv_end(&csv);
  if (!why) read_back(text, separator, buf_len(&written) ? buf_str(&written) : STR(""));
  buf_release(&written);
  free((char *)text.ptr);
  return 0;
}
