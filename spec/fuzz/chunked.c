// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: chunked bodies. The first byte says in which pieces they arrive; that must not matter. A body
// that we accept, llhttp accepts too, with the same content and the same end, once the white space around
// extensions is gone. So it is where sizes may be padded; and what is accepted without padding is the same with it.
#include "http/chunked.h"

#include <llhttp.h>

#include "fuzz.h"

struct decoded {
  enum chunked_state state;
  char *payload, *canonical;
  size_t payload_bytes, canonical_bytes, used;
  struct headers trailers;
};

/* llhttp takes no white space around extensions, and before version 9 neither several with values nor quoted
 * pairs: what it does not take is left out of what it gets. */
static bool is_left_out(enum chunked_state state, char byte) {
  bool in_extension = state > CHUNKED_SIZE && state <= CHUNKED_VALUE_END, space = byte == ' ' || byte == '\t';
  if (LLHTTP_VERSION_MAJOR < 9)
    return in_extension ? byte != '\r' : state == CHUNKED_SIZE && (byte == ';' || space);
  return space && (in_extension || state == CHUNKED_SIZE) && state != CHUNKED_QUOTED &&
         state != CHUNKED_ESCAPED;
}

static void take_trailers(struct decoded *d, struct str section, struct arena *arena) {
  struct parser_limits limits = {.head_bytes = CHUNKED_TRAILER_BYTES, .fields = CHUNKED_TRAILER_BYTES};
  headers_init(&d->trailers, arena);
  if (section.len) REQUIRE(parser_trailers(arena_dup(arena, section), arena, &limits, &d->trailers));
}

/* Feeds at most `step` new bytes at a time; unused ones come again. */
static struct decoded decode(struct str body, size_t step, bool takes_padding, struct arena *arena) {
  struct decoded d = {.payload = arena_alloc(arena, body.len), .canonical = arena_alloc(arena, body.len)};
  struct chunked chunked = {.takes_padding = takes_padding};
  struct str trailers = {0};
  for (size_t end = 0; end < body.len && chunked.state < CHUNKED_DONE;) {
    enum chunked_state before = chunked.state;
    end = body.len - end < step ? body.len : end + step;
    struct str piece = fuzz_copy(body.ptr + d.used, end - d.used);
    size_t payload, used = chunked_decode(&chunked, (char *)piece.ptr, piece.len, &payload, &trailers);
    REQUIRE(payload <= used && used <= piece.len);
    REQUIRE(used == piece.len || chunked.state >= CHUNKED_TRAILER);
    memcpy(d.payload + d.payload_bytes, piece.ptr, payload);
    d.payload_bytes += payload;
    if (chunked.state == CHUNKED_DONE) take_trailers(&d, trailers, arena);
    if (step == 1 && used == 1 && !is_left_out(before, body.ptr[d.used]))
      d.canonical[d.canonical_bytes++] = body.ptr[d.used];
    if (step == 1 && used > 1) {
      memcpy(d.canonical + d.canonical_bytes, body.ptr + d.used, used);
      d.canonical_bytes += used;
    }
    d.used += used;
    free((char *)piece.ptr);
  }
  d.state = chunked.state;
  return d;
}

/* What llhttp makes of it. */
struct reading {
  const char *payload;
  size_t bytes;
  bool same, complete;
};

/* No more than was decoded: the input was as long. */
static int on_body(llhttp_t *llhttp, const char *at, size_t length) {
  struct reading *r = llhttp->data;
  r->same = r->same && memcmp(r->payload + r->bytes, at, length) == 0;
  r->bytes += length;
  return 0;
}
static int on_complete(llhttp_t *llhttp) {
  ((struct reading *)llhttp->data)->complete = true;
  return 0;
}
static int on_name_end(llhttp_t *llhttp) {
  llhttp->header_state = 0; /* trailers named Content-Length and the like are not for it to judge */
  return 0;
}

static void require_llhttp_agrees(const struct decoded *d) {
  static const char head[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  struct reading reading = {.payload = d->payload, .same = true};
  llhttp_settings_t settings;
  llhttp_t llhttp;
  llhttp_settings_init(&settings);
  settings.on_body = on_body;
  settings.on_message_complete = on_complete;
  llhttp_init(&llhttp, HTTP_REQUEST, &settings);
  llhttp.data = &reading;
  REQUIRE(llhttp_execute(&llhttp, head, sizeof head - 1) == HPE_OK);
  settings.on_header_field_complete = on_name_end;
  llhttp_errno_t result = llhttp_execute(&llhttp, d->canonical, d->canonical_bytes);
  if (result != HPE_OK) fprintf(stderr, "llhttp: %s\n", llhttp_get_error_reason(&llhttp));
  REQUIRE(result == HPE_OK);
  REQUIRE(reading.complete && reading.same && reading.bytes == d->payload_bytes);
}

/* Decodes it in one piece, byte by byte, and in pieces of `step` bytes. */
static struct decoded decode_all_ways(struct str body, size_t step, bool takes_padding, struct arena *arena) {
  struct decoded bytes = decode(body, 1, takes_padding, arena),
                 pieces = decode(body, step, takes_padding, arena);
  struct decoded whole = decode(body, body.len, takes_padding, arena);
  REQUIRE(bytes.state == whole.state && pieces.state == whole.state);
  if (whole.state == CHUNKED_DONE) {
    REQUIRE(bytes.used == whole.used && pieces.used == whole.used);
    fuzz_require_same(&bytes.trailers, &whole.trailers);
    fuzz_require_same(&pieces.trailers, &whole.trailers);
  }
  if (whole.state != CHUNKED_BAD) {
    REQUIRE(bytes.payload_bytes == whole.payload_bytes && pieces.payload_bytes == whole.payload_bytes);
    REQUIRE(memcmp(bytes.payload, whole.payload, whole.payload_bytes) == 0);
    REQUIRE(memcmp(pieces.payload, whole.payload, whole.payload_bytes) == 0);
  }
  if (whole.state == CHUNKED_DONE) require_llhttp_agrees(&bytes);
  return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  struct arena arena = {0};
  struct str body = {(const char *)data + 1, size - 1};
  struct decoded strict = decode_all_ways(body, 2 + data[0] % 30u, false, &arena);
  struct decoded padded = decode_all_ways(body, 2 + data[0] % 30u, true, &arena);
  if (strict.state != CHUNKED_BAD) {
    REQUIRE(padded.state == strict.state && padded.used == strict.used);
    REQUIRE(padded.payload_bytes == strict.payload_bytes);
    REQUIRE(memcmp(padded.payload, strict.payload, strict.payload_bytes) == 0);
  }
  arena_free(&arena);
  return 0;
}
