// SPDX-License-Identifier: Apache-2.0
// Units for http/reuse (RFC 9111 sections 4 and 5.2.1, RFC 5861).
#include "http/reuse.h"

#include "heads.h"
#include "unit.h"

static const struct reuse_rules obeying = {.obeys_request = true}, ignoring = {0};

static enum reuse decide(const struct reuse_rules *rules, struct freshness f, unsigned kept_s,
                         const char *asked) {
  struct headers h = heads_fields(asked);
  struct cache_control cc;
  cache_control_of_request(&h, &cc);
  heads_free();
  return reuse_decide(&f, kept_s * UINT64_C(1000), &cc, rules);
}
static enum reuse obey(unsigned lifetime, unsigned kept_s, const char *asked) {
  return decide(&obeying, (struct freshness){.lifetime_s = lifetime}, kept_s, asked);
}

IT("answers with what is fresh, and asks when it is stale") {
  CHECK(obey(10, 9, "") == REUSE_FRESH && obey(10, 10, "") == REUSE_VALIDATE &&
        obey(0, 0, "") == REUSE_VALIDATE);
  struct freshness old = {.lifetime_s = 10, .initial_age_ms = 6000};
  CHECK(decide(&obeying, old, 3, "") == REUSE_FRESH && decide(&obeying, old, 4, "") == REUSE_VALIDATE);
}

IT("always asks where the response says no-cache (section 5.2.2.4)") {
  struct freshness f = {.lifetime_s = 10, .is_validated_always = true, .is_never_stale = true};
  CHECK(decide(&obeying, f, 0, "") == REUSE_VALIDATE);
  CHECK(decide(&obeying, f, 0, "Cache-Control: max-stale") == REUSE_VALIDATE);
  CHECK(!reuse_on_error(&f, 0, 503));
}

IT("answers stale while it is fetched anew, as long as the response allows (RFC 5861 section 3)") {
  struct freshness f = {.lifetime_s = 10, .while_revalidate_s = 5};
  CHECK(decide(&ignoring, f, 9, "") == REUSE_FRESH);
  CHECK(decide(&ignoring, f, 10, "") == REUSE_WHILE_REVALIDATE &&
        decide(&ignoring, f, 14, "") == REUSE_WHILE_REVALIDATE);
  CHECK(decide(&ignoring, f, 15, "") == REUSE_VALIDATE);
  f.is_never_stale = true;
  CHECK(decide(&ignoring, f, 10, "") == REUSE_VALIDATE);
}

IT("obeys the client where it is told to (section 5.2.1)") {
  CHECK(obey(10, 1, "Cache-Control: no-cache") == REUSE_ASKED &&
        obey(10, 1, "Pragma: no-cache") == REUSE_ASKED);
  CHECK(obey(10, 0, "Cache-Control: max-age=0") == REUSE_ASKED);
  CHECK(obey(10, 4, "Cache-Control: max-age=5") == REUSE_FRESH &&
        obey(10, 5, "Cache-Control: max-age=5") == REUSE_ASKED);
  CHECK(obey(10, 4, "Cache-Control: min-fresh=6") == REUSE_FRESH &&
        obey(10, 4, "Cache-Control: min-fresh=7") == REUSE_ASKED);
  CHECK(obey(10, 15, "Cache-Control: max-stale=5") == REUSE_FRESH &&
        obey(10, 16, "Cache-Control: max-stale=5") == REUSE_VALIDATE);
  CHECK(obey(10, 1000000, "Cache-Control: max-stale") == REUSE_FRESH);
  CHECK(obey(10, 1, "Cache-Control: only-if-cached") == REUSE_FRESH);
  struct freshness strict = {.lifetime_s = 10, .is_never_stale = true};
  CHECK(decide(&obeying, strict, 10, "Cache-Control: max-stale") == REUSE_VALIDATE);
}

IT("does not let the client past the cache otherwise") {
  struct freshness f = {.lifetime_s = 10};
  CHECK(decide(&ignoring, f, 1, "Cache-Control: no-cache, max-age=0, min-fresh=100") == REUSE_FRESH);
  CHECK(decide(&ignoring, f, 10, "Cache-Control: max-stale") == REUSE_VALIDATE);
}

IT("answers with what it has when the peer fails, as long as the response allows (RFC 5861 section 4)") {
  struct freshness f = {.lifetime_s = 10, .if_error_s = 5};
  static const unsigned errors[] = {0, 500, 502, 503, 504}, others[] = {200, 304, 404, 501, 505, 429};
  for (unsigned i = 0; i < 5; i++) CHECK(reuse_is_error(errors[i]) && reuse_on_error(&f, 14999, errors[i]));
  for (unsigned i = 0; i < 6; i++) CHECK(!reuse_is_error(others[i]) && !reuse_on_error(&f, 0, others[i]));
  CHECK(!reuse_on_error(&f, 15000, 503));
  f.is_never_stale = true;
  CHECK(!reuse_on_error(&f, 10000, 503));
  CHECK(reuse_on_error(&f, 9999, 503));
}

IT("lets a success of an unsafe or unknown method make the target stale (section 4.4)") {
  static const char *const unsafe[] = {"POST", "PUT", "DELETE", "PATCH", "M-SEARCH"}, *const safe[] = {
                                                                                          "GET", "HEAD",
                                                                                          "OPTIONS", "TRACE"};
  for (unsigned i = 0; i < 5; i++) {
    enum method method = method_of(str_of(unsafe[i]));
    CHECK(invalidates(method, 200) && invalidates(method, 204) && invalidates(method, 303) &&
          invalidates(method, 399));
    CHECK(!invalidates(method, 400) && !invalidates(method, 500) && !invalidates(method, 100));
  }
  for (unsigned i = 0; i < 4; i++) CHECK(!invalidates(method_of(str_of(safe[i])), 200));
  CHECK(!invalidates(METHOD_CONNECT, 200));
}

static void check_target(const char *value, const char *wanted) {
  CHECK_STR(invalidated_target(arena_dup(heads_arena(), str_of(value)), STR("https"), STR("a.example:8443")),
            wanted);
  heads_free();
}

IT("finds the target that Location names at the same origin, and no other (section 4.4)") {
  check_target("/x?y", "/x?y");
  check_target("https://a.example:8443/x?y#f", "/x?y");
  check_target("HTTPS://A.Example:8443/x", "/x");
  check_target("https://a.example:8443", "/");
  check_target("//a.example:8443/x", "/x");
  check_target("http://a.example:8443/x", "");
  check_target("https://b.example:8443/x", "");
  check_target("https://a.example:84430/x", "");
  check_target("https://a.example:8443@b.example/x", "");
  check_target("https://a.example:8443.b.example/x", "");
  check_target("//b.example/x", "");
  check_target("https:/x", "");
  check_target("x", "");
  check_target("", "");
  check_target("#x", "");
  check_target("/a b", "");
  check_target("/\x01", "");
}
