// SPDX-License-Identifier: Apache-2.0
// Units for http/renewal (RFC 9111 sections 3.2, 4.3.4 and 4.3.5).
#include "http/renewal.h"

#include "heads.h"
#include "unit.h"

#define MIDDLE "Sun, 06 Nov 1994 08:49:37 GMT"
#define LATE   "Sun, 06 Nov 1994 08:49:38 GMT"

static bool is_about(const char *stored, const char *answer, bool is_only_one) {
  struct headers a = heads_fields(stored), b = heads_fields(answer);
  bool is = renewal_is_about(&a, &b, is_only_one, 1764460800);
  heads_free();
  return is;
}

IT("finds the stored response that a 304 is about (section 4.3.4)") {
  CHECK(is_about("ETag: \"a\"", "ETag: \"a\"", false) && !is_about("ETag: \"b\"", "ETag: \"a\"", true));
  CHECK(!is_about("ETag: W/\"a\"", "ETag: \"a\"", true) && !is_about("", "ETag: \"a\"", true));
  CHECK(is_about("ETag: W/\"a\"", "ETag: W/\"a\"", false));
  CHECK(is_about("ETag: \"a\"", "ETag: W/\"a\"", true) && !is_about("ETag: \"a\"", "ETag: W/\"a\"", false));
  CHECK(is_about("Last-Modified: " MIDDLE, "Last-Modified: " MIDDLE, false));
  CHECK(!is_about("Last-Modified: " MIDDLE, "Last-Modified: " LATE, true));
  CHECK(!is_about("", "Last-Modified: " LATE, true));
  CHECK(is_about("ETag: \"a\"", "", true) && !is_about("ETag: \"a\"", "", false));
}

static void check_merge(const char *stored, const char *answer, const char *wanted) {
  struct headers a = heads_fields(stored), b = heads_fields(answer), merged;
  renewal_merge(&merged, &a, &b, &(struct storable_rules){0}, heads_arena());
  heads_check_fields(&merged, wanted);
  heads_free();
}

IT("takes the fields of the answer in place of those of the same name, and keeps the others (section 3.2)") {
  check_merge("A: 1\nCache-Control: max-age=1\nB: 2", "cache-control: max-age=3600\nC: 3",
              "A=1 B=2 cache-control=max-age=3600 C=3 ");
  check_merge("A: 1\nX: 2\na: 3", "A: 4\nA: 5", "X=2 A=4 A=5 ");
  check_merge("A: 1", "", "A=1 ");
  check_merge("ETag: \"a\"\nExpires: x\nX-Frame-Options: deny",
              "ETag: \"b\"\nExpires: y\nX-Frame-Options: sameorigin",
              "ETag=\"b\" Expires=y X-Frame-Options=sameorigin ");
}

IT("keeps what describes the stored body, and takes nothing that is not stored (sections 3.1 and 3.2)") {
  check_merge(
      "Content-Length: 36\nContent-Type: a\nContent-Encoding: gzip\nA: 1",
      "Content-Length: 10\nContent-Type: b\nContent-Encoding: br\nContent-Range: x\nConnection: close\n"
      "Keep-Alive: x\nTransfer-Encoding: chunked\nAge: 5\nSet-Cookie: a=b\nContent-Location: /x",
      "Content-Length=36 Content-Type=a Content-Encoding=gzip A=1 Content-Location=/x ");
}

IT("says whether an answer varies on something else") {
  struct headers foo = heads_fields("Vary: Foo"), same = heads_fields("vary: foo"),
                 other = heads_fields("Vary: Bar"), none = heads_fields(""), all = heads_fields("Vary: *");
  CHECK(!renewal_changes_vary(&foo, &same) && !renewal_changes_vary(&foo, &none));
  CHECK(renewal_changes_vary(&foo, &other) && renewal_changes_vary(&none, &foo) &&
        renewal_changes_vary(&foo, &all));
  heads_free();
}
