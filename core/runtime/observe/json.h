// SPDX-License-Identifier: Apache-2.0
// json: writes JSON to a stream. Values of an object have a name, those of an array and the outermost NULL.
#ifndef PERILUNE_RUNTIME_JSON_H
#define PERILUNE_RUNTIME_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/str.h"

struct json {
  FILE *out;     /* borrowed */
  bool is_first; /* nothing was written into the innermost object or array; begin with true */
};

void json_open(struct json *j, const char *name, char bracket); /* '{' or '[' */
void json_close(struct json *j, char bracket);
void json_text(struct json *j, const char *name, struct str text);
void json_number(struct json *j, const char *name, uint64_t number);
/* With three decimals; 0 for what is no number. */
void json_decimal(struct json *j, const char *name, double number);
void json_flag(struct json *j, const char *name, bool flag);

#endif
