// SPDX-License-Identifier: Apache-2.0
// number: 15 digits are enough for each number that was written with 15 digits, and 17 for each double.
#include "base/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* In digits: most numbers are of this kind, and printf takes a thousand instructions for one. */
static size_t whole_text(double number, char text[NUMBER_TEXT]) {
  char digits[NUMBER_DIGITS], *end = digits + sizeof digits, *out = text;
  const char *at = number_digits((uint64_t)fabs(number), end);
  if (signbit(number)) *out++ = '-';
  out = mempcpy(out, at, (size_t)(end - at));
  *out = '\0';
  return (size_t)(out - text);
}

size_t number_text(double number, char text[NUMBER_TEXT]) {
  static const double exact = 9007199254740992; /* 2^53 */
  int length = 0;
  if (number >= -exact && number <= exact && number == trunc(number)) return whole_text(number, text);
  for (int digits = 15; digits <= 17; digits++) {
    length = snprintf(text, NUMBER_TEXT, "%.*g", digits, number);
    if (!isfinite(number) || strtod(text, NULL) == number) break;
  }
  CHECK(length > 0 && length < NUMBER_TEXT);
  return (size_t)length;
}
