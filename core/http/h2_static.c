// SPDX-License-Identifier: Apache-2.0
// h2_static: the table, and its names by their length, of which no more than a few have the same.
#include "http/h2_static.h"

#define PAIR(name, value)                                                                                    \
  { STR_INIT(name), STR_INIT(value) }

const struct h2_pair h2_static[H2_STATIC_COUNT + 1] = {
    PAIR("", ""),
    PAIR(":authority", ""),
    PAIR(":method", "GET"),
    PAIR(":method", "POST"),
    PAIR(":path", "/"),
    PAIR(":path", "/index.html"),
    PAIR(":scheme", "http"),
    PAIR(":scheme", "https"),
    PAIR(":status", "200"),
    PAIR(":status", "204"),
    PAIR(":status", "206"),
    PAIR(":status", "304"),
    PAIR(":status", "400"),
    PAIR(":status", "404"),
    PAIR(":status", "500"),
    PAIR("accept-charset", ""),
    PAIR("accept-encoding", "gzip, deflate"),
    PAIR("accept-language", ""),
    PAIR("accept-ranges", ""),
    PAIR("accept", ""),
    PAIR("access-control-allow-origin", ""),
    PAIR("age", ""),
    PAIR("allow", ""),
    PAIR("authorization", ""),
    PAIR("cache-control", ""),
    PAIR("content-disposition", ""),
    PAIR("content-encoding", ""),
    PAIR("content-language", ""),
    PAIR("content-length", ""),
    PAIR("content-location", ""),
    PAIR("content-range", ""),
    PAIR("content-type", ""),
    PAIR("cookie", ""),
    PAIR("date", ""),
    PAIR("etag", ""),
    PAIR("expect", ""),
    PAIR("expires", ""),
    PAIR("from", ""),
    PAIR("host", ""),
    PAIR("if-match", ""),
    PAIR("if-modified-since", ""),
    PAIR("if-none-match", ""),
    PAIR("if-range", ""),
    PAIR("if-unmodified-since", ""),
    PAIR("last-modified", ""),
    PAIR("link", ""),
    PAIR("location", ""),
    PAIR("max-forwards", ""),
    PAIR("proxy-authenticate", ""),
    PAIR("proxy-authorization", ""),
    PAIR("range", ""),
    PAIR("referer", ""),
    PAIR("refresh", ""),
    PAIR("retry-after", ""),
    PAIR("server", ""),
    PAIR("set-cookie", ""),
    PAIR("strict-transport-security", ""),
    PAIR("transfer-encoding", ""),
    PAIR("user-agent", ""),
    PAIR("vary", ""),
    PAIR("via", ""),
    PAIR("www-authenticate", ""),
};

enum { MOST_OF_LENGTH = 7 };

/* By length; in each row 0 ends it. */
static const unsigned char by_length[][MOST_OF_LENGTH + 1] = {
    [3] = {60, 21},
    [4] = {33, 34, 59, 38, 45, 37},
    [5] = {4, 22, 50},
    [6] = {54, 19, 32, 35},
    [7] = {2, 6, 8, 51, 52, 36},
    [8] = {39, 42, 46},
    [10] = {1, 58, 55},
    [11] = {53},
    [12] = {31, 47},
    [13] = {24, 23, 18, 30, 44, 41},
    [14] = {28, 15},
    [15] = {16, 17},
    [16] = {26, 27, 29, 61},
    [17] = {40, 57},
    [18] = {48},
    [19] = {25, 43, 49},
    [25] = {56},
    [27] = {20},
};

unsigned h2_static_name(struct str name) {
  if (!name.len || name.len >= sizeof by_length / sizeof *by_length) return 0;
  char last = name.ptr[name.len - 1];
  for (const unsigned char *at = by_length[name.len]; *at; at++) {
    const char *known = h2_static[*at].name.ptr;
    if (known[name.len - 1] == last && memcmp(known, name.ptr, name.len) == 0) return *at;
  }
  return 0;
}

unsigned h2_static_pair(unsigned first, struct str value) {
  if (!first) return 0;
  for (unsigned i = first; i <= H2_STATIC_COUNT && h2_static[i].name.ptr == h2_static[first].name.ptr; i++)
    if (h2_static[i].value.len && str_equal(h2_static[i].value, value)) return i;
  return 0;
}
