// SPDX-License-Identifier: Apache-2.0
// Units for http/accept_encoding (RFC 9110 section 12.5.3).
#include "http/accept_encoding.h"

#include "heads.h"
#include "unit.h"

static void check_of(const char *lines, unsigned offered, const char *wanted) {
  struct headers h = heads_fields(lines);
  struct accept_encoding accept;
  accept_encoding_parse(&h, &accept);
  CHECK_STR(coding_name(accept_encoding_choose(&accept, offered)), wanted);
  heads_free();
}
#define CHOOSES(value, wanted) check_of("Accept-Encoding: " value, CODINGS_ALL, wanted)

IT("knows the codings by name in any case, x-gzip among them (section 8.4.1)") {
  CHECK(coding_of(STR("gzip")) == CODING_GZIP && coding_of(STR("X-Gzip")) == CODING_GZIP);
  CHECK(coding_of(STR("BR")) == CODING_BR && coding_of(STR("zstd")) == CODING_ZSTD);
  CHECK(coding_of(STR("deflate")) == CODING_DEFLATE && coding_of(STR("identity")) == CODING_IDENTITY);
  CHECK(coding_of(STR("")) == CODING_COUNT && coding_of(STR("gzi")) == CODING_COUNT);
  CHECK(coding_of(STR("compress")) == CODING_COUNT && coding_of(STR("*")) == CODING_COUNT);
}

IT("takes the coding of the highest weight, and among equals the server's order") {
  CHOOSES("gzip, deflate, br, zstd", "zstd");
  CHOOSES("gzip, deflate, br", "br");
  CHOOSES("gzip;q=1.0, br;q=0.5, zstd;q=0.9", "gzip");
  CHOOSES("br;q=0.999, gzip;q=0.998", "br");
  CHOOSES("deflate", "deflate");
  CHOOSES("X-GZIP", "gzip");
  check_of("Accept-Encoding: gzip\nAccept-Encoding: br", CODINGS_ALL, "br");
  check_of("Accept-Encoding: br, gzip", CODINGS_GZIP | CODINGS_IDENTITY, "gzip");
  check_of("Accept-Encoding: br", CODINGS_GZIP | CODINGS_IDENTITY, "identity");
}

IT("sends no coding that was not asked for: no field, an empty one, unknown names") {
  check_of("", CODINGS_ALL, "identity");
  CHOOSES("", "identity");
  CHOOSES(",", "identity");
  CHOOSES("compress, foo;q=1", "identity");
}

IT("takes q=0 for a refusal") {
  CHOOSES("gzip;q=0", "identity");
  CHOOSES("gzip;q=0.000, br;q=0", "identity");
  CHOOSES("gzip;q=0, *", "zstd");
  CHOOSES("zstd;q=0, br;q=0, *;q=0.1", "gzip");
  CHOOSES("*;q=0", "identity");
  CHOOSES("*;q=0, gzip", "gzip");
}

IT("lets * stand for whatever is not named") {
  CHOOSES("*", "zstd");
  CHOOSES("*;q=0.5, gzip;q=0.6", "gzip");
  CHOOSES("gzip;q=0.4, *;q=0.5", "zstd");
}

IT("likes identity least, unless it has a weight of its own") {
  CHOOSES("gzip;q=0.001", "gzip");
  CHOOSES("identity, gzip", "gzip");
  CHOOSES("identity;q=1, gzip;q=0.5", "identity");
  CHOOSES("identity;q=0.5, gzip;q=0.5", "gzip");
}

IT("sends identity where even that is refused and nothing else fits: kinder than 406") {
  CHOOSES("identity;q=0", "identity");
  CHOOSES("identity;q=0, *;q=0", "identity");
  CHOOSES("identity;q=0, gzip;q=0.1", "gzip");
  check_of("Accept-Encoding: identity;q=0, br", CODINGS_IDENTITY, "identity");
}

IT("ignores a member that is malformed, and only that one") {
  static const char *const bad[] = {"br;q=2",    "br;q=1.001", "br;q=0.1234", "br;q=",   "br;q",
                                    "br;q=.5",   "br;x=1",     "br q=1",      "br;q=-1", "br;q=0.5;x=1",
                                    ";q=1",      "br;q=\"1\"", "b\x01r",      "br;q=1x", "br;qq=1",
                                    "br;q=00.5", "br;"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char line[100] = "Accept-Encoding: ";
    strcat(strcat(line, bad[i]), ", gzip;q=0.1");
    check_of(line, CODINGS_ALL, "gzip");
  }
  CHOOSES("br ; q=0.5 ,\tgzip\t;\tQ=0.4", "br");
  CHOOSES("br;q=1., gzip;q=0.9", "br");
}

IT("says which codings a client accepts, for a cache's key") {
  struct headers h = heads_fields("Accept-Encoding: br;q=0.1, gzip;q=0, deflate");
  struct accept_encoding accept;
  accept_encoding_parse(&h, &accept);
  CHECK(accept_encoding_set(&accept, CODINGS_ALL) == (CODINGS_BR | CODINGS_DEFLATE | CODINGS_IDENTITY));
  CHECK(accept_encoding_set(&accept, CODINGS_GZIP | CODINGS_BR) == CODINGS_BR);
  heads_free();
}
