// SPDX-License-Identifier: Apache-2.0
// json_read: takes JSON apart in one pass, value by value. The caller says what it expects; where something else
// comes, `is_bad` is set and stays, and all that is asked afterwards fails. So a caller may read on, and look at
// `is_bad` once, at the end.
//
//   json_read_open(&r, '{');
//   while (json_read_member(&r, &name))
//     if (str_equal(name, STR("size"))) size = json_read_whole(&r); else json_read_skip(&r);
#ifndef PERILUNE_BASE_JSON_READ_H
#define PERILUNE_BASE_JSON_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct arena;

struct json_reader {
  struct str rest;     /* borrowed */
  struct arena *arena; /* borrowed; of texts */
  bool is_first;       /* no value of the innermost object or array was read */
  bool is_bad;
};

static inline struct json_reader json_reader_of(struct str text, struct arena *arena) {
  return (struct json_reader){text, arena, true, false};
}

/* '{' or '['. */
void json_read_open(struct json_reader *r, char bracket);
/* The next name of an object, whose value is to be read then; false: the object is at its end, or the text is bad. */
bool json_read_member(struct json_reader *r, struct str *name);
/* Has the array another value? False: it is at its end, or the text is bad. */
bool json_read_more(struct json_reader *r);
/* Empty where there is none. */
struct str json_read_text(struct json_reader *r);
/* A whole number from 0 to 2^53; 0 where there is none. */
uint64_t json_read_whole(struct json_reader *r);
/* Any value, however deep. What is inside is looked at only as far as its end is to be found. */
void json_read_skip(struct json_reader *r);
/* Nothing but space is left. */
bool json_read_is_done(struct json_reader *r);

#endif
