// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: traceparent and tracestate. Each line of the input is a field: a traceparent if it begins with a digit
// or a letter and two such places later with '-', a tracestate otherwise. What is read is written as one that is read
// as the same; what is valid is what a second, plain reading takes for valid; and a list says the same in one field as
// in several.
#include "http/trace_context.h"

#include "fuzz.h"
#include "http/grammar.h"

static bool are_digits(struct str text, size_t from, size_t count, bool *are_zero) {
  *are_zero = true;
  for (size_t i = from; i < from + count; i++) {
    if (!text.ptr[i] || !strchr("0123456789abcdef", text.ptr[i])) return false;
    *are_zero &= text.ptr[i] == '0';
  }
  return true;
}

/* By the grammar of the recommendation, section 3.2. */
static bool is_plainly_valid(struct str text) {
  bool no_trace, no_span, any;
  if (text.len < TRACEPARENT_TEXT || text.ptr[2] != '-' || text.ptr[35] != '-' || text.ptr[52] != '-')
    return false;
  if (!are_digits(text, 0, 2, &any) || !are_digits(text, 3, 32, &no_trace) || no_trace) return false;
  if (!are_digits(text, 36, 16, &no_span) || no_span || !are_digits(text, 53, 2, &any)) return false;
  if (str_starts_with(text, STR("ff"))) return false;
  if (str_starts_with(text, STR("00"))) return text.len == TRACEPARENT_TEXT;
  return text.len == TRACEPARENT_TEXT || text.ptr[TRACEPARENT_TEXT] == '-';
}

static void require_parent(struct str line) {
  struct str exact = fuzz_copy(line.ptr, line.len);
  struct trace_context context = {0}, again = {0};
  char text[TRACEPARENT_TEXT];
  bool is_valid = trace_context_parse(exact, &context);
  REQUIRE(is_valid == is_plainly_valid(exact));
  if (is_valid) {
    REQUIRE((context.high || context.low) && context.span);
    REQUIRE(context.is_current == str_starts_with(exact, STR("00")));
    trace_context_write(&context, text);
    REQUIRE(trace_context_parse((struct str){text, sizeof text}, &again) && again.is_current);
    REQUIRE(again.high == context.high && again.low == context.low && again.span == context.span &&
            again.is_sampled == context.is_sampled);
    REQUIRE(memcmp(text + 2, exact.ptr + 2, 51) == 0);
  }
  free((char *)exact.ptr);
}

static bool looks_like_parent(struct str line) { return line.len > 2 && line.ptr[2] == '-'; }

static struct str join(const struct headers *h, struct arena *arena) {
  size_t most = 1;
  for (unsigned i = 0; i < h->count; i++) most += h->items[i].value.len + 1;
  char *text = arena_alloc(arena, most), *at = text;
  for (unsigned i = 0; i < h->count; i++) {
    if (h->items[i].id != FIELD_TRACESTATE) continue;
    if (at > text) *at++ = ',';
    if (h->items[i].value.len) at = mempcpy(at, h->items[i].value.ptr, h->items[i].value.len);
  }
  return (struct str){text, (size_t)(at - text)};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct arena arena = {0};
  struct str rest = {(const char *)data, size}, line;
  struct headers h, joined;
  struct trace_context context;
  unsigned parents = 0;
  bool is_parent = false;
  headers_init(&h, &arena);
  headers_init(&joined, &arena);
  while (size && str_split(&rest, '\n', &line)) {
    require_parent(line);
    line = str_trim(line);
    if (!field_value_is_valid(line) || h.count >= 100) continue;
    enum field_id id = looks_like_parent(line) ? FIELD_TRACEPARENT : FIELD_TRACESTATE;
    headers_add_id(&h, id, arena_dup(&arena, line));
    if (id == FIELD_TRACEPARENT) parents++, is_parent = is_plainly_valid(line);
  }
  REQUIRE(trace_context_read(&h, &context) == (parents == 1 && is_parent));
  struct str list = join(&h, &arena);
  headers_add_id(&joined, FIELD_TRACESTATE, list);
  REQUIRE(trace_state_is_valid(&h) == trace_state_is_valid(&joined));
  arena_free(&arena);
  return 0;
}
