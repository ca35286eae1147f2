// SPDX-License-Identifier: Apache-2.0
// Units for http/scan: where a head ends, and what is refused before it does.
#include "heads.h"
#include "unit.h"

static const struct parser_limits tiny = {.head_bytes = 200, .target_bytes = 20, .fields = 3};

static enum error with_tiny_limits(struct str head) {
  struct request request;
  enum error error = request_read(head, &tiny, &request);
  heads_free();
  return error;
}

static enum error early(struct str bytes) {
  struct head_scan scan = {0};
  size_t length;
  enum error error;
  enum head_result result = head_scan_request(&scan, bytes.ptr, bytes.len, &default_limits, &length, &error);
  return result == HEAD_BAD ? error : ERROR_NONE;
}

/* "GET /aaa... HTTP/1.1" with a target of that many bytes. */
static struct str head_with_target(size_t target) {
  char *fill = arena_alloc(heads_arena(), target);
  memset(fill, 'a', target);
  fill[0] = '/';
  return arena_printf(heads_arena(), "GET %.*s HTTP/1.1\r\nHost: a\r\n\r\n", (int)target, fill);
}

IT("finds the end of a head and leaves what follows alone (RFC 9112 section 2.1)") {
  struct head_scan scan = {0};
  size_t length;
  enum error error;
  struct str bytes = STR("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next");
  CHECK(head_scan_request(&scan, bytes.ptr, bytes.len, &default_limits, &length, &error) == HEAD_WHOLE);
  CHECK(length == bytes.len - strlen("GET /next"));
  CHECK(scan.skipped == 0);
}

IT("needs more bytes until the empty line is there") {
  struct str head = STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  for (size_t count = 0; count < head.len; count++) {
    struct str part = {head.ptr, count};
    CHECK(request_error(part) == ERROR_REQUEST_TRUNCATED);
  }
}

IT("skips empty lines before a request line (RFC 9112 section 2.2)") {
  struct head_scan scan = {0};
  size_t length;
  enum error error;
  struct str head = STR("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(head_scan_request(&scan, head.ptr, head.len, &default_limits, &length, &error) == HEAD_WHOLE);
  CHECK(length == head.len);
  CHECK(scan.skipped == 2);
  CHECK(REQUEST("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_NONE);
  CHECK(REQUEST("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_NONE);
  CHECK(REQUEST("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST(" \r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
}

IT("refuses a bare LF wherever it stands (RFC 9112 section 2.2)") {
  CHECK(REQUEST("GET / HTTP/1.1\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\nX: b\nY: c\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\n\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\n\n") == ERROR_BAD_REQUEST);
}

IT("refuses a bare CR wherever it stands (RFC 9112 section 2.2)") {
  CHECK(REQUEST("GET / HTTP/1.1\rHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET /\r HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nX\r: b\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\n\rX") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\n\r\r\n") == ERROR_BAD_REQUEST);
}

IT("refuses every control character but tab in a field value (RFC 9110 section 5.5)") {
  for (int c = 0; c < 256; c++) {
    char head[] = "GET / HTTP/1.1\r\nHost: a\r\nX-Long-Name: value? more\r\n\r\n";
    *strchr(head, '?') = (char)c;
    bool control = (c < 0x20 && c != '\t') || c == 0x7f;
    CHECK(request_error((struct str){head, sizeof head - 1}) == (control ? ERROR_BAD_REQUEST : ERROR_NONE));
  }
}

IT("refuses a control character at each offset of a word of eight bytes") {
  for (int at = 0; at < 16; at++) {
    char head[] = "GET / HTTP/1.1\r\nHost: a\r\nX: 0123456789abcdef01234567\r\n\r\n";
    strstr(head, "0123")[at] = '\x01';
    CHECK(request_error((struct str){head, sizeof head - 1}) == ERROR_BAD_REQUEST);
  }
}

IT("refuses white space before the first field and continued lines (RFC 9112 sections 2.2 and 5.2)") {
  CHECK(REQUEST("GET / HTTP/1.1\r\n Host: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\n\tHost: a\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n") == ERROR_BAD_REQUEST);
}

IT("reports another protocol from its first bytes, without waiting for a line") {
  CHECK(early(STR("\x16\x03\x01")) == ERROR_BAD_REQUEST); /* TLS */
  CHECK(early(STR("\x80\x2e\x01")) == ERROR_BAD_REQUEST); /* SSL 2 */
  CHECK(early(STR("GET / HTTP/1.1\n")) == ERROR_BAD_REQUEST);
  CHECK(early(STR("GET\t/")) == ERROR_BAD_REQUEST);
  CHECK(early(STR("SSH-2.0-OpenSSH_9.2\r\n")) == ERROR_BAD_REQUEST);
  CHECK(early(STR("GET / HTTP/1.1\r\nX: \0")) == ERROR_BAD_REQUEST);
  CHECK(early(STR("GET / HTTP/3.0\r\n")) == ERROR_VERSION_UNSUPPORTED);
}

IT("reports a fault of a field line without waiting for the head's end") {
  CHECK(early(STR("GET / HTTP/1.1\r\n Host: a\r\n")) == ERROR_BAD_REQUEST);
  CHECK(early(STR("GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n")) == ERROR_BAD_REQUEST);
  CHECK(early(STR("GET / HTTP/1.1\r\nHost: a\rX")) == ERROR_BAD_REQUEST);
  CHECK(early(STR("GET / HTTP/1.1\r\nHost: a\n")) == ERROR_BAD_REQUEST);
  CHECK(early(STR("GET / HTTP/1.1\r\nHost: a\r\n\rX")) == ERROR_BAD_REQUEST);
}

IT("refuses a target or a request line over the limit with 414 (RFC 9112 section 3)") {
  CHECK(with_tiny_limits(head_with_target(20)) == ERROR_NONE);
  CHECK(with_tiny_limits(head_with_target(21)) == ERROR_TARGET_TOO_LONG);
  CHECK(with_tiny_limits(head_with_target(500)) == ERROR_TARGET_TOO_LONG);
  CHECK(with_tiny_limits(STR(
            "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaaaaaaaa")) == ERROR_TARGET_TOO_LONG);
}

IT("refuses a method longer than any known with 501 (RFC 9112 section 3)") {
  char line[512];
  memset(line, 'M', sizeof line);
  struct str endless = {line, sizeof line};
  CHECK(with_tiny_limits(endless) == ERROR_METHOD_TOO_LONG);
  memcpy(line + 65, " / HTTP/1.1\r\n", 13);
  CHECK(early((struct str){line, 78}) == ERROR_METHOD_TOO_LONG);
  CHECK(early((struct str){line + 1, 77}) == ERROR_NONE);
}

IT("refuses a head over the limit with 431, whether or not its end has arrived (RFC 6585 section 5)") {
  char head[400] = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  size_t start = strlen(head);
  memset(head + start, 'x', sizeof head - start);
  CHECK(with_tiny_limits((struct str){head, 201}) == ERROR_HEAD_TOO_LARGE);
  CHECK(with_tiny_limits((struct str){head, 200}) == ERROR_REQUEST_TRUNCATED);
  memcpy(head + 196, "\r\n\r\n", 4);
  CHECK(with_tiny_limits((struct str){head, 200}) == ERROR_NONE);
  memset(head + 196, 'x', 1);
  memcpy(head + 197, "\r\n\r\n", 4);
  CHECK(with_tiny_limits((struct str){head, 201}) == ERROR_HEAD_TOO_LARGE);
}

IT("refuses more fields than allowed with 431") {
  CHECK(with_tiny_limits(STR("GET / HTTP/1.1\r\nHost: a\r\nB:\r\nC:\r\n\r\n")) == ERROR_NONE);
  CHECK(with_tiny_limits(STR("GET / HTTP/1.1\r\nHost: a\r\nB:\r\nC:\r\nD:\r\n\r\n")) == ERROR_HEAD_TOO_LARGE);
}

IT("looks at each byte once, however a head is cut") {
  struct head_scan scan = {0};
  size_t length;
  enum error error;
  struct str head = STR("GET / HTTP/1.1\r\nHost: example.com\r\nX: 0123456789");
  size_t before = 0;
  for (size_t count = 1; count <= head.len; count++) {
    CHECK(head_scan_request(&scan, head.ptr, count, &default_limits, &length, &error) == HEAD_MORE);
    CHECK(scan.scanned >= before && scan.scanned + 1 >= count);
    before = scan.scanned;
  }
}

IT("scans a response head, whose every fault is a bad response") {
  CHECK(RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") == ERROR_NONE);
  CHECK(RESPONSE("\r\nHTTP/1.1 200 OK\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/1.1 200 OK\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/1.1 200 OK\r\nX: a") == ERROR_REQUEST_TRUNCATED);
}
