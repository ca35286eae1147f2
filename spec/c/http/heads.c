// SPDX-License-Identifier: Apache-2.0
// heads: see heads.h. Text is copied to memory of its exact size, so that a sanitizer sees every byte read
// beyond it.
#include "heads.h"

#include "unit.h"

const struct parser_limits default_limits = {.head_bytes = 65536, .target_bytes = 8192, .fields = 100};

static struct arena arena;

struct arena *heads_arena(void) {
  return &arena;
}
void heads_free(void) { arena_free(&arena); }

struct headers heads_fields(const char *lines) {
  struct headers h;
  struct str rest = str_of(lines), line;
  headers_init(&h, &arena);
  while (rest.len && str_split(&rest, '\n', &line)) {
    size_t colon = str_find(line, ':');
    struct str name = {line.ptr, colon}, value = str_trim(str_from(line, colon + 1));
    headers_add(&h, arena_dup(&arena, name), arena_dup(&arena, value));
  }
  return h;
}

void heads_check_fields(const struct headers *h, const char *wanted) {
  char text[600] = "";
  for (unsigned i = 0; i < h->count; i++) {
    const struct field *field = &h->items[i];
    strncat(text, field->name.ptr, field->name.len);
    strncat(strcat(text, "="), field->value.ptr, field->value.len);
    strcat(text, " ");
    CHECK(field->id == field_id(field->name));
  }
  CHECK_STR(str_of(text), wanted);
}

typedef enum head_result scan_fn(struct head_scan *scan, const char *bytes, size_t count,
                                 const struct parser_limits *limits, size_t *length, enum error *error);

struct verdict {
  enum head_result result;
  enum error error;
  size_t length, skipped;
  struct first_line line;
};

static struct verdict scan_whole(scan_fn *scan, struct str head, const struct parser_limits *limits) {
  struct verdict verdict = {0};
  struct head_scan state = {0};
  verdict.result = scan(&state, head.ptr, head.len, limits, &verdict.length, &verdict.error);
  verdict.skipped = state.skipped;
  verdict.line = state.line;
  return verdict;
}

static struct verdict scan_bytes(scan_fn *scan, struct str head, const struct parser_limits *limits) {
  struct verdict verdict = {.result = HEAD_MORE};
  struct head_scan state = {0};
  for (size_t count = 0; count <= head.len && verdict.result == HEAD_MORE; count++)
    verdict.result = scan(&state, head.ptr, count, limits, &verdict.length, &verdict.error);
  verdict.skipped = state.skipped;
  verdict.line = state.line;
  return verdict;
}

static bool is_same_line(const struct first_line *a, const struct first_line *b) {
  return a->bytes == b->bytes && a->method == b->method && a->target == b->target && a->minor == b->minor &&
         a->status == b->status;
}

static struct verdict scan_both(scan_fn *scan, struct str head, const struct parser_limits *limits) {
  struct verdict whole = scan_whole(scan, head, limits), bytes = scan_bytes(scan, head, limits);
  CHECK(whole.result == bytes.result);
  CHECK(whole.error == bytes.error);
  CHECK(whole.skipped == bytes.skipped);
  CHECK(whole.result != HEAD_WHOLE || whole.length == bytes.length);
  CHECK(whole.result != HEAD_WHOLE || is_same_line(&whole.line, &bytes.line));
  return whole;
}

enum error request_read(struct str head, const struct parser_limits *limits, struct request *request) {
  struct str copy = arena_dup(&arena, head);
  struct verdict verdict = scan_both(head_scan_request, copy, limits);
  if (verdict.result == HEAD_BAD) return verdict.error;
  if (verdict.result == HEAD_MORE) return ERROR_REQUEST_TRUNCATED;
  const char *why = NULL;
  copy.len = verdict.length;
  struct head whole = {str_from(copy, verdict.skipped), verdict.line};
  enum error error = parser_request(&whole, &arena, limits, request, &why);
  CHECK((error == ERROR_NONE) == (why == NULL));
  return error;
}

enum error response_read(struct str head, enum method method, struct response *response) {
  struct str copy = arena_dup(&arena, head);
  struct verdict verdict = scan_both(head_scan_response, copy, &default_limits);
  if (verdict.result == HEAD_BAD) return verdict.error;
  if (verdict.result == HEAD_MORE) return ERROR_REQUEST_TRUNCATED;
  const char *why = NULL;
  copy.len = verdict.length;
  struct head whole = {copy, verdict.line};
  enum error error = parser_response(&whole, &arena, &default_limits, method, response, &why);
  CHECK((error == ERROR_NONE) == (why == NULL));
  return error;
}

enum error request_error(struct str head) {
  struct request request;
  enum error error = request_read(head, &default_limits, &request);
  heads_free();
  return error;
}

enum error response_error(struct str head, enum method method) {
  struct response response;
  enum error error = response_read(head, method, &response);
  heads_free();
  return error;
}
