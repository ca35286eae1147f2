// SPDX-License-Identifier: Apache-2.0
// span_attributes: pairs of a key and a value, as OTLP wants them, written behind each other into room of the caller's.
// For trace_encode.c alone: a span has a dozen, so what is always the same of one is no call. What does not fit is left
// out and counted (base/protobuf.h).
#ifndef PERILUNE_EXCHANGE_SPAN_ATTRIBUTES_H
#define PERILUNE_EXCHANGE_SPAN_ATTRIBUTES_H

#include "base/escape.h"
#include "base/protobuf.h"
#include "exchange/trace.h"

/* Numbers of fields: of Span, KeyValue and AnyValue. */
enum { ATTRIBUTES = 9, KEY = 1, VALUE = 2, ANY_STRING = 1, ANY_BOOL, ANY_INT };
enum {
  TEXT_MOST = 256,
  SHORT_HEAD = 8,
  SHORT_MOST = 2 + 127
}; /* of a pair whose lengths have one byte each */

/* `any` is an AnyValue, but for the text behind it. */
static inline void put_attribute(struct protobuf *p, struct str key, struct str any, struct str text) {
  size_t value = any.len + text.len, pair = protobuf_field_size(key.len) + protobuf_field_size(value);
  if (!protobuf_fits(p, protobuf_field_size(pair))) return;
  protobuf_head(p, ATTRIBUTES, pair);
  protobuf_field(p, KEY, key);
  protobuf_head(p, VALUE, value);
  protobuf_raw(p, any.ptr, any.len);
  protobuf_raw(p, text.ptr, text.len);
}

static inline bool is_ascii(struct str text) {
  uint64_t seen = 0, word;
  size_t at = 0;
  for (; at + sizeof word <= text.len; at += sizeof word) {
    memcpy(&word, text.ptr + at, sizeof word);
    seen |= word;
  }
  for (; at < text.len; at++) seen |= (unsigned char)text.ptr[at];
  return !(seen & UINT64_C(0x8080808080808080));
}

/* Cut, and UTF-8. */
static inline struct str cleaned(struct str text, char room[TEXT_MOST]) {
  if (text.len > TEXT_MOST) text.len = TEXT_MOST;
  if (is_ascii(text)) return text;
  return (struct str){room, escape_utf8(room, TEXT_MOST, text)};
}

/* A span, and where it is written. */
struct out {
  struct protobuf p;
  const struct span *span;
};

/* What the policy has set, or taken away, stands in the place of ours. */
static inline bool is_replaced(const struct out *o, struct str key) {
  return o->span->attributes && span_attribute(o->span, key);
}

/* One that is long, or not ASCII. */
static __attribute__((cold, noinline)) void put_odd_text(struct out *o, struct str key, struct str text) {
  char room[TEXT_MOST], any[PROTOBUF_HEAD];
  struct protobuf head = {any, any + sizeof any, 0};
  text = cleaned(text, room);
  protobuf_head(&head, ANY_STRING, text.len);
  put_attribute(&o->p, key, (struct str){any, (size_t)(head.at - any)}, text);
}

/* Its first and its last bytes, which may overlap. */
static inline bool copy_short_ascii(char *to, struct str text) {
  uint32_t first = 0, last = 0;
  if (text.len >= 4) {
    memcpy(&first, text.ptr, 4);
    memcpy(&last, text.ptr + text.len - 4, 4);
    memcpy(to, &first, 4);
    memcpy(to + text.len - 4, &last, 4);
    return !((first | last) & UINT32_C(0x80808080));
  }
  for (size_t at = 0; at < text.len; at++) first |= (unsigned char)(to[at] = text.ptr[at]);
  return !(first & 0x80);
}

/* Of 8 bytes or more the last word may overlap the one before it. False: it is not ASCII. */
static inline bool copy_ascii(char *to, struct str text) {
  uint64_t seen = 0, word;
  if (text.len < sizeof word) return copy_short_ascii(to, text);
  for (size_t at = 0, last = text.len - sizeof word;;
       at = at + sizeof word < last ? at + sizeof word : last) {
    memcpy(&word, text.ptr + at, sizeof word);
    memcpy(to + at, &word, sizeof word);
    seen |= word;
    if (at == last) return !(seen & UINT64_C(0x8080808080808080));
  }
}

/* What goes before the value in a pair of less than 128 bytes: a length has one byte then. The key is known to the
 * compiler. */
static inline __attribute__((always_inline)) char *put_key(char *at, struct str key, size_t any) {
  at[0] = ATTRIBUTES << 3 | PROTOBUF_BYTES;
  at[1] = (char)(2 + key.len + 2 + any);
  at[2] = KEY << 3 | PROTOBUF_BYTES;
  at[3] = (char)key.len;
  memcpy(at + 4, key.ptr, key.len);
  at[4 + key.len] = VALUE << 3 | PROTOBUF_BYTES;
  at[5 + key.len] = (char)any;
  return at + 6 + key.len;
}

/* Each span has a dozen: what is always the same is no call. */
static inline __attribute__((always_inline)) void put_text(struct out *o, struct str key, struct str text) {
  if (!text.len || is_replaced(o, key)) return;
  size_t bytes = SHORT_HEAD + key.len + text.len;
  if (bytes <= SHORT_MOST && (size_t)(o->p.end - o->p.at) >= bytes) {
    char *at = put_key(o->p.at, key, 2 + text.len);
    at[0] = ANY_STRING << 3 | PROTOBUF_BYTES;
    at[1] = (char)text.len;
    if (__builtin_expect(copy_ascii(at + 2, text), true)) {
      o->p.at = at + 2 + text.len;
      return;
    }
  }
  put_odd_text(o, key, text);
}

static __attribute__((cold, noinline)) void put_long_number(struct out *o, struct str key, unsigned kind,
                                                            uint64_t number) {
  char any[PROTOBUF_HEAD];
  struct protobuf head = {any, any + sizeof any, 0};
  protobuf_tag(&head, kind, PROTOBUF_VARINT);
  protobuf_number(&head, number);
  put_attribute(&o->p, key, (struct str){any, (size_t)(head.at - any)}, (struct str){0});
}

static inline __attribute__((always_inline)) void put_number(struct out *o, struct str key, unsigned kind,
                                                             uint64_t number) {
  size_t digits = number < 0x80 ? 1 : number < 0x4000 ? 2 : 3;
  if (is_replaced(o, key)) return;
  if (number >= 0x200000 || (size_t)(o->p.end - o->p.at) < SHORT_HEAD + key.len + digits) {
    put_long_number(o, key, kind, number);
    return;
  }
  char *at = put_key(o->p.at, key, 1 + digits);
  *at++ = (char)(kind << 3 | PROTOBUF_VARINT);
  if (digits > 1) *at++ = (char)(number | 0x80);
  if (digits > 2) *at++ = (char)(number >> 7 | 0x80);
  *at++ = (char)(number >> 7 * (digits - 1));
  o->p.at = at;
}

static inline void put_flag(struct out *o, struct str key) { put_number(o, key, ANY_BOOL, 1); }

static inline void put_own(struct out *o) {
  for (const struct span_attribute *at = o->span->attributes; at; at = at->next)
    if (at->value.len) put_attribute(&o->p, at->key, at->value, (struct str){0});
}

#endif
