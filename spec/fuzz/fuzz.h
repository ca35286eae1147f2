// SPDX-License-Identifier: Apache-2.0
// fuzz: what the drivers share. Each driver is one file with LLVMFuzzerTestOneInput; a property that does not
// hold ends the process, which libFuzzer reports together with the input. Seeds are in corpus/<driver>/.
#ifndef PERILUNE_SPEC_FUZZ_H
#define PERILUNE_SPEC_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "http/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(property)                                                                                    \
  do {                                                                                                       \
    if (!(property)) {                                                                                       \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #property);                          \
      abort();                                                                                               \
    }                                                                                                        \
  } while (0)

/* A copy in memory of exactly its size, so that a sanitizer sees a byte read beyond it; free its ptr. */
static inline struct str fuzz_copy(const void *bytes, size_t count) {
  char *copy = malloc(count ? count : 1);
  if (!copy) abort();
  if (count) memcpy(copy, bytes, count);
  return (struct str){copy, count};
}

static const struct parser_limits fuzz_limits[] = {
    {.head_bytes = 65536, .target_bytes = 8192, .fields = 100},
    {.head_bytes = 120, .target_bytes = 30, .fields = 4},
};

typedef enum head_result fuzz_scan_fn(struct head_scan *scan, const char *bytes, size_t count,
                                      const struct parser_limits *limits, size_t *length, enum error *error);

struct fuzz_verdict {
  enum head_result result;
  enum error error;
  size_t length, skipped;
  struct first_line line;
};

/* Scans whole and byte by byte, and requires one verdict. */
static inline struct fuzz_verdict fuzz_scan(fuzz_scan_fn *scan, struct str head,
                                            const struct parser_limits *limits) {
  struct head_scan at_once = {0}, in_bytes = {0};
  struct fuzz_verdict whole = {0}, bytes = {.result = HEAD_MORE};
  whole.result = scan(&at_once, head.ptr, head.len, limits, &whole.length, &whole.error);
  for (size_t count = 0; count <= head.len && bytes.result == HEAD_MORE; count++)
    bytes.result = scan(&in_bytes, head.ptr, count, limits, &bytes.length, &bytes.error);
  REQUIRE(whole.result == bytes.result && whole.error == bytes.error);
  REQUIRE(at_once.skipped == in_bytes.skipped);
  REQUIRE(whole.result != HEAD_WHOLE || whole.length == bytes.length);
  REQUIRE((whole.result == HEAD_BAD) == (whole.error != ERROR_NONE));
  REQUIRE(whole.result != HEAD_WHOLE || memcmp(&at_once.line, &in_bytes.line, sizeof at_once.line) == 0);
  whole.skipped = at_once.skipped;
  whole.line = at_once.line;
  return whole;
}

/* An accepted head: CRLF only, one empty line, at its end, and no control characters. */
static inline void fuzz_require_clean(struct str head, size_t skipped) {
  for (size_t i = 0; i < head.len; i++) {
    unsigned char c = (unsigned char)head.ptr[i];
    if (c == '\r')
      REQUIRE(i + 1 < head.len && head.ptr[i + 1] == '\n');
    else if (c == '\n')
      REQUIRE(i > 0 && head.ptr[i - 1] == '\r');
    else
      REQUIRE((c >= 0x20 || c == '\t') && c != 0x7f);
  }
  struct str rest = str_from(head, skipped);
  const char *end = memmem(rest.ptr, rest.len, "\r\n\r\n", 4);
  REQUIRE(end && end + 4 == head.ptr + head.len);
}

static inline void fuzz_require_valid(const struct headers *h, const struct parser_limits *limits) {
  REQUIRE(h->count <= limits->fields + 1); /* Host may have been added */
  for (unsigned i = 0; i < h->count; i++) {
    const struct field *field = &h->items[i];
    REQUIRE(field_name_is_valid(field->name) && field_value_is_valid(field->value));
    REQUIRE(str_equal(str_trim(field->value), field->value));
    REQUIRE(field->id == field_id(field->name));
  }
}

static inline void fuzz_require_same(const struct headers *a, const struct headers *b) {
  REQUIRE(a->count == b->count);
  for (unsigned i = 0; i < a->count; i++) {
    REQUIRE(str_equal(a->items[i].name, b->items[i].name));
    REQUIRE(str_equal(a->items[i].value, b->items[i].value));
  }
}

#endif
