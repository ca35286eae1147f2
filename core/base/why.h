// SPDX-License-Identifier: Apache-2.0
// why: the sentence that explains a failure. If it has variable parts, it is malloc'd and the caller frees it (char
// **why); if it is always the same, it is static (const char **why).
#ifndef PERILUNE_BASE_WHY_H
#define PERILUNE_BASE_WHY_H

#include <stdbool.h>

#include "base/error.h"

/* A malloc'd text. It never is NULL. */
char *why_text(const char *format, ...) __attribute__((format(printf, 1, 2), cold, malloc, returns_nonnull));
/* *why becomes such a text. False, so that a check can end with it: return why_say(why, "%s: no such file", path); */
bool why_say(char **why, const char *format, ...) __attribute__((format(printf, 2, 3), cold));
/* The same: what 'name': detail */
bool why_about(char **why, const char *what, const char *name, const char *detail) __attribute__((cold));
/* Puts such a text before *why, which is malloc'd. */
bool why_prefix(char **why, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/* *why becomes the static sentence. The error again, to be returned. */
static inline enum error why_error(const char **why, enum error error, const char *sentence) {
  *why = sentence;
  return error;
}

#endif
