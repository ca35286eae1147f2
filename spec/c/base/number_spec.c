// SPDX-License-Identifier: Apache-2.0
// Units for base/number.
#include "base/number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "unit.h"

static struct str text_of(double number) {
  static char text[NUMBER_TEXT];
  return (struct str){text, number_text(number, text)};
}

IT("writes whole numbers up to 2^53 in digits") {
  CHECK_STR(text_of(0), "0");
  CHECK_STR(text_of(-7), "-7");
  CHECK_STR(text_of(100000000000000), "100000000000000");
  CHECK_STR(text_of(1234567890123456), "1234567890123456");
  CHECK_STR(text_of(9007199254740991), "9007199254740991");
  CHECK_STR(text_of(-9007199254740992), "-9007199254740992");
  CHECK_STR(text_of(-0.0), "-0");
}

IT("writes others in as few digits as say which number it is") {
  CHECK_STR(text_of(0.1), "0.1");
  CHECK_STR(text_of(0.1 + 0.2), "0.30000000000000004");
  CHECK_STR(text_of(1.0 / 3), "0.3333333333333333");
  CHECK_STR(text_of(1e300), "1e+300");
  CHECK_STR(text_of(1152921504606846976), "1.152921504606847e+18");
  CHECK_STR(text_of(5e-324), "4.94065645841247e-324");
  CHECK_STR(text_of(1700000000.123456), "1700000000.123456");
}

IT("writes what is no number by its name") {
  CHECK_STR(text_of(INFINITY), "inf");
  CHECK_STR(text_of(-INFINITY), "-inf");
  CHECK(strstr(text_of(NAN).ptr, "nan") != NULL);
}

IT("writes what reads back as the same number") {
  srand(7);
  for (int i = 0; i < 20000; i++) {
    uint64_t bits = (uint64_t)rand() << 33 ^ (uint64_t)rand() << 11 ^ (uint64_t)rand();
    double number;
    memcpy(&number, &bits, sizeof number);
    if (isfinite(number)) CHECK(strtod(text_of(number).ptr, NULL) == number);
  }
}
