// SPDX-License-Identifier: Apache-2.0
// Units for base/glob.
#include "base/glob.h"

#include "unit.h"

static bool fits(const char *pattern, const char *text) {
  return glob_matches(str_of(pattern), str_of(text));
}

IT("takes a star for any text, a question mark for one byte, and the rest as it stands") {
  CHECK(fits("/api*", "/api") && fits("/api*", "/api/x") && !fits("/api*", "/ap") && !fits("/api", "/api/"));
  CHECK(fits("*", "") && fits("**", "x") && fits("", "") && !fits("", "x") && !fits("?", ""));
  CHECK(fits("/a/*/c", "/a/b/b/c") && !fits("/a/*/c", "/a/b/b/d") && fits("a?c", "abc") &&
        !fits("a?c", "ac"));
  CHECK(fits("*.example", "a.b.example") && fits("*ab*ab", "abxabab") && !fits("*ab*ab", "ab"));
}

IT("comes to an end soon with many stars") {
  char text[4096], pattern[201];
  for (size_t i = 0; i < sizeof text - 1; i++) text[i] = 'a';
  for (size_t i = 0; i < sizeof pattern - 1; i++) pattern[i] = i % 2 ? 'a' : '*';
  text[sizeof text - 1] = pattern[sizeof pattern - 1] = '\0';
  CHECK(fits(pattern, text));
  pattern[sizeof pattern - 2] = 'b';
  CHECK(!fits(pattern, text));
}
