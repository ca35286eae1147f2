// SPDX-License-Identifier: Apache-2.0
// Units for http/host: target forms, and Host.
#include "http/host.h"

#include "heads.h"
#include "unit.h"

/* Target and authority that come out, and the Host that is forwarded. */
static void check_target(struct str head, const char *target, const char *authority) {
  struct request request;
  if (!CHECK(request_read(head, &default_limits, &request) == ERROR_NONE)) return;
  CHECK_STR(request.target, target);
  CHECK_STR(request.authority, authority);
  const struct field *host = headers_find_id(&request.headers, FIELD_HOST);
  if (host) CHECK_STR(host->value, authority);
  CHECK(headers_count_id(&request.headers, FIELD_HOST) == (host ? 1 : 0));
  CHECK(host || request.minor == 0);
  heads_free();
}
#define TARGET(head, target, authority) check_target(STR(head), target, authority)

IT("takes the origin-form as it is (RFC 9112 section 3.2.1)") {
  TARGET("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a");
  TARGET("GET //b/../%2e?x=/&y=http://c HTTP/1.1\r\nHost: a:1\r\n\r\n", "//b/../%2e?x=/&y=http://c", "a:1");
  TARGET("OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n", "/x", "a");
}

IT("turns the absolute-form into the origin-form and puts its authority into Host (RFC 9112 section 3.2.2)") {
  TARGET("GET http://b:8080/p?q HTTP/1.1\r\nHost: a\r\n\r\n", "/p?q", "b:8080");
  TARGET("GET HTTPS://B.example HTTP/1.1\r\nHost: a\r\n\r\n", "/", "B.example");
  TARGET("GET http://b?q/r HTTP/1.1\r\nHost: a\r\n\r\n", "/?q/r", "b");
  TARGET("GET http://[::1]:80/ HTTP/1.1\r\nHost: a\r\n\r\n", "/", "[::1]:80");
  TARGET("GET http://b/http://c/ HTTP/1.1\r\nHost: a\r\n\r\n", "/http://c/", "b");
  TARGET("GET http://b/ HTTP/1.0\r\n\r\n", "/", "b");
}

IT("asks with * where OPTIONS names a server and no path (RFC 9112 section 3.2.4)") {
  TARGET("OPTIONS http://b:1 HTTP/1.1\r\nHost: a\r\n\r\n", "*", "b:1");
  TARGET("OPTIONS http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "/", "b");
  TARGET("OPTIONS http://b?q HTTP/1.1\r\nHost: a\r\n\r\n", "/?q", "b");
  TARGET("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*", "a");
}

IT("refuses the asterisk-form of other methods (RFC 9112 section 3.2.4)") {
  CHECK(REQUEST("GET * HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("CONNECT * HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
}

IT("refuses an absolute-form of another scheme, without host, or with user information (RFC 9110 section "
   "4.2)") {
  CHECK(REQUEST("GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET http:/b HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET http:b HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET http:///p HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET http://:80/p HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET http://u:p@b/ HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET http://b:x/ HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET http://b\\c/ HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET path HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET ?q HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
}

IT("takes host and port of a CONNECT, which both must be there (RFC 9112 section 3.2.3)") {
  TARGET("CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n", "b:443", "b:443");
  TARGET("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n", "[::1]:443", "[::1]:443");
  CHECK(REQUEST("CONNECT b HTTP/1.1\r\nHost: b\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("CONNECT b: HTTP/1.1\r\nHost: b\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("CONNECT b:0 HTTP/1.1\r\nHost: b\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("CONNECT b:65536 HTTP/1.1\r\nHost: b\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("CONNECT /p HTTP/1.1\r\nHost: b\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("CONNECT http://b:443/ HTTP/1.1\r\nHost: b\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("CONNECT u@b:443 HTTP/1.1\r\nHost: b\r\n\r\n") == ERROR_BAD_REQUEST);
}

IT("refuses HTTP/1.1 without Host, whatever the target's form (RFC 9112 section 3.2)") {
  CHECK(REQUEST("GET / HTTP/1.1\r\n\r\n") == ERROR_BAD_HOST);
  CHECK(REQUEST("GET http://b/ HTTP/1.1\r\n\r\n") == ERROR_BAD_HOST);
  CHECK(REQUEST("OPTIONS * HTTP/1.1\r\n\r\n") == ERROR_BAD_HOST);
  CHECK(REQUEST("CONNECT b:1 HTTP/1.1\r\n\r\n") == ERROR_BAD_HOST);
  TARGET("GET / HTTP/1.0\r\n\r\n", "/", "");
}

IT("refuses more than one Host, even equal ones, even in HTTP/1.0 (RFC 9112 section 3.2)") {
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n") == ERROR_BAD_HOST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhost: b\r\n\r\n") == ERROR_BAD_HOST);
  CHECK(REQUEST("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n") == ERROR_BAD_HOST);
  CHECK(REQUEST("GET http://b/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") == ERROR_BAD_HOST);
}

IT("refuses an invalid Host, also beside an absolute-form (RFC 9112 section 3.2)") {
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a b\r\n\r\n") == ERROR_BAD_HOST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost:\r\n\r\n") == ERROR_BAD_HOST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: http://a\r\n\r\n") == ERROR_BAD_HOST);
  CHECK(REQUEST("GET http://b/ HTTP/1.1\r\nHost: a/b\r\n\r\n") == ERROR_BAD_HOST);
}

IT("accepts names, IPv4 and IPv6 addresses, with a port or none (RFC 3986 section 3.2.2)") {
  CHECK(host_is_valid(STR("a")));
  CHECK(host_is_valid(STR("a.example")));
  CHECK(host_is_valid(STR("a.example.:8080")));
  CHECK(host_is_valid(STR("under_score-and.~!$&'()*+;=")));
  CHECK(host_is_valid(STR("%41b")));
  CHECK(host_is_valid(STR("1.2.3.4:0")));
  CHECK(host_is_valid(STR("a:")));
  CHECK(host_is_valid(STR("a:65535")));
  CHECK(host_is_valid(STR("a:000000000000000000000065535")));
  CHECK(host_is_valid(STR("[::1]:65535")));
  CHECK(host_is_valid(STR("%41:80")));
  CHECK(host_is_valid(STR("[::1]")));
  CHECK(host_is_valid(STR("[2001:db8::ffff:1.2.3.4]:443")));
  CHECK(host_is_valid(STR("[v1.a:b]")));
}

IT("refuses everything else as a host") {
  CHECK(!host_is_valid(STR("")));
  CHECK(!host_is_valid(STR(":80")));
  CHECK(!host_is_valid(STR("a:65536")));
  CHECK(!host_is_valid(STR("a:99999999999999999999999")));
  CHECK(!host_is_valid(STR("a:80:80")));
  CHECK(!host_is_valid(STR("[::1]:65536")));
  CHECK(!host_is_valid(STR("%41:x")));
  CHECK(!host_is_valid(STR(":")));
  CHECK(!host_is_valid(STR("a:8 0")));
  CHECK(!host_is_valid(STR("a:+80")));
  CHECK(!host_is_valid(STR("a,b")));
  CHECK(!host_is_valid(STR("u@a")));
  CHECK(!host_is_valid(STR("a/b")));
  CHECK(!host_is_valid(STR("a?b")));
  CHECK(!host_is_valid(STR("a#b")));
  CHECK(!host_is_valid(STR("a\\b")));
  CHECK(!host_is_valid(STR("a\tb")));
  CHECK(!host_is_valid(STR("a\x80")));
  CHECK(!host_is_valid(STR("%4")));
  CHECK(!host_is_valid(STR("%4g")));
  CHECK(!host_is_valid(STR("::1")));
  CHECK(!host_is_valid(STR("[]")));
  CHECK(!host_is_valid(STR("[::1")));
  CHECK(!host_is_valid(STR("[::1\0 /]")));
  CHECK(!host_is_valid(STR("[::1\0 /]:80")));
  CHECK(!host_is_valid(STR("[::1]x")));
  CHECK(!host_is_valid(STR("[::1]80")));
  CHECK(!host_is_valid(STR("[::g]")));
  CHECK(!host_is_valid(STR("[1.2.3.4]")));
  CHECK(!host_is_valid(STR("[fe80::1%25eth0]")));
  CHECK(!host_is_valid(STR("[v.a]")));
  CHECK(!host_is_valid(STR("[v1]")));
  CHECK(!host_is_valid(STR("[v1.]")));
  CHECK(!host_is_valid(STR("[v1.a/b]")));
}
