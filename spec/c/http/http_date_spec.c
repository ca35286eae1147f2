// SPDX-License-Identifier: Apache-2.0
// Units for http/http_date (RFC 9110 section 5.6.7).
#include "http/http_date.h"

#include <time.h>

#include "base/date.h"
#include "unit.h"

enum { NOW = 1764460800 }; /* 30 November 2025 */

static int64_t read_at(const char *text, int64_t now) {
  int64_t when = -12345;
  return http_date_parse(str_of(text), now, &when) ? when : -99;
}
static int64_t seconds(const char *text) { return read_at(text, NOW); }

IT("reads the three formats of one time") {
  CHECK(seconds("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777);
  CHECK(seconds("Sunday, 06-Nov-94 08:49:37 GMT") == 784111777);
  CHECK(seconds("Sun Nov  6 08:49:37 1994") == 784111777);
  CHECK(seconds("Wed Nov 16 08:49:37 1994") == 784975777);
}

IT("takes names in any case, and any name of a day") {
  CHECK(seconds("THU, 18 aug 2050 02:01:18 gMT") == seconds("Thu, 18 Aug 2050 02:01:18 GMT"));
  CHECK(seconds("Mon, 06 Nov 1994 08:49:37 GMT") == 784111777);
}

IT("reads what base/date writes, for days of four centuries") {
  for (int64_t when = 0; when < INT64_C(13000000000); when += 86400 * 13 + 7919)
    CHECK(read_at(date_text(DATE_HTTP, when).ptr, NOW) == when);
  CHECK(seconds("Thu, 01 Jan 1970 00:00:00 GMT") == 0);
  CHECK(seconds("Thu, 29 Feb 2024 23:59:59 GMT") == 1709251199);
  CHECK(seconds("Fri, 31 Dec 9999 23:59:59 GMT") == INT64_C(253402300799));
  CHECK(seconds("Sat, 31 Dec 1969 23:59:59 GMT") == -1);
  CHECK(seconds("Sat, 01 Jan 0000 00:00:00 GMT") == INT64_C(-62167219200));
}

IT("takes a year of two digits for one that is at most 50 years ahead") {
  CHECK(seconds("Thursday, 18-Aug-50 02:01:18 GMT") == seconds("Thu, 18 Aug 2050 02:01:18 GMT"));
  CHECK(seconds("Thursday, 18-Aug-75 02:01:18 GMT") == seconds("Thu, 18 Aug 2075 02:01:18 GMT"));
  CHECK(seconds("Thursday, 18-Aug-76 02:01:18 GMT") == seconds("Thu, 18 Aug 1976 02:01:18 GMT"));
  CHECK(read_at("Thursday, 18-Aug-40 02:01:18 GMT", 631200000) == seconds("Thu, 18 Aug 2040 02:01:18 GMT"));
  CHECK(read_at("Thursday, 18-Aug-41 02:01:18 GMT", 631200000) == seconds("Sat, 18 Aug 1941 02:01:18 GMT"));
}

IT("takes a leap second for the next one") {
  CHECK(seconds("Sat, 31 Dec 2016 23:59:60 GMT") == seconds("Sun, 01 Jan 2017 00:00:00 GMT"));
}

IT("refuses everything else") {
  static const char *const bad[] = {
      "",
      "0",
      "-1",
      "now",
      "Thu, 18 Aug 2050 02:01:18 UTC",
      "Thu, 18 Aug 2050 02:01:18 AEST",
      "Thu, 18 Aug 50 02:01:18 GMT",
      "Thu 18 Aug 2050 02:01:18 GMT",
      "Thu, 18  Aug  2050 02:01:18 GMT",
      "Thu, 18-Aug-2050 02:01:18 GMT",
      "Thu, 18 Aug 2050 02.01.18 GMT",
      "Thu, 18 Aug 2050 2:01:18 GMT",
      "Thu, 18 Aug 2050 02:01:18",
      "Thu, 18 Aug 2050 02:01:18 GMT ",
      "Thu, 18 Aug 2050 24:00:00 GMT",
      "Thu, 18 Aug 2050 02:60:00 GMT",
      "Thu, 18 Aug 2050 02:00:61 GMT",
      "Thu, 00 Aug 2050 02:00:00 GMT",
      "Thu, 32 Aug 2050 02:00:00 GMT",
      "Thu, 29 Feb 2023 02:00:00 GMT",
      "Thu, 31 Jun 2023 02:00:00 GMT",
      "Foo, 18 Aug 2050 02:01:18 GMT",
      "Thu, 18 Foo 2050 02:01:18 GMT",
      "Thu, 18 Aug 205x 02:01:18 GMT",
      "Thursday, 18 Aug 2050 02:01:18 GMT",
      "Thu, 18-Aug-50 02:01:18 GMT",
      "Thursday, 18-Aug-50 02:01:18 UTC",
      "Thu Aug 8 02:01:18 2050",
      "Thu Aug 08 02:01:18 2050 GMT",
      "Thu Aug  8 02:01:18 50",
      "Thu, ",
      "Thu,",
      "Thu Aug   8 02:01:18 2050",
      ",",
      "Thu, 18 Aug 2050 -2:01:18 GMT",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(seconds(bad[i]) == -99);
}
