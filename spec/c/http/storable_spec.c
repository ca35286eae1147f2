// SPDX-License-Identifier: Apache-2.0
// Units for http/storable (RFC 9111 section 3).
#include "http/storable.h"

#include "heads.h"
#include "unit.h"

enum { NOW = 1764460800 };
static const struct storable_rules strict = {0};

static const char *decide_by(const struct storable_rules *rules, const char *method,
                             const char *request_lines, unsigned status, const char *lines) {
  struct request request = {.method = method_of(str_of(method)), .headers = heads_fields(request_lines)};
  struct response response = {.status = (unsigned short)status, .headers = heads_fields(lines)};
  struct cache_control request_cc, cc;
  struct freshness freshness;
  struct freshness_rules freshness_rules = {0};
  const struct field *length = headers_find_id(&request.headers, FIELD_CONTENT_LENGTH);
  if (length) request.body = (struct body){FRAMING_LENGTH, length->value.ptr[0] != '0'};
  if (headers_find_id(&request.headers, FIELD_TRANSFER_ENCODING)) request.body.framing = FRAMING_CHUNKED;
  cache_control_of_request(&request.headers, &request_cc);
  cache_control_of_response(&response.headers, NULL, 0, heads_arena(), &cc);
  freshness_of(&freshness, &response, &cc, (struct freshness_times){NOW * 1000LL, NOW * 1000LL},
               &freshness_rules);
  enum storable reason = storable(&request, &request_cc, &response, &cc, &freshness, rules);
  heads_free();
  return storable_name(reason);
}
static void check(const char *request_lines, unsigned status, const char *lines, const char *wanted) {
  CHECK_STR(str_of(decide_by(&strict, "GET", request_lines, status, lines)), wanted);
}

IT("keeps a response with a lifetime, whatever its final status") {
  static const unsigned statuses[] = {200, 203, 204, 299, 301, 302, 307, 400, 404, 410, 499, 500, 503, 599};
  for (unsigned i = 0; i < sizeof statuses / sizeof *statuses; i++)
    check("", statuses[i], "Cache-Control: max-age=60", "storable");
  check("", 200, "Expires: Fri, 31 Dec 9999 23:59:59 GMT", "storable");
}

IT("keeps one without a lifetime that can be validated or used stale") {
  check("", 200, "ETag: \"a\"", "storable");
  check("", 200, "Last-Modified: x\nCache-Control: no-cache", "storable");
  check("", 200, "Cache-Control: max-age=0, stale-if-error=60", "storable");
  check("", 200, "Cache-Control: max-age=0", "no_freshness");
  check("", 200, "Cache-Control: public", "no_freshness");
  check("", 200, "Cache-Control: max-age=60\nAge: 60", "no_freshness");
  check("", 200, "", "no_freshness");
}

IT("keeps only what answers a GET without a body") {
  static const char *const others[] = {"HEAD",  "POST",    "PUT",   "DELETE", "OPTIONS",
                                       "TRACE", "CONNECT", "PATCH", "QUERY",  "get"};
  for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
    CHECK_STR(str_of(decide_by(&strict, others[i], "", 200, "Cache-Control: max-age=60")), "method");
  check("Content-Length: 5", 200, "Cache-Control: max-age=60", "request_body");
  check("Transfer-Encoding: chunked", 200, "Cache-Control: max-age=60", "request_body");
  check("Content-Length: 0", 200, "Cache-Control: max-age=60", "storable");
}

IT("keeps no interim response, no part and no 304 (sections 3 and 3.3)") {
  check("", 100, "Cache-Control: max-age=60", "status");
  check("", 103, "Cache-Control: max-age=60", "status");
  check("", 206, "Cache-Control: max-age=60", "status");
  check("", 304, "Cache-Control: max-age=60", "status");
}

IT("obeys no-store of either side, and private (sections 5.2.1.5, 5.2.2.5 and 5.2.2.7)") {
  check("Cache-Control: no-store", 200, "Cache-Control: max-age=60", "no_store_asked");
  check("", 200, "Cache-Control: max-age=60, no-store", "no_store");
  check("", 200, "Cache-Control: max-age=60, no-store=\"x\"", "no_store");
  check("", 200, "Cache-Control: max-age=60, private", "private");
  check("", 200, "Cache-Control: max-age=60, private=\"Set-Cookie\"", "private");
}

IT("lets must-understand decide by the status in place of no-store (section 5.2.2.3)") {
  check("", 200, "Cache-Control: max-age=60, no-store, must-understand", "storable");
  check("", 599, "Cache-Control: max-age=60, no-store, must-understand", "not_understood");
  check("", 599, "Cache-Control: max-age=60, must-understand", "not_understood");
  check("", 200, "Cache-Control: max-age=60, no-store, must-understand, private", "private");
}

IT("keeps what answers an authorised request only where the response says so (section 3.5)") {
  check("Authorization: Basic x", 200, "Cache-Control: max-age=60", "authorization");
  check("authorization:", 200, "Cache-Control: max-age=60", "authorization");
  check("Authorization: x", 200, "Cache-Control: max-age=60, public", "storable");
  check("Authorization: x", 200, "Cache-Control: max-age=60, must-revalidate", "storable");
  check("Authorization: x", 200, "Cache-Control: s-maxage=60", "storable");
  check("Authorization: x", 200, "Cache-Control: max-age=60, proxy-revalidate", "authorization");
  check("Cookie: x", 200, "Cache-Control: max-age=60", "storable");
}

IT("keeps no response that sets a cookie unless told to") {
  struct storable_rules keeps = {.keeps_cookies = true}, drops = {.drops_cookies = true};
  const char *lines = "Cache-Control: max-age=60, public\nSet-Cookie: a=b";
  check("", 200, lines, "set_cookie");
  CHECK_STR(str_of(decide_by(&keeps, "GET", "", 200, lines)), "storable");
  CHECK_STR(str_of(decide_by(&drops, "GET", "", 200, lines)), "storable");
}

IT("keeps nothing that varies on everything or on too much (section 4.1)") {
  check("", 200, "Cache-Control: max-age=60\nVary: Accept", "storable");
  check("", 200, "Cache-Control: max-age=60\nVary: *", "vary");
  check("", 200, "Cache-Control: max-age=60\nVary: Accept, *", "vary");
  check("", 200, "Cache-Control: max-age=60\nVary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "vary");
}

static void check_stripped(const struct storable_rules *rules, const char *lines, const char *wanted) {
  struct headers h = heads_fields(lines);
  char left[200] = "";
  storable_strip(&h, rules);
  for (unsigned i = 0; i < h.count; i++) strncat(left, h.items[i].value.ptr, h.items[i].value.len);
  CHECK_STR(str_of(left), wanted);
  heads_free();
}

IT("leaves out fields of the connection and of proxies, and Age (section 3.1)") {
  struct storable_rules keeps = {.keeps_cookies = true};
  const char *lines =
      "Connection: 1\nX: a\nKeep-Alive: 2\nProxy-Connection: 3\nProxy-Authenticate: 4\nTE: 5\nTrailer: 6\n"
      "Proxy-Authorization: 7\nProxy-Authentication-Info: 8\nTransfer-Encoding: 9\nUpgrade: 0\nage: 1\n"
      "HTTP2-Settings: 2\nSet-Cookie: b\nETag: c\nContent-Length: d";
  check_stripped(&strict, lines, "acd");
  check_stripped(&keeps, lines, "abcd");
}
