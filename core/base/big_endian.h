// SPDX-License-Identifier: Apache-2.0
// big_endian: numbers as networks have them, the highest byte first, at any address.
#ifndef PERILUNE_BASE_BIG_ENDIAN_H
#define PERILUNE_BASE_BIG_ENDIAN_H

#include <stdint.h>

static inline uint16_t big_endian_16(const void *bytes) {
  const unsigned char *at = bytes;
  return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t big_endian_24(const void *bytes) {
  const unsigned char *at = bytes;
  return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
}

static inline uint32_t big_endian_32(const void *bytes) {
  const unsigned char *at = bytes;
  return (uint32_t)at[0] << 24 | big_endian_24(at + 1);
}

static inline void big_endian_put_24(void *to, uint32_t number) {
  unsigned char *at = to;
  for (int i = 2; i >= 0; i--, number >>= 8) at[i] = (unsigned char)number;
}

static inline void big_endian_put_32(void *to, uint32_t number) {
  unsigned char *at = to;
  for (int i = 3; i >= 0; i--, number >>= 8) at[i] = (unsigned char)number;
}

#endif
