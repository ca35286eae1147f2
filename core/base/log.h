// SPDX-License-Identifier: Apache-2.0
// log: the error log. One call writes one line, with one write(2) to standard error unless there is another
// output, so lines of several threads do not mix: "2026-01-31 12:00:00.123 warn worker 2: text". Control
// characters in the text are escaped as \xHH, so nothing that a client or an origin sends can forge a line.
//
// A line that repeats is throttled (base/log_throttle.h): of each kind, which is its format, and of each subject the
// first 5 lines in 10 s are written; the others are counted, and the count is written: "8,812 more in 10 s: TEXT".
// Debug lines, what a policy writes itself and what a test catches are not throttled.
#ifndef PERILUNE_BASE_LOG_H
#define PERILUNE_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct clock;

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Lines below `level` are dropped; the default is LOG_INFO. Process-wide. */
void log_set_level(enum log_level level);
enum log_level log_level(void);
bool log_is_on(enum log_level level);
/* Name of the calling thread in its lines, e.g. "worker 2"; copied, at most 31 bytes. */
void log_set_thread(const char *name);

/* Where lines go instead of standard error: each call gets one, with its line feed; from any thread. */
struct log_output {
  void (*write)(void *self, enum log_level level, const char *line, size_t length);
  void *self;
  bool is_plain; /* lines without time and level, and without line feeds of their own: for syslog */
};
/* Borrowed until the next call. NULL: standard error again. */
void log_to(const struct log_output *output);
/* Lines go there instead, escaped, without time and thread; for tests. NULL: to standard error again. */
void log_catch(void (*catch)(enum log_level level, const char *text));

/* Counts of lines left out are written: those whose time is over, once a second; or all, before the end. From any
 * thread. */
void log_tend(void);
void log_flush(void);
/* For tests: the throttle's clock, borrowed; NULL: the system's. It forgets what it has counted. */
void log_set_clock(const struct clock *clock);

void log_line(enum log_level level, const char *format, ...) __attribute__((cold, format(printf, 2, 3)));

/* The same for lines whose kind has a subject (a backend, a place in the policy, what went wrong): each subject is
 * throttled by itself. It is not written: `format` and what follows say everything. Do not use a subject that clients
 * can invent, such as an address: they would use up the places of the table. */
void log_about(enum log_level level, struct str subject, const char *format, ...)
    __attribute__((cold, format(printf, 3, 4)));
void log_text_about(enum log_level level, struct str subject, const char *format, ...)
    __attribute__((cold, format(printf, 3, 4)));
/* Never throttled: what a policy writes. */
void log_unthrottled(enum log_level level, const char *format, ...)
    __attribute__((cold, format(printf, 2, 3)));

#define log_debug(...)                                                                                       \
  do {                                                                                                       \
    if (log_is_on(LOG_DEBUG)) log_line(LOG_DEBUG, __VA_ARGS__);                                              \
  } while (0)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

#endif
