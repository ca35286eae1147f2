// SPDX-License-Identifier: Apache-2.0
#include "base/escape.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

static struct str json(struct str text) {
  static char room[256];
  return (struct str){room, escape_json(room, sizeof room, text)};
}

static struct str quoted(struct str text) {
  static char room[256];
  return (struct str){room, escape_quoted(room, sizeof room, text)};
}

IT("leaves plain text as it is") {
  CHECK_STR(json(STR("GET /a?b=c%20d")), "GET /a?b=c%20d");
  CHECK_STR(quoted(STR("GET /a?b=c%20d")), "GET /a?b=c%20d");
}

IT("escapes what could end a string or a line") {
  CHECK_STR(json(STR("a\"b\\c\r\n\t\x7f")), "a\\\"b\\\\c\\u000d\\u000a\\u0009\\u007f");
  CHECK_STR(quoted(STR("a\"b\\c\r\n\t\x7f\x1b[2J")), "a\\\"b\\\\c\\x0d\\x0a\\x09\\x7f\\x1b[2J");
  CHECK_STR(json((struct str){"a\0b", 3}), "a\\u0000b");
}

IT("keeps UTF-8 in JSON, and replaces what is none") {
  CHECK_STR(json(STR("\xc3\xa4\xe2\x82\xac\xf0\x9f\x8c\x99")), "\xc3\xa4\xe2\x82\xac\xf0\x9f\x8c\x99");
  CHECK_STR(json(STR("\xff")), "\\ufffd");
  CHECK_STR(json(STR("\xc0\xaf")), "\\ufffd\\ufffd");            /* overlong */
  CHECK_STR(json(STR("\xed\xa0\x80")), "\\ufffd\\ufffd\\ufffd"); /* a surrogate */
  CHECK_STR(json(STR("\xf4\x90\x80\x80")), "\\ufffd\\ufffd\\ufffd\\ufffd");
  CHECK_STR(json((struct str){"\xe2\x82\xac", 2}), "\\ufffd\\ufffd"); /* cut off */
}

IT("escapes what would end a label of Prometheus' text format") {
  char room[64];
  CHECK_STR(((struct str){room, escape_label(room, sizeof room, STR("a\"b\\c\nd\xc3\xa4\xff"))}),
            "a\\\"b\\\\c\\nd\xc3\xa4\xef\xbf\xbd");
}

IT("writes no byte above ASCII between quotes of a line") {
  CHECK_STR(quoted(STR("\xc3\xa4")), "\\xc3\\xa4");
}

IT("cuts between escapes, never in one") {
  char room[8];
  CHECK(escape_quoted(room, 7, STR("aaaa\n\n")) == 4);
  CHECK(escape_quoted(room, 8, STR("aaaa\n\n")) == 8);
  CHECK(escape_json(room, 3, STR("\"\"")) == 2);
}

IT("escapes what steers a terminal in UTF-8, and the separators of lines") {
  CHECK_STR(json(STR("a\xc2\x9b[2Jb\xc2\xa0\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa")),
            "a\\u009b[2Jb\xc2\xa0\\u2028\\u2029\xe2\x80\xaa");
}

IT("keeps UTF-8 in a line, and shows the bytes of what is none or steers a terminal") {
  char room[256];
  struct str text = STR("\xc3\xa4\t\xe2\x82\xac \xc2\x9b[2J \x9b \xff \x1b \r\n \xe2\x80\xa8 \x7f");
  CHECK_STR(((struct str){room, escape_line(room, sizeof room, text)}),
            "\xc3\xa4\t\xe2\x82\xac \\xc2\\x9b[2J \\x9b \\xff \\x1b \\x0d\\x0a \\xe2\\x80\\xa8 \\x7f");
}

IT("writes a text so that Lua reads the same one between quotes") {
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  escape_lua(out, STR("a\"b\\c\n1\x7f\xc3\xa9"));
  fclose(out);
  CHECK_STR(str_of(text), "a\\\"b\\\\c\\0101\\127\xc3\xa9");
  free(text);
}
