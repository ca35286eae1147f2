// SPDX-License-Identifier: Apache-2.0
// writer: heads in one piece of arena memory, whose size is bounded first, so that the bytes are copied once.
// Fields of one hop are never taken from a message's list, even if a policy put them there: only `body` and
// `hop` speak of the hop.
//
// This is the one gate of all heads. Whoever made a method, a target, a reason, a name or a value has checked it; but
// one that forgot would let its client write fields, or a request, of its own. So the finished head is counted: each
// line that was written here ends in one CR and one LF, and any control character beyond these came with a part.
#include "http/writer.h"

#include "base/check.h"
#include "http/framing.h"
#include "http/grammar.h"

/* Where the next byte goes, and how many lines have been ended so far. */
struct pen {
  char *start, *at;
  size_t lines;
  size_t bound; /* bytes from the start */
};

static size_t bound_of(const struct headers *headers, const struct writer_hop *hop);
static void put_fields(struct pen *pen, const struct headers *headers);
static void put_framing(struct pen *pen, struct body body);
static void put_hop(struct pen *pen, const struct writer_hop *hop);

static struct pen new_pen(struct arena *arena, size_t bound) {
  char *start = arena_alloc(arena, bound);
  return (struct pen){start, start, 0, bound};
}

/* Most texts are short: two words that may overlap take less than a call of memcpy. */
static __attribute__((noinline)) void put(struct pen *pen, struct str text) {
  char *to = pen->at;
  pen->at += text.len;
  if (text.len > 32) {
    memcpy(to, text.ptr, text.len);
  } else if (text.len >= 16) {
    memcpy(to, text.ptr, 16);
    memcpy(to + text.len - 16, text.ptr + text.len - 16, 16);
  } else if (text.len >= 8) {
    memcpy(to, text.ptr, 8);
    memcpy(to + text.len - 8, text.ptr + text.len - 8, 8);
  } else if (text.len >= 4) {
    memcpy(to, text.ptr, 4);
    memcpy(to + text.len - 4, text.ptr + text.len - 4, 4);
  } else {
    for (size_t i = 0; i < text.len; i++) to[i] = text.ptr[i];
  }
}

static inline void put_literal(struct pen *pen, struct str text) {
  memcpy(pen->at, text.ptr, text.len);
  pen->at += text.len;
}
#define PUT(pen, literal) put_literal(pen, STR(literal))

/* The one way to end a line. */
static inline void end_line(struct pen *pen) {
  PUT(pen, "\r\n");
  pen->lines++;
}

/* The head, if all its control characters (but tabs) are the ends of its lines. */
static struct str finished(const struct pen *pen) {
  struct str head = {pen->start, (size_t)(pen->at - pen->start)};
  CHECK(head.len <= pen->bound && pen->lines > 0);
  return grammar_has_controls(head.ptr, head.len, 2 * pen->lines) ? head : (struct str){0};
}

static void put_number(struct pen *pen, uint64_t number) {
  char digits[20], *end = digits + sizeof digits, *at = end;
  do *--at = (char)('0' + number % 10);
  while (number /= 10);
  put(pen, (struct str){at, (size_t)(end - at)});
}

static void put_field(struct pen *pen, struct str name, struct str value) {
  put(pen, name);
  PUT(pen, ": ");
  put(pen, value);
  end_line(pen);
}

/* HTTP/1.1 asks for one Host in every request, also where an HTTP/1.0 client sent none (RFC 9112 section 3.2). */
struct str writer_request(struct arena *arena, const struct request *request, struct body body,
                          const struct writer_hop *hop) {
  size_t bound = request->method_name.len + request->target.len + request->authority.len;
  unsigned hosts = headers_count_id(&request->headers, FIELD_HOST);
  if (hosts > 1) return (struct str){0};
  bound += bound_of(&request->headers, hop);
  struct pen pen = new_pen(arena, bound);
  put(&pen, request->method_name);
  PUT(&pen, " ");
  put(&pen, request->target);
  PUT(&pen, " HTTP/1.1");
  end_line(&pen);
  if (!hosts) put_field(&pen, STR("Host"), request->authority);
  put_fields(&pen, &request->headers);
  put_framing(&pen, body);
  put_hop(&pen, hop);
  end_line(&pen);
  return finished(&pen);
}

static bool is_bodiless(unsigned status) { return status < 200 || status == 204; }

struct str writer_response(struct arena *arena, const struct response *response, struct body body,
                           const struct writer_hop *hop) {
  struct str reason = response->reason.len ? response->reason : status_reason(response->status);
  struct pen pen = new_pen(arena, reason.len + bound_of(&response->headers, hop));
  PUT(&pen, "HTTP/1.1 ");
  put_number(&pen, response->status);
  PUT(&pen, " ");
  put(&pen, reason);
  end_line(&pen);
  put_fields(&pen, &response->headers);
  if (!is_bodiless(response->status)) put_framing(&pen, body);
  put_hop(&pen, hop);
  end_line(&pen);
  return finished(&pen);
}

struct str writer_trailers(struct arena *arena, const struct headers *trailers) {
  static const struct headers none;
  static const struct writer_hop no_hop;
  if (!trailers) trailers = &none;
  struct pen pen = new_pen(arena, bound_of(trailers, &no_hop));
  put_fields(&pen, trailers);
  end_line(&pen);
  return finished(&pen);
}

/* No less than fields and hop need; the rest is for the fixed text: first line, the longest framing field,
 * Connection. */
static size_t bound_of(const struct headers *headers, const struct writer_hop *hop) {
  enum { FIXED_BYTES = 256 };
  size_t bytes = FIXED_BYTES + hop->upgrade.len;
  for (unsigned i = 0; i < headers->count; i++) {
    const struct field *field = &headers->items[i];
    bytes += field->name.len + field->value.len + sizeof ": \r\n" - 1;
  }
  return bytes;
}

/* Is it the next text in the same bytes, with only `between` before it? */
static inline bool follows(struct str text, struct str before, const char between[2]) {
  return text.ptr == before.ptr + before.len + 2 && memcmp(before.ptr + before.len, between, 2) == 0;
}

static inline bool is_as_received(const struct field *field) {
  return follows(field->value, field->name, ": ") && !framing_is_hop_field(field->id);
}

/* Fields that still lie as they were received, one behind the other, are copied in one piece. */
static void put_fields(struct pen *pen, const struct headers *headers) {
  if (headers->count == 0) return;
  const struct field *field = headers->items, *end = field + headers->count;
  for (; field < end; field++) {
    const struct field *first = field;
    if (!is_as_received(field)) {
      if (!framing_is_hop_field(field->id)) put_field(pen, field->name, field->value);
      continue;
    }
    while (field + 1 < end && follows(field[1].name, field->value, "\r\n") && is_as_received(field + 1))
      field++;
    put(pen, (struct str){first->name.ptr, (size_t)(field->value.ptr + field->value.len - first->name.ptr)});
    pen->lines += (size_t)(field - first);
    end_line(pen);
  }
}

static void put_framing(struct pen *pen, struct body body) {
  switch (body.framing) {
  case FRAMING_LENGTH:
    PUT(pen, "Content-Length: ");
    put_number(pen, body.length);
    end_line(pen);
    return;
  case FRAMING_CHUNKED:
    PUT(pen, "Transfer-Encoding: chunked");
    end_line(pen);
    return;
  case FRAMING_NONE:
  case FRAMING_CLOSE:
  case FRAMING_TUNNEL: return;
  }
}

/* Each option with a comma behind it; the last comma becomes the line's end. */
static void put_hop(struct pen *pen, const struct writer_hop *hop) {
  bool upgrades = hop->upgrade.len > 0;
  if (hop->te_trailers) put_field(pen, STR("TE"), STR("trailers"));
  if (upgrades) put_field(pen, STR("Upgrade"), hop->upgrade);
  if (!hop->close && !hop->keep_alive && !hop->te_trailers && !upgrades) return;
  PUT(pen, "Connection: ");
  if (hop->close)
    PUT(pen, "close, ");
  else if (hop->keep_alive)
    PUT(pen, "keep-alive, ");
  if (upgrades) PUT(pen, "upgrade, ");
  if (hop->te_trailers) PUT(pen, "TE, ");
  pen->at -= sizeof ", " - 1;
  end_line(pen);
}
