// SPDX-License-Identifier: Apache-2.0
// nearest: counts the edits between two words: a character that is added, missing or different, and two neighbours that
// are swapped (optimal string alignment). Upper and lower case are equal, and so are "-" and "_". A third of the
// characters may be wrong. If a word is the beginning of a longer one, that counts as one edit.
#include "base/nearest.h"

#include <string.h>

#include "base/str.h"

enum { LONGEST = 63 };

static unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }

static char plain(char c) { return c == '_' ? '-' : ascii_lower(c); }

static bool is_swapped(const char *a, const char *b) {
  return plain(a[-1]) == plain(b[0]) && plain(a[0]) == plain(b[-1]);
}

/* Three rows of the table of distances between the beginnings of `a` and `b`: each needs the two before it. */
static unsigned edits(const char *a, size_t a_length, const char *b, size_t b_length) {
  unsigned rows[3][LONGEST + 1], *before = rows[0], *above = rows[1], *row = rows[2];
  for (size_t k = 0; k <= b_length; k++) row[k] = (unsigned)k;
  for (size_t i = 1; i <= a_length; i++) {
    unsigned *spare = before;
    before = above, above = row, row = spare;
    row[0] = (unsigned)i;
    for (size_t k = 1; k <= b_length; k++) {
      unsigned other = above[k - 1] + (plain(a[i - 1]) != plain(b[k - 1]));
      row[k] = least(least(above[k], row[k - 1]) + 1, other);
      if (i > 1 && k > 1 && is_swapped(&a[i - 1], &b[k - 1])) row[k] = least(row[k], before[k - 2] + 1);
    }
  }
  return row[b_length];
}

struct nearest nearest_to(const char *word) {
  size_t length = strlen(word);
  unsigned most = length < 6 ? 1 : (unsigned)length / 3;
  return (struct nearest){word, NULL, most + 1};
}

/* "get_path" for "path", or "retries" for "max_retries": one has one more word before or behind it. */
static bool is_part(const char *word, size_t length, const char *part, size_t bytes) {
  if (bytes < 3 || length < bytes + 2) return false;
  return (plain(word[bytes]) == '-' && str_same_nocase(word, part, bytes)) ||
         (plain(word[length - bytes - 1]) == '-' && str_same_nocase(word + length - bytes, part, bytes));
}

void nearest_offer(struct nearest *n, const char *candidate) {
  size_t length = strlen(n->word), other = strlen(candidate);
  if (length < 2 || length > LONGEST || other > LONGEST) return;
  bool is_beginning = other > length && str_same_nocase(n->word, candidate, length);
  unsigned distance = is_beginning ? 1 : edits(n->word, length, candidate, other);
  bool is_near = is_part(n->word, length, candidate, other) || is_part(candidate, other, n->word, length);
  if (distance > 2 && is_near) distance = 2;
  if (distance >= n->distance) return;
  n->distance = distance;
  n->found = candidate;
}
