// SPDX-License-Identifier: Apache-2.0
// http_date: reads times strictly by position, without the C library, whose parsing depends on the locale.
#include "http/http_date.h"

#include "http/grammar.h"

enum { DAY = 86400, YEARS_AHEAD = 50, SECONDS_OF_YEAR = 31556952 };

struct parts {
  int64_t year;
  unsigned month, day, hour, minute, second; /* month from 0 */
};

static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};
static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static bool read_fixed(struct str text, struct parts *parts);
static bool read_rfc850(struct str text, int64_t now, struct parts *parts);
static bool read_asctime(struct str text, struct parts *parts);
static bool to_seconds(const struct parts *parts, int64_t *when);

bool http_date_parse(struct str text, int64_t now, int64_t *when) {
  struct parts parts = {0};
  size_t comma = str_find(text, ',');
  bool is_date = comma == text.len ? read_asctime(text, &parts)
                 : comma == 3      ? read_fixed(text, &parts)
                                   : read_rfc850(text, now, &parts);
  return is_date && to_seconds(&parts, when);
}

static bool take(struct str *rest, const char *wanted) { return str_take_nocase(rest, str_of(wanted)); }

static bool take_digits(struct str *rest, unsigned digits, unsigned *number) {
  *number = 0;
  if (rest->len < digits) return false;
  for (unsigned i = 0; i < digits; i++) {
    if (!grammar_is_digit(rest->ptr[i])) return false;
    *number = *number * 10 + (unsigned)(rest->ptr[i] - '0');
  }
  *rest = str_from(*rest, digits);
  return true;
}

static bool take_day_name(struct str *rest, bool is_short) {
  for (unsigned i = 0; i < 7; i++) {
    char name[4] = {days[i][0], days[i][1], days[i][2]};
    if (take(rest, is_short ? name : days[i])) return true;
  }
  return false;
}

static bool take_month(struct str *rest, unsigned *month) {
  for (*month = 0; *month < 12; ++*month)
    if (take(rest, months[*month])) return true;
  return false;
}

static bool take_time(struct str *rest, struct parts *p) {
  return take_digits(rest, 2, &p->hour) && take(rest, ":") && take_digits(rest, 2, &p->minute) &&
         take(rest, ":") && take_digits(rest, 2, &p->second);
}

static bool take_year(struct str *rest, struct parts *p) {
  unsigned year;
  if (!take_digits(rest, 4, &year)) return false;
  p->year = year;
  return true;
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool read_fixed(struct str text, struct parts *p) {
  return take_day_name(&text, true) && take(&text, ", ") && take_digits(&text, 2, &p->day) &&
         take(&text, " ") && take_month(&text, &p->month) && take(&text, " ") && take_year(&text, p) &&
         take(&text, " ") && take_time(&text, p) && take(&text, " GMT") && !text.len;
}

/* Sunday, 06-Nov-94 08:49:37 GMT */
static bool read_rfc850(struct str text, int64_t now, struct parts *p) {
  unsigned year;
  bool is_one = take_day_name(&text, false) && take(&text, ", ") && take_digits(&text, 2, &p->day) &&
                take(&text, "-") && take_month(&text, &p->month) && take(&text, "-") &&
                take_digits(&text, 2, &year) && take(&text, " ") && take_time(&text, p) &&
                take(&text, " GMT") && !text.len;
  if (!is_one) return false;
  int64_t latest = 1970 + now / SECONDS_OF_YEAR + YEARS_AHEAD;
  p->year = latest - latest % 100 + (int64_t)year;
  if (p->year > latest) p->year -= 100;
  return true;
}

/* Sun Nov  6 08:49:37 1994 */
static bool read_asctime(struct str text, struct parts *p) {
  if (!take_day_name(&text, true) || !take(&text, " ") || !take_month(&text, &p->month) || !take(&text, " "))
    return false;
  bool has_day = take(&text, " ") ? take_digits(&text, 1, &p->day) : take_digits(&text, 2, &p->day);
  return has_day && take(&text, " ") && take_time(&text, p) && take(&text, " ") && take_year(&text, p) &&
         !text.len;
}

static bool is_leap(int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

static unsigned days_of_month(int64_t year, unsigned month) {
  static const unsigned char length[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return length[month] + (month == 1 && is_leap(year));
}

/* How many leap days there were from year 1 to the end of `year`; year 0 has one, too. */
static int64_t leap_days(int64_t year) { return year < 0 ? -1 : year / 4 - year / 100 + year / 400; }

/* A second may be the 60th: the leap second is the next one. */
static bool to_seconds(const struct parts *p, int64_t *when) {
  if (p->day < 1 || p->day > days_of_month(p->year, p->month) || p->hour > 23 || p->minute > 59 ||
      p->second > 60)
    return false;
  int64_t day = (p->year - 1970) * 365 + leap_days(p->year - 1) - leap_days(1969) + p->day - 1;
  for (unsigned month = 0; month < p->month; month++) day += days_of_month(p->year, month);
  *when = day * DAY + (int64_t)p->hour * 3600 + (int64_t)p->minute * 60 + (int64_t)p->second;
  return true;
}
