// SPDX-License-Identifier: Apache-2.0
// date: keeps the last text of each format, and the second to which it belongs.
#include "base/date.h"

static const char *const patterns[DATE_FORMATS] = {
    [DATE_HTTP] = "%a, %d %b %Y %H:%M:%S GMT", [DATE_COMBINED] = "%d/%b/%Y:%H:%M:%S %z",
    [DATE_ISO] = "%Y-%m-%dT%H:%M:%SZ",         [DATE_LOG] = "%Y-%m-%d %H:%M:%S",
    [DATE_SYSLOG] = "%b %e %H:%M:%S",
};

struct kept {
  time_t when;
  size_t length; /* 0: nothing is kept yet */
  char text[40];
};

static __attribute__((noinline)) void write_text(struct kept *kept, enum date_format format, time_t when) {
  struct tm parts;
  if (format == DATE_HTTP || format == DATE_ISO)
    gmtime_r(&when, &parts);
  else
    localtime_r(&when, &parts);
  kept->when = when;
  kept->length = strftime(kept->text, sizeof kept->text, patterns[format], &parts);
}

struct str date_text(enum date_format format, time_t when) {
  static _Thread_local struct kept all[DATE_FORMATS];
  struct kept *kept = &all[format];
  if (kept->when != when || !kept->length) write_text(kept, format, when);
  return (struct str){kept->text, kept->length};
}
