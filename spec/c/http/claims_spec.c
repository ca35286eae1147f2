// SPDX-License-Identifier: Apache-2.0
// Units for http/claims.
#include "http/claims.h"

#include <stdio.h>

#include "unit.h"

static bool is_claim(const char *name) {
  struct field field = {.name = str_of(name), .id = field_id(str_of(name))};
  return claims_is_one(&field);
}

IT("knows the whole family by its names, in any case, with dashes and underscores") {
  static const char *const names[] = {"Forwarded",
                                      "X-Forwarded-For",
                                      "x-forwarded-PROTO",
                                      "X-Forwarded-Host",
                                      "X-Forwarded-Port",
                                      "X-Forwarded-Prefix",
                                      "X-Forwarded-Client-Cert",
                                      "X-Forwarded",
                                      "X-Forwarded-",
                                      "X_Forwarded_For",
                                      "X-Forwarded_Port",
                                      "x_forwarded",
                                      "X-Real-IP",
                                      "X_REAL_IP",
                                      "x-real_ip"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!CHECK(is_claim(names[i]))) printf("%s\n", names[i]);
}

IT("knows no other name") {
  static const char *const names[] = {
      "Forwarde", "Forwarded-For",    "X-Forward", "X-Forwardedness", "X-Real-IPs",
      "X-Real",   "XX-Forwarded-For", "Host",      "True-Client-IP",  "Via",
      "X"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!CHECK(!is_claim(names[i]))) printf("%s\n", names[i]);
}

IT("takes nothing but an IP address for one (RFC 7239 section 6.3)") {
  struct arena arena;
  arena_init(&arena);
  CHECK_STR(claims_address(STR("192.0.2.1")), "192.0.2.1");
  CHECK_STR(claims_address(STR("fe80::1%2")), "fe80::1");
  CHECK_STR(claims_address(STR("unix:")), "unknown");
  CHECK_STR(claims_address(STR("unix:/a.b:c")), "unknown");
  CHECK_STR(claims_address(STR("unknown")), "unknown");
  CHECK_STR(claims_address(STR("")), "unknown");
  CHECK_STR(claims_node(STR("::1"), &arena), "\"[::1]\"");
  CHECK_STR(claims_node(STR("192.0.2.1"), &arena), "192.0.2.1");
  CHECK_STR(claims_node(STR("unix:"), &arena), "unknown");
  arena_free(&arena);
}

IT("sees a list whose quotes are open") {
  CHECK(claims_is_closed(STR("for=\"[::1]\";by=a")));
  CHECK(claims_is_closed(STR("for=\"a\\\"b\"")));
  CHECK(!claims_is_closed(STR("for=\"")));
  CHECK(!claims_is_closed(STR("for=\"a\\\"")));
  CHECK(!claims_is_closed(STR("for=\"a\\")));
}
