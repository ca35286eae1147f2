// SPDX-License-Identifier: Apache-2.0
// http_date: times read from text in the three formats of HTTP (RFC 9110 section 5.6.7). base/date writes them.
#ifndef PERILUNE_HTTP_HTTP_DATE_H
#define PERILUNE_HTTP_HTTP_DATE_H

#include "base/str.h"

/* Seconds since 1970. Names of days and months, and GMT, in any case; that the day's name fits the date is not asked
 * for. A year of two digits is the one that is at most 50 years ahead of `now`. False: it is no date. */
bool http_date_parse(struct str text, int64_t now, int64_t *when);

#endif
