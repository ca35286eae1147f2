// SPDX-License-Identifier: Apache-2.0
// number: 15 digits are enough for each number that was written with 15 digits, and 17 for each double.
#include "base/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

size_t number_text(double number, char text[NUMBER_TEXT]) {
  static const double exact = 9007199254740992; /* 2^53 */
  int length = 0;
  if (number >= -exact && number <= exact && number == trunc(number))
    return (size_t)snprintf(text, NUMBER_TEXT, "%.0f", number);
  for (int digits = 15; digits <= 17; digits++) {
    length = snprintf(text, NUMBER_TEXT, "%.*g", digits, number);
    if (!isfinite(number) || strtod(text, NULL) == number) break;
  }
  CHECK(length > 0 && length < NUMBER_TEXT);
  return (size_t)length;
}
