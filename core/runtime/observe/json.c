// SPDX-License-Identifier: Apache-2.0
// json: commas and escapes.
#include "runtime/observe/json.h"

#include <math.h>
#include <stdlib.h>

#include "base/escape.h"
#include "base/memory.h"

static void begin(struct json *j, const char *name) {
  if (!j->is_first) fputc(',', j->out);
  j->is_first = false;
  if (name) fprintf(j->out, "\"%s\":", name);
}

void json_open(struct json *j, const char *name, char bracket) {
  begin(j, name);
  fputc(bracket, j->out);
  j->is_first = true;
}

void json_close(struct json *j, char bracket) {
  fputc(bracket, j->out);
  j->is_first = false;
}

void json_text(struct json *j, const char *name, struct str text) {
  begin(j, name);
  size_t room = ESCAPE_JSON_MOST * text.len;
  char *escaped = memory_alloc(room);
  size_t length = escape_json(escaped, room, text);
  fprintf(j->out, "\"%.*s\"", (int)length, escaped);
  free(escaped);
}

void json_number(struct json *j, const char *name, uint64_t number) {
  begin(j, name);
  fprintf(j->out, "%llu", (unsigned long long)number);
}

void json_decimal(struct json *j, const char *name, double number) {
  begin(j, name);
  fprintf(j->out, "%.3f", isfinite(number) ? number : 0.0);
}

void json_flag(struct json *j, const char *name, bool flag) {
  begin(j, name);
  fputs(flag ? "true" : "false", j->out);
}
