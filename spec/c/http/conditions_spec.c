// SPDX-License-Identifier: Apache-2.0
// Units for http/etag and http/conditions (RFC 9110 section 13).
#include "http/conditions.h"

#include "heads.h"
#include "unit.h"

enum { NOW = 1764460800 };
#define EARLY  "Sun, 06 Nov 1994 08:49:36 GMT"
#define MIDDLE "Sun, 06 Nov 1994 08:49:37 GMT"
#define LATE   "Sun, 06 Nov 1994 08:49:38 GMT"

static struct etag tag(const char *value) {
  struct headers h = heads_fields("");
  headers_add(&h, STR("ETag"), arena_dup(heads_arena(), str_of(value)));
  return etag_of(&h);
}

IT("reads entity tags strictly (section 8.8.3)") {
  CHECK_STR(tag("\"a\"").opaque, "\"a\"");
  CHECK_STR(tag("\"\"").opaque, "\"\"");
  CHECK_STR(tag("W/\"a,b\"").opaque, "\"a,b\"");
  CHECK(tag("W/\"a\"").is_weak && !tag("\"a\"").is_weak);
  CHECK_STR(tag("\"\xc3\xbc\"").opaque, "\"\xc3\xbc\"");
  static const char *const bad[] = {"",          "a",       "w/\"a\"", "W/",      "W/a",    "W\"a\"",
                                    "W\\\"a\"",  "\"a",     "\"",      "\"a b\"", "\"a\"x", "\"a\", \"b\"",
                                    "\"a\x7f\"", "W/ \"a\""};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!tag(bad[i]).opaque.len);
  struct headers two = heads_fields("ETag: \"a\"\nETag: \"a\"");
  CHECK(!etag_of(&two).opaque.len);
  heads_free();
}

IT("compares them strongly and weakly (section 8.8.3.2)") {
  struct etag weak1 = tag("W/\"1\""), weak2 = tag("W/\"2\""), strong = tag("\"1\""), none = {0};
  CHECK(!etag_equal(weak1, weak1, true) && etag_equal(weak1, weak1, false));
  CHECK(!etag_equal(weak1, weak2, true) && !etag_equal(weak1, weak2, false));
  CHECK(!etag_equal(weak1, strong, true) && etag_equal(weak1, strong, false));
  CHECK(etag_equal(strong, strong, true) && etag_equal(strong, strong, false));
  CHECK(!etag_equal(none, none, false) && !etag_equal(none, strong, false) &&
        !etag_equal(strong, none, false));
  heads_free();
}

static enum condition ask(bool is_origin, const char *method, unsigned status, const char *asked,
                          const char *stored) {
  struct headers response = heads_fields(stored);
  struct request request = {.method = method_of(str_of(method)), .headers = heads_fields(asked)};
  struct validators v;
  validators_of(&v, &response, NOW);
  enum condition condition = is_origin ? condition_for_origin(&request, status, &v, NOW)
                                       : condition_for_cache(&request, status, &v, NOW);
  heads_free();
  return condition;
}
static enum condition cache(const char *asked, const char *stored) {
  return ask(false, "GET", 200, asked, stored);
}
static enum condition origin(const char *asked, const char *stored) {
  return ask(true, "GET", 200, asked, stored);
}

IT("answers If-None-Match by weak comparison (section 13.1.2)") {
  CHECK(cache("If-None-Match: \"a\"", "ETag: \"a\"") == CONDITION_NOT_MODIFIED);
  CHECK(cache("If-None-Match: W/\"a\"", "ETag: \"a\"") == CONDITION_NOT_MODIFIED);
  CHECK(cache("If-None-Match: \"a\"", "ETag: W/\"a\"") == CONDITION_NOT_MODIFIED);
  CHECK(cache("If-None-Match: \"x\", \"a\" , \"y\"", "ETag: \"a\"") == CONDITION_NOT_MODIFIED);
  CHECK(cache("If-None-Match: \"x\"\nIf-None-Match: \"a\"", "ETag: \"a\"") == CONDITION_NOT_MODIFIED);
  CHECK(cache("If-None-Match: \"x,\",\"a,b\"", "ETag: \"a,b\"") == CONDITION_NOT_MODIFIED);
  CHECK(cache("If-None-Match: *", "ETag: \"a\"") == CONDITION_NOT_MODIFIED);
  CHECK(cache("If-None-Match: *", "") == CONDITION_NOT_MODIFIED);
  CHECK(cache("If-None-Match: \"b\"", "ETag: \"a\"") == CONDITION_NONE);
  CHECK(cache("If-None-Match: \"a\"", "") == CONDITION_NONE);
  CHECK(cache("If-None-Match:", "ETag: \"a\"") == CONDITION_NONE);
}

IT("lets members of If-None-Match that are no tags match nothing, and goes on behind them") {
  CHECK(cache("If-None-Match: a", "ETag: \"a\"") == CONDITION_NONE);
  CHECK(cache("If-None-Match: a", "ETag: a") == CONDITION_NONE);
  CHECK(cache("If-None-Match: w/\"a\"", "ETag: \"a\"") == CONDITION_NONE);
  CHECK(cache("If-None-Match: \"a\"x", "ETag: \"a\"") == CONDITION_NONE);
  CHECK(cache("If-None-Match: x, \"a\"", "ETag: \"a\"") == CONDITION_NOT_MODIFIED);
  CHECK(cache("If-None-Match: \"b, \"a\"", "ETag: \"a\"") == CONDITION_NOT_MODIFIED);
  CHECK(cache("If-None-Match: W/, ,\"a\"", "ETag: \"a\"") == CONDITION_NOT_MODIFIED);
}

IT("answers If-Modified-Since by Last-Modified, Date, or when it came in (section 13.1.3, RFC 9111 section "
   "4.3.2)") {
  CHECK(cache("If-Modified-Since: " MIDDLE, "Last-Modified: " MIDDLE) == CONDITION_NOT_MODIFIED);
  CHECK(cache("If-Modified-Since: " LATE, "Last-Modified: " MIDDLE) == CONDITION_NOT_MODIFIED);
  CHECK(cache("If-Modified-Since: " EARLY, "Last-Modified: " MIDDLE) == CONDITION_NONE);
  CHECK(cache("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT", "Last-Modified: " MIDDLE) ==
        CONDITION_NOT_MODIFIED);
  CHECK(cache("If-Modified-Since: " MIDDLE, "Date: " MIDDLE) == CONDITION_NOT_MODIFIED);
  CHECK(cache("If-Modified-Since: " MIDDLE, "Date: " LATE) == CONDITION_NONE);
  CHECK(cache("If-Modified-Since: " MIDDLE, "") == CONDITION_NONE);
  CHECK(cache("If-Modified-Since: Fri, 31 Dec 2049 23:59:59 GMT", "") == CONDITION_NOT_MODIFIED);
  CHECK(cache("If-Modified-Since: nonsense", "Last-Modified: " MIDDLE) == CONDITION_NONE);
  CHECK(cache("If-Modified-Since: " LATE "\nIf-Modified-Since: " LATE, "Last-Modified: " MIDDLE) ==
        CONDITION_NONE);
}

IT("asks If-None-Match before If-Modified-Since, which then does not count (section 13.2.2)") {
  const char *stored = "ETag: \"a\"\nLast-Modified: " MIDDLE;
  CHECK(cache("If-None-Match: \"a\"\nIf-Modified-Since: " EARLY, stored) == CONDITION_NOT_MODIFIED);
  CHECK(cache("If-None-Match: \"b\"\nIf-Modified-Since: " LATE, stored) == CONDITION_NONE);
}

IT("holds conditions only against what would be a success (section 13.2.1)") {
  CHECK(ask(false, "GET", 404, "If-None-Match: \"a\"", "ETag: \"a\"") == CONDITION_NONE);
  CHECK(ask(false, "GET", 204, "If-None-Match: \"a\"", "ETag: \"a\"") == CONDITION_NOT_MODIFIED);
  CHECK(ask(false, "HEAD", 200, "If-None-Match: \"a\"", "ETag: \"a\"") == CONDITION_NOT_MODIFIED);
  CHECK(ask(true, "GET", 404, "If-Match: \"a\"", "") == CONDITION_NONE);
}

IT("forwards what a cache cannot tell: If-Match, If-Unmodified-Since, other methods (RFC 9111 section "
   "4.3.2)") {
  CHECK(cache("If-Match: \"a\"", "ETag: \"a\"") == CONDITION_FORWARD);
  CHECK(cache("If-Unmodified-Since: " LATE "\nIf-None-Match: \"a\"", "ETag: \"a\"") == CONDITION_FORWARD);
  CHECK(ask(false, "PUT", 200, "If-None-Match: *", "") == CONDITION_FORWARD);
}

IT("answers for an origin in the order of section 13.2.2") {
  const char *stored = "ETag: \"a\"\nLast-Modified: " MIDDLE;
  CHECK(origin("If-Match: \"a\"", stored) == CONDITION_NONE);
  CHECK(origin("If-Match: *", stored) == CONDITION_NONE);
  CHECK(origin("If-Match: W/\"a\"", stored) == CONDITION_FAILED);
  CHECK(origin("If-Match: \"a\"", "ETag: W/\"a\"") == CONDITION_FAILED);
  CHECK(origin("If-Match: \"b\"", stored) == CONDITION_FAILED);
  CHECK(origin("If-Match: \"a\"\nIf-Unmodified-Since: " EARLY, stored) == CONDITION_NONE);
  CHECK(origin("If-Match: \"a\"\nIf-None-Match: \"a\"", stored) == CONDITION_NOT_MODIFIED);
  CHECK(origin("If-Unmodified-Since: " EARLY, stored) == CONDITION_FAILED);
  CHECK(origin("If-Unmodified-Since: " MIDDLE, stored) == CONDITION_NONE);
  CHECK(origin("If-Unmodified-Since: " EARLY, "ETag: \"a\"") == CONDITION_NONE);
  CHECK(origin("If-Unmodified-Since: x", stored) == CONDITION_NONE);
  CHECK(ask(true, "PUT", 200, "If-None-Match: *", stored) == CONDITION_FAILED);
  CHECK(ask(true, "PUT", 200, "If-None-Match: \"b\"", stored) == CONDITION_NONE);
  CHECK(ask(true, "PUT", 200, "If-Modified-Since: " LATE, stored) == CONDITION_NONE);
}

static bool range_counts(const char *asked, const char *stored) {
  struct headers response = heads_fields(stored), request = heads_fields(asked);
  struct validators v;
  validators_of(&v, &response, NOW);
  bool counts = condition_if_range(&request, &v, NOW);
  heads_free();
  return counts;
}

IT("lets a range count only for exactly the representation that If-Range names (section 13.1.5)") {
  CHECK(range_counts("", ""));
  CHECK(range_counts("If-Range: \"a\"", "ETag: \"a\""));
  CHECK(!range_counts("If-Range: W/\"a\"", "ETag: W/\"a\"") &&
        !range_counts("If-Range: \"a\"", "ETag: W/\"a\""));
  CHECK(!range_counts("If-Range: \"b\"", "ETag: \"a\"") && !range_counts("If-Range: \"a\"", ""));
  CHECK(!range_counts("If-Range: \"a\", \"b\"", "ETag: \"a\"") &&
        !range_counts("If-Range: *", "ETag: \"a\""));
  CHECK(!range_counts("If-Range: \"a\"\nIf-Range: \"a\"", "ETag: \"a\"") &&
        !range_counts("If-Range:", "ETag: \"a\""));
  CHECK(range_counts("If-Range: " MIDDLE, "Last-Modified: " MIDDLE "\nDate: " LATE));
  CHECK(!range_counts("If-Range: " MIDDLE, "Last-Modified: " MIDDLE "\nDate: " MIDDLE));
  CHECK(!range_counts("If-Range: " LATE, "Last-Modified: " MIDDLE "\nDate: Mon, 07 Nov 1994 08:49:38 GMT"));
  CHECK(!range_counts("If-Range: " MIDDLE, "Date: " MIDDLE));
}

IT("asks with conditions of its own in place of the client's (RFC 9111 section 4.3.1)") {
  const char *asked = "A: 1\nIf-Match: x\nif-none-match: y\nIf-Modified-Since: z\nIf-Unmodified-Since: "
                      "z\nIf-Range: z\nRange: r";
  struct headers request = heads_fields(asked),
                 stored = heads_fields("ETag: W/\"a\"\nLast-Modified: " MIDDLE);
  condition_ask(&request, &stored);
  heads_check_fields(&request, "A=1 If-None-Match=W/\"a\" If-Modified-Since=" MIDDLE " ");
  request = heads_fields(asked);
  stored = heads_fields("ETag: a\nETag: b\nLast-Modified: odd");
  condition_ask(&request, &stored);
  heads_check_fields(&request, "A=1 If-Modified-Since=odd ");
  heads_free();
}

IT("sends with a 304 what is not of the content (RFC 9110 section 15.4.5)") {
  struct headers h =
      heads_fields("ETag: 1\nContent-Location: 1\nDate: 1\nVary: 1\nCache-Control: 1\nExpires: 1\nX: 1\n"
                   "Content-Security-Policy: 1\nAge: 1\nContent-Length: 0\ncontent-type: 0\nTrailer: 0\n"
                   "Content-Encoding: 0\nContent-Range: 0\nContent-Digest: 0\nTransfer-Encoding: 0");
  condition_leave_out(&h);
  heads_check_fields(&h, "ETag=1 Content-Location=1 Date=1 Vary=1 Cache-Control=1 Expires=1 X=1 "
                         "Content-Security-Policy=1 Age=1 ");
  heads_free();
}
