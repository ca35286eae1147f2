// SPDX-License-Identifier: Apache-2.0
// Units for base/str.
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

IT("compares text exactly, or without the case of ASCII letters") {
  CHECK(str_equal(STR("ab"), STR("ab")));
  CHECK(!str_equal(STR("ab"), STR("aB")));
  CHECK(!str_equal(STR("ab"), STR("abc")));
  CHECK(str_equal(STR(""), (struct str){0}));
  CHECK(str_equal_nocase(STR("Content-Length"), STR("cONTENT-lENGTH")));
  CHECK(!str_equal_nocase(STR("a"), STR("ab")));
  CHECK(!str_equal_nocase(STR("@[`{"), STR("`{@[")));
  CHECK(!str_equal_nocase(STR("\xc4"), STR("\xe4")));
  CHECK(str_compare(STR("ab"), STR("ab")) == 0 && str_compare(STR(""), (struct str){0}) == 0);
  CHECK(str_compare(STR("ab"), STR("abc")) < 0 && str_compare(STR("b"), STR("abc")) > 0);
  CHECK(str_compare(STR("\xe4"), STR("z")) > 0);
}

IT("compares text that holds a NUL") {
  CHECK(str_equal(STR("a\0b"), STR("a\0b")));
  CHECK(!str_equal(STR("a\0b"), STR("a\0c")));
  CHECK(!str_equal_nocase(STR("a\0b"), STR("a\0c")));
}

IT("knows a prefix") {
  CHECK(str_starts_with(STR("http://a"), STR("http://")));
  CHECK(str_starts_with(STR("a"), STR("")));
  CHECK(str_starts_with(STR(""), (struct str){0}));
  CHECK(!str_starts_with(STR("http"), STR("http:")));
  CHECK(!str_starts_with(STR("ahttp"), STR("http")));
}

IT("takes a prefix off in any case, or leaves all as it is") {
  struct str rest = STR("HtTp://a");
  CHECK(str_starts_with_nocase(rest, STR("http")) && !str_starts_with_nocase(STR("http"), STR("http:")));
  CHECK(!str_take_nocase(&rest, STR("https")) && rest.len == 8);
  CHECK(str_take_nocase(&rest, STR("http://")));
  CHECK_STR(rest, "a");
  CHECK(str_take_nocase(&rest, STR("A")) && rest.len == 0 && !str_take_nocase(&rest, STR("a")));
  CHECK(str_take_nocase(&(struct str){0}, STR("")));
}

IT("finds a character, or says the length") {
  CHECK(str_find(STR("a:b:c"), ':') == 1);
  CHECK(str_find(STR("abc"), ':') == 3);
  CHECK(str_find((struct str){0}, ':') == 0);
}

IT("trims spaces and tabs, and nothing else") {
  CHECK_STR(str_trim(STR(" \t a b\t ")), "a b");
  CHECK_STR(str_trim(STR(" \t ")), "");
  CHECK_STR(str_trim(STR("\na\r")), "\na\r");
  CHECK_STR(str_trim(STR("")), "");
}

IT("takes the part from a position on, at most up to the end") {
  CHECK_STR(str_from(STR("abc"), 1), "bc");
  CHECK_STR(str_from(STR("abc"), 3), "");
  CHECK_STR(str_from(STR("abc"), 99), "");
}

IT("splits into parts, empty ones included, until the text is used up") {
  struct str rest = STR("a,,b,"), part;
  const char *wanted[] = {"a", "", "b", ""};
  for (int i = 0; i < 4; i++) {
    CHECK(str_split(&rest, ',', &part));
    CHECK_STR(part, wanted[i]);
  }
  CHECK(!str_split(&rest, ',', &part));
  CHECK(!str_split(&rest, ',', &part));
  rest = STR("");
  CHECK(str_split(&rest, ',', &part) && part.len == 0);
  CHECK(!str_split(&rest, ',', &part));
}

static bool is_number(const char *text, uint64_t wanted) {
  uint64_t value = 0;
  return str_to_u64(str_of(text), &value) && value == wanted;
}

IT("reads digits only as a number, without overflow") {
  uint64_t untouched = 7;
  CHECK(is_number("0", 0));
  CHECK(is_number("0042", 42));
  CHECK(is_number("18446744073709551615", UINT64_MAX));
  CHECK(!str_to_u64(STR("18446744073709551616"), &untouched));
  CHECK(!str_to_u64(STR("28446744073709551615"), &untouched));
  CHECK(!str_to_u64(STR("99999999999999999999999"), &untouched));
  CHECK(!str_to_u64(STR(""), &untouched));
  CHECK(!str_to_u64(STR("+1"), &untouched));
  CHECK(!str_to_u64(STR("-1"), &untouched));
  CHECK(!str_to_u64(STR(" 1"), &untouched));
  CHECK(!str_to_u64(STR("1 "), &untouched));
  CHECK(!str_to_u64(STR("1a"), &untouched));
  CHECK(!str_to_u64(STR("\xb2"), &untouched));
  CHECK(untouched == 7);
}

IT("copies to a terminated string") {
  char *copy = str_to_cstring((struct str){"abcdef", 3});
  CHECK(strcmp(copy, "abc") == 0);
  free(copy);
  copy = str_to_cstring((struct str){0});
  CHECK(copy[0] == '\0');
  free(copy);
}

static bool fits(const char *text, size_t size, const char *wanted) {
  char room[64];
  memset(room, '!', sizeof room);
  str_fit(room, size, str_of(text));
  return strcmp(room, wanted) == 0 && room[size] == '!';
}

IT("fits a text into a room: what is too long ends with dots, behind a word and never inside a character") {
  CHECK(fits("", 8, ""));
  CHECK(fits("1234567", 8, "1234567"));
  CHECK(fits("12345678", 8, "1234..."));
  CHECK(fits("request id 7f3a9c", 17, "request id..."));
  CHECK(fits("request id 7f3a9c", 18, "request id 7f3a9c"));
  CHECK(fits("a 4567890123456789012345678901234567890123456789", 47,
             "a 45678901234567890123456789012345678901234..."));
  CHECK(fits("1234\xe2\x82\xac"
             "5678",
             10, "1234..."));
  CHECK(fits("1234\xe2\x82\xac"
             "5678",
             11, "1234\xe2\x82\xac..."));
  CHECK(fits("\x80\x80\x80\x80\x80\x80\x80\x80\x80", 8, "..."));
  char own[] = "one two three";
  str_fit(own, 12, str_of(own));
  CHECK_STR(str_of(own), "one two...");
}

IT("copies a text to one of C, unless it does not fit or has a NUL") {
  char text[4];
  CHECK(str_to_text(STR("abc"), text, sizeof text) && strcmp(text, "abc") == 0);
  CHECK(str_to_text(STR(""), text, sizeof text) && strcmp(text, "") == 0);
  CHECK(str_to_text((struct str){0}, text, sizeof text) && strcmp(text, "") == 0);
  CHECK(!str_to_text(STR("abcd"), text, sizeof text));
  CHECK(!str_to_text(STR("a\0b"), text, sizeof text));
}
