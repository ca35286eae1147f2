// SPDX-License-Identifier: Apache-2.0
// writer: heads in one piece of arena memory, whose size is bounded first, so that the bytes are copied once.
// Fields of one hop are never taken from a message's list, even if a policy put them there: only `body` and
// `hop` speak of the hop.
//
// This is the one gate of all heads. Whoever made a method, a target, a reason, a name or a value has checked it; but
// one that forgot would let its client write fields, or a request, of its own. So control characters are counted while
// each part is copied: there is none in a part, but for the ends of lines between fields that are copied in one piece.
#include "http/writer.h"

#include "base/check.h"
#include "http/framing.h"
#include "http/grammar.h"

struct pen {
  char *start, *at; /* the next byte goes to `at` */
  size_t bound;     /* bytes from the start */
  size_t lines;     /* that have been ended so far */
  size_t controls;  /* what was found in parts; tabs are told from the others at the end, for they are rare */
  uint64_t low;     /* the same of short parts: the highest bits of bytes are set */
};

static size_t bound_of(const struct headers *headers, const struct writer_hop *hop, unsigned *hosts);
static void put_fields(struct pen *pen, const struct headers *headers);
static void put_framing(struct pen *pen, struct body body);
static void put_hop(struct pen *pen, const struct writer_hop *hop);

static struct pen new_pen(struct arena *arena, size_t bound) {
  char *start = arena_alloc(arena, bound);
  return (struct pen){.start = start, .at = start, .bound = bound};
}

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* Bytes below 0x20 leave their highest bit; there may be such a bit too many, but only where there is one rightly. */
static inline uint64_t low_in(uint64_t word) { return (word - EACH_BYTE(0x20)) & ~word; }

/* Two words that may overlap, of as many bytes each. */
static inline __attribute__((always_inline)) void put_words(struct pen *pen, char *to, struct str text,
                                                            size_t bytes) {
  uint64_t first = EACH_BYTE(' '), last = EACH_BYTE(' ');
  memcpy(&first, text.ptr, bytes);
  memcpy(&last, text.ptr + text.len - bytes, bytes);
  memcpy(to, &first, bytes);
  memcpy(to + text.len - bytes, &last, bytes);
  pen->low |= low_in(first) | low_in(last);
}

/* Most parts are short: words take less than a loop. */
static __attribute__((noinline)) void put(struct pen *pen, struct str text) {
  char *to = pen->at;
  pen->at += text.len;
  if (text.len >= 16)
    pen->controls += grammar_copy(to, text);
  else if (text.len >= 8)
    put_words(pen, to, text, 8);
  else if (text.len >= 4)
    put_words(pen, to, text, 4);
  else if (text.len >= 2)
    put_words(pen, to, text, 2);
  else if (text.len)
    put_words(pen, to, text, 1);
}

/* Of fields that follow each other, `lines` ends of lines are in it. */
static void put_lines(struct pen *pen, struct str text, size_t lines) {
  pen->controls += grammar_copy(pen->at, text) - 2 * lines;
  pen->at += text.len;
  pen->lines += lines;
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
  bool is_clean = !pen->controls && !(pen->low & EACH_BYTE(0x80));
  CHECK(head.len <= pen->bound && pen->lines > 0);
  CHECK(!is_clean || grammar_has_controls(head.ptr, head.len, 2 * pen->lines));
  return is_clean || grammar_has_controls(head.ptr, head.len, 2 * pen->lines) ? head : (struct str){0};
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
  unsigned hosts;
  size_t bound = bound_of(&request->headers, hop, &hosts);
  if (hosts > 1) return (struct str){0};
  bound += request->method_name.len + request->target.len + request->authority.len;
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
  unsigned unwanted;
  struct pen pen = new_pen(arena, reason.len + bound_of(&response->headers, hop, &unwanted));
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
  unsigned unwanted;
  struct pen pen = new_pen(arena, bound_of(trailers, &no_hop, &unwanted));
  put_fields(&pen, trailers);
  end_line(&pen);
  return finished(&pen);
}

/* No less than fields and hop need; the rest is for the fixed text: first line, the longest framing field,
 * Connection. In passing, how many Hosts there are. */
static size_t bound_of(const struct headers *headers, const struct writer_hop *hop, unsigned *hosts) {
  enum { FIXED_BYTES = 256 };
  size_t bytes = FIXED_BYTES + hop->upgrade.len;
  *hosts = 0;
  for (unsigned i = 0; i < headers->count; i++) {
    const struct field *field = &headers->items[i];
    bytes += field->name.len + field->value.len + sizeof ": \r\n" - 1;
    *hosts += field->id == FIELD_HOST;
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
    size_t bytes = (size_t)(field->value.ptr + field->value.len - first->name.ptr);
    put_lines(pen, (struct str){first->name.ptr, bytes}, (size_t)(field - first));
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
