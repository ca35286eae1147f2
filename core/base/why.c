// SPDX-License-Identifier: Apache-2.0
// why: formats into memory that the caller owns.
#include "base/why.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static char *format_text(const char *format, va_list arguments) {
  char *text = NULL;
  if (vasprintf(&text, format, arguments) < 0) abort();
  return text;
}

char *why_text(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  char *text = format_text(format, arguments);
  va_end(arguments);
  return text;
}

bool why_say(char **why, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  *why = format_text(format, arguments);
  va_end(arguments);
  return false;
}

bool why_about(char **why, const char *what, const char *name, const char *detail) {
  return why_say(why, "%s '%s': %s", what, name, detail);
}

bool why_prefix(char **why, const char *format, ...) {
  char *rest = *why;
  va_list arguments;
  va_start(arguments, format);
  char *start = format_text(format, arguments);
  va_end(arguments);
  why_say(why, "%s%s", start, rest);
  free(start);
  free(rest);
  return false;
}
