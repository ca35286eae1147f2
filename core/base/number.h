// SPDX-License-Identifier: Apache-2.0
// number: numbers as text that reads back as the same number. The one place where a double becomes text.
#ifndef PERILUNE_BASE_NUMBER_H
#define PERILUNE_BASE_NUMBER_H

#include <stddef.h>

enum { NUMBER_TEXT = 32 };

/* Whole numbers up to 2^53 (all that a double tells apart) in digits, others in as few significant digits as say which
 * number it is, with an exponent where that is shorter; "-0", "nan", "inf", "-inf". Terminated; returns the length. */
size_t number_text(double number, char text[NUMBER_TEXT]);

#endif
