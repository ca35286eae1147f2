// SPDX-License-Identifier: Apache-2.0
// Units for base/json_read.
#include "base/json_read.h"

#include <stdio.h>

#include "base/arena.h"
#include "unit.h"

static struct arena arena;

static struct str text_of(const char *json) {
  struct json_reader r = json_reader_of(str_of(json), &arena);
  struct str text = json_read_text(&r);
  return r.is_bad || !json_read_is_done(&r) ? STR("bad") : text;
}

/* "a=1 b=[2 3 ] " */
static void write_numbers(struct json_reader *r, char *to) {
  struct str name;
  json_read_open(r, '{');
  while (json_read_member(r, &name)) {
    to += sprintf(to, "%.*s=", STR_ARG(name));
    if (!str_equal(name, STR("list"))) {
      to += sprintf(to, "%d ", (int)json_read_whole(r));
      continue;
    }
    json_read_open(r, '[');
    while (json_read_more(r)) to += sprintf(to, "%d,", (int)json_read_whole(r));
    to += sprintf(to, " ");
  }
}

static const char *numbers(const char *json) {
  static char text[200];
  struct json_reader r = json_reader_of(str_of(json), &arena);
  text[0] = '\0';
  write_numbers(&r, text);
  return r.is_bad || !json_read_is_done(&r) ? "bad" : text;
}

IT("reads texts, with their escapes") {
  CHECK_STR(text_of(" \"plain\" "), "plain");
  CHECK_STR(text_of("\"\""), "");
  CHECK_STR(text_of("\"a\\\"\\\\\\/\\n\\t\""), "a\"\\/\n\t");
  CHECK_STR(text_of("\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\""), "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  const char *bad[] = {
      "",          "\"",          "\"a",         "\"a\\\"",           "\"a\nb\"",     "\"\\x\"",
      "\"\\u12\"", "\"\\u12G4\"", "\"\\ud83d\"", "\"\\ude00\"",       "\"\\ud83da\"", "a",
      "1",         "\"a\" b",     "\"\\",        "\"\\ud83d\\u0041\""};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK_STR(text_of(bad[i]), "bad");
  arena_free(&arena);
}

IT("reads objects and arrays as they are nested") {
  CHECK_STR(str_of(numbers("{}")), "");
  CHECK_STR(str_of(numbers(" {\"a\" : 1 , \"list\":[2,3],\"c\":4}")), "a=1 list=2,3, c=4 ");
  CHECK_STR(str_of(numbers("{\"list\":[]}")), "list= ");
  CHECK_STR(str_of(numbers("{\"a\":9007199254740992}")), "a=0 "); /* as an int; it is taken */
  const char *bad[] = {"",
                       "{",
                       "{\"a\"",
                       "{\"a\":",
                       "{\"a\":1",
                       "{\"a\":1,",
                       "{\"a\":1,}",
                       "{,}",
                       "{\"a\" 1}",
                       "{a:1}",
                       "{\"list\":[1,]}",
                       "{\"list\":[1 2]}",
                       "{\"list\":[1}",
                       "{\"list\":{}}",
                       "{\"a\":-1}",
                       "{\"a\":1.5}",
                       "{\"a\":9007199254740993}",
                       "{\"a\":\"1\"}",
                       "{\"a\":null}",
                       "{} x",
                       "[]"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK_STR(str_of(numbers(bad[i])), "bad");
  arena_free(&arena);
}

static const char *after_skip(const char *json) {
  struct json_reader r = json_reader_of(str_of(json), &arena);
  json_read_skip(&r);
  return r.is_bad ? "bad" : r.rest.ptr;
}

IT("skips a value of any kind, and no more") {
  CHECK(strcmp(after_skip("1,2"), ",2") == 0);
  CHECK(strcmp(after_skip("\"a]}\" , 2"), " , 2") == 0);
  CHECK(strcmp(after_skip("{\"a\":[1,{\"b\":\"]\"}],\"c\":null}]"), "]") == 0);
  CHECK(strcmp(after_skip("-1.5e3}"), "}") == 0);
  const char *bad[] = {"", "]", "}", "[", "[1", "{\"a\":", "\"a", "[\"a]"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(strcmp(after_skip(bad[i]), "bad") == 0);
  arena_free(&arena);
}
