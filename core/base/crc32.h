// SPDX-License-Identifier: Apache-2.0
// crc32: the checksum of IEEE 802.3, gzip and zip, for keys and ids. It takes four bits at a time, with a small table:
// no body goes through here.
#ifndef PERILUNE_BASE_CRC32_H
#define PERILUNE_BASE_CRC32_H

#include <stdint.h>

#include "base/str.h"

static inline uint32_t crc32_of(struct str text) {
  static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                     0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                     0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
  uint32_t crc = 0xffffffff;
  for (size_t i = 0; i < text.len; i++) {
    crc ^= (unsigned char)text.ptr[i];
    crc = crc >> 4 ^ table[crc & 15];
    crc = crc >> 4 ^ table[crc & 15];
  }
  return ~crc;
}

#endif
