// SPDX-License-Identifier: Apache-2.0
// Units for http/cache_status (RFC 9211).
#include "http/cache_status.h"

#include "heads.h"
#include "http/structured.h"
#include "unit.h"

/* Each text must also be a list of one member with parameters. */
static void check_text(struct cache_status status, const char *wanted) {
  struct str text = cache_status_text(&status, heads_arena());
  struct structured s = structured_begin(text);
  struct structured_value value;
  CHECK_STR(text, wanted);
  CHECK(structured_next(&s, &value) && !structured_next(&s, &value) && !s.failed);
  heads_free();
}

IT("writes a hit with what is left of its lifetime (sections 2.1 and 2.4)") {
  check_text((struct cache_status){.cache = STR("perilune")}, "perilune; hit");
  check_text((struct cache_status){.cache = STR("perilune"), .has_ttl = true, .ttl_s = 376},
             "perilune; hit; ttl=376");
  check_text((struct cache_status){.cache = STR("perilune"),
                                   .has_ttl = true,
                                   .ttl_s = -412,
                                   .stored = true,
                                   .collapsed = true,
                                   .forward_status = 200},
             "perilune; hit; ttl=-412");
}

IT("writes why a request was forwarded, and what came of it (sections 2.2 to 2.7)") {
  check_text(
      (struct cache_status){.cache = STR("perilune"), .forward = CACHE_FORWARD_URI_MISS, .stored = true},
      "perilune; fwd=uri-miss; stored");
  check_text((struct cache_status){.cache = STR("perilune"),
                                   .forward = CACHE_FORWARD_STALE,
                                   .forward_status = 304,
                                   .has_ttl = true,
                                   .ttl_s = 60,
                                   .collapsed = true},
             "perilune; fwd=stale; fwd-status=304; ttl=60; collapsed");
  check_text((struct cache_status){.cache = STR("perilune"),
                                   .forward = CACHE_FORWARD_VARY_MISS,
                                   .detail = STR("no_store")},
             "perilune; fwd=vary-miss; detail=no_store");
}

IT("quotes names, keys and details that are no tokens, and what no string may hold") {
  check_text((struct cache_status){.cache = STR("my \"cache\" \\"), .key = STR("/a\xc3\xbc?b\x01")},
             "\"my \\\"cache\\\" \\\\\"; hit; key=\"/a???b?\"");
  check_text((struct cache_status){.cache = STR("1st"), .detail = STR("a b")},
             "\"1st\"; hit; detail=\"a b\"");
}
