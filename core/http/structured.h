// SPDX-License-Identifier: Apache-2.0
// structured: structured field values (RFC 9651, which contains RFC 8941): items, lists and dictionaries, read member
// by member without copies. A field with a mistake anywhere counts as absent (section 4.2), so a reader
// collects what it finds, and drops all of it if `failed` is set at the end.
//
//   struct structured reader = structured_begin(text);
//   while (structured_next_entry(&reader, &key, &value)) ...
//   if (reader.failed) ...
#ifndef PERILUNE_HTTP_STRUCTURED_H
#define PERILUNE_HTTP_STRUCTURED_H

#include "base/arena.h"
#include "base/str.h"

enum structured_type {
  STRUCTURED_INTEGER,
  STRUCTURED_DECIMAL,
  STRUCTURED_STRING,
  STRUCTURED_TOKEN,
  STRUCTURED_BYTES, /* `text` is the base64 between the colons */
  STRUCTURED_BOOLEAN,
  STRUCTURED_DATE,
  STRUCTURED_DISPLAY, /* `text` has its percent signs */
  STRUCTURED_INNER_LIST
};

struct structured_value {
  enum structured_type type;
  bool has_escapes; /* of a string: see structured_text */
  int64_t number;   /* integer, date in seconds, boolean 0 or 1; a decimal in thousandths */
  struct str text; /* string, token, bytes, display string: the inside; inner list: between the parentheses */
  struct str parameters; /* as written, from the first ';' on; valid */
};

struct structured {
  struct str rest;
  bool begun, failed;
};

/* `text`: all lines of the field, joined (field_joined). */
struct structured structured_begin(struct str text);
/* The next member of a list; false at the end, or at a mistake. */
bool structured_next(struct structured *s, struct structured_value *value);
/* The next of a dictionary; a key may come again: the last one counts. Without a value it is the boolean true. */
bool structured_next_entry(struct structured *s, struct str *key, struct structured_value *value);
/* The next item of an inner list: begin with structured_begin(value.text). */
bool structured_next_inner(struct structured *s, struct structured_value *value);
/* The next parameter: begin with structured_begin(value.parameters). */
bool structured_next_parameter(struct structured *s, struct str *key, struct structured_value *value);

/* A field that is one item; false: it is not. */
bool structured_item(struct str text, struct structured_value *value);
/* A string without its backslashes; in arena memory where it has some. */
struct str structured_text(const struct structured_value *value, struct arena *arena);

#endif
