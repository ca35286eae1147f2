// SPDX-License-Identifier: Apache-2.0
// Units for http/freshness (RFC 9111 section 4.2).
#include "http/freshness.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/date.h"
#include "heads.h"
#include "unit.h"

enum { NOW = 1764460800 };
static const struct freshness_times at_once = {NOW * 1000LL, NOW * 1000LL};
static const struct freshness_rules strict = {0};

/* The fields, in which {N} is the date N seconds from now. */
static struct headers fields(const char *lines) {
  char text[1000], *end = text;
  while (*lines) {
    if (*lines == '{') {
      struct str date = date_text(DATE_HTTP, NOW + strtol(lines + 1, (char **)&lines, 10));
      end += sprintf(end, "%.*s", STR_ARG(date));
      lines++;
    } else {
      *end++ = *lines++;
    }
  }
  *end = 0;
  return heads_fields(text);
}

static struct freshness of(const char *lines, unsigned status, struct freshness_times times,
                           const struct freshness_rules *rules) {
  struct response response = {.status = (unsigned short)status, .headers = fields(lines)};
  struct cache_control cc;
  struct freshness f;
  struct str targets[] = {STR("CDN-Cache-Control")};
  cache_control_of_response(&response.headers, targets, 1, heads_arena(), &cc);
  freshness_of(&f, &response, &cc, times, rules);
  heads_free();
  return f;
}
static struct freshness plain(const char *lines) { return of(lines, 200, at_once, &strict); }
static uint32_t lifetime(const char *lines) { return plain(lines).lifetime_s; }
static uint64_t age(const char *lines) { return plain(lines).initial_age_ms / 1000; }

IT("takes s-maxage before max-age before Expires less Date (section 4.2.1)") {
  CHECK(lifetime("Cache-Control: max-age=1, s-maxage=3600\nExpires: {-10}") == 3600);
  CHECK(lifetime("Cache-Control: s-maxage=1, max-age=3600") == 1);
  CHECK(lifetime("Cache-Control: max-age=3600\nExpires: {-7200}\nDate: {0}") == 3600);
  CHECK(lifetime("Cache-Control: max-age=3600\nExpires: 0") == 3600);
  CHECK(lifetime("Cache-Control: max-age=0\nExpires: {3600}\nDate: {0}") == 0);
  CHECK(lifetime("Expires: {20}\nDate: {10}") == 10);
  CHECK(lifetime("Expires: {20}") == 20);
  CHECK(lifetime("Expires: {10}\nDate: foo") == 10);
  CHECK(lifetime("X: 1") == 0 && plain("X: 1").source == FRESHNESS_NONE);
}

IT("takes an Expires that is no date, or is there twice, for the past (section 5.3)") {
  CHECK(lifetime("Expires: 0\nDate: {0}") == 0);
  CHECK(lifetime("Expires: -1") == 0);
  CHECK(lifetime("Expires: {300}\nDate: {400}") == 0);
  CHECK(lifetime("Expires: {300}\nExpires: {300}") == 0);
  CHECK(lifetime("Expires: Fri, 31 Dec 9999 23:59:59 GMT\nDate: {0}") == CACHE_SECONDS_MOST);
  CHECK(plain("Expires: x").source == FRESHNESS_EXPIRES);
}

IT("lets a targeted field replace Expires as well (RFC 9213 section 2.1)") {
  CHECK(lifetime("CDN-Cache-Control: max-age=3600\nExpires: {-10}") == 3600);
  CHECK(plain("CDN-Cache-Control: foo\nExpires: {3600}").source == FRESHNESS_NONE);
  CHECK(lifetime("CDN-Cache-Control: A\nExpires: {3600}") == 3600);
}

IT("takes the policy's lifetime where the response has none, and only there") {
  struct freshness_rules rules = {.has_default = true, .default_s = 60, .guesses = true};
  CHECK(of("X: 1", 404, at_once, &rules).lifetime_s == 60);
  CHECK(of("Last-Modified: {-1000}", 200, at_once, &rules).source == FRESHNESS_POLICY);
  CHECK(of("Expires: 0", 200, at_once, &rules).lifetime_s == 0);
  rules.default_s = UINT32_MAX;
  CHECK(of("X: 1", 200, at_once, &rules).lifetime_s == CACHE_SECONDS_MOST);
}

IT("guesses from Last-Modified when told to, for statuses that allow it (section 4.2.2)") {
  struct freshness_rules rules = {.guesses = true};
  CHECK(lifetime("Last-Modified: {-1000}\nDate: {0}") == 0);
  CHECK(of("Last-Modified: {-1000}\nDate: {0}", 200, at_once, &rules).lifetime_s == 100);
  CHECK(of("Last-Modified: {-1000}\nDate: {-500}", 200, at_once, &rules).lifetime_s == 50);
  CHECK(of("Last-Modified: {-100000000}", 200, at_once, &rules).lifetime_s == 86400);
  CHECK(of("Last-Modified: {10}", 200, at_once, &rules).source == FRESHNESS_NONE);
  CHECK(of("Last-Modified: x", 200, at_once, &rules).source == FRESHNESS_NONE);
  CHECK(of("Last-Modified: {-1000}", 599, at_once, &rules).lifetime_s == 0);
  CHECK(of("Last-Modified: {-1000}\nCache-Control: public", 599, at_once, &rules).lifetime_s == 100);
  static const unsigned guessable[] = {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501};
  unsigned found = 0;
  for (unsigned status = 100; status < 1000; status++) found += status_is_guessable(status);
  for (unsigned i = 0; i < 12; i++) CHECK(status_is_guessable(guessable[i]));
  CHECK(found == 12);
}

IT("takes the larger of the apparent age and of Age with the delay (section 4.2.3)") {
  struct freshness_times slow = {(NOW - 4) * 1000LL, NOW * 1000LL}, back = {(NOW + 9) * 1000LL, NOW * 1000LL};
  CHECK(age("Date: {0}") == 0);
  CHECK(age("Date: {-7200}") == 7200);
  CHECK(age("Date: {7200}") == 0);
  CHECK(age("Date: {-10}\nAge: 25") == 25);
  CHECK(age("Date: {-10}\nAge: 5") == 10);
  CHECK(of("Date: {0}\nAge: 30", 200, slow, &strict).initial_age_ms == 34000);
  CHECK(of("Date: {0}", 200, slow, &strict).initial_age_ms == 4000);
  CHECK(of("Date: {0}\nAge: 1", 200, back, &strict).initial_age_ms == 1000);
  CHECK(age("Date: nonsense") == 0 && age("X: 1") == 0);
  CHECK(age("Date: Sat, 01 Jan 0000 00:00:00 GMT") == CACHE_SECONDS_MOST);
}

IT("counts no part of a second for age: Date has none") {
  struct freshness_times late = {NOW * 1000LL + 999, NOW * 1000LL + 999};
  CHECK(of("Date: {0}", 200, late, &strict).initial_age_ms == 0);
}

IT("ignores an Age that is no number, and of several takes the first (section 5.1)") {
  CHECK(age("Age: abc") == 0 && age("Age: -7200") == 0 && age("Age: 7200.0") == 0 && age("Age:") == 0);
  CHECK(age("Age: 7200, 0") == 7200 && age("Age: 0, 7200") == 0 && age("Age: 0, 0") == 0);
  CHECK(age("Age: 7200\nAge: 0") == 7200 && age("Age: 0\nAge: 7200") == 0);
  CHECK(age("Age: 7200;foo=bar") == 7200);
  CHECK(age("Age: 2147483647") == 2147483647 && age("Age: 99999999999999999999") == CACHE_SECONDS_MOST);
}

IT("is fresh as long as its age is below its lifetime, to the millisecond") {
  struct freshness f = plain("Cache-Control: max-age=10\nAge: 4");
  CHECK(freshness_left_ms(&f, 0) == 6000);
  CHECK(freshness_left_ms(&f, 5999) == 1 && freshness_left_ms(&f, 6000) == 0 &&
        freshness_left_ms(&f, 9000) == -3000);
  CHECK(freshness_age_field(&f, 0) == 4 && freshness_age_field(&f, 999) == 4 &&
        freshness_age_field(&f, 1000) == 5);
  CHECK(freshness_age_field(&f, UINT64_C(1) << 50) == CACHE_SECONDS_MOST);
}

IT("has a grace where the response gives one and nothing forbids it (section 4.2.4, RFC 5861)") {
  struct freshness_rules both = {.grace_beside_s_maxage = true};
  struct freshness f = plain("Cache-Control: max-age=1, stale-while-revalidate=5, stale-if-error=6");
  CHECK(f.while_revalidate_s == 5 && f.if_error_s == 6 && !f.is_never_stale);
  static const char *const forbidding[] = {"must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=1",
                                           "no-cache=\"a\""};
  for (unsigned i = 0; i < sizeof forbidding / sizeof *forbidding; i++) {
    char line[200];
    sprintf(line, "Cache-Control: max-age=1, stale-while-revalidate=5, stale-if-error=6, %s", forbidding[i]);
    f = plain(line);
    CHECK(!f.while_revalidate_s && !f.if_error_s && f.is_never_stale);
  }
  f = of("Cache-Control: s-maxage=1, stale-while-revalidate=5, stale-if-error=6", 200, at_once, &both);
  CHECK(f.while_revalidate_s == 5 && f.if_error_s == 6 && !f.is_never_stale);
  f = of("Cache-Control: s-maxage=1, stale-if-error=6, must-revalidate", 200, at_once, &both);
  CHECK(!f.if_error_s && f.is_never_stale);
  CHECK(plain("Cache-Control: no-cache, max-age=5").is_validated_always);
}
