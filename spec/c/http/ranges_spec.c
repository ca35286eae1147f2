// SPDX-License-Identifier: Apache-2.0
// Units for http/ranges (RFC 9110 section 14).
#include "http/ranges.h"

#include <inttypes.h>
#include <stdio.h>

#include "heads.h"
#include "unit.h"

/* "whole", "outside", or the ranges as "0-4 9-9 ". */
static void check_ranges(const char *value, uint64_t length, const char *wanted) {
  struct ranges ranges;
  char found[600] = "", *end = found;
  enum ranges_result result = ranges_parse(arena_dup(heads_arena(), str_of(value)), length, &ranges);
  if (result != RANGES_SOME) strcpy(found, result == RANGES_WHOLE ? "whole" : "outside");
  for (unsigned i = 0; result == RANGES_SOME && i < ranges.count; i++)
    end += sprintf(end, "%" PRIu64 "-%" PRIu64 " ", ranges.items[i].first, ranges.items[i].last);
  CHECK_STR(str_of(found), wanted);
  heads_free();
}

IT("reads the three kinds of byte ranges (section 14.1.2)") {
  check_ranges("bytes=0-499", 10000, "0-499 ");
  check_ranges("bytes=500-999", 10000, "500-999 ");
  check_ranges("bytes=-500", 10000, "9500-9999 ");
  check_ranges("bytes=9500-", 10000, "9500-9999 ");
  check_ranges("bytes=0-0,-1", 10000, "0-0 9999-9999 ");
  check_ranges("BYTES=0-0", 10000, "0-0 ");
}

IT("cuts what reaches beyond the end") {
  check_ranges("bytes=0-99999", 10, "0-9 ");
  check_ranges("bytes=9-18446744073709551615", 10, "9-9 ");
  check_ranges("bytes=9-99999999999999999999999", 10, "9-9 ");
  check_ranges("bytes=-99999999999999999999999", 10, "0-9 ");
  check_ranges("bytes=-11", 10, "0-9 ");
  check_ranges("bytes=0-", UINT64_MAX, "0-18446744073709551614 ");
}

IT("is outside where all are beyond the end, and takes those that are not (section 15.5.17)") {
  check_ranges("bytes=10-", 10, "outside");
  check_ranges("bytes=10-20, 99999999999999999999999-", 10, "outside");
  check_ranges("bytes=-0", 10, "outside");
  check_ranges("bytes=0-", 0, "outside");
  check_ranges("bytes=-5", 0, "outside");
  check_ranges("bytes=10-20, 3-4", 10, "3-4 ");
}

IT("ignores a field that is malformed or of another unit (section 14.2)") {
  static const char *const bad[] = {"",
                                    "bytes",
                                    "bytes=",
                                    "bytes=,",
                                    "bytes=-",
                                    "bytes=5",
                                    "bytes=5-4",
                                    "bytes=a-b",
                                    "bytes=0-4x",
                                    "bytes=0-4,x",
                                    "bytes=0 - 4",
                                    "bytes=--4",
                                    "bytes=-4-",
                                    "bytes=+0-4",
                                    "bytes=0-4-5",
                                    "bytes =0-4",
                                    "lines=0-4",
                                    "byte=0-4",
                                    "bytes=0x0-4",
                                    "bytes:0-4",
                                    "bytes=0-4;x",
                                    "bytes=\"0-4\"",
                                    "bytes=-\x80"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) check_ranges(bad[i], 10, "whole");
}

IT("joins ranges that overlap, touch, or are so close that a part costs more (section 15.3.7.2)") {
  check_ranges("bytes=0-10, 5-20", 10000, "0-20 ");
  check_ranges("bytes=0-10, 11-20", 10000, "0-20 ");
  check_ranges("bytes=0-10, 90-100", 10000, "0-100 ");
  check_ranges("bytes=0-10, 91-100", 10000, "0-10 91-100 ");
  check_ranges("bytes=500-600, 0-10, 550-700, -10", 10000, "500-700 0-10 9990-9999 ");
  check_ranges("bytes=0-10, 1000-1010, 500-510, 5-1005", 10000, "0-1010 ");
  check_ranges("bytes=1000-1010, 0-10, 505-1005, 5-510", 10000, "0-1010 ");
  check_ranges("bytes=0-,0-,0-,0-,0-", 10000, "0-9999 ");
}

IT("answers a request for too many as if it had not asked") {
  check_ranges(
      "bytes=0-0,100-100,200-200,300-300,400-400,500-500,600-600,700-700,800-800,900-900,1000-1000,1100-1100,"
      "1200-1200,1300-1300,1400-1400,1500-1500",
      10000,
      "0-0 100-100 200-200 300-300 400-400 500-500 600-600 700-700 800-800 900-900 1000-1000 1100-1100 "
      "1200-1200 1300-1300 1400-1400 1500-1500 ");
  check_ranges("bytes=0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-,0-", 10000, "whole");
}

IT("never sends a byte twice, however ranges are given") {
  unsigned random = 12345;
  for (int round = 0; round < 3000; round++) {
    char value[400] = "bytes=";
    struct ranges ranges;
    for (unsigned i = 0, count = 1 + round % RANGES_MOST; i < count; i++) {
      random = random * 1103515245 + 12345;
      unsigned first = random >> 8 & 0xfff, length = (random >> 20 & 0xff) + 1;
      sprintf(value + strlen(value), "%s%u-%u", i ? "," : "", first, first + length);
    }
    CHECK(ranges_parse(str_of(value), 4096, &ranges) == RANGES_SOME);
    for (unsigned a = 0; a < ranges.count; a++) {
      CHECK(ranges.items[a].first <= ranges.items[a].last && ranges.items[a].last < 4096);
      for (unsigned b = 0; b < a; b++)
        CHECK(ranges.items[a].first > ranges.items[b].last + RANGE_GAP ||
              ranges.items[b].first > ranges.items[a].last + RANGE_GAP);
    }
  }
}

IT("writes Content-Range (section 14.4)") {
  struct range range = {5, 9};
  CHECK_STR(range_field(&range, 10, heads_arena()), "bytes 5-9/10");
  CHECK_STR(range_field_outside(10, heads_arena()), "bytes */10");
  heads_free();
}

IT("frames several ranges, and knows how long that is before (section 14.6)") {
  struct ranges ranges;
  struct str boundary = STR("0123456789abcdef"), types[] = {STR("text/plain"), STR("")};
  CHECK(ranges_parse(STR("bytes=0-4, 990-1009, -1"), 123456, &ranges) == RANGES_SOME);
  CHECK_STR(ranges_content_type(boundary, heads_arena()), "multipart/byteranges; boundary=0123456789abcdef");
  CHECK_STR(ranges_part_head(&ranges.items[0], 123456, boundary, types[0], heads_arena()),
            "\r\n--0123456789abcdef\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-4/123456\r\n\r\n");
  CHECK_STR(ranges_end(boundary, heads_arena()), "\r\n--0123456789abcdef--\r\n");
  for (unsigned with = 0; with < 2; with++) {
    uint64_t sum = ranges_end(boundary, heads_arena()).len;
    for (unsigned i = 0; i < ranges.count; i++)
      sum += range_length(&ranges.items[i]) +
             ranges_part_head(&ranges.items[i], 123456, boundary, types[with], heads_arena()).len;
    CHECK(ranges_body_length(&ranges, 123456, boundary, types[with]) == sum);
  }
  heads_free();
}
