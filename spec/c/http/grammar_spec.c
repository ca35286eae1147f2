// SPDX-License-Identifier: Apache-2.0
// Units for http/grammar: lists and the search for control characters.
#include "http/grammar.h"

#include "unit.h"

static size_t naive_find(const char *bytes, size_t from, size_t to, bool ascii_only) {
  for (; from < to; from++) {
    unsigned char c = (unsigned char)bytes[from];
    if (c < 0x20 || c == 0x7f || (ascii_only && c > 0x7f)) break;
  }
  return from;
}

IT("finds the first control character at every offset, among every neighbour") {
  char bytes[24];
  for (int c = 0; c < 256; c++) {
    for (size_t at = 0; at < sizeof bytes; at++) {
      memset(bytes, c % 3 ? 0x80 : 'x', sizeof bytes);
      bytes[at] = (char)c;
      for (int ascii_only = 0; ascii_only < 2; ascii_only++)
        CHECK(grammar_find_control(bytes, at / 2, sizeof bytes, ascii_only) ==
              naive_find(bytes, at / 2, sizeof bytes, ascii_only));
    }
  }
}

IT("takes members off a list, without white space and empty ones (RFC 9110 section 5.6.1.2)") {
  struct str rest = STR(" , a,\tb\t ,,c d,"), member;
  CHECK(grammar_list_next(&rest, &member));
  CHECK_STR(member, "a");
  CHECK(grammar_list_next(&rest, &member));
  CHECK_STR(member, "b");
  CHECK(grammar_list_next(&rest, &member));
  CHECK_STR(member, "c d");
  CHECK(!grammar_list_next(&rest, &member));
  CHECK(!grammar_list_next(&rest, &member));
}

IT("judges a whole text by a class, and never an empty one") {
  CHECK(grammar_is_all(STR("0189afAF"), CLASS_HEX));
  CHECK(!grammar_is_all(STR("0g"), CLASS_HEX));
  CHECK(!grammar_is_all(STR(""), CLASS_HEX));
  CHECK(grammar_is_text(STR("a\tb\xff")));
  CHECK(!grammar_is_text(STR("a\x7f")));
  CHECK(grammar_is_text(STR("")));
}

enum { COPIED = 9000 };

/* All of it, and nothing beside it. */
static bool is_copied(struct str text, size_t controls) {
  static char room[COPIED + 2];
  room[0] = room[text.len + 1] = '#';
  size_t found = grammar_copy(room + 1, text);
  bool is_same = memcmp(room + 1, text.ptr, text.len) == 0;
  memset(room + 1, 0, text.len);
  bool finds = grammar_copy_finds(room + 1, text);
  is_same = is_same && memcmp(room + 1, text.ptr, text.len) == 0;
  return is_same && found == controls && finds == (controls > 0) && room[0] == '#' &&
         room[text.len + 1] == '#';
}

IT("counts control characters of a text of any length while it is copied, each of them once") {
  static char text[COPIED];
  memset(text, 'a', sizeof text);
  for (size_t length = 0; length < 70; length++) {
    CHECK(is_copied((struct str){text, length}, 0));
    for (size_t at = 0; at < length; at++) {
      text[at] = "\r\n\t\x1f"[at % 4];
      CHECK(is_copied((struct str){text, length}, 1));
      text[at] = " \x7f\x80\xff"[at % 4];
      CHECK(is_copied((struct str){text, length}, 0));
      text[at] = 'a';
    }
  }
  memset(text, 0, sizeof text);
  for (size_t length = sizeof text - 40; length <= sizeof text; length++)
    CHECK(is_copied((struct str){text, length}, length));
}
