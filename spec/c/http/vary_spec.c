// SPDX-License-Identifier: Apache-2.0
// Units for http/vary (RFC 9111 section 4.1).
#include "http/vary.h"

#include <stdio.h>

#include "heads.h"
#include "unit.h"

static bool parses(const char *lines) {
  struct headers h = heads_fields(lines);
  struct vary vary;
  bool may_match = vary_parse(&h, &vary);
  heads_free();
  return may_match;
}

IT("matches nothing where * is a member, wherever it stands") {
  CHECK(!parses("Vary: *") && !parses("Vary: *, *") && !parses("Vary: *\nVary: *") && !parses("Vary: , *"));
  CHECK(!parses("Vary:\nVary: *") && !parses("Vary: *, Foo") && !parses("Vary: Foo, *"));
  CHECK(parses("Vary: Foo") && parses("Vary: Foo, Bar") && parses("Vary:") && parses(""));
}

IT("matches nothing where a name is none, or where there are too many") {
  CHECK(!parses("Vary: a b") && !parses("Vary: \"a\"") && !parses("Vary: a;b") && !parses("Vary: a\x80"));
  CHECK(parses("Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p"));
  CHECK(parses("Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,A,P"));
  CHECK(!parses("Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"));
}

/* The key that a request has of a response with these lines; "-": none. */
static struct str key_of(const char *response, const char *request, unsigned codings) {
  struct headers answer = heads_fields(response), asked = heads_fields(request);
  struct vary vary;
  struct str key;
  if (!vary_parse(&answer, &vary) || !vary_key(&vary, &asked, codings, heads_arena(), &key)) return STR("-");
  return key;
}
static bool match(const char *response, const char *a, const char *b) {
  bool are_same = str_equal(key_of(response, a, CODINGS_ALL), key_of(response, b, CODINGS_ALL));
  heads_free();
  return are_same;
}

IT("tells requests apart by the named fields alone") {
  CHECK(match("Vary: Foo", "Foo: 1", "foo: 1\nOther: 2"));
  CHECK(!match("Vary: Foo", "Foo: 1", "Foo: 2"));
  CHECK(!match("Vary: Foo", "Foo: 1", "") && !match("Vary: Foo", "Foo:", ""));
  CHECK(match("Vary: Foo, Bar, Baz", "Foo: 1\nBaz: 789", "Baz: 789\nFoo: 1"));
  CHECK(!match("Vary: Foo, Bar, Baz", "Foo: 1\nBar: abc\nBaz: 789", "Foo: 1\nBaz: 789\nBar: abcde"));
  CHECK(!match("Vary: Foo", "Foo: A", "Foo: a"));
  CHECK(match("", "Foo: 1", "Foo: 2"));
}

IT("joins lines and drops white space around commas, but not inside of quotes") {
  CHECK(match("Vary: Foo", "Foo: 1, 2", "Foo: 1\nFoo: 2"));
  CHECK(match("Vary: Foo", "Foo: 1, 2", "Foo:  1 ,\t2"));
  CHECK(!match("Vary: Foo", "Foo: \"1, 2\"", "Foo: \"1,2\""));
  CHECK(!match("Vary: Foo", "Foo: 1 2", "Foo: 12"));
  CHECK(!match("Vary: Foo", "Foo: 1, 2", "Foo: 2, 1"));
}

IT("has no two requests that differ share a key: values and names cannot run into each other") {
  CHECK(!match("Vary: A, B", "A: 1\nB: 2", "A: 1B: 2"));
  CHECK(!match("Vary: A, B", "A: =1", "B: =1"));
  CHECK(!match("Vary: A, AB", "A: b=", "AB:"));
  CHECK(!str_equal(key_of("Vary: A", "A: 1", 0), key_of("Vary: B", "B: 1", 0)));
  heads_free();
}

IT("writes names in order and in lower case, each once") {
  CHECK_STR(key_of("Vary: B, a, b", "A: 1\nB: 2, 3", 0), "a=1\nb=2,3\n");
  CHECK_STR(key_of("Vary: B, a", "B: x", 0), "a;\nb=x\n");
  CHECK_STR(
      key_of("Vary: X-Long-Name-Beyond-What-Any-Small-Buffer-Of-Sixty-Four-Bytes-Would-Hold-In-One-Piece", "",
             0),
      "x-long-name-beyond-what-any-small-buffer-of-sixty-four-bytes-would-hold-in-one-piece;\n");
  CHECK_STR(key_of("", "A: 1", 0), "");
  heads_free();
}

IT("keys Accept-Encoding by the codings that are accepted") {
  CHECK(match("Vary: Accept-Encoding", "Accept-Encoding: gzip, br", "Accept-Encoding: br;q=0.5,gzip, foo"));
  CHECK(match("Vary: accept-encoding", "Accept-Encoding:", ""));
  CHECK(!match("Vary: Accept-Encoding", "Accept-Encoding: gzip", "Accept-Encoding: br"));
  CHECK_STR(key_of("Vary: Accept-Encoding", "Accept-Encoding: gzip, br", CODINGS_GZIP | CODINGS_IDENTITY),
            "accept-encoding=gzip,identity,\n");
  CHECK_STR(key_of("Vary: Accept-Encoding", "Accept-Encoding: gzip, br", CODINGS_NONE),
            "accept-encoding=gzip,br\n");
  heads_free();
}

IT("has no key for a request that would make it longer than its bound") {
  static char line[VARY_KEY_BYTES + 10];
  memset(line, 'x', sizeof line - 1);
  memcpy(line, "A: ", 3);
  line[3 + VARY_KEY_BYTES - 3] = 0;
  CHECK(key_of("Vary: A", line, 0).len == VARY_KEY_BYTES);
  CHECK_STR(key_of("Vary: A, B", line, 0), "-");
  heads_free();
  line[3 + VARY_KEY_BYTES - 3] = 'x';
  line[3 + VARY_KEY_BYTES - 2] = 0;
  CHECK_STR(key_of("Vary: A", line, 0), "-");
  CHECK_STR(key_of("Vary: A, B, C", line, 0), "-");
  heads_free();
}

IT("says whether two responses vary on the same") {
  struct headers a = heads_fields("Vary: Foo, bar"), b = heads_fields("Vary: BAR\nVary: foo"),
                 c = heads_fields("Vary: foo");
  struct vary of_a, of_b, of_c;
  CHECK(vary_parse(&a, &of_a) && vary_parse(&b, &of_b) && vary_parse(&c, &of_c));
  CHECK(vary_is_same(&of_a, &of_b) && !vary_is_same(&of_a, &of_c) && !vary_is_same(&of_c, &of_b));
  heads_free();
}
