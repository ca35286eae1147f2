// SPDX-License-Identifier: Apache-2.0
// Units for base/date.
#include "base/date.h"

#include "unit.h"

IT("writes the date of HTTP in GMT") {
  CHECK_STR(date_text(DATE_HTTP, 784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK_STR(date_text(DATE_HTTP, 0), "Thu, 01 Jan 1970 00:00:00 GMT");
}

IT("writes another second anew, also an earlier one") {
  CHECK_STR(date_text(DATE_HTTP, 784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK_STR(date_text(DATE_HTTP, 784111778), "Sun, 06 Nov 1994 08:49:38 GMT");
  CHECK_STR(date_text(DATE_HTTP, 784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
}

IT("keeps each format by itself") {
  struct str http = date_text(DATE_HTTP, 784111777);
  CHECK(date_text(DATE_LOG, 784111777).len == sizeof "1994-11-06 09:49:37" - 1);
  CHECK(date_text(DATE_SYSLOG, 784111777).len == sizeof "Nov  6 09:49:37" - 1);
  CHECK_STR(date_text(DATE_ISO, 784111777), "1994-11-06T08:49:37Z");
  CHECK(date_text(DATE_COMBINED, 784111777).len == sizeof "06/Nov/1994:09:49:37 +0100" - 1);
  CHECK_STR(http, "Sun, 06 Nov 1994 08:49:37 GMT");
}
