// SPDX-License-Identifier: Apache-2.0
// h2_huffman: the code in which texts of HPACK may come (RFC 7541 section 5.2, appendix B). We read it, and write none.
#ifndef PERILUNE_HTTP_H2_HUFFMAN_H
#define PERILUNE_HTTP_H2_HUFFMAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So many bytes come out of `count` bytes at most: the shortest code has five bits. */
static inline size_t h2_huffman_most(size_t count) { return count * 8 / 5; }
/* Decodes to where h2_huffman_most has room; *length is what came out. False: no such text can have been meant. */
bool h2_huffman_read(const uint8_t *from, size_t count, char *to, size_t *length);

#endif
