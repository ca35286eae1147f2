// SPDX-License-Identifier: Apache-2.0
// Units for http/members: list fields over several lines.
#include "http/members.h"

#include "heads.h"
#include "unit.h"

/* The members of X, with '|' between them. */
static void check_members(const char *lines, const char *wanted) {
  struct headers h = heads_fields(lines);
  struct members members = members_of(&h, STR("X"));
  struct str member;
  char found[200] = "";
  while (members_next(&members, &member)) {
    if (*found) strcat(found, "|");
    strncat(found, member.ptr, member.len);
  }
  CHECK_STR(str_of(found), wanted);
  heads_free();
}

IT("walks the members of all lines, skips empty ones, and trims (RFC 9110 sections 5.3 and 5.6.1)") {
  check_members("X: a, b\nY: no\nx: ,,c ,\t,", "a|b|c");
  check_members("X:\nX: ,\nX: d", "d");
  check_members("Y: a", "");
  check_members("", "");
}

IT("splits at no comma inside of a quoted string (RFC 9110 section 5.6.4)") {
  check_members("X: a=\"1,2\", b", "a=\"1,2\"|b");
  check_members("X: a=\"1\\\",2\", b", "a=\"1\\\",2\"|b");
  check_members("X: a=\"\\\\\", b", "a=\"\\\\\"|b");
}

IT("ends an open quote with its line") {
  check_members("X: a=\"1, b\nX: c", "a=\"1, b|c");
  check_members("X: a=\"1\\\nX: c", "a=\"1\\|c");
}

IT("takes tokens and the inside of whole quoted strings") {
  CHECK_STR(member_token(STR("max-age=1")), "max-age");
  CHECK_STR(member_token(STR(" a")), "");
  CHECK_STR(member_unquoted(STR("\"a b\"")), "a b");
  CHECK_STR(member_unquoted(STR("\"\"")), "");
  CHECK_STR(member_unquoted(STR("\"a\"b")), "\"a\"b");
  CHECK_STR(member_unquoted(STR("\"a\\\"")), "\"a\\\"");
  CHECK_STR(member_unquoted(STR("\"")), "\"");
}

IT("takes a value that stands alone, and joins several lines") {
  struct headers h = heads_fields("X: 1\nY: 2\nY:\nY: 3");
  CHECK_STR(field_alone(&h, STR("x")), "1");
  CHECK(!field_alone(&h, STR("Y")).len && !field_alone(&h, STR("Z")).len);
  CHECK(field_lines(&h, STR("X")) == 1 && field_lines(&h, STR("Y")) == 2 && field_lines(&h, STR("Z")) == 0);
  CHECK_STR(field_joined(&h, STR("Y"), heads_arena()), "2, , 3");
  CHECK_STR(field_joined(&h, STR("X"), heads_arena()), "1");
  CHECK(!field_joined(&h, STR("Z"), heads_arena()).len);
  heads_free();
}
