// SPDX-License-Identifier: Apache-2.0
// headers: an ordered list of fields, as received, with repeated ones kept. Names compare without case.
// Fields that the proxy itself uses have a number (enum field_id), which is found once when they are parsed, so
// a lookup compares integers; other fields are looked up by text. Memory: the array, and fields that are set
// later, come from the arena given at init; the text of parsed fields is borrowed from the head's bytes, which
// live as long.
#ifndef PERILUNE_HTTP_HEADERS_H
#define PERILUNE_HTTP_HEADERS_H

#include "base/arena.h"
#include "base/check.h"
#include "base/str.h"

/* X(ID, "lower-case name"): the fields with a number: those that the proxy itself asks for, and a few that most
 * messages have, whose names then need not be looked at byte for byte. To add one: a line here, and its usual
 * spelling. */
#define FIELD_TABLE(X)                                                                                       \
  X(HOST, "host")                                                                                            \
  X(CONNECTION, "connection")                                                                                \
  X(CONTENT_LENGTH, "content-length")                                                                        \
  X(TRANSFER_ENCODING, "transfer-encoding")                                                                  \
  X(KEEP_ALIVE, "keep-alive")                                                                                \
  X(PROXY_CONNECTION, "proxy-connection")                                                                    \
  X(TE, "te")                                                                                                \
  X(TRAILER, "trailer")                                                                                      \
  X(UPGRADE, "upgrade")                                                                                      \
  X(EXPECT, "expect")                                                                                        \
  X(DATE, "date")                                                                                            \
  X(VIA, "via")                                                                                              \
  X(FORWARDED, "forwarded")                                                                                  \
  X(X_FORWARDED_FOR, "x-forwarded-for")                                                                      \
  X(X_FORWARDED_PROTO, "x-forwarded-proto")                                                                  \
  X(X_FORWARDED_HOST, "x-forwarded-host")                                                                    \
  X(PROXY_AUTHENTICATE, "proxy-authenticate")                                                                \
  X(PROXY_AUTHORIZATION, "proxy-authorization")                                                              \
  X(PROXY_AUTHENTICATION_INFO, "proxy-authentication-info")                                                  \
  X(MAX_FORWARDS, "max-forwards")                                                                            \
  X(COOKIE, "cookie")                                                                                        \
  X(USER_AGENT, "user-agent")                                                                                \
  X(REFERER, "referer")                                                                                      \
  X(HTTP2_SETTINGS, "http2-settings")                                                                        \
  X(ACCEPT, "accept")                                                                                        \
  X(CONTENT_TYPE, "content-type")                                                                            \
  X(TRACEPARENT, "traceparent")                                                                              \
  X(TRACESTATE, "tracestate")

enum field_id {
  FIELD_OTHER,
#define X(id, name) FIELD_##id,
  FIELD_TABLE(X)
#undef X
      FIELD_COUNT
};

struct field {
  struct str name, value; /* name as received or set, value without surrounding OWS */
  enum field_id id;
  bool is_set;       /* by the policy; else received, or added by the proxy */
  bool is_sensitive; /* never to be indexed by HPACK (RFC 7541 section 7.1.3) */
  bool is_checked;   /* it came by HTTP/2: a token in lower case, and text */
};

struct headers {
  struct field *items; /* arena */
  unsigned count, cap;
  uint32_t present;    /* a bit per field_id: where it is off there is no such field */
  struct arena *arena; /* borrowed; outlives the headers */
};

/* The number of a field name, FIELD_OTHER where it has none. */
enum field_id field_id(struct str name);
/* The names of numbered fields in their usual spelling ("X-Forwarded-For"), in the order of FIELD_TABLE. */
extern const struct str field_names[];
/* id must not be FIELD_OTHER. */
static inline struct str field_name(enum field_id id) { return field_names[id]; }
/* token (RFC 9110 section 5.6.2), at least one byte. */
bool field_name_is_valid(struct str name);
/* No control characters but tab, no NUL, CR, LF, DEL; obs-text allowed (RFC 9110 section 5.5). */
bool field_value_is_valid(struct str value);

void headers_init(struct headers *h, struct arena *arena);
/* Adds it before all others. */
void headers_add_first(struct headers *h, struct field field);
/* Deep enough to change `to` without changing `from`: the array is copied, the text is shared. */
void headers_copy(struct headers *to, const struct headers *from, struct arena *arena);

/* The first field of that name, NULL where there is none. Valid until the next change of the headers. */
const struct field *headers_find(const struct headers *h, struct str name);
/* Looks at the list. */
const struct field *headers_search_id(const struct headers *h, enum field_id id);
/* No look at the list: false is certain, true may be stale after a removal. */
static inline bool headers_may_have(const struct headers *h, enum field_id id) {
  return (h->present >> id & 1) != 0;
}
static inline const struct field *headers_find_id(const struct headers *h, enum field_id id) {
  return headers_may_have(h, id) ? headers_search_id(h, id) : NULL;
}
/* How many there are of that number. */
unsigned headers_count_id(const struct headers *h, enum field_id id);
/* The next field of that name at or behind index *at, which is moved behind it; NULL at the end. Start with
 * 0. */
const struct field *headers_next(const struct headers *h, struct str name, unsigned *at);

/* Members of a repeated list field in order; start with *at = 0 and *rest zeroed. False at the end. */
bool headers_next_member(const struct headers *h, enum field_id id, unsigned *at, struct str *rest,
                         struct str *member);

/* For headers_add_field: makes room. */
void headers_grow(struct headers *h);
/* Appends a field whose number is known. */
static inline void headers_add_field(struct headers *h, struct str name, struct str value, enum field_id id) {
  if (__builtin_expect(h->count == h->cap, false)) headers_grow(h);
  h->items[h->count++] = (struct field){.name = name, .value = value, .id = id};
  h->present |= UINT32_C(1) << id;
}

/* Appends. Name and value are borrowed and must live as long as the arena (arena_dup them otherwise), and be
 * valid (field_name_is_valid, field_value_is_valid): the caller checks, this asserts nothing. */
void headers_add(struct headers *h, struct str name, struct str value);
void headers_add_id(struct headers *h, enum field_id id, struct str value);
/* The same of a line, "Name: value" with the usual spelling of the name: the writer copies it in one piece. */
static inline void headers_add_line(struct headers *h, enum field_id id, struct str line) {
  struct str name = {line.ptr, field_name(id).len};
  CHECK(str_equal(name, field_name(id)) && memcmp(line.ptr + name.len, ": ", 2) == 0);
  headers_add_field(h, name, (struct str){line.ptr + name.len + 2, line.len - name.len - 2}, id);
}
/* Replaces the first field of that name in its place and removes the others; appends where there is none. */
void headers_set_id(struct headers *h, enum field_id id, struct str value);
/* The same for a name whose number is known, or that has none. */
void headers_set_field(struct headers *h, struct field field);
/* Remove all of that name; returns how many there were. */
unsigned headers_remove(struct headers *h, struct str name);
unsigned headers_remove_id(struct headers *h, enum field_id id);

#endif
