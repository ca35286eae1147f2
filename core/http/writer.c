// SPDX-License-Identifier: Apache-2.0
// writer: heads in one piece of arena memory, whose size is computed first, so that the bytes are copied once. Fields
// of one hop are never taken from a message's list, even if a policy put them there: only `body` and `hop` describe
// the hop.
//
// All heads pass through here. The makers of a method, a target, a reason, a name or a value check it; but a check
// that is forgotten would let a client write its own fields, or even a request. So control characters are counted
// while each part is copied: a part has none, except for the ends of lines between fields that are copied in one
// piece.
#include "http/writer.h"

#include "base/check.h"
#include "base/number.h"
#include "http/framing.h"
#include "http/grammar.h"

/* Small enough for registers: each function takes a pen and gives it back. */
struct pen {
  char *at;       /* where the next byte goes */
  bool is_unsafe; /* a control character was in a part */
};

static size_t bound_of(const struct headers *headers, const struct writer_hop *hop, unsigned *hosts);
static struct pen put_fields(struct pen pen, const struct headers *headers);
static struct pen put_framing(struct pen pen, struct body body);
static struct pen put_hop(struct pen pen, const struct writer_hop *hop);

/* Tabs are told from the others only where something was found. */
static inline struct pen put(struct pen pen, struct str text) {
  bool found = grammar_copy_finds(pen.at, text);
  if (__builtin_expect(found, false)) pen.is_unsafe |= !grammar_has_controls(text.ptr, text.len, 0);
  pen.at += text.len;
  return pen;
}

/* Fields that follow each other, with `ends` ends of lines between them. */
static inline struct pen put_lines(struct pen pen, struct str text, size_t ends) {
  if (ends == 0) return put(pen, text);
  size_t found = grammar_copy(pen.at, text);
  if (__builtin_expect(found != 2 * ends, false))
    pen.is_unsafe |= !grammar_has_controls(text.ptr, text.len, 2 * ends);
  pen.at += text.len;
  return pen;
}

static inline struct pen put_literal(struct pen pen, struct str text) {
  memcpy(pen.at, text.ptr, text.len);
  pen.at += text.len;
  return pen;
}
#define PUT(pen, literal) put_literal(pen, STR(literal))

/* Is each control character but tabs one of an end of a line? */
static __attribute__((unused)) bool is_sound(struct str head) {
  for (size_t i = 0; i < head.len; i++) {
    unsigned char c = (unsigned char)head.ptr[i];
    if (c == '\r' && i + 1 < head.len && head.ptr[i + 1] == '\n')
      i++;
    else if (c < 0x20 && c != '\t')
      return false;
  }
  return true;
}

/* Of `bound` bytes at most. */
static struct str finished(const char *start, struct pen pen, size_t bound) {
  struct str head = {start, (size_t)(pen.at - start)};
  CHECK(head.len <= bound);
  CHECK(pen.is_unsafe || is_sound(head));
  (void)bound;
  return pen.is_unsafe ? (struct str){0} : head;
}

static struct pen put_number(struct pen pen, uint64_t number) {
  char digits[NUMBER_DIGITS], *end = digits + sizeof digits, *at = number_digits(number, end);
  while (at < end) *pen.at++ = *at++;
  return pen;
}

static struct pen put_field(struct pen pen, struct str name, struct str value) {
  pen = PUT(put(pen, name), ": ");
  return PUT(put(pen, value), "\r\n");
}

/* HTTP/1.1 asks for one Host in every request, also where an HTTP/1.0 client sent none (RFC 9112 section 3.2). */
struct str writer_request(struct arena *arena, const struct request *request, struct body body,
                          const struct writer_hop *hop) {
  unsigned hosts;
  size_t bound = bound_of(&request->headers, hop, &hosts);
  if (hosts > 1) return (struct str){0};
  bound += request->method_name.len + request->target.len + request->authority.len;
  char *start = arena_alloc(arena, bound);
  struct pen pen = PUT(put((struct pen){start, false}, request->method_name), " ");
  pen = PUT(put(pen, request->target), " HTTP/1.1\r\n");
  if (!hosts) pen = put_field(pen, STR("Host"), request->authority);
  pen = put_fields(pen, &request->headers);
  pen = put_hop(put_framing(pen, body), hop);
  return finished(start, PUT(pen, "\r\n"), bound);
}

static bool is_bodiless(unsigned status) { return status < 200 || status == 204; }

struct str writer_response(struct arena *arena, const struct response *response, struct body body,
                           const struct writer_hop *hop) {
  struct str reason = response->reason.len ? response->reason : status_reason(response->status);
  unsigned unwanted;
  size_t bound = reason.len + bound_of(&response->headers, hop, &unwanted);
  char *start = arena_alloc(arena, bound);
  struct pen pen = PUT(((struct pen){start, false}), "HTTP/1.1 ");
  pen = PUT(put_number(pen, response->status), " ");
  pen = PUT(put(pen, reason), "\r\n");
  pen = put_fields(pen, &response->headers);
  if (!is_bodiless(response->status)) pen = put_framing(pen, body);
  return finished(start, PUT(put_hop(pen, hop), "\r\n"), bound);
}

struct str writer_trailers(struct arena *arena, const struct headers *trailers) {
  static const struct headers none;
  static const struct writer_hop no_hop;
  if (!trailers) trailers = &none;
  unsigned unwanted;
  size_t bound = bound_of(trailers, &no_hop, &unwanted);
  char *start = arena_alloc(arena, bound);
  struct pen pen = put_fields((struct pen){start, false}, trailers);
  return finished(start, PUT(pen, "\r\n"), bound);
}

/* No less than fields and hop need; the rest is for the fixed text: first line, the longest framing field,
 * Connection. In passing, how many Hosts there are. */
static size_t bound_of(const struct headers *headers, const struct writer_hop *hop, unsigned *hosts) {
  enum { FIXED_BYTES = 256, LINE_BYTES = sizeof ": \r\n" - 1 };
  size_t bytes = FIXED_BYTES + hop->upgrade.len + headers->count * LINE_BYTES;
  *hosts = 0;
  for (unsigned i = 0; i < headers->count; i++) {
    const struct field *field = &headers->items[i];
    bytes += field->name.len + field->value.len;
    *hosts += field->id == FIELD_HOST;
  }
  return bytes;
}

/* Is it the next text in the same bytes, with only `between` before it? */
static inline bool follows(struct str text, struct str before, const char between[2]) {
  uintptr_t end = (uintptr_t)before.ptr + before.len; /* one that is empty may have no place */
  return (uintptr_t)text.ptr == end + 2 && memcmp(before.ptr + before.len, between, 2) == 0;
}

static inline bool is_in_one_piece(const struct field *field) {
  return follows(field->value, field->name, ": ");
}

/* Fields that lie one behind the other, as they were received, are copied in one piece. */
static struct pen put_fields(struct pen pen, const struct headers *headers) {
  if (headers->count == 0) return pen;
  const struct field *field = headers->items, *end = field + headers->count;
  uint32_t left_out = headers->present & FRAMING_HOP_FIELDS;
  for (; field < end; field++) {
    const struct field *first = field;
    if (left_out && framing_is_hop_field(field->id)) continue;
    if (!is_in_one_piece(field)) {
      pen = put_field(pen, field->name, field->value);
      continue;
    }
    while (field + 1 < end && follows(field[1].name, field->value, "\r\n") && is_in_one_piece(field + 1) &&
           !(left_out && framing_is_hop_field(field[1].id)))
      field++;
    size_t bytes = (size_t)(field->value.ptr + field->value.len - first->name.ptr);
    pen = PUT(put_lines(pen, (struct str){first->name.ptr, bytes}, (size_t)(field - first)), "\r\n");
  }
  return pen;
}

static struct pen put_framing(struct pen pen, struct body body) {
  switch (body.framing) {
  case FRAMING_LENGTH: pen = put_number(PUT(pen, "Content-Length: "), body.length); return PUT(pen, "\r\n");
  case FRAMING_CHUNKED: return PUT(pen, "Transfer-Encoding: chunked\r\n");
  case FRAMING_NONE:
  case FRAMING_CLOSE:
  case FRAMING_TUNNEL: break;
  }
  return pen;
}

/* Each option with a comma behind it; the last comma becomes the line's end. */
static struct pen put_hop(struct pen pen, const struct writer_hop *hop) {
  bool upgrades = hop->upgrade.len > 0;
  if (hop->te_trailers) pen = PUT(pen, "TE: trailers\r\n");
  if (upgrades) pen = put_field(pen, STR("Upgrade"), hop->upgrade);
  if (!hop->close && !hop->keep_alive && !hop->te_trailers && !upgrades) return pen;
  pen = PUT(pen, "Connection: ");
  if (hop->close)
    pen = PUT(pen, "close, ");
  else if (hop->keep_alive)
    pen = PUT(pen, "keep-alive, ");
  if (upgrades) pen = PUT(pen, "upgrade, ");
  if (hop->te_trailers) pen = PUT(pen, "TE, ");
  pen.at -= sizeof ", " - 1;
  return PUT(pen, "\r\n");
}
