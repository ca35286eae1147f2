// SPDX-License-Identifier: Apache-2.0
// number: numbers as text that reads back as the same number. The one place where a double becomes text.
#ifndef PERILUNE_BASE_NUMBER_H
#define PERILUNE_BASE_NUMBER_H

#include <stddef.h>
#include <stdint.h>

enum { NUMBER_TEXT = 32, NUMBER_DIGITS = 20 };

/* The digits of a number, written so that they end before `end`: NUMBER_DIGITS at most. Returns the first one. */
static inline char *number_digits(uint64_t number, char *end) {
  do *--end = (char)('0' + number % 10);
  while (number /= 10);
  return end;
}

/* Whole numbers up to 2^53 (all that a double tells apart) in digits, others in as few significant digits as say which
 * number it is, with an exponent where that is shorter; "-0", "nan", "inf", "-inf". Terminated; returns the length. */
size_t number_text(double number, char text[NUMBER_TEXT]);

#endif
