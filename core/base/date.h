// SPDX-License-Identifier: Apache-2.0
// date: times as text, each format written at most once a second in each thread.
#ifndef PERILUNE_BASE_DATE_H
#define PERILUNE_BASE_DATE_H

#include <time.h>

#include "base/str.h"

enum date_format {
  DATE_HTTP,     /* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7) */
  DATE_ISO,      /* "1994-11-06T08:49:37Z" */
  DATE_COMBINED, /* "06/Nov/1994:09:49:37 +0100": in local time, as are those that follow */
  DATE_LOG,      /* "1994-11-06 09:49:37" */
  DATE_SYSLOG,   /* "Nov  6 09:49:37" (RFC 3164 section 4.1.2) */
  DATE_FORMATS
};

/* Valid until the thread's next call with this format. */
struct str date_text(enum date_format format, time_t when);

#endif
