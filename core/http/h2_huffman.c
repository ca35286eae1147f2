// SPDX-License-Identifier: Apache-2.0
// h2_huffman: codes of one length are numbers in a row, and shorter codes are smaller numbers, if all of them are moved
// to the left. So the length of the next code follows from a comparison with the last code of each length. Nearly all
// letters and digits have codes of less than an octet, which the next octet alone tells.
#include "http/h2_huffman.h"

#include "base/big_endian.h"

enum { END = 256, PADDING_MOST = 7, WORD = 64, SHOWN = 32, OCTET = 8 };

/* All codes of one length, moved to the left in 32 bits. */
struct row {
  uint32_t first, last; /* of `last` all bits behind the code are set */
  unsigned char bits;
  unsigned char number; /* of the first, in the order of codes */
};

static const struct row rows[] = {
    {0x00000000, 0x4fffffff, 5, 0},    {0x50000000, 0xb7ffffff, 6, 10},   {0xb8000000, 0xf7ffffff, 7, 36},
    {0xf8000000, 0xfdffffff, 8, 68},   {0xfe000000, 0xff3fffff, 10, 74},  {0xff400000, 0xff9fffff, 11, 79},
    {0xffa00000, 0xffbfffff, 12, 82},  {0xffc00000, 0xffefffff, 13, 84},  {0xfff00000, 0xfff7ffff, 14, 90},
    {0xfff80000, 0xfffdffff, 15, 92},  {0xfffe0000, 0xfffe5fff, 19, 95},  {0xfffe6000, 0xfffedfff, 20, 98},
    {0xfffee000, 0xffff47ff, 21, 106}, {0xffff4800, 0xffffafff, 22, 119}, {0xffffb000, 0xffffe9ff, 23, 145},
    {0xffffea00, 0xfffff5ff, 24, 174}, {0xfffff600, 0xfffff7ff, 25, 186}, {0xfffff800, 0xfffffbbf, 26, 190},
    {0xfffffbc0, 0xfffffe1f, 27, 205}, {0xfffffe20, 0xffffffef, 28, 224}, {0xfffffff0, 0xffffffff, 30, 253},
};

/* Bytes, in the order of their codes. Behind the last is the end, which must not come. */
static const unsigned char bytes[END] = {
    48,  49,  50,  97,  99,  101, 105, 111, 115, 116, 32,  37,  45,  46,  47,  51,  52,  53,  54,  55,
    56,  57,  61,  65,  95,  98,  100, 102, 103, 104, 108, 109, 110, 112, 114, 117, 58,  66,  67,  68,
    69,  70,  71,  72,  73,  74,  75,  76,  77,  78,  79,  80,  81,  82,  83,  84,  85,  86,  87,  89,
    106, 107, 113, 118, 119, 120, 121, 122, 38,  42,  44,  59,  88,  90,  33,  34,  40,  41,  63,  39,
    43,  124, 35,  62,  0,   36,  64,  91,  93,  126, 94,  125, 60,  96,  123, 92,  195, 208, 128, 130,
    131, 162, 184, 194, 224, 226, 153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230, 129,
    132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190,
    196, 198, 228, 232, 233, 1,   135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157,
    158, 165, 166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239, 9,   142, 144, 145, 148, 159,
    171, 206, 215, 225, 236, 237, 199, 207, 234, 235, 192, 193, 200, 201, 202, 205, 210, 213, 218, 219,
    238, 240, 242, 243, 255, 203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250,
    251, 252, 253, 254, 2,   3,   4,   5,   6,   7,   8,   11,  12,  14,  15,  16,  17,  18,  19,  20,
    21,  23,  24,  25,  26,  27,  28,  29,  30,  31,  127, 220, 249, 10,  13,  22,
};

/* By the next octet: the byte whose code it begins with, and the bits of that; 0: the code is longer. */
#define EIGHT(byte) OCTET << 8 | (byte)
#define TWICE(code) code, code
#define SEVEN(byte) TWICE(7 << 8 | (byte))
#define SIX(byte)   TWICE(6 << 8 | (byte)), TWICE(6 << 8 | (byte))
#define HALF(byte)  TWICE(5 << 8 | (byte)), TWICE(5 << 8 | (byte))
#define FIVE(byte)  HALF(byte), HALF(byte)
/* clang-format off */
static const uint16_t short_codes[256] = {
    FIVE('0'), FIVE('1'), FIVE('2'), FIVE('a'), FIVE('c'), FIVE('e'), FIVE('i'), FIVE('o'), FIVE('s'),
    FIVE('t'),
    SIX(' '), SIX('%'), SIX('-'), SIX('.'), SIX('/'), SIX('3'), SIX('4'), SIX('5'), SIX('6'), SIX('7'),
    SIX('8'), SIX('9'), SIX('='), SIX('A'), SIX('_'), SIX('b'), SIX('d'), SIX('f'), SIX('g'), SIX('h'),
    SIX('l'), SIX('m'), SIX('n'), SIX('p'), SIX('r'), SIX('u'),
    SEVEN(':'), SEVEN('B'), SEVEN('C'), SEVEN('D'), SEVEN('E'), SEVEN('F'), SEVEN('G'), SEVEN('H'),
    SEVEN('I'), SEVEN('J'), SEVEN('K'), SEVEN('L'), SEVEN('M'), SEVEN('N'), SEVEN('O'), SEVEN('P'),
    SEVEN('Q'), SEVEN('R'), SEVEN('S'), SEVEN('T'), SEVEN('U'), SEVEN('V'), SEVEN('W'), SEVEN('Y'),
    SEVEN('j'), SEVEN('k'), SEVEN('q'), SEVEN('v'), SEVEN('w'), SEVEN('x'), SEVEN('y'), SEVEN('z'),
    EIGHT('&'), EIGHT('*'), EIGHT(','), EIGHT(';'), EIGHT('X'), EIGHT('Z'),
};
/* clang-format on */

static const struct row *row_of(uint32_t shown) {
  const struct row *row = rows;
  while (shown > row->last) row++;
  return row;
}

/* What is left is the beginning of the end's code, less than a byte of it (section 5.2). */
static bool is_padding(uint64_t word, unsigned count) {
  return count <= PADDING_MOST && (!count || word >> (WORD - count) == (UINT64_C(1) << count) - 1);
}

/* The next bits of a text, moved to the left. */
struct bits {
  uint64_t word;
  unsigned left; /* of them; behind them are zeros */
};

static inline const uint8_t *fill(struct bits *b, const uint8_t *from, const uint8_t *stop) {
  if (stop - from >= 8) {
    uint64_t next = (uint64_t)big_endian_32(from) << 32 | big_endian_32(from + 4);
    unsigned taken = (WORD - 1 - b->left) / 8;
    b->word |= next >> b->left;
    b->left += 8 * taken;
    b->word &= ~(UINT64_MAX >> b->left);
    return from + taken;
  }
  for (; b->left < WORD - 8 && from < stop; b->left += 8)
    b->word |= (uint64_t)*from++ << (WORD - 8 - b->left);
  return from;
}

/* Nearly all codes, without a look at their row. */
static inline char *read_short(struct bits *b, char *to) {
  for (unsigned code; b->left >= OCTET && (code = short_codes[b->word >> (WORD - OCTET)]);) {
    *to++ = (char)code;
    b->word <<= code >> 8;
    b->left -= code >> 8;
  }
  return to;
}

bool h2_huffman_read(const uint8_t *from, size_t count, char *to, size_t *length) {
  const uint8_t *stop = from + count;
  const char *start = to;
  struct bits b = {0, 0};
  for (;;) {
    from = fill(&b, from, stop);
    to = read_short(&b, to);
    if (b.left < SHOWN && from < stop) continue;
    uint64_t ones = UINT64_MAX >> b.left; /* behind the last bit: the end's code, as far as it is there */
    uint32_t shown = (uint32_t)((b.word | ones) >> (WORD - SHOWN));
    const struct row *row = row_of(shown);
    if (row->bits > b.left) break;
    unsigned number = row->number + ((shown - row->first) >> (SHOWN - row->bits));
    if (number >= END) return false;
    *to++ = (char)bytes[number];
    b.word <<= row->bits;
    b.left -= row->bits;
  }
  *length = (size_t)(to - start);
  return is_padding(b.word, b.left);
}
