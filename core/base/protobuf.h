// SPDX-License-Identifier: Apache-2.0
// protobuf: writes messages of Protocol Buffers into room of the caller's. What does not fit is left out whole, and
// counted: what stands there is a message in any case.
#ifndef PERILUNE_BASE_PROTOBUF_H
#define PERILUNE_BASE_PROTOBUF_H

#include <endian.h>
#include <stdint.h>

#include "base/str.h"

enum protobuf_wire { PROTOBUF_VARINT = 0, PROTOBUF_FIXED64 = 1, PROTOBUF_BYTES = 2, PROTOBUF_FIXED32 = 5 };

struct protobuf {
  char *at, *end;  /* borrowed */
  unsigned missed; /* pieces that did not fit */
};

/* Is there room for so many bytes? Else it counts. */
static inline bool protobuf_fits(struct protobuf *p, size_t bytes) {
  if (__builtin_expect((size_t)(p->end - p->at) >= bytes, true)) return true;
  p->missed++;
  return false;
}

static inline size_t protobuf_size(uint64_t number) {
  size_t bytes = 1;
  while (number >>= 7) bytes++;
  return bytes;
}

/* What follows has been found to fit. Numbers of fields are at most 15 where nothing else is said. */
static inline void protobuf_number(struct protobuf *p, uint64_t number) {
  for (; number >= 0x80; number >>= 7) *p->at++ = (char)(number | 0x80);
  *p->at++ = (char)number;
}
static inline void protobuf_tag(struct protobuf *p, unsigned field, enum protobuf_wire wire) {
  protobuf_number(p, field << 3 | wire);
}
static inline void protobuf_raw(struct protobuf *p, const void *bytes, size_t length) {
  if (length) memcpy(p->at, bytes, length);
  p->at += length;
}
/* What goes before so many bytes of a field. */
static inline void protobuf_head(struct protobuf *p, unsigned field, size_t length) {
  protobuf_tag(p, field, PROTOBUF_BYTES);
  protobuf_number(p, length);
}
/* A field with its head; and how long it is. */
static inline void protobuf_field(struct protobuf *p, unsigned field, struct str bytes) {
  protobuf_head(p, field, bytes.len);
  protobuf_raw(p, bytes.ptr, bytes.len);
}
static inline size_t protobuf_field_size(size_t length) { return 1 + protobuf_size(length) + length; }

enum { PROTOBUF_HEAD = 12 }; /* a tag of two bytes, and a number */

static inline void protobuf_put_number(struct protobuf *p, unsigned field, uint64_t number) {
  if (!protobuf_fits(p, PROTOBUF_HEAD)) return;
  protobuf_tag(p, field, PROTOBUF_VARINT);
  protobuf_number(p, number);
}
static inline void protobuf_put_fixed64(struct protobuf *p, unsigned field, uint64_t number) {
  uint64_t bytes = htole64(number);
  if (!protobuf_fits(p, PROTOBUF_HEAD)) return;
  protobuf_tag(p, field, PROTOBUF_FIXED64);
  protobuf_raw(p, &bytes, sizeof bytes);
}
static inline void protobuf_put_fixed32(struct protobuf *p, unsigned field, uint32_t number) {
  uint32_t bytes = htole32(number);
  if (!protobuf_fits(p, PROTOBUF_HEAD)) return;
  protobuf_tag(p, field, PROTOBUF_FIXED32);
  protobuf_raw(p, &bytes, sizeof bytes);
}
static inline void protobuf_put_bytes(struct protobuf *p, unsigned field, struct str bytes) {
  if (!protobuf_fits(p, PROTOBUF_HEAD + bytes.len)) return;
  protobuf_field(p, field, bytes);
}

#endif
