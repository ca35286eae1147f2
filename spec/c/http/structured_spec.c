// SPDX-License-Identifier: Apache-2.0
// Units for http/structured: what RFC 9651 section 4.2 reads, and what it refuses.
#include "http/structured.h"

#include "heads.h"
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>

static const char letters[] = {
    [STRUCTURED_INTEGER] = 'i', [STRUCTURED_DECIMAL] = 'd', [STRUCTURED_STRING] = 's',
    [STRUCTURED_TOKEN] = 't',   [STRUCTURED_BYTES] = 'b',   [STRUCTURED_BOOLEAN] = '?',
    [STRUCTURED_DATE] = '@',    [STRUCTURED_DISPLAY] = '%', [STRUCTURED_INNER_LIST] = '('};

static char *write_value(char *end, const struct structured_value *v) {
  struct str text = v->type == STRUCTURED_STRING ? structured_text(v, heads_arena()) : v->text;
  bool is_number = v->type == STRUCTURED_INTEGER || v->type == STRUCTURED_DECIMAL ||
                   v->type == STRUCTURED_BOOLEAN || v->type == STRUCTURED_DATE;
  if (is_number)
    end += sprintf(end, "%c%" PRId64, letters[v->type], v->number);
  else
    end += sprintf(end, "%c%.*s", letters[v->type], STR_ARG(text));
  return end + sprintf(end, "%.*s", STR_ARG(v->parameters));
}

/* In memory of its exact size. */
static struct str copied(const char *text) { return arena_dup(heads_arena(), str_of(text)); }

static void check_item(const char *text, const char *wanted) {
  struct structured_value value;
  char found[2000] = "bad";
  if (structured_item(copied(text), &value)) write_value(found, &value);
  CHECK_STR(str_of(found), wanted);
  heads_free();
}

IT("reads integers of up to 15 digits and decimals of 12 and 3 (section 4.2.4)") {
  check_item("0", "i0");
  check_item(" 42 ", "i42");
  check_item("-007", "i-7");
  check_item("999999999999999", "i999999999999999");
  check_item("1000000000000000", "bad");
  check_item("1.5", "d1500");
  check_item("-123456789012.125", "d-123456789012125");
  check_item("1234567890123.1", "bad");
  check_item("1.2345", "bad");
  check_item("1.", "bad");
  check_item("-", "bad");
  check_item("--1", "bad");
  check_item("+1", "bad");
  check_item("1 2", "bad");
}

IT("reads strings with their escapes, in ASCII alone (section 4.2.5)") {
  check_item("\"a b\"", "sa b");
  check_item("\"\"", "s");
  check_item("\"a\\\"\\\\b\"", "sa\"\\b");
  check_item("\"a\\b\"", "bad");
  check_item("\"a", "bad");
  check_item("\"a\\", "bad");
  check_item("\"\xc3\xa9\"", "bad");
  check_item("\"a\tb\"", "bad");
  check_item("'a'", "bad");
}

IT("reads tokens, byte sequences, booleans and dates (sections 4.2.6 to 4.2.9)") {
  check_item("a:b/c!", "ta:b/c!");
  check_item("*a", "t*a");
  check_item("a\x7f", "bad");
  check_item(":aGVsbG8=:", "baGVsbG8=");
  check_item("::", "b");
  check_item(":aGVsbG8:", "baGVsbG8");
  check_item(":a:", "bad");
  check_item(":aGVsbG8==:", "bad");
  check_item(":aG=sbG8:", "bad");
  check_item(":a b=:", "bad");
  check_item(":aGVs", "bad");
  check_item("?1", "?1");
  check_item("?0", "?0");
  check_item("?2", "bad");
  check_item("?", "bad");
  check_item("@1659578233", "@1659578233");
  check_item("@1.5", "bad");
  check_item("@", "bad");
}

IT("reads display strings whose bytes are UTF-8 (section 4.2.10)") {
  check_item("%\"f%c3%bc\"", "%f%c3%bc");
  check_item("%\"%f0%9f%92%a9\"", "%%f0%9f%92%a9");
  check_item("%\"%C3%BC\"", "bad");
  check_item("%\"%c3\"", "bad");
  check_item("%\"%c3a\"", "bad");
  check_item("%\"%c0%80\"", "bad");
  check_item("%\"%ed%a0%80\"", "bad");
  check_item("%\"%f4%90%80%80\"", "bad");
  check_item("%\"%f\"", "bad");
  check_item("%\"a", "bad");
  check_item("%a", "bad");
}

IT("keeps parameters, and refuses mistakes in them (section 4.2.3.2)") {
  check_item("a;b;c=1", "ta;b;c=1");
  check_item("1; x=?0;y=\";\"", "i1; x=?0;y=\";\"");
  check_item("a;B", "bad");
  check_item("a;", "bad");
  check_item("a ;b", "bad");
  check_item("a;b=", "bad");
  check_item("", "bad");
  check_item("&&&", "bad");
}

static void check_list(const char *text, const char *wanted) {
  struct structured s = structured_begin(copied(text));
  struct structured_value value;
  char found[2000] = "", *end = found;
  while (structured_next(&s, &value)) end = write_value(end > found ? strcpy(end, "|") + 1 : end, &value);
  CHECK_STR(s.failed ? STR("bad") : str_of(found), wanted);
  heads_free();
}

IT("reads lists and inner lists (sections 4.2.1 and 4.2.1.2)") {
  check_list("a, 1 ,\t\"x\"", "ta|i1|sx");
  check_list("", "");
  check_list("  ", "");
  check_list("a,", "bad");
  check_list(",a", "bad");
  check_list("a,,b", "bad");
  check_list("a b", "bad");
  check_list("(a b);q=1, ()", "(a b;q=1|(");
  check_list("( 1  2 )", "( 1  2 ");
  check_list("(a;x b), c", "(a;x b|tc");
  check_list("(a", "bad");
  check_list("(a\tb)", "bad");
  check_list("(a(b))", "bad");
  check_list("(\"a\"\"b\")", "bad");
}

IT("reads the items of an inner list and the parameters of an item one by one") {
  struct structured_value list, value;
  struct structured s = structured_begin(STR("( a;x=1  \"b c\" );y=2;z")), items, parameters;
  struct str key;
  CHECK(structured_next(&s, &list));
  items = structured_begin(list.text);
  CHECK(structured_next_inner(&items, &value) && str_equal(value.text, STR("a")));
  CHECK_STR(value.parameters, ";x=1");
  CHECK(structured_next_inner(&items, &value) && str_equal(value.text, STR("b c")));
  CHECK(!structured_next_inner(&items, &value) && !items.failed);
  parameters = structured_begin(list.parameters);
  CHECK(structured_next_parameter(&parameters, &key, &value) && value.number == 2);
  CHECK_STR(key, "y");
  CHECK(structured_next_parameter(&parameters, &key, &value) && value.type == STRUCTURED_BOOLEAN);
  CHECK(!structured_next_parameter(&parameters, &key, &value) && !parameters.failed);
}

static void check_dictionary(const char *text, const char *wanted) {
  struct structured s = structured_begin(copied(text));
  struct structured_value value;
  struct str key;
  char found[2000] = "", *end = found;
  while (structured_next_entry(&s, &key, &value)) {
    if (end > found) *end++ = '|';
    end += sprintf(end, "%.*s=", STR_ARG(key));
    end = write_value(end, &value);
  }
  CHECK_STR(s.failed ? STR("bad") : str_of(found), wanted);
  heads_free();
}

IT("reads dictionaries, where a key without a value is true (section 4.2.2)") {
  check_dictionary("a=1, b, c=(x y);p", "a=i1|b=?1|c=(x y;p");
  check_dictionary("max-age=600;x, *k=\"v\"", "max-age=i600;x|*k=sv");
  check_dictionary("a;p, b", "a=?1;p|b=?1");
  check_dictionary("A=1", "bad");
  check_dictionary("a=1, B", "bad");
  check_dictionary("a= 1", "bad");
  check_dictionary("a =1", "bad");
  check_dictionary("a=1,", "bad");
  check_dictionary("a=1 b=2", "bad");
  check_dictionary("a=", "bad");
  check_dictionary("a=1, &&&&&", "bad");
}
