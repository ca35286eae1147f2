// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: the writer's inverse. Messages are made of the input, as a policy could make them, and must be
// read back as they were written. The input is lines: flags and numbers, method or reason, target, then a
// name and a value each.
#include "fuzz.h"
#include "http/framing.h"
#include "http/grammar.h"
#include "http/writer.h"

static const struct parser_limits wide = {.head_bytes = 1 << 20, .target_bytes = 1 << 19, .fields = 10000};

static struct str next_line(struct str *rest) {
  struct str line = {0};
  return str_split(rest, '\n', &line) ? line : STR("");
}

/* Fields that the API would let a policy set; those of one hop are left out, as the writer does. */
static void take_fields(struct headers *h, struct str rest) {
  headers_add_id(h, FIELD_HOST, STR("host.example"));
  while (rest.ptr) {
    struct str name = next_line(&rest), value = str_trim(next_line(&rest));
    enum field_id id = field_id(name);
    if (!field_name_is_valid(name) || !field_value_is_valid(value)) continue;
    if (id == FIELD_HOST || id == FIELD_EXPECT || framing_is_hop_field(id)) continue;
    headers_add(h, name, value);
  }
}

static struct body body_of(unsigned flags, bool for_request) {
  static const enum framing framings[] = {FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE};
  enum framing framing = framings[flags % (for_request ? 3 : 4)];
  return (struct body){framing, framing == FRAMING_LENGTH ? (uint64_t)flags * flags * flags : 0};
}

static struct str scanned(fuzz_scan_fn *scan, struct str head) {
  struct fuzz_verdict verdict = fuzz_scan(scan, head, &wide);
  REQUIRE(verdict.result == HEAD_WHOLE && verdict.length == head.len && verdict.skipped == 0);
  return head;
}

static void try_request(unsigned flags, struct str rest, struct arena *arena) {
  struct request request = {.minor = 1}, again;
  request.method_name = next_line(&rest);
  struct str path = next_line(&rest);
  if (!grammar_is_all(request.method_name, CLASS_TOKEN) || request.method_name.len > 64) return;
  if (path.len && !grammar_is_all(path, CLASS_TARGET)) return;
  request.method = method_of(request.method_name);
  if (request.method == METHOD_CONNECT || request.method == METHOD_TRACE) return;
  request.target = arena_printf(arena, "/%.*s", STR_ARG(path));
  headers_init(&request.headers, arena);
  take_fields(&request.headers, rest);
  struct body body = body_of(flags, true);
  struct writer_hop hop = {.close = flags & 4, .keep_alive = flags & 8, .te_trailers = flags & 16};
  if (flags & 32) hop.upgrade = STR("websocket");
  struct str head = scanned(head_scan_request, writer_request(arena, &request, body, &hop));
  REQUIRE(parser_request(&(struct head){.text = head}, arena, &wide, &again, NULL) == ERROR_NONE);
  framing_strip_request(&again);
  REQUIRE(str_equal(again.method_name, request.method_name) && str_equal(again.target, request.target));
  REQUIRE(again.body.framing == body.framing && again.body.length == body.length);
  REQUIRE(again.keep_alive == !hop.close && again.accepts_trailers == hop.te_trailers);
  bool has_body = body.framing == FRAMING_CHUNKED || body.length > 0;
  REQUIRE(has_body || str_equal(again.upgrade, hop.upgrade));
  fuzz_require_same(&again.headers, &request.headers);
}

static void try_response(unsigned flags, struct str rest, struct arena *arena) {
  struct response response = {.minor = 1, .status = (unsigned short)(200 + flags % 400)}, again;
  response.reason = next_line(&rest);
  if (response.status > 599 || response.status == 204 || response.status == 304) return;
  if (!field_value_is_valid(response.reason)) return;
  headers_init(&response.headers, arena);
  take_fields(&response.headers, rest);
  struct body body = body_of(flags, false);
  struct writer_hop hop = {.close = flags & 4, .keep_alive = flags & 8};
  if (body.framing == FRAMING_NONE) return; /* for 204, 304 and HEAD only */
  struct str head = scanned(head_scan_response, writer_response(arena, &response, body, &hop));
  REQUIRE(parser_response(&(struct head){.text = head}, arena, &wide, METHOD_GET, &again, NULL) ==
          ERROR_NONE);
  framing_strip_response(&again);
  REQUIRE(again.status == response.status);
  REQUIRE(response.reason.len == 0 || str_equal(again.reason, response.reason));
  REQUIRE(again.body.framing == body.framing && again.body.length == body.length);
  REQUIRE(again.keep_alive == (!hop.close && body.framing != FRAMING_CLOSE));
  fuzz_require_same(&again.headers, &response.headers);
}

static void try_trailers(struct str rest, struct arena *arena) {
  struct headers trailers, again;
  headers_init(&trailers, arena);
  take_fields(&trailers, rest);
  REQUIRE(parser_trailers(writer_trailers(arena, &trailers), arena, &wide, &again));
  fuzz_require_same(&trailers, &again);
}

static size_t count_controls(struct str text) {
  size_t found = 0;
  for (size_t i = 0; i < text.len; i++) found += (unsigned char)text.ptr[i] < 0x20 && text.ptr[i] != '\t';
  return found;
}

/* Parts that nobody has checked: a head is written exactly if no line can be made of them. */
static void try_unchecked(struct str rest, struct arena *arena) {
  struct request request = {.minor = 1, .method_name = STR("GET"), .target = STR("/")};
  struct response response = {.minor = 1, .status = 200};
  struct writer_hop hop = {0};
  size_t half = rest.len / 2;
  struct str name = {rest.ptr, half}, value = str_from(rest, half);
  bool is_clean = count_controls(rest) == 0;
  headers_init(&request.headers, arena);
  headers_init(&response.headers, arena);
  headers_add(&response.headers, name, value);
  if (framing_is_hop_field(field_id(name))) return;
  struct str head = writer_response(arena, &response, (struct body){FRAMING_LENGTH, 0}, &hop);
  REQUIRE((head.ptr != NULL) == is_clean && count_controls(head) == (is_clean ? 8 : 0));
  request.method_name = name;
  request.target = value;
  head = writer_request(arena, &request, (struct body){FRAMING_NONE, 0}, &hop);
  REQUIRE((head.ptr != NULL) == is_clean && count_controls(head) == (is_clean ? 6 : 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 3) return 0;
  struct arena arena = {0};
  struct str input = fuzz_copy(data, size), rest = str_from(input, 2);
  unsigned flags = (unsigned)data[0] | (unsigned)data[1] << 8;
  try_request(flags, rest, &arena);
  try_response(flags, rest, &arena);
  try_trailers(rest, &arena);
  try_unchecked(rest, &arena);
  arena_free(&arena);
  free((char *)input.ptr);
  return 0;
}
