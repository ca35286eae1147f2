// SPDX-License-Identifier: Apache-2.0
// Units for net/resp: which bytes are a whole reply, and what its tokens are.
#include "net/resp.h"

#include "unit.h"

static enum resp_result scan(const char *text, size_t *end) {
  struct resp_scan s = {0};
  enum resp_result result = resp_scan(&s, text, strlen(text));
  *end = s.at;
  return result;
}

static bool is_whole(const char *text) {
  size_t end;
  return scan(text, &end) == RESP_WHOLE && end == strlen(text);
}
static bool is_bad(const char *text) {
  size_t end;
  return scan(text, &end) == RESP_BAD;
}
static bool wants_more(const char *text) {
  size_t end;
  return scan(text, &end) == RESP_MORE;
}

IT("takes each kind of reply of RESP2 and RESP3 for whole") {
  static const char *const replies[] = {
      "+OK\r\n",
      "-ERR no\r\n",
      ":-42\r\n",
      "$3\r\nfoo\r\n",
      "$0\r\n\r\n",
      "$-1\r\n",
      "*-1\r\n",
      "*0\r\n",
      "_\r\n",
      "#t\r\n",
      ",3.14\r\n",
      ",-inf\r\n",
      ",1e-7\r\n",
      "(12345678901234567890123\r\n",
      "!3\r\nERR\r\n",
      "=7\r\ntxt:abc\r\n",
      "%1\r\n+k\r\n*2\r\n:1\r\n$-1\r\n",
      "~2\r\n:1\r\n:2\r\n",
      ">2\r\n+message\r\n$1\r\nx\r\n",
      "|1\r\n+k\r\n+v\r\n:7\r\n",
      "*1\r\n|1\r\n+k\r\n+v\r\n:7\r\n",
      "*2\r\n*2\r\n:1\r\n-ERR x\r\n*0\r\n",
  };
  for (size_t i = 0; i < sizeof replies / sizeof *replies; i++)
    if (!CHECK(is_whole(replies[i]))) CHECK_STR(str_of(replies[i]), "whole");
}

IT("refuses what is no reply") {
  static const char *const lines[] = {
      "HTTP/1.1 200 OK\r\n",
      "\r\n",
      "+a\n",
      "+a\rb\r\n",
      ":\r\n",
      ":1x\r\n",
      ":9223372036854775808\r\n",
      "$-2\r\n",
      "$x\r\n",
      "*-2\r\n",
      "%-1\r\n",
      "$3\r\nfooXY",
      "_x\r\n",
      "#x\r\n",
      ",\r\n",
      ",0x10\r\n",
      ",1.2.3\r\n",
      "(1.5\r\n",
      "=3\r\nabc\r\n",
      "$?\r\n",
      "*1\r\n>1\r\n+x\r\n",
      "$99999999999\r\n",
  };
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    if (!CHECK(is_bad(lines[i]))) CHECK_STR(str_of(lines[i]), "bad");
}

IT("wants more of what is not whole, and makes nothing of what is only announced") {
  CHECK(wants_more(""));
  CHECK(wants_more("*4000000000\r\n:1\r\n"));
  CHECK(wants_more("$5\r\nab"));
  CHECK(wants_more("|1\r\n+k\r\n+v\r\n"));
  CHECK(wants_more("$2\r\nab\r"));
}

IT("refuses arrays in arrays that are too deep, and lines that are too long") {
  char deep[(RESP_DEPTH + 1) * 4 + 1] = "";
  for (int i = 0; i < RESP_DEPTH; i++) strcat(deep, "*1\r\n");
  CHECK(wants_more(deep));
  strcat(deep, "*1\r\n");
  CHECK(is_bad(deep));
  static char line[RESP_LINE_BYTES + 3];
  memset(line, 'x', sizeof line - 1);
  line[0] = '+';
  CHECK(is_bad(line));
}

IT("begins with the next reply where one has ended, and tells those out of band") {
  const char *text = ">1\r\n+x\r\n:1\r\n+OK\r\n";
  struct resp_scan s = {0};
  CHECK(resp_scan(&s, text, strlen(text)) == RESP_WHOLE && s.is_push && s.at == 8);
  CHECK(resp_scan(&s, text, strlen(text)) == RESP_WHOLE && !s.is_push && s.at == 12);
  resp_scan_forget(&s, 12);
  CHECK(resp_scan(&s, text + 12, 5) == RESP_WHOLE && s.at == 5);
  CHECK(resp_scan(&s, text + 12, 5) == RESP_MORE);
}

IT("gives the text of a token without what frames it") {
  struct resp_token t;
  int64_t number;
  CHECK(resp_token(STR("=7\r\ntxt:abc\r\n+x"), &t) == RESP_WHOLE && t.bytes == 13);
  CHECK_STR(t.text, "abc");
  CHECK(resp_token(STR("%2\r\n"), &t) == RESP_WHOLE && t.count == 4);
  CHECK(resp_token(STR("$3\r\nab"), &t) == RESP_MORE);
  CHECK(resp_integer(STR("-9223372036854775808"), &number) && number == INT64_MIN);
  CHECK(!resp_integer(STR("9223372036854775808"), &number));
}
