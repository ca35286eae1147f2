// SPDX-License-Identifier: Apache-2.0
// Units for http/cache_control (RFC 9111 section 5.2, RFC 9213).
#include "http/cache_control.h"

#include "heads.h"
#include "unit.h"

#include <stdio.h>

static void describe(const struct cache_control *cc, char *text) {
  static const char *const names[] = {
#define X(id, name, kind) name,
      CACHE_DIRECTIVES(X)
#undef X
  };
  *text = 0;
  for (enum cache_directive id = 0; id < CACHE_DIRECTIVE_COUNT; id++) {
    if (!cache_control_has(cc, id)) continue;
    text += sprintf(text, "%s", names[id]);
    if (id < CACHE_SECONDS) text += sprintf(text, "=%u", cc->seconds[id]);
    text += sprintf(text, " ");
  }
}

/* What is read of these lines, in the order of the table, each with a space behind it. */
static void check_request(const char *lines, const char *wanted) {
  struct headers h = heads_fields(lines);
  struct cache_control cc;
  char found[400];
  cache_control_of_request(&h, &cc);
  describe(&cc, found);
  CHECK_STR(str_of(found), wanted);
  heads_free();
}

static void check_response(const char *lines, const char *wanted) {
  struct headers h = heads_fields(lines);
  struct str targets[] = {STR("Perilune-Cache-Control"), STR("CDN-Cache-Control")};
  struct cache_control cc;
  char found[400];
  cache_control_of_response(&h, targets, 2, heads_arena(), &cc);
  describe(&cc, found);
  if (cc.is_targeted) strcat(found, "!");
  CHECK_STR(str_of(found), wanted);
  heads_free();
}
#define PLAIN(value, wanted) check_response("Cache-Control: " value, wanted)

IT("reads each directive, in any case and over several lines") {
  PLAIN("max-age=1, s-maxage=2", "max-age=1 s-maxage=2 ");
  PLAIN("MaX-aGe=3600\ncache-control: No-StOrE", "max-age=3600 no-store ");
  PLAIN("no-store, no-cache, private, must-revalidate, proxy-revalidate, no-transform, public, "
        "must-understand, immutable",
        "no-store no-cache private must-revalidate proxy-revalidate no-transform public must-understand "
        "immutable ");
  PLAIN("stale-while-revalidate=60, stale-if-error=70", "stale-while-revalidate=60 stale-if-error=70 ");
  check_request("Cache-Control: min-fresh=5, max-stale=6, only-if-cached",
                "min-fresh=5 max-stale=6 only-if-cached ");
}

IT("ignores what it does not know, with and without an argument (RFC 9111 section 5.2.3)") {
  PLAIN("foobar, max-age=3600, community=\"UCI, max-age=1, no-store\"", "max-age=3600 ");
  PLAIN("extension=\"max-age=3600\", max-age=1", "max-age=1 ");
  PLAIN("max-age=1, extension=\"max-age=3600\"", "max-age=1 ");
  PLAIN("maxage=1, max-agee=1, x-max-age=1, max=1", "");
  PLAIN("", "");
  PLAIN(", ,", "");
}

IT("takes quoted seconds, leading zeros, and at most 2^31 of them (section 1.2.2)") {
  PLAIN("max-age=\"3600\"", "max-age=3600 ");
  PLAIN("max-age=003600", "max-age=3600 ");
  PLAIN("max-age=2147483647", "max-age=2147483647 ");
  PLAIN("max-age=2147483648", "max-age=2147483648 ");
  PLAIN("max-age=2147483649", "max-age=2147483648 ");
  PLAIN("max-age=99999999999999999999999999999999", "max-age=2147483648 ");
}

IT("takes seconds that are none for 0: the response is stale (section 4.2.1)") {
  PLAIN("max-age=-3600", "max-age=0 ");
  PLAIN("max-age=3600.5", "max-age=0 ");
  PLAIN("max-age='3600'", "max-age=0 ");
  PLAIN("max-age=a3600", "max-age=0 ");
  PLAIN("max-age=3600a", "max-age=0 ");
  PLAIN("max-age =3600", "max-age=0 ");
  PLAIN("max-age= 3600", "max-age=0 ");
  PLAIN("max-age", "max-age=0 ");
  PLAIN("max-age=", "max-age=0 ");
  PLAIN("max-age=\"3600", "max-age=0 ");
  PLAIN("max-age=3600; must-revalidate", "max-age=0 ");
  check_request("Cache-Control: min-fresh=x", "min-fresh=2147483648 ");
}

IT("of repeated seconds takes the strictest") {
  PLAIN("max-age=1800, max-age=1", "max-age=1 ");
  PLAIN("max-age=1, max-age=1800", "max-age=1 ");
  PLAIN("max-age=1\nCache-Control: max-age=1800", "max-age=1 ");
  PLAIN("max-age=1800, max-age=x", "max-age=0 ");
  PLAIN("stale-if-error=9, stale-if-error=8", "stale-if-error=8 ");
  check_request("Cache-Control: min-fresh=1, min-fresh=5, min-fresh=2", "min-fresh=5 ");
}

IT("never lets what is odd permit anything") {
  PLAIN("stale-while-revalidate, stale-if-error", "");
  PLAIN("stale-while-revalidate=x, stale-if-error=-1", "");
  PLAIN("public; max-age=5, must-understand x, immutable\x01", "");
  PLAIN("no-store; x, private max-age=5, no-cache:", "no-store no-cache private ");
  check_request("Cache-Control: max-stale", "max-stale=2147483648 ");
  check_request("Cache-Control: max-stale=x", "");
}

IT("takes no-cache and private with names for the unqualified ones (sections 5.2.2.4 and 5.2.2.7)") {
  PLAIN("no-cache=\"a, b\", private=\"Set-Cookie\", max-age=5", "max-age=5 no-cache private ");
  PLAIN("private=", "private ");
  PLAIN("no-cache=\"open", "no-cache ");
}

IT("takes Pragma of a request for no-cache where there is no Cache-Control (section 5.4)") {
  check_request("Pragma: no-cache", "no-cache ");
  check_request("Pragma: x, No-Cache", "no-cache ");
  check_request("Pragma: x, no-cache=1", "");
  check_request("Pragma: no-cache\nCache-Control: max-age=5", "max-age=5 ");
  check_request("Pragma: no-cache\nCache-Control:", "");
  check_response("Pragma: no-cache", "");
}

IT("takes a targeted field in place of Cache-Control, the first one that is whole (RFC 9213 section 2.2)") {
  check_response("Cache-Control: no-store\nCDN-Cache-Control: max-age=60", "max-age=60 !");
  check_response("Cache-Control: max-age=1\nCDN-Cache-Control: max-age=60;x=1, foobar, s-maxage=5",
                 "max-age=60 s-maxage=5 !");
  check_response("CDN-Cache-Control: max-age=60\nPerilune-Cache-Control: no-store", "no-store !");
  check_response("CDN-Cache-Control: max-age=60\nPerilune-Cache-Control: A", "max-age=60 !");
  check_response("CDN-Cache-Control: max-age=60\nCDN-Cache-Control: private", "max-age=60 private !");
  check_response("CDN-Cache-Control: foo", "!");
}

IT("ignores a targeted field that is empty or no structured field (section 2.1)") {
  check_response("Cache-Control: max-age=1\nCDN-Cache-Control:", "max-age=1 ");
  check_response("Cache-Control: max-age=1\nCDN-Cache-Control: max-age=10000, &&&&&", "max-age=1 ");
  check_response("Cache-Control: max-age=1\nCDN-Cache-Control: MaX-aGe=60", "max-age=1 ");
  check_response("Cache-Control: max-age=1\nCDN-Cache-Control: max-age =60", "max-age=1 ");
  check_response("Cache-Control: max-age=1\nCDN-Cache-Control: max-age= 60", "max-age=1 ");
  check_response("Cache-Control: no-store\nCDN-Cache-Control: max-age=60,", "no-store ");
}

IT("ignores a targeted field where seconds are of another type") {
  check_response("Cache-Control: no-store\nCDN-Cache-Control: max-age=\"60\"", "no-store ");
  check_response("Cache-Control: no-store\nCDN-Cache-Control: max-age=60.5", "no-store ");
  check_response("Cache-Control: no-store\nCDN-Cache-Control: max-age", "no-store ");
  check_response("Cache-Control: no-store\nCDN-Cache-Control: stale-if-error=?0, max-age=60", "no-store ");
}

IT("of a targeted field takes the last of a key, and bounds numbers") {
  check_response("CDN-Cache-Control: max-age=60, max-age=70", "max-age=70 !");
  check_response("CDN-Cache-Control: no-store, max-age=60, no-store=?0", "max-age=60 !");
  check_response("CDN-Cache-Control: max-age=99999999999", "max-age=2147483648 !");
  check_response("CDN-Cache-Control: max-age=-5", "max-age=0 !");
  check_response("CDN-Cache-Control: private=\"a\", no-cache=(a b), max-stale",
                 "max-stale=2147483648 no-cache private !");
}

IT("takes what restricts out of a member whose quote has no end, and nothing else") {
  PLAIN("max-age=60, x=\"a, no-store", "max-age=60 no-store ");
  PLAIN("x=\"a, private , public, max-age=60", "private ");
  PLAIN("x=\"a, no-store\"", "");
}
